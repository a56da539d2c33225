//! The photos of a backup: a grid for each month with the phone's own thumbnails, and a page for
//! each photo or video.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::backup::Inside;
use super::fail::Fail;
use super::layout::{encoded, pager, t};
use super::query;
use super::site::{Opened, Site, reading};
use crate::backup_format::manifest_db::{Filter, Kind};
use crate::base::units::{count, counted};
use crate::export::photos::{self, RollFile};
use crate::reader::backup::Backup;

/// Photos on a page.
const PAGE: usize = 120;
/// Most files of photos that are kept in memory.
const FILES_MAX: usize = 1 << 20;
/// Folder of the thumbnails. Below it, a folder with the path of each photo holds some JPEGs, for
/// example DCIM/100APPLE/IMG_0001.HEIC/5005.JPG. Practical Mobile Forensics (Packt, 4th edition)
/// and SANS FOR585 describe it.
const THUMBNAILS: (&str, &str) = ("CameraRollDomain", "Media/PhotoData/Thumbnails/V2");
/// Extensions of pictures that all browsers show.
const PICTURES: [&str; 5] = ["jpg", "jpeg", "png", "gif", "webp"];
const VIDEOS: [&str; 4] = ["mov", "mp4", "m4v", "3gp"];

/// The camera roll of a backup.
pub(super) struct Roll {
    /// Photos by their part (a month, or an album that Photos keeps apart), newest part first.
    parts: Vec<Part>,
    photos: Vec<Photo>,
    /// Reason that the phone's library of photos cannot be read.
    trouble: Option<String>,
}

struct Part {
    /// Name in addresses: "2024-05", "undated", "hidden" or "deleted".
    key: String,
    /// Numbers of its photos.
    photos: std::ops::Range<usize>,
}

/// A photo or video. A Live Photo is one, with a still and a moving part.
struct Photo {
    name: String,
    /// Seconds since 1970.
    created: i64,
    zone: i32,
    part: String,
    files: Vec<OneFile>,
    thumbnail: Option<String>,
}

struct OneFile {
    id: String,
    extension: String,
    edited: bool,
}

impl Roll {
    /// Reads the camera roll.
    pub(super) fn read(backup: &Backup) -> Result<Roll, Fail> {
        let mut found: HashMap<String, Photo> = HashMap::new();
        let mut files = 0;
        let trouble = photos::roll(backup, |file| {
            files += 1;
            take(&mut found, file);
            files < FILES_MAX
        });
        let trouble = trouble.map_err(|e| Fail::Unreadable(e.to_string()))?;
        let mut thumbnails = thumbnails(backup)?;
        let mut photos: Vec<Photo> = found
            .into_iter()
            .map(|(place, mut photo)| {
                photo.thumbnail = thumbnails.remove(&place).map(|(_, id)| id);
                photo
            })
            .collect();
        // Newest months first, and newest photos first in each. Names that are no months sort
        // behind them.
        photos.sort_by(|a, b| {
            let key = |photo: &Photo| {
                (
                    photo.part.starts_with(|c: char| c.is_ascii_digit()),
                    photo.part.clone(),
                )
            };
            key(b)
                .cmp(&key(a))
                .then(b.created.cmp(&a.created))
                .then_with(|| a.name.cmp(&b.name))
        });
        let mut parts: Vec<Part> = Vec::new();
        for (number, photo) in photos.iter().enumerate() {
            match parts.last_mut() {
                Some(part) if part.key == photo.part => part.photos.end = number + 1,
                _ => parts.push(Part {
                    key: photo.part.clone(),
                    photos: number..number + 1,
                }),
            }
        }
        Ok(Roll {
            parts,
            photos,
            trouble,
        })
    }
}

fn take(found: &mut HashMap<String, Photo>, file: RollFile) {
    let extension = file.extension.to_ascii_lowercase();
    if extension == "aae" {
        return;
    }
    let one = OneFile {
        id: file.file_id,
        extension,
        edited: file.is_edited,
    };
    let photo = found.entry(file.place).or_insert_with(|| Photo {
        name: file.name,
        created: file.created,
        zone: file.zone,
        part: file.part,
        files: Vec::new(),
        thumbnail: None,
    });
    photo.files.push(one);
}

/// Returns the largest thumbnail of each photo, by the photo's path without extension.
fn thumbnails(backup: &Backup) -> Result<HashMap<String, (u64, String)>, Fail> {
    let mut found: HashMap<String, (u64, String)> = HashMap::new();
    let filter = Filter {
        domain: Some(THUMBNAILS.0),
        below: Some(THUMBNAILS.1),
        kind: Some(Kind::File),
        ..Filter::default()
    };
    backup.each(&filter, |item| {
        let path = item.relative_path.strip_prefix(THUMBNAILS.1);
        let photo = path.and_then(|path| path.trim_start_matches('/').rsplit_once('/'));
        if let Some((photo, name)) = photo
            && name.to_ascii_lowercase().ends_with(".jpg")
        {
            let stem = photo.rsplit_once('.').map_or(photo, |(stem, _)| stem);
            let size = item.size().unwrap_or(0);
            let known = found.entry(stem.to_owned()).or_default();
            if size >= known.0 {
                *known = (size, item.file_id);
            }
        }
        found.len() < FILES_MAX
    })?;
    Ok(found)
}

