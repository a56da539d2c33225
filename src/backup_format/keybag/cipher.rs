//! Decrypts a file of an encrypted backup while it is read: AES-256 in CBC mode with an all-zero
//! initialization vector.
//! Phones pad the last block as in PKCS#7 (one to sixteen bytes, each with the number of padding
//! bytes), but some lists of files have no padding. So the expected length of the file, if known,
//! decides how much of the last block is padding.

use std::io::{self, BufRead, Read};
#[cfg(any(test, feature = "web"))]
use std::io::{Seek, SeekFrom};

use aes::Aes256;
use aes::cipher::consts::U16;
use aes::cipher::{Array, BlockModeDecrypt, KeyIvInit};

/// Length of an AES block, in bytes.
const BLOCK: usize = 16;
/// Bytes read at a time: few enough to stay in the processor's cache.
const BUFFER: usize = 64 << 10;

/// State of the padding at the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The file was padded to a whole block, as expected.
    Padded,
    /// The file has no padding: its length is that of whole blocks, or it is empty.
    Unpadded,
    /// The padding is invalid: the file was encrypted with another key, or altered.
    Wrong,
}

/// A reader of the plaintext.
pub struct Plain<R> {
    from: R,
    cipher: cbc::Decryptor<Aes256>,
    size: Option<u64>,
    /// A block that was held back, since it may be the last, and the data read after it.
    buffer: Vec<u8>,
    /// The range of the buffer that can be returned to the caller.
    ready: std::ops::Range<usize>,
    /// True if the next fill must keep the block after `ready`, which was held back.
    holds_block: bool,
    read: u64,
    ending: Option<Ending>,
}

impl<R: Read> Plain<R> {
    pub(super) fn new(from: R, key: &[u8; 32], size: Option<u64>) -> Plain<R> {
        // Use a small buffer for a small file, since a backup can have a million of them.
        let ahead = match size {
            Some(size) if size < BUFFER as u64 => (size as usize / BLOCK + 2) * BLOCK,
            _ => BUFFER,
        };
        Plain {
            from,
            cipher: cbc::Decryptor::new(key.into(), &[0; BLOCK].into()),
            size,
            buffer: vec![0; BLOCK + ahead],
            ready: 0..0,
            holds_block: false,
            read: 0,
            ending: None,
        }
    }

    /// Returns the state of the padding, or `None` before the end of the file is reached.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.holds_block {
            // The block that was held back follows the range that was ready.
            self.buffer
                .copy_within(self.ready.end..self.ready.end + BLOCK, 0);
        }
        let length = read_full(&mut self.from, &mut self.buffer[BLOCK..])?;
        self.read += length as u64;
        let (blocks, rest) =
            Array::<u8, U16>::slice_as_chunks_mut(&mut self.buffer[BLOCK..BLOCK + length]);
        if !rest.is_empty() {
            let cut = "it is truncated: its length is not a multiple of the block size";
            return Err(io::Error::new(io::ErrorKind::InvalidData, cut));
        }
        self.cipher.decrypt_blocks(blocks);
        let start = if self.holds_block { 0 } else { BLOCK };
        let end = BLOCK + length;
        if BLOCK + length == self.buffer.len() {
            self.ready = start..end - BLOCK;
            self.holds_block = true;
        } else {
            self.holds_block = false;
            self.ready = start..self.end(start, end);
        }
        Ok(())
    }

    /// Finds the end of the plaintext in the last part, and records the state of the padding.
    fn end(&mut self, start: usize, end: usize) -> usize {
        if start == end {
            self.ending = Some(Ending::Unpadded);
            return end;
        }
        let fill = usize::from(self.buffer[end - 1]);
        let is_padded = (1..=BLOCK).contains(&fill)
            && self.buffer[end - fill..end]
                .iter()
                .all(|b| usize::from(*b) == fill);
        let without = self.read - if is_padded { fill as u64 } else { 0 };
        let (ending, cut) = match self.size {
            Some(size) if size == without && is_padded => (Ending::Padded, fill),
            // The file has its expected length without padding; its last bytes only look like
            // padding.
            Some(size) if size == self.read => (Ending::Unpadded, 0),
            _ if is_padded => (Ending::Padded, fill),
            // The padding is invalid, so cut the file at its expected length.
            Some(size) if (1..BLOCK as u64).contains(&self.read.wrapping_sub(size)) => {
                (Ending::Wrong, (self.read - size) as usize)
            }
            None => (Ending::Unpadded, 0),
            Some(_) => (Ending::Wrong, 0),
        };
        self.ending = Some(ending);
        end - cut
    }
}

