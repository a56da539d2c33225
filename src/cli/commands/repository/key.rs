//! `idev-backup repository key`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use idev_backup::repository::Engine;
use serde::Serialize;

use crate::cli::args::output::OutputArgs;
use crate::cli::args::password;
use crate::cli::args::repository::{RepositoryArgs, trimmed};
use crate::cli::args::store::path_parser;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::table;

/// Add, list and remove passwords of the repository
///
/// Example:  idev-backup repository key add
///
/// Each key has a password of its own, and any of them opens the repository. A second one belongs
/// on a sheet of paper in a safe place.
#[derive(Args)]
pub struct KeyCommand {
    #[command(subcommand)]
    wish: Wanted,
}

#[derive(Subcommand)]
enum Wanted {
    /// Add a password
    Add(Add),
    /// List the keys
    List(Keys),
    /// Remove a key, whose password then opens nothing any more
    Remove(Remove),
}

#[derive(Args)]
struct Add {
    /// Read the new password from the first line of this file
    #[arg(long, value_name = "FILE", value_parser = path_parser())]
    new_password_file: Option<PathBuf>,
    #[command(flatten)]
    of: Keys,
}

#[derive(Args)]
struct Remove {
    /// The id of the key
    id: String,
    #[command(flatten)]
    of: Keys,
}

#[derive(Args)]
struct Keys {
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The keys of a repository.
#[derive(Serialize)]
struct Listed {
    keys: Vec<idev_backup::repository::Key>,
}

impl KeyCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let (of, done) = match &self.wish {
            Wanted::Add(add) => (&add.of, add.run()),
            Wanted::List(of) => (of, of.list()),
            Wanted::Remove(remove) => (&remove.of, remove.run()),
        };
        match done {
            Ok(()) => exit::DONE,
            Err(e) => output::failure(&e, None, of.output.json),
        }
    }
}

impl Add {
    fn run(&self) -> Result<(), Failure> {
        let restic = self.of.repository.open()?;
        let new = match password::of(self.new_password_file.as_ref(), None)? {
            Some(password) => password,
            None => password::prompt_twice("New password of the repository")?,
        };
        restic.add_key(&trimmed(&new))?;
        self.of.told(
            "The new password opens the repository too. Write it down, and keep it apart from this \
            computer.",
            &restic,
        )
    }
}

impl Remove {
    fn run(&self) -> Result<(), Failure> {
        let restic = self.of.repository.open()?;
        restic.remove_key(&self.id)?;
        self.of.told("The key was removed.", &restic)
    }
}

impl Keys {
    fn list(&self) -> Result<(), Failure> {
        let restic = self.repository.open()?;
        self.told("", &restic)
    }

    /// Reports what was done, and for `list` and `--json` the keys.
    fn told(&self, text: &str, restic: &impl Engine) -> Result<(), Failure> {
        match self.output.style() {
            Style::Json => output::object(
                "repository_keys",
                None,
                &Listed {
                    keys: restic.keys()?,
                },
            ),
            Style::Quiet if !text.is_empty() => {}
            _ if !text.is_empty() => output::line(text),
            _ => {
                let mut rows = vec![["ID", "ADDED", "BY", "ON"].map(str::to_owned).to_vec()];
                for key in restic.keys()? {
                    let mark = if key.current { " (in use)" } else { "" };
                    rows.push(vec![key.id + mark, key.created, key.user, key.host]);
                }
                table::table(&rows)
                    .iter()
                    .for_each(|line| output::line(line));
            }
        }
        Ok(())
    }
}
