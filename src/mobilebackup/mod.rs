//! The backup dialog: the phone's requests to the computer that keeps its backup, and the answers.
//!
//! `com.apple.mobilebackup2` reverses the roles: after one request of ours (Backup), the phone asks
//! and we answer, strictly in order, until it sends its verdict. Its messages are named from its
//! own side: "Download" means that we send.

mod entry;
mod error;
pub mod error_codes;
mod fault;
pub mod file_stream;
mod host;
pub mod message;
mod null_host;
mod options;
pub mod session;

pub use entry::{Entry, EntryKind};
pub use error::Error;
pub use fault::{DeviceFault, Fault};
pub use host::Host;
pub use message::{Kind, Request, Verdict};
pub use options::{Passwords, RestoreOptions};
pub use session::{SERVICE, Session};
