//! Exports the camera roll to a folder: photos and videos with their original names and dates.
//!
//! ```text
//! DIR/2024/2024-05/IMG_0001.HEIC, IMG_0001.MOV, IMG_0001 (edited).JPG
//! ```
//! All files of a photo (the still and the moving part of a Live Photo, the edited version, its
//! .AAE) share one name and, if that name is already taken, one number.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::photo_details::Details;
pub use super::photo_details::{Albums, Counts};
use super::photo_library::{Album, Library, TAKEN};
use crate::backup_format::manifest_db::{Filter, Kind};
use crate::backup_format::unreadable_rows::Unread;
use crate::base::progress::{Monitor, Phase, Silent};
use crate::export::destination::{Into, Target};
use crate::export::file_names::{PATH_BYTES_MAX, parts};
use crate::export::outcome::{Listing, Problem, Renamed, Tally, Wrong};
use crate::export::workers::{self, Manner, Task};
use crate::export::{Error, Exported};
use crate::reader::backup::{Backup, Item};

/// The domains that hold photos: since iOS 4, and before.
pub(super) const DOMAINS: [&str; 2] = ["CameraRollDomain", "MediaDomain"];
/// The folders that hold photos: taken with the phone or imported; from iCloud; edited versions.
pub(super) const FOLDERS: [&str; 3] = ["Media/DCIM", "Media/PhotoData/CPLAssets", MUTATIONS];
pub(super) const MUTATIONS: &str = "Media/PhotoData/Mutations";

/// The photo library of the backup cannot be read, so that less is known about its photos.
#[derive(Debug, thiserror::Error)]
#[error(
    "Photos.sqlite cannot be read: {0}; file names and dates are used, and deleted and hidden \
     photos are not recognised"
)]
struct NoLibrary(String);

/// Options for an export of photos.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Options for filling the target folder.
    pub into: Into,
    /// Put all files into one folder.
    pub flat: bool,
    /// Also export the photos in "Recently Deleted", to a folder of that name.
    pub deleted: bool,
    /// Also export hidden photos, to a folder named "Hidden".
    pub hidden: bool,
    /// The treatment of albums.
    pub albums: Albums,
    /// Write `photos.jsonl` too: a record for each photo of the library.
    pub index: bool,
}

/// The result of an export.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The path of the target folder.
    pub to: String,
    /// True if nothing was to be written.
    pub dry_run: bool,
    /// True if the export ran to its end.
    pub complete: bool,
    /// Number of files that were to be exported.
    pub chosen: u64,
    /// Number of photos and videos; a Live Photo counts once.
    pub photos: u64,
    /// Number of files that were written.
    pub files: u64,
    /// Number of files that were there already, with the right contents.
    pub there: u64,
    /// Total bytes of the files that were written.
    pub bytes: u64,
    /// True if the phone's photo library was read, so that names and dates are those that Photos
    /// shows.
    pub has_library: bool,
    /// Number of photos in the phone's library whose files are only in iCloud, not in this backup.
    pub only_in_icloud: u64,
    /// Number of photos in "Recently Deleted" that were left out.
    pub deleted_left_out: u64,
    /// Number of hidden photos that were left out.
    pub hidden_left_out: u64,
    /// Counts of the photos in the phone's library.
    pub library: Counts,
    /// The parts of the library that cannot be read, albums that cannot be written, and dates that
    /// cannot be right.
    pub damage: Listing<String>,
    /// The parts of the backup's list that could not be read.
    pub unread: Unread,
    /// The problems with single files.
    pub problems: Listing<Problem>,
    /// The files that got a number or another name because their own was taken or the disk cannot
    /// hold it.
    pub renamed: Listing<Renamed>,
}

