//! lockdownd: values, pairing, sessions, and access to all other services.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use plist::{Dictionary, Value};
use rustls::ServerConfig;

use super::phone::{Phone, Trust};
use super::replay::{Answer, Replay};
use super::socket::Socket;
use super::tls::{DeviceKey, Link};
use super::wifi::Visit;
use super::{services, values};
use crate::simulator::{replay, tls};
use crate::transport::plist_stream::{self, Encoding};

/// Port of lockdownd on every phone.
pub(super) const PORT: u16 = 62_078;
const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// Keys that an untrusted computer may set. With them usbmuxd informs phones of the host to which
/// they are attached.
const ANYBODYS: [&str; 2] = ["UntrustedHostBUID", "UntrustedHostAttached"];

/// A computer that the owner trusts.
#[derive(Debug, Clone)]
pub(super) struct Pairing {
    /// HostID of the computer.
    pub(super) host: String,
    pub(super) tls: Arc<ServerConfig>,
    escrow_bag: Vec<u8>,
}

/// Way on which a computer has reached the phone.
pub(super) enum Way<'a> {
    Cable,
    Wifi(&'a Visit),
}

/// Action after a reply.
enum Next {
    Stay,
    Secure(Pairing),
    Close,
}

/// Serves one client until it disconnects.
pub(super) fn serve(phone: &Phone, socket: Socket, way: &Way<'_>) {
    let mut link = Link::Plain(socket);
    let mut session: Option<Pairing> = None;
    let replay = phone.replay();
    let mut script = replay.as_ref().and_then(Replay::lockdown);
    // A message that cannot be read ends the connection.
    while let Ok(message) = plist_stream::read(&mut link, MESSAGE_BYTES_MAX) {
        let Value::Dictionary(request) = message else {
            break;
        };
        let text = |key: &str| request.get(key).and_then(Value::as_string);
        let Some(name) = text("Request") else { break };
        let answered = || match name {
            "StartSession" => start_session(phone, &request),
            "StopSession" => Ok((Dictionary::new(), Next::Close)),
            // The classic pairing needs the cable.
            "Pair" if matches!(way, Way::Wifi(_)) => Err("PairingProhibitedOverThisConnection"),
            "Pair" => pair(phone, &request).map(|reply| (reply, Next::Stay)),
            _ => answer(phone, session.as_ref(), &request, way).map(|reply| (reply, Next::Stay)),
        };
        let scripted = script.as_mut().and_then(|script| script.answer(&request));
        let (reply, next) = match scripted {
            Some(recorded) => as_recorded(&recorded, answered),
            None => by_itself(&request, answered()),
        };
        if plist_stream::write(&mut link, &Value::Dictionary(reply), Encoding::Xml).is_err() {
            break;
        }
        match next {
            Next::Stay => {}
            Next::Close => break,
            Next::Secure(pairing) => {
                link = match link {
                    plain @ Link::Plain(_) if phone.config.plain => plain,
                    Link::Plain(socket) => match Link::secure(socket, &pairing.tls) {
                        Ok(link) => link,
                        Err(_) => return,
                    },
                    secure @ Link::Tls(..) => secure,
                };
                session = Some(pairing);
            }
        }
    }
    link.close();
}

fn by_itself(
    request: &Dictionary,
    answered: Result<(Dictionary, Next), &'static str>,
) -> (Dictionary, Next) {
    let (mut reply, next) = answered.unwrap_or_else(|error| {
        let reply = super::dict([("Error", error.into())]);
        (reply, Next::Stay)
    });
    for key in ["Request", "Domain", "Key", "Service"] {
        if let Some(value) = request.get(key).and_then(Value::as_string) {
            reply.insert(key.into(), value.into());
        }
    }
    (reply, next)
}

/// Combines a recorded answer with the phone's own behavior: returns the recorded reply, and
/// performs the phone's own action unless the recorded reply is a refusal.
fn as_recorded(
    recorded: &Answer,
    by_itself: impl FnOnce() -> Result<(Dictionary, Next), &'static str>,
) -> (Dictionary, Next) {
    let live = match recorded.reply.get("Error") {
        Some(_) => None,
        None => by_itself().ok(),
    };
    let reply = replay::renewed(&recorded.reply, live.as_ref().map(|(reply, _)| reply));
    let next = match live {
        _ if recorded.last => Next::Close,
        Some((_, next)) => next,
        None => Next::Stay,
    };
    (reply, next)
}

