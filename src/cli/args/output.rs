//! Options about the form of the output.

use clap::Args;

use crate::cli::render::progress;

/// How results are shown.
#[derive(Args, Clone, Copy)]
pub(crate) struct OutputArgs {
    /// Print JSON: an event a line while running, then the result
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only problems
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl OutputArgs {
    pub(crate) fn style(self) -> progress::Style {
        match self {
            OutputArgs { json: true, .. } => progress::Style::Json,
            OutputArgs { quiet: true, .. } => progress::Style::Quiet,
            _ => progress::Style::People,
        }
    }
}
