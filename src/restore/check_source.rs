//! Checks the backup before a restore, and decides whether its contents can be compared while they
//! are sent.

use std::path::Path;
use std::sync::Arc;

use super::Line;
use super::concern::Concern;
use super::error::Error;
use super::options::Options;
use crate::base::cancel::CancelToken;
use crate::base::progress::Monitor;
use crate::base::time;
use crate::restore::subject::Source;
use crate::store::sums_index::SumsIndex;
use crate::store::{Snapshot, Store, snapshot};
use crate::verify::{self, Depth, Finding, Outcome, Wrong};

/// Checks the backup as the options say.
pub(super) fn check(
    folder: &Path,
    options: &Options,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<verify::Report, Error> {
    check_to(options.depth, folder, options, token, monitor)
}

/// A backup that was checked except for the contents of its files, and the index of its hashes.
pub(super) struct Outlined {
    pub(super) checked: verify::Report,
    pub(super) index: SumsIndex,
}

/// Checks structure, names and sizes of a backup whose contents can be compared while they are
/// sent. Returns `None` if they cannot, or if something is not as it should be: then the full check
/// finds out whether a phone would refuse the backup.
pub(super) fn outline(
    source: &Source,
    folder: &Path,
    options: &Options,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<Option<Outlined>, Error> {
    if !options.compare_while_sending || options.force || options.depth == Depth::Quick {
        return Ok(None);
    }
    let Some(snapshot) = snapshot::find(folder) else {
        return Ok(None);
    };
    let Some(sums) = snapshot.sums() else {
        return Ok(None);
    };
    if damaged_since(&snapshot).is_some() {
        return Ok(None);
    }
    let checked = check_to(Depth::Quick, folder, options, token, monitor)?;
    let may_be_refused = |f: &Finding| {
        matches!(
            f.wrong,
            Wrong::Short | Wrong::OtherDigest | Wrong::NotRestored
        )
    };
    let is_doubtful = source.ios.is_none() || checked.findings.iter().any(may_be_refused);
    let is_proven = checked.has_sums && !checked.has_damaged_list;
    if checked.outcome != Outcome::NoDamageFound || !is_proven || is_doubtful {
        return Ok(None);
    }
    let index = SumsIndex::open(&sums)?;
    Ok(index.map(|index| Outlined { checked, index }))
}

fn check_to(
    depth: Depth,
    folder: &Path,
    options: &Options,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<verify::Report, Error> {
    let how = verify::Options {
        token: Some(token.clone()),
        depth,
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
    let found = damaged_since(&snapshot::find(folder)?)?;
    let when = found.parse::<jiff::Timestamp>();
    let when = when.map_or(found, |time| time::local_text(time.into()));
    let says = format!(
        "a check found this backup damaged ({when}), and a quick check does not read the contents"
    );
    Some(Line::problem("check", says).concern(Concern::KnownDamage))
}

/// Returns the time at which a check found this snapshot damaged, if the last one did.
fn damaged_since(of: &Snapshot) -> Option<String> {
    // Other parts of the run report a store that cannot be read.
    let store = Store::open(of.path().parent()?).ok()?;
    store.notes(of.udid()).ok()?.of(of).damaged
}
