//! Splits the bytes of a channel into messages: a pure state machine per direction, which gives the
//! same result however the bytes were divided among reads.
//!
//! ```text
//! usbmux       [length u32 LE, header included][version u32][message u32][tag u32][property list]
//! property     [length u32 BE][property list]            lockdown, the small services
//! DeviceLink   as above, with files between two messages:
//!              from the phone:
//!                  { [n u32][path on the phone] [n u32][path in the backup] chunks }* [0 u32]
//!              to the phone:
//!                  { [n u32][path in the backup] chunks }* [0 u32]
//!              chunk: [n u32][code u8][n-1 bytes]
//!                  code: 0x0C data, 0 end, else an error and its text
//! AFC          ["CFA6LPAA"][whole length u64 LE][length without payload u64][number u64]
//!              [operation u64][rest]
//! ```

use plist::Value;
use zeroize::Zeroizing;

use super::direction::Dir;
use crate::base::bounded_plist;
use crate::base::sha256::Sha256;

/// Longest accepted message in bytes. A longer one means that synchronization was lost.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Buffer capacity in bytes that fits a message with a pair record.
const RECORD_BYTES: usize = 64 << 10;
/// Longest accepted path or error text of a file, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;
const USBMUX_HEADER: usize = 16;
const AFC_HEADER: usize = 40;
const AFC_MAGIC: &[u8] = b"CFA6LPAA";
const DATA: u8 = 0x0c;

/// Metadata files that the phone sends with a backup. Their contents are kept on request, because a
/// replay needs them to run to its end.
pub const METADATA: [&str; 3] = ["Manifest.db", "Manifest.plist", "Status.plist"];

/// Framing of a channel's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Messages of the usbmux daemon.
    Usbmux,
    /// Property lists, each preceded by its length.
    Plists,
    /// Property lists as in [`Framing::Plists`], with files between them.
    DeviceLink,
    /// Apple File Conduit.
    Afc,
}

impl Framing {
    /// Returns the framing of a channel, given its name.
    pub(crate) fn of(channel: &str) -> Framing {
        match channel {
            "usbmux" => Framing::Usbmux,
            "com.apple.mobilebackup" | "com.apple.mobilebackup2" => Framing::DeviceLink,
            "com.apple.afc" | "com.apple.afc2" | "com.apple.crashreportcopymobile" => Framing::Afc,
            _ => Framing::Plists,
        }
    }
}

/// A unit of traffic that passed in one direction.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A property list.
    Plist(Value),
    /// A file and its contents.
    File(File),
    /// The end of a list of files.
    FilesEnd,
    /// A packet of AFC.
    Afc {
        /// Packet number, counted by the sender.
        number: u64,
        /// Operation code of the request or answer.
        operation: u64,
        /// Arguments and payload.
        bytes: Vec<u8>,
    },
    /// Number of bytes that do not form a complete message.
    Raw(u64),
}

/// A file as it was transferred.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Path on the phone, if the phone is the sender.
    pub device_path: Option<String>,
    /// Path of the file in the backup.
    pub path: String,
    /// Number of content bytes that passed.
    pub size: u64,
    /// SHA-256 of those bytes.
    pub sha256: [u8; 32],
    /// Contents of the file, if they are kept.
    pub body: Option<Vec<u8>>,
    /// End of the transfer: complete, failed or cut.
    pub end: FileEnd,
}

/// End of a file transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEnd {
    /// The file is complete.
    Whole,
    /// The sender reported an error: its code and text.
    Failed(u8, String),
    /// The connection ended first.
    Cut,
}

/// Reassembles both directions of a channel.
pub struct Framer {
    framing: Framing,
    keep_metadata: bool,
    to_phone: Side,
    from_phone: Side,
}

/// State of one direction: the next expected element, and the bytes received of it.
struct Side {
    next: Next,
    buffer: Zeroizing<Vec<u8>>,
    file: Option<Growing>,
}

enum Next {
    Header,
    Body(usize),
    /// Length of a name, or the end of the list.
    NameLength,
    Name(usize),
    ChunkHead,
    ChunkData(usize),
    ChunkText(u8, usize),
    /// Synchronization was lost; counts the bytes since then.
    Lost(u64),
}

struct Growing {
    device_path: Option<String>,
    /// Path in the backup; empty until it is known.
    path: String,
    size: u64,
    hash: Sha256,
    body: Option<Vec<u8>>,
}

impl Framer {
    /// Creates the state for a new channel; see [`METADATA`] for `keep_metadata`.
    pub fn new(framing: Framing, keep_metadata: bool) -> Framer {
        let side = || Side {
            next: Next::Header,
            buffer: Zeroizing::default(),
            file: None,
        };
        Framer {
            framing,
            keep_metadata,
            to_phone: side(),
            from_phone: side(),
        }
    }

