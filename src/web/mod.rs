//! Pages in a browser that show the backups of a store, and act on them if that is allowed.
//!
//! The server listens on the loopback address, or where the user says so. Every page needs
//! a cookie, which a browser gets in exchange for the random token in the start address or for
//! a password; `guard` holds the rules. Everything that
//! a phone wrote (names, texts, files) is inert in these pages: names are escaped, and a file is
//! shown only if its kind cannot run scripts.

mod acting;
mod attempts;
mod away;
mod backup;
mod changes;
mod contacts;
mod cookie;
mod fail;
mod files;
mod form;
mod gaps;
mod guard;
mod home;
mod jobs;
mod layout;
mod listen;
mod live;
mod login;
mod manage;
mod media;
mod messages;
mod more;
mod next;
mod notes;
mod now;
mod pack;
mod password;
mod phones;
mod photos;
mod pieces;
mod places;
mod preview;
mod query;
mod raw;
mod records;
mod report;
mod schedule;
mod search;
mod server;
mod site;
mod sums;
mod tls;
mod treemap;
mod unlock;
mod whatsapp;
mod work;

pub use acting::{Acting, AddJob, Changed, Error, PushAll, Pushing, Schedule};
pub use listen::{Listen, ListenError, Protection};
pub use password::{CHARS_MIN, NotAHash, PasswordHash};
pub use server::Server;
pub use site::Options;
pub use tls::Certificate;
