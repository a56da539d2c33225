//! `idev-backup wifi`

use std::time::SystemTime;

use clap::{Args, Subcommand};
use idev_backup::device::wifi::{self, Status};
use serde::Serialize;

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::wifi::{changed, words};

/// Allow backups of a phone over Wi-Fi, or end that
///
/// Example:  idev-backup wifi on
///
/// The phone keeps the setting. It can be changed only by cable.
#[derive(Args)]
pub struct WifiCommand {
    #[command(subcommand)]
    wish: Wanted,
}

#[derive(Subcommand)]
enum Wanted {
    /// Show whether a phone accepts connections over Wi-Fi, and whether it is seen there
    Status(Ask),
    /// Let a phone accept connections over Wi-Fi
    On(Ask),
    /// Let a phone accept connections by cable only
    Off(Ask),
}

#[derive(Args)]
struct Ask {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The result of a change.
#[derive(Serialize)]
struct Changed {
    on: bool,
}

impl WifiCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let (ask, done) = match &self.wish {
            Wanted::Status(ask) => (ask, ask.status()),
            Wanted::On(ask) => (ask, ask.set(true)),
            Wanted::Off(ask) => (ask, ask.set(false)),
        };
        let code = match done {
            Ok(()) => exit::DONE,
            Err(e) => output::failure(&e, None, ask.output.json),
        };
        ask.connector.trace.end(code)
    }
}

impl Ask {
    fn status(&self) -> Result<(), Failure> {
        let connector = self.connector.connector()?;
        let now = SystemTime::now();
        let status: Status = wifi::status(&connector, self.device.device.as_deref(), now)?;
        match self.output.style() {
            Style::Quiet => {}
            Style::Json => output::object("wifi", Some(&status.udid), &status),
            Style::People => words(&status, now)
                .iter()
                .for_each(|line| output::line(line)),
        }
        Ok(())
    }

    fn set(&self, on: bool) -> Result<(), Failure> {
        let connector = self.connector.connector()?;
        let phone = connector.phone(self.device.device.as_deref())?;
        wifi::set(&connector, &phone, on)?;
        let udid = phone.udid.as_str();
        match self.output.style() {
            Style::Quiet => {}
            Style::Json => output::object("wifi", Some(udid), &Changed { on }),
            Style::People => {
                let name = connector.name(&phone).unwrap_or_else(|| udid.to_owned());
                changed(&name, on)
                    .iter()
                    .for_each(|line| output::line(line));
            }
        }
        Ok(())
    }
}
