//! A service's side of a trace, message by message, and its bytes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use super::{Replay, Scripted, What, described};
use crate::sim::tls::Link;
use crate::trace::framing::{FileEnd, Framer, Framing};
use crate::trace::line::{AFC_OPERATIONS, Dir, Message, Packet};
use crate::trace::{compare, json};
use crate::transport::plist_stream::{self, Encoding};

/// Data bytes of a block, as phones send them.
const CHUNK_BYTES: usize = 32 << 10;
const DATA: u8 = 0x0c;

/// One connection to a service that is being played.
pub(super) struct Player<'a> {
    replay: &'a Replay,
    channel: &'a Scripted,
    link: Link,
    framer: Framer,
    came: VecDeque<Message>,
    /// The phone's last message.
    question: Option<String>,
    /// The count of the client's last packet, which an answer repeats.
    packet: Option<u64>,
}

impl<'a> Player<'a> {
    /// Plays `channel` over `link`.
    pub(super) fn new(replay: &'a Replay, channel: &'a Scripted, link: Link) -> Player<'a> {
        Player {
            replay,
            channel,
            link,
            framer: Framer::new(channel.framing, false),
            came: VecDeque::new(),
            question: None,
            packet: None,
        }
    }

    /// Says goodbye.
    pub(super) fn close(self) {
        self.link.close();
    }

    /// Plays channel number `number`, until either end hangs up.
    pub(super) fn play(&mut self, number: usize) -> io::Result<()> {
        let steps = &self.channel.steps;
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            match &step.what {
                What::Says(Dir::FromPhone, message) => {
                    self.replay.in_order(step.order);
                    self.say(message)?;
                }
                What::Says(Dir::ToPhone, recorded) => {
                    let Some(came) = self.next()? else {
                        let what = format!("the client hung up before {}", described(recorded));
                        self.replay.departs(&self.channel.name, at + 1, what);
                        return Ok(());
                    };
                    at = self.match_up(at, recorded, &came);
                    self.replay.pass(number, at);
                }
                What::Closes(Dir::FromPhone) => return Ok(()),
                What::Closes(Dir::ToPhone) => {
                    if let Some(more) = self.next()? {
                        let what = format!("{} came after the end", described(&more));
                        self.replay.departs(&self.channel.name, at + 1, what);
                    }
                    return Ok(());
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// Compares; answers the step that this message takes. A service that is only asked is asked in any order.
    fn match_up(&mut self, at: usize, recorded: &Message, came: &Message) -> usize {
        let question = self.question.take();
        let Some(what) = compare::departure(recorded, came, question.as_deref()) else {
            return at;
        };
        let later = (self.channel.framing != Framing::DeviceLink)
            .then(|| {
                let steps = self.channel.steps.iter().enumerate().skip(at + 1);
                let mut same = steps.filter(|(_, step)| match &step.what {
                    What::Says(Dir::ToPhone, message) => {
                        compare::departure(message, came, None).is_none()
                    }
                    _ => false,
                });
                same.next().map(|(at, _)| at)
            })
            .flatten();
        let what = match later {
            Some(_) => format!(
                "{} was recorded before {}",
                described(recorded),
                described(came)
            ),
            None => what,
        };
        self.replay.departs(&self.channel.name, at + 1, what);
        later.unwrap_or(at)
    }

    /// The client's next message; `None` when it hung up.
    fn next(&mut self) -> io::Result<Option<Message>> {
        let mut buffer = [0; 64 << 10];
        while self.came.is_empty() {
            let count = self.link.read(&mut buffer)?;
            let mut items = Vec::new();
            let mut seen = |item| items.push(item);
            match &buffer[..count] {
                [] => self.framer.end(Dir::ToPhone, &mut seen),
                bytes => self.framer.push(Dir::ToPhone, bytes, &mut seen),
            }
            let redactor = &mut super::super::lock(&self.replay.state).redactor;
            let messages = items
                .into_iter()
                .map(|item| redactor.item(self.channel.framing, item));
            self.came.extend(messages);
            if count == 0 {
                break;
            }
        }
        let came = self.came.pop_front();
        if let Some(Message::Afc(packet)) = &came {
            self.packet = Some(packet.number);
        }
        Ok(came)
    }

    fn say(&mut self, message: &Message) -> io::Result<()> {
        self.question = match message {
            Message::Plist(value) => compare::name(value).map(str::to_owned),
            _ => self.question.take(),
        };
        let answer = match (message, self.packet) {
            (Message::Afc(packet), Some(number)) => Message::Afc(Packet {
                number,
                ..packet.clone()
            }),
            _ => message.clone(),
        };
        let bytes = encoded(&answer, self.channel.framing)?;
        // The computer's files follow from what the phone says.
        self.framer.push(Dir::FromPhone, &bytes, &mut |_| {});
        self.link.write_all(&bytes)?;
        self.link.flush()
    }
}

/// A message as it goes over the wire. Contents that the trace does not have are zeros.
fn encoded(message: &Message, framing: Framing) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match message {
        Message::Plist(value) => {
            let encoding = match framing {
                Framing::DeviceLink => Encoding::Binary,
                _ => Encoding::Xml,
            };
            plist_stream::write(&mut bytes, &json::to_plist(value), encoding)
                .map_err(super::super::frame_error)?;
        }
        Message::FilesEnd => bytes.extend([0; 4]),
        Message::Raw(count) => bytes.resize(usize::try_from(*count).unwrap_or(0).min(1 << 20), 0),
        Message::Afc(packet) => return packet_bytes(packet),
        Message::File {
            from,
            to,
            size,
            body,
            end,
            ..
        } => {
            for text in from.iter().chain([to]) {
                bytes.extend(length(text.len())?);
                bytes.extend(text.as_bytes());
            }
            let zeros = || vec![0; usize::try_from(*size).unwrap_or(0)];
            let body = body.clone().unwrap_or_else(zeros);
            for chunk in body.chunks(CHUNK_BYTES) {
                bytes.extend(length(chunk.len() + 1)?);
                bytes.push(DATA);
                bytes.extend(chunk);
            }
            match end {
                FileEnd::Whole => bytes.extend([0, 0, 0, 1, 0]),
                FileEnd::Failed(code, text) => {
                    bytes.extend(length(text.len() + 1)?);
                    bytes.push(*code);
                    bytes.extend(text.as_bytes());
                }
                // A block that says more than it has.
                FileEnd::Cut => bytes.extend([0, 0, 0x80, 1, DATA]),
            }
        }
    }
    Ok(bytes)
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes).map_err(io::Error::other)?;
    Ok(length.to_be_bytes())
}

fn packet_bytes(packet: &Packet) -> io::Result<Vec<u8>> {
    const HEADER: u64 = 40;
    let known = AFC_OPERATIONS
        .iter()
        .find(|(_, name, ..)| *name == packet.operation);
    let operation = match known {
        Some((number, ..)) => *number,
        None => packet.operation.parse().map_err(io::Error::other)?,
    };
    let mut rest: Vec<u8> = packet
        .words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    for path in &packet.paths {
        rest.extend(path.as_bytes());
        rest.push(0);
    }
    let arguments = HEADER + rest.len() as u64;
    rest.resize(
        rest.len() + usize::try_from(packet.data).unwrap_or(0).min(1 << 20),
        0,
    );
    let mut bytes = b"CFA6LPAA".to_vec();
    for word in [
        HEADER + rest.len() as u64,
        arguments,
        packet.number,
        operation,
    ] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(rest);
    Ok(bytes)
}
