//! AFC, the phone's file service for its media folder. We use it for the small files in Info.plist,
//! the list of applications for a restore, and the sync lock.
//!
//! ```text
//! ["CFA6LPAA"][whole length u64 LE][length without payload u64 LE][number u64 LE]
//! [operation u64 LE][arguments][payload]
//! ```

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use super::{Error, Session};
use crate::base::cancel::CancelToken;
use crate::transport::AnyStream;

/// Name of the service.
pub const SERVICE: &str = "com.apple.afc";

const MAGIC: &[u8; 8] = b"CFA6LPAA";
const HEADER_BYTES: usize = 40;
/// Longest packet accepted, in bytes; we never ask for more than [`READ_BYTES`].
const PACKET_BYTES_MAX: u64 = 1 << 20;
const READ_BYTES: u64 = 64 << 10;
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes sent in one write request.
const WRITE_BYTES: usize = 64 << 10;
const DOING: &str = "read or write files of the phone";

/// Operation numbers of the wire format.
mod op {
    pub(crate) const STATUS: u64 = 1;
    pub(crate) const DATA: u64 = 2;
    pub(crate) const REMOVE_PATH: u64 = 8;
    pub(crate) const MAKE_DIR: u64 = 9;
    pub(crate) const FILE_OPEN: u64 = 13;
    pub(crate) const FILE_OPEN_RESULT: u64 = 14;
    pub(crate) const FILE_READ: u64 = 15;
    pub(crate) const FILE_WRITE: u64 = 16;
    pub(crate) const FILE_CLOSE: u64 = 20;
    pub(crate) const FILE_LOCK: u64 = 27;
}

/// Status: no such file.
const OBJECT_NOT_FOUND: u64 = 8;
/// Status: the object exists already.
const OBJECT_EXISTS: u64 = 16;
/// Status: another program holds the lock.
const OP_WOULD_BLOCK: u64 = 19;

/// Mode in which a file is opened.
#[derive(Clone, Copy)]
enum Mode {
    Read = 1,
    ReadWrite = 2,
    /// Create the file, or discard its contents.
    Write = 3,
}

/// An open file on the phone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handle(u64);

/// A connection to AFC.
pub(crate) struct Afc {
    stream: AnyStream,
    number: u64,
}

struct Packet {
    operation: u64,
    bytes: Vec<u8>,
}

impl Packet {
    fn word(&self) -> Option<u64> {
        self.bytes
            .first_chunk()
            .map(|word| u64::from_le_bytes(*word))
    }
}

impl Afc {
    /// Starts the service and connects to it.
    pub(crate) fn open(session: &mut Session, token: &Arc<CancelToken>) -> Result<Afc, Error> {
        let stream = session.service(SERVICE, token, SILENCE_MAX)?;
        Ok(Afc { stream, number: 0 })
    }

    /// Reads a whole small file. Returns `None` if it does not exist, and fails if it is longer
    /// than `bytes_max`.
    pub(crate) fn read(&mut self, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(handle) = self.open_file(path, Mode::Read)? else {
            return Ok(None);
        };
        let mut contents = Vec::new();
        loop {
            let answer = self.ask(op::FILE_READ, &words(&[handle.0, READ_BYTES]))?;
            match answer.operation {
                op::DATA if answer.bytes.is_empty() => break,
                op::DATA => contents.extend(answer.bytes),
                _ => return Err(refused(path, &answer)),
            }
            if contents.len() > bytes_max {
                return Err(Error::strange(
                    DOING,
                    format!("{path} is longer than {bytes_max} bytes"),
                ));
            }
        }
        self.close(handle)?;
        Ok(Some(contents))
    }

    /// Creates a folder unless it exists.
    pub(crate) fn make_dir(&mut self, path: &str) -> Result<(), Error> {
        let answer = self.ask(op::MAKE_DIR, &terminated(path))?;
        match (answer.operation, answer.word()) {
            (op::STATUS, Some(0 | OBJECT_EXISTS)) => Ok(()),
            _ => Err(refused(path, &answer)),
        }
    }

