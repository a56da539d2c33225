//! What a backup is going to do, and why, as far as it can be known before.

use std::sync::Arc;

use super::create::Options;
use super::last_good::is_complete;
use super::phone::{Facts, State};
use super::verify::{self, Outcome};
use super::{Error, list};
use crate::manifest::plists::{ManifestPlist, Status};
use crate::monitor::{Event, Monitor, Phase};
use crate::store::disk::CloneKind;
use crate::store::draft::Leftover;
use crate::store::{Draft, Lock, Origin, Snapshot, Store};
use crate::transport::Calm;
use crate::udid::Udid;
use crate::units::counted;

/// How a draft came to be, in words.
pub fn origin_words(origin: &Origin) -> String {
    match origin {
        Origin::Fresh => "empty".to_owned(),
        Origin::Cloned {
            kind,
            ours,
            files,
            left_out,
        } => {
            let more = match left_out {
                0 => String::new(),
                n => format!("; {} left out that no backup holds", counted(*n, "thing")),
            };
            let how = match kind {
                CloneKind::Reflink => "by copy-on-write clones",
                CloneKind::HardLink => "by hard links",
                CloneKind::Copy if *ours => {
                    "by copying every byte, since this disk has neither clones nor hard links"
                }
                CloneKind::Copy => "by copying every byte, since another program wrote it last",
            };
            format!(
                "cloned from the backup before, {}, {how}{more}",
                counted(*files, "file")
            )
        }
        Origin::Resumed { dropped: 0 } => "taken over from a run that broke off".to_owned(),
        Origin::Resumed { dropped } => format!(
            "taken over from a run that broke off; {} of it dropped that could not be proved whole",
            counted(*dropped, "file")
        ),
    }
}

/// Whether what a run would take over is not what was received: it would be damaged in the next backup too, and look as good as new.
/// Looked at only where a check found the backup damaged. What the phone itself makes so it would make so again.
fn is_spoilt(
    store: &Store,
    current: &Snapshot,
    calm: &Arc<Calm>,
    monitor: &dyn Monitor,
) -> Result<bool, Error> {
    // Notes that cannot be read are told of when the backup is sealed.
    let notes = store.notes(current.udid()).unwrap_or_default();
    let is_finished = |status: Status| is_complete(current.path(), &status);
    if notes.of(current).damaged.is_none() || !Status::read(current.path()).is_ok_and(is_finished) {
        return Ok(false);
    }
    monitor.note(
        "`verify` found the backup that is there damaged, so it is read once more.".to_owned(),
    );
    monitor.phase(Phase::Checking);
    let how = verify::Options {
        calm: Some(calm.clone()),
        ..verify::Options::bytes()
    };
    match verify::look_through(current.path(), &how, monitor) {
        // What could be compared with nothing may be what is damaged.
        Ok(report) => Ok(report.outcome == Outcome::Damaged || report.not_compared > 0),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        // Then nothing is to be taken over from it either.
        Err(_) => Ok(true),
    }
}

/// What a run begins with.
pub struct Begun {
    /// What is filled.
    pub draft: Draft,
    /// How it came to be.
    pub origin: Origin,
    /// The backup that is there is damaged, and nothing is taken over from it.
    pub is_spoilt: bool,
}

/// The draft of this run: what an earlier one left, a clone of the current backup, or an empty one.
pub fn begin(
    store: &Store,
    udid: &Udid,
    options: &Options,
    lock: Lock,
    calm: &Arc<Calm>,
    monitor: &dyn Monitor,
) -> Result<Begun, Error> {
    let mut lock = lock;
    let leftover = Leftover::find(store, udid, &lock)?;
    // Looked at after a seal that was under way has been brought to its end.
    let current = store.current(udid)?.filter(|_| !options.full);
    let is_spoilt = match &current {
        Some(current) => is_spoilt(store, current, calm, monitor)?,
        None => false,
    };
    let current = current.filter(|_| !is_spoilt);
    if let Some(leftover) = leftover {
        let may_go_on = Status::read(leftover.backup()).is_ok_and(|s| s.is_resumable());
        if may_go_on && !options.full {
            match Draft::resume(store, leftover, udid, lock, current.clone())? {
                Ok((draft, origin)) => {
                    return Ok(Begun {
                        draft,
                        origin,
                        is_spoilt,
                    });
                }
                Err(back) => lock = back,
            }
        }
        let why = match options.full {
            true => "is not used, since everything is wanted anew, and was discarded",
            false => "could not be used again and was discarded",
        };
        monitor.note(format!("The draft of a run that broke off {why}."));
    }
    monitor.phase(Phase::Cloning);
    // A backup that never became one is no base: the phone would only find that out itself.
    let usable = current.filter(|c| {
        Status::read(c.path()).is_ok_and(|s| is_complete(c.path(), &s) || s.is_resumable())
    });
    let (draft, origin) = Draft::begin(store, udid, lock, usable)?;
    Ok(Begun {
        draft,
        origin,
        is_spoilt,
    })
}

/// Says what will happen, and why, as far as it can be known.
pub fn announce(
    begun: &Begun,
    facts: &Facts,
    state: &State,
    options: &Options,
    store: &Store,
    monitor: &dyn Monitor,
) {
    let Begun {
        draft,
        origin,
        is_spoilt,
    } = begun;
    let status = Status::read(&draft.backup()).ok();
    let manifest = ManifestPlist::read(&draft.backup()).ok();
    let will_encrypt = state.will_encrypt.unwrap_or(false);
    let before = status
        .as_ref()
        .and_then(|s| s.date)
        .map(list::local)
        .unwrap_or_default();
    let (full, why) = match (&status, &manifest, origin) {
        _ if options.full => (true, "since you asked for it".to_owned()),
        (_, _, Origin::Resumed { .. }) => (
            !draft.has_base(),
            "going on where the last run broke off, if the phone agrees".to_owned(),
        ),
        (None, ..) if *is_spoilt => (true, "since the backup that is there is damaged".to_owned()),
        (None, ..) => (
            true,
            "since the store has no backup of this phone yet".to_owned(),
        ),
        (_, Some(manifest), _) if manifest.encrypted != will_encrypt => {
            let word = if will_encrypt { "on" } else { "off" };
            (
                true,
                format!("since encryption was switched {word} after {before}"),
            )
        }
        (Some(status), ..) if status.is_finished() => (
            false,
            format!("since {before}, unless the phone decides otherwise"),
        ),
        (Some(_), ..) => (
            false,
            "going on with a backup that was not finished, if the phone agrees".to_owned(),
        ),
    };
    monitor.event(Event::Plan {
        name: facts.name.clone(),
        model: facts.model.clone(),
        ios: facts.ios.clone(),
        store: store.root().display().to_string(),
        full,
        why,
        encrypted: will_encrypt,
    });
    if *origin != Origin::Fresh {
        monitor.note(format!("The draft is {}.", origin_words(origin)));
    }
}
