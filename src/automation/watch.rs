//! Backs up phones when they are plugged in and a backup is due, following the daemon's
//! announcements.
//!
//! One thread listens to the daemon. The loop keeps one entry per connected phone and forgets
//! phones that were unplugged. Each backup has a thread of its own, so that the loop can react to
//! other phones meanwhile.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::automation::policy::{Outcome, pause};
use crate::backup::Error;
use crate::base::failure_kind::FailureKind;
use crate::base::udid::Udid;
use crate::device::connector::Connector;
use crate::transport::usbmuxd::Change;
use crate::transport::{Attached, Network, Via};

/// Time that a phone must stay connected before it is considered. A phone that was just plugged in,
/// or has a bad cable, may connect several times.
const SETTLE: Duration = Duration::from_secs(2);
/// Time between two checks if a connected phone is due.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Time between two looks for phones over Wi-Fi. Adverts are heard all the time; a look only finds
/// out whose they are.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(10);
/// Time to wait after a failed backup.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);
/// Maximum number of changes that are queued.
const CHANGES_MAX: usize = 64;

/// An event of a watch that is worth a line of output.
#[derive(Debug)]
pub enum Happening<'a> {
    /// The daemon answers and will announce phones.
    Listening,
    /// The connection to the daemon was lost, with the reason; the watch tries to reconnect.
    Lost(&'a str),
    /// A phone was plugged in, or appeared over Wi-Fi.
    Attached(&'a Udid, Via),
    /// A phone was unplugged, or cannot be reached over Wi-Fi any more.
    Detached(&'a Udid, Via),
    /// A phone is connected but not due, with the reason.
    NotDue(&'a Udid, &'a str),
    /// The backup of a phone ended.
    Ended(&'a Udid, &'a Result<Outcome, Error>),
}

/// The callbacks of a watch. They may be called from several threads.
pub trait Watcher: Sync {
    /// Returns true if this phone is to be backed up.
    fn wants(&self, udid: &Udid) -> bool;
    /// Returns the reason that a phone is not due, by the time and the store; `None` if it is due.
    fn not_due(&self, udid: &Udid) -> Option<String>;
    /// Backs up a phone that is due.
    fn back_up(&self, phone: &Attached) -> Result<Outcome, Error>;
    /// Receives an event of the watch.
    fn hear(&self, happening: Happening<'_>);
    /// Called at the start and about every ten minutes.
    fn tick(&self);
}

enum Message {
    Listening,
    Lost(String),
    Change(Change),
    Ended(Udid, Result<Outcome, Error>),
    Stop,
}

/// Watches until the reach's cancellation token is cancelled.
pub fn watch(connector: &Connector, due_after: Duration, watcher: &dyn Watcher) {
    let (messages, heard) = sync_channel(CHANGES_MAX);
    std::thread::scope(|scope| {
        let changes = messages.clone();
        scope.spawn(move || listen(connector, &changes));
        if connector.daemon.network().is_some() {
            let changes = messages.clone();
            scope.spawn(move || look_around(connector, &changes));
        }
        let start = |phone: Attached| {
            let messages = messages.clone();
            scope.spawn(move || {
                let result = watcher.back_up(&phone);
                // Sending fails only after the loop has ended with everything else.
                drop(messages.send(Message::Ended(phone.udid, result)));
            });
        };
        Loop {
            watcher,
            due_after,
            phones: BTreeMap::new(),
            running: BTreeMap::new(),
            start: &start,
        }
        .run(&heard);
        // Dropping the receiver unblocks any thread that is still sending.
        drop(heard);
    });
}

/// Forwards the daemon's announcements, and reconnects if the daemon goes away.
fn listen(connector: &Connector, messages: &SyncSender<Message>) {
    let mut wait = Duration::from_secs(1);
    let mut told = false;
    loop {
        let why = match connector.daemon.listen() {
            Err(e) => e.to_string(),
            Ok(mut listener) => {
                (wait, told) = (Duration::from_secs(1), false);
                if messages.send(Message::Listening).is_err() {
                    return;
                }
                loop {
                    match listener.next_change() {
                        Ok(change) => {
                            if messages.send(Message::Change(change)).is_err() {
                                return;
                            }
                        }
                        Err(e) => break e.to_string(),
                    }
                }
            }
        };
        if !told && !connector.token.cancelled() {
            told = true;
            if messages.send(Message::Lost(why)).is_err() {
                return;
            }
        }
        if pause(wait, &connector.token).is_err() {
            // Fails only if the loop has already ended.
            drop(messages.send(Message::Stop));
            return;
        }
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

/// Looks for phones over Wi-Fi that no daemon lists there, and reports changes as a daemon does.
fn look_around(connector: &Connector, messages: &SyncSender<Message>) {
    let mut known: BTreeMap<Udid, u64> = BTreeMap::new();
    loop {
        // Without a daemon, nothing is listed.
        let mut listed = connector.daemon.devices().unwrap_or_default();
        listed.retain(|phone| phone.via == Via::Network);
        let there = connector.nearby(&listed).phones;
        let is_there = |id: u64| there.iter().any(|phone| phone.device_id == id);
        let gone = known.values().filter(|id| !is_there(**id)).copied();
        let mut changes: Vec<Change> = gone.map(Change::Detached).collect();
        known.retain(|_, id| is_there(*id));
        for phone in there {
            if known.insert(phone.udid.clone(), phone.device_id).is_none() {
                changes.push(Change::Attached(phone));
            }
        }
        for change in changes {
            if messages.send(Message::Change(change)).is_err() {
                return;
            }
        }
        if pause(LOOK_AROUND_EVERY, &connector.token).is_err() {
            return;
        }
    }
}

struct Loop<'a> {
    watcher: &'a dyn Watcher,
    due_after: Duration,
    /// The connected phones by the daemon's number, each with the time of its next check.
    phones: BTreeMap<u64, (Attached, Instant)>,
    /// The phones being backed up, with the number that each had when its backup began.
    running: BTreeMap<Udid, u64>,
    start: &'a dyn Fn(Attached),
}

impl Loop<'_> {
    fn run(mut self, heard: &Receiver<Message>) {
        let mut tick = Instant::now();
        loop {
            let now = Instant::now();
            if now >= tick {
                self.watcher.tick();
                tick = now + LOOK_EVERY;
            }
            self.look(now);
            let next = self.phones.values().map(|(_, at)| *at).min();
            let next = next.map_or(tick, |next| next.min(tick));
            match heard.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        // The same cancellation ends their waits. Their results are still reported.
        while !self.running.is_empty() {
            match heard.recv() {
                Ok(message @ Message::Ended(..)) => self.take(message),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Listening => self.watcher.hear(Happening::Listening),
            Message::Lost(why) => {
                // The daemon will announce connected phones again, with other numbers.
                self.phones.retain(|_, (phone, _)| Network::knows(phone));
                self.watcher.hear(Happening::Lost(&why));
            }
            Message::Change(Change::Attached(phone)) => {
                if self.watcher.wants(&phone.udid) {
                    // If the daemon announces a phone twice, the later announcement is valid.
                    self.phones.retain(|_, (other, _)| {
                        other.udid != phone.udid || rank(other) != rank(&phone)
                    });
                    if !self.is_there(&phone) {
                        self.watcher
                            .hear(Happening::Attached(&phone.udid, phone.via));
                    }
                    self.phones
                        .insert(phone.device_id, (phone, Instant::now() + SETTLE));
                }
            }
            Message::Change(Change::Detached(id)) => {
                if let Some((phone, _)) = self.phones.remove(&id)
                    && !self.is_there(&phone)
                {
                    self.watcher
                        .hear(Happening::Detached(&phone.udid, phone.via));
                }
            }
            Message::Change(Change::Paired(_)) | Message::Stop => {}
            Message::Ended(udid, result) => {
                let began = self.running.remove(&udid);
                self.watcher.hear(Happening::Ended(&udid, &result));
                let wait = again_after(&result, self.due_after);
                for (id, (_, at)) in self.phones.iter_mut().filter(|(_, (p, _))| p.udid == udid) {
                    // The phone was reconnected meanwhile, so an interrupted backup may continue at
                    // once.
                    let is_new = result.is_err() && began != Some(*id);
                    *at = Instant::now() + if is_new { SETTLE } else { wait };
                }
            }
        }
    }

    /// Returns true if a phone has an entry of the same kind: a daemon and our own look may both
    /// find it over Wi-Fi.
    fn is_there(&self, phone: &Attached) -> bool {
        self.phones
            .values()
            .any(|(other, _)| (&other.udid, other.via) == (&phone.udid, phone.via))
    }

    /// Starts the backups that are due.
    fn look(&mut self, now: Instant) {
        let mut best: BTreeMap<Udid, u8> = BTreeMap::new();
        for (phone, _) in self.phones.values() {
            let best = best.entry(phone.udid.clone()).or_insert(u8::MAX);
            *best = rank(phone).min(*best);
        }
        for (id, (phone, at)) in &mut self.phones {
            if *at > now {
                continue;
            }
            *at = now + LOOK_EVERY;
            if best
                .get(&phone.udid)
                .is_some_and(|best| *best < rank(phone))
            {
                continue;
            }
            if self.running.contains_key(&phone.udid) {
                continue;
            }
            match self.watcher.not_due(&phone.udid) {
                Some(why) => self.watcher.hear(Happening::NotDue(&phone.udid, &why)),
                None => {
                    self.running.insert(phone.udid.clone(), *id);
                    (self.start)(phone.clone());
                }
            }
        }
    }
}

/// Returns the order of preference of the ways to one phone. The cable is faster, and does not end
/// when the phone sleeps; a daemon that lists the phone over Wi-Fi keeps in touch with it.
fn rank(phone: &Attached) -> u8 {
    match phone.via {
        Via::Usb => 0,
        Via::Network if !Network::knows(phone) => 1,
        Via::Network => 2,
    }
}

/// Returns the time until a connected phone is checked again after a backup. A phone that is
/// reconnected is checked again in any case.
fn again_after(result: &Result<Outcome, Error>, due_after: Duration) -> Duration {
    match result {
        Ok(_) => LOOK_EVERY,
        // The passcode was not entered, or Trust not tapped. Asking again too soon would be a
        // nuisance, but the phone must not be given up.
        Err(e) if e.kind() == FailureKind::Locked => due_after.max(AFTER_FAILURE),
        Err(_) => AFTER_FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that a phone whose owner did not enter the passcode is asked again when the next
    /// backup is due, not after the short delay that follows other failures.
    #[test]
    fn passcode_timeout_delays_next_attempt() {
        let day = Duration::from_secs(86_400);
        let passcode = Err(Error::NoPasscode { waited: day });
        assert_eq!(again_after(&passcode, day), day);
        assert_eq!(again_after(&passcode, Duration::ZERO), AFTER_FAILURE);
        let lost = Err(Error::Device(crate::device::Error::Cancelled));
        assert_eq!(again_after(&lost, day), AFTER_FAILURE);
        assert_eq!(
            again_after(&Ok(Outcome::Skipped(String::new())), day),
            LOOK_EVERY
        );
    }
}
