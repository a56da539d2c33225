//! `com.apple.mobile.assertion_agent`: computers keep the phone awake as long as they hold a
//! connection and renew their assertion before it ends (pymobiledevice3's `power-assertion`).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plist::{Dictionary, Value};

use super::phone::Phone;
use super::services;
use super::tls::Link;

/// An assertion that keeps the phone awake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// `AssertionTypeKey`, for example `AMDPowerAssertionTypeWirelessSync`.
    pub kind: String,
    /// `AssertionNameKey`, the name that the computer gave it.
    pub name: String,
    /// Time at which it ends, if the computer does not renew it.
    pub until: Instant,
}

impl Phone {
    /// Returns the assertions that keep the phone awake now.
    pub fn assertions(&self) -> Vec<Assertion> {
        let state = super::lock(&self.state);
        let held = state.assertions.values();
        held.filter(|held| held.until > Instant::now())
            .cloned()
            .collect()
    }
}

/// Serves one connection. Its assertions end with it.
pub(super) fn serve(phone: &Arc<Phone>, link: Link) -> io::Result<()> {
    let mut ids = Vec::new();
    let served = services::dialog(link, |request| {
        let reply = match parse(request) {
            Some(assertion) => {
                let id = super::new_uuid();
                let mut state = super::lock(&phone.state);
                state.assertions.insert(id.clone(), assertion);
                ids.push(id);
                Dictionary::new()
            }
            None => super::dict([("Error", "InvalidRequest".into())]),
        };
        vec![reply]
    });
    let mut state = super::lock(&phone.state);
    for id in &ids {
        state.assertions.remove(id);
    }
    served
}

fn parse(request: &Dictionary) -> Option<Assertion> {
    let text = |key: &str| request.get(key).and_then(Value::as_string);
    if text("CommandKey")? != "CommandCreateAssertion" {
        return None;
    }
    let seconds = request.get("AssertionTimeoutKey")?;
    let whole = seconds.as_unsigned_integer().map(Duration::from_secs);
    let real = || Duration::try_from_secs_f64(seconds.as_real()?).ok();
    Some(Assertion {
        kind: text("AssertionTypeKey")?.to_owned(),
        name: text("AssertionNameKey")?.to_owned(),
        until: Instant::now().checked_add(whole.or_else(real)?)?,
    })
}