fn answer(
    phone: &Phone,
    session: Option<&Pairing>,
    request: &Dictionary,
    way: &Way<'_>,
) -> Result<Dictionary, &'static str> {
    let text = |key: &str| request.get(key).and_then(Value::as_string);
    match text("Request").unwrap_or_default() {
        "QueryType" => Ok(super::dict([("Type", "com.apple.mobile.lockdown".into())])),
        "GetValue" => {
            let domain = text("Domain").unwrap_or_default();
            let value = values::read(phone, session.is_some(), domain, text("Key"))?;
            Ok(super::dict([("Value", value)]))
        }
        "SetValue" => {
            let Some(key) = text("Key").filter(|key| session.is_some() || ANYBODYS.contains(key))
            else {
                return Err("SetProhibited");
            };
            let value = request.get("Value").ok_or("MissingValue")?;
            let place = (
                text("Domain").unwrap_or_default().to_owned(),
                key.to_owned(),
            );
            super::lock(&phone.state)
                .values
                .insert(place, value.clone());
            phone.refresh_wifi().map_err(|_| "GenericFailure")?;
            Ok(super::dict([("Value", value.clone())]))
        }
        "RemoveValue" => {
            let (Some(_), Some(key)) = (session, text("Key")) else {
                return Err("RemoveProhibited");
            };
            let place = (
                text("Domain").unwrap_or_default().to_owned(),
                key.to_owned(),
            );
            super::lock(&phone.state).values.remove(&place);
            phone.refresh_wifi().map_err(|_| "GenericFailure")?;
            Ok(Dictionary::new())
        }
        "ValidatePair" => {
            let host = host_id(request).ok_or("MissingHostID")?;
            let state = super::lock(&phone.state);
            state.pairings.get(host).ok_or("InvalidHostID")?;
            Ok(Dictionary::new())
        }
        "Unpair" => {
            let host = host_id(request).ok_or("MissingHostID")?;
            let mut state = super::lock(&phone.state);
            state.pairings.remove(host).ok_or("InvalidHostID")?;
            // The next Pair request asks the owner again.
            (state.trusted, state.trust_asked) = (false, None);
            drop(state);
            phone.refresh_wifi().map_err(|_| "GenericFailure")?;
            Ok(Dictionary::new())
        }
        "StartService" => start_service(phone, session, request, way),
        _ => Err("InvalidRequest"),
    }
}

fn host_id(request: &Dictionary) -> Option<&str> {
    let record = request.get("PairRecord")?.as_dictionary()?;
    record.get("HostID")?.as_string()
}

fn start_session(phone: &Phone, request: &Dictionary) -> Result<(Dictionary, Next), &'static str> {
    let host = request.get("HostID").and_then(Value::as_string);
    let host = host.ok_or("MissingHostID")?;
    let state = super::lock(&phone.state);
    let pairing = state.pairings.get(host).ok_or("InvalidHostID")?.clone();
    let reply = super::dict([
        ("EnableSessionSSL", (!phone.config.plain).into()),
        ("SessionID", super::new_uuid().into()),
    ]);
    Ok((reply, Next::Secure(pairing)))
}

fn start_service(
    phone: &Phone,
    session: Option<&Pairing>,
    request: &Dictionary,
    way: &Way<'_>,
) -> Result<Dictionary, &'static str> {
    let pairing = session.ok_or("SessionInactive")?;
    let service = request.get("Service").and_then(Value::as_string);
    let service = service.ok_or("MissingService")?;
    let scripted = phone.replay().is_some_and(|replay| replay.has(service));
    if !(scripted || services::known(service)) || phone.refuses(service) {
        return Err("InvalidService");
    }
    match request.get("EscrowBag").and_then(Value::as_data) {
        Some(bag) if bag != pairing.escrow_bag => return Err("EscrowLocked"),
        None if phone.is_locked() => return Err("PasswordProtected"),
        _ => {}
    }
    let port = match way {
        Way::Cable => phone.open_port(service, &pairing.tls),
        Way::Wifi(visit) => visit
            .open_port(service, pairing)
            .map_err(|_| "GenericFailure")?,
    };
    Ok(super::dict([
        ("Port", u64::from(port).into()),
        ("EnableServiceSSL", (!phone.config.plain).into()),
    ]))
}

fn pair(phone: &Phone, request: &Dictionary) -> Result<Dictionary, &'static str> {
    let record = request.get("PairRecord").and_then(Value::as_dictionary);
    let record = record.ok_or("MissingPairRecord")?;
    if phone.is_locked() {
        return Err("PasswordProtected");
    }
    let field = |key: &str| match record.get(key) {
        Some(Value::Data(pem)) => Ok(pem.as_slice()),
        _ => Err("InvalidPairRecord"),
    };
    let host = host_id(request).ok_or("MissingHostID")?;
    let key = device_key(phone).map_err(|_| "GenericFailure")?;
    let tls = tls::server(
        &key,
        field("DeviceCertificate")?,
        field("HostCertificate")?,
        field("RootCertificate")?,
    )
    .map_err(|_| "InvalidPairRecord")?;

    let mut state = super::lock(&phone.state);
    let asked = state.trust_asked.map(|t| t.elapsed());
    let trusted = match phone.config.trust {
        Trust::Now => true,
        Trust::After(wait) => asked.is_some_and(|since| since >= wait),
        Trust::Deny if asked.is_some() => {
            state.trust_asked = None;
            return Err("UserDeniedPairing");
        }
        Trust::Deny | Trust::Never => false,
    };
    if !trusted && !state.trusted {
        state.trust_asked.get_or_insert_with(Instant::now);
        return Err("PairingDialogResponsePending");
    }
    let mut escrow_bag = uuid::Uuid::new_v4().as_bytes().to_vec();
    escrow_bag.extend(uuid::Uuid::new_v4().as_bytes());
    let reply = super::dict([("EscrowBag", Value::Data(escrow_bag.clone()))]);
    let pairing = Pairing {
        host: host.to_owned(),
        tls,
        escrow_bag,
    };
    state.pairings.insert(host.to_owned(), pairing);
    drop(state);
    phone.refresh_wifi().map_err(|_| "GenericFailure")?;
    Ok(reply)
}

/// Returns the phone's key pair. Generating it takes a moment the first time.
pub(super) fn device_key(phone: &Phone) -> io::Result<Arc<DeviceKey>> {
    DeviceKey::of(phone.udid().as_str())
}
