//! `idev-backup man`, generated from the definition of the command line.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Lines};

/// Print the manual page, or write one for each command
///
/// Example:  idev-backup man --to ~/.local/share/man/man1
#[derive(Args)]
pub struct Man {
    /// Write into this folder, one page for each command
    #[arg(long, value_name = "DIR", value_parser = crate::cli::args::store::path_parser())]
    to: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the pages of `command` and returns the exit code.
    pub fn run(&self, command: Command) -> u8 {
        let Some(folder) = &self.to else {
            let mut text = Vec::new();
            return match clap_mangen::Man::new(command).render(&mut text) {
                Ok(()) => print(&text),
                Err(e) => failed(PathBuf::from("the page"), e),
            };
        };
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder));
        match written {
            Ok(()) => exit::DONE,
            Err(e) => failed(folder.clone(), e),
        }
    }
}

fn print(text: &[u8]) -> u8 {
    let mut lines = Lines::new();
    lines.text(text);
    lines.end(exit::DONE)
}

fn failed(path: PathBuf, cause: std::io::Error) -> u8 {
    output::failure(&Failure::Output { path, cause }, None, false)
}
