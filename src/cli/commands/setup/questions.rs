//! The questions of `setup`. Each has a default.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use idev_backup::automation::schedule;
use idev_backup::base::units::size;
use idev_backup::store::{self, Absence, Store, disk};

use super::answers::{Answers, Notify, When};
use super::copies::{self, Copies};
use crate::cli::args::ask::ask;
use crate::cli::args::folders;
use crate::cli::args::store::{path, whole};
use crate::cli::failure::Failure;
use crate::cli::render::output::tell;

/// The answers that the command line gives.
#[derive(Default)]
pub struct Given {
    pub store: Option<PathBuf>,
    pub keep_last: Option<u32>,
    pub when: Option<When>,
    pub notify: Option<Notify>,
}

/// Asks what is not given, or takes the default with `is_silent`. `restic` is the program that
/// copies elsewhere need.
pub fn answers(
    given: Given,
    default: Answers,
    is_silent: bool,
    restic: &OsString,
) -> Result<Answers, Failure> {
    let given_store = given.store.as_deref().map(usable_path).transpose()?;
    if is_silent {
        return Ok(Answers {
            store: match given_store {
                Some(store) => store,
                None => usable_path(&default.store)?,
            },
            keep_last: given.keep_last.unwrap_or(default.keep_last),
            when: given.when.unwrap_or(default.when),
            notify: given.notify.unwrap_or(default.notify),
            copies: default.copies,
        });
    }
    tell("An empty answer takes the value in brackets. Ctrl-C ends setup, and nothing is changed.");
    Ok(Answers {
        store: match given_store {
            Some(store) => store,
            None => store_folder(&default.store)?,
        },
        keep_last: match given.keep_last {
            Some(number) => number,
            None => keep_last(default.keep_last)?,
        },
        when: match given.when {
            Some(when) => when,
            None => when(default.when)?,
        },
        notify: match given.notify {
            Some(notify) => notify,
            None => notify(&default.notify)?,
        },
        copies: if copies::has_restic(restic) {
            elsewhere(default.copies)?
        } else {
            default.copies
        },
    })
}

/// Asks until the answer is valid.
fn until<T>(
    question: &str,
    default: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    loop {
        let typed = ask(&format!("{question} [{default}]:"))?;
        let text = if typed.is_empty() { default } else { &typed };
        match parse(text) {
            Ok(value) => return Ok(value),
            Err(why) => tell(&format!("  {why}.")),
        }
    }
}

fn store_folder(default: &Path) -> Result<PathBuf, Failure> {
    tell("");
    tell(
        "Where should backups be kept? A backup needs as much space as the phone uses. The disk \
        must be connected whenever a backup is made.",
    );
    let parse = |text: &str| usable(&path(text.into())?);
    let default = default.display().to_string();
    let mut store = until("Folder", &default, parse)?;
    if holds_other_files(&store) {
        tell(&format!(
            "  {} holds other files. A folder of their own keeps the backups apart.",
            store.display()
        ));
        let own = store.join("idev-backup").display().to_string();
        store = until("Folder", &own, parse)?;
    }
    if let Some(free) = disk::free_space_for(&store) {
        tell(&format!("  {} are free there.", size(free)));
    }
    Ok(store)
}

fn keep_last(default: u32) -> Result<u32, Failure> {
    const MOST: u32 = 100_000;
    tell("");
    tell(
        "How many older backups should be kept beside the newest? Files that did not change take \
        no more space.",
    );
    until("Number", &default.to_string(), |text| {
        let number = text.parse().ok().filter(|number| *number <= MOST);
        number.ok_or_else(|| format!("{text:?} is not a whole number from 0 to {MOST}"))
    })
}

fn when(default: When) -> Result<When, Failure> {
    tell("");
    tell(
        "When should backups be made? The phone asks for its passcode each time: choose a time \
        when you are near it.",
    );
    tell("  21:30       every day at this time");
    tell("  Sun 21:30   every week");
    tell("  every 6h    several times a day");
    tell("  plugged     when a phone is plugged in and its last backup is older than 20 hours");
    tell("  never       only when you run `idev-backup create`");
    until("When", &default.to_string(), When::parse)
}

fn notify(default: &Notify) -> Result<Notify, Failure> {
    tell("");
    tell("How should the program tell you that a backup failed, or that none was made for 7 days?");
    tell("  desktop     desktop notifications, also when a phone waits for its passcode");
    tell("  none        only in the output of commands");
    tell("  a command   the program runs it, with a JSON object on its standard input");
    until("Notify", &default.to_string(), Notify::parse)
}

fn elsewhere(present: Copies) -> Result<Copies, Failure> {
    tell("");
    tell(
        "Should copies of the backups be kept elsewhere? They are encrypted, and pushed after each \
        backup. A backup beside the computer burns with the house.",
    );
    tell("  /media/disk/phones        a folder on another disk or a NAS");
    tell("  sftp:me@nas:/srv/phones   a computer with SSH");
    tell("  rest:, s3:, b2:, rclone:  another storage, as restic names it");
    tell("  no                        no copies");
    let default = present.place.as_deref().unwrap_or("no");
    Ok(Copies {
        place: until("Copies", default, copies::place)?,
        ..present
    })
}

/// Returns the absolute path of a folder that can be a store.
fn usable_path(path: &Path) -> Result<PathBuf, Failure> {
    usable(path).map_err(|what| Failure::Command {
        what,
        hint: "connect its disk, or name another folder with --store".to_owned(),
    })
}

fn usable(path: &Path) -> Result<PathBuf, String> {
    let path = whole(path).map_err(|e| e.to_string())?;
    let text = path.to_str().ok_or("the path is not Unicode text")?;
    schedule::check_path(text)?;
    match Store::open_made(&path) {
        Ok(_) => Ok(path),
        // A new store there would hide the old one, or be hidden by it.
        Err(store::Error::NoStore { cause, .. }) if is_known(&path) => Err(format!(
            "the store {text} was used before, and is not there now: {cause}"
        )),
        Err(store::Error::NoStore { cause, .. }) => match cause {
            Absence::NotMounted(_) | Absence::DeadLink { .. } => Err(cause.to_string()),
            _ => match Store::planned(&path) {
                Ok(_) => Ok(path),
                Err(e) => Err(e.to_string()),
            },
        },
        Err(e) => Err(e.to_string()),
    }
}

fn is_known(path: &Path) -> bool {
    folders::known_stores()
        .iter()
        .any(|known| known.path == path)
}

/// Returns true if a folder is not a store, and has files.
fn holds_other_files(folder: &Path) -> bool {
    let has_entry = || std::fs::read_dir(folder).is_ok_and(|mut all| all.next().is_some());
    Store::open(folder).is_ok_and(|store| !store.is_marked()) && has_entry()
}
