//! The stores that were used before and are away now. A disk may not answer, so each store has a
//! thread that looks at it, and pages show what the last looks found.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use maud::{Markup, html};

use super::layout::t;
use super::site::{Site, locked};
use crate::base::time;
use crate::base::units::counted;
use crate::history::everywhere::{self, OURS, Place, State};
use crate::history::known_stores::Known;

/// Time for which a look is shown before the next one begins.
const FRESH: Duration = Duration::from_secs(8);
/// Time for which a page waits for looks. A disk that is there needs less.
const WAIT: Duration = Duration::from_millis(80);
/// Time after which a store that does not answer is shown as such.
const SILENT: Duration = Duration::from_secs(5);
/// Most stores that the first page shows.
const SHOWN_MAX: usize = 5;

/// The last look at a store.
struct Look {
    begun: Instant,
    /// True until the look has ended. No other one begins before.
    runs: bool,
    /// The store, if it is away.
    absent: Option<Place>,
}

/// The last looks at all stores that were used before.
#[derive(Default)]
pub(super) struct Stores(Mutex<HashMap<PathBuf, Look>>);

impl Stores {
    /// Returns the stores that are away, and begins looks where the last one is old.
    fn away(&self, site: &Arc<Site>) -> Vec<Place> {
        let search = &site.options().search;
        let own = site.store().root();
        let held_something = |known: &&Known| !known.phones.is_empty();
        let others = search.known.iter().filter(held_something);
        let others = others.filter(|known| known.path != search.current && known.path != own);
        let (ended, ends) = channel::<()>();
        for known in others.clone() {
            if !self.begin(known) {
                continue;
            }
            let (site, known, ended) = (site.clone(), known.clone(), ended.clone());
            let spawned = thread::Builder::new().name("stores".to_owned());
            let spawned = spawned.spawn(move || {
                let absent = everywhere::absent(&known);
                site.stores().end(&known, absent);
                drop(ended);
            });
            // Without a thread, the next look at this store begins once this one is old.
            drop(spawned);
        }
        drop(ended);
        // Nothing is sent: the wait ends when all looks have.
        ends.recv_timeout(WAIT).ok();
        let looks = locked(&self.0);
        others
            .filter_map(|known| match looks.get(&known.path) {
                Some(look) if look.runs && look.begun.elapsed() > SILENT => Some(silent(known)),
                look => look?.absent.clone(),
            })
            .collect()
    }

    /// Notes that a look begins, unless one runs or the last one is not old.
    fn begin(&self, known: &Known) -> bool {
        let mut looks = locked(&self.0);
        let look = looks.get(&known.path);
        if look.is_some_and(|look| look.runs || look.begun.elapsed() < FRESH) {
            return false;
        }
        let absent = look.and_then(|look| look.absent.clone());
        let look = Look {
            begun: Instant::now(),
            runs: true,
            absent,
        };
        looks.insert(known.path.clone(), look);
        true
    }

    fn end(&self, known: &Known, absent: Option<Place>) {
        if let Some(look) = locked(&self.0).get_mut(&known.path) {
            (look.runs, look.absent) = (false, absent);
        }
    }
}

/// Describes a store whose disk does not answer.
fn silent(known: &Known) -> Place {
    Place {
        program: OURS,
        path: known.path.display().to_string(),
        current: false,
        state: State::Silent,
        why: None,
        seen: Some(known.seen.clone()),
        phones: known.phones.clone(),
        backups: Vec::new(),
    }
}

/// Shows the stores that are away, and what they held when they were last seen.
pub(super) fn words(site: &Arc<Site>) -> Markup {
    let stores = site.stores().away(site);
    let more = stores.len().saturating_sub(SHOWN_MAX) as u64;
    html! {
        @if !stores.is_empty() {
            section aria-labelledby="away" {
                h2 id="away" { "Stores that are away" }
                ul.entries {
                    @for store in stores.iter().take(SHOWN_MAX) {
                        li {
                            p { bdi { (t(&store.path)) } }
                            p.soft { (state(store)) }
                            @for phone in &store.phones {
                                p.soft {
                                    bdi { (t(phone.name.as_deref().unwrap_or(&phone.udid))) }
                                    @if let Some(newest) = &phone.newest {
                                        ": newest backup " (time::when(newest))
                                    }
                                }
                            }
                        }
                    }
                }
                @if more > 0 {
                    p { a href=(site.at("/places")) { "and " (counted(more, "more store")) } }
                }
            }
        }
    }
}

/// Says why a store cannot be used now.
fn state(store: &Place) -> Markup {
    html! {
        @match store.state {
            State::Offline => "The disk is not connected, or the folder is gone.",
            State::Silent => "The disk does not answer.",
            _ => { "It cannot be read: " (t(store.why.as_deref().unwrap_or("no reason is known"))) }
        }
        @if let Some(seen) = &store.seen { " Last seen " (time::when(seen)) "." }
    }
}
