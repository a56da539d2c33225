//! Options that several commands share, and the sources of their values: the command line,
//! variables and the config file.

pub(crate) mod answer;
pub(crate) mod anywhere;
pub(crate) mod ask;
pub(crate) mod backup;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod content;
pub(crate) mod destination;
pub(crate) mod device;
pub(crate) mod folders;
pub(crate) mod keep;
pub(crate) mod keyring;
pub(crate) mod output;
pub(crate) mod password;
pub(crate) mod push_after;
pub(crate) mod reading;
pub(crate) mod recording;
pub(crate) mod repository;
pub(crate) mod snapshot;
pub(crate) mod store;
pub(crate) mod trace;
pub(crate) mod unattended;
pub(crate) mod value_parsers;
pub(crate) mod variables;
