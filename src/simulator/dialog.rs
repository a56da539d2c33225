//! Requests that the phone sends to the computer during a backup: one function per message, each of
//! which checks the answer.

use std::collections::HashMap;
use std::io;

use plist::{Dictionary, Value};

use super::faults::{Fault, nested};
use super::wire::{CODE_DATA, Wire};
use crate::base::sha256::Sha256;

/// Maximum size in bytes of metadata that is kept in memory.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Longest frame in bytes. The phone's backup agent does not survive a longer one.
const FRAME_BYTES_MAX: u32 = 16 << 20;
const OK: i64 = 0;
const NOT_FOUND: i64 = -6;
const EXISTS: i64 = -7;
const SEVERAL: i64 = -13;

/// Reason for which a backup stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection was lost.
    Lost(io::Error),
    /// The phone gives up, with an error code of MBErrorDomain.
    Fails(u64, String),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Stop::Lost(e)
    }
}

/// Returns a failure with this code.
pub(super) fn fails<T>(code: u64, text: &str) -> Result<T, Stop> {
    Err(Stop::Fails(code, text.to_owned()))
}

/// Answer to most messages.
#[derive(Debug)]
pub(super) struct Reply {
    code: i64,
    text: String,
    payload: Value,
}

/// Receives a piece of a file, together with the index of the file's path.
pub(super) type Take<'a> = dyn FnMut(usize, &[u8]) -> Result<(), Stop> + 'a;

/// Result of a file request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The file arrived completely.
    Whole,
    /// The computer does not have the file.
    Absent,
    /// The computer could not read the file.
    Failed,
    /// The computer did not mention the file.
    Unanswered,
}

/// A file received from the computer.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    /// True if the computer does not have the file.
    pub(super) absent: bool,
    /// Contents of the file, if requested.
    pub(super) bytes: Vec<u8>,
    pub(super) size: u64,
    pub(super) hash: [u8; 32],
}

impl Reply {
    /// Returns an error unless the reply is a success. The error ends the backup with the code that
    /// real phones would use.
    pub(super) fn must_succeed(&self, doing: &str) -> Result<(), Stop> {
        match self.code {
            OK => Ok(()),
            _ => Err(self.failure(doing)),
        }
    }

    pub(super) fn failure(&self, doing: &str) -> Stop {
        let code = match self.code {
            NOT_FOUND => 4,
            EXISTS => 3,
            -8 => 5,
            -9 => 6,
            -10 => 7,
            SEVERAL => 2,
            -15 => 105,
            _ => 100,
        };
        Stop::Fails(code, format!("{doing}: {}", self.text))
    }

    /// Returns the failure of an upload. Lack of space has an error code of its own.
    fn upload_failure(&self) -> Stop {
        let mut codes = file_errors(&self.payload);
        if self.code == -15 || codes.any(|(_, code)| code == -15) {
            return Stop::Fails(
                105,
                "Insufficient free disk space on drive to back up".into(),
            );
        }
        match self.code {
            SEVERAL => Stop::Fails(104, "Multiple errors uploading files".into()),
            _ => self.failure("Error uploading files"),
        }
    }
}

fn file_errors(payload: &Value) -> impl Iterator<Item = (&str, i64)> {
    let files = payload.as_dictionary().into_iter().flatten();
    files.filter_map(|(path, error)| {
        let code = error.as_dictionary()?.get("DLFileErrorCode")?;
        Some((path.as_str(), integer(code)?))
    })
}

/// Returns an integer of either sign. Some programs send negative numbers in unsigned form.
fn integer(value: &Value) -> Option<i64> {
    let unsigned = || value.as_unsigned_integer().map(|n| n as i64);
    value.as_signed_integer().or_else(unsigned)
}

fn callbacks() -> Value {
    Value::Dictionary(super::dict([(
        "DLDeviceIOCallbacks",
        4_955_806_704u64.into(),
    )]))
}