    /// Processes bytes that passed, and calls `seen` for every item that they complete.
    pub fn push(&mut self, dir: Dir, mut bytes: &[u8], seen: &mut dyn FnMut(Item)) {
        while !bytes.is_empty() {
            let side = self.side(dir);
            let wanted = match &mut side.next {
                Next::Lost(count) => {
                    *count += bytes.len() as u64;
                    return;
                }
                Next::ChunkData(left) => {
                    let (data, rest) = bytes.split_at(bytes.len().min(*left));
                    *left -= data.len();
                    let done = *left == 0;
                    self.data(dir, data);
                    if done {
                        self.side(dir).next = Next::ChunkHead;
                    }
                    bytes = rest;
                    continue;
                }
                _ => self.wanted(dir),
            };
            let side = self.side(dir);
            if side.buffer.is_empty() {
                // The buffer may hold a pair record: growing it would leave copies in memory.
                side.buffer.reserve(wanted.min(RECORD_BYTES));
            }
            let take = bytes.len().min(wanted.saturating_sub(side.buffer.len()));
            let (head, rest) = bytes.split_at(take);
            side.buffer.extend_from_slice(head);
            bytes = rest;
            while self.is_ready(dir) {
                let whole = std::mem::take(&mut self.side(dir).buffer);
                self.step(dir, &whole, seen);
            }
        }
    }

    /// Ends a direction of the channel, and reports incomplete items to `seen` too.
    pub fn end(&mut self, dir: Dir, seen: &mut dyn FnMut(Item)) {
        let side = self.side(dir);
        let file = side.file.take().filter(|file| !file.path.is_empty());
        let loose = match (&side.next, &file) {
            (Next::Lost(count), _) => *count,
            (_, Some(_)) => 0,
            _ => side.buffer.len() as u64,
        };
        side.buffer = Zeroizing::default();
        side.next = Next::Lost(0);
        if let Some(file) = file {
            seen(Item::File(file.ended(FileEnd::Cut)));
        }
        if loose > 0 {
            seen(Item::Raw(loose));
        }
    }

    /// Returns true if all bytes of the next element have arrived.
    fn is_ready(&mut self, dir: Dir) -> bool {
        let wanted = self.wanted(dir);
        let side = self.side(dir);
        !matches!(side.next, Next::ChunkData(_) | Next::Lost(_)) && side.buffer.len() == wanted
    }

    fn side(&mut self, dir: Dir) -> &mut Side {
        match dir {
            Dir::ToPhone => &mut self.to_phone,
            Dir::FromPhone => &mut self.from_phone,
        }
    }

    /// Returns the number of bytes that the next element needs.
    fn wanted(&mut self, dir: Dir) -> usize {
        let header = match self.framing {
            Framing::Usbmux => USBMUX_HEADER,
            Framing::Afc => AFC_HEADER,
            Framing::Plists | Framing::DeviceLink => 4,
        };
        match self.side(dir).next {
            Next::Header => header,
            Next::Body(length) | Next::Name(length) | Next::ChunkText(_, length) => length,
            Next::NameLength => 4,
            Next::ChunkHead => 5,
            Next::ChunkData(_) | Next::Lost(_) => 0,
        }
    }

