//! `idev-backup doctor explain`

use std::io::{IsTerminal, Read};

use idev_backup::doctor::explain::{self, Explanation};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::{exit, hints};

#[derive(Serialize)]
struct Explained {
    text: String,
    explanations: Vec<Advised>,
}

#[derive(Serialize)]
struct Advised {
    #[serde(flatten)]
    explanation: Explanation,
    hint: Option<String>,
}

/// Explains an error message and returns the exit code.
pub fn explain(words: &[String], as_json: bool) -> u8 {
    let text = match words {
        [] => match pasted() {
            Ok(text) => text,
            Err(e) => return output::failure(&e, None, as_json),
        },
        words => words.join(" "),
    };
    let advised = |explanation: Explanation| Advised {
        hint: hints::explained(explanation.failure),
        explanation,
    };
    let explanations: Vec<Advised> = explain::explain(&text).into_iter().map(advised).collect();
    if explanations.is_empty() {
        let nothing = Failure::Command {
            what: format!("{:?} is not a known error", text.trim()),
            hint: "give the whole message with its number, or see \"When it goes wrong\" in \
                docs/guide.md"
                .to_owned(),
        };
        return output::failure(&nothing, None, as_json);
    }
    if as_json {
        output::object("explained", None, &Explained { text, explanations });
        return exit::DONE;
    }
    for Advised { explanation, hint } in &explanations {
        output::finding(&format!("{}: {}", explanation.of, explanation.means));
        if let Some(hint) = hint {
            output::finding(&format!("  hint: {hint}"));
        }
    }
    exit::DONE
}

/// Reads another program's message from standard input.
fn pasted() -> Result<String, Failure> {
    const BYTES_MAX: u64 = 1 << 20;
    if std::io::stdin().is_terminal() {
        output::tell(
            "Paste the message, then press Ctrl-D on a line of its own (on Windows Ctrl-Z and Enter).",
        );
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(BYTES_MAX).read_to_end(&mut bytes);
    match read {
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) => Err(Failure::Command {
            what: format!("cannot read standard input: {e}"),
            hint: "give the message as an argument".to_owned(),
        }),
    }
}