impl Wire {
    /// Injects faults that replace or precede the first request.
    pub(super) fn misbehave(&mut self, faults: &[Fault]) -> Result<(), Stop> {
        for fault in faults {
            let (length, bytes) = match fault {
                Fault::MessageLength(length) => (*length, vec![b'x'; 64 << 10]),
                Fault::DeepPlist(depth) => {
                    let bytes = nested(*depth, 1);
                    (bytes.len() as u32, bytes)
                }
                Fault::Laughs => {
                    let bytes = nested(40, 10);
                    (bytes.len() as u32, bytes)
                }
                Fault::UnknownMessage(name) => {
                    let options = Value::Dictionary(Dictionary::new());
                    self.message(vec![name.as_str().into(), options])?;
                    // The computer rejects the message, but answers it.
                    self.reply()?;
                    continue;
                }
                _ => continue,
            };
            self.raw_message(length, &bytes)?;
            self.stall()?;
        }
        Ok(())
    }

    /// Receives and checks a `DLMessageStatusResponse`.
    pub(super) fn reply(&mut self) -> Result<Reply, Stop> {
        let message = self.receive()?;
        let parts = message.into_array().unwrap_or_default();
        match parts.first().and_then(Value::as_string) {
            Some("DLMessageStatusResponse") => {}
            Some("DLMessageDisconnect") => {
                return Err(Stop::Lost(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the computer disconnected",
                )));
            }
            other => {
                let what = other.unwrap_or("no message");
                return fails(1, &format!("Unexpected message: {what}"));
            }
        }
        let [_, code, text, payload] = <[Value; 4]>::try_from(parts)
            .map_err(|_| Stop::Fails(1, "Too few components in status response".into()))?;
        match (integer(&code), text.into_string()) {
            (Some(code), Some(text)) => Ok(Reply {
                code,
                text,
                payload,
            }),
            _ => fails(1, "Malformed status response"),
        }
    }

    /// Requests files. Keeps the contents of property lists, but only size and hash of other files.
    pub(super) fn download(&mut self, paths: &[String], progress: f64) -> Result<Vec<Sent>, Stop> {
        let mut sent = vec![Sent::default(); paths.len()];
        let mut hashes = vec![Sha256::new(); paths.len()];
        let fates = self.fetch(paths, progress, &mut |n, piece| {
            sent[n].size += piece.len() as u64;
            hashes[n].update(piece);
            let kept = sent[n].bytes.len() + piece.len();
            if paths[n].ends_with(".plist") && kept <= KEPT_BYTES_MAX {
                sent[n].bytes.extend_from_slice(piece);
            }
            Ok(())
        })?;
        for (n, (fate, hash)) in fates.into_iter().zip(hashes).enumerate() {
            sent[n].hash = hash.finalize();
            match fate {
                Fate::Whole => {}
                Fate::Absent => sent[n].absent = true,
                Fate::Failed => {
                    let path = &paths[n];
                    let text = format!("Error reading {path}. Underlying error: Multi status");
                    return Err(Stop::Fails(103, text));
                }
                Fate::Unanswered => {
                    let path = &paths[n];
                    let text = format!("Error reading {path}: not answered");
                    return Err(Stop::Fails(103, text));
                }
            }
        }
        Ok(sent)
    }

    /// Requests files and passes their contents to `take` as they arrive, with the index of the
    /// path. Returns the result for each file.
    pub(super) fn fetch(
        &mut self,
        paths: &[String],
        progress: f64,
        take: &mut Take<'_>,
    ) -> Result<Vec<Fate>, Stop> {
        let list = paths.iter().map(|p| p.as_str().into()).collect();
        self.message(vec![
            "DLMessageDownloadFiles".into(),
            Value::Array(list),
            callbacks(),
            progress.into(),
            0u64.into(),
        ])?;
        let numbers: HashMap<&str, usize> = (paths.iter().enumerate())
            .map(|(n, path)| (path.as_str(), n))
            .collect();
        let mut fates = vec![Fate::Unanswered; paths.len()];
        loop {
            let length = self.number()?;
            if length == 0 {
                break;
            }
            if length > 1024 {
                return fails(100, "too long a file name from the computer");
            }
            let mut path = vec![0; length as usize];
            self.exactly(&mut path)?;
            let path = String::from_utf8_lossy(&path).into_owned();
            let Some(n) = numbers.get(path.as_str()).copied() else {
                return fails(
                    100,
                    &format!("the computer sends {path}, which nobody asked for"),
                );
            };
            if fates[n] != Fate::Unanswered {
                return fails(100, &format!("the computer sends {path} twice"));
            }
            // The status at the end also names the files with errors, and overrides this result.
            fates[n] = match self.take_file(&mut |piece| take(n, piece))? {
                0 => Fate::Whole,
                6 => Fate::Absent,
                _ => Fate::Failed,
            };
        }
        let reply = self.reply()?;
        if reply.code != OK && reply.code != SEVERAL {
            return Err(reply.failure("Error downloading files"));
        }
        for (path, code) in file_errors(&reply.payload) {
            if let Some(n) = numbers.get(path).copied() {
                fates[n] = match (fates[n], code) {
                    (Fate::Unanswered, _) => Fate::Unanswered,
                    (_, NOT_FOUND) => Fate::Absent,
                    _ => Fate::Failed,
                };
            }
        }
        Ok(fates)
    }

    /// Passes the data of one file to `take`. Returns the code that ends the file.
    fn take_file(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), Stop>) -> Result<u8, Stop> {
        let mut buffer = Vec::new();
        loop {
            let length = self.number()?;
            if length == 0 || length > FRAME_BYTES_MAX {
                return Err(Stop::Lost(io::Error::other(format!(
                    "the backup agent was killed by a frame of {length} bytes"
                ))));
            }
            let mut code = [0];
            self.exactly(&mut code)?;
            buffer.resize(length as usize - 1, 0);
            self.exactly(&mut buffer)?;
            if code[0] != CODE_DATA {
                return Ok(code[0]);
            }
            self.longest_frame = self.longest_frame.max(length - 1);
            take(&buffer)?;
        }
    }

    /// Lists a folder: the names, and true for each that is a folder.
    pub(super) fn list(&mut self, path: &str) -> Result<Vec<(String, bool)>, Stop> {
        let entries = self.list_sizes(path)?.into_iter();
        Ok(entries.map(|(name, folder, _)| (name, folder)).collect())
    }

    /// Lists a folder as [`Wire::list`] does, with the size of each entry.
    pub(super) fn list_sizes(&mut self, path: &str) -> Result<Vec<(String, bool, u64)>, Stop> {
        self.message(vec![
            "DLContentsOfDirectory".into(),
            path.into(),
            callbacks(),
        ])?;
        let reply = self.reply()?;
        if reply.code == NOT_FOUND {
            return Ok(Vec::new());
        }
        reply.must_succeed("Error listing the backup")?;
        let Value::Dictionary(names) = reply.payload else {
            return Ok(Vec::new());
        };
        let entries = names.into_iter().map(|(name, about)| {
            let fact = |key: &str| about.as_dictionary().and_then(|d| d.get(key));
            let kind = fact("DLFileType").and_then(Value::as_string);
            let size = fact("DLFileSize").and_then(Value::as_unsigned_integer);
            let folder = kind == Some("DLFileTypeDirectory");
            (name, folder, size.unwrap_or(0))
        });
        Ok(entries.collect())
    }

    /// Requests the free space in bytes.
    pub(super) fn free_space(&mut self) -> Result<u64, Stop> {
        self.message(vec!["DLMessageGetFreeDiskSpace".into()])?;
        let reply = self.reply()?;
        reply.must_succeed("Error reading free space")?;
        match reply.payload.as_unsigned_integer() {
            Some(free) => Ok(free),
            None => fails(1, "Malformed status response"),
        }
    }

    /// Asks the computer to free space. Returns false if it did not.
    pub(super) fn purge(&mut self, amount: u64) -> Result<bool, Stop> {
        self.message(vec![
            "DLMessagePurgeDiskSpace".into(),
            amount.into(),
            4u64.into(),
        ])?;
        Ok(self.reply()?.code == OK)
    }

    /// Requests a new folder; an existing one is not an error.
    pub(super) fn make_folder(&mut self, path: &str, progress: f64) -> Result<(), Stop> {
        let options = Value::Dictionary(Dictionary::new());
        self.message(vec![
            "DLMessageCreateDirectory".into(),
            path.into(),
            options,
            progress.into(),
        ])?;
        let reply = self.reply()?;
        if reply.code == EXISTS {
            return Ok(());
        }
        reply.must_succeed("Error creating directories")
    }

    /// Announces an upload of this many bytes.
    pub(super) fn begin_upload(&mut self, bytes: u64, progress: f64) -> Result<(), Stop> {
        self.message(vec![
            "DLMessageUploadFiles".into(),
            callbacks(),
            progress.into(),
            bytes.into(),
        ])?;
        Ok(())
    }

    /// Sends the names of the next file of an upload: on the phone, then on the computer.
    pub(super) fn name_file(&mut self, on_phone: &str, on_host: &str) -> io::Result<()> {
        for name in [on_phone, on_host] {
            let length = u32::try_from(name.len()).map_err(io::Error::other)?;
            self.put(&length.to_be_bytes())?;
            self.put(name.as_bytes())?;
        }
        Ok(())
    }

    /// Ends an upload and checks the computer's answer.
    pub(super) fn end_upload(&mut self) -> Result<(), Stop> {
        self.put(&[0; 4])?;
        self.flush()?;
        let reply = self.reply()?;
        match reply.code {
            OK => Ok(()),
            _ => Err(reply.upload_failure()),
        }
    }

    /// Requests to move items, in this order.
    pub(super) fn move_items(
        &mut self,
        items: Vec<(String, String)>,
        progress: f64,
    ) -> Result<(), Stop> {
        let items = items
            .into_iter()
            .map(|(from, to)| (from, Value::String(to)));
        self.message(vec![
            "DLMessageMoveItems".into(),
            Value::Dictionary(items.collect()),
            callbacks(),
            progress.into(),
        ])?;
        self.reply()?.must_succeed("Error moving items")
    }

    /// Requests to copy a file, or a folder with its contents.
    pub(super) fn copy_item(&mut self, from: &str, to: &str) -> Result<(), Stop> {
        let options = Value::Dictionary(Dictionary::new());
        self.message(vec![
            "DLMessageCopyItem".into(),
            from.into(),
            to.into(),
            options,
        ])?;
        self.reply()?.must_succeed("Error copying backup")
    }

    /// Requests to remove items; missing ones are not an error.
    pub(super) fn remove_items(&mut self, paths: Vec<String>, progress: f64) -> Result<(), Stop> {
        let paths = paths.into_iter().map(Value::String).collect();
        self.message(vec![
            "DLMessageRemoveItems".into(),
            Value::Array(paths),
            callbacks(),
            progress.into(),
        ])?;
        self.reply()?.must_succeed("Error removing items")
    }

    /// Sends the final result; code 0 means success.
    pub(super) fn respond(&mut self, code: u64, text: &str) -> io::Result<()> {
        let mut response = super::dict([
            ("MessageName", "Response".into()),
            ("ErrorCode", code.into()),
        ]);
        if code != 0 {
            let text = format!("{text} (MBErrorDomain/{code})");
            response.insert("ErrorDescription".into(), text.into());
        }
        self.message(vec![
            "DLMessageProcessMessage".into(),
            Value::Dictionary(response),
        ])
    }
}