    fn step(&mut self, dir: Dir, bytes: &[u8], seen: &mut dyn FnMut(Item)) {
        let next = match self.side(dir).next {
            Next::Header => self.header(dir, bytes),
            Next::Body(_) => {
                let item = self.message(bytes);
                let names = match &item {
                    Item::Plist(message) if self.framing == Framing::DeviceLink => name(message),
                    _ => None,
                };
                let files_follow = match (dir, names) {
                    (Dir::FromPhone, Some("DLMessageUploadFiles")) => Some(Dir::FromPhone),
                    (Dir::FromPhone, Some("DLMessageDownloadFiles")) => Some(Dir::ToPhone),
                    _ => None,
                };
                seen(item);
                self.side(dir).next = Next::Header;
                if let Some(sender) = files_follow {
                    let sender = self.side(sender);
                    // A partial message is in the buffer where files should begin.
                    sender.next = match sender.buffer.len() {
                        0..4 => Next::NameLength,
                        begun => Next::Lost(begun as u64),
                    };
                }
                return;
            }
            Next::NameLength => match big_endian(bytes) {
                0 => {
                    seen(Item::FilesEnd);
                    Next::Header
                }
                length if length <= TEXT_BYTES_MAX => Next::Name(length),
                _ => Next::Lost(4),
            },
            Next::Name(_) => self.named(dir, String::from_utf8_lossy(bytes).into_owned()),
            Next::ChunkHead => {
                let (length, code) = (big_endian(bytes), bytes[4]);
                match (length, code) {
                    (1, DATA) => Next::ChunkHead,
                    (1.., DATA) if length <= MESSAGE_BYTES_MAX => Next::ChunkData(length - 1),
                    (1, _) => self.ended(dir, code, String::new(), seen),
                    (1.., _) if length <= TEXT_BYTES_MAX => Next::ChunkText(code, length - 1),
                    _ => Next::Lost(5),
                }
            }
            Next::ChunkText(code, _) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                self.ended(dir, code, text, seen)
            }
            Next::ChunkData(_) | Next::Lost(_) => return,
        };
        self.side(dir).next = next;
    }

    fn header(&mut self, dir: Dir, bytes: &[u8]) -> Next {
        let lost = Next::Lost(bytes.len() as u64);
        let body = match self.framing {
            Framing::Plists | Framing::DeviceLink => Some(big_endian(bytes)),
            Framing::Usbmux => {
                let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                (length as usize).checked_sub(USBMUX_HEADER)
            }
            Framing::Afc if bytes.starts_with(AFC_MAGIC) => {
                let length = little_endian(bytes, 1);
                // Keep the header in front of the body: it holds numbers that are needed later.
                self.side(dir).buffer.extend_from_slice(bytes);
                usize::try_from(length).ok().filter(|n| *n >= AFC_HEADER)
            }
            Framing::Afc => None,
        };
        match body {
            Some(length) if length <= MESSAGE_BYTES_MAX => Next::Body(length),
            _ => {
                self.side(dir).buffer = Zeroizing::default();
                lost
            }
        }
    }

    fn message(&self, bytes: &[u8]) -> Item {
        if self.framing == Framing::Afc {
            return Item::Afc {
                number: little_endian(bytes, 3),
                operation: little_endian(bytes, 4),
                bytes: bytes[AFC_HEADER..].to_vec(),
            };
        }
        match bounded_plist::parse(bytes) {
            Ok(value) => Item::Plist(value),
            Err(_) => Item::Raw(bytes.len() as u64),
        }
    }

    /// Processes a complete name. A file from the phone has two: the path on the phone comes first.
    fn named(&mut self, dir: Dir, name: String) -> Next {
        let is_metadata = name
            .rsplit('/')
            .next()
            .is_some_and(|n| METADATA.contains(&n));
        let keep = self.keep_metadata && is_metadata;
        let side = self.side(dir);
        match (dir, &mut side.file) {
            (_, Some(file)) => {
                file.path = name;
                file.body = keep.then(Vec::new);
                Next::ChunkHead
            }
            (Dir::FromPhone, none) => {
                *none = Some(Growing::new(Some(name), String::new()));
                Next::NameLength
            }
            (Dir::ToPhone, none) => {
                *none = Some(Growing::new(None, name));
                Next::ChunkHead
            }
        }
    }

    fn data(&mut self, dir: Dir, data: &[u8]) {
        if let Some(file) = &mut self.side(dir).file {
            file.size += data.len() as u64;
            file.hash.update(data);
            match &mut file.body {
                Some(body) if file.size <= MESSAGE_BYTES_MAX as u64 => body.extend_from_slice(data),
                too_long => *too_long = None,
            }
        }
    }

    fn ended(&mut self, dir: Dir, code: u8, text: String, seen: &mut dyn FnMut(Item)) -> Next {
        let end = match code {
            0 => FileEnd::Whole,
            code => FileEnd::Failed(code, text),
        };
        if let Some(file) = self.side(dir).file.take() {
            seen(Item::File(file.ended(end)));
        }
        Next::NameLength
    }
}

impl Growing {
    fn new(device_path: Option<String>, path: String) -> Growing {
        Growing {
            device_path,
            path,
            size: 0,
            hash: Sha256::new(),
            body: None,
        }
    }

    fn ended(self, end: FileEnd) -> File {
        File {
            device_path: self.device_path,
            path: self.path,
            size: self.size,
            sha256: self.hash.finalize(),
            body: self.body,
            end,
        }
    }
}

/// Returns the name of a DeviceLink message.
fn name(message: &Value) -> Option<&str> {
    message.as_array()?.first()?.as_string()
}