/// Exports the camera roll of a backup into a folder.
pub fn export(
    backup: &Backup,
    to: &Path,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    let mut report = Report {
        to: to.display().to_string(),
        dry_run: options.into.dry_run,
        ..Report::default()
    };
    let library = library(backup, monitor);
    report.has_library = library.is_some();
    let mut library = library.unwrap_or_else(Library::empty);
    let wanted = (options.albums, options.index);
    let details = Details::read(
        backup,
        &library,
        wanted,
        &mut report.library,
        &mut report.damage,
    );
    let mut bytes = 0u64;
    each(backup, false, |item| {
        let Some(part) = Part::of(item) else {
            return true;
        };
        match left_out(&mut library, &part, options) {
            Some((is_first, Album::Deleted)) => report.deleted_left_out += u64::from(is_first),
            Some((is_first, _)) => report.hidden_left_out += u64::from(is_first),
            None => {
                report.chosen += 1;
                bytes = bytes.saturating_add(item.size().unwrap_or(0));
            }
        }
        true
    })?;
    let target = Target::open(to, backup.folder(), options.into)?;
    if target.must_be_known() && !holds_any(backup, target.trial(), options)? {
        return Err(Error::NotEmpty(target.root().to_path_buf()));
    }
    if !options.into.dry_run {
        monitor.phase(Phase::Extracting);
    }
    let tally = Tally::new(report.chosen, bytes, monitor, interrupt);
    let mut roll = Roll::new(target, library, options);
    roll.details = Some(details);
    let manner = Manner {
        overwrite: options.into.overwrite,
        all_modes: false,
        holds_files: roll.target.holds_files(),
        dry_run: options.into.dry_run,
    };
    let root = roll.target.root().to_path_buf();
    workers::fill(backup.reader(), &root, manner, &tally, |give| {
        each(backup, true, |item| {
            let Some(part) = Part::of(item) else {
                return !tally.is_over();
            };
            if left_out(&mut roll.library, &part, options).is_some() {
                return !tally.is_over();
            }
            match roll.task(item, &part, &tally) {
                Some(task) => give(task),
                None => !tally.is_over(),
            }
        })
    })?;
    if !options.into.dry_run
        && !tally.is_over()
        && let Some(details) = roll.details.take()
    {
        let (counts, damage) = (&mut report.library, &mut report.damage);
        let written = details.write(&roll.library, &mut roll.target, &tally, counts, damage);
        if let Err(e) = written {
            tally.stop(e);
        }
    }
    (report.files, report.bytes) = tally.written();
    report.there = tally.there();
    let lists = tally.into_lists(backup);
    report.photos = roll.photos;
    report.only_in_icloud = roll.library.without_file();
    report.unread = backup.unread();
    report.complete = lists.stopped.is_none();
    report.problems = lists.problems;
    report.renamed = lists.renamed;
    Ok(Exported {
        report,
        stopped: lists.stopped,
    })
}

/// Returns true if the place of any photo is taken: then an earlier run filled the folder.
fn holds_any(backup: &Backup, target: Target, options: &Options) -> Result<bool, Error> {
    let ignored = AtomicBool::new(false);
    let tally = Tally::new(0, 0, &Silent, &ignored);
    let library = library(backup, &Silent).unwrap_or_else(Library::empty);
    let mut roll = Roll::new(target, library, options);
    let mut holds = false;
    each(backup, true, |item| {
        if let Some(part) = Part::of(item)
            && left_out(&mut roll.library, &part, options).is_none()
        {
            let task = roll.task(item, &part, &tally);
            holds = task.is_some_and(|task| std::fs::symlink_metadata(task.to).is_ok());
        }
        !holds
    })?;
    Ok(holds)
}

/// Returns the album for which a photo is left out, and true for the first of its files. Returns
/// `None` if the photo is exported.
fn left_out(library: &mut Library, part: &Part<'_>, options: &Options) -> Option<(bool, Album)> {
    /// Marks a photo that is left out, so that it does not count as one without a file.
    const LEFT_OUT: u32 = u32::MAX;
    let key = library.key(&part.photo);
    let asset = library.asset(key)?;
    let is_wanted = match asset.album {
        Album::Library => true,
        Album::Deleted => options.deleted,
        Album::Hidden => options.hidden,
    };
    if is_wanted {
        return None;
    }
    let is_first = asset.number != LEFT_OUT;
    asset.number = LEFT_OUT;
    Some((is_first, asset.album))
}

fn library(backup: &Backup, monitor: &dyn Monitor) -> Option<Library> {
    for domain in DOMAINS {
        match Library::read(backup, domain) {
            Ok(None) => {}
            Ok(library) => return library,
            Err(why) => monitor.problem(NoLibrary(why).into()),
        }
    }
    None
}

/// Calls `each` for every file in the folders of photos. If `sorted`, the files of one photo come
/// directly after one another.
fn each(backup: &Backup, sorted: bool, mut each: impl FnMut(&Item) -> bool) -> Result<(), Error> {
    let mut goes_on = true;
    for domain in DOMAINS {
        for folder in FOLDERS {
            let filter = Filter {
                domain: Some(domain),
                below: Some(folder),
                sorted,
                ..Filter::default()
            };
            if goes_on {
                backup.each(&filter, |item| {
                    goes_on = item.kind != Kind::File || each(&item);
                    goes_on
                })?;
            }
        }
    }
    Ok(())
}

