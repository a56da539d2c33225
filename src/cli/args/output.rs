//! Options about the form of the output.

use clap::Args;

use crate::cli::render::output;

/// Options for the form of the output. `--quiet` belongs to all commands, see `dispatch`.
#[derive(Args, Clone, Copy)]
pub(crate) struct OutputArgs {
    /// Print JSON: one event per line while running, then the result
    #[arg(long)]
    pub(crate) json: bool,
}

impl OutputArgs {
    pub(crate) fn style(self) -> output::Style {
        output::style(self.json)
    }
}
