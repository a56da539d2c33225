//! Decides how a backup begins, and announces what it is going to do and why.

use std::sync::Arc;

use super::options::Options;
use crate::backup::Error;
use crate::backup::baseline::{self, Base};
use crate::backup_format::plists::{ManifestPlist, Status, is_complete};
use crate::base::cancel::CancelToken;
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::time;
use crate::base::udid::Udid;
use crate::base::units::counted;
use crate::device::connector::{Facts, State};
use crate::history::tell_set_aside;
use crate::store::disk::CloneKind;
use crate::store::draft::Leftover;
use crate::store::layout::LeftOut;
use crate::store::{Draft, Lock, Origin, Snapshot, Store};

/// Describes how a draft came to be.
pub(crate) fn origin_words(origin: &Origin) -> String {
    match origin {
        Origin::Fresh => "empty".to_owned(),
        Origin::Cloned {
            kind,
            ours,
            files,
            left_out,
        } => {
            let more = match left_out {
                LeftOut { count: 0, .. } => String::new(),
                left => format!(
                    "; {} left out that do not belong to a backup ({})",
                    counted(left.count, "thing"),
                    left.names()
                ),
            };
            let how = match kind {
                CloneKind::Reflink => "copy-on-write clones",
                CloneKind::HardLink => "hard links",
                CloneKind::Copy if *ours => {
                    "full copies, because this disk supports neither clones nor hard links"
                }
                CloneKind::Copy => "full copies, because another program wrote it last",
            };
            format!(
                "starting from the previous backup ({}, {how}{more})",
                counted(*files, "file")
            )
        }
        Origin::Resumed { dropped: 0 } => "continuing the interrupted backup".to_owned(),
        Origin::Resumed { dropped } => format!(
            "continuing the interrupted backup, without {} that could not be verified",
            counted(*dropped, "file")
        ),
    }
}

/// Returns a phrase as a sentence.
fn sentence(words: &str) -> String {
    let mut rest = words.chars();
    let first = rest.next().map(|c| c.to_ascii_uppercase());
    format!("{}{}.", first.unwrap_or_default(), rest.as_str())
}

/// The state with which a run begins.
pub(crate) struct Begun {
    /// The draft that the run fills.
    pub draft: Draft,
    /// The origin of the draft.
    pub origin: Origin,
    /// True if the current backup is damaged, so that nothing from it is used.
    pub is_spoilt: bool,
}

/// Creates the draft of this run: continues one that an earlier run left, or clones the current
/// backup, or starts empty.
pub(crate) fn begin(
    store: &Store,
    udid: &Udid,
    options: &Options,
    lock: Lock,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) -> Result<Begun, Error> {
    let mut lock = lock;
    let (leftover, aside) = Leftover::find(store, udid, &lock)?;
    tell_set_aside(aside, monitor);
    // Read only now, because `Leftover::find` may have completed an interrupted seal.
    let current = store.current(udid)?.filter(|_| !options.full);
    let base = match &current {
        Some(current) => baseline::judge(store, current, token, monitor)?,
        None => Base::Sound,
    };
    let is_spoilt = base == Base::Spoilt;
    let current = current.filter(|_| !is_spoilt);
    if let Some(leftover) = leftover {
        let holds_files = leftover.holds_files();
        let may_go_on = Status::read(leftover.backup()).is_ok_and(|s| s.is_resumable());
        if may_go_on && !options.full && base == Base::Sound {
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
        // Without files, nothing is lost.
        if holds_files {
            let why = if options.full {
                "The draft of an interrupted run was discarded, because a full backup was requested."
            } else {
                "Leftovers of an interrupted run were removed."
            };
            monitor.note(why.to_owned());
        }
    }
    monitor.phase(Phase::Cloning);
    // A backup that was never finished is not cloned: the phone would find that out only later.
    let is_usable = |current: &Snapshot| {
        Status::read(current.path())
            .is_ok_and(|status| is_complete(current.path(), &status) || status.is_resumable())
    };
    let usable = current.filter(|current| base == Base::Mended || is_usable(current));
    let (draft, origin) = Draft::begin(store, udid, lock, usable)?;
    Ok(Begun {
        draft,
        origin,
        is_spoilt,
    })
}

/// Announces what the run will do and why, as far as it can be known. Returns true if the phone is
/// expected to send everything.
pub(crate) fn announce(
    begun: &Begun,
    facts: &Facts,
    state: &State,
    options: &Options,
    store: &Store,
    monitor: &dyn Monitor,
) -> bool {
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
        .map(|date| time::when(&time::rfc3339(date)))
        .unwrap_or_default();
    let (full, why) = match (&status, &manifest, origin) {
        _ if options.full => (true, "as requested".to_owned()),
        (_, _, Origin::Resumed { .. }) => (
            !draft.has_base(),
            "continuing the interrupted backup if the phone agrees".to_owned(),
        ),
        (None, ..) if *is_spoilt => (
            true,
            "because the current backup or its list of hashes is damaged".to_owned(),
        ),
        (None, ..) => (
            true,
            "because the store has no backup of this phone yet".to_owned(),
        ),
        (_, Some(manifest), _) if manifest.encrypted != will_encrypt => {
            let word = if will_encrypt { "on" } else { "off" };
            (
                true,
                format!("because encryption was switched {word} after {before}"),
            )
        }
        (Some(status), ..) if status.is_finished() => (
            false,
            format!("since {before} (the phone may still send everything)"),
        ),
        (Some(_), ..) => (
            false,
            "continuing an unfinished backup if the phone agrees".to_owned(),
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
        monitor.note(sentence(&origin_words(origin)));
    }
    full
}
