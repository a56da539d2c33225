//! Tests of the phone's mux with a correct computer, and with one that violates the protocol.

use super::*;

/// A computer that sends messages with correct packet numbers.
struct Computer {
    mux: Mux,
    number: u16,
}

impl Computer {
    /// Creates a computer that has agreed on a version with the phone and sent SETUP.
    fn ready() -> Computer {
        let mut computer = Computer {
            mux: Mux::new(2),
            number: 0,
        };
        let agreed = computer.raw(&version(2));
        assert_eq!(agreed, [Event::Agreed(2)]);
        assert_eq!(computer.mux.next_message().unwrap(), version(2));
        assert_eq!(computer.send(SETUP, &[7]), []);
        computer
    }

    fn raw(&mut self, message: &[u8]) -> Vec<Event> {
        self.mux.receive(message, |port| port == 62_078)
    }

    fn headed(&mut self, protocol: u32, body: &[u8]) -> Vec<u8> {
        let mut message = protocol.to_be_bytes().to_vec();
        message.extend((body.len() as u32 + 16).to_be_bytes());
        message.extend(MAGIC.to_be_bytes());
        message.extend(self.number.to_be_bytes());
        message.extend([0, 0]);
        message.extend(body);
        self.number += 1;
        message
    }

    fn send(&mut self, protocol: u32, body: &[u8]) -> Vec<Event> {
        let message = self.headed(protocol, body);
        self.raw(&message)
    }

    /// Opens a connection from port 1, and returns its id.
    fn open(&mut self, window: u32) -> u64 {
        self.send(TCP, &tcp(1, 62_078, 0, 0, SYN, window, &[]));
        let reply = self.mux.next_message().unwrap();
        assert_eq!(reply[16..], tcp(62_078, 1, 0, 1, SYN | ACK, 131_072, &[]));
        match self.send(TCP, &tcp(1, 62_078, 1, 1, ACK, window, &[]))[..] {
            [Event::Backup { id, port: 62_078 }] => id,
            ref other => panic!("{other:?}"),
        }
    }

    fn data(&mut self, sequence: u32, acknowledged: u32, data: &[u8]) -> Vec<Event> {
        self.send(
            TCP,
            &tcp(1, 62_078, sequence, acknowledged, ACK, 131_072, data),
        )
    }
}

fn version(major: u32) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [0, 20, major, 0, 0] {
        message.extend(u32::to_be_bytes(word));
    }
    message
}

fn data_of(message: &[u8]) -> &[u8] {
    &message[16 + TCP_BYTES..]
}

#[test]
fn data_is_exchanged_and_acknowledged() {
    let mut computer = Computer::ready();
    let id = computer.open(131_072);
    let mut buf = [0; 64];
    assert_eq!(computer.mux.read(id, &mut buf), Moved::Wait);
    assert_eq!(computer.data(1, 1, b"hello"), []);
    assert_eq!(computer.mux.read(id, &mut buf), Moved::Bytes(5));
    assert_eq!(&buf[..5], b"hello");
    let ack = computer.mux.next_message().unwrap();
    assert_eq!(word(&ack, 16 + 8), Some(6));
    assert_eq!(computer.mux.write(id, b"phone here"), Moved::Bytes(10));
    let message = computer.mux.next_message().unwrap();
    assert_eq!(data_of(&message), b"phone here");
    assert_eq!(
        (half(&message, 12), word(&message, 4)),
        (Some(2), Some(46)),
        "the third message with a number"
    );
    assert!(computer.mux.next_message().is_none());
}

#[test]
fn sender_respects_the_receive_window() {
    let mut computer = Computer::ready();
    let id = computer.open(51_200);
    assert_eq!(
        computer.mux.write(id, &vec![1; 300_000]),
        Moved::Bytes(SEND_BYTES_MAX)
    );
    assert_eq!(computer.mux.write(id, &[1]), Moved::Wait);
    let mut sent = 0;
    while let Some(message) = computer.mux.next_message() {
        sent += data_of(&message).len();
    }
    assert_eq!(sent, 51_200);
    let acknowledge = tcp(1, 62_078, 1, 1 + 51_200, ACK, 256, &[]);
    computer.send(TCP, &acknowledge);
    let message = computer.mux.next_message().unwrap();
    assert_eq!(data_of(&message).len(), 256);
}

