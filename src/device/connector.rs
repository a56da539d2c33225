//! Finds the requested phone, and asks it about itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use plist::{Dictionary, Value};
use serde::Serialize;

use crate::base::cancel::CancelToken;
use crate::base::phone_names::head_is;
use crate::base::udid::Udid;
use crate::base::{phone_names, product_names};
use crate::device::nearby::{self, Nearby};
use crate::device::pair_records::Records;
use crate::device::tls::Pin;
use crate::device::{Error, Lockdown, Session};
use crate::transport::{AnyStream, Attached, Stream, Transport, Via};

/// The means of reaching phones, shared by all commands.
#[derive(Debug, Clone)]
pub struct Connector {
    /// The transport: a daemon, or USB directly.
    pub daemon: Transport,
    /// The pair records, by phone.
    pub records: Records,
    /// The policy for the key that the phone must present.
    pub pin: Pin,
    /// The cancellation token for waits.
    pub token: Arc<CancelToken>,
}

impl Connector {
    /// Creates a reach through a daemon or over USB, with our own pair records in `folder`.
    pub fn new(
        daemon: impl Into<Transport>,
        folder: PathBuf,
        pin: Pin,
        token: Arc<CancelToken>,
    ) -> Connector {
        let daemon = daemon.into();
        Connector {
            records: Records::new(daemon.clone(), folder),
            daemon,
            pin,
            token,
        }
    }

    /// Returns a copy whose waits are cancelled through `token`.
    pub(crate) fn with_token(&self, token: Arc<CancelToken>) -> Connector {
        let daemon = self.daemon.with_token(token.clone());
        Connector {
            records: self.records.through(daemon.clone()),
            daemon,
            pin: self.pin,
            token,
        }
    }

    /// Returns the phones that are connected, each once, preferring the cable over Wi-Fi.
    pub fn phones(&self) -> Result<Vec<Attached>, Error> {
        Ok(self.found()?.phones)
    }

    /// Returns the phones that are connected, and those that were seen over Wi-Fi but are not
    /// usable, each with the reason.
    pub(crate) fn found(&self) -> Result<Nearby, Error> {
        let listed = self.listed();
        let mut nearby = self.nearby(listed.as_deref().unwrap_or_default());
        let mut phones = match listed {
            // Without a daemon, phones over Wi-Fi can still be there.
            Err(_) if !nearby.phones.is_empty() || !nearby.troubled.is_empty() => Vec::new(),
            listed => listed?,
        };
        phones.append(&mut nearby.phones);
        phones.sort_by(|a, b| a.udid.cmp(&b.udid));
        nearby.phones = phones;
        Ok(nearby)
    }

    /// Returns the phones that a daemon or USB lists, each once, preferring the cable.
    fn listed(&self) -> Result<Vec<Attached>, Error> {
        let mut phones = self.daemon.devices()?;
        phones.sort_by(|a, b| {
            (&a.udid, a.via == Via::Network).cmp(&(&b.udid, b.via == Via::Network))
        });
        phones.dedup_by(|a, b| a.udid == b.udid);
        Ok(phones)
    }

    /// Looks for paired phones over Wi-Fi without a daemon, except those of `listed`. Does not look
    /// if no phone is missing.
    pub(crate) fn nearby(&self, listed: &[Attached]) -> Nearby {
        let Some(network) = self.daemon.network() else {
            return Nearby::default();
        };
        let mut known = self.records.known();
        known.retain(|phone| !listed.iter().any(|other| other.udid == phone.udid));
        nearby::look(self, network, &known)
    }

    /// Looks for one paired phone over Wi-Fi without a daemon, even if it has a cable too.
    pub(crate) fn look_for(&self, udid: &Udid) -> Nearby {
        let Some(network) = self.daemon.network() else {
            return Nearby::default();
        };
        let mut known = self.records.known();
        known.retain(|phone| phone.udid == *udid);
        nearby::look(self, network, &known)
    }

    /// Finds the one phone that `wanted` identifies; see [`phone_names::matching`]. Looks for
    /// phones over Wi-Fi without a daemon only if no other matches.
    pub fn phone(&self, wanted: Option<&str>) -> Result<Attached, Error> {
        if let Ok(listed) = self.listed()
            && let [phone] = self.matching(wanted, &listed)[..]
        {
            return Ok(phone.clone());
        }
        if matches!(self.daemon, Transport::Network(_)) && self.records.known().is_empty() {
            return Err(self.records.defect().unwrap_or(Error::NoneKnown));
        }
        let Nearby {
            phones, troubled, ..
        } = self.found()?;
        let may_be_it = |udid: &Udid| wanted.is_none_or(|text| head_is(udid.as_str(), text));
        let mut troubled = troubled.into_iter();
        match self.matching(wanted, &phones)[..] {
            [phone] => Ok(phone.clone()),
            [] if let Some((_, e)) =
                troubled.find(|(udid, _)| udid.as_ref().is_none_or(may_be_it)) =>
            {
                Err(e)
            }
            [] => Err(Error::NoDevice {
                wanted: wanted.map(str::to_owned),
                present: phones.iter().map(|p| self.named(p)).collect(),
            }),
            ref several => Err(Error::WhichDevice {
                wanted: wanted.map(str::to_owned),
                present: several.iter().map(|p| self.named(p)).collect(),
            }),
        }
    }

