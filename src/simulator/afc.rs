//! AFC: access to the media folder, as far as a backup needs it: the sync lock and a few iTunes
//! files.
//!
//! ```text
//! ["CFA6LPAA"][whole length u64 LE][length without bulk data u64 LE][packet number u64 LE]
//!             [operation u64 LE]
//! ```

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::sync::Mutex;

use super::faults::Fault;
use super::phone::Phone;
use super::tls::Link;

const MAGIC: &[u8; 8] = b"CFA6LPAA";
const HEADER: u64 = 40;
const PACKET_BYTES_MAX: u64 = 8 << 20;
/// Largest file in bytes. The largest one that a restore writes is the list of applications, with
/// their icons.
const FILE_BYTES_MAX: usize = 128 << 20;
const OK: u64 = 0;
const INVALID: u64 = 7;
const NOT_FOUND: u64 = 8;
const IS_FOLDER: u64 = 9;
const UNSUPPORTED: u64 = 15;
const NO_ROOM: u64 = 18;
const WOULD_BLOCK: u64 = 19;

/// The media folder of one phone.
#[derive(Debug)]
pub(super) struct Media {
    /// Contents by path; `None` for a folder.
    files: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
    /// Id of the client that holds the exclusive lock of each file.
    locks: Mutex<HashMap<String, u64>>,
    clients: Mutex<u64>,
}

impl Default for Media {
    fn default() -> Self {
        let folders = [
            "/",
            "/Books",
            "/DCIM",
            "/Downloads",
            "/iTunes_Control",
            "/iTunes_Control/iTunes",
        ];
        let mut files: BTreeMap<_, _> = folders
            .iter()
            .map(|path| ((*path).to_owned(), None))
            .collect();
        for (path, bytes) in [
            (
                "/Books/iBooksData2.plist",
                &b"<plist version=\"1.0\"><dict/></plist>"[..],
            ),
            ("/iTunes_Control/iTunes/IC-Info.sidb", &[7; 64]),
            ("/iTunes_Control/iTunes/IC-Info.sidv", &[8; 32]),
            ("/iTunes_Control/iTunes/iTunesPrefs", &[9; 128]),
            (
                "/iTunes_Control/iTunes/iTunesPrefs.plist",
                b"<plist version=\"1.0\"><dict/></plist>",
            ),
            ("/com.apple.itunes.lock_sync", b""),
        ] {
            files.insert(path.to_owned(), Some(bytes.to_vec()));
        }
        Media {
            files: Mutex::new(files),
            locks: Mutex::default(),
            clients: Mutex::default(),
        }
    }
}

impl Media {
    /// Returns the contents of a file.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        super::lock(&self.files).get(path).cloned().flatten()
    }

    /// Removes a file or folder if it exists.
    pub(super) fn remove(&self, path: &str) {
        super::lock(&self.files).remove(path);
    }
}

enum Answer {
    Status(u64),
    Data(Vec<u8>),
    Backup(u64),
}

struct Client<'a> {
    media: &'a Media,
    id: u64,
    /// Path and position of each open file, by handle.
    open: HashMap<u64, (String, usize)>,
    opened: u64,
    /// Status to return from writes, if an injected fault makes them fail.
    refuses_writes: Option<u64>,
}

/// Serves one client until it disconnects, which releases its locks.
pub(super) fn serve(phone: &Phone, mut link: Link) -> io::Result<()> {
    let media = &phone.media;
    let id = {
        let mut clients = super::lock(&media.clients);
        *clients += 1;
        *clients
    };
    let mut client = Client {
        media,
        id,
        open: HashMap::new(),
        opened: 0,
        refuses_writes: phone.faults().iter().find_map(|f| match f {
            Fault::RefusesWrites(status) => Some(*status),
            _ => None,
        }),
    };
    let ended = converse(&mut client, &mut link);
    super::lock(&media.locks).retain(|_, holder| *holder != id);
    link.close();
    ended
}

fn converse(client: &mut Client<'_>, link: &mut Link) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER as usize];
        link.read_exact(&mut header)?;
        let (whole, number, operation) = (word(&header, 8), word(&header, 24), word(&header, 32));
        if &header[..8] != MAGIC || !(HEADER..=PACKET_BYTES_MAX).contains(&whole) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; (whole - HEADER) as usize];
        link.read_exact(&mut body)?;
        let (operation, body) = match client.perform(operation, &body) {
            Answer::Status(status) => (1u64, status.to_le_bytes().to_vec()),
            Answer::Data(data) => (2, data),
            Answer::Backup(handle) => (14, handle.to_le_bytes().to_vec()),
        };
        let length = HEADER + body.len() as u64;
        let mut packet = MAGIC.to_vec();
        for value in [
            length,
            if operation == 2 { HEADER } else { length },
            number,
            operation,
        ] {
            packet.extend(value.to_le_bytes());
        }
        packet.extend(body);
        link.write_all(&packet)?;
        link.flush()?;
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(found) = bytes.get(at..at + 8) {
        word.copy_from_slice(found);
    }
    u64::from_le_bytes(word)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let path = String::from_utf8_lossy(&bytes[..end]);
    format!("/{}", path.trim_matches('/'))
}

fn list(texts: &[String]) -> Answer {
    let mut data = Vec::new();
    for text in texts {
        data.extend(text.as_bytes());
        data.push(0);
    }
    Answer::Data(data)
}