/// The role of a file within its photo.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The photo's folder and the stem of its files, as the library has them:
    /// "DCIM/100APPLE/IMG_0001".
    pub(super) photo: String,
    /// A suffix for the exported name, such as " (edited)".
    pub(super) tail: &'static str,
    pub(super) extension: &'a str,
}

impl Part<'_> {
    /// Derives the role from the path; `None` if the file is not part of a photo.
    fn of(item: &Item) -> Option<Part<'_>> {
        let path = item.relative_path.as_str();
        let is_hidden = path.split('/').any(|name| name.starts_with('.'));
        if is_hidden && !item.leads_out() {
            return None;
        }
        Part::of_path(path)
    }

    pub(super) fn of_path(path: &str) -> Option<Part<'_>> {
        if let Some(path) = path.strip_prefix(MUTATIONS) {
            let (folder, name) = path.strip_prefix('/')?.rsplit_once('/')?;
            let (stem, _, extension) = parts(name);
            // The same folder also holds Adjustments.plist and the original.
            return (stem == "FullSizeRender")
                .then_some(())
                .and(folder.strip_suffix("/Adjustments"))
                .map(|photo| Part {
                    photo: photo.to_owned(),
                    tail: " (edited)",
                    extension,
                });
        }
        let (folder, name) = path.strip_prefix("Media/")?.rsplit_once('/')?;
        let (stem, _, extension) = parts(name);
        // IMG_E0001.HEIC is the edited version of IMG_0001.HEIC; IMG_O0001.AAE belongs to the
        // original.
        let of_another = |letter: &str| {
            let number = stem.strip_prefix("IMG_")?.strip_prefix(letter)?;
            (number.len() >= 4 && number.bytes().all(|b| b.is_ascii_digit()))
                .then(|| format!("{folder}/IMG_{number}"))
        };
        let (photo, tail) = if let Some(photo) = of_another("E") {
            (photo, " (edited)")
        } else if let Some(photo) = of_another("O") {
            (photo, " (original)")
        } else {
            (format!("{folder}/{stem}"), "")
        };
        Some(Part {
            photo,
            tail,
            extension,
        })
    }
}

/// The state from which the exported names are made.
struct Roll {
    target: Target,
    flat: bool,
    library: Library,
    /// Times of photos that already have a name and for which the library has no time.
    times: HashMap<u64, i64>,
    /// Numbers of those photos, where they are not 1.
    numbers: HashMap<u64, u32>,
    /// The last number given to each name, by the name's hash.
    stems: HashMap<u64, u32>,
    photos: u64,
    /// The places of exported files are noted here.
    details: Option<Details>,
}

impl Roll {
    fn new(target: Target, library: Library, options: &Options) -> Roll {
        Roll {
            target,
            flat: options.flat,
            library,
            times: HashMap::new(),
            numbers: HashMap::new(),
            stems: HashMap::new(),
            photos: 0,
            details: None,
        }
    }

    fn task(&mut self, item: &Item, part: &Part<'_>, tally: &Tally<'_>) -> Option<Task> {
        if item.leads_out() || item.relative_path.len() > PATH_BYTES_MAX {
            let why = "its path leads out of the folder, so it was not written";
            tally.problem(item, Wrong::LeadsOut, why.to_owned());
            return None;
        }
        let key = self.library.key(&part.photo);
        let (folder, stem, number, created) = self.name(item, part, key);
        let number = match number {
            0 | 1 => String::new(),
            number => format!(" ({number})"),
        };
        let dot = if part.extension.is_empty() { "" } else { "." };
        let name = format!("{stem}{number}{}{dot}{}", part.tail, part.extension);
        let rules = self.target.rules();
        let names = folder.split('/').filter(|_| !folder.is_empty());
        let mut place = rules.below(names.chain([name.as_str()]))?;
        let made = self.target.folder(&place.parts[..place.parts.len() - 1]);
        if let Err(why) = made {
            tally.no_place(item, why);
            return None;
        }
        let is_numbered = self.target.take(&mut place) || !number.is_empty();
        if is_numbered || place.is_altered {
            tally.renamed(item, place.path());
        }
        if let Some(details) = &mut self.details {
            details.note(key, place.path());
        }
        Some(Task {
            item: item.clone(),
            to: self.target.path_of(&place),
            // An absurd date is not set; the file keeps the time of writing.
            modified: Some(created).filter(|created| TAKEN.contains(created)),
        })
    }

