//! `idev-backup config edit`

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use idev_backup::base::child;
use idev_backup::base::private_dir::PrivateDir;
use idev_backup::store::disk;

use crate::cli::args::ask;
use crate::cli::args::config::{Config, file, tell_mistakes, template};
use crate::cli::failure::Failure;
use crate::cli::render::{output, typed};
use crate::cli::{ctrl_c, exit, new_file};

/// Opens a copy of the file in the user's editor. Replaces the file only with a text that has no
/// mistakes, and returns the exit code.
pub fn run(path: &Path) -> Result<u8, Failure> {
    let before = file::read(path)?;
    let begun = before.clone().unwrap_or_else(template);
    ctrl_c::install();
    let folder = PrivateDir::new("idev-backup-config-").map_err(|e| new_file::cannot(path, &e))?;
    let draft = folder.path().join("config.toml");
    let failed = |e: io::Error| new_file::cannot(&draft, &e);
    fs::write(&draft, &begun).map_err(failed)?;
    loop {
        open(&draft)?;
        let text = fs::read_to_string(&draft).map_err(failed)?;
        if text == begun {
            output::line(&format!("{} was not changed.", path.display()));
            return Ok(exit::DONE);
        }
        match Config::parse(&text) {
            Ok(_) if file::read(path)? != before => {
                output::tell(&format!("error: {} was changed meanwhile", path.display()));
                keep(path, &text)?;
                return Ok(exit::FAILED);
            }
            Ok(_) => {
                file::write(path, &text)?;
                output::line(&format!("{}: saved, no mistakes", path.display()));
                return Ok(exit::DONE);
            }
            Err(mistakes) => {
                let code = tell_mistakes(&draft, &mistakes, false);
                if !ask::is_possible() || !ask::agrees("Edit it again?", true)? {
                    keep(path, &text)?;
                    return Ok(code);
                }
            }
        }
    }
}

/// Saves a text that must not become the config file, and says where.
fn keep(path: &Path, text: &str) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".rejected");
    let rejected = PathBuf::from(name);
    if let Some(folder) = rejected.parent() {
        disk::make_private_dirs(folder)?;
    }
    disk::write_whole(&rejected, text.as_bytes())?;
    output::tell(&format!(
        "  The config file stays as it was. Your text is in {}",
        rejected.display()
    ));
    Ok(())
}

/// Runs the user's editor and waits until it ends.
fn open(draft: &Path) -> Result<(), Failure> {
    let editor = editor();
    let failed = |why: String| Failure::Command {
        what: format!("the editor {editor:?} failed: {why}"),
        hint: "name another one in the variable VISUAL or EDITOR".to_owned(),
    };
    let status = command(&editor, draft)
        .status()
        .map_err(|e| failed(e.to_string()))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(status.to_string()))
    }
}

/// Returns the command line of the user's editor.
fn editor() -> String {
    let variables = ["VISUAL", "EDITOR"].map(std::env::var);
    let mut named = variables.into_iter().flatten();
    let named = named.find(|editor| !editor.trim().is_empty());
    let default = if cfg!(windows) { "notepad" } else { "vi" };
    named.unwrap_or_else(|| default.to_owned())
}

/// Returns the command that opens a file. An editor may have options, as in `code --wait`.
fn command(editor: &str, file: &Path) -> Command {
    if cfg!(windows) {
        // The shell of Windows has no quotes that fit every path.
        let mut words: Vec<&str> = if Path::new(editor).exists() {
            vec![editor]
        } else {
            editor.split_whitespace().collect()
        };
        let mut command = child::command(words.remove(0));
        command.args(words).arg(file);
        return command;
    }
    let file = typed::quoted(&file.display().to_string());
    child::shell(format!("{editor} {file}"))
}
