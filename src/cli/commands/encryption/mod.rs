//! `idev-backup encryption`

mod check;
mod keep;
mod phone;

use std::cell::RefCell;

use clap::{Args, Subcommand};
use idev_backup::base::secret::Secret;
use idev_backup::encryption::{Done, Wish};

use self::check::Check;
use self::keep::{Forget, Remember};
use self::phone::{Ask, AskFor};
use crate::cli::args::password::{NewPasswordArgs, PasswordArgs};
use crate::cli::failure::Failure;
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
    /// The new password, which is asked for only once.
    #[arg(skip)]
    chosen: RefCell<Option<Secret>>,
    #[command(flatten)]
    ask: Ask,
}

impl EncryptionCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match &self.wish {
            Wanted::Status(ask) => ask.run(None),
            Wanted::On(on) => on.ask.change(Done::On, on),
            Wanted::Off(off) => off.ask.change(Done::Off, off),
            Wanted::Change(change) if change.password.is_stdin() && change.new.is_stdin() => {
                output::refused(
                    "the two passwords cannot both come from standard input",
                    Some("give one of them by a file or a command"),
                )
            }
            Wanted::Change(change) => change.ask.change(Done::Changed, change),
            Wanted::Check(check) => check.run(),
            Wanted::Remember(remember) => remember.run(),
            Wanted::Forget(forget) => forget.run(),
        }
    }
}

impl AskFor for On {
    fn wish(&self, phone: &str) -> Result<Wish, Failure> {
        let new = self.password.chosen(&question("New backup", phone))?;
        Ok(Wish::On { new })
    }

    fn may_ask_again(&self) -> bool {
        false
    }
}

impl AskFor for Off {
    fn wish(&self, phone: &str) -> Result<Wish, Failure> {
        let old = self.password.present(&question("Current backup", phone))?;
        Ok(Wish::Off { old })
    }

    fn may_ask_again(&self) -> bool {
        self.password.may_ask_again()
    }
}

impl AskFor for Change {
    fn wish(&self, phone: &str) -> Result<Wish, Failure> {
        let old = self.password.present(&question("Current backup", phone))?;
        let new = match self.chosen.borrow().clone() {
            Some(new) => new,
            None => self.new.chosen(&question("New backup", phone))?,
        };
        self.chosen.replace(Some(new.clone()));
        Ok(Wish::Change { old, new })
    }

    fn may_ask_again(&self) -> bool {
        self.password.may_ask_again()
    }
}

fn question(which: &str, name: &str) -> String {
    format!("{which} password of {name}")
}
