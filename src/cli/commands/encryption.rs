//! `idev-backup encryption`

use clap::{Args, Subcommand};
use idev_backup::base::progress::Monitor;
use idev_backup::base::units::{counted, size};
use idev_backup::device::connector;
use idev_backup::encryption::{self, Done, Options, Report, StoreSpace, Wish};
use idev_backup::reader::password_check::{self, Proof};
use idev_backup::store::Store;

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::keyring;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::password::{NewPasswordArgs, PasswordArgs};
use crate::cli::args::reading::ReadArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::progress::{Show, Style, Watch};

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
struct Ask {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
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

#[derive(Args)]
struct Check {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
struct Remember {
    /// Its name, where there are several
    #[arg(default_value = keyring::NAME)]
    name: String,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Args)]
struct Forget {
    /// Its name
    #[arg(default_value = keyring::NAME)]
    name: String,
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
            Wanted::Remember(remember) => ended(remember.done()),
            Wanted::Forget(forget) => ended(forget.done()),
        }
    }
}

fn ended(done: Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => exit::DONE,
        Err(e) => output::failure(&e, None, false),
    }
}

impl Remember {
    fn done(&self) -> Result<(), Failure> {
        let password = self.password.chosen("Backup password")?;
        keyring::remember(&self.name, &password)?;
        output::line(&format!(
            "The system's credential store keeps this password as {:?}.",
            self.name
        ));
        let flag = match self.name.as_str() {
            keyring::NAME => "--password-keyring".to_owned(),
            name => format!("--password-keyring={name}"),
        };
        output::line(&format!(
            "  Whether it is the right one: `idev-backup encryption check latest {flag}`."
        ));
        Ok(())
    }
}

impl Forget {
    fn done(&self) -> Result<(), Failure> {
        output::line(&if keyring::forget(&self.name)? {
            format!(
                "The password {:?} is no longer in the credential store.",
                self.name
            )
        } else {
            format!("The credential store has no password {:?}.", self.name)
        });
        Ok(())
    }
}

fn question(which: &str, name: &str) -> String {
    format!("{which} password of {name}")
}

/// Asks for the passwords that a change needs; takes the name of the phone.
type AskFor<'a> = &'a dyn Fn(&str) -> Result<Wish, Failure>;

impl Ask {
    fn change(&self, wanted: Done, passwords: AskFor<'_>) -> u8 {
        self.run(Some((wanted, passwords)))
    }

    fn run(&self, change: Option<(Done, AskFor<'_>)>) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let done = self.done(change, &watch);
        watch.finish();
        let code = match done {
            Ok((report, udid)) => {
                tell(&report, &udid, self.output.style());
                match watch.problems() {
                    0 => exit::DONE,
                    _ => exit::DONE_WITH_PROBLEMS,
                }
            }
            Err(e) => output::failure(&e, None, self.output.json),
        };
        self.connector.trace.end(code)
    }

    fn done(
        &self,
        change: Option<(Done, AskFor<'_>)>,
        watch: &Watch<'_>,
    ) -> Result<(Report, String), Failure> {
        let connector = self.connector.connector()?;
        let phone = connector.phone(self.device.device.as_deref())?;
        // Include the backups in the store, if there is one.
        let store = Store::open(&self.store.path()?).ok();
        let options = Options::default();
        let now = encryption::status(&connector, &phone, store.as_ref(), &options, watch)?;
        let Some((wanted, passwords)) = change else {
            return Ok((now, phone.udid.to_string()));
        };
        let state = connector::Encryption {
            is_on: now.encrypted,
            is_required: now.required,
        };
        // Check this before prompting for a password.
        encryption::admit(wanted, state)?;
        // Warn first: after the change the user no longer has a choice.
        watch.note(room_for_a_full_one(now.store.as_ref()));
        let wish = passwords(&now.phone.name)?;
        let report =
            encryption::change(&connector, &phone, store.as_ref(), &wish, &options, watch)?;
        Ok((report, phone.udid.to_string()))
    }
}

fn tell(report: &Report, udid: &str, style: Style) {
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
fn room_for_a_full_one(room: Option<&StoreSpace>) -> String {
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

impl Check {
    fn run(&self) -> u8 {
        let proof = self.read.folder();
        let proof =
            proof.and_then(|folder| Ok(password_check::check(&folder, self.read.password())?));
        match proof {
            Ok(proof) => {
                tell_proof(&proof, self.output.style());
                if proof.closed_classes.is_empty() {
                    exit::DONE
                } else {
                    exit::DONE_WITH_PROBLEMS
                }
            }
            Err(e) => output::failure(&e, None, self.output.json),
        }
    }
}

fn tell_proof(proof: &Proof, style: Style) {
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
