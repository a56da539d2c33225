//! File contents between the messages.
//!
//! ```text
//! phone to host:  { [n u32 BE][path on the phone] [n u32 BE][path in the backup] chunks }* [0 u32]
//! host to phone:  { [n u32 BE][path in the backup] chunks }*                              [0 u32]
//! chunk:          [n u32 BE][code u8][n-1 bytes]
//!                 code 0x0C data, 0x00 end, else minus a status and its text
//! ```

use std::io::{self, Read, Write};

use super::{Error, Fault};
use crate::base::backup_path::BackupPath;
use crate::base::cancel::CancelToken;
use crate::transport::{Stream, read_u32};

/// A chunk of data.
const DATA: u8 = 0x0c;
/// The end of a complete file.
const END: u8 = 0x00;
/// Longest chunk we send, in bytes: longer ones get the phone's backup agent killed
/// (pymobiledevice3 #1857).
const SEND_BYTES_MAX: usize = 32 << 10;
/// Longest chunk we accept, in bytes. Phones send 32 KiB; the limit only detects a stream that has
/// lost synchronization.
const CHUNK_BYTES_MAX: u32 = 64 << 20;
/// Longest path we accept, in bytes.
const NAME_BYTES_MAX: u32 = 4096;
/// Longest error text we accept, in bytes.
const TEXT_BYTES_MAX: u32 = 64 << 10;

const RECEIVING: &str = "sent files";

/// The body of one file that the phone sends, as a reader that ends where the file ends.
///
/// Reading fails if the phone cannot continue the file or the connection breaks. In both cases the
/// file is incomplete.
pub(crate) struct Body<'a> {
    stream: &'a mut dyn Stream,
    token: &'a CancelToken,
    left_in_chunk: u32,
    end: Option<End>,
}

/// End of a body.
#[derive(Debug)]
pub(crate) enum End {
    /// The phone sent the complete file.
    Whole,
    /// The phone could not read the file.
    Device {
        /// The phone's error code.
        code: u8,
        /// The phone's error text.
        text: String,
    },
    /// The connection broke or lost synchronization.
    Wire(Error),
}

impl<'a> Body<'a> {
    /// Starts reading the body at the current position of `stream`.
    pub(crate) fn new(stream: &'a mut dyn Stream, token: &'a CancelToken) -> Body<'a> {
        Body {
            stream,
            token,
            left_in_chunk: 0,
            end: None,
        }
    }

    /// Reads the rest of the body and returns how it ended.
    pub(crate) fn finish(mut self) -> End {
        let mut rest = [0; 8 << 10];
        // `read` records its errors in `end` as well.
        while self.end.is_none() && self.read(&mut rest).is_ok_and(|n| n > 0) {}
        self.end.unwrap_or(End::Whole)
    }

    /// Moves to the next chunk of data. Returns false at the end of the file.
    fn next_chunk(&mut self) -> Result<bool, Error> {
        while self.left_in_chunk == 0 {
            if self.end.is_some() {
                return Ok(false);
            }
            if self.token.stops() {
                return Err(Error::Cancelled);
            }
            let length = read_u32(self.stream).map_err(|e| Error::wire(RECEIVING, e))?;
            if length == 0 || length > CHUNK_BYTES_MAX {
                return Err(Error::strange(
                    RECEIVING,
                    format!("a chunk of {length} bytes"),
                ));
            }
            let mut code = [0];
            self.stream
                .read_exact(&mut code)
                .map_err(|e| Error::wire(RECEIVING, e))?;
            match code[0] {
                DATA => self.left_in_chunk = length - 1,
                END if length == 1 => self.end = Some(End::Whole),
                END => {
                    return Err(Error::strange(RECEIVING, "a file continues after its end"));
                }
                code => {
                    let text = read_text(self.stream, length - 1, TEXT_BYTES_MAX)?;
                    self.end = Some(End::Device { code, text });
                }
            }
        }
        Ok(true)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let more = match self.next_chunk() {
            Ok(more) => more,
            Err(e) => {
                self.end = Some(End::Wire(e));
                false
            }
        };
        if !more {
            return match &self.end {
                None | Some(End::Whole) => Ok(0),
                Some(End::Device { text, .. }) => Err(io::Error::other(text.clone())),
                Some(End::Wire(_)) => Err(io::ErrorKind::ConnectionAborted.into()),
            };
        }
        let wanted = buffer.len().min(self.left_in_chunk as usize);
        match self.stream.read(&mut buffer[..wanted]) {
            Ok(0) if wanted > 0 => {
                self.end = Some(End::Wire(Error::wire(
                    RECEIVING,
                    io::Error::from(io::ErrorKind::UnexpectedEof),
                )));
                self.left_in_chunk = 0;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(n) => {
                self.left_in_chunk -= n as u32;
                Ok(n)
            }
            Err(e) => {
                let kind = e.kind();
                self.end = Some(End::Wire(Error::wire(RECEIVING, e)));
                self.left_in_chunk = 0;
                Err(kind.into())
            }
        }
    }
}

