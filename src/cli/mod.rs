//! The program: `dispatch` parses the command line and runs a command, `args` holds the options
//! that commands share, `commands` one file for each command, and `render` what they print.

mod afterwards;
mod args;
mod commands;
mod ctrl_c;
mod dispatch;
mod exit;
mod failure;
mod hints;
mod new_file;
mod refusal;
mod render;
mod screen;
mod version;

pub use dispatch::run;