impl Client<'_> {
    fn perform(&mut self, operation: u64, body: &[u8]) -> Answer {
        let mut files = super::lock(&self.media.files);
        let handle = word(body, 0);
        match operation {
            3 => {
                let folder = text(body);
                if !matches!(files.get(&folder), Some(None)) {
                    return Answer::Status(NOT_FOUND);
                }
                let prefix = format!("{}/", folder.trim_end_matches('/'));
                let mut names = vec![".".to_owned(), "..".to_owned()];
                let below = files.keys().filter_map(|path| path.strip_prefix(&prefix));
                names.extend(
                    below
                        .filter(|n| !n.is_empty() && !n.contains('/'))
                        .map(str::to_owned),
                );
                list(&names)
            }
            8 => match files.remove(&text(body)) {
                Some(_) => Answer::Status(OK),
                None => Answer::Status(NOT_FOUND),
            },
            9 => {
                files.entry(text(body)).or_insert(None);
                Answer::Status(OK)
            }
            10 => match files.get(&text(body)) {
                None => Answer::Status(NOT_FOUND),
                Some(file) => {
                    let size = file.as_ref().map_or(0, Vec::len).to_string();
                    let kind = if file.is_some() { "S_IFREG" } else { "S_IFDIR" };
                    let time = "1704067200000000000";
                    let facts = [
                        ("st_size", size.as_str()),
                        ("st_blocks", "8"),
                        ("st_nlink", "1"),
                        ("st_ifmt", kind),
                        ("st_mtime", time),
                        ("st_birthtime", time),
                    ];
                    let facts = facts
                        .iter()
                        .flat_map(|(k, v)| [(*k).to_owned(), (*v).to_owned()]);
                    list(&facts.collect::<Vec<_>>())
                }
            },
            11 => list(
                &[
                    "Model",
                    "iPhone16,1",
                    "FSTotalBytes",
                    "256000000000",
                    "FSFreeBytes",
                    "100000000000",
                    "FSBlockSize",
                    "4096",
                ]
                .map(str::to_owned),
            ),
            13 => {
                let path = text(body.get(8..).unwrap_or_default());
                // Mode 1 is read-only; 3 and 4 truncate; all but 1 create the file.
                match files.get(&path) {
                    Some(None) => return Answer::Status(IS_FOLDER),
                    None if handle == 1 => return Answer::Status(NOT_FOUND),
                    Some(Some(_)) if !matches!(handle, 3 | 4) => {}
                    _ => {
                        files.insert(path.clone(), Some(Vec::new()));
                    }
                }
                self.opened += 1;
                self.open.insert(self.opened, (path, 0));
                Answer::Backup(self.opened)
            }
            20 => match self.open.remove(&handle) {
                Some((path, _)) => {
                    self.unlock(&path);
                    Answer::Status(OK)
                }
                None => Answer::Status(INVALID),
            },
            15..=18 | 21 | 27 => {
                let Some((path, at)) = self.open.get_mut(&handle) else {
                    return Answer::Status(INVALID);
                };
                let Some(Some(bytes)) = files.get_mut(path.as_str()) else {
                    return Answer::Status(NOT_FOUND);
                };
                match operation {
                    15 => {
                        let from = (*at).min(bytes.len());
                        let count = word(body, 8).min((bytes.len() - from) as u64) as usize;
                        *at = from + count;
                        Answer::Data(bytes[from..from + count].to_vec())
                    }
                    16 => {
                        if let Some(status) = self.refuses_writes {
                            return Answer::Status(status);
                        }
                        let data = body.get(8..).unwrap_or_default();
                        if at.saturating_add(data.len()) > FILE_BYTES_MAX {
                            return Answer::Status(NO_ROOM);
                        }
                        bytes.resize(bytes.len().max(*at + data.len()), 0);
                        bytes[*at..*at + data.len()].copy_from_slice(data);
                        *at += data.len();
                        Answer::Status(OK)
                    }
                    17 => {
                        let base = match word(body, 8) {
                            0 => 0,
                            1 => *at,
                            _ => bytes.len(),
                        };
                        let to = (base as i64).saturating_add(word(body, 16) as i64);
                        *at = usize::try_from(to).unwrap_or(0).min(bytes.len());
                        Answer::Status(OK)
                    }
                    18 => Answer::Data((*at as u64).to_le_bytes().to_vec()),
                    21 => {
                        bytes.resize(word(body, 8).min(PACKET_BYTES_MAX) as usize, 0);
                        Answer::Status(OK)
                    }
                    _ => {
                        let path = path.clone();
                        Answer::Status(self.flock(&path, word(body, 8)))
                    }
                }
            }
            24 => {
                let from = text(body);
                let to = body
                    .iter()
                    .position(|b| *b == 0)
                    .map(|end| text(&body[end + 1..]));
                match (files.remove(&from), to) {
                    (Some(file), Some(to)) => {
                        files.insert(to, file);
                        Answer::Status(OK)
                    }
                    _ => Answer::Status(NOT_FOUND),
                }
            }
            _ => Answer::Status(UNSUPPORTED),
        }
    }

    /// Handles `flock`: 1 shared, 2 exclusive, 8 unlock, each combined with 4 (do not wait).
    fn flock(&self, path: &str, how: u64) -> u64 {
        if how & 8 != 0 {
            self.unlock(path);
            return OK;
        }
        let mut locks = super::lock(&self.media.locks);
        match locks.get(path) {
            Some(holder) if *holder != self.id => WOULD_BLOCK,
            _ => {
                locks.insert(path.to_owned(), self.id);
                OK
            }
        }
    }

    fn unlock(&self, path: &str) {
        let mut locks = super::lock(&self.media.locks);
        if locks.get(path) == Some(&self.id) {
            locks.remove(path);
        }
    }
}