#[cfg(any(test, feature = "web"))]
impl<R: Read + Seek> Plain<R> {
    /// Goes to a place in the plaintext, if nothing was read yet.
    pub(crate) fn begin_at(&mut self, offset: u64) -> io::Result<()> {
        // In CBC mode, a block needs only the ciphertext of the block before it. That block itself
        // decrypts to nonsense and is dropped.
        let block = BLOCK as u64;
        let start = (offset / block).saturating_sub(1) * block;
        self.from.seek(SeekFrom::Start(start))?;
        self.read = start;
        io::copy(&mut self.by_ref().take(offset - start), &mut io::sink())?;
        Ok(())
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let ready = self.fill_buf()?;
        let length = ready.len().min(out.len());
        out[..length].copy_from_slice(&ready[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// Lends the decrypted bytes in the buffer, so that callers need not copy them.
impl<R: Read> BufRead for Plain<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.ready.is_empty() && self.ending.is_none() {
            self.fill()?;
        }
        Ok(&self.buffer[self.ready.clone()])
    }

    fn consume(&mut self, length: usize) {
        self.ready.start = self.ready.end.min(self.ready.start + length);
    }
}

impl<R> Drop for Plain<R> {
    fn drop(&mut self) {
        // The plaintext is private but not a key, so a fast wipe is enough: `zeroize` writes byte
        // by byte, and took longer than the decryption.
        self.buffer.fill(0);
        std::hint::black_box(&self.buffer);
    }
}

fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::BlockModeEncrypt;
    use aes::cipher::block_padding::{NoPadding, Pkcs7};

    const KEY: [u8; 32] = [7; 32];

    fn encrypted(plain: &[u8], padded: bool) -> Vec<u8> {
        let cipher = cbc::Encryptor::<Aes256>::new(&KEY.into(), &[0; BLOCK].into());
        if padded {
            cipher.encrypt_padded_vec::<Pkcs7>(plain)
        } else {
            cipher.encrypt_padded_vec::<NoPadding>(plain)
        }
    }

    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 31 + n / 251) as u8).collect()
    }

    fn decrypted(bytes: &[u8], size: Option<u64>) -> (Vec<u8>, Option<Ending>) {
        let mut reader = Plain::new(bytes, &KEY, size);
        let mut out = Vec::new();
        reader.read_to_end(&mut out).unwrap();
        assert_eq!(reader.read, bytes.len() as u64);
        (out, reader.ending())
    }

    #[test]
    fn every_file_length_decrypts_correctly() {
        for length in [
            0,
            1,
            15,
            16,
            17,
            31,
            32,
            BUFFER - 17,
            BUFFER - 16,
            BUFFER - 1,
            BUFFER,
            BUFFER + 1,
            3 * BUFFER,
        ] {
            let wanted = plain(length);
            for size in [Some(length as u64), None] {
                let found = decrypted(&encrypted(&wanted, true), size);
                assert!(found == (wanted.clone(), Some(Ending::Padded)), "{length}");
            }
        }
    }

    #[test]
    fn reading_begins_anywhere() {
        for length in [1, 16, 100, BUFFER - 1, 3 * BUFFER + 5] {
            let wanted = plain(length);
            let bytes = encrypted(&wanted, true);
            let size = Some(length as u64);
            for offset in [0, 1, 15, 16, 17, 33, BUFFER, BUFFER + 1, length - 1, length] {
                let offset = offset.min(length);
                let mut reader = Plain::new(io::Cursor::new(&bytes), &KEY, size);
                reader.begin_at(offset as u64).unwrap();
                let mut out = Vec::new();
                reader.read_to_end(&mut out).unwrap();
                assert!(out == wanted[offset..], "{length} {offset}");
                assert_eq!(reader.ending(), Some(Ending::Padded), "{length} {offset}");
            }
        }
    }

    #[test]
    fn files_without_padding_decrypt_completely() {
        for length in [0, 16, 4096, BUFFER, BUFFER + 16] {
            let mut wanted = plain(length);
            for last in [2, 0] {
                if let Some(byte) = wanted.last_mut() {
                    *byte = last;
                }
                let bytes = encrypted(&wanted, false);
                let found = decrypted(&bytes, Some(length as u64));
                assert!(
                    found == (wanted.clone(), Some(Ending::Unpadded)),
                    "{length}"
                );
            }
            // The last byte looks like padding; the length decides.
            if let Some(byte) = wanted.last_mut() {
                *byte = 1;
                let found = decrypted(&encrypted(&wanted, false), Some(length as u64));
                assert!(
                    found == (wanted.clone(), Some(Ending::Unpadded)),
                    "{length}"
                );
            }
        }
    }

    /// Checks that wrong padding at the end of a file is reported. Decryption with the wrong key
    /// ends in such padding.
    #[test]
    fn wrong_padding_is_reported() {
        let mut bytes = encrypted(&plain(100), true);
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        let (out, ending) = decrypted(&bytes, Some(100));
        assert_eq!((out.len(), ending), (100, Some(Ending::Wrong)));
    }

    #[test]
    fn wrong_listed_size_keeps_all_bytes() {
        let (out, ending) = decrypted(&encrypted(&plain(100), true), Some(5000));
        assert_eq!((out, ending), (plain(100), Some(Ending::Padded)));
    }

    #[test]
    fn truncated_ciphertext_is_an_error() {
        let bytes = encrypted(&plain(100), true);
        let mut out = Vec::new();
        let error = Plain::new(&bytes[..50], &KEY, None).read_to_end(&mut out);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
