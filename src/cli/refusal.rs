//! Reports why a command line is refused, as text and, with `--json`, as an object.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use super::args::config;
use super::args::store::path;
use super::exit;
use super::render::{output, wrap};
use super::screen;

/// Reports why clap refuses a command line, and exits. Help and versions are printed as they are.
pub fn refuse(e: &Error, command: &Command) -> ! {
    if e.use_stderr() {
        std::process::exit(i32::from(explain(e, command)));
    }
    e.exit()
}

fn explain(e: &Error, command: &Command) -> u8 {
    if let Some(word) = text(e, ContextKind::InvalidSubcommand) {
        let hint = match screen::advice(word).filter(|_| path_of(command).is_empty()) {
            Some(advice) => advice.to_owned(),
            None => nearest(e, command, word),
        };
        return output::refused(&format!("unknown command `{word}`"), Some(&hint));
    }
    let hint = hint(e, command);
    let rendered = e.render().to_string();
    if wrap::exceeds(&rendered, &console::Term::stderr()) {
        rendered.trim_end().lines().for_each(output::tell);
    } else {
        // A message that cannot be printed cannot be reported elsewhere either.
        drop(e.print());
    }
    if let Some(hint) = &hint {
        output::tell(&format!("  hint: {hint}"));
    }
    if output::wants_json() {
        let (message, tip) = parts(&e.render().to_string());
        output::failure_object(&message, hint.or(tip).as_deref(), exit::USAGE);
    }
    exit::USAGE
}

/// Returns advice that clap does not have.
fn hint(e: &Error, command: &Command) -> Option<String> {
    let variable = text(e, ContextKind::InvalidArg)
        .zip(text(e, ContextKind::InvalidValue))
        .and_then(|(option, value)| config::of_variable(command, option, value));
    if let Some(variable) = variable {
        return Some(format!("the value comes from the variable {variable}"));
    }
    let is_time =
        |value: &str| value.contains(':') && value.starts_with(|c: char| c.is_ascii_digit());
    if let Some(time) = text(e, ContextKind::InvalidValue).filter(|value| is_time(value))
        && path_of(command) == ["schedule", "add"]
        && text(e, ContextKind::InvalidArg) == Some("[NAME]")
    {
        return Some(format!("run `idev-backup schedule add --daily {time}`"));
    }
    let lacks_folder = e.kind() == ErrorKind::MissingRequiredArgument
        && strings(e, ContextKind::InvalidArg).any(|option| option.starts_with("--to "));
    if !lacks_folder {
        return None;
    }
    let above = path_of(command);
    let folder = words()
        .into_iter()
        .skip(above.len())
        .find(|word| is_folder(word))?;
    Some(format!(
        "to write into {folder}, run `idev-backup {} --to {folder}`",
        above.join(" ")
    ))
}

/// Returns true if a word means a folder to write into, and not a backup or a pattern.
fn is_folder(word: &str) -> bool {
    let begins_as_path = ["/", "./", "../", "~/", ".\\", "..\\"]
        .iter()
        .any(|start| word.starts_with(start));
    let Ok(place) = path(word.into()) else {
        return false;
    };
    let is_backup = [
        "Manifest.db",
        "Manifest.mbdb",
        "Manifest.plist",
        "Info.plist",
    ]
    .iter()
    .any(|name| place.join(name).exists());
    !word.contains(['*', '?', '[', '{']) && !is_backup && (begins_as_path || place.is_dir())
}

/// Returns the advice for an unknown command: the most similar one, if any is similar.
fn nearest(e: &Error, command: &Command, word: &str) -> String {
    let similar = strings(e, ContextKind::SuggestedSubcommand);
    let best = similar.max_by(|a, b| {
        let nearness = |name: &str| strsim::jaro_winkler(name, word);
        nearness(a).total_cmp(&nearness(b))
    });
    match best {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let above = [&["idev-backup".to_owned()], &path_of(command)[..]].concat();
            format!("`{} --help` lists the commands", above.join(" "))
        }
    }
}

/// Returns the names of the commands that the command line names, from the outermost on.
fn path_of(command: &Command) -> Vec<String> {
    let mut at = command;
    let mut path = Vec::new();
    for word in words() {
        match at.find_subcommand(&word) {
            Some(below) => {
                path.push(word);
                at = below;
            }
            None if word.starts_with('-') => {}
            None => break,
        }
    }
    path
}

/// Splits clap's message into its first sentence and its tip.
fn parts(rendered: &str) -> (String, Option<String>) {
    let mut paragraphs = rendered.split("\n\n").map(|lines| {
        let words: Vec<&str> = lines.split_whitespace().collect();
        words.join(" ")
    });
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let tip = paragraphs.find_map(|lines| Some(lines.strip_prefix("tip: ")?.to_owned()));
    (message.to_owned(), tip)
}

fn words() -> Vec<String> {
    let words = std::env::args_os().skip(1);
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

fn text(e: &Error, kind: ContextKind) -> Option<&str> {
    match e.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn strings(e: &Error, kind: ContextKind) -> impl Iterator<Item = &str> {
    let found = match e.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.as_slice(),
        Some(ContextValue::String(text)) => std::slice::from_ref(text),
        _ => &[],
    };
    found.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_tip_are_separated() {
        let rendered = "error: unexpected argument '--bogus' found\n\n  tip: a similar argument \
            exists: '--json'\n\nUsage: idev-backup list\n\nFor more information, try '--help'.\n";
        let (message, tip) = parts(rendered);
        assert_eq!(message, "unexpected argument '--bogus' found");
        assert_eq!(tip.as_deref(), Some("a similar argument exists: '--json'"));
        let rendered = "error: the following required arguments were not provided:\n  --to <DIR>\n\
            \nUsage: idev-backup extract --to <DIR>\n";
        let (message, tip) = parts(rendered);
        assert_eq!(
            message,
            "the following required arguments were not provided: --to <DIR>"
        );
        assert_eq!(tip, None);
    }

    #[test]
    fn folders_differ_from_backups_and_patterns() {
        let dir = tempfile::tempdir().unwrap();
        let backup = dir.path().join("backup");
        std::fs::create_dir(&backup).unwrap();
        std::fs::write(backup.join("Manifest.db"), "").unwrap();
        assert!(is_folder("~/Pictures") && is_folder("./out"));
        assert!(is_folder(dir.path().to_str().unwrap()));
        for word in [
            backup.to_str().unwrap(),
            "latest",
            "HomeDomain/**",
            "/x/*.HEIC",
            "-q",
        ] {
            assert!(!is_folder(word), "{word}");
        }
    }
}
