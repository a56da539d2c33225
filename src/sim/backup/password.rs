//! ChangePassword: the backup password is set, changed or removed. The phone says nothing until its owner has entered the
//! passcode; then it gives its verdict, as after a backup.

use std::io;

use plist::{Dictionary, Value};

use super::text_of;
use crate::sim::faults::Fault;
use crate::sim::keys::Password;
use crate::sim::lock;
use crate::sim::phone::{Passed, Phone};
use crate::sim::wire::Wire;

/// Since this version the passcode is asked for.
const IOS_THAT_ASKS: u32 = 13;

/// Carries out one request, and answers it. The faults of the cable are the wire's own.
pub(super) fn change(
    phone: &Phone,
    wire: &mut Wire,
    faults: &[Fault],
    request: &Dictionary,
) -> io::Result<()> {
    if lock(&phone.memory).busy {
        return wire.respond(14, text_of(14));
    }
    let told = faults.iter().find_map(|fault| match fault {
        Fault::Error(code) => Some(*code),
        _ => None,
    });
    if let Some(code) = told {
        return wire.respond(code, text_of(code));
    }
    if phone.is_locked() {
        return wire.respond(208, text_of(208));
    }
    let ios = phone.config.ios.split('.').next();
    let ios = ios.and_then(|major| major.parse::<u32>().ok());
    if ios.is_some_and(|major| major >= IOS_THAT_ASKS) {
        match phone.await_passcode(|wait| wire.gone_within(wait)) {
            Passed::Yes => {}
            Passed::No => return wire.respond(208, text_of(208)),
            Passed::Gone => {
                let kind = io::ErrorKind::ConnectionAborted;
                return Err(io::Error::new(kind, "the computer left"));
            }
        }
    }
    match new_password(phone, request) {
        Ok(password) => {
            phone.encrypt_with(password);
            if faults.contains(&Fault::NoFinalResponse) {
                return wire.stall();
            }
            wire.respond(0, "")
        }
        Err(code) => wire.respond(code, text_of(code)),
    }
}

/// The password that is asked for, if the one that it follows is right; else the code of the refusal.
fn new_password(phone: &Phone, request: &Dictionary) -> Result<Option<Password>, u64> {
    const INVALID: u64 = 207;
    let text = |key: &str| {
        let text = request.get(key).and_then(Value::as_string);
        text.filter(|text| !text.is_empty())
    };
    let (old, new) = (text("OldPassword"), text("NewPassword"));
    match phone.keys() {
        Some(keys) if !keys.password.is(old) => return Err(INVALID),
        // Nothing to remove, or a password that never was.
        None if old.is_some() || new.is_none() => return Err(INVALID),
        _ => {}
    }
    match new {
        None if phone.config.requires_encryption => Err(INVALID),
        new => Ok(new.map(Password::new)),
    }
}
