//! Lists the photos of a backup by month, for pages that show some of them at a time. Reads the
//! photo library and the paths of the files, and no records, which are most of the list.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use super::photo_library::{Album, Library};
use super::photos::{DOMAINS, FOLDERS, MUTATIONS, Part, day};
use crate::backup_format::manifest_db::{Filter, Kind};
use crate::reader::Error;
use crate::reader::backup::{Backup, Item};

/// Most files of photos that are kept in memory.
const FILES_MAX: usize = 1 << 20;
/// Photos up to this number are dated one by one, and more in one pass over the list.
const FEW: usize = 1_000;
/// Most extensions. A phone has some ten.
const EXTENSIONS_MAX: usize = 1 << 12;
/// Folder of the thumbnails. Below it, a folder with the path of each photo holds some JPEGs, for
/// example DCIM/100APPLE/IMG_0001.HEIC/5005.JPG. Practical Mobile Forensics (Packt, 4th edition)
/// and SANS FOR585 describe it.
const THUMBNAILS: &str = "Media/PhotoData/Thumbnails/V2";

/// The camera roll of a backup.
pub(crate) struct Roll {
    /// All photos: the newest month first, and the newest photo of each month first.
    pub(crate) photos: Vec<Photo>,
    /// The groups, in the same order.
    pub(crate) groups: Vec<(Group, Range<usize>)>,
    /// The reason that the phone's library of photos cannot be read.
    pub(crate) trouble: Option<String>,
    library: Library,
    extensions: Vec<String>,
}

/// A group of photos: a month, or an album that Photos keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// The album "Recently Deleted".
    Deleted,
    /// The album "Hidden".
    Hidden,
    /// Photos without a plausible date.
    Undated,
    /// A year and a month.
    Month(i16, i8),
}

/// A photo or video. A Live Photo is one, with a still and a moving part.
pub(crate) struct Photo {
    /// The folder and the stem of its files: "DCIM/100APPLE/IMG_0001".
    place: Box<str>,
    /// The number of its domain.
    domain: u8,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// The offset from UTC where it was taken, in seconds.
    pub(crate) zone: i32,
    /// Group of the photo.
    pub(crate) group: Group,
    /// True for a favorite.
    pub(crate) favorite: bool,
    /// Row in the photo library; 0 if the library does not have the photo.
    pub(crate) row: i64,
    files: Vec<Piece>,
}

/// A file of a photo: the rest of its path.
#[derive(Clone, Copy)]
struct Piece {
    extension: u16,
    variant: Variant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    AsItIs,
    /// IMG_E0001, the edited version of IMG_0001.
    Edited,
    /// IMG_O0001, which belongs to the original.
    Original,
    /// The edited version in the folder of mutations.
    Mutation,
}

/// A file of a photo.
pub(crate) struct RollFile {
    /// Domain of the file.
    pub(crate) domain: &'static str,
    /// The path in the domain.
    pub(crate) path: String,
    /// The extension, in lower case.
    pub(crate) extension: String,
    /// True for an edited version.
    pub(crate) is_edited: bool,
}

impl Roll {
    /// Reads the camera roll.
    pub(crate) fn read(backup: &Backup) -> Result<Roll, Error> {
        let (mut library, mut trouble) = (Library::empty(), None);
        for domain in DOMAINS {
            match Library::read(backup, domain) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    library = found;
                    break;
                }
                Err(why) => trouble = Some(why),
            }
        }
        let mut reading = Reading {
            roll: Roll {
                photos: Vec::new(),
                groups: Vec::new(),
                trouble,
                library,
                extensions: Vec::new(),
            },
            known: HashMap::new(),
            extensions: HashMap::new(),
            files: 0,
        };
        for (number, domain) in (0u8..).zip(DOMAINS) {
            for folder in FOLDERS {
                backup.file_paths(domain, folder, |path| reading.take(number, path))?;
            }
        }
        let mut roll = reading.roll;
        roll.date_others(backup)?;
        roll.sort();
        Ok(roll)
    }

    /// Gives photos for which the library has no date that of one of their files.
    fn date_others(&mut self, backup: &Backup) -> Result<(), Error> {
        let extensions = &self.extensions;
        let mut others: HashMap<String, &mut Photo> = (self.photos.iter_mut())
            .filter(|photo| photo.created == 0)
            .map(|photo| (photo.path_of(extensions, photo.files[0]), photo))
            .collect();
        let date = |others: &mut HashMap<String, &mut Photo>, item: &Item| {
            if let Some(photo) = others.get_mut(&item.relative_path)
                && let Ok(facts) = item.facts()
            {
                photo.created = facts.modified;
                if photo.group == Group::Undated {
                    photo.group = Group::of(facts.modified as f64, 0);
                }
            }
        };
        if others.len() < FEW {
            let places: Vec<(u8, String)> = others
                .iter()
                .map(|(path, photo)| (photo.domain, path.clone()))
                .collect();
            for (domain, path) in places {
                if let Some(item) = backup.find(DOMAINS[usize::from(domain)], &path)? {
                    date(&mut others, &item);
                }
            }
            return Ok(());
        }
        for domain in DOMAINS {
            let filter = Filter {
                domain: Some(domain),
                below: Some("Media"),
                kind: Some(Kind::File),
                ..Filter::default()
            };
            backup.each(&filter, |item| {
                date(&mut others, &item);
                true
            })?;
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.photos.sort_unstable_by(|a, b| {
            let key = |photo: &Photo| Reverse((photo.group, photo.created));
            key(a).cmp(&key(b)).then_with(|| a.place.cmp(&b.place))
        });
        for (number, photo) in self.photos.iter().enumerate() {
            match self.groups.last_mut() {
                Some((group, photos)) if *group == photo.group => photos.end = number + 1,
                _ => self.groups.push((photo.group, number..number + 1)),
            }
        }
    }

    /// Returns the name of a photo, without extension.
    pub(crate) fn name(&self, photo: &Photo) -> String {
        let key = self.library.key(&photo.place);
        let original = (self.library.find(key)).and_then(|asset| self.library.original_name(asset));
        let phones = photo.place.rsplit('/').next();
        original.or(phones).unwrap_or_default().to_owned()
    }

    /// Returns the files of a photo.
    pub(crate) fn files(&self, photo: &Photo) -> Vec<RollFile> {
        let file = |piece: &Piece| RollFile {
            domain: DOMAINS[usize::from(photo.domain)],
            path: photo.path_of(&self.extensions, *piece),
            extension: self.extensions[usize::from(piece.extension)].to_ascii_lowercase(),
            is_edited: matches!(piece.variant, Variant::Edited | Variant::Mutation),
        };
        photo.files.iter().map(file).collect()
    }
}

