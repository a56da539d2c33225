//! Tests the simulated phone as a USB device. The tests play QEMU with their own implementation of
//! the usbredir protocol; tests/usblab uses the real QEMU with a kernel.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Receiver;

use idev_backup::simulator::{Cable, Misstep, Phone, PhoneConfig, RedirError, UsbEvent};

/// QEMU's end of usbredir, with 64-bit ids and long bulk packets as current versions have them.
struct Qemu {
    socket: TcpStream,
    events: Receiver<UsbEvent>,
    cable: Cable,
    next: u64,
    number: u16,
}

impl Qemu {
    /// Plugs in the phone, and reads its description.
    fn new() -> Qemu {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let phone = Phone::new(PhoneConfig::default());
        let (cable, events) = Cable::plug(&address, &phone, 2).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let mut qemu = Qemu {
            socket,
            events,
            cable,
            next: 1,
            number: 0,
        };
        let mut hello = words(&[0, 68, 0]);
        hello.extend([b'q'; 64]);
        hello.extend(words(&[0b111_0010]));
        qemu.socket.write_all(&hello).unwrap();
        let mut theirs = [0; 12 + 68];
        qemu.socket.read_exact(&mut theirs).unwrap();
        assert_eq!(theirs[76..], [0b111_0010, 0, 0, 0]);
        for kind in [4, 5, 1] {
            let (found, _, body) = qemu.packet();
            assert_eq!(found, kind);
            if kind == 1 {
                // The speed of 480 Mbit/s, and the ids of an iPhone.
                assert_eq!(body, [2, 0, 0, 0, 0xac, 0x05, 0xa8, 0x12, 0x01, 0x0e]);
            }
        }
        assert_eq!(qemu.event(), UsbEvent::Plugged);
        qemu
    }

    /// Also selects the configuration that has the mux interface.
    fn configured() -> Qemu {
        let mut qemu = Qemu::new();
        qemu.send(6, &[4]);
        for kind in [4, 5] {
            assert_eq!(qemu.packet().0, kind);
        }
        assert_eq!(qemu.packet().2, [0, 4]);
        assert_eq!(qemu.event(), UsbEvent::Configured(4));
        qemu
    }

    /// Also exchanges the mux version.
    fn agreed() -> Qemu {
        let mut qemu = Qemu::configured();
        qemu.out(&big(&[0, 20, 2, 0, 0]));
        assert_eq!(qemu.event(), UsbEvent::Agreed(2));
        assert_eq!(qemu.message(), big(&[0, 20, 2, 0, 0]));
        qemu.say(2, &[7]);
        qemu
    }

    fn event(&self) -> UsbEvent {
        self.events.recv().unwrap()
    }

    fn send(&mut self, kind: u32, body: &[u8]) -> u64 {
        let mut packet = words(&[kind, body.len() as u32]);
        packet.extend(self.next.to_le_bytes());
        packet.extend(body);
        self.socket.write_all(&packet).unwrap();
        self.next += 1;
        self.next - 1
    }

    /// Reads the phone's next packet, and returns its type, id and body.
    fn packet(&mut self) -> (u32, u64, Vec<u8>) {
        let mut header = [0; 16];
        self.socket.read_exact(&mut header).unwrap();
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut body = vec![0; word(4) as usize];
        self.socket.read_exact(&mut body).unwrap();
        (word(0), u64::from(word(8)), body)
    }

    /// Sends a message to the mux, followed by a zero-length packet if its length requires one.
    fn out(&mut self, message: &[u8]) {
        let last = match message.len() % 512 {
            0 => vec![message, &[]],
            _ => vec![message],
        };
        for data in last {
            let id = self.bulk(0x04, data.len() as u32, data);
            let (kind, of, body) = self.packet();
            assert_eq!((kind, of, body[1]), (101, id, 0));
        }
    }

    fn bulk(&mut self, endpoint: u8, length: u32, data: &[u8]) -> u64 {
        let [a, b, c, d] = length.to_le_bytes();
        let mut body = vec![endpoint, 0, a, b, 0, 0, 0, 0, c, d];
        body.extend(data);
        self.send(101, &body)
    }

    /// Sends a message of mux version 2.
    fn say(&mut self, protocol: u32, body: &[u8]) {
        let mut message = big(&[protocol, 16 + body.len() as u32, 0xfeed_face]);
        message.extend(self.number.to_be_bytes());
        message.extend([0; 2]);
        message.extend(body);
        self.number += 1;
        self.out(&message);
    }

