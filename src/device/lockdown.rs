//! Lockdown: the phone's front desk. It tells about the phone, pairs, and opens services.
//!
//! Port 62078; each message `[length u32 BE][XML property list]`. A request is answered with the
//! same `Request`, and fails by having an `Error` (`Result` is absent since iOS 5).

use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};

use super::tls::{self, Pin};
use super::{Error, PairRecord};
use crate::transport::plist_stream::{self, Encoding};
use crate::transport::{AnyStream, Attached, Calm, Stream, Transport, Wire};

/// Lockdown's port on every phone.
pub const PORT: u16 = 62078;
/// Longest answer: values of a whole domain are a few hundred KiB.
const ANSWER_BYTES_MAX: u32 = 16 << 20;
/// Lockdown answers at once, even while a dialog is up.
const ANSWER_SILENCE_MAX: Duration = Duration::from_secs(60);
const LABEL: &str = "idev-backup";

/// A conversation with lockdown, over whatever stream.
pub struct Lockdown<S = Wire> {
    stream: S,
}

impl Lockdown {
    /// Opens a plain conversation: enough to ask for a name and to pair.
    pub fn open(daemon: &Transport, phone: &Attached, calm: &Arc<Calm>) -> Result<Lockdown, Error> {
        let wire = daemon.connect(phone, PORT, "lockdown")?;
        Lockdown::over(wire.with_patience(calm.clone(), ANSWER_SILENCE_MAX))
    }
}

impl<S: Stream> Lockdown<S> {
    /// Speaks over a stream that is there already, and makes sure that lockdown is at its other
    /// end.
    pub fn over(stream: S) -> Result<Lockdown<S>, Error> {
        let mut lockdown = Lockdown { stream };
        let answer = lockdown.ask("reach lockdown", "QueryType", Dictionary::new())?;
        match answer.get("Type").and_then(Value::as_string) {
            Some("com.apple.mobile.lockdown") => Ok(lockdown),
            other => Err(Error::strange(
                "reach lockdown",
                format!("{other:?} answers instead"),
            )),
        }
    }

