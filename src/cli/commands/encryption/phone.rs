//! `idev-backup encryption status`, `on`, `off` and `change`: the encryption of a phone.

use clap::Args;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::progress::Monitor;
use idev_backup::device::connector;
use idev_backup::encryption::{self, Done, Options, Report, Wish};
use idev_backup::store::Store;

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::encryption::{room_for_a_full_one, tell};
use crate::cli::render::output;
use crate::cli::render::progress::{Show, Watch};

/// Options that select a phone, and for the form of the output.
#[derive(Args)]
pub struct Ask {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The passwords that a change needs.
pub trait AskFor {
    /// Returns the change with its passwords; takes the name of the phone.
    fn wish(&self, phone: &str) -> Result<Wish, Failure>;

    /// Returns true if the phone refused a typed password, which may be typed again.
    fn may_ask_again(&self) -> bool;
}

impl Ask {
    /// Changes the encryption as `wanted`, and returns the exit code.
    pub fn change(&self, wanted: Done, passwords: &dyn AskFor) -> u8 {
        self.run(Some((wanted, passwords)))
    }

    /// Shows the encryption of the phone, or changes it, and returns the exit code.
    pub fn run(&self, change: Option<(Done, &dyn AskFor)>) -> u8 {
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
        change: Option<(Done, &dyn AskFor)>,
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
        loop {
            let wish = passwords.wish(&now.phone.name)?;
            match encryption::change(&connector, &phone, store.as_ref(), &wish, &options, watch) {
                Err(encryption::Error::Refused(refusal))
                    if refusal.kind == FailureKind::WrongPassword && passwords.may_ask_again() => {}
                report => return Ok((report?, phone.udid.to_string())),
            }
        }
    }
}
