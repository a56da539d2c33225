//! Failures on the computer's side of a connection: a USB pump that panics, an unplugged phone, two
//! callers that create the computer's identifier at once, and a daemon that hangs.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use idev_backup::base::cancel::CancelToken;
use idev_backup::device::pair_records::Records;
use idev_backup::transport::usb::pump::{Pipe, Wake};
use idev_backup::transport::usb::{Bus, Found, Usb};
use idev_backup::transport::{Attached, Trouble, Via};

/// Events of a pipe.
enum Event {
    Transfer(Vec<u8>),
    Wake,
    Gone,
    Panic,
}

/// A bus whose phones accept every connection and send nothing else.
#[derive(Clone, Default)]
struct Yes {
    events: Arc<Mutex<Option<Sender<Event>>>>,
}

impl Yes {
    fn happens(&self, event: Event) {
        let events = self.events.lock().unwrap();
        events.as_ref().unwrap().send(event).unwrap();
    }

    fn usb(&self) -> Usb {
        Usb::new(Box::new(self.clone()), token())
    }
}

struct YesPipe {
    events: Receiver<Event>,
    answers: Sender<Event>,
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

impl Pipe for YesPipe {
    fn has_room(&self) -> bool {
        true
    }

    fn is_flushed(&self) -> bool {
        true
    }

    fn send(&mut self, packet: Vec<u8>) -> Result<(), Trouble> {
        const SYN: u8 = 2;
        let answer = match packet[3] {
            // Version 2.0.
            0 => words(&[0, 20, 2, 0, 0]),
            6 if packet[16 + 13] == SYN => {
                let mut answer = words(&[6, 36, 0xFEED_FACE, 0]);
                // The two ports, swapped.
                answer.extend(&packet[18..20]);
                answer.extend(&packet[16..18]);
                answer.extend(words(&[0, 1]));
                answer.extend([0x50, 0x12, 2, 0, 0, 0, 0, 0]);
                answer
            }
            _ => return Ok(()),
        };
        self.answers.send(Event::Transfer(answer)).unwrap();
        Ok(())
    }

    fn wait(
        &mut self,
        patience: Duration,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        match self.events.recv_timeout(patience) {
            Ok(Event::Transfer(bytes)) => take(&bytes),
            Ok(Event::Gone) => Err(Trouble::Unplugged),
            Ok(Event::Panic) => panic!("the test asked for this panic"),
            Ok(Event::Wake) | Err(_) => Ok(()),
        }
    }
}

impl Bus for Yes {
    fn phones(&self) -> Result<Vec<Found>, Trouble> {
        Ok(Vec::new())
    }

    fn open(&self, _: u32) -> Result<(Box<dyn Pipe>, Wake), Trouble> {
        let (answers, events) = channel();
        *self.events.lock().unwrap() = Some(answers.clone());
        let wake = Mutex::new(answers.clone());
        let pipe = YesPipe { events, answers };
        Ok((
            Box::new(pipe),
            // The receiver may be gone by the end of the test.
            Arc::new(move || drop(wake.lock().unwrap().send(Event::Wake))),
        ))
    }
}

fn token() -> Arc<CancelToken> {
    CancelToken::new(Arc::default())
}

fn phone() -> Attached {
    Attached {
        device_id: 1 << 32 | 1,
        udid: "00008130-001A2B3C4D5E6F70".parse().unwrap(),
        via: Via::Usb,
        is_replayed: false,
    }
}

#[test]
fn panicking_pump_fails_pending_reads() {
    let bus = Yes::default();
    let usb = bus.usb();
    let mut wire = usb.connect(&phone(), 1, "a service").unwrap();
    wire.set_patience(token(), Duration::from_secs(600));
    bus.happens(Event::Panic);
    let error = wire.read(&mut [0]).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::TimedOut, "{error}");
    // The next connection opens the phone again.
    usb.connect(&phone(), 1, "a service").unwrap();
}

#[test]
fn write_after_unplugging_fails() {
    let bus = Yes::default();
    let usb = bus.usb();
    let mut wire = usb.connect(&phone(), 1, "a service").unwrap();
    bus.happens(Event::Gone);
    wire.read(&mut [0]).unwrap_err();
    wire.write(&[1; 100]).unwrap_err();
}

/// Checks that a read fails if the link is closed. An end of data would mean that the phone closed
/// the connection.
#[test]
fn closed_link_fails_pending_reads() {
    let bus = Yes::default();
    let usb = bus.usb();
    let mut wire = usb.connect(&phone(), 1, "a service").unwrap();
    // Dropping it closes every connection.
    drop(usb);
    let read = wire.read(&mut [0]);
    assert!(read.is_err(), "{read:?}");
}

/// Checks that two callers that create this computer's identifier (SystemBUID) at once get the same
/// one.
#[test]
fn concurrent_callers_create_one_buid() {
    for _ in 0..50 {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pairing");
        let records = Records::new(Yes::default().usb(), folder.clone());
        let records = records.beside(dir.path().join("none"));
        let begin = Barrier::new(2);
        let made = || {
            begin.wait();
            records.system_buid().unwrap()
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(made);
            (made(), other.join().unwrap())
        });
        assert_eq!(one, other);
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

#[test]
fn unreadable_buid_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("pairing");
    let file = folder.join("SystemConfiguration.plist");
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "damaged").unwrap();
    let records = Records::new(Yes::default().usb(), folder);
    let error = records.beside(dir.path().join("none")).system_buid();
    let words = error.unwrap_err().to_string();
    assert!(words.contains("SystemConfiguration.plist"), "{words}");
    assert_eq!(fs::read(&file).unwrap(), b"damaged");
}

/// Checks that a daemon that does not accept connections (its backlog is full) counts as running,
/// and that the wait for it can be cancelled. Only Linux lets such connections wait; other systems
/// refuse them.
#[test]
#[cfg(target_os = "linux")]
fn daemon_with_full_backlog_is_cancellable() {
    use idev_backup::transport::Usbmuxd;
    use idev_backup::transport::usbmuxd::Address;
    use std::os::unix::net::UnixListener;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _hangs = UnixListener::bind(&path).unwrap();
    let token = token();
    let daemon = Usbmuxd::new(Address::Unix(path), token.clone());
    // More connections than the longest backlog of any system, 4,096.
    for _ in 0..10_000 {
        assert!(daemon.answers());
    }
    token.cancel();
    token.set_between_messages(true);
    let begun = std::time::Instant::now();
    daemon.devices().unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "the cancelled call kept waiting"
    );
}
