//! The photos of a backup: a grid for each month with the phone's own thumbnails, albums and
//! favorites, and a page for each photo or video.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::backup::Inside;
use super::fail::Fail;
use super::layout::{encoded, pager, t};
use super::pack::{self, Wanted};
use super::query;
use super::site::{Opened, Site, reading};
use crate::backup_format::record::file_id;
use crate::base::units::{count, counted};
use crate::content::photos::{self as library, Album};
use crate::export::photo_roll::{Group, Photo, Roll};
use crate::reader::backup::Backup;

/// Photos on a page.
const PAGE: usize = 120;
/// Extensions of pictures that all browsers show.
const PICTURES: [&str; 5] = ["jpg", "jpeg", "png", "gif", "webp"];
const VIDEOS: [&str; 4] = ["mov", "mp4", "m4v", "3gp"];

/// A photo with its files.
struct Shown {
    name: String,
    taken: Option<String>,
    files: Vec<OneFile>,
    thumbnail: Option<String>,
}

struct OneFile {
    id: String,
    extension: String,
    edited: bool,
}

impl Shown {
    fn of(backup: &Backup, roll: &Roll, photo: &Photo) -> Result<Shown, Fail> {
        let files = roll.files(photo).into_iter().map(|file| OneFile {
            id: file_id(file.domain, &file.path),
            extension: file.extension,
            edited: file.is_edited,
        });
        Ok(Shown {
            name: roll.name(photo),
            taken: taken(photo),
            files: files.collect(),
            thumbnail: photo.thumbnail(backup)?,
        })
    }

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
}

/// Returns the time at which a photo was taken, in the zone where it was taken.
fn taken(photo: &Photo) -> Option<String> {
    let local = jiff::Timestamp::from_second(photo.created.checked_add(photo.zone.into())?);
    let zoned = local.ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    (photo.group != Group::Undated).then(|| zoned.strftime("%A, %-d %B %Y, %H:%M").to_string())
}

/// Returns the name of a group in addresses.
fn key(group: Group) -> String {
    match group {
        Group::Month(year, month) => format!("{year:04}-{month:02}"),
        Group::Undated => "undated".to_owned(),
        Group::Hidden => "hidden".to_owned(),
        Group::Deleted => "deleted".to_owned(),
    }
}

/// Returns the name of a group for people.
fn heading(group: Group) -> String {
    match group {
        Group::Undated => "Without a date".to_owned(),
        Group::Hidden => "Hidden".to_owned(),
        Group::Deleted => "Recently deleted".to_owned(),
        Group::Month(year, month) => {
            let first = jiff::civil::Date::new(year, month, 1);
            first.map_or_else(|_| key(group), |day| day.strftime("%B %Y").to_string())
        }
    }
}

/// The albums of a backup, with the numbers of their photos in the roll.
pub(super) struct Albums(Vec<(Album, Vec<usize>)>);

impl Albums {
    /// Reads the albums. A backup without a photo library has no albums.
    pub(super) fn read(backup: &Backup, roll: &Roll) -> Result<Albums, Fail> {
        let Ok((albums, members)) = library::albums(backup) else {
            return Ok(Albums(Vec::new()));
        };
        let mut albums: Vec<_> = albums
            .into_iter()
            .map(|album| (album, Vec::new()))
            .collect();
        for (number, photo) in roll.photos.iter().enumerate() {
            for album in members.get(&photo.row).into_iter().flatten() {
                albums[usize::from(*album)].1.push(number);
            }
        }
        Ok(Albums(albums))
    }
}

/// The photos that a page shows.
enum View {
    /// A group of the roll: its number.
    Group(usize),
    /// An album: its number.
    Album(usize),
    /// Photos that are favorites.
    Favorites,
}

/// The numbers of the photos of a view.
enum Numbers<'a> {
    Range(Range<usize>),
    List(&'a [usize]),
}

