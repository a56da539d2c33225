//! `idev-backup trace replay`

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;
use std::{io, thread};

use clap::Args;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::Silent;
use idev_backup::base::units::{count, counted};
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::device::trust;
use idev_backup::simulator::{Daemon, Phone, PhoneConfig, Replay};
use idev_backup::transport::Usbmuxd;
use idev_backup::transport::usbmuxd::Address;

use crate::cli::args::recording::read;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Play the phone of a trace to any client, and report where the client departs from the recording
///
/// Prints one line, `USBMUXD_SOCKET_ADDRESS=...`: set that in the environment of the client. Ends
/// when the client has disconnected. Exit code 0: the client did what was recorded. 3: it did not.
#[derive(Args)]
pub struct Play {
    /// The trace file
    #[arg(value_parser = crate::cli::args::store::path_parser())]
    file: PathBuf,
    /// Listen on this address: UNIX:/path or HOST:PORT (port 0: any free port)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
    /// End when the client has had no connection for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    idle: u64,
}

impl Play {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> Result<u8, Failure> {
        let trace = read(&self.file)?;
        let replay = Replay::new(&trace).map_err(|e| Failure::Command {
            what: format!("{} cannot be played: {e}", self.file.display()),
            hint: "record a conversation with a phone".to_owned(),
        })?;
        let failed = |e: io::Error| Failure::Command {
            what: format!("cannot listen on {}: {e}", self.listen),
            hint: "name another UNIX:/path or HOST:PORT with --listen".to_owned(),
        };
        let base = PhoneConfig::default();
        let phone = Phone::new(PhoneConfig {
            udid: replay.udid().cloned().unwrap_or(base.udid.clone()),
            plain: replay.is_plain(),
            ..base
        });
        let daemon = Daemon::start(&self.listen, vec![phone.clone()]).map_err(failed)?;
        let token = CancelToken::new(interrupt());
        if replay.begins_paired() {
            pair_beforehand(&daemon, &token)?;
        }
        phone.play(replay.clone());
        output::data(&format!("USBMUXD_SOCKET_ADDRESS={}", daemon.address()));
        let mut departures = Departures::default();
        let idle = Duration::from_secs(self.idle);
        loop {
            for departure in replay.departures().iter().skip(departures.count) {
                departures.tell(departure);
            }
            if token.cancelled() || replay.idle_for().is_some_and(|quiet| quiet >= idle) {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        drop(daemon);
        for channel in replay.unplayed() {
            departures.tell(&format!("{channel} was recorded, but not opened"));
        }
        Ok(departures.summary())
    }
}

/// The differences between the client and the recording.
#[derive(Default)]
struct Departures {
    count: usize,
}

impl Departures {
    /// Number of departures that are printed. A client that begins with another backup than the
    /// recorded one departs once for each file.
    const SHOWN_MAX: usize = 20;

    fn tell(&mut self, text: &impl Display) {
        self.count += 1;
        if self.count <= Departures::SHOWN_MAX {
            output::finding(&format!("departs: {text}"));
        }
    }

    /// Reports the number of departures and returns the exit code.
    fn summary(&self) -> u8 {
        if self.count == 0 {
            output::line("Played: the client did what was recorded.");
            return exit::DONE;
        }
        if self.count > Departures::SHOWN_MAX {
            let more = count((self.count - Departures::SHOWN_MAX) as u64);
            output::finding(&format!("departs: ... and {more} more"));
        }
        let departures = counted(self.count as u64, "departure");
        output::line(&format!("Played, with {departures} from the recording."));
        output::line(
            "  hint: the client must begin as the recorded one did: for a trace of an incremental \
            backup, with a copy of the store as it was then",
        );
        exit::DONE_WITH_PROBLEMS
    }
}

/// Pairs with the phone in advance, for a trace that begins with a paired computer: the daemon
/// receives a pair record that fits this phone's new keys.
fn pair_beforehand(daemon: &Daemon, token: &std::sync::Arc<CancelToken>) -> Result<(), Failure> {
    let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), token.clone());
    let connector = Connector::new(usbmuxd, PathBuf::new(), Pin::PairRecord, token.clone());
    let phone = connector.phone(None)?;
    trust::pair(&connector, &phone, Duration::from_secs(10), &Silent)?;
    Ok(())
}
