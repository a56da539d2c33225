//! Every test of whole jobs, as one program: thirty would hold, and link, the library thirty times.
//! A module of it is run by `cargo test --test all MODULE::`.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Tests stop at what is unexpected, and one that cannot run says so.

mod made;
mod rig;
mod support;

mod cable;
mod captured;
mod cli;
mod create;
mod damaged;
mod deep;
mod diff;
mod disk;
mod doctor;
mod encryption;
mod extract;
mod fuzz;
mod guards;
mod held;
mod history;
mod judged;
mod keys;
mod kill;
mod mux;
mod pairs;
mod photos;
mod power;
mod reading;
mod records;
mod replay;
mod restore;
mod restore_program;
mod simulate;
mod simulated_restore;
mod snapshots;
mod store_folder;
mod stores;
mod strangers;
mod surroundings;
mod tidy;
mod trace;
mod unattended;
mod unread;
mod usb;
mod usbredir;
mod verify;