impl Photo {
    fn of_kind(&self, extensions: &[&str]) -> Option<&OneFile> {
        let mut of_kind = self
            .files
            .iter()
            .filter(|file| extensions.contains(&file.extension.as_str()));
        let first = of_kind.clone().next();
        of_kind.find(|file| file.edited).or(first)
    }

    /// Returns true for a video, which has no still.
    fn is_video(&self) -> bool {
        let is_video = |file: &OneFile| VIDEOS.contains(&file.extension.as_str());
        self.files.iter().all(is_video)
    }

    /// Returns the time at which the photo was taken, in the zone where it was taken.
    fn taken(&self) -> Option<String> {
        let local = jiff::Timestamp::from_second(self.created.checked_add(self.zone.into())?);
        let zoned = local.ok()?.to_zoned(jiff::tz::TimeZone::UTC);
        (self.part != "undated").then(|| zoned.strftime("%A, %-d %B %Y, %H:%M").to_string())
    }
}

/// Shows a month.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let roll = opened.photos()?;
        let query = query.as_deref();
        let wish = query::get(query, "month");
        let part = match &wish {
            None => roll.parts.first(),
            Some(wish) => {
                let part = roll.parts.iter().find(|part| part.key == *wish);
                Some(part.ok_or(Fail::NotFound("the backup has no photos of this month"))?)
            }
        };
        let to = |part: &str, page: usize| {
            let page = if page > 0 { format!("&page={page}") } else { String::new() };
            opened.at(&site, &format!("/photos?month={}{page}", encoded(part)))
        };
        let main = html! {
            @if let Some(trouble) = &roll.trouble {
                p.bad { "The phone's library of photos cannot be read, so names and dates are those of the files: " (t(trouble)) }
            }
            @match part {
                None => p { "There are no photos or videos in this backup." },
                Some(part) => (month(&site, &opened, &roll, part, query::number(query, "page"), &to)),
            }
        };
        let title = part.map_or("Photos".to_owned(), |part| heading(&part.key));
        let page = Inside {
            opened: &opened,
            tab: "/photos",
            title: &title,
            above: vec![(opened.at(&site, "/photos"), "Photos".to_owned())],
            main,
            wide: true,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn month(
    site: &Site,
    opened: &Opened,
    roll: &Roll,
    part: &Part,
    page: usize,
    to: &impl Fn(&str, usize) -> String,
) -> Markup {
    let first = page.saturating_mul(PAGE).min(part.photos.len()) + part.photos.start;
    let last = (first + PAGE).min(part.photos.end);
    let mut years: BTreeMap<std::cmp::Reverse<&str>, Vec<&Part>> = BTreeMap::new();
    for part in &roll.parts {
        let year = part.key.split('-').next().unwrap_or_default();
        let year = if year.starts_with(|c: char| c.is_ascii_digit()) {
            year
        } else {
            ""
        };
        years.entry(std::cmp::Reverse(year)).or_default().push(part);
    }
    html! {
        nav.months aria-label="Months" {
            details {
                summary { (counted(roll.photos.len() as u64, "photo")) " in " (counted(roll.parts.len() as u64, "month")) }
                @for (year, parts) in &years {
                    p {
                        @if year.0.is_empty() { "Other" } @else { (year.0) } ": "
                        @for other in parts {
                            a href=(to(&other.key, 0)) aria-current=[(other.key == part.key).then_some("page")] {
                                (heading(&other.key)) " (" (count(other.photos.len() as u64)) ")"
                            }
                            " "
                        }
                    }
                }
            }
        }
        ul.grid {
            @for number in first..last {
                li { (tile(site, opened, roll, number)) }
            }
        }
        (pager(page, last < part.photos.end, |page| to(&part.key, page)))
        (months_beside(roll, part, to))
    }
}

fn months_beside(roll: &Roll, part: &Part, to: &impl Fn(&str, usize) -> String) -> Markup {
    let at = roll.parts.iter().position(|other| other.key == part.key);
    let at = at.unwrap_or(0);
    html! {
        nav.pager aria-label="Months beside this one" {
            @if let Some(later) = at.checked_sub(1).and_then(|at| roll.parts.get(at)) {
                a href=(to(&later.key, 0)) { (heading(&later.key)) }
            }
            span {}
            @if let Some(earlier) = roll.parts.get(at + 1) {
                a href=(to(&earlier.key, 0)) { (heading(&earlier.key)) }
            }
        }
    }
}

fn tile(site: &Site, opened: &Opened, roll: &Roll, number: usize) -> Markup {
    let photo = &roll.photos[number];
    let still = photo.of_kind(&PICTURES);
    // Without a thumbnail, the picture itself is loaded when it comes into view.
    let shown = photo.thumbnail.as_ref().or(still.map(|file| &file.id));
    let taken = photo.taken().unwrap_or_default();
    html! {
        a href=(opened.at(site, &format!("/photo/{number}"))) {
            @if let Some(id) = shown {
                img src=(opened.at(site, &format!("/raw/{id}"))) loading="lazy"
                    alt={ (t(&photo.name)) ", " (taken) };
            } @else {
                span.none { bdi { (t(&photo.name)) } }
            }
            @if photo.is_video() { span.mark { "Video" } }
        }
    }
}

/// Returns the name of a part of the roll for people.
fn heading(key: &str) -> String {
    match key {
        "undated" => "Without a date".to_owned(),
        "hidden" => "Hidden".to_owned(),
        "deleted" => "Recently deleted".to_owned(),
        month => {
            let first: Option<jiff::civil::Date> = format!("{month}-01").parse().ok();
            first.map_or_else(|| month.to_owned(), |day| day.strftime("%B %Y").to_string())
        }
    }
}

/// Shows a photo or a video, with all of its files.
pub(super) async fn photo(
    State(site): State<Arc<Site>>,
    Path((key, number)): Path<(String, usize)>,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let roll = opened.photos()?;
        let photo = roll.photos.get(number);
        let photo = photo.ok_or(Fail::NotFound("the backup has no such photo"))?;
        let raw = |id: &str| opened.at(&site, &format!("/raw/{id}"));
        let to = |number: usize| opened.at(&site, &format!("/photo/{number}"));
        let main = html! {
            (large(photo, &raw))
            nav.pager aria-label="Photos" {
                @if number > 0 { a rel="prev" href=(to(number - 1)) { "Newer" } } @else { span {} }
                @if number + 1 < roll.photos.len() { a rel="next" href=(to(number + 1)) { "Older" } }
            }
            dl.facts {
                @if let Some(taken) = photo.taken() { dt { "Taken" } dd { (taken) } }
                dt { "Files" }
                dd {
                    ul.plain {
                        @for file in &photo.files {
                            li {
                                a href=(opened.at(&site, &format!("/download/{}", file.id))) {
                                    "Download " (t(&file.extension.to_ascii_uppercase()))
                                }
                                @if file.edited { " (edited)" }
                                " "
                                a.soft href=(opened.at(&site, &format!("/file/{}", file.id))) { "details" }
                            }
                        }
                    }
                }
            }
        };
        let month = opened.at(&site, &format!("/photos?month={}", encoded(&photo.part)));
        let page = Inside {
            opened: &opened,
            tab: "/photos",
            title: &photo.name,
            above: vec![
                (opened.at(&site, "/photos"), "Photos".to_owned()),
                (month, heading(&photo.part)),
            ],
            main,
            wide: true,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn large(photo: &Photo, raw: &impl Fn(&str) -> String) -> Markup {
    let thumbnail = photo.thumbnail.as_deref();
    let video = photo.of_kind(&VIDEOS);
    html! {
        @if photo.is_video() {
            @if let Some(video) = video {
                p.preview {
                    video controls preload="metadata" src=(raw(&video.id)) poster=[thumbnail.map(raw)] {}
                }
            }
        } @else if let Some(still) = photo.of_kind(&PICTURES) {
            p.preview { img src=(raw(&still.id)) alt=(t(&photo.name)); }
        } @else if let Some(heic) = photo.of_kind(&["heic", "heif"]) {
            // A browser that cannot show HEIC takes the thumbnail.
            p.preview {
                picture {
                    source type="image/heic" srcset=(raw(&heic.id));
                    @if let Some(id) = thumbnail {
                        img src=(raw(id)) alt=(t(&photo.name));
                    } @else {
                        img src=(raw(&heic.id)) alt={ (t(&photo.name)) " (HEIC, which this browser may not show)" };
                    }
                }
            }
            p.soft { "The original is HEIC. A browser that cannot show it shows the phone's small picture here." }
        } @else if let Some(id) = thumbnail {
            p.preview { img src=(raw(id)) alt=(t(&photo.name)); }
        } @else {
            p.soft { "This kind of picture has no preview." }
        }
        @if let Some(video) = video.filter(|_| !photo.is_video()) {
            details {
                summary { "The moving part of this Live Photo" }
                p.preview { video controls preload="none" src=(raw(&video.id)) {} }
            }
        }
    }
}
