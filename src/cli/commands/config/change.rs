//! `idev-backup config init`, `set` and `unset`

use std::path::Path;

use serde::Serialize;

use crate::cli::args::config::{
    Config, Mistake, file, literal, set, set_variable, tell_mistakes, template, unset,
};
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::new_file;
use crate::cli::render::output;

#[derive(Serialize)]
struct Changed<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    value: Option<&'a str>,
}

/// Writes the template and returns the exit code. Replaces an existing file only if `replace` is
/// set.
pub fn init(path: &Path, replace: bool, as_json: bool) -> Result<u8, Failure> {
    if !replace {
        new_file::refuse_if_there(path, false)?;
    }
    file::write(path, &template())?;
    report(path, None, as_json, || {
        let path = path.display();
        output::line(&format!(
            "Wrote {path}. Every key in it is a comment: nothing is set yet."
        ));
    });
    Ok(exit::DONE)
}

/// Sets a key and returns the exit code.
pub fn set_key(path: &Path, key: &str, value: &str, as_json: bool) -> Result<u8, Failure> {
    let before = file::read(path)?;
    // A new file gets all keys as comments, which also explains the one that is set.
    let text = before.unwrap_or_else(template);
    let result = match set(&text, key, value) {
        Ok(result) => result,
        Err(mistakes) => return Ok(refused(path, &mistakes, as_json)),
    };
    file::write(path, &result)?;
    report(path, Some((key, Some(value))), as_json, || {
        let value = literal(key, value);
        output::line(&format!("{key} = {value}   ({})", path.display()));
    });
    tell_outranked(key);
    Ok(left(path, &result))
}

/// Removes a key and returns the exit code.
pub fn unset_key(path: &Path, key: &str, as_json: bool) -> Result<u8, Failure> {
    let text = file::read(path)?.unwrap_or_default();
    let result = match unset(&text, key) {
        Ok(result) => result,
        Err(mistakes) => return Ok(refused(path, &mistakes, as_json)),
    };
    let was_set = result.is_some();
    let result = result.unwrap_or(text);
    if was_set {
        file::write(path, &result)?;
    }
    report(path, Some((key, None)), as_json, || {
        let words = if was_set {
            "was removed"
        } else {
            "was not set"
        };
        output::line(&format!("{key} {words}   ({})", path.display()));
    });
    tell_outranked(key);
    Ok(left(path, &result))
}

fn report(
    path: &Path,
    change: Option<(&str, Option<&str>)>,
    as_json: bool,
    for_people: impl FnOnce(),
) {
    if as_json {
        let changed = Changed {
            path: path.display().to_string(),
            key: change.map(|(key, _)| key),
            value: change.and_then(|(_, value)| value),
        };
        output::object("config_changed", None, &changed);
    } else {
        for_people();
    }
}

/// Reports why a key cannot be changed. The file stays as it is.
fn refused(path: &Path, mistakes: &[Mistake], as_json: bool) -> u8 {
    if mistakes.iter().any(|mistake| mistake.line > 0) {
        let code = tell_mistakes(path, mistakes, as_json);
        output::tell("  hint: `idev-backup config edit` opens the file in an editor");
        return code;
    }
    for mistake in mistakes {
        output::failed(&mistake.text, mistake.hint.as_deref(), exit::USAGE, as_json);
    }
    exit::USAGE
}

/// Reports mistakes that the file had before, and returns the exit code.
fn left(path: &Path, text: &str) -> u8 {
    match Config::parse(text) {
        Ok(_) => exit::DONE,
        Err(mistakes) => tell_mistakes(path, &mistakes, false),
    }
}

/// Reports a variable that outranks the key in the file.
fn tell_outranked(key: &str) {
    if let Some((variable, value)) = set_variable(key) {
        output::tell(&format!(
            "note: the variable {variable} is {value:?} here and outranks the file"
        ));
    }
}
