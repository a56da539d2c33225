//! Sends many files as one ZIP file. It is made while the browser takes it, so that it needs no
//! space on a disk and little memory. Photos and videos are compressed already, so they are stored.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::Response as Answer;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use tokio::task::JoinHandle;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::fail::Fail;
use super::raw::{SANDBOX, disposition};
use super::site::{Opened, locked};
use crate::reader::backup;

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;
/// Files above this size get the longer fields of ZIP64.
const LARGE: u64 = 0xff00_0000;
/// The file that names those that are not in the ZIP file.
const LEFT_OUT: &str = "Files that are not here.txt";

/// A file to send.
pub(super) struct Wanted {
    /// The name in the ZIP file. Another one of the same name gets a number.
    pub(super) name: String,
    /// The domain and the path in the backup.
    pub(super) domain: &'static str,
    pub(super) path: String,
}

/// Returns the answer with these files.
pub(super) fn answer(
    opened: Arc<Opened>,
    name: &str,
    files: VecDeque<Wanted>,
) -> Result<Response, Fail> {
    let out = Out::default();
    let pack = Pack {
        opened,
        files,
        names: HashSet::new(),
        writer: Some(ZipWriter::new_stream(out.clone())),
        out,
        open: None,
        left_out: String::new(),
    };
    let answer = Answer::builder()
        .header(CONTENT_SECURITY_POLICY, SANDBOX)
        .header(CONTENT_DISPOSITION, disposition("attachment", name))
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(Body::new(Packing::Idle(Box::new(pack))));
    answer.map_err(|e| Fail::Unreadable(e.to_string()))
}

/// The bytes that the writer has made and the browser has not taken.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A ZIP file that is being made.
struct Pack {
    opened: Arc<Opened>,
    files: VecDeque<Wanted>,
    /// The names that are taken, in lower case.
    names: HashSet<String>,
    /// `None` after the end.
    writer: Option<ZipWriter<StreamWriter<Out>>>,
    out: Out,
    open: Option<backup::Bytes>,
    /// The files that cannot be read, in lines.
    left_out: String,
}

impl Pack {
    /// Returns the next bytes; none at the end.
    fn next(&mut self) -> io::Result<Bytes> {
        loop {
            let made = std::mem::take(&mut *locked(&self.out.0));
            if !made.is_empty() {
                return Ok(made.into());
            }
            let Some(writer) = &mut self.writer else {
                return Ok(Bytes::new());
            };
            if let Some(open) = &mut self.open {
                let mut chunk = Vec::with_capacity(CHUNK);
                open.take(CHUNK as u64).read_to_end(&mut chunk)?;
                if chunk.is_empty() {
                    self.open = None;
                } else {
                    writer.write_all(&chunk)?;
                }
            } else if let Some(file) = self.files.pop_front() {
                if let Err(why) = self.begin(&file) {
                    self.left_out += &format!("{}/{}: {why}\n", file.domain, file.path);
                }
            } else {
                self.end()?;
            }
        }
    }

    /// Begins a file.
    fn begin(&mut self, wanted: &Wanted) -> Result<(), String> {
        let backup = self.opened.backup();
        let item = backup
            .find(wanted.domain, &wanted.path)
            .map_err(|e| e.to_string())?;
        let item = item.ok_or("the backup has no such file")?;
        let bytes = backup.bytes(&item).map_err(|e| e.to_string())?;
        // The list of a damaged backup can have a wrong size.
        let size = item.size().unwrap_or(u64::MAX);
        drop(backup);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(size > LARGE);
        let name = free(&mut self.names, &wanted.name);
        if let Some(writer) = &mut self.writer {
            writer
                .start_file(name, options)
                .map_err(|e| e.to_string())?;
            self.open = Some(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some(mut writer) = self.writer.take() {
            if !self.left_out.is_empty() {
                let options =
                    SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
                let name = free(&mut self.names, LEFT_OUT);
                writer.start_file(name, options).map_err(io::Error::other)?;
                writer.write_all(self.left_out.as_bytes())?;
            }
            writer.finish().map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Returns a name that no other file has and that leads nowhere.
fn free(names: &mut HashSet<String>, name: &str) -> String {
    let is_bad = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    let plain: String = name
        .chars()
        .map(|c| if is_bad(c) { '_' } else { c })
        .collect();
    let plain = match plain.trim_start_matches('.').trim() {
        "" => "file".to_owned(),
        plain => plain.to_owned(),
    };
    let (stem, end) = match plain.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() => (stem, format!(".{end}")),
        _ => (plain.as_str(), String::new()),
    };
    let mut number = 1;
    let mut free = plain.clone();
    while !names.insert(free.to_lowercase()) {
        number += 1;
        free = format!("{stem} ({number}){end}");
    }
    free
}

/// A ZIP file on its way. It is made when the browser takes it, so that one that waits holds no
/// thread.
enum Packing {
    Idle(Box<Pack>),
    Busy(JoinHandle<(Box<Pack>, io::Result<Bytes>)>),
    Ended,
}

impl http_body::Body for Packing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut *self, Packing::Ended) {
                Packing::Idle(mut pack) => {
                    *self = Packing::Busy(tokio::task::spawn_blocking(move || {
                        let next = pack.next();
                        (pack, next)
                    }));
                }
                Packing::Busy(mut job) => {
                    let Poll::Ready(done) = Pin::new(&mut job).poll(context) else {
                        *self = Packing::Busy(job);
                        return Poll::Pending;
                    };
                    return Poll::Ready(match done {
                        Ok((_, Ok(bytes))) if bytes.is_empty() => None,
                        Ok((pack, Ok(bytes))) => {
                            *self = Packing::Idle(pack);
                            Some(Ok(Frame::data(bytes)))
                        }
                        // The connection ends here, so that the browser sees that it is not all.
                        Ok((_, Err(e))) => Some(Err(e)),
                        Err(e) => Some(Err(io::Error::other(e))),
                    });
                }
                Packing::Ended => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_free_and_harmless() {
        let mut names = HashSet::new();
        for (name, made) in [
            ("IMG_1.JPG", "IMG_1.JPG"),
            ("img_1.jpg", "img_1 (2).jpg"),
            ("IMG_1.JPG", "IMG_1 (3).JPG"),
            ("../../x\n.mov", "_.._x_.mov"),
            ("C:\\x", "C__x"),
            ("...", "file"),
        ] {
            assert_eq!(free(&mut names, name), made);
        }
    }
}
