//! Asks questions on the terminal.

use std::io::IsTerminal;

use super::answer::typed;
use crate::cli::ctrl_c::is_pressed;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Returns true if a user can read questions and answer them.
pub(crate) fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question and returns the answer without the spaces around it. The end of the input is an
/// interruption.
pub(crate) fn ask(question: &str) -> Result<String, Failure> {
    output::prompt(question);
    match typed(std::io::stdin(), is_pressed) {
        Some(line) if !line.is_empty() => {
            output::answered();
            Ok(line.trim().to_owned())
        }
        _ => Err(Failure::Interrupted),
    }
}

/// Asks for yes or no until the user answers with one of them; an empty answer means `default`.
pub(crate) fn agrees(question: &str, default: bool) -> Result<bool, Failure> {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        match ask(&format!("{question} {choice}"))?
            .to_ascii_lowercase()
            .as_str()
        {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => output::tell("Type yes or no."),
        }
    }
}