    /// Returns a photo's folder, name, number and time. The first of its files determines them.
    fn name(&mut self, item: &Item, part: &Part<'_>, key: u64) -> (String, String, u32, f64) {
        let asset = self.library.asset(key).copied();
        let phones = part.photo.rsplit('/').next().unwrap_or_default();
        let original =
            asset.and_then(|asset| self.library.original_name(&asset).map(str::to_owned));
        let stem = original.unwrap_or_else(|| phones.to_owned());
        let noted = self.times.get(&key).copied();
        let known = asset.and_then(|asset| asset.created);
        let created = known.unwrap_or_else(|| {
            let time = noted.unwrap_or_else(|| item.record().map_or(0, |r| r.last_modified));
            time as f64
        });
        let zone = asset.map_or(0, |asset| asset.zone);
        let month = if self.flat {
            String::new()
        } else {
            month(created, zone)
        };
        let album = match asset.map(|asset| asset.album) {
            Some(Album::Deleted) => "Recently Deleted",
            Some(Album::Hidden) => "Hidden",
            _ => "",
        };
        let parts = [album, month.as_str()].into_iter();
        let folder = parts
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        let number = match noted {
            Some(_) => self.numbers.get(&key).copied().unwrap_or(1),
            None => asset.map_or(0, |asset| asset.number),
        };
        if number > 0 {
            return (folder, stem, number, created);
        }
        self.photos += 1;
        // Names that differ only in case count as equal: the folder may be copied to another disk
        // later.
        let base = format!("{folder}/{stem}").to_lowercase();
        let last = self.stems.entry(self.library.key(&base)).or_insert(0);
        *last += 1;
        let number = *last;
        if let Some(asset) = self.library.asset(key) {
            asset.number = number;
        }
        if known.is_none() {
            self.times.insert(key, created as i64);
            if number > 1 {
                self.numbers.insert(key, number);
            }
        }
        (folder, stem, number, created)
    }
}

/// Returns the folder for a date, for example "2024/2024-05", in the time zone where the photo was
/// taken.
fn month(created: f64, zone: i32) -> String {
    match day(created, zone) {
        None => "undated".to_owned(),
        Some(day) => day.strftime("%Y/%Y-%m").to_string(),
    }
}

/// Returns the day of a time, in the time zone where the photo was taken; `None` if the time is not
/// plausible.
pub(super) fn day(created: f64, zone: i32) -> Option<jiff::civil::Date> {
    let seconds = created + f64::from(zone);
    // `as` saturates values out of range. The results are not valid times.
    let time = jiff::Timestamp::from_second(seconds as i64).ok();
    let time = time.filter(|_| TAKEN.contains(&created) && seconds != 0.0)?;
    Some(jiff::tz::Offset::UTC.to_datetime(time).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_grouped_by_photo() {
        for (path, photo, tail, extension) in [
            (
                "Media/DCIM/100APPLE/IMG_0001.HEIC",
                "DCIM/100APPLE/IMG_0001",
                "",
                "HEIC",
            ),
            (
                "Media/DCIM/100APPLE/IMG_E0001.JPG",
                "DCIM/100APPLE/IMG_0001",
                " (edited)",
                "JPG",
            ),
            (
                "Media/DCIM/100APPLE/IMG_O0001.AAE",
                "DCIM/100APPLE/IMG_0001",
                " (original)",
                "AAE",
            ),
            (
                "Media/DCIM/100APPLE/IMG_EASY.JPG",
                "DCIM/100APPLE/IMG_EASY",
                "",
                "JPG",
            ),
            (
                "Media/PhotoData/CPLAssets/group1/A-B.JPG",
                "PhotoData/CPLAssets/group1/A-B",
                "",
                "JPG",
            ),
            (
                "Media/PhotoData/Mutations/DCIM/100APPLE/IMG_0001/Adjustments/FullSizeRender.jpg",
                "DCIM/100APPLE/IMG_0001",
                " (edited)",
                "jpg",
            ),
        ] {
            let part = Part::of_path(path).unwrap();
            assert_eq!(
                (part.photo.as_str(), part.tail, part.extension),
                (photo, tail, extension)
            );
        }
        for path in [
            "Media/PhotoData/Mutations/DCIM/100APPLE/IMG_0001/Adjustments/Adjustments.plist",
            "Media/PhotoData/Mutations",
            "Media/DCIM",
        ] {
            assert!(
                Part::of_path(path).is_none_or(|part| part.photo == "/DCIM"),
                "{path}"
            );
        }
    }

    #[test]
    fn month_uses_local_time_zone() {
        assert_eq!(month(1_717_199_000.0, 0), "2024/2024-05");
        assert_eq!(month(1_717_199_000.0, 7200), "2024/2024-06");
        for absurd in [0.0, f64::NAN, f64::INFINITY, 1e300, -1e18] {
            assert_eq!(month(absurd, 0), "undated", "{absurd}");
        }
    }
}
