//! Lockdown, the phone's main service: it gives information about the phone, pairs, and starts
//! other services.
//!
//! It listens on port 62078; each message is `[length u32 BE][XML property list]`. An answer
//! repeats the request's `Request`, and reports a failure as `Error` (`Result` is absent since iOS
//! 5).

use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};

use super::heartbeat::{self, Heartbeat};
use super::service_stream::ServiceStream;
use super::tls::Pin;
use super::{Error, PairRecord};
use crate::base::cancel::CancelToken;
use crate::device::tls;
use crate::transport::plist_stream::{self, Encoding};
use crate::transport::{AnyStream, Attached, Dropped, Network, Stream, Transport, Via, Wire};

/// Lockdown's port on every phone.
pub(crate) const PORT: u16 = 62078;
/// Longest answer accepted, in bytes: values of a whole domain are a few hundred KiB.
const ANSWER_BYTES_MAX: u32 = 16 << 20;
/// Longest wait for an answer: lockdown answers at once, even while the phone shows a dialog.
const ANSWER_SILENCE_MAX: Duration = Duration::from_secs(60);
const LABEL: &str = "idev-backup";

/// Client of lockdown, over any stream.
pub struct Lockdown<S = Wire> {
    stream: S,
}

impl Lockdown {
    /// Opens an unencrypted connection, which is enough to ask for a name and to pair.
    pub fn open(
        daemon: &Transport,
        phone: &Attached,
        token: &Arc<CancelToken>,
    ) -> Result<Lockdown, Error> {
        let wire = daemon.connect(phone, PORT, "lockdown")?;
        Lockdown::over(wire.with_patience(token.clone(), ANSWER_SILENCE_MAX))
    }
}

impl<S: Stream + 'static> Lockdown<S> {
    /// Makes the type of the stream anonymous.
    pub(super) fn boxed(self) -> Lockdown<AnyStream> {
        Lockdown {
            stream: Box::new(self.stream),
        }
    }
}

impl<S: Stream> Lockdown<S> {
    /// Uses an open stream, after checking that lockdown is at its other end.
    pub fn over(stream: S) -> Result<Lockdown<S>, Error> {
        let mut lockdown = Lockdown { stream };
        let answer = lockdown.ask("reach lockdown", "QueryType", Dictionary::new())?;
        match answer.get("Type").and_then(Value::as_string) {
            Some("com.apple.mobile.lockdown") => Ok(lockdown),
            other => Err(Error::strange(
                "reach lockdown",
                format!("{other:?} answered instead"),
            )),
        }
    }

    /// Returns a value, or `None` if the phone does not have it or does not reveal it.
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

    /// Returns a value that is text.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.value(None, Some(key))?.and_then(Value::into_string))
    }

    /// Sets a value. `doing` names the step in errors.
    pub(super) fn set_value(
        &mut self,
        doing: &str,
        domain: &str,
        key: &str,
        value: Value,
    ) -> Result<(), Error> {
        let mut request = Dictionary::new();
        request.insert("Domain".into(), domain.into());
        request.insert("Key".into(), key.into());
        request.insert("Value".into(), value);
        self.ask(doing, "SetValue", request).map(drop)
    }

    /// Sends one request and returns its answer.
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
            .ok_or_else(|| Error::strange(doing, "the answer is not a dictionary"))?;
        match answer.get("Error").and_then(Value::as_string) {
            Some(code) => Err(Error::Lockdown {
                request: doing.to_owned(),
                code: code.to_owned(),
            }),
            None => Ok(answer),
        }
    }
}

/// An authenticated session, which can start services. It ends with the connection. It is
/// encrypted, unless [`Pin::Anyone`] permits a phone without TLS.
pub struct Session {
    lockdown: Lockdown<AnyStream>,
    daemon: Transport,
    phone: Attached,
    record: PairRecord,
    pin: Pin,
    token: Arc<CancelToken>,
    /// Over Wi-Fi, the heartbeat, from the first service on.
    heartbeat: Option<Heartbeat>,
}