fn big_endian(bytes: &[u8]) -> usize {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

/// Returns the n-th 64-bit word.
fn little_endian(bytes: &[u8], n: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[n * 8 + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dir::{FromPhone, ToPhone};

    fn plist(value: &Value) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        value.to_writer_binary(&mut bytes).unwrap();
        let length = u32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    fn message(name: &str) -> Value {
        Value::Array(vec![name.into(), Value::Integer(1.into())])
    }

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
    }

    fn chunk(code: u8, bytes: &[u8]) -> Vec<u8> {
        let length = (bytes.len() as u32 + 1).to_be_bytes();
        [&length[..], &[code], bytes].concat()
    }

    /// Builds an upload of two files, and a download that is answered with two.
    fn dialog() -> Vec<(Dir, Vec<u8>)> {
        let upload = [
            text("/var/a"),
            text("U/a"),
            chunk(DATA, b"ab"),
            chunk(DATA, b""),
            chunk(DATA, b"c"),
            chunk(0, b""),
            text("/var/b"),
            text("U/Status.plist"),
            chunk(DATA, b"x"),
            chunk(11, b"Input/output error"),
            vec![0; 4],
        ];
        let download = [
            text("U/Status.plist"),
            chunk(6, b"No such file"),
            vec![0; 4],
        ];
        vec![
            (FromPhone, plist(&message("DLMessageUploadFiles"))),
            (FromPhone, upload.concat()),
            (ToPhone, plist(&message("DLMessageStatusResponse"))),
            (FromPhone, plist(&message("DLMessageDownloadFiles"))),
            (ToPhone, download.concat()),
            (ToPhone, plist(&message("DLMessageStatusResponse"))),
        ]
    }

    fn items(framing: Framing, dialog: &[(Dir, Vec<u8>)], piece: usize) -> Vec<(Dir, Item)> {
        let mut framer = Framer::new(framing, true);
        let mut items = Vec::new();
        for (dir, bytes) in dialog {
            for piece in bytes.chunks(piece) {
                framer.push(*dir, piece, &mut |item| items.push((*dir, item)));
            }
        }
        for dir in [ToPhone, FromPhone] {
            framer.end(dir, &mut |item| items.push((dir, item)));
        }
        items
    }

    #[test]
    fn files_and_messages_are_separated() {
        let whole = items(Framing::DeviceLink, &dialog(), usize::MAX);
        let kinds: Vec<String> = whole
            .iter()
            .map(|(_, item)| match item {
                Item::File(file) => format!("{} {} {:?}", file.path, file.size, file.end),
                Item::Plist(message) => name(message).unwrap().to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "DLMessageUploadFiles",
                "U/a 3 Whole",
                "U/Status.plist 1 Failed(11, \"Input/output error\")",
                "FilesEnd",
                "DLMessageStatusResponse",
                "DLMessageDownloadFiles",
                "U/Status.plist 0 Failed(6, \"No such file\")",
                "FilesEnd",
                "DLMessageStatusResponse",
            ]
        );
        for piece in 1..40 {
            assert_eq!(
                items(Framing::DeviceLink, &dialog(), piece),
                whole,
                "{piece}"
            );
        }
    }

    #[test]
    fn cut_off_file_is_marked() {
        let mut dialog = dialog();
        dialog.truncate(2);
        dialog[1].1.truncate(10 + 7 + 6);
        let all = items(Framing::DeviceLink, &dialog, 3);
        let Some((FromPhone, Item::File(file))) = all.last() else {
            panic!("{all:?}")
        };
        assert_eq!((file.size, &file.end), (1, &FileEnd::Cut));
    }

    #[test]
    fn only_metadata_bodies_are_kept() {
        let all = items(Framing::DeviceLink, &dialog(), 7);
        let bodies: Vec<_> = all
            .iter()
            .filter_map(|(_, item)| match item {
                Item::File(file) => Some(file.body.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(bodies, [None, Some(b"x".to_vec()), None]);
    }

    #[test]
    fn afc_and_usbmux_frames_are_split() {
        let mut packet = AFC_MAGIC.to_vec();
        for word in [48u64, 48, 3, 20, 7] {
            packet.extend(word.to_le_bytes());
        }
        let mut empty = AFC_MAGIC.to_vec();
        for word in [40u64, 40, 4, 11] {
            empty.extend(word.to_le_bytes());
        }
        let all = items(Framing::Afc, &[(ToPhone, [packet, empty].concat())], 5);
        let afc = |number, operation, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            (
                ToPhone,
                Item::Afc {
                    number,
                    operation,
                    bytes,
                },
            )
        };
        assert_eq!(all, [afc(3, 20, &7u64.to_le_bytes()), afc(4, 11, b"")]);

        let body = plist(&message("x")).split_off(4);
        let mut bytes = (16 + body.len() as u32).to_le_bytes().to_vec();
        bytes.extend([0; 12]);
        bytes.extend(body);
        let all = items(Framing::Usbmux, &[(FromPhone, bytes)], 1);
        assert_eq!(all, [(FromPhone, Item::Plist(message("x")))]);
    }

    #[test]
    fn unframed_bytes_are_only_counted() {
        let all = items(Framing::Plists, &[(ToPhone, vec![0xff; 100])], 9);
        assert_eq!(all, [(ToPhone, Item::Raw(100))]);
    }
}
