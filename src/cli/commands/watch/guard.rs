//! Backs up each phone that is plugged in, and reports what happens.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use idev_backup::automation::policy::{self, Outcome, Plan};
use idev_backup::automation::watch::{Happening, Watcher};
use idev_backup::backup;
use idev_backup::backup::create::Options;
use idev_backup::base::phone_names;
use idev_backup::base::udid::Udid;
use idev_backup::device::connector::Connector;
use idev_backup::history::{last_good, list};
use idev_backup::store::Store;
use idev_backup::transport::{Attached, Via};
use serde::Serialize;

use crate::cli::args::folders;
use crate::cli::render::create::{Named, ended};
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::Show;

/// Interval between notifications about an overdue backup, or about pushes that fail.
pub const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Watches the phones of one store.
pub struct Guard<'a> {
    pub connector: &'a Connector,
    pub store: &'a Store,
    pub wanted: Option<&'a str>,
    /// Wakes the thread that pushes backups elsewhere, if that is wanted.
    pub push: Option<SyncSender<()>>,
    pub options: Options,
    pub plan: Plan,
    pub overdue: Plan,
    pub style: Style,
    pub show: Show,
    /// Time of the last notification about each phone's overdue backup.
    pub told: Mutex<HashMap<Udid, Instant>>,
    /// Names of the phones that were seen.
    pub names: Mutex<HashMap<Udid, String>>,
}

#[derive(Serialize)]
struct Said<'a> {
    text: &'a str,
}

impl Guard<'_> {
    /// Reports an event.
    pub fn say(&self, udid: Option<&Udid>, event: &str, text: &str) {
        match self.style {
            Style::Quiet => {}
            Style::Json => output::object(event, udid.map(Udid::as_str), &Said { text }),
            Style::People => {
                let name = udid.map_or_else(String::new, |udid| self.prefix(udid));
                output::tell(&format!("{} {name}{text}", output::stamp()));
            }
        }
    }
}

impl Guard<'_> {
    /// Returns the phone's name and ": ".
    fn prefix(&self, udid: &Udid) -> String {
        format!("{}: ", output::one_line(&self.name(udid)))
    }

    /// Returns the phone's name, if the store or a backup has told it; else its UDID. Two phones of
    /// one name have the end of their UDID too. Does not ask the phone, which may not answer.
    fn name(&self, udid: &Udid) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains_key(udid)
            && let Some(name) = list::phone_name(self.store, udid)
        {
            names.insert(udid.clone(), name);
        }
        let known: Vec<_> = names
            .iter()
            .map(|(udid, name)| (udid.as_str(), Some(name.as_str())))
            .collect();
        let at = known.iter().position(|(other, _)| *other == udid.as_str());
        let distinct = phone_names::distinct(&known);
        at.map_or_else(|| udid.to_string(), |at| distinct[at].clone())
    }

    /// Has backups pushed elsewhere. A message that waits already is enough.
    fn wake_pusher(&self) {
        if let Some(push) = &self.push {
            push.try_send(()).ok();
        }
    }

    /// Returns the text by which commands find the phone.
    fn selector(&self, udid: &Udid) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = names
            .iter()
            .map(|(udid, name)| (udid.as_str(), Some(name.as_str())))
            .collect();
        phone_names::selector(&known, udid.as_str())
    }

    /// Keeps the name that a phone tells.
    fn learn(&self, phone: &Attached) {
        if let Some(name) = self.connector.name(phone) {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.insert(phone.udid.clone(), name);
        }
    }
}

impl Watcher for Guard<'_> {
    fn wants(&self, udid: &Udid) -> bool {
        let Some(wanted) = self.wanted else {
            return true;
        };
        if phone_names::head_is(udid.as_str(), wanted) {
            return true;
        }
        // The store knows the name of a phone that has been unplugged.
        let of_store = list::phones_named(self.store, wanted).unwrap_or_default();
        let connected = self.connector.phones().unwrap_or_default();
        let connected = phone_names::matching(
            wanted,
            &connected,
            |phone| &phone.udid,
            |phone| self.connector.name(phone),
        );
        of_store.iter().any(|(other, _)| other == udid)
            || connected.iter().any(|phone| phone.udid == *udid)
    }

    fn not_due(&self, udid: &Udid) -> Option<String> {
        let last = policy::rests_on(self.store, udid);
        policy::not_now(&self.plan, SystemTime::now(), last)
    }

    fn back_up(&self, phone: &Attached) -> Result<Outcome, backup::Error> {
        self.learn(phone);
        let name = Some(self.name(&phone.udid));
        let watch = self.show.watch(Some(phone.udid.as_str()), name);
        let mut plan = self.plan.clone();
        // Over Wi-Fi a phone on battery falls asleep, and its owner did not choose this moment.
        plan.conditions.charging |= phone.via == Via::Network;
        let run = policy::Run {
            connector: self.connector,
            store: self.store,
            options: &self.options,
            plan: &plan,
            monitor: &watch,
        };
        let result = run.back_up(phone);
        watch.finish();
        result
    }

    fn hear(&self, happening: Happening<'_>) {
        match happening {
            Happening::Listening => self.say(None, "listening", "Waiting for phones."),
            Happening::Lost(why) => {
                let text = format!(
                    "Phones are not visible ({why}). Waiting for the connection to return."
                );
                self.say(None, "lost", &text);
            }
            Happening::Attached(udid, via) => {
                let text = match via {
                    Via::Usb => "plugged in",
                    Via::Network => "reachable over Wi-Fi",
                };
                self.say(Some(udid), "attached", text);
            }
            Happening::Detached(udid, via) => {
                let text = match via {
                    Via::Usb => "unplugged",
                    Via::Network => "no longer reachable over Wi-Fi",
                };
                self.say(Some(udid), "detached", text);
            }
            Happening::NotDue(udid, why) => {
                self.say(Some(udid), "not_due", &format!("nothing to do: {why}"));
            }
            Happening::Ended(udid, result) => {
                let named = Named {
                    udid: udid.as_str(),
                    name: &self.name(udid),
                    prefix: &format!("{} {}", output::stamp(), self.prefix(udid)),
                    selector: Some(&self.selector(udid)),
                    is_brief: true,
                };
                ended(&named, result, self.store, self.style);
                folders::remember_contents(self.store);
                if matches!(result, Ok(Outcome::Done(_))) {
                    self.wake_pusher();
                }
            }
        }
    }

    fn tick(&self) {
        self.wake_pusher();
        if self.overdue.overdue_after.is_none() {
            return;
        }
        for udid in list::current_phones(self.store, self.wanted) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let recently = told.get(&udid).is_some_and(|at| at.elapsed() < TELL_EVERY);
            let last = policy::last_good(self.store, &udid);
            let limit = self.overdue.overdue_after;
            let is_retired = last_good::is_retired(self.store, &udid);
            if recently || is_retired || policy::overdue(SystemTime::now(), last, limit).is_none() {
                continue;
            }
            told.insert(udid.clone(), Instant::now());
            drop(told);
            let watch = self.show.watch(Some(udid.as_str()), None);
            let token = &self.connector.token;
            policy::tell_overdue(self.store, &udid, &self.overdue, token, &watch);
        }
    }
}
