//! Makes sure that the user wants the phone to be overwritten.

use std::io::IsTerminal;

use idev_backup::restore::{Considered, Options};

use crate::cli::args::answer::typed;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::restore::question;

/// Shows what the restore will overwrite and asks for confirmation. Returns an error if the user
/// does not agree.
pub fn agrees(
    seen: &Considered,
    options: &Options,
    is_cancelled: impl Fn() -> bool,
) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Command {
            what: format!(
                "a restore overwrites what is on {}, and the program cannot ask for confirmation \
                without a terminal",
                seen.target.words()
            ),
            hint: "run it in a terminal, or add --yes; `--dry-run` shows what would happen"
                .to_owned(),
        });
    }
    for line in question(seen, options) {
        output::tell(&line);
    }
    output::tell("Type `yes` to overwrite the phone:");
    let answer = typed(std::io::stdin(), is_cancelled);
    match answer.as_deref().map(str::trim) {
        Some("yes") => Ok(()),
        Some(_) => Err(Failure::Declined("Nothing was restored")),
        None => Err(Failure::Interrupted),
    }
}

/// Without a confirmation prompt, requires that the user named the target phone or that the
/// backup was made from it.
pub fn vouched(seen: &Considered, device_is_named: bool) -> Result<(), Failure> {
    let Considered { source, target, .. } = seen;
    if device_is_named || source.is_of(&target.udid) {
        return Ok(());
    }
    Err(Failure::Command {
        what: match &source.udid {
            Some(of) => format!(
                "{} ({}) is not the phone that the backup was made from ({of}), and --yes skips \
                the confirmation",
                target.words(),
                target.udid
            ),
            None => format!(
                "the backup does not say which phone it was made from, and --yes skips the \
                confirmation for {} ({})",
                target.words(),
                target.udid
            ),
        },
        hint: format!("to overwrite this phone, add --device {}", target.udid),
    })
}
