//! `idev-backup create`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use idev_backup::automation::policy::{self, Plan};
use idev_backup::backup::create::Options;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::secret::Secret;
use idev_backup::base::units::parse_span;
use idev_backup::device::connector::Connector;
use idev_backup::history::list;
use idev_backup::reader::passwords::Known;
use idev_backup::reader::{self, password_check};
use idev_backup::store::Store;
use idev_backup::transport::Attached;

use super::back_up::back_up;
use super::push_after::Pusher;
use crate::cli::args::backup::BackupArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::folders;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::password::PasswordArgs;
use crate::cli::args::push_after::PushAfterArgs;
use crate::cli::args::store::WritableStoreArgs;
use crate::cli::args::unattended::UnattendedArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::failure::Failure;
use crate::cli::render::create::skipped;
use crate::cli::render::output;
use crate::cli::render::progress::{Show, Watch};
use crate::cli::{exit, hints};

/// Back up a phone: everything the first time, then only what changed
///
/// Example:  idev-backup create --store /srv/backups
///
/// The previous backup stays untouched until the new one is complete and checked. Then it becomes a
/// snapshot.
#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    device: DeviceArgs,
    /// Back up all connected phones at once
    #[arg(long)]
    pub(crate) all: bool,
    /// Ask the phone for a full backup, ignoring any existing one
    #[arg(long, env = "IDEV_BACKUP_CREATE_FULL")]
    full: bool,
    #[command(flatten)]
    pub(crate) backup: BackupArgs,
    /// Ask for the backup password first, and check that it opens the new backup
    #[arg(long)]
    ask_password: bool,
    /// Start only if the last backup is older than this: 20h, 3d, 1h30m
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CONDITIONS_IF_OLDER_THAN", value_parser = parse_span, help_heading = "Unattended")]
    if_older_than: Option<Duration>,
    /// End with exit code 0 if the phone is not connected
    #[arg(
        long,
        env = "IDEV_BACKUP_CONDITIONS_IF_PRESENT",
        help_heading = "Unattended"
    )]
    if_present: bool,
    /// Wait this long for the phone to be connected
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_CONDITIONS_WAIT_FOR_DEVICE", default_value = "0s", value_parser = parse_span, help_heading = "Unattended")]
    wait_for_device: Duration,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    pub(crate) store: WritableStoreArgs,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    push: PushAfterArgs,
    // Keep this last: options that follow would appear under its headings in the help text.
    #[command(flatten)]
    unattended: UnattendedArgs,
}

impl Create {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let mut plan = self.unattended.plan(self.if_older_than);
        plan.yields |= self.if_present || !self.wait_for_device.is_zero();
        let style = self.output.style();
        let password = self.password();
        // Install the handler only now: during a password prompt, Ctrl-C must end the program at
        // once.
        let token = CancelToken::new(interrupt());
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let prepared = password.and_then(|password| {
            let found = self.phones(&plan, &token, &watch)?;
            Ok((password, found))
        });
        match prepared {
            Ok((password, (connector, store, phones))) => {
                let options = Options {
                    full: self.full,
                    password: password.map(Known),
                    ..self.backup.options()
                };
                let code = back_up(&connector, &store, &phones, &options, &plan, style);
                folders::remember_contents(&store);
                // A replayed phone is none of the user's.
                if phones.iter().any(|phone| phone.is_replayed) {
                    return code;
                }
                let pusher = Pusher {
                    args: &self.push,
                    store: &store,
                    plan: &plan,
                    token: &token,
                    style,
                };
                exit::worst(&[code, pusher.once()])
            }
            Err(Failure::Device(e)) if self.if_present && policy::is_absent(&e) => {
                skipped(None, "", &e.to_string(), style);
                exit::DONE
            }
            // The user who interrupted it is watching, so no notification is needed.
            Err(e @ Failure::Interrupted) => output::failure(&e, None, self.output.json),
            Err(e) => {
                let described = hints::describe_before_backup(&e);
                policy::tell_failed(described.clone(), self.wanted(), &plan, &token, &watch);
                output::described_failure("", described, None, self.output.json)
            }
        }
    }

    /// Returns the plan of the backups.
    #[cfg(feature = "web")]
    pub(crate) fn plan(&self) -> Plan {
        self.unattended.plan(self.if_older_than)
    }

    /// Returns the options of the push after a backup.
    #[cfg(feature = "web")]
    pub(crate) fn push(&self) -> &PushAfterArgs {
        &self.push
    }

    fn password(&self) -> Result<Option<Secret>, Failure> {
        match self.password.given()? {
            None if self.ask_password => self.typed_password().map(Some),
            given => Ok(given),
        }
    }

    /// Asks for the password until it opens the last encrypted backup. The same password twice is
    /// taken as it is, because the phone's may have changed since that backup.
    fn typed_password(&self) -> Result<Secret, Failure> {
        let backups = self.encrypted_backups().unwrap_or_default();
        let mut last = None;
        loop {
            let password = self.password.ask("Backup password")?;
            let opens = |folder: &PathBuf| {
                let known = Known(password.clone());
                password_check::password_of(folder, &known).is_ok()
            };
            if backups.is_empty() || last.as_ref() == Some(&password) || backups.iter().any(opens) {
                return Ok(password);
            }
            if !self.password.has_attempts() {
                let of = "the last backup".to_owned();
                return Err(reader::Error::WrongPassword { of }.into());
            }
            output::tell(
                "The password does not open the last backup. Try again, or type it once more if \
                it was changed since then.",
            );
            last = Some(password);
        }
    }

    /// Returns the folders of the current backups of these phones that are encrypted.
    fn encrypted_backups(&self) -> Result<Vec<PathBuf>, Failure> {
        let store = Store::open(&self.store.check()?)?;
        let phones = list::current_phones(&store, self.wanted());
        let is_wanted = |udid: &str| phones.iter().any(|phone| phone.as_str() == udid);
        let backups = list::list(&store)?.into_iter();
        let encrypted = backups
            .filter(|b| b.current && b.complete && b.encrypted == Some(true) && is_wanted(&b.udid));
        Ok(encrypted.map(|backup| PathBuf::from(backup.path)).collect())
    }

    /// Returns the phone that the user named, unless all phones are meant.
    fn wanted(&self) -> Option<&str> {
        self.device.device.as_deref().filter(|_| !self.all)
    }

    fn phones(
        &self,
        plan: &Plan,
        token: &Arc<CancelToken>,
        watch: &Watch<'_>,
    ) -> Result<(Connector, Store, Vec<Attached>), Failure> {
        let store = self.store.open()?;
        let connector = self.connector.connector_with(token.clone())?;
        let wanted = self.wanted();
        let wait = self.wait_for_device;
        let phones = policy::phones(&connector, wanted, self.all, wait, watch);
        if phones.as_ref().is_err_and(policy::is_absent) {
            for phone in list::current_phones(&store, wanted) {
                policy::tell_overdue(&store, &phone, plan, &connector.token, watch);
            }
        }
        Ok((connector, store, phones?))
    }
}