/// Reads the header of the next file and returns its path on the phone (for display only) and its
/// path in the backup, or `None` after the last file.
pub(crate) fn read_head(stream: &mut dyn Stream) -> Result<Option<(String, BackupPath)>, Error> {
    let length = read_u32(stream).map_err(|e| Error::wire(RECEIVING, e))?;
    if length == 0 {
        return Ok(None);
    }
    let device_path = read_text(stream, length, NAME_BYTES_MAX)?;
    let length = read_u32(stream).map_err(|e| Error::wire(RECEIVING, e))?;
    let name = read_text(stream, length, NAME_BYTES_MAX)?;
    let path = name.parse().map_err(Error::Hostile)?;
    Ok(Some((device_path, path)))
}

fn read_text(stream: &mut dyn Stream, length: u32, limit: u32) -> Result<String, Error> {
    if length > limit {
        return Err(Error::strange(
            RECEIVING,
            format!("a name or text of {length} bytes"),
        ));
    }
    let mut bytes = vec![0; length as usize];
    stream
        .read_exact(&mut bytes)
        .map_err(|e| Error::wire(RECEIVING, e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Bytes collected before they are written: each write costs a system call and an encryption, and
/// most of a phone's files are smaller than this.
const TOGETHER_BYTES: usize = 256 << 10;
/// Length of a chunk's header: its length and its code.
const HEAD: usize = 5;

/// Sender of the files that answer one request. Many small files go out in one write.
pub struct Outgoing<'a> {
    stream: &'a mut dyn Stream,
    token: &'a CancelToken,
    waiting: Vec<u8>,
    filled: usize,
}

impl<'a> Outgoing<'a> {
    /// Creates a sender; it has not sent anything yet.
    pub fn new(stream: &'a mut dyn Stream, token: &'a CancelToken) -> Outgoing<'a> {
        Outgoing {
            stream,
            token,
            waiting: Vec::new(),
            filled: 0,
        }
    }

    /// Sends one file, or the reason why it is missing. Returns the fault that the phone received
    /// for the file, if any: one that cannot be read to its end is followed by [`Fault::Io`].
    pub fn send(
        &mut self,
        path: &BackupPath,
        file: Result<Box<dyn Read + Send + '_>, Fault>,
    ) -> io::Result<Option<Fault>> {
        let name = path.as_str().as_bytes();
        self.put(&(name.len() as u32).to_be_bytes())?;
        self.put(name)?;
        let fault = match file {
            Ok(mut file) => self.body(&mut file)?,
            Err(fault) => Some(fault),
        };
        match fault {
            None => self.put(&[0, 0, 0, 1, END])?,
            Some(fault) => {
                let (status, text) = fault.status();
                self.put(&(text.len() as u32 + 1).to_be_bytes())?;
                self.put(&[(-status) as u8])?;
                self.put(text.as_bytes())?;
            }
        }
        Ok(fault)
    }

    fn body(&mut self, file: &mut dyn Read) -> io::Result<Option<Fault>> {
        loop {
            if self.token.stops() {
                return Err(self.token.cancellation());
            }
            self.make_room(HEAD + SEND_BYTES_MAX)?;
            let start = self.filled + HEAD;
            let end = start + SEND_BYTES_MAX;
            let mut at = start;
            while at < end {
                match file.read(&mut self.waiting[at..end]) {
                    Ok(0) => break,
                    Ok(n) => at += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    // Do not report "not found": the phone would conclude that the file is gone.
                    Err(_) => return Ok(Some(Fault::Io)),
                }
            }
            let length = at - start;
            if length > 0 {
                let head = (length as u32 + 1).to_be_bytes();
                self.waiting[self.filled..self.filled + 4].copy_from_slice(&head);
                self.waiting[self.filled + 4] = DATA;
                self.filled = at;
            }
            // A chunk that is not full is the last one.
            if length < SEND_BYTES_MAX {
                return Ok(None);
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.make_room(bytes.len())?;
        self.waiting[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        if self.waiting.len() - self.filled < bytes {
            self.hand_on()?;
            // Allocate the buffer only for a request that sends something.
            self.waiting.resize(TOGETHER_BYTES, 0);
        }
        Ok(())
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let filled = std::mem::take(&mut self.filled);
        self.stream.write_all(&self.waiting[..filled])
    }

    /// Ends the list of files and sends what is buffered.
    pub fn finish(mut self) -> io::Result<()> {
        self.put(&[0; 4])?;
        self.hand_on()?;
        Write::flush(self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn chunk(code: u8, bytes: &[u8]) -> Vec<u8> {
        let mut chunk = (bytes.len() as u32 + 1).to_be_bytes().to_vec();
        chunk.push(code);
        chunk.extend(bytes);
        chunk
    }

    fn received(wire: Vec<u8>) -> (io::Result<Vec<u8>>, End) {
        let mut stream = Cursor::new(wire);
        let token = CancelToken::default();
        token.set_between_messages(false);
        let mut body = Body::new(&mut stream, &token);
        let mut bytes = Vec::new();
        let read = body.read_to_end(&mut bytes).map(|_| bytes);
        (read, body.finish())
    }

    #[test]
    fn body_joins_all_its_chunks() {
        let wire = [
            chunk(DATA, b"ab"),
            chunk(DATA, b""),
            chunk(DATA, b"cde"),
            chunk(END, b""),
        ]
        .concat();
        let (read, end) = received(wire);
        assert_eq!(read.unwrap(), b"abcde");
        assert!(matches!(end, End::Whole));
    }

    #[test]
    fn unreadable_phone_file_is_incomplete() {
        let (read, end) =
            received([chunk(DATA, b"ab"), chunk(0x0b, b"Input/output error (5)")].concat());
        assert!(read.is_err());
        assert!(matches!(end, End::Device { code: 0x0b, .. }));
    }

    #[test]
    fn truncated_body_is_incomplete() {
        let wire = [chunk(DATA, b"abc"), chunk(DATA, b"de"), chunk(END, b"")].concat();
        for cut in 0..wire.len() {
            let (read, end) = received(wire[..cut].to_vec());
            assert!(read.is_err(), "cut at {cut}");
            assert!(matches!(end, End::Wire(_)), "cut at {cut}");
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        for wire in [vec![0xff; 4], vec![0; 4], chunk(END, b"x")] {
            assert!(matches!(received(wire).1, End::Wire(Error::Strange { .. })));
        }
        let mut long_name = Cursor::new(vec![0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(
            read_head(&mut long_name),
            Err(Error::Strange { .. })
        ));
    }

    #[test]
    fn longest_chunk_and_name_are_accepted() {
        let mut wire = CHUNK_BYTES_MAX.to_be_bytes().to_vec();
        wire.push(DATA);
        // The chunk is accepted, but cut off.
        assert!(!matches!(
            received(wire).1,
            End::Wire(Error::Strange { .. })
        ));
        let name = |length: u32| {
            let mut wire = length.to_be_bytes().to_vec();
            wire.extend(vec![b'x'; length as usize]);
            wire.extend([&3u32.to_be_bytes()[..], b"U/x"].concat());
            read_head(&mut Cursor::new(wire))
        };
        let (device_path, path) = name(NAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!((device_path.len(), path.as_str()), (4096, "U/x"));
        assert!(matches!(
            name(NAME_BYTES_MAX + 1),
            Err(Error::Strange { .. })
        ));
        assert!(read_head(&mut Cursor::new(vec![0; 4])).unwrap().is_none());
    }

    #[test]
    fn unread_body_is_drained() {
        let body = [
            chunk(DATA, &[7; 20_000]),
            chunk(DATA, b"x"),
            chunk(END, b""),
        ]
        .concat();
        let mut stream = Cursor::new([&body[..], b"next"].concat());
        let token = CancelToken::default();
        token.set_between_messages(false);
        assert!(matches!(
            Body::new(&mut stream, &token).finish(),
            End::Whole
        ));
        assert_eq!(stream.position(), body.len() as u64);
    }

    #[test]
    fn empty_buffer_does_not_end_body() {
        let mut stream = Cursor::new([chunk(DATA, b"ab"), chunk(END, b"")].concat());
        let token = CancelToken::default();
        token.set_between_messages(false);
        let mut body = Body::new(&mut stream, &token);
        assert_eq!(body.read(&mut []).unwrap(), 0);
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"ab");
        assert!(matches!(body.finish(), End::Whole));
    }

    /// A reader that yields a byte, is interrupted, yields another byte, and fails.
    struct Failing(u8);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 | 3 => {
                    buffer[0] = self.0;
                    Ok(1)
                }
                2 => Err(io::ErrorKind::Interrupted.into()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    #[test]
    fn failed_send_reports_its_cause() {
        let path: BackupPath = "U/x".parse().unwrap();
        let send = |file| {
            let (fault, mut wire) = sent(&path, file);
            assert_eq!(wire.split_off(wire.len() - 4), [0; 4]);
            (fault, wire)
        };
        let head = [&3u32.to_be_bytes()[..], b"U/x"].concat();
        let told = |fault: Fault| {
            let (status, text) = fault.status();
            chunk(u8::try_from(-status).unwrap(), text.as_bytes())
        };
        for fault in [Fault::NotFound, Fault::Io, Fault::NoSpace] {
            let wanted = [head.clone(), told(fault)].concat();
            assert_eq!(send(Err(fault)), (Some(fault), wanted));
        }
        // The data read before the error is dropped: the phone must not take it for the file.
        let wanted = [head.clone(), told(Fault::Io)].concat();
        assert_eq!(send(Ok(Box::new(Failing(0)))), (Some(Fault::Io), wanted));
        let interrupted = Box::new(Failing(1).take(1));
        let wanted = [head, chunk(DATA, &[3]), chunk(END, b"")].concat();
        assert_eq!(send(Ok(interrupted)), (None, wanted));
        let mut wire = Cursor::new(Vec::new());
        let token = CancelToken::default();
        Outgoing::new(&mut wire, &token).finish().unwrap();
        assert_eq!(wire.into_inner(), [0; 4]);
    }

    /// Returns the bytes on the wire for one file, and its fault.
    fn sent(
        path: &BackupPath,
        file: Result<Box<dyn Read + Send>, Fault>,
    ) -> (Option<Fault>, Vec<u8>) {
        let mut wire = Cursor::new(Vec::new());
        let token = CancelToken::default();
        let mut outgoing = Outgoing::new(&mut wire, &token);
        let fault = outgoing.send(path, file).unwrap();
        outgoing.finish().unwrap();
        (fault, wire.into_inner())
    }

    /// A stream that records the length of each write.
    #[derive(Default)]
    struct Pieces(Vec<usize>);

    impl Read for Pieces {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Checks that small files share writes and that no chunk exceeds 32 KiB: longer chunks get the
    /// phone's backup agent killed.
    #[test]
    fn small_files_are_sent_in_batches() {
        let (mut pieces, token) = (Pieces::default(), CancelToken::default());
        let mut outgoing = Outgoing::new(&mut pieces, &token);
        let path: BackupPath = "U/3d/x".parse().unwrap();
        for _ in 0..1000 {
            let file = Cursor::new(vec![7; 1000]);
            assert_eq!(outgoing.send(&path, Ok(Box::new(file))).unwrap(), None);
        }
        outgoing.finish().unwrap();
        assert!(pieces.0.len() <= 5, "{} writes", pieces.0.len());

        let (_, wire) = sent(&path, Ok(Box::new(Cursor::new(vec![7; 100_000]))));
        let mut at = 4 + path.as_str().len();
        let mut lengths = Vec::new();
        while wire[at + 4] == DATA {
            let length = u32::from_be_bytes(wire[at..at + 4].try_into().unwrap()) as usize;
            lengths.push(length - 1);
            at += 4 + length;
        }
        let whole = 32 << 10;
        assert_eq!(lengths, [whole, whole, whole, 100_000 - 3 * whole]);
    }

    #[test]
    fn cancellation_stops_an_endless_file() {
        let (mut wire, token) = (Cursor::new(Vec::new()), CancelToken::default());
        token.set_between_messages(true);
        token.cancel();
        let path: BackupPath = "U/x".parse().unwrap();
        let mut outgoing = Outgoing::new(&mut wire, &token);
        let endless = Box::new(io::repeat(7));
        let ended = outgoing.send(&path, Ok(endless)).unwrap_err();
        assert!(crate::base::cancel::is_cancelled(&ended));
    }

    #[test]
    fn sent_file_can_be_received() {
        let contents = vec![7; 100_000];
        let path: BackupPath = "U/Manifest.db".parse().unwrap();
        let (_, wire) = sent(&path, Ok(Box::new(Cursor::new(contents.clone()))));
        assert!(wire.windows(5).filter(|w| w[4] == DATA).count() > 3);
        let (read, _) = received(wire[4 + path.as_str().len()..].to_vec());
        assert_eq!(read.unwrap(), contents);
    }
}
