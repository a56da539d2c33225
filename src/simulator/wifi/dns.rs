//! DNS messages of the simulated phone's advert (RFC 1035, RFC 6762): writes answers, and reads the
//! questions of computers.
//!
//! ```text
//! [id u16][flags u16][questions u16][answers u16][authorities u16][additional records u16]
//! question: [name][type u16][class u16]
//! record:   [name][type u16][class u16][TTL u32][length u16][data]
//! ```
//! All numbers are big-endian.

use std::net::IpAddr;

pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_PTR: u16 = 12;
pub(super) const TYPE_TXT: u16 = 16;
pub(super) const TYPE_AAAA: u16 = 28;
pub(super) const TYPE_SRV: u16 = 33;
pub(super) const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// Top bit of a class: in a record, it replaces what others have cached; in a question, it asks for
/// a unicast answer.
const TOP_BIT: u16 = 0x8000;
const FLAGS_ANSWER: u16 = 0x8400;
/// Jumps that a compressed name may have.
const JUMPS_MAX: usize = 16;

/// A name as its labels. The dots between them are no part of it.
pub(super) type Name = Vec<String>;

/// Data of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Pointer(Name),
    Service { port: u16, host: Name },
    Text(Vec<Vec<u8>>),
    Address(IpAddr),
}

/// A record of the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) ttl: u32,
    pub(super) data: Data,
}

impl Record {
    pub(super) fn kind(&self) -> u16 {
        match &self.data {
            Data::Pointer(_) => TYPE_PTR,
            Data::Service { .. } => TYPE_SRV,
            Data::Text(_) => TYPE_TXT,
            Data::Address(IpAddr::V4(_)) => TYPE_A,
            Data::Address(IpAddr::V6(_)) => TYPE_AAAA,
        }
    }

    fn write(&self, packet: &mut Vec<u8>) {
        write_name(packet, &self.name);
        packet.extend(self.kind().to_be_bytes());
        let is_shared = matches!(self.data, Data::Pointer(_));
        let class = if is_shared {
            CLASS_IN
        } else {
            CLASS_IN | TOP_BIT
        };
        packet.extend(class.to_be_bytes());
        packet.extend(self.ttl.to_be_bytes());
        let mut data = Vec::new();
        match &self.data {
            Data::Pointer(name) => write_name(&mut data, name),
            Data::Service { port, host } => {
                data.extend([0; 4]);
                data.extend(port.to_be_bytes());
                write_name(&mut data, host);
            }
            Data::Text(texts) if texts.is_empty() => data.push(0),
            Data::Text(texts) => texts.iter().for_each(|text| write_text(&mut data, text)),
            Data::Address(IpAddr::V4(address)) => data.extend(address.octets()),
            Data::Address(IpAddr::V6(address)) => data.extend(address.octets()),
        }
        packet.extend((data.len() as u16).to_be_bytes());
        packet.extend(data);
    }
}

fn write_name(packet: &mut Vec<u8>, name: &[String]) {
    for label in name {
        write_text(packet, label.as_bytes());
    }
    packet.push(0);
}

/// Writes a text with its length in one byte. None of the phone's texts is longer than 255 bytes.
fn write_text(packet: &mut Vec<u8>, text: &[u8]) {
    packet.push(text.len() as u8);
    packet.extend(text);
}

/// Returns a message with answers and additional records. The question is repeated only to old
/// clients, which do not send from the port of multicast DNS.
pub(super) fn answer(
    id: u16,
    question: Option<&Question>,
    answers: &[&Record],
    additional: &[&Record],
) -> Vec<u8> {
    let mut packet = Vec::new();
    let counts = [
        id,
        FLAGS_ANSWER,
        u16::from(question.is_some()),
        answers.len() as u16,
        0,
        additional.len() as u16,
    ];
    for word in counts {
        packet.extend(word.to_be_bytes());
    }
    if let Some(question) = question {
        write_name(&mut packet, &question.name);
        packet.extend(question.kind.to_be_bytes());
        packet.extend(CLASS_IN.to_be_bytes());
    }
    for record in answers.iter().chain(additional) {
        record.write(&mut packet);
    }
    packet
}

