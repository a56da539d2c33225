//! Pages in a browser on this computer that show the backups of a store. They only read.
//!
//! The server listens on the loopback address. Every page needs a cookie, which a browser gets in
//! exchange for the random token in the start address; `guard` holds the rules. Everything that
//! a phone wrote (names, texts, files) is inert in these pages: names are escaped, and a file is
//! shown only if its kind cannot run scripts.

mod backup;
mod contacts;
mod cookie;
mod fail;
mod files;
mod gaps;
mod guard;
mod home;
mod layout;
mod media;
mod messages;
mod photos;
mod places;
mod query;
mod raw;
mod server;
mod site;
mod unlock;

pub use server::Server;
pub use site::Options;