    /// Reads a message as a computer does, in parts of 512 bytes up to one that is not full.
    fn message(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let id = self.bulk(0x85, 512, &[]);
            let (kind, of, body) = self.packet();
            assert_eq!((kind, of, body[1]), (101, id, 0));
            message.extend(&body[10..]);
            if body.len() < 10 + 512 {
                return message;
            }
        }
    }
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn big(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn tcp(seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = big(&[5 << 16 | 62_078, seq, ack]);
    segment.extend([0x50, flags, 2, 0, 0, 0, 0, 0]);
    segment.extend(data);
    segment
}

#[test]
fn lockdown_answers_over_usb() {
    let mut qemu = Qemu::agreed();
    qemu.say(6, &tcp(0, 0, 2, &[]));
    assert_eq!(qemu.message()[16 + 13], 0x12, "SYN and ACK");
    qemu.say(6, &tcp(1, 1, 16, &[]));
    assert_eq!(qemu.event(), UsbEvent::Backup("lockdown".into()));
    let question = concat!(
        r#"<plist version="1.0"><dict><key>Request</key>"#,
        "<string>QueryType</string></dict></plist>"
    );
    let mut data = big(&[question.len() as u32]);
    data.extend(question.bytes());
    qemu.say(6, &tcp(1, 1, 16, &data));
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("</plist>") {
        heard.extend(&qemu.message()[36..]);
    }
    assert!(String::from_utf8_lossy(&heard).contains("com.apple.mobile.lockdown"));
    let counts = qemu.cable.counts();
    assert_eq!(counts.missteps, 0);
    assert!(counts.bytes_in > 100 && counts.bytes_out > data.len() as u64);
}

/// Checks that the phone notices a message of full packets only that is not followed by a
/// zero-length packet.
#[test]
fn missing_zero_length_packet_detected() {
    let mut qemu = Qemu::agreed();
    let mut message = big(&[6, 512, 0xfeed_face]);
    message.extend([0, 1, 0, 0]);
    message.extend(tcp(0, 0, 2, &[0; 476]));
    for data in [&message[..], &big(&[0, 20, 2, 0, 0])] {
        qemu.bulk(0x04, data.len() as u32, data);
        qemu.packet();
    }
    let misstep = Misstep::WrongLength {
        claimed: 512,
        bytes: 532,
    };
    assert_eq!(qemu.event(), UsbEvent::Misstep(misstep));
}

/// Checks that the phone drops a message that is too long, and accepts the next one.
#[test]
fn endless_message_is_dropped() {
    let mut qemu = Qemu::agreed();
    for _ in 0..40 {
        qemu.bulk(0x04, 4096, &[0; 4096]);
        qemu.packet();
    }
    let misstep = Misstep::MessageTooLong { bytes: 69_632 };
    assert_eq!(qemu.event(), UsbEvent::Misstep(misstep));
    qemu.bulk(0x04, 0, &[]);
    qemu.packet();
    qemu.out(&big(&[0, 20, 2, 0, 0]));
    assert_eq!(
        qemu.event(),
        UsbEvent::Agreed(2),
        "the next message is accepted"
    );
}

/// Checks that bytes that are not usbredir end the session with an error that names the fault.
#[test]
fn invalid_usbredir_ends_session() {
    let mut qemu = Qemu::new();
    qemu.socket
        .write_all(&words(&[101, u32::MAX, 0, 0]))
        .unwrap();
    let error = RedirError::TooLong {
        kind: 101,
        length: u32::MAX,
    };
    assert_eq!(qemu.event(), UsbEvent::Nonsense(error));
    assert_eq!(qemu.event(), UsbEvent::Over);
}

#[test]
fn cancelled_transfer_is_returned() {
    let mut qemu = Qemu::configured();
    let waiting = qemu.bulk(0x85, 512, &[]);
    let mut cancel = words(&[21, 0]);
    cancel.extend(waiting.to_le_bytes());
    qemu.socket.write_all(&cancel).unwrap();
    let (kind, id, body) = qemu.packet();
    assert_eq!((kind, id, body[1]), (101, waiting, 1));
}

/// Checks that unplugging the phone returns all pending transfers, and that it can be plugged in
/// again.
#[test]
fn unplug_returns_all_transfers() {
    let mut qemu = Qemu::agreed();
    let waiting = qemu.bulk(0x85, 512, &[]);
    // The answer to this request shows that the phone has received the read.
    qemu.send(7, &[]);
    assert_eq!(qemu.packet().2, [0, 4]);
    qemu.cable.unplug();
    assert_eq!(qemu.event(), UsbEvent::Unplugged);
    let (kind, id, body) = qemu.packet();
    assert_eq!((kind, id, body[1]), (101, waiting, 1));
    assert_eq!(qemu.packet().0, 2);
    qemu.cable.plug_again();
    assert_eq!(qemu.event(), UsbEvent::Plugged);
    for kind in [4, 5, 1] {
        assert_eq!(qemu.packet().0, kind);
    }
}
