//! Backs phones up when they are plugged in: the daemon's announcements, and who is due.
//!
//! One thread listens; the loop keeps one entry per phone that is there, and nothing of those that
//! went. A backup has a thread of its own, so that the loop hears of other phones meanwhile.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::phone::Reach;
use super::unattended::{Outcome, pause};
use super::{Class, Error};
use crate::transport::usbmuxd::Change;
use crate::transport::{Attached, Via};
use crate::udid::Udid;

/// A phone that is just plugged in, or has a bad cable, comes and goes; it is looked at when it
/// stays for so long.
const SETTLE: Duration = Duration::from_secs(2);
/// How often it is looked whether a phone that stays is due.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// After a backup that broke off.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);
/// Changes that may wait to be heard.
const CHANGES_MAX: usize = 64;

/// Something worth a line.
#[derive(Debug)]
pub enum Happening<'a> {
    /// The daemon answers; phones will be announced.
    Listening,
    /// The daemon is gone; it is asked again.
    Lost(&'a str),
    /// A phone was plugged in.
    Attached(&'a Udid),
    /// A phone was unplugged.
    Detached(&'a Udid),
    /// A phone is there and not due.
    NotDue(&'a Udid, &'a str),
    /// Its backup ended.
    Ended(&'a Udid, &'a Result<Outcome, Error>),
}

/// What a watch does; all of it may be called from several threads.
pub trait Watcher: Sync {
    /// The phone is meant.
    fn wants(&self, udid: &Udid) -> bool;
    /// Why a phone is not due, by the clock and the store.
    fn not_due(&self, udid: &Udid) -> Option<String>;
    /// Backs a phone up.
    fn back_up(&self, phone: &Attached) -> Result<Outcome, Error>;
    /// Something happened.
    fn hear(&self, happening: Happening<'_>);
    /// Called now and then.
    fn tick(&self);
}

enum Message {
    Listening,
    Lost(String),
    Change(Change),
    Ended(Udid, Result<Outcome, Error>),
    Stop,
}

/// Watches until the reach's calm is cancelled.
pub fn watch(reach: &Reach, due_after: Duration, watcher: &dyn Watcher) {
    let (messages, heard) = sync_channel(CHANGES_MAX);
    std::thread::scope(|scope| {
        let changes = messages.clone();
        scope.spawn(move || listen(reach, &changes));
        let start = |phone: Attached| {
            let messages = messages.clone();
            scope.spawn(move || {
                let result = watcher.back_up(&phone);
                // The loop is gone only when everything ends.
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
        // Whoever still sends must not wait for ever.
        drop(heard);
    });
}

/// Passes on what the daemon announces, and comes back when the daemon does.
fn listen(reach: &Reach, messages: &SyncSender<Message>) {
    let mut wait = Duration::from_secs(1);
    let mut told = false;
    loop {
        let why = match reach.daemon.listen() {
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
        if !told && !reach.calm.cancelled() {
            told = true;
            if messages.send(Message::Lost(why)).is_err() {
                return;
            }
        }
        if pause(wait, &reach.calm).is_err() {
            // Nobody listens any more, if this fails.
            drop(messages.send(Message::Stop));
            return;
        }
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

struct Loop<'a> {
    watcher: &'a dyn Watcher,
    due_after: Duration,
    /// Phones that are there, by the daemon's number, and when each is looked at next.
    phones: BTreeMap<u64, (Attached, Instant)>,
    /// Phones that are being backed up, with the number under which that began.
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
        // Their own waits end by the same cancel; what came of them is told.
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
                // Those that are still there are announced anew, with other numbers.
                self.phones.clear();
                self.watcher.hear(Happening::Lost(&why));
            }
            Message::Change(Change::Attached(phone)) => {
                if phone.via == Via::Usb && self.watcher.wants(&phone.udid) {
                    self.watcher.hear(Happening::Attached(&phone.udid));
                    // A daemon that tells of the same phone twice means the later one.
                    self.phones.retain(|_, (other, _)| other.udid != phone.udid);
                    self.phones
                        .insert(phone.device_id, (phone, Instant::now() + SETTLE));
                }
            }
            Message::Change(Change::Detached(id)) => {
                if let Some((phone, _)) = self.phones.remove(&id) {
                    self.watcher.hear(Happening::Detached(&phone.udid));
                }
            }
            Message::Change(Change::Paired(_)) | Message::Stop => {}
            Message::Ended(udid, result) => {
                let began = self.running.remove(&udid);
                self.watcher.hear(Happening::Ended(&udid, &result));
                let wait = again_after(&result, self.due_after);
                let mut phones = self.phones.iter_mut();
                let there = phones.find(|(_, (phone, _))| phone.udid == udid);
                if let Some((id, (_, at))) = there {
                    // Plugged in anew meanwhile: what broke off may go on at once.
                    let is_new = began != Some(*id);
                    *at = Instant::now() + if is_new { SETTLE } else { wait };
                }
            }
        }
    }

    /// Starts what is due.
    fn look(&mut self, now: Instant) {
        for (id, (phone, at)) in &mut self.phones {
            if *at > now {
                continue;
            }
            *at = now + LOOK_EVERY;
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

/// When a phone that stays connected is looked at again. One that is plugged in anew is looked at
/// once more in any case.
fn again_after(result: &Result<Outcome, Error>, due_after: Duration) -> Duration {
    match result {
        Ok(_) => LOOK_EVERY,
        // Somebody was asked and did not answer: not again and again, but not never either.
        Err(e) if e.class() == Class::Locked => due_after.max(AFTER_FAILURE),
        Err(_) => AFTER_FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_whose_owner_does_not_answer_is_not_asked_every_hour() {
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
