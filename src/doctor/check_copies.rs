//! Judges the copies in a repository, by the store's notes: their age, and who could delete them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::concern::Concern;
use super::facts::{StoreFacts, StoredPhone};
use super::line::Line;
use crate::base::time;

/// The repository that the user has set up.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its place, without a password.
    pub location: String,
    /// The kind of its storage.
    pub storage: Storage,
    /// Age from which a backup that is not there is worth a warning.
    pub limit: Duration,
}

/// The kind of a storage, which decides who can delete what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// A folder on a disk of this computer, or a mounted share.
    Folder(PathBuf),
    /// A REST server, which may accept new data only.
    Rest,
    /// A bucket, which may keep what is deleted.
    Bucket,
    /// A server on which the login of this computer can delete everything.
    Login,
}

/// Returns the findings about the copies of all phones. There are none if the store could not be
/// read or holds nothing.
pub(crate) fn judge(
    facts: &StoreFacts,
    repository: Option<&Repository>,
    now: SystemTime,
) -> Vec<Line> {
    const TOPIC: &str = "copies";
    if facts.silent || facts.trouble.is_some() || facts.phones.is_empty() {
        return Vec::new();
    }
    let is_empty = |phone: &StoredPhone| phone.copies.as_ref().is_ok_and(Vec::is_empty);
    let has_copies = !facts.phones.iter().all(is_empty);
    let Some(repository) = repository else {
        return if has_copies {
            Vec::new()
        } else {
            vec![
                Line::ok(TOPIC, "no copies of the backups elsewhere are set up")
                    .means("a fire or a theft would take phone, computer and backups")
                    .concern(Concern::NoRepository),
            ]
        };
    };
    let of_phones = facts.phones.iter();
    let mut lines: Vec<Line> = of_phones
        .filter_map(|phone| copy(phone, repository, now))
        .collect();
    lines.push(wipe(repository));
    lines
}

fn copy(phone: &StoredPhone, repository: &Repository, now: SystemTime) -> Option<Line> {
    const TOPIC: &str = "copies";
    let place = &repository.location;
    let copies = match &phone.copies {
        Ok(copies) => copies,
        Err(why) => {
            let says = format!("the notes about copies elsewhere cannot be read: {why}");
            return Some(Line::warning(TOPIC, says).of(&phone.udid));
        }
    };
    let copy = copies.iter().find(|copy| copy.location == *place)?;
    let name = phone
        .current
        .as_ref()
        .and_then(|backup| backup.name.clone());
    let name = name.unwrap_or_else(|| format!("phone {}", phone.udid));
    let there = match (&copy.date, &copy.waits_since) {
        (Some(_), None) => {
            return Some(
                Line::ok(TOPIC, format!("the newest backup of {name} is in {place}"))
                    .of(&phone.udid),
            );
        }
        (Some(date), Some(_)) => {
            format!(
                "{place} has the backup of {name} made {}, and no newer one",
                time::when(date)
            )
        }
        (None, _) => format!("no backup of {name} was pushed to {place} yet"),
    };
    let line = match &copy.failed {
        Some(failed) => Line::warning(TOPIC, there)
            .means(format!(
                "the push failed {}: {}",
                time::when(&failed.time),
                failed.why
            ))
            .concern(Concern::PushFailed),
        None if copy.is_overdue(now, repository.limit) => {
            Line::warning(TOPIC, there).concern(Concern::NotPushed)
        }
        None => Line::ok(TOPIC, there),
    };
    Some(line.of(&phone.udid))
}

/// Tells whether a program on this computer could delete the repository, as far as that can be
/// known without trying.
fn wipe(repository: &Repository) -> Line {
    const TOPIC: &str = "wipe";
    const MEANS: &str = "malware that deletes the backups here can delete the copies too";
    let place = &repository.location;
    match &repository.storage {
        Storage::Folder(folder) if !folder.exists() => Line::ok(
            TOPIC,
            format!("{place} is not connected, so nothing on this computer can delete it now"),
        ),
        Storage::Folder(_) => Line::warning(
            TOPIC,
            format!("programs on this computer can delete {place} while it is connected"),
        )
        .means(MEANS)
        .concern(Concern::CopiesCanBeWiped),
        Storage::Login => Line::warning(
            TOPIC,
            format!("this computer has a login that can delete {place}"),
        )
        .means(MEANS)
        .concern(Concern::CopiesCanBeWiped),
        Storage::Rest => Line::ok(
            TOPIC,
            format!("if the server of {place} is not append-only, this computer can delete it"),
        )
        .means("only an attempt to delete could tell, so the server's settings have to be checked")
        .concern(Concern::CopiesMayBeWiped),
        Storage::Bucket => Line::ok(
            TOPIC,
            format!("if {place} has no object lock or versioning, this computer can delete it"),
        )
        .means("only an attempt to delete could tell, so the bucket's settings have to be checked")
        .concern(Concern::CopiesMayBeWiped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn storage_decides_who_can_wipe() {
        let here = tempfile::tempdir().unwrap();
        let away = here.path().join("away");
        for (storage, level) in [
            (Storage::Folder(here.path().to_path_buf()), Level::Warning),
            (Storage::Folder(away), Level::Ok),
            (Storage::Login, Level::Warning),
            (Storage::Rest, Level::Ok),
            (Storage::Bucket, Level::Ok),
        ] {
            let repository = Repository {
                location: "place".to_owned(),
                storage,
                limit: Duration::ZERO,
            };
            let line = wipe(&repository);
            assert_eq!(line.level, level, "{line:?}");
        }
    }
}
