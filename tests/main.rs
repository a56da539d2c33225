//! Holds all integration tests in one program, because thirty programs would link the library
//! thirty times. `cargo test --test all MODULE::` runs the tests of one module.

// Tests panic at unexpected results, and print the reason if they cannot run.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod advice;
mod made;
mod rig;
mod support;

#[cfg(target_os = "linux")]
mod asking;
mod cable;
mod calendar;
mod calls;
mod captured;
mod cli;
mod comparing;
mod completing;
mod contacts;
mod content;
mod create;
mod damaged;
mod deep;
mod diff;
mod disk;
mod doctor;
mod encryption;
mod everywhere;
mod extract;
mod from_repository;
mod fuzz;
mod guards;
mod held;
mod history;
mod judged;
mod keys;
mod kill;
mod messages;
mod monitoring;
mod mux;
mod notes;
mod options;
mod pairs;
mod photos;
mod power;
mod push_after;
mod reading;
mod records;
mod replay;
mod repository;
mod restore;
mod restore_program;
mod safari;
mod search;
mod settings;
mod setup;
mod simulate;
mod simulated_restore;
mod simulated_wifi;
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
#[cfg(feature = "web")]
mod web;
mod web_acting;
mod web_serve;
mod whatsapp;
#[cfg(target_os = "linux")]
mod wifi;
#[cfg(target_os = "linux")]
mod wifi_listed;
