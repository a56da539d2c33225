//! The commands of `idev-backup`.

pub mod simulate;

use clap::Parser;

/// Back up an iPhone or iPad to a folder every tool can read, and prove that the backup is whole.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Pretend to be an iPhone, for rehearsals and tests.
    Simulate(simulate::Simulate),
}

/// Parses the command line and runs it.
pub fn run() -> std::process::ExitCode {
    match Command::parse() {
        Command::Simulate(simulate) => match simulate.run() {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(e) => {
                #[allow(clippy::print_stderr)]
                {
                    eprintln!("error: {e}");
                }
                std::process::ExitCode::FAILURE
            }
        },
    }
}
