//! A backup that is being written. A draft begins as a clone of the current backup and never
//! changes that backup.
//!
//! ```text
//! draft/draft.json   what the draft was cloned from
//! draft/root/        the root folder that the phone sees: <UDID>/, rarely .b/ and <UDID>-<stamp>/
//! draft/incoming/    files that are not complete yet
//! draft/journal/     what happened to the files (crate::store::draft::journal)
//! draft/beside/      our own files that will accompany the sealed backup
//! draft/seal.json    once this exists, the draft is put in its place, even after a crash
//! ```

mod clone;
mod commit;
mod complete;
mod content;
mod early_flush;
pub(crate) mod hash_list;
mod hashing_writers;
pub mod journal;
mod leftover;
mod make_space;
mod note;
mod origin;

pub use commit::Sealed;
pub use complete::Complete;
pub use content::Draft;
pub use leftover::Leftover;
pub use make_space::{FreedSpace, Need};
pub use origin::Origin;

pub use crate::store::tally::Tally;
