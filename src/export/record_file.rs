//! Writes a file of records into the target folder: under a temporary name, then renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::export::Error;
use crate::export::destination::{NoPlace, Target, cannot_write};
use crate::store::disk;

/// The longest name that is made from a title, in characters. Folders, numbers and extensions
/// follow.
const NAME_MAX: usize = 60;

/// Returns the beginning of a title as the name of a file or folder. The rules of the target's disk
/// still apply.
pub(crate) fn name_of(title: &str) -> String {
    let short: String = title.chars().take(NAME_MAX).collect();
    // A dot at the beginning would hide the file, one at the end is lost on some disks.
    let short = short.trim_matches(['.', ' ']);
    if short.is_empty() { "-" } else { short }.to_owned()
}

/// A private file that is being written. It is removed if it is dropped before its end.
pub(crate) struct RecordFile {
    out: Option<BufWriter<File>>,
    partial: PathBuf,
    to: PathBuf,
}

impl RecordFile {
    /// Begins a file, given the names of its folders and its own, which the target's disk can hold.
    pub(crate) fn create(target: &mut Target, parts: &[String]) -> Result<RecordFile, Error> {
        let (name, folders) = match parts.split_last() {
            Some((name, folders)) => (name.as_str(), folders),
            None => ("", parts),
        };
        let folder = target.folder(folders).map_err(|why| match why {
            NoPlace::Any(error) => error,
            NoPlace::This(why) => cannot_write(&target.root().join(name), io::Error::other(why)),
        })?;
        let to = folder.join(name);
        let partial = folder.join(format!(
            ".idev-backup-{}.{name}.partial",
            std::process::id()
        ));
        let out = disk::create_private(&partial).map_err(|e| cannot_write(&to, e))?;
        Ok(RecordFile {
            out: Some(BufWriter::with_capacity(256 << 10, out)),
            partial,
            to,
        })
    }

    /// Writes text.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Error> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes).map_err(|e| cannot_write(&self.to, e))
    }

    /// Writes a value as a line of JSON. Characters that some programs take for the end of a line
    /// are escaped.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let line = serde_json::to_string(value).map_err(|e| cannot_write(&self.to, e.into()))?;
        let is_line_break = |c| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
        if line.contains(is_line_break) {
            for piece in line.split_inclusive(is_line_break) {
                let mut characters = piece.chars();
                match characters.next_back().filter(|c| is_line_break(*c)) {
                    Some(c) => {
                        let escaped = format!("{}\\u{:04x}", characters.as_str(), u32::from(c));
                        self.write(&escaped)?;
                    }
                    None => self.write(piece)?,
                }
            }
        } else {
            self.write(&line)?;
        }
        self.write("\n")
    }

    /// Completes the file.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let finish = |out: Option<BufWriter<File>>| {
            if let Some(out) = out {
                out.into_inner().map_err(io::IntoInnerError::into_error)?;
            }
            fs::rename(&self.partial, &self.to)
        };
        let out = self.out.take();
        finish(out).map_err(|e| cannot_write(&self.to, e))
    }
}

impl Write for RecordFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Some(out) => out.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for RecordFile {
    fn drop(&mut self) {
        // After `finish` the file has its name, and nothing is left to remove. A file that cannot
        // be removed stays under its temporary name.
        drop(disk::remove_if_there(&self.partial));
    }
}
