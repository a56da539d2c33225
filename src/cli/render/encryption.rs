//! Reports about the encryption of a phone's backups.

use idev_backup::base::units::{counted, size};
use idev_backup::encryption::{Done, Report, StoreSpace};
use idev_backup::reader::password_check::Proof;

use crate::cli::render::output::{self, Style};

/// Reports the state of a phone, or how it was changed.
pub fn tell(report: &Report, udid: &str, style: Style) {
    match style {
        Style::Quiet => {}
        Style::Json => output::object("encryption", Some(udid), report),
        Style::People => words(report).iter().for_each(|line| output::line(line)),
    }
}

fn words(report: &Report) -> Vec<String> {
    let name = output::one_line(&report.phone.name);
    let mut lines = Vec::new();
    lines.push(match (report.done, report.encrypted) {
        (Some(Done::On), _) => format!("{name} encrypts its backups from now on."),
        (Some(Done::Off), _) => format!("{name} no longer encrypts its backups."),
        (Some(Done::Changed), _) => format!("{name} has a new backup password."),
        (None, Some(true)) => format!("{name} encrypts its backups."),
        (None, Some(false)) => format!("{name} does not encrypt its backups."),
        (None, None) => format!("{name} does not report whether it encrypts its backups."),
    });
    if report.required {
        lines.push("  Its administrator requires encryption.".to_owned());
    }
    match report.done {
        Some(Done::On | Done::Changed) => {
            lines.push(
                "  The phone confirms this. To prove it with the next backup, run `idev-backup \
                create --ask-password`."
                    .to_owned(),
            );
            lines.push(
                "  Keep the password safe: without it, no program can read these backups, not \
                even this one."
                    .to_owned(),
            );
        }
        Some(Done::Off) => lines.push(NOT_IN_IT.to_owned()),
        None if report.encrypted == Some(false) => lines.push(NOT_IN_IT.to_owned()),
        None => {}
    }
    if let Some(room) = &report.store {
        lines.extend(words_of_room(report.done, room));
    }
    lines
}

const NOT_IN_IT: &str = "  Unencrypted backups lack saved passwords that another phone could use, \
    Health and Home data, Wi-Fi settings, Safari data and call history.";

/// Warns if the store lacks space: after any change of encryption, the phone sends everything
/// again.
pub fn room_for_a_full_one(room: Option<&StoreSpace>) -> String {
    let free = |room: &StoreSpace| size(room.free_bytes);
    match room.map(|room| (room, room.bytes)) {
        Some((room, Some(bytes))) if room.is_short() => format!(
            "Warning: the next backup will then be a full one of about {}, like the present one, \
            and {} has {} free.",
            size(bytes),
            room.path,
            free(room)
        ),
        Some((room, Some(bytes))) => format!(
            "The next backup will then be a full one of about {}, like the present one; {} are \
            free.",
            size(bytes),
            free(room)
        ),
        Some((room, None)) => format!(
            "The next backup will then be a full one. Its size is not known, because {} has no \
            backup of this phone; {} are free.",
            room.path,
            free(room)
        ),
        None => "The next backup will then be a full one. Its size is not known, because the \
            store does not exist yet."
            .to_owned(),
    }
}

fn words_of_room(done: Option<Done>, room: &StoreSpace) -> Vec<String> {
    let mut lines = Vec::new();
    if done.is_some() {
        if room.encrypted_backups > 0 {
            lines.push(format!(
                "  Existing backups keep the password they were made with: {} in {}.",
                counted(room.encrypted_backups, "encrypted backup"),
                room.path
            ));
        }
    } else if let Some(encrypted) = room.encrypted {
        let is = if encrypted { "is" } else { "is not" };
        lines.push(format!("  Its backup in {} {is} encrypted.", room.path));
    }
    lines
}

/// Reports whether a password opens a backup.
pub fn tell_proof(proof: &Proof, style: Style) {
    match style {
        Style::Json => output::object("checked_password", None, proof),
        Style::Quiet => {}
        Style::People if !proof.encrypted => {
            output::line(&format!(
                "{} is not encrypted: no password is needed.",
                proof.path
            ));
        }
        Style::People => output::line(&format!("The password opens {}.", proof.path)),
    }
    if !proof.closed_classes.is_empty() {
        let classes: Vec<String> = proof.closed_classes.iter().map(u32::to_string).collect();
        output::tell(&format!(
            "problem: the keys of protection classes {} cannot be opened, so files of these \
            classes cannot be read",
            classes.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_backup_space_is_reported() {
        let room = |bytes, free_bytes| StoreSpace {
            path: "/backups".to_owned(),
            encrypted: None,
            bytes,
            encrypted_backups: 0,
            free_bytes,
        };
        let (short, ample, first) = (
            room(Some(9_000_000_000), 2_000_000_000),
            room(Some(9_000_000_000), 40_000_000_000),
            room(None, 40_000_000_000),
        );
        for (room, says) in [
            (
                Some(&short),
                "Warning: the next backup will then be a full one of about 9.0 GB, like the \
                present one, and /backups has 2.0 GB free.",
            ),
            (
                Some(&ample),
                "The next backup will then be a full one of about 9.0 GB, like the present one; \
                40.0 GB are free.",
            ),
            (
                Some(&first),
                "Its size is not known, because /backups has no backup of this phone; 40.0 GB are \
                free.",
            ),
            (None, "is not known, because the store does not exist yet."),
        ] {
            let said = room_for_a_full_one(room);
            assert!(said.contains(says), "{said}");
        }
    }
}
