//! Checks the backup before a restore.

use std::path::Path;
use std::sync::Arc;

use super::error::Error;
use super::options::Options;
use crate::base::cancel::CancelToken;
use crate::base::progress::Monitor;
use crate::base::time;
use crate::doctor::Line;
use crate::store::{Store, snapshot};
use crate::verify::{self, Depth};

pub(super) fn check(
    folder: &Path,
    options: &Options,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<verify::Report, Error> {
    let how = verify::Options {
        token: Some(token.clone()),
        depth: options.depth,
        passwords: options.password.as_ref().map(|known| known as _),
        ..verify::Options::default()
    };
    Ok(verify::verify(folder, &how, monitor)?)
}

/// Returns the damage that an earlier check of contents found. A quick check looks at no contents,
/// so it cannot refute that.
pub(super) fn known_damage(folder: &Path, options: &Options) -> Option<Line> {
    if options.depth != Depth::Quick {
        return None;
    }
    let of = snapshot::find(folder)?;
    // Other parts of the run report a store that cannot be read.
    let store = Store::open(of.path().parent()?).ok()?;
    let found = store.notes(of.udid()).ok()?.of(&of).damaged?;
    let when = found.parse::<jiff::Timestamp>();
    let when = when.map_or(found, |time| time::local_text(time.into()));
    let says = format!(
        "a check found this backup damaged ({when}), and a quick check does not read the contents"
    );
    Some(Line::problem("check", says).hint("omit --quick-check, so that every byte is read again"))
}
