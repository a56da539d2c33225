//! Tests the USB protocol's connections with packets that are built here by hand: both protocol
//! versions, both receive windows, and every violation.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use idev_backup::transport::usb::mux::{
    ACK_WITHIN, Broken, CONNECTIONS_MAX, INPUT_BYTES_MAX, Mux, PAYLOAD_BYTES_MAX, Standing,
    TRANSFER_BYTES, WINDOW_BYTES,
};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A packet of the computer, as the phone parses it.
#[derive(Debug, PartialEq)]
struct Seen {
    from: u16,
    to: u16,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    payload: Vec<u8>,
}

/// The phone's end of the protocol.
struct Phone {
    mux: Mux,
    major: u32,
    now: Instant,
    sent: u16,
}

impl Phone {
    fn new(major: u32) -> Phone {
        let mut phone = Phone {
            mux: Mux::new(),
            major,
            now: Instant::now(),
            sent: 0,
        };
        assert_eq!(phone.mux.output().unwrap(), words(&[0, 20, 2, 0, 0]));
        assert!(!phone.mux.is_ready() && phone.mux.output().is_none());
        phone.mux.receive(&words(&[0, 20, major, 0, 0])).unwrap();
        assert!(phone.mux.is_ready());
        if major == 2 {
            let mut setup = words(&[2, 17, 0xFEED_FACE, 0x0000_FFFF]);
            setup.push(7);
            assert_eq!(phone.mux.output().unwrap(), setup);
        }
        assert!(phone.mux.output().is_none());
        phone
    }

    fn packet(&mut self, protocol: u32, body: &[u8]) -> Vec<u8> {
        let header = if self.major == 2 { 16 } else { 8 };
        let mut packet = words(&[protocol, (header + body.len()) as u32]);
        if self.major == 2 {
            packet.extend(words(&[0xFEED_FACE, u32::from(self.sent) << 16 | 0x0101]));
            self.sent += 1;
        }
        packet.extend(body);
        packet
    }

    fn segment(
        &mut self,
        from: u16,
        to: u16,
        ack: u32,
        flags: u8,
        window: u16,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(from.to_be_bytes());
        body.extend(to.to_be_bytes());
        body.extend(words(&[1, ack]));
        body.extend([0x50, flags]);
        body.extend(window.to_be_bytes());
        body.extend([0; 4]);
        body.extend(payload);
        self.packet(6, &body)
    }

    fn say(&mut self, from: u16, to: u16, ack: u32, flags: u8, window: u16, payload: &[u8]) {
        self.try_say(from, to, ack, flags, window, payload).unwrap();
    }

    fn try_say(
        &mut self,
        from: u16,
        to: u16,
        ack: u32,
        flags: u8,
        window: u16,
        payload: &[u8],
    ) -> Result<(), Broken> {
        let packet = self.segment(from, to, ack, flags, window, payload);
        self.transfers(&packet)
    }

    /// Receives a packet as a phone's endpoint delivers it: cut into transfers, followed by an
    /// empty one if none of them is short.
    fn transfers(&mut self, packet: &[u8]) -> Result<(), Broken> {
        for part in packet.chunks(TRANSFER_BYTES) {
            self.mux.receive(part)?;
        }
        if packet.len().is_multiple_of(TRANSFER_BYTES) {
            self.mux.receive(&[])?;
        }
        Ok(())
    }

    fn seen(&mut self) -> Option<Seen> {
        let packet = self.mux.output()?;
        let at = if self.major == 2 {
            assert_eq!(packet[8..12], words(&[0xFEED_FACE]));
            16
        } else {
            8
        };
        assert_eq!(packet[..8], words(&[6, packet.len() as u32]));
        let half = |i: usize| u16::from_be_bytes(packet[at + i..at + i + 2].try_into().unwrap());
        let word = |i: usize| u32::from_be_bytes(packet[at + i..at + i + 4].try_into().unwrap());
        assert_eq!(packet[at + 12], 0x50);
        Some(Seen {
            from: half(0),
            to: half(2),
            seq: word(4),
            ack: word(8),
            flags: packet[at + 13],
            window: half(14),
            payload: packet[at + 20..].to_vec(),
        })
    }

