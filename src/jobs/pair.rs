//! Pairing with a phone, and forgetting it.

use std::time::Duration;

use super::Error;
use super::phone::Reach;
use crate::device::pairing::{self, Asked};
use crate::device::{self, Lockdown, PairRecord, Session};
use crate::monitor::{Event, Monitor, Wait};
use crate::transport::Attached;

/// What pairing found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was paired already, and the phone agrees.
    Already,
    /// It is paired now.
    Paired,
}

/// Pairs with a phone, waiting up to `limit` for its owner to tap "Trust". The new record is tried
/// before it is kept.
pub fn pair(
    reach: &Reach,
    phone: &Attached,
    limit: Duration,
    monitor: &dyn Monitor,
) -> Result<Outcome, Error> {
    match reach.session(phone) {
        Ok(_) => return Ok(Outcome::Already),
        Err(Error::Device(e)) if is_mendable(&e) => {}
        Err(e) => return Err(e),
    }
    let record = new_record(reach, phone, limit, monitor)?;
    Session::open(&reach.daemon, phone, record.clone(), reach.pin, &reach.calm)?;
    reach.records.save(phone, &record)?;
    Ok(Outcome::Paired)
}

/// Opens a session with a phone that may not be paired yet; then it is paired first.
pub fn session_or_pair(
    reach: &Reach,
    phone: &Attached,
    limit: Duration,
    monitor: &dyn Monitor,
) -> Result<Session, Error> {
    match reach.session(phone) {
        Err(Error::Device(e)) if is_mendable(&e) => {
            pair(reach, phone, limit, monitor)?;
            reach.session(phone)
        }
        other => other,
    }
}

/// Whether pairing anew is what helps: there is no record, or the phone has forgotten it. A damaged
/// record, or a phone with another key, is for its owner to decide about.
fn is_mendable(e: &device::Error) -> bool {
    matches!(e, device::Error::NotPaired)
        || e.is_lockdown("InvalidHostID")
        || e.is_lockdown("MissingHostID")
}

fn new_record(
    reach: &Reach,
    phone: &Attached,
    limit: Duration,
    monitor: &dyn Monitor,
) -> Result<PairRecord, Error> {
    let buid = reach.records.system_buid()?;
    let mut lockdown = Lockdown::open(&reach.daemon, phone, &reach.calm)?;
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
    Ok(pairing::pair(
        &mut lockdown,
        &buid,
        limit,
        &reach.calm,
        &mut waiting,
    )?)
}

/// Has phone and computer forget each other. A phone that has forgotten already is no trouble.
pub fn unpair(reach: &Reach, phone: &Attached) -> Result<(), Error> {
    match reach.records.load(&phone.udid) {
        Ok(record) => {
            let mut lockdown = Lockdown::open(&reach.daemon, phone, &reach.calm)?;
            match pairing::unpair(&mut lockdown, &record) {
                Ok(()) | Err(device::Error::Lockdown { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // What cannot be read cannot be shown to the phone, only forgotten.
        Err(device::Error::BadRecord { .. }) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(reach.records.forget(&phone.udid)?)
}
