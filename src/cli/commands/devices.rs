//! `idev-backup devices`

use clap::Args;
use idev_backup::base::{phone_names, time};
use idev_backup::device;
use idev_backup::device::listing::{self, Device};
use idev_backup::history::list;
use idev_backup::store::Store;
use serde::Serialize;

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::failure::Failure;
use crate::cli::render::{output, table, typed};
use crate::cli::{exit, hints};

/// Show the connected phones, and whether they are ready for a backup
///
/// Example:  idev-backup devices --json
#[derive(Args)]
pub struct Devices {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Devices {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let found = self.found();
        match found {
            Err(e) => output::failure(&e, None, self.json),
            Ok(found) if found.is_empty() => {
                let none = Failure::from(device::Error::NoDevice {
                    wanted: None,
                    present: Vec::new(),
                });
                output::failure(&none, None, self.json)
            }
            Ok(devices) if self.json => {
                output::object("devices", None, &Found { devices });
                exit::DONE
            }
            Ok(found) => {
                show(&found);
                exit::DONE
            }
        }
    }
}

impl Devices {
    fn found(&self) -> Result<Vec<Listed>, Failure> {
        let backups = match Store::open(&self.store.path()?) {
            Ok(store) => list::list(&store)?,
            Err(_) => Vec::new(),
        };
        let last_backup = |udid: &str| {
            let current = backups.iter().find(|b| b.udid == udid && b.current);
            current.and_then(|b| b.date.clone())
        };
        let connector = self.connector.connector()?;
        let devices = listing::devices(&connector, last_backup)?;
        let hints: Vec<Option<String>> = devices.iter().map(hints::listed).collect();
        let phones: Vec<_> = devices
            .iter()
            .map(|d| (d.udid.as_str(), d.name()))
            .collect();
        let completed = hints.into_iter().zip(&phones).map(|(hint, (udid, _))| {
            let hint = hint?;
            if phones.len() < 2 {
                return Some(hint);
            }
            Some(typed::for_phone(
                &hint,
                &phone_names::selector(&phones, udid),
            ))
        });
        let completed: Vec<Option<String>> = completed.collect();
        let listed = devices.into_iter().zip(completed);
        Ok(listed
            .map(|(device, hint)| Listed { device, hint })
            .collect())
    }
}

#[derive(Serialize)]
struct Found {
    devices: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    device: Device,
    hint: Option<String>,
}

fn show(found: &[Listed]) {
    let heads = [
        "NAME",
        "MODEL",
        "IOS",
        "VIA",
        "PAIRED",
        "ENCRYPTED",
        "BATTERY",
        "LAST BACKUP",
        "UDID",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for Listed { device, .. } in found {
        let fact = |pick: fn(&idev_backup::device::connector::Facts) -> &String| {
            device
                .facts
                .as_ref()
                .map_or_else(|| "?".to_owned(), |facts| pick(facts).clone())
        };
        let yes_no = |known: Option<bool>, yes: &str, no: &str| match known {
            Some(true) => yes.to_owned(),
            Some(false) => no.to_owned(),
            None => "?".to_owned(),
        };
        rows.push(vec![
            fact(|f| &f.name),
            fact(|f| &f.model),
            fact(|f| &f.ios),
            device.via.clone(),
            yes_no(Some(device.paired), "yes", "no"),
            yes_no(device.encrypted, "on", "off"),
            device
                .battery
                .map_or_else(|| "?".to_owned(), |percent| format!("{percent} %")),
            device
                .last_backup
                .as_deref()
                .map_or_else(|| "never".to_owned(), time::when),
            device.udid.clone(),
        ]);
    }
    let lines = table::table(&rows);
    for (at, line) in lines.iter().enumerate() {
        if !line.is_empty() {
            output::lines(line);
        }
        let Some(Listed { device, hint }) = at.checked_sub(1).and_then(|at| found.get(at)) else {
            continue;
        };
        if let Some(trouble) = &device.trouble {
            output::finding(&format!("  {trouble}"));
        }
        if let Some(hint) = hint {
            output::finding(&format!("  hint: {hint}"));
        }
    }
}
