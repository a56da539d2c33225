//! What a backup is going to do, and why, as far as it can be known before.

use super::create::Options;
use super::list;
use super::phone::{Facts, State};
use crate::manifest::plists::{ManifestPlist, Status};
use crate::monitor::{Event, Monitor};
use crate::store::disk::CloneKind;
use crate::store::{Draft, Origin, Store};
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

/// Says what will happen, and why, as far as it can be known.
pub fn announce(
    draft: &Draft,
    facts: &Facts,
    state: &State,
    origin: &Origin,
    options: &Options,
    store: &Store,
    monitor: &dyn Monitor,
) {
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