#[test]
fn reading_reopens_a_full_window() {
    let mut computer = Computer::ready();
    let id = computer.open(131_072);
    for part in 0..4 {
        assert_eq!(computer.data(1 + part * 32_768, 1, &[7; 32_768]), []);
    }
    let full = computer.mux.next_message().unwrap();
    assert_eq!(half(&full, 16 + 14), Some(0));
    let mut read = 0;
    while let Moved::Bytes(count) = computer.mux.read(id, &mut [0; 10_000]) {
        read += count;
    }
    assert_eq!(read, 131_072);
    let open = computer.mux.next_message().unwrap();
    assert_eq!(half(&open, 16 + 14), Some(512));
}

#[test]
fn close_sends_pending_data_first() {
    let mut computer = Computer::ready();
    let id = computer.open(131_072);
    computer.mux.write(id, &[5; 40_000]);
    computer.mux.forget(id);
    let mut sent = 0;
    loop {
        let message = computer.mux.next_message().unwrap();
        sent += data_of(&message).len();
        if message[16 + 13] & RST != 0 {
            break;
        }
    }
    assert_eq!(sent, 40_000);
    assert!(computer.mux.connections.is_empty());
    // Data that crossed the RST is not a violation.
    assert_eq!(computer.data(1, 1, b"late"), []);
}

/// Checks that the simulated phone sends messages of the lengths at which computers are prone to
/// bugs.
#[test]
fn critical_message_lengths_are_produced() {
    let mut computer = Computer::ready();
    let id = computer.open(131_072);
    let mut met = std::collections::BTreeSet::new();
    let mut acknowledged = 1;
    for _ in 0..100 {
        computer.mux.write(id, &[3; 200_000]);
        let message = computer.mux.next_message().unwrap();
        met.insert(message.len());
        acknowledged += data_of(&message).len() as u32;
        computer.data(1, acknowledged, &[]);
    }
    for length in ODD_LENGTHS {
        assert!(met.contains(&length), "{length}");
    }
    assert!(met.iter().all(|length| *length <= MESSAGE_BYTES_MAX));
}

#[test]
fn closed_port_refuses_connections() {
    let mut computer = Computer::ready();
    assert_eq!(computer.send(TCP, &tcp(1, 80, 0, 0, SYN, 131_072, &[])), []);
    let reply = computer.mux.next_message().unwrap();
    assert_eq!(reply[16 + 13], RST | ACK);
}

#[test]
fn new_handshake_resets_the_mux() {
    let mut computer = Computer::ready();
    let id = computer.open(131_072);
    assert_eq!(computer.raw(&version(2)), [Event::Agreed(2)]);
    assert_eq!(computer.mux.read(id, &mut [0; 8]), Moved::End);
    computer.mux.next_message().unwrap();
    computer.number = 0;
    assert_eq!(computer.send(SETUP, &[7]), []);
    assert_ne!(computer.open(131_072), id);
}

#[test]
fn version_1_uses_short_headers() {
    let mut mux = Mux::new(1);
    assert_eq!(mux.receive(&version(2), |_| true), [Event::Agreed(1)]);
    assert_eq!(mux.next_message().unwrap(), version(1));
    let syn = tcp(1, 62_078, 0, 0, SYN, 131_072, &[]);
    let mut message = TCP.to_be_bytes().to_vec();
    message.extend(28u32.to_be_bytes());
    message.extend(syn);
    assert_eq!(mux.receive(&message, |_| true), []);
    assert_eq!(mux.next_message().unwrap()[8 + 13], SYN | ACK);
}

#[test]
fn early_messages_are_refused() {
    let mut mux = Mux::new(2);
    let early = |protocol: u32| {
        let mut message = protocol.to_be_bytes().to_vec();
        message.extend(8u32.to_be_bytes());
        message
    };
    for protocol in [SETUP, TCP] {
        let misstep = Event::Misstep(Misstep::TooEarly { protocol });
        assert_eq!(mux.receive(&early(protocol), |_| true), [misstep]);
    }
    mux.receive(&version(2), |_| true);
    let mut computer = Computer { mux, number: 0 };
    let syn = tcp(1, 62_078, 0, 0, SYN, 0, &[]);
    let misstep = Misstep::OutOfOrder {
        expected: 0,
        found: 5,
    };
    computer.number = 5;
    assert_eq!(computer.send(SETUP, &[7]), [Event::Misstep(misstep)]);
    let misstep = Misstep::TooEarly { protocol: TCP };
    assert_eq!(computer.send(TCP, &syn), [Event::Misstep(misstep)]);
}

