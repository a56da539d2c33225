//! Sends the files of a backup: pictures, videos and sounds to show, and any file to download.
//! A file that is shown has a type from a short list and a sandbox; anything else is a download of
//! an unknown type, so that no browser runs it.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderMap, IF_RANGE, RANGE,
};
use axum::http::{Response as Answer, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::fail::Fail;
use super::layout::encoded;
use super::media::{HEAD_BYTES, Media};
use super::site::{Opened, Site, reading};
use crate::backup_format::manifest_db::Kind;
use crate::reader::backup::{self, Item};

/// The policy of a file: it may load and run nothing, even if a person opens it in a tab of its
/// own.
pub(super) const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";
/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;
/// The type of a file that is not shown.
const UNKNOWN: &str = "application/octet-stream";

/// Sends a file to be shown, if its kind can be shown.
pub(super) async fn show(
    State(site): State<Arc<Site>>,
    Path((key, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    reading(move || send(&*site.open(&key)?, &id, &headers, true)).await
}

/// Sends a file as a download.
pub(super) async fn download(
    State(site): State<Arc<Site>>,
    Path((key, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    reading(move || send(&*site.open(&key)?, &id, &headers, false)).await
}

/// Finds a file by its id in the list of the backup. An extension after the id means nothing.
pub(super) fn find(opened: &Opened, id: &str) -> Result<Item, Fail> {
    let id = id.split_once('.').map_or(id, |(id, _)| id);
    let nothing = Fail::NotFound("the backup has no file with this id");
    if id.len() != 40 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(nothing);
    }
    let found = opened.backup().find_id(&id.to_ascii_lowercase())?;
    found.filter(|item| item.kind == Kind::File).ok_or(nothing)
}

/// Reads the first bytes of a file.
pub(super) fn head(opened: &Opened, item: &Item, most: usize) -> Result<Vec<u8>, Fail> {
    let plain = opened.backup().bytes(item)?;
    let mut head = Vec::new();
    let read = plain.take(most as u64).read_to_end(&mut head);
    read.map_err(|e| Fail::Unreadable(format!("{} cannot be read: {e}", item.name())))?;
    Ok(head)
}

fn send(opened: &Opened, id: &str, headers: &HeaderMap, shown: bool) -> Result<Response, Fail> {
    let item = find(opened, id)?;
    let media = Media::of(&head(opened, &item, HEAD_BYTES)?);
    let media = media.filter(|_| shown);
    let plain = opened.backup().bytes(&item)?;
    let length = length(opened, &item, &plain)?;
    let tag = format!("\"{}-{}\"", opened.key, item.file_id);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let range = match text(RANGE) {
        // Another version of the file needs all of it.
        Some(_) if text(IF_RANGE).is_some_and(|wish| wish != tag) => Wish::All,
        Some(range) => Wish::of(range, length),
        None => Wish::All,
    };
    let name = item.relative_path.rsplit('/').next().unwrap_or_default();
    let kind = if media.is_some() {
        "inline"
    } else {
        "attachment"
    };
    let answer = Answer::builder()
        .header(CONTENT_SECURITY_POLICY, SANDBOX)
        .header(CONTENT_DISPOSITION, disposition(kind, name))
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, tag)
        .header(CONTENT_TYPE, media.map_or(UNKNOWN, Media::mime_type));
    let (answer, from, left) = match range {
        Wish::All => (answer, 0, length),
        Wish::Part(from, to) => {
            let range = format!("bytes {from}-{}/{length}", to - 1);
            let answer = answer.status(StatusCode::PARTIAL_CONTENT);
            (answer.header(CONTENT_RANGE, range), from, to - from)
        }
        Wish::Nothing => {
            let answer = answer
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(CONTENT_RANGE, format!("bytes */{length}"));
            return built(answer.body(Body::empty()));
        }
    };
    let body = FileBody {
        state: Reading::Idle(Source { plain, skip: from }),
        left,
    };
    built(answer.header(CONTENT_LENGTH, left).body(Body::new(body)))
}

fn built(answer: Result<Response, axum::http::Error>) -> Result<Response, Fail> {
    answer.map_err(|e| Fail::Unreadable(e.to_string()))
}

/// Returns the length of a file's plaintext.
fn length(opened: &Opened, item: &Item, plain: &backup::Bytes) -> Result<u64, Fail> {
    match plain {
        backup::Bytes::AsItIs(file) => {
            let meta = file.metadata();
            let meta = meta.map_err(|e| Fail::Unreadable(e.to_string()))?;
            Ok(meta.len())
        }
        backup::Bytes::Elsewhere(_) | backup::Bytes::Decrypted(_) => {
            let record = item.record().map_err(|e| Fail::Unreadable(e.to_string()))?;
            if !record.lacks_size {
                return Ok(record.size);
            }
            // The records of some versions of iOS have no size: only the end of the file shows it.
            let mut plain = opened.backup().bytes(item)?;
            let length = io::copy(&mut plain, &mut io::sink());
            length.map_err(|e| Fail::Unreadable(format!("{} cannot be read: {e}", item.name())))
        }
    }
}

/// Returns the header that names a file, with an ASCII name for old browsers (RFC 6266).
pub(super) fn disposition(kind: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' | ' ' => c,
            _ => '_',
        })
        .collect();
    let exact = encoded(name).replace('/', "%2F");
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

/// The part of a file that a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    All,
    /// From this byte up to but not including that one.
    Part(u64, u64),
    /// A part that does not exist.
    Nothing,
}

impl Wish {
    /// Reads a Range header (RFC 9110, 14). One that cannot be read, or that wants several parts,
    /// counts as none.
    fn of(header: &str, length: u64) -> Wish {
        let Some((first, last)) = header
            .strip_prefix("bytes=")
            .and_then(|range| range.trim().split_once('-'))
        else {
            return Wish::All;
        };
        let number = |text: &str| text.parse::<u64>().ok();
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(first) || !is_number(last) {
            return Wish::All;
        }
        let (from, to) = match (number(first), number(last)) {
            (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(length)),
            (Some(from), None) if last.is_empty() => (from, length),
            (None, Some(most)) if first.is_empty() => (length.saturating_sub(most), length),
            _ => return Wish::All,
        };
        if from < to {
            Wish::Part(from, to)
        } else {
            Wish::Nothing
        }
    }
}

/// The bytes of a file on their way. They are read when the browser takes them, so that one that
/// waits holds no thread.
struct FileBody {
    state: Reading,
    left: u64,
}

enum Reading {
    Idle(Source),
    Busy(JoinHandle<(Source, io::Result<Bytes>)>),
    Ended,
}

struct Source {
    plain: backup::Bytes,
    /// Bytes before the part that is wanted.
    skip: u64,
}

impl Source {
    fn read(&mut self, most: usize) -> io::Result<Bytes> {
        let skip = std::mem::take(&mut self.skip);
        if skip > 0 {
            self.plain.begin_at(skip)?;
        }
        let mut chunk = Vec::with_capacity(most);
        (&mut self.plain)
            .take(most as u64)
            .read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(chunk.into())
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        loop {
            match std::mem::replace(&mut self.state, Reading::Ended) {
                Reading::Idle(mut source) => {
                    let most = self.left.min(CHUNK as u64) as usize;
                    self.state = Reading::Busy(tokio::task::spawn_blocking(move || {
                        let chunk = source.read(most);
                        (source, chunk)
                    }));
                }
                Reading::Busy(mut job) => {
                    let Poll::Ready(done) = Pin::new(&mut job).poll(context) else {
                        self.state = Reading::Busy(job);
                        return Poll::Pending;
                    };
                    return Poll::Ready(Some(match done {
                        Ok((source, Ok(chunk))) => {
                            self.left -= chunk.len() as u64;
                            self.state = Reading::Idle(source);
                            Ok(Frame::data(chunk))
                        }
                        // The connection ends here, so that the browser sees that it is not all.
                        Ok((_, Err(e))) => Err(e),
                        Err(e) => Err(io::Error::other(e)),
                    }));
                }
                Reading::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (header, wish) in [
            ("bytes=0-0", Wish::Part(0, 1)),
            ("bytes=2-", Wish::Part(2, 10)),
            ("bytes=-3", Wish::Part(7, 10)),
            ("bytes=-99", Wish::Part(0, 10)),
            ("bytes=5-99", Wish::Part(5, 10)),
            ("bytes=10-", Wish::Nothing),
            ("bytes=-0", Wish::Nothing),
            ("bytes=3-2", Wish::All),
            ("bytes=0-1,3-4", Wish::All),
            ("bytes=+1-2", Wish::All),
            ("bytes=-", Wish::All),
            ("lines=1-2", Wish::All),
            ("bytes=99999999999999999999-", Wish::All),
        ] {
            assert_eq!(Wish::of(header, 10), wish, "{header}");
        }
        assert_eq!(Wish::of("bytes=0-", 0), Wish::Nothing);
    }

    #[test]
    fn names_cannot_break_the_header() {
        let made = disposition("attachment", "a\"\r\nX: ü.html");
        assert_eq!(
            made,
            "attachment; filename=\"a___X_ _.html\"; filename*=UTF-8''a%22%0D%0AX%3A%20%C3%BC.html"
        );
    }
}
