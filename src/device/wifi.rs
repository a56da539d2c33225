//! A phone's switch for connections over Wi-Fi, and whether the phone is seen there.
//!
//! The switch is `EnableWifiConnections` in lockdown's domain `com.apple.mobile.wireless_lockdown`;
//! an absent key means off. A phone accepts a wrong key in silence, so the value is read back
//! (novkostya/quince, development log).

use std::time::SystemTime;

use plist::Value;
use serde::Serialize;

use super::connector::{Connector, flag};
use super::last_contact::Contact;
use super::{Error, Session};
use crate::base::phone_names::head_is;
use crate::base::udid::Udid;
use crate::transport::{Attached, Network, Via};

const DOMAIN: &str = "com.apple.mobile.wireless_lockdown";
const KEY: &str = "EnableWifiConnections";

/// A phone's readiness for Wi-Fi.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// UDID of the phone.
    pub udid: String,
    /// Name of the phone; `None` if it does not answer.
    pub name: Option<String>,
    /// State of the switch; `None` if the phone does not answer.
    pub on: Option<bool>,
    /// Present connection: "USB" or "Wi-Fi"; `None` if the phone is not connected.
    pub via: Option<String>,
    /// Address at which the phone answers over Wi-Fi now.
    pub address: Option<String>,
    /// True if a daemon lists the phone over Wi-Fi.
    pub listed: bool,
    /// Reason that the phone was seen over Wi-Fi but cannot be used.
    pub trouble: Option<String>,
    /// True if this computer keeps the pair record itself. Otherwise only a daemon has it.
    pub has_record: bool,
    /// The last contact.
    pub last_contact: Option<Contact>,
    /// Days until the phone forgets this computer, without contact.
    pub trust_days_left: Option<u64>,
}

/// Returns the state of the switch.
pub fn is_on(session: &mut Session) -> Result<bool, Error> {
    Ok(flag(session.lockdown().value(Some(DOMAIN), Some(KEY))?).unwrap_or(false))
}

/// Turns connections over Wi-Fi on or off, by cable. Turning them on also keeps a copy of the pair
/// record, with which the phone is recognized on the network when no daemon runs.
pub fn set(connector: &Connector, phone: &Attached, on: bool) -> Result<(), Error> {
    let verb = if on { "on" } else { "off" };
    let doing = format!("turn connections over Wi-Fi {verb}");
    if phone.via != Via::Usb {
        return Err(Error::NeedsCable { doing });
    }
    let mut session = connector.session(phone)?;
    if is_on(&mut session)? != on {
        session
            .lockdown()
            .set_value(&doing, DOMAIN, KEY, Value::Boolean(on))?;
        if is_on(&mut session)? != on {
            return Err(Error::strange(doing, "the phone did not keep the setting"));
        }
    }
    if on {
        let mac = session.lockdown().text("WiFiAddress")?;
        connector.records.keep_copy(&phone.udid, mac)?;
    }
    // The folder may exist only now, if the record was a daemon's.
    let now = SystemTime::now();
    let records = &connector.records;
    records.note_switch(&phone.udid, phone.via, now, on);
    Ok(())
}

/// Returns the state of the phone that `wanted` identifies. A phone that is not connected is found
/// by its pair record.
pub fn status(
    connector: &Connector,
    wanted: Option<&str>,
    now: SystemTime,
) -> Result<Status, Error> {
    let phone = match connector.phone(wanted) {
        Ok(phone) => phone,
        Err(e) => {
            let udid = known(connector, wanted).filter(|_| is_absence(&e));
            return udid.map(|udid| of(connector, &udid, now)).ok_or(e);
        }
    };
    let mut session = connector.session(&phone)?;
    let mut status = of(connector, &phone.udid, now);
    status.on = Some(is_on(&mut session)?);
    status.name = session.lockdown().text("DeviceName")?;
    status.via = Some(phone.via.to_string());
    Ok(status)
}

/// Returns true if the phone is not connected, or nothing lists phones.
fn is_absence(e: &Error) -> bool {
    matches!(e, Error::NoDevice { .. } | Error::Transport(_))
}

/// Returns the only phone with a pair record whose UDID begins with `wanted`.
fn known(connector: &Connector, wanted: Option<&str>) -> Option<Udid> {
    let known = connector.records.known();
    let is_it = |udid: &Udid| wanted.is_none_or(|text| head_is(udid.as_str(), text));
    let mut known = known.into_iter().filter(|phone| is_it(&phone.udid));
    let first = known.next()?;
    known.next().is_none().then_some(first.udid)
}

/// Looks for a phone on the network, whether it has a cable or not.
fn of(connector: &Connector, udid: &Udid, now: SystemTime) -> Status {
    let nearby = connector.look_for(udid);
    let network = connector.daemon.network();
    let seen = nearby.phones.iter().find(|phone| phone.udid == *udid);
    let address = network.zip(seen).and_then(|(network, phone)| {
        debug_assert!(Network::knows(phone));
        network.address(&phone.udid)
    });
    let listed = connector.daemon.devices().unwrap_or_default();
    let listed = listed
        .iter()
        .any(|phone| (&phone.udid, phone.via) == (udid, Via::Network));
    let trouble = nearby.troubled.into_iter().next();
    let last_contact = connector.records.last_contact(udid);
    Status {
        udid: udid.to_string(),
        name: None,
        on: None,
        via: None,
        address: address.map(|address| address.ip().to_string()),
        listed,
        trouble: trouble.map(|(_, error)| error.to_string()),
        has_record: connector.records.has_copy(udid),
        trust_days_left: last_contact.as_ref().and_then(|c| c.days_left(now)),
        last_contact,
    }
}
