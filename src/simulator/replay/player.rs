//! Replays a service's side of a trace, message by message, and encodes the messages.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use super::{Replay, Scripted, What, described};
use crate::simulator::tls::Link;
use crate::trace::framing::{FileEnd, Framer, Framing};
use crate::trace::line::{AFC_OPERATIONS, Dir, Message, Packet};
use crate::trace::{compare, json};
use crate::transport::plist_stream::{self, Encoding};

/// Data bytes in one block, as phones send them.
const CHUNK_BYTES: usize = 32 << 10;
const DATA: u8 = 0x0c;
/// Limit in bytes on replayed data that did not form a message, or that follows a packet.
const RAW_BYTES_MAX: usize = 1 << 20;

/// Replays one connection to a service.
pub(super) struct Player<'a> {
    replay: &'a Replay,
    channel: &'a Scripted,
    link: Link,
    framer: Framer,
    came: VecDeque<Message>,
    /// Last message that the phone sent.
    question: Option<String>,
    /// Number of the client's last packet, which the answer repeats.
    packet: Option<u64>,
}

impl<'a> Player<'a> {
    /// Creates a player of `channel` over `link`.
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

    /// Closes the connection properly.
    pub(super) fn close(self) {
        self.link.close();
    }

    /// Replays channel number `number` until either side closes the connection.
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

    /// Compares a message with the trace, and returns the step to which it belongs. A service that
    /// only answers requests accepts them in any order.
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

    /// Returns the client's next message; `None` after it has disconnected.
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
        let (framer, link) = (&mut self.framer, &mut self.link);
        emit(&answer, self.channel.framing, &mut |bytes| {
            // The framer needs the phone's messages to recognize the files that the computer sends.
            framer.push(Dir::FromPhone, bytes, &mut |_| {});
            link.write_all(bytes)
        })?;
        self.link.flush()
    }
}

/// Encodes a message in pieces, since a trace may claim a file of any size. Contents missing from
/// the trace are sent as zeros.
fn emit(
    message: &Message,
    framing: Framing,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    match message {
        Message::Plist(value) => {
            let encoding = match framing {
                Framing::DeviceLink => Encoding::Binary,
                _ => Encoding::Xml,
            };
            let mut bytes = Vec::new();
            plist_stream::write(&mut bytes, &json::to_plist(value), encoding)
                .map_err(super::super::frame_error)?;
            out(&bytes)
        }
        Message::FilesEnd => out(&[0; 4]),
        Message::Raw(count) => out(&vec![
            0;
            usize::try_from(*count).unwrap_or(0).min(RAW_BYTES_MAX)
        ]),
        Message::Afc(packet) => out(&packet_bytes(packet)?),
        Message::File {
            from,
            to,
            size,
            body,
            end,
            ..
        } => {
            for text in [from.as_deref().unwrap_or("path"), to] {
                out(&text_bytes(text)?)?;
            }
            match body {
                Some(body) => body
                    .chunks(CHUNK_BYTES)
                    .try_for_each(|data| out(&chunk(DATA, data)))?,
                None => zeros(*size, out)?,
            }
            match end {
                FileEnd::Whole => out(&chunk(0, b"")),
                FileEnd::Failed(code, text) => out(&chunk(*code, text.as_bytes())),
                // A block that claims to be longer than its data.
                FileEnd::Cut => out(&[0, 0, 0x80, 1, DATA]),
            }
        }
    }
}

fn zeros(size: u64, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let block = [0; CHUNK_BYTES];
    let mut left = size;
    while left > 0 {
        let count = usize::try_from(left)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        out(&chunk(DATA, &block[..count]))?;
        left -= count as u64;
    }
    Ok(())
}

fn text_bytes(text: &str) -> io::Result<Vec<u8>> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], text.as_bytes()].concat())
}

/// Encodes a block. `data` is short: file data, or a text that fits into a line of a trace.
fn chunk(code: u8, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).saturating_add(1);
    [&length.to_be_bytes()[..], &[code], data].concat()
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
        rest.len() + usize::try_from(packet.data).unwrap_or(0).min(RAW_BYTES_MAX),
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
