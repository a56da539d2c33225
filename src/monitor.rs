//! What a running job tells whoever watches it.

use serde::Serialize;

/// The stretches of a backup, in their order. The phone decides when one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The draft is cloned from the last backup.
    Cloning,
    /// Info.plist is made: applications, icons, settings.
    Describing,
    /// The phone looks for what changed; it may be silent for many minutes.
    Scanning,
    /// Files arrive.
    Receiving,
    /// The phone moves and removes files in the draft.
    Arranging,
    /// The phone reads the manifests again and lists what is there.
    PhoneChecking,
    /// The list of hashes is made.
    Hashing,
    /// Our own check of the draft.
    Checking,
    /// The draft is made durable and takes its place.
    Sealing,
    /// The files of snapshots are looked at, to know what their removal frees.
    Measuring,
    /// Snapshots are removed.
    Removing,
    /// A backup is copied into a store.
    Copying,
    /// Files of a backup are written into a folder.
    Extracting,
    /// The phone reads the lists of a backup that it shall take back, and checks whether it can.
    Preparing,
    /// Files go to the phone.
    Sending,
    /// The phone restarts.
    Restarting,
    /// What a phone received is compared with the backup.
    Comparing,
}

/// What the phone waits for its owner to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// To tap "Trust" (and enter the passcode).
    Trust,
    /// To enter the passcode on the backup's own prompt.
    Passcode,
    /// To unlock the phone, since pairing is refused while it is locked.
    Unlock,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The job knows its phone and what will be sent.
    Plan {
        /// The phone's name, as its owner gave it.
        name: String,
        /// "iPhone 15 Pro".
        model: String,
        /// The iOS version.
        ios: String,
        /// The store's folder.
        store: String,
        /// Everything will be sent (true) or only changes, as far as the host can know.
        full: bool,
        /// Why, in words.
        why: String,
        /// The phone encrypts its backups.
        encrypted: bool,
    },
    /// A stretch begins.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// Something worth a line that is no problem, e.g. how the draft was made.
    Note {
        /// One sentence.
        text: String,
    },
    /// Numbers since the start of the phase.
    Progress {
        /// The phone's own claim, 0-100, when it made one. It may stall, jump and go back.
        percent: Option<f64>,
        /// Bytes of file bodies so far.
        bytes: u64,
        /// Whole files so far.
        files: u64,
        /// How many there are to do, when known.
        files_total: Option<u64>,
    },
    /// The phone waits for its owner.
    Waiting {
        /// For what.
        what: Wait,
        /// How long it will wait, as far as known.
        limit_seconds: u64,
    },
    /// The wait is over.
    WaitOver {
        /// What it was for.
        what: Wait,
    },
    /// Something went wrong that the job survives; it changes the exit code to "done with
    /// problems".
    Problem {
        /// What went wrong.
        text: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Whoever watches a job. Called from several threads.
pub trait Monitor: Send + Sync {
    /// One thing happened. Must return soon: the job waits.
    fn event(&self, event: Event);

    /// Something went wrong that the job survives.
    fn problem(&self, text: String, hint: Option<String>) {
        self.event(Event::Problem { text, hint });
    }

    /// A line of information.
    fn note(&self, text: String) {
        self.event(Event::Note { text });
    }

    /// A stretch begins.
    fn phase(&self, phase: Phase) {
        self.event(Event::Phase { phase });
    }
}

/// Nobody watches.
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _: Event) {}
}
