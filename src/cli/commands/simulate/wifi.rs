//! `idev-backup simulate --wifi`: serves the phone on Wi-Fi as well.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use idev_backup::simulator::{AdvertKind, Daemon, Phone, Wifi, WifiConfig, WifiFault};

use super::parse;
use crate::cli::render::output;

/// Options for the phone's Wi-Fi.
#[derive(Debug, clap::Args)]
pub struct WifiArgs {
    /// Serve the phone on Wi-Fi as well, at this HOST or HOST:PORT (repeatable)
    ///
    /// The default host is 127.0.0.1, and the default port that of phones; port 0 is any free one.
    /// Prints `WIFI_ADDRESS=HOST:PORT` for each. The phone listens there while connections over
    /// Wi-Fi are switched on, which a computer does by cable. Lines on stdin change the network:
    /// `sleep`, `silence`, `wake`, `roam ADDRESS...`, `drop` (all connections), `private` (another
    /// private MAC); `after BYTES` before one of them delays it until the phone has sent this much.
    /// `unplug` and `plug` pull the cable and connect it.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1", conflicts_with = "usbredir")]
    wifi: Vec<String>,
    /// Connections over Wi-Fi are switched on from the start
    #[arg(long, requires = "wifi")]
    wifi_on: bool,
    /// The interval of the heartbeat over Wi-Fi
    #[arg(long, value_name = "SECONDS", default_value = "10", requires = "wifi", value_parser = parse::duration)]
    heartbeat: Duration,
    /// Serve computers over Wi-Fi that send no heartbeat, unlike real phones
    #[arg(long, requires = "wifi")]
    no_heartbeat: bool,
    /// Identify the phone in its advert by this: mac, tags (of paired computers, behind a private
    /// MAC), none (no advert) [default: what its version of iOS uses]
    #[arg(long, value_name = "KIND", requires = "wifi", value_parser = advert)]
    advert: Option<Advert>,
    /// List the phone over Wi-Fi too, as usbmuxd of macOS and netmuxd do, while it listens there
    #[arg(long, requires = "wifi")]
    wifi_listed: bool,
}

/// Advert of the phone: its kind, or `None` for no advert.
type Advert = Option<AdvertKind>;

fn advert(text: &str) -> Result<Advert, String> {
    match text {
        "mac" => Ok(Some(AdvertKind::Mac)),
        "tags" => Ok(Some(AdvertKind::Tags)),
        "none" => Ok(None),
        _ => Err("one of mac, tags, none".to_owned()),
    }
}

impl WifiArgs {
    /// Returns true if the phone is to be on Wi-Fi.
    pub fn is_wanted(&self) -> bool {
        !self.wifi.is_empty()
    }

    /// Returns true if the daemon is to list the phone over Wi-Fi.
    pub fn is_listed(&self) -> bool {
        self.wifi_listed
    }

    /// Puts the phone on Wi-Fi, if that is wanted.
    pub fn join(&self, phone: &Arc<Phone>) -> io::Result<Option<Arc<Wifi>>> {
        if !self.is_wanted() {
            return Ok(None);
        }
        let config = WifiConfig {
            addresses: self.wifi.clone(),
            on: self.wifi_on,
            heartbeat: self.heartbeat,
            heartbeat_first: !self.no_heartbeat,
            advertise: self.advert != Some(None),
            advert: self.advert.flatten(),
            ..WifiConfig::default()
        };
        let wifi = Wifi::join(phone, config).map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("cannot serve the phone on Wi-Fi: {e}\n  hint: name another HOST:PORT of this computer with --wifi"),
            )
        })?;
        Ok(Some(Arc::new(wifi)))
    }
}

/// Prints the addresses of lockdown.
pub fn print_addresses(wifi: &Wifi) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for address in wifi.addresses() {
        writeln!(stdout, "WIFI_ADDRESS={address}")?;
    }
    stdout.flush()
}

/// Executes the lines of standard input on a thread of its own.
pub fn follow_commands(
    wifi: &Arc<Wifi>,
    daemon: &Arc<Daemon>,
    phone: Arc<Phone>,
) -> io::Result<()> {
    let (wifi, daemon) = (Arc::downgrade(wifi), Arc::downgrade(daemon));
    thread::Builder::new()
        .name("wifi-commands".into())
        .spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                let (Some(wifi), Some(daemon)) = (wifi.upgrade(), daemon.upgrade()) else {
                    return;
                };
                match line.trim() {
                    "unplug" => daemon.detach(phone.udid()),
                    "plug" => daemon.attach(phone.clone()),
                    line => {
                        if let Err(e) = handle(&wifi, line) {
                            output::tell(&format!("wifi: {line:?}: {e}"));
                        }
                    }
                }
            }
        })?;
    Ok(())
}

fn handle(wifi: &Wifi, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [] => Ok(()),
        ["wake"] => {
            wifi.wake();
            Ok(())
        }
        ["after", bytes, ref rest @ ..] => {
            wifi.fail_after(parse::size(bytes)?, fault(rest)?);
            Ok(())
        }
        ref words => {
            wifi.fail(&fault(words)?).map_err(|e| e.to_string())?;
            print_addresses(wifi).map_err(|e| e.to_string())
        }
    }
}

fn fault(words: &[&str]) -> Result<WifiFault, String> {
    match words {
        ["sleep"] => Ok(WifiFault::Sleep),
        ["silence"] => Ok(WifiFault::Silence),
        ["roam", addresses @ ..] if !addresses.is_empty() => Ok(WifiFault::Roam(
            addresses.iter().map(|&a| a.to_owned()).collect(),
        )),
        ["drop"] => Ok(WifiFault::Drop),
        ["private"] => Ok(WifiFault::PrivateAddress),
        _ => Err(
            "one of sleep, silence, wake, roam ADDRESS..., drop, private, unplug, plug; or after \
             BYTES and a fault"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_parsed() {
        for (words, parsed) in [
            (&["sleep"][..], Some(WifiFault::Sleep)),
            (&["silence"], Some(WifiFault::Silence)),
            (&["drop"], Some(WifiFault::Drop)),
            (
                &["roam", "10.0.0.1"],
                Some(WifiFault::Roam(vec!["10.0.0.1".to_owned()])),
            ),
            (&["roam"], None),
            (&["drop", "it"], None),
        ] {
            assert_eq!(fault(words).ok(), parsed, "{words:?}");
        }
    }
}