impl Numbers<'_> {
    fn len(&self) -> usize {
        match self {
            Numbers::Range(range) => range.len(),
            Numbers::List(list) => list.len(),
        }
    }

    fn get(&self, at: usize) -> Option<usize> {
        match self {
            Numbers::Range(range) => range.clone().nth(at),
            Numbers::List(list) => list.get(at).copied(),
        }
    }

    /// Returns the position of a photo.
    fn position(&self, number: usize) -> Option<usize> {
        match self {
            Numbers::Range(range) => range.contains(&number).then(|| number - range.start),
            Numbers::List(list) => list.binary_search(&number).ok(),
        }
    }
}

/// The photos of a backup, its albums and its favorites.
struct Shelf {
    roll: Arc<Roll>,
    albums: Arc<Albums>,
    favorites: Vec<usize>,
}

impl Shelf {
    fn of(opened: &Opened) -> Result<Shelf, Fail> {
        let roll = opened.photos()?;
        let favorites = roll.photos.iter().enumerate();
        let favorites = favorites.filter(|(_, photo)| photo.favorite);
        Ok(Shelf {
            albums: opened.albums()?,
            favorites: favorites.map(|(number, _)| number).collect(),
            roll,
        })
    }

    /// Finds the view that the parameters name; `None` if there are no photos.
    fn view(&self, query: Option<&str>) -> Result<Option<View>, Fail> {
        if query::get(query, "favorites").is_some() {
            return Ok(Some(View::Favorites));
        }
        if let Some(album) = query::get(query, "album") {
            let number = album
                .parse()
                .ok()
                .filter(|number| *number < self.albums.0.len());
            let nothing = Fail::NotFound("the backup has no such album");
            return number
                .map(|number| Some(View::Album(number)))
                .ok_or(nothing);
        }
        let groups = &self.roll.groups;
        match query::get(query, "month") {
            None => Ok((!groups.is_empty()).then_some(View::Group(0))),
            Some(wish) => {
                let at = groups.iter().position(|(group, _)| key(*group) == wish);
                let nothing = Fail::NotFound("the backup has no photos of this month");
                at.map(|at| Some(View::Group(at))).ok_or(nothing)
            }
        }
    }

    fn numbers(&self, view: &View) -> Numbers<'_> {
        match view {
            View::Group(at) => Numbers::Range(self.roll.groups[*at].1.clone()),
            View::Album(number) => Numbers::List(&self.albums.0[*number].1),
            View::Favorites => Numbers::List(&self.favorites),
        }
    }

    /// Returns the parameter that names a view.
    fn parameter(&self, view: &View) -> String {
        match view {
            View::Group(at) => format!("month={}", encoded(&key(self.roll.groups[*at].0))),
            View::Album(number) => format!("album={number}"),
            View::Favorites => "favorites=1".to_owned(),
        }
    }

    fn title(&self, view: &View) -> String {
        match view {
            View::Group(at) => heading(self.roll.groups[*at].0),
            View::Album(number) => self.albums.0[*number].0.names.join(" › "),
            View::Favorites => "Favorites".to_owned(),
        }
    }
}

/// Shows a month, an album or the favorites.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let shelf = Shelf::of(&opened)?;
        let query = query.as_deref();
        let view = shelf.view(query)?;
        let main = html! {
            @if let Some(trouble) = &shelf.roll.trouble {
                p.bad { "The phone's library of photos cannot be read, so names and dates are those of the files: " (t(trouble)) }
            }
            @match &view {
                None => p { "There are no photos or videos in this backup." },
                Some(view) => (grid(&site, &opened, &shelf, view, query::number(query, "page"))?),
            }
        };
        let title = view.map_or("Photos".to_owned(), |view| shelf.title(&view));
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