/// A question of a computer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: u16,
}

/// A message of a computer that asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: u16,
    pub(super) questions: Vec<Question>,
    /// Names that the computer knows already, from pointers that will not expire soon.
    pub(super) known: Vec<(Name, u32)>,
}

impl Query {
    /// Parses a message. Returns `None` if it is not a query, or damaged.
    pub(super) fn parse(packet: &[u8]) -> Option<Query> {
        let mut reader = Reader { packet, at: 0 };
        let id = reader.word()?;
        let flags = reader.word()?;
        let (questions, answers) = (reader.word()?, reader.word()?);
        reader.word()?;
        reader.word()?;
        if flags & 0xf800 != 0 {
            return None;
        }
        let mut query = Query {
            id,
            questions: Vec::new(),
            known: Vec::new(),
        };
        for _ in 0..questions {
            let name = reader.name()?;
            let kind = reader.word()?;
            reader.word()?;
            query.questions.push(Question { name, kind });
        }
        for _ in 0..answers {
            reader.name()?;
            let kind = reader.word()?;
            reader.word()?;
            let ttl = u32::from(reader.word()?) << 16 | u32::from(reader.word()?);
            let end = usize::from(reader.word()?) + reader.at;
            if kind == TYPE_PTR {
                query.known.push((reader.name()?, ttl));
            }
            reader.at = end;
        }
        Some(query)
    }
}

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.packet.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// Reads a name, and follows the pointers of a compressed one.
    fn name(&mut self) -> Option<Name> {
        let mut name = Name::new();
        let mut after = None;
        for _ in 0..=JUMPS_MAX {
            loop {
                let length = self.byte()?;
                if length == 0 {
                    self.at = after.unwrap_or(self.at);
                    return Some(name);
                }
                if length >= 0xc0 {
                    let to = usize::from(length & 0x3f) << 8 | usize::from(self.byte()?);
                    after.get_or_insert(self.at);
                    self.at = to;
                    break;
                }
                let end = self.at + usize::from(length);
                let label = self.packet.get(self.at..end)?;
                name.push(String::from_utf8_lossy(label).into_owned());
                self.at = end;
            }
        }
        None
    }
}

/// Compares names as DNS does, without regard to case.
pub(super) fn same_name(one: &[String], other: &[String]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| one.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.split('.').map(str::to_owned).collect()
    }

    /// Parses a query in the form of RFC 6762, with one known answer whose name is compressed.
    #[test]
    fn queries_are_parsed() {
        let mut packet = vec![0, 7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        packet.extend(b"\x04_tcp\x05local\x00");
        packet.extend([0, 12, 0x80, 1]);
        packet.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 0x11, 0x94, 0, 4]);
        packet.extend(b"\x01a\xc0\x0c");
        let query = Query::parse(&packet).unwrap();
        assert_eq!(query.id, 7);
        let question = Question {
            name: name("_tcp.local"),
            kind: TYPE_PTR,
        };
        assert_eq!(query.questions, [question]);
        assert_eq!(query.known, [(name("a._tcp.local"), 4500)]);
        for cut in 0..packet.len() {
            assert_eq!(Query::parse(&packet[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn pointer_loops_end() {
        let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend([0xc0, 12, 0, 12, 0, 1]);
        assert_eq!(Query::parse(&packet), None);
    }

    #[test]
    fn records_are_written() {
        let record = Record {
            name: name("a.local"),
            ttl: 120,
            data: Data::Service {
                port: 32498,
                host: name("b.local"),
            },
        };
        let packet = answer(0, None, &[&record], &[]);
        let mut expected = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        expected.extend(b"\x01a\x05local\x00");
        expected.extend([0, 33, 0x80, 1, 0, 0, 0, 120, 0, 15]);
        expected.extend([0, 0, 0, 0, 0x7e, 0xf2]);
        expected.extend(b"\x01b\x05local\x00");
        assert_eq!(packet, expected);
    }
}
