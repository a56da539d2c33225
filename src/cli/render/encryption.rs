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
        (Some(Done::Off), _) => format!("{name} does not encrypt its backups any more."),
        (Some(Done::Changed), _) => format!("{name} has another backup password now."),
        (None, Some(true)) => format!("{name} encrypts its backups."),
        (None, Some(false)) => format!("{name} does not encrypt its backups."),
        (None, None) => format!("{name} does not tell whether it encrypts its backups."),
    });
    if report.required {
        lines.push("  Its administrator demands that it does.".to_owned());
    }
    match report.done {
        Some(Done::On | Done::Changed) => {
            lines.push(
                "  That is the phone's word. The next backup proves it: run `idev-backup create --ask-password`."
                    .to_owned(),
            );
            lines.push(
                "  Keep the password: without it nobody can read these backups, nor can we."
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

const NOT_IN_IT: &str = "  Backups that are not encrypted hold no saved passwords that another phone could use, no Health and Home data, \
    no Wi-Fi settings, no Safari and no call history.";

/// Warns if the store lacks space: after any change of encryption, the phone sends everything
/// again.
pub fn room_for_a_full_one(room: Option<&StoreSpace>) -> String {
    let free = |room: &StoreSpace| size(room.free_bytes);
    match room.map(|room| (room, room.bytes)) {
        Some((room, Some(bytes))) if room.is_short() => format!(
            "Warning: after that the next backup will be a full one, of some {} as the present one, and {} has {} free.",
            size(bytes),
            room.path,
            free(room)
        ),
        Some((room, Some(bytes))) => format!(
            "After that the next backup will be a full one, of some {} as the present one; {} are free.",
            size(bytes),
            free(room)
        ),
        Some((room, None)) => format!(
            "After that the next backup will be a full one. How much room it needs is not known, since {} has none of this phone; {} \
             are free.",
            room.path,
            free(room)
        ),
        None => "After that the next backup will be a full one. How much room it needs is not known, since there is no store yet."
            .to_owned(),
    }
}

fn words_of_room(done: Option<Done>, room: &StoreSpace) -> Vec<String> {
    let mut lines = Vec::new();
    if done.is_some() {
        if room.encrypted_backups > 0 {
            lines.push(format!(
                "  Backups keep the password that they were made with: {} in {}.",
                counted(room.encrypted_backups, "encrypted one"),
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
            "problem: the keys of protection classes {} do not open, so that files of these classes cannot be read",
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
                "Warning: after that the next backup will be a full one, of some 9.0 GB as the present one, and /backups has 2.0 GB free.",
            ),
            (
                Some(&ample),
                "After that the next backup will be a full one, of some 9.0 GB as the present one; 40.0 GB are free.",
            ),
            (
                Some(&first),
                "How much room it needs is not known, since /backups has none of this phone; 40.0 GB are free.",
            ),
            (None, "is not known, since there is no store yet."),
        ] {
            let said = room_for_a_full_one(room);
            assert!(said.contains(says), "{said}");
        }
    }
}
