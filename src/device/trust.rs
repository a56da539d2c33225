//! Pairs with a phone, and removes a pairing.

use std::time::Duration;

use crate::base::progress::{Event, Monitor, Wait};
use crate::device::connector::Connector;
use crate::device::pairing::{self, Asked};
use crate::device::{Error, Lockdown, PairRecord, Session};
use crate::transport::{Attached, Via};

/// The result of pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Already paired, and the phone accepted the pair record.
    Already,
    /// Newly paired by this call.
    Paired,
}

/// Pairs with a phone, waiting up to `limit` for its owner to tap "Trust". The new record is tested
/// before it is saved.
pub fn pair(
    connector: &Connector,
    phone: &Attached,
    limit: Duration,
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    match connector.session(phone) {
        Ok(_) => return Ok(Outcome::Already),
        Err(e) if is_mendable(&e) => {}
        Err(e) => return Err(e),
    }
    // Over Wi-Fi anybody may answer and would be paired with instead. Phones refuse it too.
    if phone.via == Via::Network {
        return Err(Error::NeedsCable {
            doing: "pair with the phone".to_owned(),
        });
    }
    let record = new_record(connector, phone, limit, monitor)?;
    Session::open(
        &connector.daemon,
        phone,
        record.clone(),
        connector.pin,
        &connector.token,
    )?;
    connector.records.save(phone, &record)?;
    Ok(Outcome::Paired)
}

/// Opens a session with a phone, pairing with it first if necessary.
pub fn session_or_pair(
    connector: &Connector,
    phone: &Attached,
    limit: Duration,
    monitor: &dyn Monitor,
) -> Result<Session, Error> {
    match connector.session(phone) {
        Err(e) if is_mendable(&e) && phone.via == Via::Usb => {
            pair(connector, phone, limit, monitor)?;
            connector.session(phone)
        }
        other => other,
    }
}

/// Returns true if pairing again helps: the record is missing, or the phone no longer knows it. If
/// the record is damaged or the phone presents another key, the user has to decide.
fn is_mendable(e: &Error) -> bool {
    matches!(e, Error::NotPaired)
        || e.is_lockdown("InvalidHostID")
        || e.is_lockdown("MissingHostID")
}

fn new_record(
    connector: &Connector,
    phone: &Attached,
    limit: Duration,
    monitor: &dyn Monitor,
) -> Result<PairRecord, Error> {
    let buid = connector.records.system_buid()?;
    let mut lockdown = Lockdown::open(&connector.daemon, phone, &connector.token)?;
    let mut shown = None;
    let mut waiting = |asked: Option<Asked>| {
        if let Some(what) = shown.take() {
            monitor.event(Event::WaitOver { what });
        }
        let what = match asked {
            None => return,
            Some(Asked::Trust) => Wait::Trust,
            Some(Asked::Unlock) => Wait::Unlock,
        };
        shown = Some(what);
        monitor.event(Event::Waiting {
            what,
            limit_seconds: limit.as_secs(),
        });
    };
    pairing::pair(&mut lockdown, &buid, limit, &connector.token, &mut waiting)
}

/// Removes the pairing from both phone and computer. Not an error if the phone has already removed
/// it.
pub fn unpair(connector: &Connector, phone: &Attached) -> Result<(), Error> {
    match connector.records.load(&phone.udid) {
        Ok(record) => {
            let mut lockdown = connector.lockdown(phone)?;
            match pairing::unpair(&mut lockdown, &record) {
                Ok(()) | Err(Error::Lockdown { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        // A record that cannot be read cannot be presented to the phone, but it can be removed
        // here.
        Err(Error::BadRecord { .. }) => {}
        Err(e) => return Err(e),
    }
    connector.records.forget(&phone.udid)
}