    /// Opens a connection to a port; the phone has room for `window` times 256 bytes.
    fn open(&mut self, there: u16, window: u16) -> u16 {
        let here = self.mux.connect(there).unwrap().unwrap();
        let syn = self.seen().unwrap();
        assert_eq!(
            (syn.from, syn.to, syn.seq, syn.flags, syn.window),
            (here, there, 0, SYN, 512)
        );
        assert_eq!(self.mux.standing(here), Standing::Opening);
        self.say(there, here, 1, SYN | ACK, window, &[]);
        let ack = self.seen().unwrap();
        assert_eq!((ack.seq, ack.ack, ack.flags), (1, 1, ACK));
        assert_eq!(self.mux.standing(here), Standing::Open);
        here
    }

    fn read(&mut self, port: u16, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        let count = self.mux.read(self.now, port, &mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn both_versions_transfer_data() {
    for major in [1, 2] {
        let mut phone = Phone::new(major);
        let port = phone.open(62078, 512);
        assert_eq!(phone.mux.write(port, b"a question").unwrap(), 10);
        let asked = phone.seen().unwrap();
        assert_eq!(
            (asked.seq, asked.ack, asked.flags, asked.payload),
            (1, 1, ACK, b"a question".to_vec())
        );
        phone.say(62078, port, 11, ACK, 512, b"an answer");
        assert_eq!(phone.read(port, 3), b"an ");
        assert_eq!(phone.read(port, 100), b"answer");
        let nothing = phone.mux.read(phone.now, port, &mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        // The next packet acknowledges what was read.
        phone.mux.write(port, b"more").unwrap();
        let more = phone.seen().unwrap();
        assert_eq!((more.seq, more.ack), (11, 10));
        assert_eq!(phone.mux.deadline(), None);
        phone.mux.close(port).unwrap();
        assert_eq!(phone.seen().unwrap().flags, RST);
        assert!(phone.mux.is_unused());
    }
}

#[test]
fn connections_keep_data_separate() {
    let mut phone = Phone::new(2);
    let ports: Vec<u16> = (0..5).map(|i| phone.open(50000 + i, 512)).collect();
    for (i, port) in (0..).zip(&ports) {
        phone.say(50000 + i, *port, 1, ACK, 512, format!("for {i}").as_bytes());
    }
    for (i, port) in ports.iter().enumerate().rev() {
        assert_eq!(phone.read(*port, 100), format!("for {i}").as_bytes());
    }
}

#[test]
fn packets_are_reassembled_from_transfers() {
    let whole = bytes(65536 - 36);
    let mut phone = Phone::new(2);
    let port = phone.open(1, 512);
    phone.say(1, port, 1, ACK, 512, &whole);
    let mut came = Vec::new();
    while came.len() < whole.len() {
        came.extend(phone.read(port, 1000));
    }
    assert!(came == whole);
    // Two packets in one transfer; the second one ends in the next transfer.
    let mut both = phone.segment(1, port, 1, ACK, 512, b"first");
    both.extend(phone.segment(1, port, 1, ACK, 512, &whole[..20000]));
    phone.transfers(&both).unwrap();
    assert_eq!(phone.read(port, 5), b"first");
    assert_eq!(phone.read(port, 65536), whole[..20000]);
}

/// Checks that reads are acknowledged together, at the latest `ACK_WITHIN` after the first of them,
/// and that a stream is acknowledged four times per window.
#[test]
fn reads_are_acknowledged_in_batches() {
    let mut phone = Phone::new(2);
    let port = phone.open(1, 512);
    phone.say(1, port, 1, ACK, 512, &bytes(1000));
    phone.read(port, 10);
    let due = phone.mux.deadline().unwrap();
    assert_eq!(due, phone.now + ACK_WITHIN);
    phone.now += Duration::from_millis(20);
    phone.read(port, 10);
    assert_eq!(phone.mux.deadline(), Some(due));
    phone.mux.tick(due - Duration::from_millis(1)).unwrap();
    assert_eq!(phone.seen(), None);
    phone.mux.tick(due).unwrap();
    let ack = phone.seen().unwrap();
    assert_eq!((ack.flags, ack.ack, ack.payload.len()), (ACK, 21, 0));
    assert_eq!((phone.seen(), phone.mux.deadline()), (None, None));
    // A stream is acknowledged four times per window, independently of the clock.
    let mut acks = 0;
    for _ in 0..8 {
        phone.say(1, port, 1, ACK, 512, &bytes(16000));
        phone.read(port, 32000);
        acks += usize::from(phone.seen().is_some());
    }
    assert_eq!(acks, 3);
}

#[test]
fn sending_respects_receive_window() {
    let mut phone = Phone::new(2);
    let port = phone.open(1, 4);
    let data = bytes(100_000);
    assert_eq!(phone.mux.write(port, &data).unwrap(), 1024);
    assert_eq!(
        phone.mux.write(port, &data).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    phone.say(1, port, 1025, ACK, 512, &[]);
    assert_eq!(phone.mux.write(port, &data).unwrap(), PAYLOAD_BYTES_MAX);
    phone.say(1, port, 1025, ACK, 0, &[]);
    assert_eq!(
        phone.mux.write(port, &data).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let (first, second) = (phone.seen().unwrap(), phone.seen().unwrap());
    assert_eq!((first.seq, first.payload), (1, data[..1024].to_vec()));
    assert_eq!(
        (second.seq, second.payload.len()),
        (1025, PAYLOAD_BYTES_MAX)
    );
    // A full packet ends with a short transfer at every endpoint packet size.
    assert!(
        [64, 512, 1024]
            .iter()
            .all(|size| !(PAYLOAD_BYTES_MAX + 36).is_multiple_of(*size))
    );
}

#[test]
fn send_queue_is_bounded() {
    let mut phone = Phone::new(2);
    let mut queued = 0;
    let data = bytes(PAYLOAD_BYTES_MAX);
    for there in 1..50 {
        let port = phone.mux.connect(there).unwrap().unwrap();
        phone.say(there, port, 1, SYN | ACK, u16::MAX, &[]);
        while let Ok(count) = phone.mux.write(port, &data) {
            queued += count;
        }
    }
    assert!((200_000..400_000).contains(&queued), "{queued}");
}

/// Checks that a refused connection keeps the phone's text, and that the data of an ended
/// connection can still be read.
#[test]
fn refusal_and_end_are_distinct() {
    let mut phone = Phone::new(2);
    let refused = phone.mux.connect(9).unwrap().unwrap();
    phone.seen();
    phone.say(
        9,
        refused,
        0,
        RST | ACK,
        0,
        b"connection refused by lockdownd",
    );
    assert_eq!(phone.mux.standing(refused), Standing::Refused);
    assert_eq!(
        phone.mux.words().unwrap(),
        "connection refused by lockdownd"
    );
    for end in [RST, FIN | ACK] {
        let port = phone.open(10, 512);
        phone.say(10, port, 1, ACK, 512, b"last words");
        phone.say(10, port, 1, end, 512, &[]);
        assert_eq!(phone.mux.standing(port), Standing::Ended);
        assert_eq!(phone.read(port, 100), b"last words");
        assert!(phone.read(port, 100).is_empty());
        assert_eq!(
            phone.mux.write(port, b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        // The connection is closed on both sides, so no further packet is sent.
        phone.mux.close(port).unwrap();
        assert_eq!(phone.seen(), None);
    }
}

/// Checks that packets for an earlier program are skipped up to the version packet, but not without
/// limit, and that an unknown version is an error.
#[test]
fn stale_input_is_skipped() {
    let mut mux = Mux::new();
    for stale in [
        bytes(16384),
        bytes(300),
        Vec::new(),
        words(&[0, 20]),
        words(&[6, 20, 2, 0, 0]),
    ] {
        mux.receive(&stale).unwrap();
        assert!(!mux.is_ready());
    }
    mux.receive(&words(&[0, 20, 2, 0, 0])).unwrap();
    assert!(mux.is_ready());
    let mut mux = Mux::new();
    let endless = (0..1_000_000).find_map(|_| mux.receive(&[0; 16384]).err());
    assert_eq!(endless, Some(Broken::NoVersion));
    let mut mux = Mux::new();
    assert_eq!(
        mux.receive(&words(&[0, 20, 3, 0, 0])),
        Err(Broken::Version(3))
    );
    assert!(mux.connect(1).unwrap().is_none());
}

/// Checks that each kind of invalid packet has its own error, which states the wrong value.
#[test]
fn invalid_packets_are_errors() {
    let broken = |made: &dyn Fn(&mut Phone) -> Vec<u8>| {
        let mut phone = Phone::new(2);
        let packet = made(&mut phone);
        phone.transfers(&packet).unwrap_err()
    };
    assert_eq!(
        broken(&|_| words(&[9, 16, 0xFEED_FACE, 0])),
        Broken::Protocol(9)
    );
    assert_eq!(
        broken(&|_| words(&[6, 35, 0xFEED_FACE, 0])),
        Broken::Length {
            said: 35,
            least: 36
        }
    );
    assert_eq!(
        broken(&|_| words(&[6, 0, 0xFEED_FACE, 0])),
        Broken::Length { said: 0, least: 36 }
    );
    assert_eq!(
        broken(&|_| words(&[6, u32::MAX, 0, 0])),
        Broken::Length {
            said: u32::MAX,
            least: 36
        }
    );
    assert_eq!(
        broken(&|_| words(&[6, 65537, 0, 0])),
        Broken::Length {
            said: 65537,
            least: 36
        }
    );
    assert_eq!(
        broken(&|_| words(&[1, 15, 0, 0])),
        Broken::Length {
            said: 15,
            least: 16
        }
    );
    assert_eq!(
        broken(&|_| words(&[1, 16, 0xFEED_FACF, 0])),
        Broken::Magic(0xFEED_FACF)
    );
    assert_eq!(broken(&|_| vec![0, 0, 0]), Broken::Cut { missing: 5 });
    assert_eq!(broken(&|_| words(&[6, 100])), Broken::Cut { missing: 92 });
    let cut = |phone: &mut Phone| {
        let whole = phone.segment(1, 1, 1, ACK, 1, &[7; 100]);
        whole[..whole.len() - 30].to_vec()
    };
    assert_eq!(broken(&cut), Broken::Cut { missing: 30 });
    // The message states the length that is wrong.
    assert!(
        Broken::Length {
            said: 65537,
            least: 36
        }
        .to_string()
        .contains("65537")
    );
}

/// Checks that a violation on one connection resets only that connection, within the memory limit,
/// and that other connections still work.
#[test]
fn violation_ends_one_connection() {
    type Lie<'a> = (&'a str, &'a dyn Fn(&mut Phone, u16));
    let lies: [Lie<'_>; 3] = [
        ("was not sent", &|phone, port| {
            phone.say(1, port, 500, ACK, 512, &[])
        }),
        ("opens a connection", &|phone, port| {
            phone.say(1, port, 1, SYN | ACK, 512, &[])
        }),
        ("allowed to", &|phone, port| {
            for _ in 0..=INPUT_BYTES_MAX / 60000 {
                phone.say(1, port, 1, ACK, 512, &[0; 60000]);
            }
        }),
    ];
    for (words, lie) in lies {
        let mut phone = Phone::new(2);
        let (port, other) = (phone.open(1, 512), phone.open(2, 512));
        lie(&mut phone, port);
        assert!(
            matches!(phone.mux.standing(port), Standing::Faulty(_)),
            "{words}"
        );
        let reset = phone.seen().unwrap();
        assert_eq!((reset.flags, reset.from), (RST, port));
        let mut held = 0;
        let error = loop {
            match phone.mux.read(phone.now, port, &mut [0; 4096]) {
                Ok(count) => held += count,
                Err(e) => break e,
            }
        };
        assert!(error.to_string().contains(words), "{error}");
        assert!(held <= INPUT_BYTES_MAX);
        phone.say(2, other, 1, ACK, 512, b"still here");
        assert_eq!(phone.read(other, 100), b"still here");
    }
    // Data arrives before the phone has accepted or refused the connection.
    let mut phone = Phone::new(2);
    let port = phone.mux.connect(1).unwrap().unwrap();
    phone.say(1, port, 1, ACK, 512, b"data");
    assert!(matches!(phone.mux.standing(port), Standing::Faulty(_)));
}

/// Checks that packets for closed ports are answered with resets, and that a flood of them is an
/// error.
#[test]
fn closed_ports_answer_with_reset() {
    let mut phone = Phone::new(2);
    phone.say(40000, 7, 1, SYN, 512, &[]);
    let reset = phone.seen().unwrap();
    assert_eq!((reset.from, reset.to, reset.flags), (7, 40000, RST));
    phone.say(40000, 7, 1, ACK, 512, &[1; 5000]);
    assert_eq!(phone.seen().unwrap().flags, RST);
    // A reset is never answered by another.
    phone.say(40000, 7, 1, RST, 0, &[]);
    assert_eq!(phone.seen(), None);
    // A phone that never reads the resets cannot fill our memory.
    let flood = (0..100_000).find_map(|i| phone.try_say(40000, i as u16, 1, SYN, 512, &[]).err());
    assert_eq!(flood, Some(Broken::Deaf));
}

/// Checks that port numbers are reused without a collision, and that the number of connections is
/// limited.
#[test]
fn ports_are_reused_within_limit() {
    let mut phone = Phone::new(2);
    let kept = phone.open(1, 512);
    for _ in 0..70_000 {
        let port = phone.mux.connect(2).unwrap().unwrap();
        assert!(port != kept && port != 0);
        phone.mux.close(port).unwrap();
        while phone.mux.output().is_some() {}
    }
    for _ in 1..CONNECTIONS_MAX {
        assert!(phone.mux.connect(2).unwrap().is_some());
    }
    assert!(phone.mux.connect(2).unwrap().is_none());
    phone.mux.close_all().unwrap();
    assert!(phone.mux.is_unused());
}

#[test]
fn phone_text_is_truncated() {
    let mut phone = Phone::new(2);
    let mut body = vec![3];
    body.extend([b'x'; 60000]);
    let packet = phone.packet(1, &body);
    phone.transfers(&packet).unwrap();
    assert_eq!(phone.mux.words().unwrap().len(), 200);
    let empty = phone.packet(1, &[]);
    phone.transfers(&empty).unwrap();
    assert_eq!(phone.mux.words(), None);
}

/// Checks that sequence numbers wrap around after 4 GiB.
#[test]
fn sequence_numbers_wrap_around() {
    let mut phone = Phone::new(1);
    let port = phone.open(1, 512);
    let data = vec![0; WINDOW_BYTES / 2];
    let mut ack: u32 = 1;
    let mut sent: u64 = 0;
    while sent < (1 << 32) + 1_000_000 {
        let count = phone.mux.write(port, &data).unwrap();
        sent += count as u64;
        ack = ack.wrapping_add(count as u32);
        phone.mux.output().unwrap();
        phone.say(1, port, ack, ACK, 512, &[]);
    }
    assert_eq!(phone.mux.standing(port), Standing::Open);
}
