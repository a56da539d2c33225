//! The program's exit codes and hints for the errors of the library, from the program's own files.

#[path = "../src/cli/afterwards.rs"]
#[allow(dead_code, reason = "the tests need a part of it")]
pub mod afterwards;
#[path = "../src/cli/exit.rs"]
#[allow(dead_code, reason = "the tests need a part of it")]
pub mod exit;
#[path = "../src/cli/failure.rs"]
#[allow(dead_code, reason = "the tests need a part of it")]
pub mod failure;
#[path = "../src/cli/hints/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests need a part of it")]
pub mod hints;

use idev_backup::mobilebackup::error_codes::Refusal;
use idev_backup::{backup, device, doctor, export, history, reader, restore, store, verify};

/// An error for which the program has advice.
pub trait Advice {
    /// Returns the program's hint.
    fn hint(&self) -> Option<String>;
}

macro_rules! advised {
    ($($error:ty: $advise:path),* $(,)?) => {
        $(impl Advice for $error {
            fn hint(&self) -> Option<String> {
                $advise(self)
            }
        })*
    };
}

advised! {
    device::Error: hints::device,
    device::listing::Device: hints::listed,
    backup::Error: hints::backup,
    export::Error: hints::export,
    history::Error: hints::history,
    reader::Error: hints::read,
    Refusal: hints::refusals::refusal,
    restore::Error: hints::restore,
    verify::Error: hints::verify,
}

impl Advice for store::Error {
    fn hint(&self) -> Option<String> {
        hints::store(self).map(str::to_owned)
    }
}

impl Advice for doctor::Line {
    fn hint(&self) -> Option<String> {
        self.concern.as_ref().and_then(hints::concern)
    }
}
