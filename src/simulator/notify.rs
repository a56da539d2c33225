//! notification_proxy: clients post notifications, and receive those that they observe.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use plist::Value;
use rustls::ServerConnection;

use super::phone::Phone;
use super::socket::Socket;
use super::tls::Link;
use crate::trace::Tap;
use crate::transport::plist_stream::{self, Encoding};

const MESSAGE_BYTES_MAX: u32 = 1 << 16;

/// Observers of notifications on one phone.
#[derive(Debug, Default)]
pub(super) struct Hub {
    observers: Mutex<HashMap<u64, (HashSet<String>, Sender)>>,
    next: Mutex<u64>,
}

impl Hub {
    /// Sends a notification to all clients that observe its name.
    pub(super) fn post(&self, name: &str) {
        let relay = Value::Dictionary(super::dict([
            ("Command", "RelayNotification".into()),
            ("Name", name.into()),
        ]));
        let mut observers = super::lock(&self.observers);
        observers.retain(|_, (names, sender)| !names.contains(name) || sender.send(&relay).is_ok());
    }
}

/// The writing half of a stream whose reading half waits on another thread.
#[derive(Debug)]
struct Sender {
    session: Option<Arc<Mutex<ServerConnection>>>,
    socket: Socket,
    tap: Option<Tap>,
}

impl Sender {
    fn send(&mut self, message: &Value) -> io::Result<()> {
        let mut bytes = Vec::new();
        plist_stream::write(&mut bytes, message, Encoding::Xml).map_err(super::frame_error)?;
        let Some(session) = &self.session else {
            return self.socket.write_all(&bytes);
        };
        let mut session = super::lock(session);
        session.writer().write_all(&bytes)?;
        if let Some(tap) = &self.tap {
            tap.wrote(&bytes);
        }
        while session.wants_write() {
            session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// The reading half of a stream. Waits on the socket without locking the session.
struct Receiver {
    session: Option<Arc<Mutex<ServerConnection>>>,
    socket: Socket,
    tap: Option<Tap>,
}

impl Receiver {
    fn record(&self, buf: &[u8], count: usize) -> io::Result<usize> {
        if let Some(tap) = &self.tap {
            tap.read(&buf[..count]);
        }
        Ok(count)
    }
}

impl Read for Receiver {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &self.session else {
            return self.socket.read(buf);
        };
        loop {
            match super::lock(session).reader().read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return self.record(buf, done?),
            }
            let mut raw = [0; 4096];
            let count = self.socket.read(&mut raw)?;
            if count == 0 {
                return self.record(buf, 0);
            }
            let mut session = super::lock(session);
            let mut fresh = &raw[..count];
            while !fresh.is_empty() {
                session.read_tls(&mut fresh)?;
                session.process_new_packets().map_err(io::Error::other)?;
            }
        }
    }
}

/// Serves one client until it disconnects.
pub(super) fn serve(phone: &Phone, link: Link) -> io::Result<()> {
    let (session, socket, tap) = match link {
        Link::Plain(socket) => (None, socket, None),
        Link::Tls(stream, tap) => (Some(Arc::new(Mutex::new(stream.conn))), stream.sock, tap),
    };
    let sender = Sender {
        session: session.clone(),
        socket: socket.try_clone()?,
        tap: tap.clone(),
    };
    let mut receiver = Receiver {
        session,
        socket,
        tap,
    };
    let id = {
        let mut next = super::lock(&phone.hub.next);
        *next += 1;
        *next
    };
    super::lock(&phone.hub.observers).insert(id, (HashSet::new(), sender));
    let ended = listen(phone, id, &mut receiver);
    super::lock(&phone.hub.observers).remove(&id);
    receiver.socket.cut();
    ended
}

fn listen(phone: &Phone, id: u64, receiver: &mut Receiver) -> io::Result<()> {
    loop {
        let message =
            plist_stream::read(receiver, MESSAGE_BYTES_MAX).map_err(super::frame_error)?;
        let Some(message) = message.as_dictionary() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let text = |key: &str| message.get(key).and_then(Value::as_string);
        let name = text("Name").unwrap_or_default();
        match text("Command").unwrap_or_default() {
            "PostNotification" => phone.hub.post(name),
            "ObserveNotification" => {
                if let Some((names, _)) = super::lock(&phone.hub.observers).get_mut(&id) {
                    names.insert(name.to_owned());
                }
            }
            "Shutdown" => {
                let death = super::dict([("Command", "ProxyDeath".into())]);
                if let Some((_, sender)) = super::lock(&phone.hub.observers).get_mut(&id) {
                    sender.send(&Value::Dictionary(death))?;
                }
                return Ok(());
            }
            _ => {}
        }
    }
}
