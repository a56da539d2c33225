//! `idev-backup watch`

mod guard;

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use clap::Args;
use idev_backup::automation::policy::{self, Plan};
use idev_backup::automation::schedule::job_state;
use idev_backup::automation::watch;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::units::parse_span;

pub use self::guard::TELL_EVERY;

use self::guard::Guard;
use super::push_after::Pusher;
use crate::cli::args::backup::BackupArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::phone_text;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::push_after::PushAfterArgs;
use crate::cli::args::store::WritableStoreArgs;
use crate::cli::args::unattended::UnattendedArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::render::output;
use crate::cli::render::progress::Show;
use crate::cli::{exit, hints};

/// Back up phones when they are plugged in, if their last backup is old enough; runs until stopped
///
/// Example:  idev-backup watch --due-after 20h --notify
///
/// Over Wi-Fi, phones that are connected to power are backed up. `idev-backup schedule add --watch`
/// has the system start it.
#[derive(Args)]
pub struct WatchCommand {
    /// The phone: its UDID or name, or the beginning of either [default: all phones]
    #[arg(long, short, value_name = "PHONE", env = "IDEV_BACKUP_DEVICE", value_parser = phone_text)]
    device: Option<String>,
    /// Back up a phone if its last backup is older than this
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_WATCH_DUE_AFTER", default_value = "20h", value_parser = parse_span)]
    due_after: Duration,
    #[command(flatten)]
    pub(crate) backup: BackupArgs,
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

impl WatchCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let mut plan = self.unattended.plan(Some(self.due_after));
        // Report overdue backups here, once a day, and not at each check of a phone.
        let overdue = Plan {
            overdue_after: plan.overdue_after.take(),
            ..plan.clone()
        };
        plan.yields = true;
        let _job = job_state::hold_as_job();
        let style = self.output.style();
        let token = CancelToken::new(interrupt());
        let opened = self
            .store
            .open()
            .and_then(|store| Ok((store, self.connector.connector_with(token.clone())?)));
        let (store, connector) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                let show = Show::new(style);
                let wanted = self.device.as_deref();
                policy::tell_failed(
                    hints::describe(&e),
                    wanted,
                    &plan,
                    &token,
                    &show.watch(None, None),
                );
                return output::failure(&e, None, self.output.json);
            }
        };
        let (push, pushes) = sync_channel(1);
        let pusher = Pusher {
            args: &self.push,
            store: &store,
            plan: &plan.clone(),
            token: &token,
            style,
        };
        let guard = Guard {
            push: self.push.is_wanted().then_some(push),
            connector: &connector,
            store: &store,
            wanted: self.device.as_deref(),
            options: self.backup.options(),
            plan,
            overdue,
            style,
            show: Show::new(style),
            told: Mutex::default(),
            names: Mutex::default(),
        };
        std::thread::scope(|scope| {
            let pusher = &pusher;
            scope.spawn(move || pusher.follow(&pushes));
            watch::watch(&connector, self.due_after, &guard);
            guard.say(None, "stopped", "Stopped.");
            // Ends the thread that pushes.
            drop(guard);
        });
        exit::DONE
    }
}
