//! Closes a report on several phones or backups: one line that counts them and names each that
//! failed.

use idev_backup::base::units::count;
use serde::Serialize;

use crate::cli::exit;
use crate::cli::render::log::Level;
use crate::cli::render::output::{self, Style};

/// The result for one phone or backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The command did what it was asked for.
    Done,
    /// Done, with problems or remarks that were reported.
    WithProblems,
    /// There was nothing to do.
    NothingToDo,
    /// The command failed.
    Failed,
}

/// A phone or backup among several.
#[derive(Debug, Serialize)]
pub struct Part {
    /// The UDID of the phone.
    pub udid: String,
    /// The name of the phone or of the backup.
    pub name: String,
    /// The result.
    pub result: How,
    /// The exit code that the command would have had for this one alone.
    pub exit_code: u8,
    /// The reason, unless the result is `Done`.
    pub why: Option<String>,
}

impl Part {
    /// Returns a part whose result follows from its exit code.
    pub fn ended(udid: &str, name: &str, exit_code: u8, why: Option<String>) -> Part {
        Part {
            udid: udid.to_owned(),
            name: name.to_owned(),
            result: match exit_code {
                exit::DONE => How::Done,
                exit::DONE_WITH_PROBLEMS => How::WithProblems,
                _ => How::Failed,
            },
            exit_code,
            why,
        }
    }
}

/// Number of names in the closing line, beyond which it only counts them. Failures are always
/// named.
const NAMES_MAX: usize = 5;

/// A command, in the words of the closing line.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// The name of the command.
    pub command: &'static str,
    /// The things that it works on, in the plural.
    pub things: &'static str,
    /// The state of a thing afterwards.
    pub done: &'static str,
    /// The words before the names of things that were done with problems.
    pub with_problems: &'static str,
    /// The words before the names of things with nothing to do.
    pub nothing_to_do: &'static str,
}

#[derive(Serialize)]
struct Closing<'a> {
    command: &'static str,
    text: String,
    parts: &'a [Part],
}

/// Reports the end of a command on several phones or backups, and returns its exit code.
pub fn tell(work: &Work, parts: &[Part], style: Style) -> u8 {
    let codes: Vec<u8> = parts.iter().map(|part| part.exit_code).collect();
    let code = exit::worst(&codes);
    let text = words(work, parts);
    match style {
        Style::Json => {
            let command = work.command;
            let closing = Closing {
                command,
                text,
                parts,
            };
            output::object("summary", None, &closing);
        }
        Style::Quiet if code == exit::DONE => {}
        _ => {
            let level = match code {
                exit::DONE => Level::Info,
                exit::DONE_WITH_PROBLEMS => Level::Warning,
                _ => Level::Error,
            };
            output::line_at(&text, level);
        }
    }
    code
}

fn words(work: &Work, parts: &[Part]) -> String {
    let of = |result| parts.iter().filter(move |part| part.result == result);
    let names = |result| -> Vec<&str> { of(result).map(|part| part.name.as_str()).collect() };
    let done = of(How::Done).count() + of(How::WithProblems).count();
    let mut text = format!(
        "{} of {} {} {}",
        count(done as u64),
        count(parts.len() as u64),
        work.things,
        work.done
    );
    for (result, words) in [
        (How::WithProblems, work.with_problems),
        (How::NothingToDo, work.nothing_to_do),
    ] {
        let names = names(result);
        match names.len() {
            0 => {}
            1..=NAMES_MAX => text.push_str(&format!("; {words} {}", names.join(", "))),
            more => text.push_str(&format!("; {words} {}", count(more as u64))),
        }
    }
    for part in of(How::Failed) {
        // The hint of an error, and what the phone said, were reported before.
        let why = part.why.as_deref().unwrap_or_default();
        let why = why.lines().next().unwrap_or_default();
        text.push_str(&format!("; {} failed: {why}", part.name));
    }
    output::one_line(&text) + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        command: "create",
        things: "phones",
        done: "backed up",
        with_problems: "with problems:",
        nothing_to_do: "nothing to do for",
    };

    fn part(name: &str, code: u8, why: Option<&str>) -> Part {
        Part::ended("A", name, code, why.map(str::to_owned))
    }

    #[test]
    fn closing_line_names_each_failure() {
        let skipped = Part {
            result: How::NothingToDo,
            ..part("C", exit::DONE, Some("too early"))
        };
        for (parts, text) in [
            (
                vec![part("A", 0, None), part("B", 0, None)],
                "2 of 2 phones backed up.",
            ),
            (
                vec![
                    part("A", 3, None),
                    part("B", 8, Some("the connection was lost\n  says: x")),
                    skipped,
                ],
                "1 of 3 phones backed up; with problems: A; nothing to do for C; B failed: the \
                 connection was lost.",
            ),
        ] {
            assert_eq!(words(&WORK, &parts), text);
        }
    }
}