impl Photo {
    /// Returns the path of one of its files.
    fn path_of(&self, extensions: &[String], piece: Piece) -> String {
        let place = &*self.place;
        let extension = &extensions[usize::from(piece.extension)];
        let dot = if extension.is_empty() { "" } else { "." };
        let stem = match piece.variant {
            Variant::AsItIs => format!("Media/{place}"),
            Variant::Mutation => format!("{MUTATIONS}/{place}/Adjustments/FullSizeRender"),
            Variant::Edited | Variant::Original => {
                let letter = if piece.variant == Variant::Edited {
                    "E"
                } else {
                    "O"
                };
                let (folder, number) = place.rsplit_once("/IMG_").unwrap_or((place, ""));
                format!("Media/{folder}/IMG_{letter}{number}")
            }
        };
        format!("{stem}{dot}{extension}")
    }

    /// Returns the file id of its largest thumbnail.
    pub(crate) fn thumbnail(&self, backup: &Backup) -> Result<Option<String>, Error> {
        let mut largest: Option<(u64, String)> = None;
        let prefix = format!("{THUMBNAILS}/{}.", self.place);
        backup.with_prefix(DOMAINS[0], &prefix, |item| {
            let size = item.size().unwrap_or(0);
            let is_picture = item.relative_path.to_ascii_lowercase().ends_with(".jpg");
            if is_picture && largest.as_ref().is_none_or(|(largest, _)| size >= *largest) {
                largest = Some((size, item.file_id));
            }
            true
        })?;
        Ok(largest.map(|(_, id)| id))
    }
}

impl Group {
    fn of(created: f64, zone: i32) -> Group {
        day(created, zone).map_or(Group::Undated, |day| Group::Month(day.year(), day.month()))
    }
}

/// A roll that is being read.
struct Reading {
    roll: Roll,
    /// The numbers of photos, by their keys in the library.
    known: HashMap<u64, usize>,
    extensions: HashMap<String, u16>,
    files: usize,
}

impl Reading {
    /// Adds a file. Returns false if there are too many.
    fn take(&mut self, domain: u8, path: &str) -> bool {
        if path.contains("/.") {
            return true;
        }
        let Some(part) = Part::of_path(path) else {
            return true;
        };
        // These describe how a photo was edited.
        if part.extension.eq_ignore_ascii_case("aae") {
            return true;
        }
        let Some(extension) = self.extension(part.extension) else {
            return false;
        };
        let variant = match part.tail {
            "" => Variant::AsItIs,
            " (original)" => Variant::Original,
            _ if path.starts_with(MUTATIONS) => Variant::Mutation,
            _ => Variant::Edited,
        };
        let key = self.roll.library.key(&part.photo);
        let next = self.roll.photos.len();
        let number = *self.known.entry(key).or_insert(next);
        if number == next {
            let photo = self.photo(domain, key, part.photo);
            self.roll.photos.push(photo);
        }
        self.roll.photos[number]
            .files
            .push(Piece { extension, variant });
        self.files += 1;
        self.files < FILES_MAX
    }

    fn photo(&self, domain: u8, key: u64, place: String) -> Photo {
        let asset = self.roll.library.find(key);
        let (created, zone) = asset.map_or((None, 0), |asset| (asset.created, asset.zone));
        Photo {
            place: place.into(),
            domain,
            created: created.map_or(0, |created| created as i64),
            zone,
            group: match asset.map(|asset| asset.album) {
                Some(Album::Deleted) => Group::Deleted,
                Some(Album::Hidden) => Group::Hidden,
                _ => created.map_or(Group::Undated, |created| Group::of(created, zone)),
            },
            favorite: asset.is_some_and(|asset| asset.favorite),
            row: asset.map_or(0, |asset| asset.row),
            files: Vec::with_capacity(2),
        }
    }

    fn extension(&mut self, extension: &str) -> Option<u16> {
        if let Some(number) = self.extensions.get(extension) {
            return Some(*number);
        }
        let number = self.roll.extensions.len();
        if number == EXTENSIONS_MAX {
            return None;
        }
        self.roll.extensions.push(extension.to_owned());
        self.extensions.insert(extension.to_owned(), number as u16);
        Some(number as u16)
    }
}
