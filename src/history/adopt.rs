//! Takes a backup from elsewhere into a store: one that another program made (`adopt`), or a
//! snapshot of a store on another disk (`copy`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde_json::json;

use crate::backup_format::plists::{self, Info, ManifestPlist, Status};
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::time::{self, stamp_of};
use crate::base::udid::Udid;
use crate::base::{plain_file, product_names};
use crate::history::change::Chosen;
use crate::history::{Error, Problem, tell_set_aside};
use crate::store::import::{Copied, Expected, Import, Placing};
use crate::store::notes::{Note, Verified};
use crate::store::walk::Walk;
use crate::store::{self, Snapshot, Store, snapshot};
use crate::verify::{self, Depth, Options, Outcome};

/// Result of taking a backup into a store.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    /// UDID of the phone.
    pub udid: String,
    /// Folder from which the backup was taken.
    pub from: String,
    /// Folder of the backup in the store.
    pub path: String,
    /// The backup is now the phone's current one in that store.
    pub current: bool,
    /// Totals of the copied files, by how they were copied.
    #[serde(flatten)]
    pub copied: Copied,
    /// Amount of damage, counted in findings, if the backup was adopted despite it.
    pub damage: u64,
}

/// Outcome of a successful call.
#[derive(Debug)]
pub enum Came {
    /// The backup is now in the store.
    Taken(Box<Taken>),
    /// The backup was in the store before.
    There {
        /// UDID of the phone.
        udid: Udid,
        /// Explanation of how that is known, in words.
        why: String,
    },
}

/// Takes a backup of Finder, iTunes, iMazing or any other program into a store. The source stays as
/// it is. A damaged backup is refused, unless `force` is true.
pub fn adopt(
    store: &Store,
    from: &Path,
    force: bool,
    monitor: &dyn Monitor,
) -> Result<Came, Error> {
    let from = &std::path::absolute(from).map_err(|e| store::Error::io("find", from, e))?;
    monitor.phase(Phase::Checking);
    let quick = verify::look_through(from, &Options::default(), monitor)?;
    if quick.outcome == Outcome::Damaged && !force {
        return Err(Error::SourceDamaged {
            path: from.clone(),
            report: Box::new(quick),
        });
    }
    let udid = udid_of(from)?;
    let wanted = Wanted {
        udid,
        from,
        origin: None,
        sums: None,
        damage: quick.damage,
        date: date_of(from),
        stamp: None,
        report: None,
        note: Note {
            // The retention rules were not made for this backup, so they must not drop it.
            pinned: true,
            damaged: (quick.damage > 0).then(|| time::rfc3339(SystemTime::now())),
            ..Note::default()
        },
    };
    let came = take(store, wanted, monitor)?;
    if let Came::Taken(taken) = &came
        && taken.damage > 0
    {
        let (damage, path) = (taken.damage, taken.path.clone());
        monitor.problem(Problem::AdoptedDamaged { damage, path }.into());
    }
    Ok(came)
}

/// Copies a snapshot into another store. Resumes a copy that was interrupted.
pub fn copy(chosen: &Chosen, target: &Store, monitor: &dyn Monitor) -> Result<Came, Error> {
    let source = &chosen.store;
    // A folder of other programs is not written to, so it is not locked. If this user cannot write
    // to the source, it cannot be locked either, and the copy runs without a lock.
    let _lock = match source
        .is_marked()
        .then(|| source.lock(chosen.snapshot.udid()))
    {
        None | Some(Err(store::Error::Io { .. } | store::Error::AsRoot { .. })) => None,
        Some(other) => Some(other?),
    };
    // A backup that was sealed since may have taken the snapshot's place, so look up where it is
    // now.
    let from = &chosen.where_it_is()?;
    let sums = expected_of(from)?;
    let mut note = source.notes(from.udid())?.of(from);
    let is_proven = sums.as_ref().is_some_and(|sums| sums.is_proven);
    if is_proven && note.damaged.is_none() {
        note.verified = Some(Verified {
            time: time::rfc3339(SystemTime::now()),
            how: "bytes".to_owned(),
        });
    }
    let wanted = Wanted {
        udid: from.udid().clone(),
        from: from.path(),
        origin: None,
        sums,
        damage: 0,
        date: date_of(from.path()),
        stamp: from.beside().and_then(|_| from.stamp()),
        report: from.report(),
        note,
    };
    take(target, wanted, monitor)
}

