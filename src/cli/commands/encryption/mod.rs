//! `idev-backup encryption`

mod check;
mod keep;
mod phone;

use clap::{Args, Subcommand};
use idev_backup::encryption::{Done, Wish};

use self::check::Check;
use self::keep::{Forget, Remember};
use self::phone::Ask;
use crate::cli::args::password::{NewPasswordArgs, PasswordArgs};
use crate::cli::render::output;

/// Turn a phone's backup encryption on or off, change its password, or check a password
///
/// Example:  idev-backup encryption on
///
/// Only encrypted backups hold saved passwords, Health, Home, Wi-Fi settings, Safari and call
/// history. The phone keeps the password and encrypts all backups with it, on every computer. They
/// cannot be read without it. The command line never takes the password itself. The program asks
/// for it, or reads it from --password-file, --password-command, --password-keyring or
/// IDEV_BACKUP_PASSWORD.
#[derive(Args)]
pub struct EncryptionCommand {
    #[command(subcommand)]
    wish: Wanted,
}

#[derive(Subcommand)]
enum Wanted {
    /// Show whether a phone encrypts its backups
    Status(Ask),
    /// Turn backup encryption on; asks for the password twice
    On(On),
    /// Turn backup encryption off
    Off(Off),
    /// Change a phone's backup password
    Change(Change),
    /// Check if a password opens a backup; needs no phone
    Check(Check),
    /// Save a backup password in the system's credential store, for --password-keyring
    ///
    /// Example:  idev-backup encryption remember
    ///
    /// The credential store is the Keychain on macOS, the Credential Manager on Windows, and the
    /// Secret Service on Linux (GNOME Keyring, KWallet, KeePassXC). Anyone who is logged in as you
    /// can read the password there. The program must be built with `--features keyring`.
    Remember(Remember),
    /// Remove a backup password from the system's credential store
    Forget(Forget),
}

#[derive(Args)]
struct On {
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Args)]
struct Off {
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Args)]
struct Change {
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    new: NewPasswordArgs,
    #[command(flatten)]
    ask: Ask,
}

impl EncryptionCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match &self.wish {
            Wanted::Status(ask) => ask.run(None),
            Wanted::On(on) => on.ask.change(Done::On, &|name| {
                let new = on.password.chosen(&question("New backup", name))?;
                Ok(Wish::On { new })
            }),
            Wanted::Off(off) => off.ask.change(Done::Off, &|name| {
                let old = off.password.present(&question("Current backup", name))?;
                Ok(Wish::Off { old })
            }),
            Wanted::Change(change) if change.password.is_stdin() && change.new.is_stdin() => {
                output::refused(
                    "the two passwords cannot both come from standard input",
                    Some("give one of them by a file or a command"),
                )
            }
            Wanted::Change(change) => change.ask.change(Done::Changed, &|name| {
                let old = (change.password).present(&question("Current backup", name))?;
                let new = change.new.chosen(&question("New backup", name))?;
                Ok(Wish::Change { old, new })
            }),
            Wanted::Check(check) => check.run(),
            Wanted::Remember(remember) => remember.run(),
            Wanted::Forget(forget) => forget.run(),
        }
    }
}

fn question(which: &str, name: &str) -> String {
    format!("{which} password of {name}")
}
