//! `idev-backup pair` and `unpair`

use std::time::Duration;

use clap::Args;
use idev_backup::device::connector::Connector;
use idev_backup::device::trust::{self, Outcome};
use idev_backup::device::wifi;
use idev_backup::transport::Attached;

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::value_parsers::trust_wait;
use crate::cli::exit;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::Show;

/// Pair this computer with a phone
///
/// Example:  idev-backup pair
///
/// Unlock the phone, tap Trust when it asks, and enter its passcode.
#[derive(Args)]
pub struct Pair {
    #[command(flatten)]
    device: DeviceArgs,
    /// Wait this long for Trust to be tapped
    #[arg(long, alias = "wait", value_name = "TIME", default_value = "2m", value_parser = trust_wait)]
    trust_wait: Duration,
    /// Also let the phone accept connections over Wi-Fi, as `idev-backup wifi on` does
    #[arg(long)]
    with_wifi: bool,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
}

impl Pair {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let show = Show::new(Style::People);
        let paired = self.connector.connector().and_then(|connector| {
            let phone = connector.phone(self.device.device.as_deref())?;
            let watch = show.watch(Some(phone.udid.as_str()), None);
            let outcome = trust::pair(&connector, &phone, self.trust_wait, &watch)?;
            if self.with_wifi {
                wifi::set(&connector, &phone, true)?;
            }
            Ok((outcome, named(&connector, &phone)))
        });
        match paired {
            Ok((outcome, name)) => {
                output::line(&match outcome {
                    Outcome::Already => format!("{name} is already paired with this computer."),
                    Outcome::Paired => format!("{name} is now paired with this computer."),
                });
                if self.with_wifi {
                    output::line("It accepts connections over Wi-Fi from now on.");
                } else if outcome == Outcome::Paired {
                    output::line("To back it up over Wi-Fi too, run `idev-backup wifi on`.");
                }
                exit::DONE
            }
            Err(e) => output::failure(&e, None, false),
        }
    }
}

/// Returns the phone's name, or its UDID if it does not tell.
fn named(connector: &Connector, phone: &Attached) -> String {
    let name = connector.name(phone);
    output::one_line(&name.unwrap_or_else(|| phone.udid.to_string()))
}

/// Unpair this computer from a phone
///
/// Example:  idev-backup unpair
#[derive(Args)]
pub struct Unpair {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
}

impl Unpair {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let unpaired = self.connector.connector().and_then(|connector| {
            let phone = connector.phone(self.device.device.as_deref())?;
            // A phone without a pair record may no longer tell its name.
            let name = named(&connector, &phone);
            trust::unpair(&connector, &phone)?;
            Ok(name)
        });
        match unpaired {
            Ok(name) => {
                output::line(&format!("{name} is now unpaired from this computer."));
                exit::DONE
            }
            Err(e) => output::failure(&e, None, false),
        }
    }
}
