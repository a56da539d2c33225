//! Finding the phone that is meant, and what it tells about itself.

use std::path::PathBuf;
use std::sync::Arc;

use plist::{Dictionary, Value};
use serde::Serialize;

use super::{Error, named};
use crate::device::records::Records;
use crate::device::tls::Pin;
use crate::device::{self, Lockdown, Session, model};
use crate::transport::{Attached, Calm, Stream, Transport, Via};

/// How phones are reached, the same for all commands.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The daemon, or USB.
    pub daemon: Transport,
    /// Pair records.
    pub records: Records,
    /// Whose key the phone must show.
    pub pin: Pin,
    /// Ends waits.
    pub calm: Arc<Calm>,
}

impl Reach {
    /// Through a daemon or over USB, with pair records of our own in `folder`.
    pub fn new(daemon: impl Into<Transport>, folder: PathBuf, pin: Pin, calm: Arc<Calm>) -> Reach {
        let daemon = daemon.into();
        Reach {
            records: Records::new(daemon.clone(), folder),
            daemon,
            pin,
            calm,
        }
    }

    /// The same, with waits that end with `calm`.
    pub fn with_calm(&self, calm: Arc<Calm>) -> Reach {
        let daemon = self.daemon.with_calm(calm.clone());
        Reach {
            records: self.records.through(daemon.clone()),
            daemon,
            pin: self.pin,
            calm,
        }
    }

    /// The phones that are there, each once: the cable before Wi-Fi.
    pub fn phones(&self) -> Result<Vec<Attached>, Error> {
        let mut phones = self.daemon.devices()?;
        phones.sort_by(|a, b| {
            (&a.udid, a.via == Via::Network).cmp(&(&b.udid, b.via == Via::Network))
        });
        phones.dedup_by(|a, b| a.udid == b.udid);
        Ok(phones)
    }

    /// Finds the one phone that is meant, as [`named::meant`] knows it.
    pub fn phone(&self, wanted: Option<&str>) -> Result<Attached, Error> {
        let phones = self.phones()?;
        let meant: Vec<&Attached> = match wanted {
            None => phones.iter().collect(),
            Some(text) => {
                named::meant(text, &phones, |phone| &phone.udid, |phone| self.name(phone))
            }
        };
        match meant[..] {
            [phone] => Ok(phone.clone()),
            [] => Err(Error::NoDevice {
                wanted: wanted.map(str::to_owned),
                present: phones.iter().map(|p| p.udid.to_string()).collect(),
            }),
            _ => Err(Error::WhichDevice {
                wanted: wanted.map(str::to_owned),
                present: meant.iter().map(|p| self.named(p)).collect(),
            }),
        }
    }

    /// Returns the name of a phone, as far as it tells.
    pub fn name(&self, phone: &Attached) -> Option<String> {
        let lockdown = Lockdown::open(&self.daemon, phone, &self.calm);
        lockdown.and_then(|mut l| l.text("DeviceName")).ok()?
    }

    /// "Mira's iPhone (00008130-...)", as far as the phone tells.
    fn named(&self, phone: &Attached) -> String {
        match self.name(phone) {
            Some(name) => format!("{name} ({})", phone.udid),
            None => phone.udid.to_string(),
        }
    }

    /// A secured conversation with a phone that is paired.
    pub fn session(&self, phone: &Attached) -> Result<Session, Error> {
        let record = self.records.load(&phone.udid)?;
        Ok(Session::open(
            &self.daemon,
            phone,
            record,
            self.pin,
            &self.calm,
        )?)
    }
}

/// What a phone tells before it trusts anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// `iPhone16,1`
    pub product_type: String,
    /// "iPhone 15 Pro"
    pub model: String,
    /// iOS version.
    pub ios: String,
}

impl Facts {
    /// Asks.
    pub fn ask<S: Stream>(lockdown: &mut Lockdown<S>) -> Result<Facts, device::Error> {
        let product_type = lockdown.text("ProductType")?.unwrap_or_default();
        Ok(Facts {
            name: lockdown
                .text("DeviceName")?
                .unwrap_or_else(|| "iPhone".to_owned()),
            model: model::name(&product_type).to_owned(),
            ios: lockdown
                .text("ProductVersion")?
                .unwrap_or_else(|| "?".to_owned()),
            product_type,
        })
    }
}

/// What a phone tells of the encryption of its backups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Encryption {
    /// The next backup will be encrypted.
    pub is_on: Option<bool>,
    /// The phone's administrator demands it.
    pub is_required: bool,
}

impl Encryption {
    /// Asks.
    pub fn ask<S: Stream>(lockdown: &mut Lockdown<S>) -> Result<Encryption, device::Error> {
        let mut value = |key: &str| lockdown.value(Some("com.apple.mobile.backup"), Some(key));
        Ok(Encryption {
            is_on: flag(value("WillEncrypt")?),
            is_required: flag(value("RequiresEncryption")?).unwrap_or(false),
        })
    }
}

/// A flag, which some domains write as a number.
pub(super) fn flag(value: Option<Value>) -> Option<bool> {
    match value {
        Some(Value::Boolean(flag)) => Some(flag),
        Some(other) => other.as_signed_integer().map(|n| n != 0),
        None => None,
    }
}

/// What a phone tells to whom it trusts, as far as a backup is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The phone encrypts its backups.
    pub will_encrypt: Option<bool>,
    /// Percent.
    pub battery: Option<u64>,
    /// It is being charged.
    pub charging: bool,
    /// It is locked with a passcode now.
    pub locked: bool,
    /// Bytes that it can hold.
    pub capacity_bytes: Option<u64>,
}

impl State {
    /// Asks.
    pub fn ask<S: Stream>(lockdown: &mut Lockdown<S>) -> Result<State, device::Error> {
        let mut value = |domain: Option<&str>, key: &str| lockdown.value(domain, Some(key));
        let number = |value: Option<Value>| value.and_then(|v| v.as_unsigned_integer());
        Ok(State {
            will_encrypt: flag(value(Some("com.apple.mobile.backup"), "WillEncrypt")?),
            battery: number(value(
                Some("com.apple.mobile.battery"),
                "BatteryCurrentCapacity",
            )?),
            charging: flag(value(
                Some("com.apple.mobile.battery"),
                "BatteryIsCharging",
            )?)
            .unwrap_or(false),
            locked: flag(value(None, "PasswordProtected")?).unwrap_or(false),
            capacity_bytes: number(value(Some("com.apple.disk_usage"), "TotalDataCapacity")?),
        })
    }
}

/// All values of a domain, for Info.plist.
pub fn values<S: Stream>(
    lockdown: &mut Lockdown<S>,
    domain: Option<&str>,
) -> Result<Dictionary, device::Error> {
    let values = lockdown.value(domain, None)?;
    Ok(values.and_then(Value::into_dictionary).unwrap_or_default())
}