    /// A value; `None` where the phone has none or does not tell.
    pub fn value(
        &mut self,
        domain: Option<&str>,
        key: Option<&str>,
    ) -> Result<Option<Value>, Error> {
        let mut request = Dictionary::new();
        if let Some(domain) = domain {
            request.insert("Domain".into(), domain.into());
        }
        if let Some(key) = key {
            request.insert("Key".into(), key.into());
        }
        let what = format!(
            "ask the phone for {}",
            key.or(domain).unwrap_or("its values")
        );
        match self.ask(&what, "GetValue", request) {
            Ok(mut answer) => Ok(answer.remove("Value")),
            Err(Error::Lockdown { code, .. })
                if matches!(
                    code.as_str(),
                    "MissingValue" | "GetProhibited" | "InvalidDomain"
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// A value that is text.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.value(None, Some(key))?.and_then(Value::into_string))
    }

    /// Sends one request and takes its answer.
    pub fn ask(
        &mut self,
        doing: &str,
        name: &str,
        mut request: Dictionary,
    ) -> Result<Dictionary, Error> {
        request.insert("Request".into(), name.into());
        request.insert("Label".into(), LABEL.into());
        request.insert("ProtocolVersion".into(), "2".into());
        let broken = |cause| Error::wire(doing, cause);
        plist_stream::write(&mut self.stream, &Value::Dictionary(request), Encoding::Xml)
            .map_err(broken)?;
        let answer = plist_stream::read(&mut self.stream, ANSWER_BYTES_MAX).map_err(broken)?;
        let answer = answer
            .into_dictionary()
            .ok_or_else(|| Error::strange(doing, "the answer is no dictionary"))?;
        match answer.get("Error").and_then(Value::as_string) {
            Some(code) => Err(Error::Lockdown {
                request: doing.to_owned(),
                code: code.to_owned(),
            }),
            None => Ok(answer),
        }
    }
}

/// A secured conversation: it may start services. Ends with the connection.
pub struct Session {
    lockdown: Lockdown<AnyStream>,
    daemon: Transport,
    phone: Attached,
    record: PairRecord,
    pin: Pin,
}

impl Session {
    /// Opens lockdown and secures it with the pair record.
    pub fn open(
        daemon: &Transport,
        phone: &Attached,
        record: PairRecord,
        pin: Pin,
        calm: &Arc<Calm>,
    ) -> Result<Session, Error> {
        let doing = "open a session with the phone";
        let mut plain = Lockdown::open(daemon, phone, calm)?;
        let mut request = Dictionary::new();
        request.insert("HostID".into(), record.host_id.as_str().into());
        request.insert("SystemBUID".into(), record.system_buid.as_str().into());
        let answer = plain.ask(doing, "StartSession", request)?;
        let secured = answer.get("EnableSessionSSL").and_then(Value::as_boolean) == Some(true);
        let stream: AnyStream = match pin {
            // TLS begins on the same connection, directly after the answer.
            _ if secured => Box::new(tls::secure(plain.stream, &record, pin)?),
            Pin::Anyone => Box::new(plain.stream),
            Pin::PairRecord => return Err(Error::NoEncryption),
        };
        Ok(Session {
            lockdown: Lockdown { stream },
            daemon: daemon.clone(),
            phone: phone.clone(),
            record,
            pin,
        })
    }

    /// Lockdown itself, for values.
    pub fn lockdown(&mut self) -> &mut Lockdown<AnyStream> {
        &mut self.lockdown
    }

    /// Which phone this is.
    pub fn phone(&self) -> &Attached {
        &self.phone
    }

    /// Starts a service and connects to it. The escrow bag goes along, so that a locked phone opens
    /// its files too; where the phone no longer takes the bag, the service is asked for again
    /// without it.
    pub fn service(
        &mut self,
        name: &str,
        calm: &Arc<Calm>,
        silence_max: Duration,
    ) -> Result<AnyStream, Error> {
        let doing = format!("start {name} on the phone");
        let mut request = Dictionary::new();
        request.insert("Service".into(), name.into());
        let answer = match &self.record.escrow_bag {
            None => self.lockdown.ask(&doing, "StartService", request)?,
            Some(bag) => {
                let mut with_bag = request.clone();
                with_bag.insert("EscrowBag".into(), Value::Data(bag.expose().to_vec()));
                match self.lockdown.ask(&doing, "StartService", with_bag) {
                    Err(Error::Lockdown { .. }) => {
                        self.lockdown.ask(&doing, "StartService", request)?
                    }
                    answer => answer?,
                }
            }
        };
        let port = answer.get("Port").and_then(Value::as_unsigned_integer);
        let port = port.and_then(|p| u16::try_from(p).ok());
        let port = port.ok_or_else(|| Error::strange(&doing, "the answer has no port"))?;
        let wire = self.daemon.connect(&self.phone, port, name)?;
        match answer.get("EnableServiceSSL").and_then(Value::as_boolean) {
            Some(true) => {
                // The handshake has the short patience of a question to the daemon.
                let secure = tls::secure(wire, &self.record, self.pin)?;
                Ok(Box::new(secure.with_patience(calm, silence_max)))
            }
            _ => Ok(Box::new(wire.with_patience(calm.clone(), silence_max))),
        }
    }
}

/// One of lockdown's own words for an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// As it comes from the phone.
    pub code: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

const fn word(code: &'static str, meaning: &'static str, hint: &'static str) -> Word {
    Word {
        code,
        meaning,
        hint,
    }
}

const UNLOCK: &str = "unlock the phone with its passcode and try again";
const PAIR_AGAIN: &str = "pair again: `idev-backup pair`, then tap Trust on the phone";
const ASK_THE_ADMINISTRATOR: &str =
    "ask whoever manages the phone to allow pairing (Apple Configurator: \"supervision identity\")";
const CONNECT_AGAIN: &str = "check the cable, unlock the phone, and try again";

/// Lockdown's words, and ours for them.
pub const WORDS: [Word; 15] = [
    word("PasswordProtected", "the phone is locked", UNLOCK),
    word("DeviceLocked", "the phone is locked", UNLOCK),
    word(
        "EscrowLocked",
        "the phone has not been unlocked since it was switched on",
        UNLOCK,
    ),
    word(
        "UserDeniedPairing",
        "\"Don't Trust\" was tapped on the phone",
        "run `idev-backup pair` again and tap Trust",
    ),
    word(
        "PairingDialogResponsePending",
        "the phone waits for somebody to tap Trust",
        "unlock the phone, tap Trust and enter the passcode",
    ),
    word(
        "InvalidHostID",
        "the phone has forgotten this computer",
        PAIR_AGAIN,
    ),
    word(
        "MissingHostID",
        "the phone has forgotten this computer",
        PAIR_AGAIN,
    ),
    word(
        "MCChallengeRequired",
        "the phone is managed by an organisation that decides who may pair",
        ASK_THE_ADMINISTRATOR,
    ),
    word(
        "MCProtected",
        "the phone is managed by an organisation that decides who may pair",
        ASK_THE_ADMINISTRATOR,
    ),
    word(
        "PairingProhibitedOverThisConnection",
        "the phone pairs by cable only",
        "connect the phone by cable once and run `idev-backup pair`",
    ),
    word(
        "ServiceLimit",
        "too many programs talk to the phone at once",
        "close other programs that use the phone, or restart it",
    ),
    // A phone in the middle of an update, or one whose backup agent has died, says so too.
    word(
        "InvalidService",
        "this iOS has no such service",
        "restart the phone and try again",
    ),
    word(
        "InvalidConnection",
        "the phone closed the session",
        CONNECT_AGAIN,
    ),
    word(
        "SessionInactive",
        "the phone closed the session",
        CONNECT_AGAIN,
    ),
    word(
        "SavePairRecordFailed",
        "the phone cannot keep the pairing",
        "restart the phone and run `idev-backup pair` again",
    ),
];

fn known(code: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.code == code)
}

/// Lockdown's words in ours.
pub(super) fn meaning(code: &str) -> Option<&'static str> {
    known(code).map(|word| word.meaning)
}

/// What to do about lockdown's words.
pub(super) fn hint(code: &str) -> Option<&'static str> {
    known(code).map(|word| word.hint)
}
