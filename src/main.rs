//! The program `idev-backup`: parses the command line, runs the command and returns its exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
