//! Lists the phones that are connected.

use std::sync::Arc;

use serde::Serialize;

use crate::base::udid::Udid;
use crate::device::Error;
use crate::device::connector::{Connector, Facts, State};
use crate::transport::{Attached, Via};

/// Facts about one phone, as far as it answers.
#[derive(Debug, Clone, Serialize)]
pub struct Device {
    /// UDID of the phone.
    pub udid: String,
    /// Connection: "USB" or "Wi-Fi".
    pub via: String,
    /// Facts that the phone gives without pairing; `None` if it does not answer.
    pub facts: Option<Facts>,
    /// This computer is paired with the phone.
    pub paired: bool,
    /// The phone's backups are encrypted; `None` if that is not known.
    pub encrypted: Option<bool>,
    /// Battery level in percent; `None` if that is not known.
    pub battery: Option<u64>,
    /// Time of the current backup in the store, RFC 3339.
    pub last_backup: Option<String>,
    /// Reason that some of these facts are not known.
    pub trouble: Option<String>,
    /// The error behind `trouble`, or [`Error::NotPaired`].
    #[serde(skip)]
    pub error: Option<Arc<Error>>,
}

impl Device {
    fn of(udid: &Udid, via: Via) -> Device {
        Device {
            udid: udid.to_string(),
            via: via.to_string(),
            facts: None,
            paired: false,
            encrypted: None,
            battery: None,
            last_backup: None,
            trouble: None,
            error: None,
        }
    }

    /// Returns the name of the phone, if it gave one.
    pub fn name(&self) -> Option<&str> {
        self.facts.as_ref().map(|facts| facts.name.as_str())
    }
}

/// Lists the phones. `last_backup` returns the time of a phone's current backup, RFC 3339.
pub fn devices(
    connector: &Connector,
    last_backup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Device>, Error> {
    let mut found = Vec::new();
    let there = connector.found()?;
    for phone in there.phones {
        found.push(look(connector, &phone));
    }
    for (udid, error) in there.troubled {
        let Some(udid) = udid else { continue };
        let mut device = Device::of(&udid, Via::Network);
        device.trouble = Some(error.to_string());
        device.error = Some(Arc::new(error));
        found.push(device);
    }
    for device in &mut found {
        device.last_backup = last_backup(&device.udid);
    }
    Ok(found)
}

fn look(connector: &Connector, phone: &Attached) -> Device {
    let mut device = Device::of(&phone.udid, phone.via);
    let facts = connector
        .lockdown(phone)
        .and_then(|mut l| Facts::ask(&mut l));
    match facts {
        Ok(facts) => device.facts = Some(facts),
        Err(e) => {
            device.trouble = Some(e.to_string());
            device.error = Some(Arc::new(e));
            return device;
        }
    }
    match connector.session(phone) {
        Ok(mut session) => {
            device.paired = true;
            if let Ok(state) = State::ask(session.lockdown()) {
                device.encrypted = state.will_encrypt;
                device.battery = state.battery;
            }
        }
        Err(e) => {
            if !matches!(e, Error::NotPaired) {
                device.trouble = Some(e.to_string());
            }
            device.error = Some(Arc::new(e));
        }
    }
    device
}
