//! `idev-backup trace`

mod replay;
mod show;

use clap::{Args, Subcommand};

use self::replay::Play;
use self::show::Show;
use crate::cli::render::output;

/// Show a recorded conversation with a phone, or play the phone's side of it
///
/// Record one with:  idev-backup create --trace FILE
#[derive(Args)]
pub struct TraceCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Show(Show),
    Replay(Play),
}

impl TraceCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let done = match &self.what {
            What::Show(show) => show.run(),
            What::Replay(play) => play.run(),
        };
        done.unwrap_or_else(|e| output::failure(&e, None, false))
    }
}
