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
use crate::cli::exit;
use crate::cli::render::output;

/// Switch the encryption of a phone's backups on or off, change its password, or try a password on
/// a backup.
///
/// Example:  idev-backup encryption on
///
/// Only encrypted backups hold saved passwords, Health, Home, Wi-Fi settings, Safari and call
/// history. The password is the phone's own: all computers' backups of it are encrypted with it,
/// and nobody can read them without it. It is never taken from the command line: it is asked for,
/// or comes from --password-file, --password-command, --password-keyring or IDEV_BACKUP_PASSWORD.
#[derive(Args)]
pub struct EncryptionCommand {
    #[command(subcommand)]
    wish: Wanted,
}

#[derive(Subcommand)]
enum Wanted {
    /// Show whether a phone encrypts its backups
    Status(Ask),
    /// Have a phone encrypt its backups; the password is asked for twice
    On(On),
    /// Have a phone encrypt its backups no more
    Off(Off),
    /// Change a phone's backup password
    Change(Change),
    /// Tell whether a password opens a backup, without any phone
    Check(Check),
    /// Keep a backup password in the system's credential store, for --password-keyring
    ///
    /// Example:  idev-backup encryption remember
    ///
    /// That is the Keychain of macOS, the Credential Manager of Windows, and what answers for the
    /// Secret Service on Linux (GNOME Keyring, KWallet, KeePassXC). Whoever is logged in as you can
    /// read it there. The program must be built with `--features keyring`.
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
                let old = off.password.present(&question("Present backup", name))?;
                Ok(Wish::Off { old })
            }),
            Wanted::Change(change) if change.password.is_stdin() && change.new.is_stdin() => {
                output::tell(
                    "error: both passwords cannot come from standard input: give one of them another way",
                );
                exit::USAGE
            }
            Wanted::Change(change) => change.ask.change(Done::Changed, &|name| {
                let old = (change.password).present(&question("Present backup", name))?;
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
