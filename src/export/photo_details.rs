//! Writes what the photo library knows about the exported photos: a folder for each album, and a
//! list of records.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::content::photos::{Photo, Photos, Special};
use crate::export::attachments::make_link;
use crate::export::destination::{NoPlace, Target};
use crate::export::file_names::parts;
use crate::export::outcome::{Listing, Tally};
use crate::export::photo_library::Library;
use crate::export::record_file::RecordFile;
use crate::export::{Error, record_file};
use crate::reader::backup::Backup;
use crate::store::disk;

/// The folder of the albums in the target.
const FOLDER: &str = "Albums";
/// The name of the list of records.
const INDEX: &str = "photos.jsonl";
/// The most bytes of the paths of exported files that are remembered. 100,000 photos need some 5
/// MB.
const PATHS_MAX: usize = 64 << 20;

/// The ways to export albums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Albums {
    /// Write no albums.
    #[default]
    None,
    /// Copy the photos of each album into a folder. Disks that can do so share the space.
    Folders,
    /// Make symbolic links to the exported photos.
    Links,
}

/// Counts of the photos in the phone's library, including those that are not exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Number of favorites.
    pub favorites: u64,
    /// Number of edited photos and videos.
    pub edited: u64,
    /// Number of Live Photos.
    pub live: u64,
    /// Number of bursts; each has several photos.
    pub bursts: u64,
    /// Number of albums that the owner made.
    pub albums: u64,
    /// Number of photos and videos in these albums. A photo in two albums counts once.
    pub in_albums: u64,
    /// Number of files that were written into the folders of albums, or linked there.
    pub album_files: u64,
}

/// Facts of the library about the photos, and the places of their files.
pub(super) struct Details {
    photos: Option<Photos>,
    how: Albums,
    index: bool,
    /// The keys of the photos in albums.
    in_albums: HashSet<u64>,
    /// The paths of files below the target, by the keys of their photos.
    paths: HashMap<u64, Vec<String>>,
    bytes: usize,
}

/// A line of the list.
#[derive(Serialize)]
struct Record<'a> {
    version: u32,
    #[serde(flatten)]
    photo: &'a Photo,
    albums: Vec<&'a [String]>,
    people: Vec<&'a str>,
    exported: &'a [String],
}

impl Details {
    /// Reads the library and counts its photos.
    pub(super) fn read(
        backup: &Backup,
        library: &Library,
        (how, index): (Albums, bool),
        counts: &mut Counts,
        damage: &mut Listing<String>,
    ) -> Details {
        let mut details = Details {
            photos: None,
            how,
            index,
            in_albums: HashSet::new(),
            paths: HashMap::new(),
            bytes: 0,
        };
        // The export of the files has reported a library that cannot be read.
        let Ok(photos) = Photos::open(backup) else {
            return details;
        };
        for e in photos.damage() {
            damage.add(e.to_string());
        }
        counts.albums = photos.albums().len() as u64;
        let mut bursts = HashSet::new();
        let read = photos.each(|photo| {
            counts.favorites += u64::from(photo.favorite);
            counts.edited += u64::from(photo.edited);
            counts.live += u64::from(photo.special == Some(Special::Live));
            counts.in_albums += u64::from(!photo.albums.is_empty());
            bursts.extend(photo.burst.as_deref().map(|burst| library.key(burst)));
            for why in &photo.doubts {
                damage.add(format!("{}: {why}", photo.path));
            }
            if !photo.albums.is_empty() {
                details.in_albums.insert(key(library, &photo));
            }
            true
        });
        if let Err(e) = read {
            damage.add(e.to_string());
        }
        counts.bursts = bursts.len() as u64;
        details.photos = Some(photos);
        details
    }

