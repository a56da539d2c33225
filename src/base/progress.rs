//! Progress events that a running job sends to a monitor.

use serde::Serialize;

use super::problem::Problem;

/// The phases of a job, in their order for a backup. The phone decides when a phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The draft is cloned from the last backup.
    Cloning,
    /// Info.plist is made: applications, icons, settings.
    Describing,
    /// The phone searches for changes. It may send nothing for many minutes.
    Scanning,
    /// The phone sends files.
    Receiving,
    /// The phone moves and removes files in the draft.
    Arranging,
    /// The phone reads the manifests again and lists the files.
    PhoneChecking,
    /// The list of hashes is made.
    Hashing,
    /// We check the draft ourselves.
    Checking,
    /// The draft is made durable and put in its place.
    Sealing,
    /// The files of snapshots are examined to find out how much their removal frees.
    Measuring,
    /// Snapshots are removed.
    Removing,
    /// A backup is copied into a store.
    Copying,
    /// Files of a backup are written into a folder.
    Extracting,
    /// The phone reads the lists of a backup that it is about to restore, and checks whether it
    /// can.
    Preparing,
    /// Files are sent to the phone.
    Sending,
    /// The phone restarts.
    Restarting,
    /// The files that a phone received are compared with the backup.
    Comparing,
    /// A backup is sent to a repository.
    Pushing,
    /// A backup is fetched from a repository.
    Pulling,
    /// A repository is checked.
    CheckingRepository,
    /// Data that no snapshot uses is removed from a repository.
    PruningRepository,
}

impl Phase {
    /// Describes the phase for people.
    pub fn words(self) -> &'static str {
        match self {
            Phase::Cloning => "Preparing the draft",
            Phase::Describing => "Reading settings and applications",
            Phase::Scanning => "Phone is looking for changes",
            Phase::Receiving => "Receiving",
            Phase::Arranging => "Phone is arranging the backup",
            Phase::PhoneChecking => "Phone is checking the backup",
            Phase::Hashing => "Making the list of hashes",
            Phase::Checking => "Checking",
            Phase::Sealing => "Writing everything to the disk",
            Phase::Measuring => "Measuring the space to be freed",
            Phase::Removing => "Removing",
            Phase::Copying => "Copying",
            Phase::Extracting => "Extracting",
            Phase::Preparing => "Phone is preparing the restore",
            Phase::Sending => "Sending",
            Phase::Restarting => "Phone is restarting",
            Phase::Comparing => "Comparing the received files",
            Phase::Pushing => "Pushing",
            Phase::Pulling => "Pulling",
            Phase::CheckingRepository => "Checking the repository",
            Phase::PruningRepository => "Removing unused data from the repository",
        }
    }

    /// Returns true if the work of the phase is measured in bytes. `bytes` is the number so far.
    pub fn moves_bytes(self, bytes: u64) -> bool {
        match self {
            Phase::Receiving
            | Phase::Extracting
            | Phase::Sending
            | Phase::Copying
            | Phase::Pushing => true,
            // A quick check reads no bytes.
            Phase::Checking => bytes > 0,
            _ => false,
        }
    }
}

/// An action that the phone expects from its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Tap "Trust" (and enter the passcode).
    Trust,
    /// Enter the passcode when the phone asks for it because of the backup.
    Passcode,
    /// Unlock the phone, since it refuses pairing while it is locked.
    Unlock,
}

impl Wait {
    /// Tells the owner of the phone what to do.
    pub fn words(self) -> &'static str {
        match self {
            Wait::Trust => "Unlock the phone, tap Trust and enter its passcode",
            Wait::Passcode => "Enter the passcode on the phone",
            Wait::Unlock => "Unlock the phone",
        }
    }
}

/// An event of a running job.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The phone is known, and so is what it will send.
    Plan {
        /// The phone's name, as its owner gave it.
        name: String,
        /// The name of the model, such as "iPhone 15 Pro".
        model: String,
        /// The iOS version.
        ios: String,
        /// The root folder of the store.
        store: String,
        /// True if everything will be sent, false if only changes, as far as the host can know.
        full: bool,
        /// The reason for that, in words.
        why: String,
        /// True if the phone encrypts its backups.
        encrypted: bool,
    },
    /// A phase begins.
    Phase {
        /// The phase that begins.
        phase: Phase,
    },
    /// Useful information that is not a problem, e.g. how the draft was made.
    Note {
        /// The text, one sentence.
        text: String,
    },
    /// The last good backup of a phone is too old, or does not exist.
    Overdue {
        /// The phone's name.
        name: String,
        /// The finding, in words.
        text: String,
    },
    /// The progress since the start of the phase.
    Progress {
        /// The progress that the phone reports, 0 to 100, if it reports any. It may stall, jump and
        /// go back.
        percent: Option<f64>,
        /// The bytes of file contents so far.
        bytes: u64,
        /// The number of complete files so far.
        files: u64,
        /// The total number of files, if it is known.
        files_total: Option<u64>,
        /// The number of bytes that is expected in all, if there is a reason to expect one: the
        /// size of the files to write, or of the previous backup.
        bytes_total: Option<u64>,
    },
    /// The phone waits for its owner.
    Waiting {
        /// The action that the phone expects.
        what: Wait,
        /// The time in seconds after which the wait ends, as far as it is known.
        limit_seconds: u64,
    },
    /// The wait is over.
    WaitOver {
        /// The action that the phone expected.
        what: Wait,
    },
    /// A problem that does not stop the job. It changes the exit code to "done with problems".
    Problem {
        /// The problem. It becomes `text` in a serialized event.
        #[serde(rename = "text")]
        problem: Problem,
    },
}

/// A receiver of a job's events. Its methods are called from several threads.
pub trait Monitor: Send + Sync {
    /// Receives an event. Must return soon, since the job waits.
    fn event(&self, event: Event);

    /// Reports a problem that does not stop the job.
    fn problem(&self, problem: Problem) {
        self.event(Event::Problem { problem });
    }

    /// Reports a line of information.
    fn note(&self, text: String) {
        self.event(Event::Note { text });
    }

    /// Reports that a phase begins.
    fn phase(&self, phase: Phase) {
        self.event(Event::Phase { phase });
    }
}

/// A monitor that ignores all events.
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _: Event) {}
}
