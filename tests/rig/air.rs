//! Puts a simulated phone on the network: a bridge from TCP ports of an address of this computer to
//! the daemon that the phone is attached to. Tests cut it, silence it, and move it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use plist::{Dictionary, Value};

/// Lockdown's port, and those that a simulated phone gives its first services.
const LOCKDOWN: u16 = 62078;
const FIRST: u16 = 49_152;
const STEP: u16 = 97;
const SERVICES: u16 = 160;

/// Each bridge has an address of its own in 127.0.0.0/8, since it listens on many ports.
static NEXT: AtomicU8 = AtomicU8::new(2);

/// A bridge, which ends when it is dropped.
pub struct Air {
    pub ip: Ipv4Addr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    silent: AtomicBool,
    /// Number of bytes from the phone after which all connections are cut; 0: never.
    cut_after: AtomicUsize,
    passed: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Air {
    /// Bridges to the first phone of the daemon at `host:port`.
    pub fn to(daemon: &str) -> Air {
        let ip = Ipv4Addr::new(127, 77, (std::process::id() % 250) as u8, {
            NEXT.fetch_add(1, Ordering::SeqCst)
        });
        let ports = (0..SERVICES).map(|n| FIRST + n * STEP);
        let listeners: Vec<(u16, TcpListener)> = std::iter::once(LOCKDOWN)
            .chain(ports)
            .map(|port| {
                let listener = TcpListener::bind((ip, port)).unwrap();
                listener.set_nonblocking(true).unwrap();
                (port, listener)
            })
            .collect();
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let daemon = daemon.to_owned();
        let thread = std::thread::spawn(move || accept(&own, &listeners, &daemon));
        Air {
            ip,
            shared,
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        (self.ip, LOCKDOWN).into()
    }

    /// Ends all connections, as a phone does that gets another address.
    pub fn cut(&self) {
        for socket in self.shared.open.lock().unwrap().drain(..) {
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    /// Ends all connections once after this number of bytes from the phone, counted from now.
    pub fn cut_after(&self, bytes: usize) {
        self.shared.passed.store(0, Ordering::SeqCst);
        self.shared.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// Lets nothing pass any more, while all connections stay open.
    pub fn silence(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }

    /// Returns the number of bytes that came from the phone.
    pub fn passed(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }
}

impl Drop for Air {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.cut();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn accept(shared: &Arc<Shared>, listeners: &[(u16, TcpListener)], daemon: &str) {
    while !shared.stop.load(Ordering::SeqCst) {
        for (port, listener) in listeners {
            let Ok((near, _)) = listener.accept() else {
                continue;
            };
            near.set_nonblocking(false).unwrap();
            let Some(far) = connect(daemon, *port) else {
                continue;
            };
            let mut open = shared.open.lock().unwrap();
            open.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
            drop(open);
            let (to, from) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (one, other) = (shared.clone(), shared.clone());
            std::thread::spawn(move || pass(&one, near, far, false));
            std::thread::spawn(move || pass(&other, from, to, true));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn pass(shared: &Shared, mut from: TcpStream, mut to: TcpStream, of_phone: bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while shared.silent.load(Ordering::SeqCst) && !shared.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if of_phone {
            let passed = shared.passed.fetch_add(count, Ordering::SeqCst) + count;
            let limit = shared.cut_after.load(Ordering::SeqCst);
            if limit > 0 && passed >= limit {
                shared.cut_after.store(0, Ordering::SeqCst);
                for socket in shared.open.lock().unwrap().drain(..) {
                    drop(socket.shutdown(Shutdown::Both));
                }
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

/// Asks the daemon to connect to a port of its first phone.
fn connect(daemon: &str, port: u16) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(daemon).ok()?;
    let mut request = Dictionary::new();
    request.insert("MessageType".into(), "Connect".into());
    request.insert("DeviceID".into(), 1.into());
    request.insert("PortNumber".into(), port.swap_bytes().into());
    let mut body = vec![0; 16];
    Value::Dictionary(request).to_writer_xml(&mut body).unwrap();
    let length = body.len() as u32;
    for (at, word) in [length, 1, 8, 1].into_iter().enumerate() {
        body[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    socket.write_all(&body).ok()?;
    let mut header = [0; 16];
    socket.read_exact(&mut header).ok()?;
    let length = u32::from_le_bytes(header[..4].try_into().unwrap());
    let mut answer = vec![0; length as usize - 16];
    socket.read_exact(&mut answer).ok()?;
    let answer = Value::from_reader(std::io::Cursor::new(answer)).ok()?;
    let number = answer
        .as_dictionary()?
        .get("Number")?
        .as_unsigned_integer()?;
    (number == 0).then_some(socket)
}