    /// Notes the path of an exported file below the target.
    pub(super) fn note(&mut self, key: u64, path: String) {
        let is_wanted = self.index || (self.how != Albums::None && self.in_albums.contains(&key));
        if is_wanted && self.bytes < PATHS_MAX {
            self.bytes += path.len();
            self.paths.entry(key).or_default().push(path);
        }
    }

    /// Writes the albums and the list.
    pub(super) fn write(
        &self,
        library: &Library,
        target: &mut Target,
        tally: &Tally<'_>,
        counts: &mut Counts,
        damage: &mut Listing<String>,
    ) -> Result<(), Error> {
        let Some(photos) = &self.photos else {
            return Ok(());
        };
        let mut list = None;
        if self.index {
            list = Some(RecordFile::create(target, &[INDEX.to_owned()])?);
        }
        let mut failed = None;
        let read = photos.each(|photo| {
            let exported = self.paths.get(&key(library, &photo));
            let exported = exported.map(Vec::as_slice).unwrap_or_default();
            let albums = photo
                .albums
                .iter()
                .filter_map(|at| photos.albums().get(*at));
            let people = photo.people.iter();
            let people = people.filter_map(|at| photos.people().get(*at));
            if self.how != Albums::None {
                for album in albums.clone() {
                    for path in exported {
                        match self.place(path, &album.names, target) {
                            Ok(()) => counts.album_files += 1,
                            Err(why) => damage.add(why),
                        }
                    }
                }
            }
            let record = Record {
                version: 1,
                photo: &photo,
                albums: albums.map(|album| album.names.as_slice()).collect(),
                people: people.map(String::as_str).collect(),
                exported,
            };
            if let Some(list) = &mut list {
                failed = list.json_line(&record).err();
            }
            failed.is_none() && !tally.is_over()
        });
        if let Err(e) = read {
            damage.add(e.to_string());
        }
        match (failed, list) {
            (Some(e), _) => Err(e),
            (None, Some(list)) if !tally.is_over() => list.finish(),
            (None, _) => Ok(()),
        }
    }

    /// Puts an exported file into the folder of an album. The error says why that is not possible.
    fn place(&self, path: &str, album: &[String], target: &mut Target) -> Result<(), String> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let folders = album.iter().map(|name| record_file::name_of(name));
        let folders: Vec<String> = folders.collect();
        let names = [FOLDER]
            .into_iter()
            .chain(folders.iter().map(String::as_str));
        let Some(mut place) = target.rules().below(names.chain([name])) else {
            return Ok(());
        };
        let folder = target.folder(&place.parts[..place.parts.len() - 1]);
        folder.map_err(|why| match why {
            NoPlace::This(why) => why,
            NoPlace::Any(e) => e.to_string(),
        })?;
        target.take(&mut place);
        let to = target.path_of(&place);
        let from = format!("{}{path}", "../".repeat(place.parts.len() - 1));
        let made = if self.how == Albums::Links {
            link(Path::new(&from), &to)
        } else {
            copy(&target.root().join(path), &to)
        };
        made.map_err(|e| format!("cannot write {}: {e}", place.path()))
    }
}

/// Returns the key of a photo in the library.
fn key(library: &Library, photo: &Photo) -> u64 {
    let path = photo.path.strip_prefix("Media/").unwrap_or(&photo.path);
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    library.key(&format!("{folder}/{}", parts(name).0))
}

/// Makes a link, unless it is there.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::read_link(to) {
        Ok(present) if present == from => return Ok(()),
        Ok(_) => fs::remove_file(to)?,
        Err(_) => {}
    }
    make_link(from, to)
}

/// Copies a file, unless it is there with the same size.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let bytes = fs::symlink_metadata(from)?.len();
    if let Ok(present) = fs::symlink_metadata(to) {
        if present.is_file() && present.len() == bytes {
            return Ok(());
        }
        disk::remove_if_there(to)?;
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    disk::remove_if_there(Path::new(&partial))?;
    reflink_copy::reflink_or_copy(from, &partial)?;
    fs::rename(&partial, to)
}
