//! `idev-backup list --everywhere`

use std::time::Duration;

use idev_backup::history::everywhere::{Search, State, everywhere};
use serde::Serialize;

use crate::cli::args::folders;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::everywhere::{Shown, show};
use crate::cli::render::output;

/// Time without progress after which a disk counts as silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Everywhere<'a> {
    places: Vec<Shown<'a>>,
}

/// Shows all backups of this computer and returns the exit code.
pub fn run(store: &StoreArgs, as_json: bool) -> Result<u8, Failure> {
    let places = everywhere(&Search {
        current: store.path()?,
        is_named: store.is_named(),
        known: folders::known_stores(),
        home: folders::user(),
        silence_max: SILENCE_MAX,
    });
    if as_json {
        let places = places.iter().map(Shown::of).collect();
        output::object("everywhere", None, &Everywhere { places });
    } else {
        show(&places);
    }
    let is_read = |state| matches!(state, State::Here | State::Offline);
    if places.iter().all(|place| is_read(place.state)) {
        Ok(exit::DONE)
    } else {
        Ok(exit::DONE_WITH_PROBLEMS)
    }
}
