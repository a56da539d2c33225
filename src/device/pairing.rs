//! Pairing: the phone and this computer exchange keys and store them, after the owner has tapped
//! "Trust".

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plist::{Dictionary, Value};

use super::error::Error;
use super::lockdown::Lockdown;
use super::pair_record::PairRecord;
use crate::base::cancel::CancelToken;
use crate::base::secret::Secret;
use crate::transport::Stream;

/// Interval at which we ask the phone if the owner has answered. Repeated requests do not open
/// further dialogs.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

/// Action that the phone's owner must take before pairing continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Tap "Trust" in the dialog.
    Trust,
    /// Unlock the phone first.
    Unlock,
}

/// Pairs with the phone: creates a record, waits until the owner taps "Trust", and stores the
/// escrow bag in the record.
///
/// Calls `waiting` whenever the action that the phone waits for changes.
pub(crate) fn pair<S: Stream>(
    lockdown: &mut Lockdown<S>,
    system_buid: &str,
    limit: Duration,
    token: &Arc<CancelToken>,
    waiting: &mut dyn FnMut(Option<Asked>),
) -> Result<PairRecord, Error> {
    let key = lockdown
        .value(None, Some("DevicePublicKey"))?
        .and_then(|key| match key {
            Value::Data(key) => Some(key),
            _ => None,
        });
    let key = key.ok_or_else(|| Error::strange("pair", "the phone did not send a public key"))?;
    // Ask before Pair: afterwards the phone may answer only within a session.
    let wifi_mac_address = lockdown.text("WiFiAddress")?;
    let mut record = PairRecord::issue(&key, system_buid)?;
    record.wifi_mac_address = wifi_mac_address;

    let since = Instant::now();
    let mut asked = None;
    loop {
        match lockdown.ask("pair", "Pair", request(&record)) {
            Ok(mut answer) => {
                waiting(None);
                record.escrow_bag = match answer.remove("EscrowBag") {
                    Some(Value::Data(bag)) => Some(Secret::new(bag)),
                    _ => None,
                };
                return Ok(record);
            }
            Err(Error::Lockdown { code, request }) => {
                let now = match code.as_str() {
                    "PairingDialogResponsePending" => Asked::Trust,
                    "PasswordProtected" => Asked::Unlock,
                    "UserDeniedPairing" => return Err(Error::TrustDenied),
                    _ => return Err(Error::Lockdown { code, request }),
                };
                if asked != Some(now) {
                    asked = Some(now);
                    waiting(asked);
                }
            }
            Err(e) => return Err(e),
        }
        if since.elapsed() >= limit {
            return Err(Error::TrustTimeout {
                seconds: limit.as_secs(),
            });
        }
        if token.cancelled() {
            return Err(Error::Cancelled);
        }
        thread::sleep(BETWEEN_QUESTIONS.min(limit));
    }
}

/// Makes the phone forget this computer.
pub(crate) fn unpair<S: Stream>(
    lockdown: &mut Lockdown<S>,
    record: &PairRecord,
) -> Result<(), Error> {
    lockdown
        .ask("unpair", "Unpair", request(record))
        .map(|_| ())
}

fn request(record: &PairRecord) -> Dictionary {
    let mut options = Dictionary::new();
    options.insert("ExtendedPairingErrors".into(), Value::Boolean(true));
    let mut request = Dictionary::new();
    request.insert("PairRecord".into(), Value::Dictionary(record.public_part()));
    request.insert("PairingOptions".into(), Value::Dictionary(options));
    request
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;

    #[test]
    fn phone_never_gets_private_keys() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let record = PairRecord::issue(key.public_key_pem().as_bytes(), "BUID").unwrap();
        let mut sent = Vec::new();
        Value::Dictionary(request(&record))
            .to_writer_xml(&mut sent)
            .unwrap();
        assert!(!String::from_utf8(sent).unwrap().contains("PrivateKey"));
    }
}