fn grid(
    site: &Site,
    opened: &Opened,
    shelf: &Shelf,
    view: &View,
    page: usize,
) -> Result<Markup, Fail> {
    let numbers = shelf.numbers(view);
    let parameter = shelf.parameter(view);
    let first = page.saturating_mul(PAGE).min(numbers.len());
    let last = (first + PAGE).min(numbers.len());
    let mut shown = Vec::new();
    for number in (first..last).filter_map(|at| numbers.get(at)) {
        let photo = &shelf.roll.photos[number];
        shown.push((number, Shown::of(&opened.backup(), &shelf.roll, photo)?));
    }
    let to = |page: usize| {
        let page = if page > 0 {
            format!("&page={page}")
        } else {
            String::new()
        };
        opened.at(site, &format!("/photos?{parameter}{page}"))
    };
    Ok(html! {
        (choices(site, opened, shelf, view))
        @if shown.is_empty() { p { "There are no photos here." } }
        @else {
            form action=(opened.at(site, "/download/photos.zip")) {
                ul.grid {
                    @for (number, photo) in &shown {
                        li {
                            (tile(site, opened, photo, &format!("/photo/{number}?{parameter}")))
                            input id={ "n" (number) } type="checkbox" name="n" value=(number)
                                aria-label={ "Choose " (t(&photo.name)) };
                        }
                    }
                }
                p.links {
                    button { "Download the chosen ones" }
                    a href=(opened.at(site, &format!("/download/photos.zip?{parameter}"))) {
                        "Download all of these as a ZIP file (" (counted(numbers.len() as u64, "photo")) ")"
                    }
                }
            }
        }
        (pager(page, last < numbers.len(), to))
        (months_beside(site, opened, shelf, view))
    })
}

/// Returns links to all months and albums.
fn choices(site: &Site, opened: &Opened, shelf: &Shelf, view: &View) -> Markup {
    let to = |view: &View| opened.at(site, &format!("/photos?{}", shelf.parameter(view)));
    let mut years: BTreeMap<std::cmp::Reverse<Option<i16>>, Vec<usize>> = BTreeMap::new();
    for (at, (group, _)) in shelf.roll.groups.iter().enumerate() {
        let year = match group {
            Group::Month(year, _) => Some(*year),
            _ => None,
        };
        years.entry(std::cmp::Reverse(year)).or_default().push(at);
    }
    let photos = shelf.roll.photos.len() as u64;
    html! {
        nav.months aria-label="Months and albums" {
            details {
                summary {
                    (counted(photos, "photo")) " in " (counted(shelf.roll.groups.len() as u64, "month"))
                }
                @for (year, groups) in &years {
                    p {
                        @if let Some(year) = year.0 { (year) } @else { "Other" } ": "
                        @for at in groups {
                            @let is_it = matches!(view, View::Group(group) if group == at);
                            @let (group, photos) = &shelf.roll.groups[*at];
                            a href=(to(&View::Group(*at))) aria-current=[is_it.then_some("page")] {
                                (heading(*group)) " (" (count(photos.len() as u64)) ")"
                            }
                            " "
                        }
                    }
                }
            }
            @if !shelf.favorites.is_empty() || !shelf.albums.0.is_empty() {
                details open[!matches!(view, View::Group(_))] {
                    summary { "Albums" }
                    p {
                        @if !shelf.favorites.is_empty() {
                            a href=(to(&View::Favorites))
                                aria-current=[matches!(view, View::Favorites).then_some("page")] {
                                "Favorites (" (count(shelf.favorites.len() as u64)) ")"
                            }
                            " "
                        }
                        @for (number, (_, photos)) in shelf.albums.0.iter().enumerate() {
                            @let album = View::Album(number);
                            @let is_it = matches!(view, View::Album(other) if *other == number);
                            a href=(to(&album)) aria-current=[is_it.then_some("page")] {
                                bdi { (t(&shelf.title(&album))) } " (" (count(photos.len() as u64)) ")"
                            }
                            " "
                        }
                    }
                }
            }
        }
    }
}

fn months_beside(site: &Site, opened: &Opened, shelf: &Shelf, view: &View) -> Markup {
    let View::Group(at) = view else {
        return html! {};
    };
    let link = |at: usize| {
        let view = View::Group(at);
        let to = opened.at(site, &format!("/photos?{}", shelf.parameter(&view)));
        html! { a href=(to) { (shelf.title(&view)) } }
    };
    html! {
        nav.pager aria-label="Months beside this one" {
            @if *at > 0 { (link(at - 1)) } @else { span {} }
            @if at + 1 < shelf.roll.groups.len() { (link(at + 1)) }
        }
    }
}