/// Takes a backup that was fetched into a folder of the store's own, and moves its files into the
/// store. `origin` says where it came from.
pub(crate) fn take_over(
    store: &Store,
    from: &Snapshot,
    origin: &str,
    monitor: &dyn Monitor,
) -> Result<Came, Error> {
    let sums = expected_of(from)?;
    let is_proven = sums.as_ref().is_some_and(|sums| sums.is_proven);
    let wanted = Wanted {
        udid: from.udid().clone(),
        from: from.path(),
        origin: Some(origin),
        sums,
        damage: 0,
        date: date_of(from.path()),
        stamp: from.beside().and_then(|_| from.stamp()),
        report: from.report(),
        note: Note {
            // The retention rules must not drop an older backup that was just fetched.
            pinned: true,
            verified: is_proven.then(|| Verified {
                time: time::rfc3339(SystemTime::now()),
                how: "bytes".to_owned(),
            }),
            ..Note::default()
        },
    };
    take(store, wanted, monitor)
}

/// Returns the list of hashes that a copy of a snapshot must match.
fn expected_of(from: &Snapshot) -> Result<Option<Expected>, Error> {
    Ok(match from.proven()? {
        Some(proven) => Some(Expected {
            sums: proven.sums,
            sources: proven.sources,
            is_proven: true,
        }),
        None => from.sums().map(|sums| Expected {
            sums,
            sources: None,
            is_proven: false,
        }),
    })
}

struct Wanted<'a> {
    udid: Udid,
    from: &'a Path,
    /// Where it was fetched from, if the folder is one of ours, whose files are moved.
    origin: Option<&'a str>,
    /// Hashes that the copy must match.
    sums: Option<Expected>,
    /// Amount of damage that is known and accepted, counted in findings.
    damage: u64,
    date: SystemTime,
    stamp: Option<String>,
    /// Report of the run that made the backup.
    report: Option<PathBuf>,
    note: Note,
}

impl Wanted<'_> {
    /// Returns the place from which the backup comes, for people.
    fn source(&self) -> String {
        match self.origin {
            Some(origin) => origin.to_owned(),
            None => self.from.display().to_string(),
        }
    }
}

fn take(store: &Store, wanted: Wanted, monitor: &dyn Monitor) -> Result<Came, Error> {
    for name in ["Status.plist", "Info.plist"] {
        if let Err(why) = plists::read(wanted.from, name) {
            let path = wanted.from.join(name);
            return Err(Error::Metadata { path, why });
        }
    }
    store.make(monitor)?;
    store.check_rights(&wanted.udid)?;
    let lock = store.lock(&wanted.udid)?;
    tell_set_aside(store.recover(&wanted.udid, &lock)?, monitor);
    let there = store.snapshots_of(&wanted.udid)?;
    let same = |s: &&Snapshot| {
        store::disk::same_bytes(
            &s.path().join("Status.plist"),
            &wanted.from.join("Status.plist"),
        )
        .unwrap_or(false)
    };
    if let Some(same) = there.iter().find(same) {
        // A copy that is known to be damaged does not count as a second copy, and the user must
        // know that.
        if store.notes(&wanted.udid)?.of(same).damaged.is_some() {
            return Err(Error::PresentDamaged(same.path().to_path_buf()));
        }
        let why = format!(
            "{} is already in this store, as {}",
            wanted.source(),
            same.path().display()
        );
        return Ok(Came::There {
            udid: wanted.udid,
            why,
        });
    }
    // The backup becomes the current one if it is newer than the present one, or the phone's first.
    let current = store.current(&wanted.udid)?;
    let as_current = current.is_none_or(|current| date_of(current.path()) < wanted.date);

    let mut import = Import::begin(store, &wanted.udid, lock, wanted.from, wanted.sums.as_ref())?;
    if wanted.origin.is_some() {
        import = import.moving();
    }
    let copied = copy_files(&mut import, &wanted, monitor)?;
    if wanted.sums.as_ref().is_some_and(|sums| !sums.is_proven) {
        monitor.problem(Problem::Unproven.into());
        for doubt in import.doubts() {
            monitor.problem(Problem::UnprovenFile(doubt.clone()).into());
        }
    }
    monitor.phase(Phase::Checking);
    let how = Options {
        sums: Some(import.sums()),
        depth: Depth::Bytes,
        complaints: wanted
            .report
            .as_deref()
            .map(verify::complaints)
            .unwrap_or_default(),
        ..Options::default()
    };
    let checked = verify::look_through(&import.backup(), &how, monitor)?;
    if checked.damage > wanted.damage {
        return Err(Error::CopyDamaged(Box::new(checked)));
    }
    let report = match &wanted.report {
        Some(path) => plain_file::read(path).map_err(|e| store::Error::io("read", path, e))?,
        None => describe(&wanted, &checked, &copied),
    };
    monitor.phase(Phase::Sealing);
    let moment = |time| jiff::Timestamp::try_from(time).unwrap_or_default();
    let placing = Placing {
        stamp: wanted
            .stamp
            .clone()
            .unwrap_or_else(|| stamp_of(wanted.date)),
        date: moment(wanted.date),
        now: moment(SystemTime::now()),
        as_current,
    };
    let mut note = wanted.note.clone();
    // No rule drops the current backup, and later it is one like the others.
    note.pinned &= !(as_current && wanted.origin.is_some());
    let (path, untidy) = import.seal(&placing, &report, &note)?;
    if let Some(e) = untidy {
        monitor.problem(Problem::NotTidied(e).into());
    }
    Ok(Came::Taken(Box::new(Taken {
        udid: wanted.udid.to_string(),
        from: wanted.source(),
        path: path.display().to_string(),
        current: as_current,
        copied,
        damage: checked.damage,
    })))
}

