//! `idev-backup completions`: prints the script with which a shell completes the command line, and
//! answers that script.

mod candidates;
mod context;
mod line;
mod scripts;

use std::ffi::OsString;
use std::sync::Arc;

use clap::{Args, Command, ValueEnum, ValueHint};
use clap_complete::engine::{self, ArgValueCompleter, CompletionCandidate};

use self::candidates::{Candidate, Wanted};
use self::context::Context;
use crate::cli::exit;
use crate::cli::render::output::Lines;

/// Print the script with which a shell completes commands, options and names
///
/// Example:  idev-backup completions bash > ~/.local/share/bash-completion/completions/idev-backup
///
/// The script asks the program, which completes the names of phones and backups, and the domains
/// and paths in a backup that is not encrypted. It asks no phone and for no password.
#[derive(Args)]
pub struct Completions {
    /// The shell to print the script for
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Power,
    Zsh,
}

impl Completions {
    /// Prints the script and returns the exit code. `command` is the whole command line.
    pub fn run(&self, command: &mut Command) -> u8 {
        let mut lines = Lines::new();
        match self.shell {
            Shell::Bash => lines.text(scripts::BASH.as_bytes()),
            Shell::Fish => lines.text(scripts::FISH.as_bytes()),
            Shell::Power => lines.text(scripts::POWERSHELL.as_bytes()),
            Shell::Zsh => lines.text(scripts::ZSH.as_bytes()),
            Shell::Elvish => {
                let mut text = Vec::new();
                let elvish = clap_complete::Shell::Elvish;
                clap_complete::generate(elvish, command, "idev-backup", &mut text);
                lines.text(&text)
            }
        };
        lines.end(exit::DONE)
    }
}

/// Answers a completion script: prints the candidates for the last word, and returns the exit code.
/// The words are the shell, `--`, and the words up to the cursor; for bash, the line up to the
/// cursor and COMP_WORDBREAKS. Prints nothing if anything fails: a message would appear in the
/// middle of the line that the user types.
pub fn answer(words: impl Iterator<Item = OsString>, command: Command) -> u8 {
    let mut words = words.map(|word| word.to_string_lossy().into_owned());
    let shell = words
        .next()
        .and_then(|name| Shell::from_str(&name, false).ok());
    let mut lines = Lines::new();
    if let Some(shell) = shell {
        let words = words.skip_while(|word| word == "--").collect();
        let asked = Asked { shell, words };
        for candidate in asked.candidates(command) {
            lines.text(format!("{candidate}\n").as_bytes());
        }
    }
    lines.end(exit::DONE)
}

/// The question of a completion script.
struct Asked {
    shell: Shell,
    words: Vec<String>,
}

impl Asked {
    fn candidates(&self, command: Command) -> Vec<String> {
        match self.shell {
            Shell::Bash => {
                let (Some(text), Some(breaks)) = (self.words.first(), self.words.get(1)) else {
                    return Vec::new();
                };
                let words = line::split(text);
                let values = words.iter().map(|word| word.value.clone()).collect();
                let current = words.last().cloned().unwrap_or_default();
                let found = found(self.shell, command, values).into_iter();
                let quoted = found.filter_map(|one| line::for_bash(&one.value, &current, breaks));
                quoted.collect()
            }
            Shell::Power => {
                let mut words = self.words.clone();
                if let Some(last) = words.last_mut() {
                    // Begins with `=`, because older versions pass no empty words.
                    let word = last.strip_prefix('=').unwrap_or(last);
                    *last = word.trim_start_matches(['\'', '"']).to_owned();
                }
                let found = found(self.shell, command, words).into_iter();
                found
                    .map(|one| with_help(&line::for_powershell(&one.value), &one.help))
                    .collect()
            }
            Shell::Fish => {
                let mut words = self.words.clone();
                if let Some(last) = words.last_mut() {
                    // The shell passes the word as it was typed, with its quotes.
                    let typed = line::split(last);
                    *last = typed
                        .last()
                        .map(|word| word.value.clone())
                        .unwrap_or_default();
                }
                let found = found(self.shell, command, words).into_iter();
                found.map(|one| with_help(&one.value, &one.help)).collect()
            }
            Shell::Zsh | Shell::Elvish => {
                let found = found(self.shell, command, self.words.clone()).into_iter();
                found.map(|one| with_help(&one.value, &one.help)).collect()
            }
        }
    }
}

fn with_help(value: &str, help: &str) -> String {
    if help.is_empty() {
        value.to_owned()
    } else {
        format!("{value}\t{help}")
    }
}

/// Returns the candidates for the last of these words.
fn found(shell: Shell, command: Command, words: Vec<String>) -> Vec<Candidate> {
    let Some((current, before)) = words.split_last() else {
        return Vec::new();
    };
    let context = Context::of(&command, before);
    let mut command = with_completers(command, &Arc::new(context), shell);
    let index = words.len() - 1;
    let is_option = current.starts_with('-');
    let words = words.iter().map(OsString::from).collect();
    let folder = std::env::current_dir().ok();
    let found = engine::complete(&mut command, words, index, folder.as_deref());
    let found: Vec<Candidate> = found
        .unwrap_or_default()
        .iter()
        .map(|one| main_name(one, current))
        // A name that the terminal would act on cannot be typed either.
        .filter(|one| !one.value.contains(char::is_control))
        .collect();
    let (options, names): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|one| one.value.starts_with('-'));
    // Options are offered where they were begun, or where nothing else is possible.
    if is_option || names.is_empty() {
        let is_long = |one: &Candidate| one.value.starts_with("--") || is_option;
        return options.into_iter().filter(is_long).collect();
    }
    names
}

/// Takes a candidate from clap, which offers an alias of a command instead of its name if that
/// sorts first: `backup` for `create`.
fn main_name(candidate: &CompletionCandidate, current: &str) -> Candidate {
    let mut found = Candidate::of(candidate);
    let id = candidate.get_id().map(String::as_str).unwrap_or_default();
    if let Some(name) = id.strip_prefix("command::")
        && name.starts_with(current)
    {
        name.clone_into(&mut found.value);
    }
    found
}

/// Returns the command line with completers for the names that only the program knows.
fn with_completers(command: Command, context: &Arc<Context>, shell: Shell) -> Command {
    let has_place = command
        .get_arguments()
        .any(|arg| ["place", "file", "patterns"].contains(&arg.get_id().as_str()));
    let command = command.mut_args(|arg| {
        let is_path =
            arg.get_value_parser().type_id() == std::any::TypeId::of::<std::path::PathBuf>();
        let wanted = match arg.get_id().as_str() {
            // These shells complete files better themselves: they know `~` and variables.
            _ if is_path && matches!(shell, Shell::Bash | Shell::Zsh) => {
                return arg.value_hint(ValueHint::Other);
            }
            _ if is_path => return arg,
            "device" | "phone" => Wanted::Phones,
            "backup" if has_place => Wanted::BackupsAndPaths,
            "backup" | "snapshot" | "before" | "after" => Wanted::Backups,
            "place" | "file" | "patterns" => Wanted::Paths,
            "domain" | "only" => Wanted::Domains,
            _ => return arg,
        };
        let context = Arc::clone(context);
        arg.add(ArgValueCompleter::new(move |current: &std::ffi::OsStr| {
            let found = candidates::of(&context, wanted, &current.to_string_lossy());
            found.into_iter().map(CompletionCandidate::from).collect()
        }))
    });
    let names: Vec<String> = command
        .get_subcommands()
        .map(|below| below.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |below| with_completers(below, context, shell))
    })
}