fn tile(site: &Site, opened: &Opened, photo: &Shown, to: &str) -> Markup {
    let still = photo.of_kind(&PICTURES);
    // Without a thumbnail, the picture itself is loaded when it comes into view.
    let shown = photo.thumbnail.as_ref().or(still.map(|file| &file.id));
    let taken = photo.taken.as_deref().unwrap_or_default();
    html! {
        a href=(opened.at(site, to)) {
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

/// Shows a photo or a video, with all of its files.
pub(super) async fn photo(
    State(site): State<Arc<Site>>,
    Path((key, number)): Path<(String, usize)>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let shelf = Shelf::of(&opened)?;
        let photo = shelf.roll.photos.get(number);
        let photo = photo.ok_or(Fail::NotFound("the backup has no such photo"))?;
        let view = match query.as_deref() {
            // Without parameters, the photos beside it are those of the whole roll.
            None | Some("") => None,
            query => shelf.view(query)?,
        };
        let (numbers, parameter) = match &view {
            None => (Numbers::Range(0..shelf.roll.photos.len()), String::new()),
            Some(view) => (shelf.numbers(view), format!("?{}", shelf.parameter(view))),
        };
        let at = numbers.position(number);
        let beside = |at: Option<usize>| {
            let number = numbers.get(at?)?;
            Some(opened.at(&site, &format!("/photo/{number}{parameter}")))
        };
        let newer = beside(at.and_then(|at| at.checked_sub(1)));
        let older = beside(at.map(|at| at + 1));
        let group = photo.group;
        let photo = Shown::of(&opened.backup(), &shelf.roll, photo)?;
        let raw = |id: &str| opened.at(&site, &format!("/raw/{id}"));
        let main = html! {
            (large(&photo, &raw))
            nav.pager aria-label="Photos" {
                @if let Some(to) = newer { a rel="prev" href=(to) { "Newer" } } @else { span {} }
                @if let Some(to) = older { a rel="next" href=(to) { "Older" } } @else { span {} }
            }
            dl.facts {
                @if let Some(taken) = &photo.taken { dt { "Taken" } dd { (taken) } }
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
        let (to, title) = match &view {
            Some(view) => (shelf.parameter(view), shelf.title(view)),
            None => (format!("month={}", encoded(&self::key(group))), heading(group)),
        };
        let page = Inside {
            opened: &opened,
            tab: "/photos",
            title: &photo.name,
            above: vec![
                (opened.at(&site, "/photos"), "Photos".to_owned()),
                (opened.at(&site, &format!("/photos?{to}")), title),
            ],
            main,
            wide: true,
        };
        Ok(page.answer(&site))
    })
    .await
}

/// Sends the chosen photos, or all photos of a view, as a ZIP file.
pub(super) async fn pack(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let shelf = Shelf::of(&opened)?;
        let query = query.as_deref();
        let mut chosen = query::numbers(query, "n");
        let mut name = "Photos".to_owned();
        let names_view = ["month", "album", "favorites"].iter();
        if names_view
            .clone()
            .any(|name| query::get(query, name).is_some())
            && let Some(view) = shelf.view(query)?
        {
            let numbers = shelf.numbers(&view);
            chosen.extend((0..numbers.len()).filter_map(|at| numbers.get(at)));
            name = shelf.title(&view);
        }
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.is_empty() {
            return Err(Fail::NotFound("no photo was chosen"));
        }
        let mut files = VecDeque::new();
        for number in chosen {
            let photo = shelf.roll.photos.get(number);
            let photo = photo.ok_or(Fail::NotFound("the backup has no such photo"))?;
            let stem = shelf.roll.name(photo);
            files.extend(shelf.roll.files(photo).into_iter().map(|file| {
                let edited = if file.is_edited { " (edited)" } else { "" };
                let extension = file.extension.to_ascii_uppercase();
                Wanted {
                    name: format!("{stem}{edited}.{extension}"),
                    domain: file.domain,
                    path: file.path,
                }
            }));
        }
        pack::answer(opened, &format!("{name}.zip"), files)
    })
    .await
}

fn large(photo: &Shown, raw: &impl Fn(&str) -> String) -> Markup {
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