fn copy_files(
    import: &mut Import,
    wanted: &Wanted,
    monitor: &dyn Monitor,
) -> Result<Copied, store::Error> {
    const BETWEEN_NEWS: Duration = Duration::from_millis(100);
    monitor.phase(Phase::Copying);
    let (mut files_total, mut bytes_total) = (0, 0);
    // Entries that cannot be read are skipped here: the copy reports them when it reaches them.
    for found in Walk::new(wanted.from)?.flatten() {
        files_total += 1;
        bytes_total += found.meta.len();
    }
    let (mut files, mut bytes, mut told) = (0, 0, Instant::now());
    import.copy(&mut |more| {
        files += 1;
        bytes += more;
        if told.elapsed() >= BETWEEN_NEWS {
            told = Instant::now();
            monitor.event(Event::Progress {
                percent: Some(bytes as f64 / f64::max(bytes_total as f64, 1.0) * 100.0),
                bytes,
                files,
                files_total: Some(files_total),
                bytes_total: Some(bytes_total),
            });
        }
    })
}

/// Returns the UDID of the phone that a backup belongs to, from Info.plist if possible: the folder
/// may have any name.
fn udid_of(folder: &Path) -> Result<Udid, Error> {
    let unreadable = |why| Error::Metadata {
        path: folder.join("Info.plist"),
        why,
    };
    let info = plists::read(folder, "Info.plist").map_err(unreadable)?;
    let named = ["Target Identifier", "Unique Identifier"]
        .iter()
        .filter_map(|key| info.get(key)?.as_string())
        // iTunes writes the older form in upper case, and its folders in lower case.
        .flat_map(|text| match text.len() {
            40 => [text.to_lowercase(), text.to_owned()],
            _ => [text.to_owned(), text.to_uppercase()],
        })
        .find_map(|text| text.parse().ok());
    let by_folder = || snapshot::phone_of(folder);
    named
        .or_else(by_folder)
        .ok_or_else(|| Error::UnknownPhone(folder.to_path_buf()))
}

/// Returns the time at which a backup was made, from the first source that has it.
fn date_of(folder: &Path) -> SystemTime {
    let status = Status::read(folder).ok().and_then(|s| s.date);
    let manifest = || ManifestPlist::read(folder).ok().and_then(|m| m.date);
    let info = || Info::read(folder).ok().and_then(|i| i.last_backup);
    let written = || std::fs::metadata(folder).and_then(|m| m.modified()).ok();
    status
        .or_else(manifest)
        .or_else(info)
        .or_else(written)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Returns a report for a backup that had none: its facts, and where it came from.
fn describe(wanted: &Wanted, checked: &verify::Report, copied: &Copied) -> Vec<u8> {
    let info = Info::read(wanted.from).unwrap_or_default();
    let problems = match checked.damage {
        0 => Vec::new(),
        _ => vec![format!(
            "adopted although it was damaged: {}",
            checked.first_damage()
        )],
    };
    let report = json!({
        "version": 1,
        "udid": wanted.udid.to_string(),
        "phone": {
            "name": info.device_name,
            "product_type": info.product_type,
            "model": info.product_type.as_deref().map(product_names::name),
            "ios": info.product_version,
        },
        "made_by": concat!("idev-backup ", env!("CARGO_PKG_VERSION")),
        "taken_from": wanted.source(),
        "finished": time::rfc3339(SystemTime::now()),
        "encrypted": checked.encrypted,
        "files": checked.files,
        "bytes": checked.bytes,
        "left_out": copied.left_out,
        "problems": problems,
        "complaints": [],
    });
    serde_json::to_vec_pretty(&report).unwrap_or_default()
}
