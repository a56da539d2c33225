//! The content that people keep on a phone, read out of an open backup as typed records: messages,
//! chats of WhatsApp, contacts, notes, photos, calls, voicemail, events, reminders, Safari's pages
//! and voice memos. Each kind is streamed, so that its size does not decide the memory.
//!
//! The databases belong to Apple's applications, and their schemas differ from one version of iOS
//! to the next. A reader asks a database for its tables and columns, and leaves fields that it does
//! not have empty. A database without the tables that it must have is an error that names it.

pub mod calendar;
pub mod calls;
pub mod compare;
pub mod contacts;
pub(crate) mod core_data;
pub mod counts;
pub(crate) mod database;
mod error;
pub mod items;
mod keyed_archive;
pub mod messages;
pub mod notes;
pub mod photos;
mod presence;
mod protobuf;
pub mod query;
pub mod reminders;
pub mod safari;
pub mod search;
mod time;
pub mod typedstream;
pub(crate) mod value;
pub mod voice_memos;
pub mod voicemail;
pub mod whatsapp;

pub use error::{Error, Kind};
pub use presence::Presence;
pub use time::Time;
