//! Options about the form of the output.

use clap::Args;

use crate::cli::render::output;

/// Options for the form of the output.
#[derive(Args, Clone, Copy)]
pub(crate) struct OutputArgs {
    /// Print JSON: one event per line while running, then the result
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only problems
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl OutputArgs {
    pub(crate) fn style(self) -> output::Style {
        match self {
            OutputArgs { json: true, .. } => output::Style::Json,
            OutputArgs { quiet: true, .. } => output::Style::Quiet,
            _ => output::Style::People,
        }
    }
}