    /// Writes a whole file, replacing an existing one.
    pub(crate) fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let opened = self.open_file(path, Mode::Write)?;
        let handle = opened.ok_or_else(|| {
            Error::strange(DOING, format!("{path} can only be opened for reading"))
        })?;
        for piece in bytes.chunks(WRITE_BYTES) {
            let answer = self.ask_with(op::FILE_WRITE, &words(&[handle.0]), piece)?;
            done(path, &answer)?;
        }
        self.close(handle)
    }

    /// Removes a file or an empty folder. An absent one is not an error.
    pub(crate) fn remove(&mut self, path: &str) -> Result<(), Error> {
        let answer = self.ask(op::REMOVE_PATH, &terminated(path))?;
        match (answer.operation, answer.word()) {
            (op::STATUS, Some(0 | OBJECT_NOT_FOUND)) => Ok(()),
            _ => Err(refused(path, &answer)),
        }
    }

    /// Opens the file that programs lock during a sync.
    pub(crate) fn open_for_lock(&mut self, path: &str) -> Result<Handle, Error> {
        let opened = self.open_file(path, Mode::ReadWrite)?;
        opened.ok_or_else(|| Error::strange(DOING, format!("{path} does not exist")))
    }

    /// Takes the exclusive lock without waiting. Returns false if another program holds it.
    pub(crate) fn lock(&mut self, handle: Handle) -> Result<bool, Error> {
        const EXCLUSIVE_NOT_WAITING: u64 = 2 | 4;
        let answer = self.ask(op::FILE_LOCK, &words(&[handle.0, EXCLUSIVE_NOT_WAITING]))?;
        match answer.word() {
            Some(0) => Ok(true),
            Some(OP_WOULD_BLOCK) => Ok(false),
            _ => Err(refused("the sync lock", &answer)),
        }
    }

    /// Releases the lock.
    pub(crate) fn unlock(&mut self, handle: Handle) -> Result<(), Error> {
        const UNLOCK: u64 = 8 | 4;
        let answer = self.ask(op::FILE_LOCK, &words(&[handle.0, UNLOCK]))?;
        done("the sync lock", &answer)
    }

    /// Closes a file.
    pub(crate) fn close(&mut self, handle: Handle) -> Result<(), Error> {
        let answer = self.ask(op::FILE_CLOSE, &words(&[handle.0]))?;
        done("a file", &answer)
    }

    fn open_file(&mut self, path: &str, mode: Mode) -> Result<Option<Handle>, Error> {
        let mut arguments = words(&[mode as u64]);
        arguments.extend(terminated(path));
        let answer = self.ask(op::FILE_OPEN, &arguments)?;
        match (answer.operation, answer.word()) {
            (op::FILE_OPEN_RESULT, Some(handle)) => Ok(Some(Handle(handle))),
            (op::STATUS, Some(OBJECT_NOT_FOUND)) => Ok(None),
            _ => Err(refused(path, &answer)),
        }
    }

    fn ask(&mut self, operation: u64, arguments: &[u8]) -> Result<Packet, Error> {
        self.ask_with(operation, arguments, &[])
    }

    fn ask_with(
        &mut self,
        operation: u64,
        arguments: &[u8],
        payload: &[u8],
    ) -> Result<Packet, Error> {
        self.number += 1;
        let without = (HEADER_BYTES + arguments.len()) as u64;
        let length = without + payload.len() as u64;
        let mut packet = MAGIC.to_vec();
        packet.extend(words(&[length, without, self.number, operation]));
        packet.extend(arguments);
        packet.extend(payload);
        let broken = |cause: std::io::Error| Error::wire(DOING, cause);
        self.stream
            .write_all(&packet)
            .and_then(|()| self.stream.flush())
            .map_err(broken)?;
        read_packet(&mut self.stream)
    }
}

fn read_packet(stream: &mut dyn Read) -> Result<Packet, Error> {
    let broken = |cause: std::io::Error| Error::wire(DOING, cause);
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).map_err(broken)?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| rest[at * 8 + i]));
    let length = word(0);
    if magic != MAGIC || length < HEADER_BYTES as u64 || length > PACKET_BYTES_MAX {
        return Err(Error::strange(DOING, "the answer is not an AFC packet"));
    }
    let mut bytes = vec![0; length as usize - HEADER_BYTES];
    stream.read_exact(&mut bytes).map_err(broken)?;
    Ok(Packet {
        operation: word(3),
        bytes,
    })
}

/// Parses one packet from a capture and returns its operation and its arguments.
pub fn parse_packet(bytes: &[u8]) -> Result<(u64, Vec<u8>), Error> {
    let packet = read_packet(&mut &*bytes)?;
    Ok((packet.operation, packet.bytes))
}

fn terminated(path: &str) -> Vec<u8> {
    [path.as_bytes(), &[0]].concat()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn done(what: &str, answer: &Packet) -> Result<(), Error> {
    match (answer.operation, answer.word()) {
        (op::STATUS, Some(0)) => Ok(()),
        _ => Err(refused(what, answer)),
    }
}

fn refused(what: &str, answer: &Packet) -> Error {
    let why = match answer.word() {
        Some(status) => format!("{what}: status {status}"),
        None => format!("{what}: operation {} without a status", answer.operation),
    };
    Error::strange(DOING, why)
}