impl Session {
    /// Connects to lockdown and starts a session with the pair record. Over Wi-Fi the phone must
    /// always present the pinned key: anybody on the network may answer, also where a daemon
    /// connects.
    pub fn open(
        daemon: &Transport,
        phone: &Attached,
        record: PairRecord,
        pin: Pin,
        token: &Arc<CancelToken>,
    ) -> Result<Session, Error> {
        let pin = if phone.via == Via::Network {
            Pin::PairRecord
        } else {
            pin
        };
        let plain = Lockdown::open(daemon, phone, token)?;
        Ok(Session {
            lockdown: Session::start(plain, &record, pin)?,
            daemon: daemon.clone(),
            phone: phone.clone(),
            record,
            pin,
            token: token.clone(),
            heartbeat: None,
        })
    }

    /// Starts a session on an open connection, and returns the encrypted one.
    pub(super) fn start(
        mut plain: Lockdown,
        record: &PairRecord,
        pin: Pin,
    ) -> Result<Lockdown<AnyStream>, Error> {
        let mut request = Dictionary::new();
        request.insert("HostID".into(), record.host_id.as_str().into());
        request.insert("SystemBUID".into(), record.system_buid.as_str().into());
        let answer = plain.ask("open a session with the phone", "StartSession", request)?;
        let secured = answer.get("EnableSessionSSL").and_then(Value::as_boolean) == Some(true);
        let stream: AnyStream = match pin {
            // TLS starts on the same connection, directly after the answer.
            _ if secured => Box::new(tls::secure(plain.stream, record, pin)?),
            Pin::Anyone => Box::new(plain.stream),
            Pin::PairRecord => return Err(Error::NoEncryption),
        };
        Ok(Lockdown { stream })
    }

    /// Returns the lockdown client, to read values.
    pub fn lockdown(&mut self) -> &mut Lockdown<AnyStream> {
        &mut self.lockdown
    }

    /// Returns the lockdown client and ends the session's other connections.
    pub(super) fn into_lockdown(self) -> Lockdown<AnyStream> {
        self.lockdown
    }

    /// Returns the phone of this session.
    pub fn phone(&self) -> &Attached {
        &self.phone
    }

    /// Starts a service and connects to it.
    pub fn service(
        &mut self,
        name: &str,
        token: &Arc<CancelToken>,
        silence_max: Duration,
    ) -> Result<AnyStream, Error> {
        let mut stream = self.service_stream(name)?;
        stream.set_patience(token, silence_max);
        Ok(Box::new(stream))
    }

    /// Starts a service and connects to it, after the heartbeat if the phone is reached over Wi-Fi.
    /// The stream keeps the shorter timeout of requests to the daemon.
    pub(super) fn service_stream(&mut self, name: &str) -> Result<ServiceStream, Error> {
        if self.phone.via == Via::Network && self.heartbeat.is_none() {
            self.start_heartbeat()?;
        }
        self.start_service(name)
    }

    /// Starts the heartbeat. A daemon that lists phones over Wi-Fi may keep one of its own, so a
    /// refusal matters only without a daemon.
    fn start_heartbeat(&mut self) -> Result<(), Error> {
        match self.start_service(heartbeat::SERVICE) {
            Ok(stream) => self.heartbeat = Some(Heartbeat::start(stream, &self.token)?),
            Err(Error::Lockdown { .. }) if !Network::knows(&self.phone) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Starts a service and connects to it. The request includes the escrow bag, so that even a
    /// locked phone opens its files. If the phone rejects the bag, the request is repeated without
    /// it.
    fn start_service(&mut self, name: &str) -> Result<ServiceStream, Error> {
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
        let mut wire = self.daemon.connect(&self.phone, port, name)?;
        if let Some(heartbeat) = &self.heartbeat {
            wire.tie(heartbeat.lifeline());
        }
        Ok(
            match answer.get("EnableServiceSSL").and_then(Value::as_boolean) {
                Some(true) => match tls::secure(wire, &self.record, self.pin) {
                    Ok(secure) => ServiceStream::Secure(Box::new(secure)),
                    // The phone proved its key in this session, so the connection has ended and
                    // not the pairing: without a heartbeat, a phone hangs up on services.
                    Err(Error::Tls { why }) if self.phone.via == Via::Network => {
                        let end = Dropped::Connection(std::io::Error::other(why));
                        return Err(Error::wire(doing, std::io::Error::from(end)));
                    }
                    Err(e) => return Err(e),
                },
                _ => ServiceStream::Plain(wire),
            },
        )
    }
}
