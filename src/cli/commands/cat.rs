//! `idev-backup cat`

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use idev_backup::reader::cat::{self, Body};

use crate::cli::args::anywhere::AnywhereArgs;
use crate::cli::args::reading::domain_and_path;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::unread::tell_unread;
use crate::cli::{exit, new_file};

/// Print a file of a backup, as it is on the phone
///
/// Example:  idev-backup cat latest HomeDomain/Library/SMS/sms.db -o sms.db
///
/// If a file turns out to be damaged, a part of it may be printed already; the exit code is then 1.
#[derive(Args)]
pub struct Cat {
    #[command(flatten)]
    read: AnywhereArgs,
    /// The file: domain and path, or its file id (40 hex digits)
    #[arg(value_name = "DOMAIN/PATH")]
    file: Option<String>,
    /// Write to this file, which must not exist yet
    #[arg(short, long, value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    output: Option<PathBuf>,
    /// Replace the --output file if it exists
    #[arg(long, requires = "output")]
    overwrite: bool,
    /// Do it anyway: print binary data to a terminal
    #[arg(long)]
    force: bool,
}

/// Number of bytes at the start of a file that are checked for binary data.
const HEAD_BYTES: u64 = 8 << 10;

impl Cat {
    /// Uses the current backup if the only word is a file instead of a backup's name.
    pub fn settle(&mut self) {
        if self.file.is_none() {
            self.file = self.read.take_word(&[]);
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.print()
            .unwrap_or_else(|e| output::failure(&e, None, false))
    }

    fn print(&self) -> Result<u8, Failure> {
        let file = self.file.as_deref().ok_or_else(|| Failure::Command {
            what: "no file was named".to_owned(),
            hint: "name it by its domain and path, as in HomeDomain/Library/SMS/sms.db".to_owned(),
        })?;
        let backup = self.read.open()?;
        let is_id = file.len() == 40 && file.bytes().all(|b| b.is_ascii_hexdigit());
        let opened = if is_id {
            cat::open_id(&backup, file)
        } else {
            let (domain, path) = domain_and_path(file);
            cat::open(&backup, domain, path)
        };
        let mut body = match opened {
            Ok(body) => body,
            Err(e) => {
                // A row that cannot be read may be the requested file.
                tell_unread(&backup.unread(), exit::FAILED);
                return Err(e.into());
            }
        };
        match &self.output {
            Some(file) if file.as_os_str() != "-" => self.write(&mut body, file)?,
            _ => self.show(&mut body)?,
        }
        body.check()?;
        Ok(tell_unread(&backup.unread(), exit::DONE))
    }

    fn show(&self, body: &mut Body) -> Result<(), Failure> {
        let mut head = Vec::new();
        if output::is_terminal() && !self.force {
            let read = body.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
            read.map_err(|e| body.failed(e))?;
            if !is_text(&head) {
                return Err(Failure::Command {
                    what: format!(
                        "{} is binary data, which may disturb the terminal",
                        self.file.as_deref().unwrap_or_default()
                    ),
                    hint: "write it to a file with `-o FILE` or into a pipe, or print it anyway \
                        with --force"
                        .to_owned(),
                });
            }
        }
        let printed = output::bytes(&mut head.as_slice().chain(body.by_ref()));
        printed.map_err(|e| body.failed(e).into())
    }

    /// Writes a file completely or not at all.
    fn write(&self, body: &mut Body, file: &Path) -> Result<(), Failure> {
        new_file::write(file, self.overwrite, |to| {
            let mut buffer = vec![0; 128 << 10];
            loop {
                let read = body.read(&mut buffer);
                let length = read.map_err(|e| body.failed(e))?;
                if length == 0 {
                    return Ok(body.check()?);
                }
                let written = to.write_all(&buffer[..length]);
                written.map_err(|e| new_file::cannot(file, &e))?;
            }
        })
    }
}

/// Returns true for UTF-8 without control characters, on which a terminal would act. A head of
/// maximum length may end in the middle of a character.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() && head.len() as u64 == HEAD_BYTES => {
            std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
}

#[cfg(test)]
mod tests {
    use super::{HEAD_BYTES, is_text};

    #[test]
    fn text_and_binary_are_distinguished() {
        for text in ["", "a\tb\r\n", "写真", "{\"a\": 1}"] {
            assert!(is_text(text.as_bytes()), "{text:?}");
        }
        // The end of the head falls inside a character.
        let long = format!("x{}", "ä".repeat(HEAD_BYTES as usize / 2));
        assert!(is_text(&long.as_bytes()[..HEAD_BYTES as usize]));
        for bytes in [
            &b"SQLite format 3\0"[..],
            b"bplist00\xd1",
            b"a\x1b[2J",
            b"\xff\xfe",
        ] {
            assert!(!is_text(bytes), "{bytes:?}");
        }
    }
}
