//! Options of commands that record a trace.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::Args;
use idev_backup::trace::{At, Recorder};

use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Creates a file that only its owner can read. Never replaces an earlier trace, which may be the
/// one that shows a fault.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Options for recording a conversation with a phone.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Record the conversation with the phone, with secrets and names replaced [see `idev-backup
    /// trace`]
    #[arg(long, value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    pub(crate) trace: Option<PathBuf>,
    /// Keep Manifest.db, Manifest.plist and Status.plist in the trace, with all names in them; a
    /// replay needs them
    #[arg(long, requires = "trace")]
    trace_metadata: bool,
    #[arg(skip)]
    pub(crate) recorder: OnceLock<Recorder>,
}

impl TraceArgs {
    /// Starts the recorder if the user asked for a trace.
    pub fn begin(&self, at: At) -> Result<Option<Recorder>, Failure> {
        let Some(path) = &self.trace else {
            return Ok(None);
        };
        let failed = |e: io::Error| Failure::Command {
            what: match e.kind() {
                io::ErrorKind::AlreadyExists => format!(
                    "cannot record into {}: it already exists, and is not replaced",
                    path.display()
                ),
                _ => format!("cannot record into {}: {e}", path.display()),
            },
            hint: "name a new file with --trace, in a folder that you can write to".to_owned(),
        };
        let file = open(path).map_err(failed)?;
        let recorder = Recorder::new(Box::new(file), at, self.trace_metadata, output::now());
        let recorder = recorder.map_err(failed)?;
        Ok(Some(self.recorder.get_or_init(|| recorder).clone()))
    }

    /// Ends the trace. An incomplete trace is a problem and changes the exit code.
    pub fn end(&self, code: u8) -> u8 {
        let (Some(path), Some(recorder)) = (&self.trace, self.recorder.get()) else {
            return code;
        };
        match recorder.finish() {
            Ok(()) => code,
            Err(e) => {
                output::tell(&format!(
                    "problem: the trace {} is incomplete: {e}",
                    path.display()
                ));
                exit::worst(&[code, exit::DONE_WITH_PROBLEMS])
            }
        }
    }
}
