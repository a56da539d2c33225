//! Runs one restore: its messages, in order.

use std::collections::BTreeSet;
use std::io;

use plist::Value;
use zeroize::Zeroizing;

use super::checks::Listed;
use super::{APPLICATIONS, RestoreOutcome, Staged};
use crate::base::secret::Secret;
use crate::simulator::backup::{BATCH, HEADROOM, passcode, told_to_fail};
use crate::simulator::dialog::{Stop, fails};
use crate::simulator::faults::Fault;
use crate::simulator::ledger::{Restored, Writer};
use crate::simulator::lock;
use crate::simulator::phone::Phone;
use crate::simulator::unlock::Backup;
use crate::simulator::wire::Wire;

/// State of a restore in progress.
pub(super) struct Run<'a> {
    pub(super) phone: &'a Phone,
    pub(super) wire: &'a mut Wire,
    pub(super) faults: &'a [Fault],
    /// Folder of this phone's own backup on the computer.
    pub(super) target: &'a str,
    pub(super) password: Option<Secret>,
    pub(super) ledger: Option<Writer>,
    pub(super) outcome: RestoreOutcome,
    /// Keys of an encrypted backup, once the password has opened them.
    pub(super) keys: Option<Backup>,
    /// Key of the file list, if the list is encrypted.
    pub(super) list_key: Option<Zeroizing<[u8; 32]>>,
    /// True if the list is Manifest.mbdb, with all files directly in the folder.
    pub(super) old_list: bool,
    /// Files that an interrupted backup had not yet moved into place.
    pub(super) unmoved: BTreeSet<[u8; 20]>,
    /// Rows not yet written to the ledger.
    pub(super) rows: Vec<Restored>,
    /// Number of files whose digest in the list is the SHA-1 of their contents, and number of
    /// encrypted files for which it is not.
    pub(super) digests_right: u64,
    pub(super) digests_wrong: u64,
    /// Total size of the files in the list in bytes; `done` counts those received.
    pub(super) total: u64,
    pub(super) done: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        phone: &'a Phone,
        wire: &'a mut Wire,
        faults: &'a [Fault],
        target: &'a str,
        password: Option<Secret>,
        ledger: Writer,
        outcome: RestoreOutcome,
    ) -> Run<'a> {
        Run {
            phone,
            wire,
            faults,
            target,
            password,
            ledger: Some(ledger),
            outcome,
            keys: None,
            list_key: None,
            old_list: false,
            unmoved: BTreeSet::new(),
            rows: Vec::new(),
            digests_right: 0,
            digests_wrong: 0,
            total: 0,
            done: 0,
        }
    }

    /// Runs everything up to the final result.
    pub(super) fn all(&mut self) -> Result<Staged, Stop> {
        self.wire.misbehave(self.faults)?;
        passcode(self.phone, self.wire)?;
        self.preconditions()?;
        told_to_fail(self.faults)?;
        let listed = self.resume()?;
        self.prepare(&listed)?;
        self.copy_backup()?;
        self.wander()?;
        self.take_all(&listed)?;
        // Real phones send this empty request; some computers had no answer to it.
        self.wire.fetch(&[], 97.010_055, &mut |_, _| Ok(()))?;
        if self.outcome.options.remove_items {
            self.outcome.removed = self.not_in_the_backup()?;
        }
        if lock(&self.phone.memory).staged.is_some() {
            let text = "Failed to move the incomplete restore directory into place at path \"/var/.backup.i\"";
            return fails(102, text);
        }
        let generation = self.own_generation(&listed);
        Ok(Staged { generation })
    }

    /// Completes the ledger, and records the outcome.
    pub(super) fn close(&mut self, ended: &Result<Staged, Stop>) -> io::Result<()> {
        let outcome = &mut self.outcome;
        match ended {
            Ok(_) => outcome.code = Some(0),
            Err(Stop::Fails(code, text)) => {
                outcome.code = Some(*code);
                outcome.text.clone_from(text);
            }
            Err(Stop::Lost(e)) => outcome.text = e.to_string(),
        }
        outcome.longest_frame = self.wire.longest_frame;
        outcome.taken = self.wire.taken;
        let applications = self.phone.media.read(APPLICATIONS);
        outcome.applications = applications.as_ref().map(|bytes| bytes.len() as u64);
        let Some(ledger) = self.ledger.take() else {
            return Ok(());
        };
        ledger.add(&self.rows)?;
        let number = |n: u64| n.cast_signed();
        let options = outcome.options;
        ledger.note("code", outcome.code.map(number))?;
        ledger.note("text", outcome.text.clone())?;
        ledger.note("source", outcome.source.clone())?;
        ledger.note("target", self.target.to_owned())?;
        ledger.note("copied_to", outcome.copied_to.clone())?;
        ledger.note("RestoreSystemFiles", options.system_files)?;
        ledger.note("RestoreShouldReboot", options.reboot)?;
        ledger.note("RestoreDontCopyBackup", !options.copy)?;
        ledger.note("RestorePreserveSettings", options.preserve_settings)?;
        ledger.note("RemoveItemsNotRestored", options.remove_items)?;
        ledger.note("with_password", options.password)?;
        ledger.note("system_files", outcome.system_files)?;
        ledger.note("passed_over", number(outcome.passed_over))?;
        ledger.note("removed", number(outcome.removed))?;
        ledger.note("longest_frame", i64::from(outcome.longest_frame))?;
        ledger.note("applications", applications)?;
        let ledger = ledger.finish()?;
        let mut state = lock(&self.phone.state);
        state.ledger = Some(ledger);
        state.restores.push(std::mem::take(outcome));
        Ok(())
    }

    /// Returns a path inside the folder that is being restored.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.outcome.source)
    }

    /// Asks the computer to copy its folder of this phone under a new name, if the folder exists
    /// and there is space for the copy.
    fn copy_backup(&mut self) -> Result<(), Stop> {
        if !self.outcome.options.copy {
            return Ok(());
        }
        let info = format!("{}/Info.plist", self.target);
        let sent = self.wire.download(&[info], 5.0)?;
        let Some(info) = sent.into_iter().next().filter(|sent| !sent.absent) else {
            return Ok(());
        };
        let mut size = 0;
        let target = self.target;
        let top = self.wire.list_sizes(target)?;
        for (name, folder, bytes) in top {
            if folder {
                let inner = self.wire.list_sizes(&format!("{target}/{name}"))?;
                size += inner.iter().map(|(_, _, bytes)| bytes).sum::<u64>();
            } else {
                size += bytes
            }
        }
        if self.wire.free_space()? < size + HEADROOM {
            return Ok(());
        }
        let now = jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default();
        let now = now.to_zoned(jiff::tz::TimeZone::system());
        let now = now.strftime("%Y%m%d-%H%M%S");
        let copy = format!("{target}-{now}");
        self.wire.copy_item(target, &copy)?;
        self.outcome.copied_to = Some(copy.clone());
        let Ok(Value::Dictionary(mut info)) = crate::base::bounded_plist::parse(&info.bytes) else {
            return Ok(());
        };
        let name = info.get("Display Name").and_then(Value::as_string);
        let name = format!("{} - {now}", name.unwrap_or_default());
        info.insert("Display Name".into(), name.into());
        info.insert("Target Identifier".into(), copy.as_str().into());
        let mut bytes = Vec::new();
        Value::Dictionary(info)
            .to_writer_xml(&mut bytes)
            .map_err(io::Error::other)?;
        self.put_file(&format!("{copy}/Info.plist"), &bytes)
    }

    pub(super) fn put_file(&mut self, path: &str, bytes: &[u8]) -> Result<(), Stop> {
        self.wire.begin_upload(bytes.len() as u64, 5.0)?;
        self.wire.name_file("/var/tmp/file", path)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            self.wire.frame(
                rest.len().min(crate::simulator::wire::FRAME_BYTES),
                |room| {
                    room.copy_from_slice(&rest[..room.len()]);
                    rest = &rest[room.len()..];
                    Ok(room.len())
                },
            )?;
        }
        self.wire.end_of_file(crate::simulator::wire::CODE_OK, "")?;
        self.wire.end_upload()
    }

    /// Injects faults between the checks and the files. No real phone is known to do either.
    fn wander(&mut self) -> Result<(), Stop> {
        for fault in self.faults {
            match fault {
                Fault::AsksFor(path) => {
                    self.wire
                        .fetch(std::slice::from_ref(path), 5.0, &mut |_, _| Ok(()))?;
                }
                Fault::Meddles => self.meddle()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Renames, removes and writes files in the backup's folder. Everything that the restore still
    /// needs is in place afterwards.
    fn meddle(&mut self) -> Result<(), Stop> {
        let [info, moved] = ["Info.plist", "Snapshot/Info.plist"].map(|n| self.path(n));
        let snapshot = self.path("Snapshot");
        self.wire.make_folder(&snapshot, 5.0)?;
        self.wire
            .move_items(vec![(info.clone(), moved.clone())], 5.0)?;
        self.wire.move_items(vec![(moved, info.clone())], 5.0)?;
        let lists = ["Manifest.plist", "Manifest.db"].map(|n| self.path(n));
        self.put_file(&self.path("Status.plist"), b"another status")?;
        let mut gone = vec![snapshot, info];
        gone.extend(lists);
        self.wire.remove_items(gone, 5.0)
    }

    /// Returns the number of the phone's own files that the backup lacks.
    fn not_in_the_backup(&self) -> Result<u64, Stop> {
        let Some(ledger) = &self.ledger else {
            return Ok(0);
        };
        let generation = lock(&self.phone.memory).generation;
        let files = self.phone.scan(generation).files;
        Ok(ledger.lacks(files.iter().map(|item| item.id))?)
    }

    /// Returns the generation of this backup, if it is one of the phone's own.
    fn own_generation(&self, listed: &Listed) -> Option<u32> {
        let memory = lock(&self.phone.memory);
        let known = memory.sent.iter().find(|k| k.database == listed.hash);
        known.map(|kept| kept.generation)
    }

    /// Returns the progress in percent, as the phone reports it.
    pub(super) fn progress(&self) -> f64 {
        match self.total {
            0 => 96.0,
            total => 5.0 + (self.done as f64 / total as f64 * 91.0).min(91.0),
        }
    }

    /// Number of files that one message requests.
    pub(super) const BATCH: usize = BATCH;
}