    fn matching<'a>(&self, wanted: Option<&str>, phones: &'a [Attached]) -> Vec<&'a Attached> {
        match wanted {
            None => phones.iter().collect(),
            Some(text) => {
                phone_names::matching(text, phones, |phone| &phone.udid, |phone| self.name(phone))
            }
        }
    }

    /// Returns the name of a phone, if it tells.
    pub fn name(&self, phone: &Attached) -> Option<String> {
        self.lockdown(phone)
            .and_then(|mut l| l.text("DeviceName"))
            .ok()?
    }

    /// Opens lockdown for questions that need no pairing. Over Wi-Fi this is an encrypted session
    /// nevertheless, since anybody on the network may answer, also where a daemon connects.
    pub(crate) fn lockdown(&self, phone: &Attached) -> Result<Lockdown<AnyStream>, Error> {
        if phone.via == Via::Network {
            return Ok(self.session(phone)?.into_lockdown());
        }
        Ok(Lockdown::open(&self.daemon, phone, &self.token)?.boxed())
    }

    /// Returns "Mira's iPhone (00008130-...)", or only the UDID if the phone does not tell its
    /// name.
    fn named(&self, phone: &Attached) -> String {
        match self.name(phone) {
            Some(name) => format!("{name} ({})", phone.udid),
            None => phone.udid.to_string(),
        }
    }

    /// Opens an encrypted session with a paired phone.
    pub fn session(&self, phone: &Attached) -> Result<Session, Error> {
        let record = self.records.load(&phone.udid)?;
        let session = Session::open(&self.daemon, phone, record, self.pin, &self.token)?;
        self.records
            .note_contact(&phone.udid, phone.via, SystemTime::now());
        Ok(session)
    }
}

/// The facts that a phone tells without trusting this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The phone's name.
    pub name: String,
    /// The product type, for example `iPhone16,1`.
    pub product_type: String,
    /// The model, for example "iPhone 15 Pro".
    pub model: String,
    /// The iOS version, for example "18.6.2".
    pub ios: String,
}

impl Facts {
    /// Asks the phone for these facts.
    pub fn ask<S: Stream>(lockdown: &mut Lockdown<S>) -> Result<Facts, Error> {
        let product_type = lockdown.text("ProductType")?.unwrap_or_default();
        Ok(Facts {
            name: lockdown
                .text("DeviceName")?
                .unwrap_or_else(|| "iPhone".to_owned()),
            model: product_names::name(&product_type).to_owned(),
            ios: lockdown
                .text("ProductVersion")?
                .unwrap_or_else(|| "?".to_owned()),
            product_type,
        })
    }
}

/// A phone's settings for the encryption of its backups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Encryption {
    /// True if the next backup will be encrypted; `None` if the phone does not tell.
    pub is_on: Option<bool>,
    /// True if the phone's administrator requires encryption.
    pub is_required: bool,
}

impl Encryption {
    /// Asks the phone for these settings.
    pub fn ask<S: Stream>(lockdown: &mut Lockdown<S>) -> Result<Encryption, Error> {
        let mut value = |key: &str| lockdown.value(Some("com.apple.mobile.backup"), Some(key));
        Ok(Encryption {
            is_on: flag(value("WillEncrypt")?),
            is_required: flag(value("RequiresEncryption")?).unwrap_or(false),
        })
    }
}

/// Percentage at which iOS may stop charging for hours although power is connected.
const HELD_PERCENT: u64 = 80;

/// Returns true if the phone charges, or has external power and is charged as far as iOS wants.
fn is_charging(
    value: &mut impl FnMut(Option<&str>, &str) -> Result<Option<Value>, Error>,
    battery: Option<u64>,
) -> Result<bool, Error> {
    let mut is_set = |key| value(Some("com.apple.mobile.battery"), key).map(flag);
    let is_held = battery.is_some_and(|percent| percent >= HELD_PERCENT);
    Ok(is_set("BatteryIsCharging")? == Some(true)
        || is_held && is_set("ExternalConnected")? == Some(true))
}

/// Converts a flag, which some domains send as a number.
pub(crate) fn flag(value: Option<Value>) -> Option<bool> {
    match value {
        Some(Value::Boolean(flag)) => Some(flag),
        Some(other) => other.as_signed_integer().map(|n| n != 0),
        None => None,
    }
}

/// The facts relevant to a backup that a phone tells only to a computer it trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// True if the phone encrypts its backups; `None` if it does not tell.
    pub will_encrypt: Option<bool>,
    /// Battery charge, in percent.
    pub battery: Option<u64>,
    /// True if the battery is charging, or iOS holds it at its charge with external power.
    pub charging: bool,
    /// True if the phone is locked with a passcode now.
    pub locked: bool,
    /// Capacity for user data, in bytes.
    pub capacity_bytes: Option<u64>,
}

impl State {
    /// Asks the phone for these facts.
    pub fn ask<S: Stream>(lockdown: &mut Lockdown<S>) -> Result<State, Error> {
        let mut value = |domain: Option<&str>, key: &str| lockdown.value(domain, Some(key));
        let number = |value: Option<Value>| value.and_then(|v| v.as_unsigned_integer());
        // In this order, as in every recording of a backup.
        let will_encrypt = flag(value(Some("com.apple.mobile.backup"), "WillEncrypt")?);
        let battery = number(value(
            Some("com.apple.mobile.battery"),
            "BatteryCurrentCapacity",
        )?);
        Ok(State {
            will_encrypt,
            battery,
            charging: is_charging(&mut value, battery)?,
            locked: flag(value(None, "PasswordProtected")?).unwrap_or(false),
            capacity_bytes: number(value(Some("com.apple.disk_usage"), "TotalDataCapacity")?),
        })
    }
}

/// Returns all values of a domain, for Info.plist.
pub fn values<S: Stream>(
    lockdown: &mut Lockdown<S>,
    domain: Option<&str>,
) -> Result<Dictionary, Error> {
    let values = lockdown.value(domain, None)?;
    Ok(values.and_then(Value::into_dictionary).unwrap_or_default())
}