#[test]
fn each_protocol_violation_is_named() {
    type Wrong = fn(&mut Computer) -> Vec<u8>;
    let cases: [(Wrong, Misstep); 12] = [
        (|_| vec![0; 7], Misstep::TooShort { bytes: 7 }),
        (
            |c| [c.headed(TCP, &[0; 20]), vec![0; 512]].concat(),
            Misstep::WrongLength {
                claimed: 36,
                bytes: 548,
            },
        ),
        (|_| version(7), Misstep::WrongVersion { major: 7 }),
        (
            |c| {
                let mut message = c.headed(TCP, &[0; 20]);
                message[8] = 0;
                message
            },
            Misstep::WrongMagic { magic: 0x00ed_face },
        ),
        (
            |c| c.headed(9, &[]),
            Misstep::UnknownProtocol { protocol: 9 },
        ),
        (|c| c.headed(TCP, &[0; 19]), Misstep::TooShort { bytes: 19 }),
        (
            |c| c.headed(TCP, &[0; 20]),
            Misstep::WrongTcpHeader { offset: 0 },
        ),
        (
            |c| c.headed(TCP, &tcp(1, 62_078, 1, 1, 1, 0, &[])),
            Misstep::WrongFlags { flags: 1 },
        ),
        (
            |c| c.headed(TCP, &tcp(1, 62_078, 2, 1, ACK, 0, &[])),
            Misstep::WrongSequence {
                expected: 1,
                found: 2,
            },
        ),
        (
            |c| c.headed(TCP, &tcp(1, 62_078, 1, 2, ACK, 0, &[])),
            Misstep::WrongAcknowledgement { sent: 1, found: 2 },
        ),
        (
            |c| c.headed(TCP, &tcp(9, 62_078, 44, 0, SYN, 0, &[])),
            Misstep::WrongSequence {
                expected: 0,
                found: 44,
            },
        ),
        (|c| c.headed(SETUP, &[8]), Misstep::WrongSetup),
    ];
    for (wrong, misstep) in cases {
        let mut computer = Computer::ready();
        let id = computer.open(131_072);
        if misstep == Misstep::WrongSetup {
            computer.number = 0;
        }
        let message = wrong(&mut computer);
        assert_eq!(computer.raw(&message), [Event::Misstep(misstep)]);
        // A violation may end its own connection; everything else continues.
        if let Moved::Wait = computer.mux.read(id, &mut [0; 8]) {
            assert_eq!(computer.mux.write(id, b"still there"), Moved::Bytes(11));
        }
        let complaint = computer.mux.next_message().unwrap();
        assert!(matches!(word(&complaint, 0), Some(CONTROL | TCP)));
    }
}

#[test]
fn window_overrun_ends_the_connection() {
    let mut computer = Computer::ready();
    let id = computer.open(131_072);
    for part in 0..4 {
        assert_eq!(computer.data(1 + part * 32_768, 1, &[7; 32_768]), []);
    }
    let over = Misstep::WindowOverrun { bytes: 1 };
    assert_eq!(computer.data(1 + 131_072, 1, &[7]), [Event::Misstep(over)]);
    assert_eq!(computer.mux.write(id, &[1]), Moved::End);
}

#[test]
fn connection_count_is_bounded() {
    let mut computer = Computer::ready();
    let mut met = Vec::new();
    for port in 1..3_000 {
        met.extend(computer.send(TCP, &tcp(port, 62_078, 0, 0, SYN, 0, &[])));
    }
    assert!(met.contains(&Event::Misstep(Misstep::TooManyConnections)));
    assert!(met.contains(&Event::Misstep(Misstep::NobodyReads)));
    assert!(computer.mux.connections.len() <= CONNECTIONS_MAX);
    assert!(computer.mux.answers.len() <= ANSWERS_MAX);
}

#[test]
fn arbitrary_messages_never_cause_panic() {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut computer = Computer::ready();
    let id = computer.open(131_072);
    for _ in 0..20_000 {
        let flags = [SYN, ACK, RST, 1, 255][random() as usize % 5];
        let mut message = computer.headed(
            [TCP, TCP, TCP, SETUP, CONTROL][random() as usize % 5],
            &tcp(
                random() as u16 % 4,
                62_078,
                random() as u32 % 3,
                random() as u32 % 3,
                flags,
                random() as u32,
                &vec![0; random() as usize % 300],
            ),
        );
        for _ in 0..random() % 3 {
            let at = random() as usize % message.len();
            message[at] = random() as u8;
        }
        message.truncate(message.len() - random() as usize % 5);
        computer.raw(&message);
        computer.mux.write(id, &[9; 100]);
        while let Some(message) = computer.mux.next_message() {
            assert_eq!(word(&message, 4), Some(message.len() as u32));
        }
    }
}
