//! ChangePassword: sets, changes or removes the backup password. The phone is silent until its
//! owner has entered the passcode; then it sends its final result, as after a backup.

use std::io;

use plist::{Dictionary, Value};

use super::{conclude, passcode, text_of, told_to_fail};
use crate::simulator::dialog::{Stop, fails};
use crate::simulator::faults::Fault;
use crate::simulator::keys::Password;
use crate::simulator::lock;
use crate::simulator::phone::Phone;
use crate::simulator::wire::Wire;

/// First major version of iOS that asks for the passcode.
const IOS_THAT_ASKS: u32 = 13;

/// Carries out one request and answers it. `Wire` injects the faults of the cable.
pub(super) fn change(
    phone: &Phone,
    wire: &mut Wire,
    faults: &[Fault],
    request: &Dictionary,
) -> io::Result<()> {
    let ended = carry_out(phone, wire, faults, request);
    conclude(wire, faults, ended)
}

fn carry_out(
    phone: &Phone,
    wire: &mut Wire,
    faults: &[Fault],
    request: &Dictionary,
) -> Result<(), Stop> {
    if lock(&phone.memory).busy {
        return fails(14, text_of(14));
    }
    told_to_fail(faults)?;
    if phone.is_locked() {
        return fails(208, text_of(208));
    }
    let ios = phone.config.ios.split('.').next();
    let ios = ios.and_then(|major| major.parse::<u32>().ok());
    if ios.is_some_and(|major| major >= IOS_THAT_ASKS) {
        passcode(phone, wire)?;
    }
    phone.encrypt_with(new_password(phone, request)?);
    Ok(())
}

/// Returns the requested password, provided that the current one is right.
fn new_password(phone: &Phone, request: &Dictionary) -> Result<Option<Password>, Stop> {
    const INVALID: u64 = 207;
    let text = |key: &str| {
        let text = request.get(key).and_then(Value::as_string);
        text.filter(|text| !text.is_empty())
    };
    let (old, new) = (text("OldPassword"), text("NewPassword"));
    match phone.keys() {
        Some(keys) if !keys.password.is(old) => return fails(INVALID, text_of(INVALID)),
        // No password exists to remove, or the request names a current one although none is set.
        None if old.is_some() || new.is_none() => return fails(INVALID, text_of(INVALID)),
        _ => {}
    }
    match new {
        None if phone.config.requires_encryption => fails(INVALID, text_of(INVALID)),
        new => Ok(new.map(Password::new)),
    }
}
