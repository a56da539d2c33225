//! The phones that are connected now. A look may take seconds, so a thread of its own makes it, and
//! pages show what the last one found.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::site::{Site, locked};
use crate::automation::policy::Described;
use crate::base::cancel::CancelToken;
use crate::device::listing::{self, Device};

/// Time for which a look is shown before the next one begins.
const FRESH: Duration = Duration::from_secs(8);

/// The last look at the connected phones.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// The phones, as far as they answered.
    pub(super) phones: Vec<Device>,
    /// The reason that phones could not be looked for.
    pub(super) trouble: Option<Described>,
    /// True once a look has ended.
    pub(super) is_done: bool,
}

/// The connected phones.
#[derive(Default)]
pub(super) struct Phones {
    last: Mutex<(Look, Option<Instant>)>,
    is_looking: Arc<AtomicBool>,
}

/// A look that runs. It ends when dropped, also by a panic.
struct Looking(Arc<AtomicBool>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Phones {
    /// Returns the last look, and begins another one if that is old.
    pub(super) fn last(&self, site: &Arc<Site>) -> Look {
        let (look, at) = locked(&self.last).clone();
        if at.is_none_or(|at| at.elapsed() > FRESH) && !self.is_looking.swap(true, Ordering::SeqCst)
        {
            let (site, looking) = (site.clone(), Looking(self.is_looking.clone()));
            let spawned = thread::Builder::new().name("phones".to_owned());
            let spawned = spawned.spawn(move || {
                let _looking = looking;
                site.phones().look(&site);
            });
            // If no thread begins, the look ends as its work is dropped.
            drop(spawned);
        }
        look
    }

    fn look(&self, site: &Site) {
        let Ok(hands) = site.hands() else { return };
        let found = hands.connector(&CancelToken::new(Arc::default()));
        let found = found.and_then(|connector| {
            listing::devices(&connector, |_| None).map_err(|e| {
                hands.disconnect();
                hands.describe(e)
            })
        });
        let look = match found {
            Ok(phones) => Look {
                phones,
                trouble: None,
                is_done: true,
            },
            Err(trouble) => Look {
                phones: Vec::new(),
                trouble: Some(trouble),
                is_done: true,
            },
        };
        *locked(&self.last) = (look, Some(Instant::now()));
        site.jobs().tell();
    }
}
