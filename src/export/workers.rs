//! Writes files of a backup into a folder, on one thread per core, up to eight. `extract` and
//! `export` share this module.

use std::fs::{self, File, FileTimes};
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::backup_format::keybag::Ending;
use crate::backup_format::record::FileRecord;
use crate::export::destination::{NoPlace, no_place, partial_name};
use crate::export::existing::judged;
use crate::export::file_names::numbered;
use crate::export::outcome::{Tally, Wrong};
use crate::reader;
use crate::reader::backup::{Bytes, Item, Reader};
use crate::store::disk;

/// Number of files that wait for a thread.
const WAITING: usize = 64;
/// Number of files that a thread takes at a time. A small file is written faster than a lock
/// changes hands, and a large one shall not keep many others waiting.
const BATCH: usize = 8;
/// Size of the buffer for a file that is not in the backup's folder.
const STREAM_BYTES: usize = 64 << 10;
/// Number of bytes to copy between two checks for cancellation.
const CHUNK: u64 = 8 << 20;

/// A file to be written.
pub(crate) struct Task {
    /// The file in the backup.
    pub item: Item,
    /// Path to write to; its folder exists.
    pub to: PathBuf,
    /// Time of the last change, in seconds since 1970. If absent, the time that the phone noted is
    /// used.
    pub modified: Option<f64>,
}

/// Options for writing files.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Replace existing files.
    pub overwrite: bool,
    /// Give group and others the rights that they had on the phone, too.
    pub all_modes: bool,
    /// The folder held files before, which may be the right ones.
    pub holds_files: bool,
    /// Write nothing, only find out what would be written.
    pub dry_run: bool,
}

/// Writes the files that `plan` hands over into the folder `root`, until `plan` returns or the run
/// is over.
pub(crate) fn fill<R>(
    reader: Reader<'_>,
    root: &Path,
    manner: Manner,
    tally: &Tally<'_>,
    plan: impl FnOnce(&dyn Fn(Task) -> bool) -> R,
) -> R {
    let threads = if reader.is_elsewhere() {
        // Its files come as one stream, in the order in which they are handed over.
        1
    } else {
        std::thread::available_parallelism().map_or(1, |n| n.get().min(8))
    };
    let (tasks, waiting) = sync_channel::<Task>(WAITING);
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        for number in 0..threads {
            let waiting = &waiting;
            let mut writer = Writer {
                reader,
                root,
                manner,
                tally,
                partial: partial_name(number),
                clones: !cfg!(target_os = "linux"),
            };
            scope.spawn(move || {
                loop {
                    let batch = next(waiting);
                    if batch.is_empty() {
                        return;
                    }
                    for task in batch {
                        if !tally.is_over() {
                            writer.handle(&task);
                        }
                    }
                }
            });
        }
        let planned = plan(&|task| give(&tasks, tally, task));
        drop(tasks);
        planned
    })
}

/// Waits for a file, and takes up to [`BATCH`] of those that wait; none if no more come.
fn next(waiting: &Mutex<Receiver<Task>>) -> Vec<Task> {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let first = waiting.recv().ok();
    let more = first.is_some().then(|| waiting.try_iter().take(BATCH - 1));
    first
        .into_iter()
        .chain(more.into_iter().flatten())
        .collect()
}

fn give(tasks: &SyncSender<Task>, tally: &Tally<'_>, task: Task) -> bool {
    !tally.is_over() && tasks.send(task).is_ok()
}

/// State of one writer thread.
struct Writer<'a> {
    reader: Reader<'a>,
    /// The folder that is filled.
    root: &'a Path,
    manner: Manner,
    tally: &'a Tally<'a>,
    /// Name of a file while it is written.
    partial: String,
    /// The disk is believed to clone files. Always false on Linux, where the copy call itself
    /// clones.
    clones: bool,
}

/// State of the place where a file goes.
enum Present {
    Nothing,
    /// A file with the right contents, with its problem, if any.
    Same(Option<(Wrong, String)>),
    Other,
}

/// Reason that a file was not written.
enum NotWritten {
    Read(String),
    Write(NoPlace),
    /// No other file of the backup can be read either.
    Broken(reader::Error),
    Over,
}

impl NotWritten {
    /// Returns the reason for an error of reading a file.
    fn read(error: reader::Error) -> NotWritten {
        match error {
            reader::Error::Source(_) => NotWritten::Broken(error),
            e => NotWritten::Read(unreadable(e)),
        }
    }

    fn read_io(error: io::Error) -> NotWritten {
        NotWritten::read(reader::Error::of_read(String::new(), error))
    }
}

impl Writer<'_> {
    /// Writes a file, unless the right one is there already.
    fn handle(&mut self, task: &Task) {
        let present = if self.manner.holds_files {
            self.present(task)
        } else {
            Ok(Present::Nothing)
        };
        match present {
            Err(why) => self.not_written(task, why),
            Ok(Present::Same(wrong)) => {
                self.tally.found();
                if self.manner.overwrite
                    && !self.manner.dry_run
                    && let Err(e) = self.describe_again(task)
                {
                    let why = no_place(&task.to, "set the mode and time of", e);
                    self.tally.no_place(&task.item, why);
                }
                if let Some((wrong, detail)) = wrong {
                    self.tally.problem(&task.item, wrong, detail);
                }
            }
            Ok(Present::Other) if !self.manner.overwrite => {
                let detail = "another file is in its place, and was not replaced";
                self.tally
                    .problem(&task.item, Wrong::Different, detail.to_owned());
            }
            Ok(Present::Other | Present::Nothing) if self.manner.dry_run => self.look(task),
            Ok(Present::Other | Present::Nothing) => self.write(task),
        }
    }

    /// Checks that the file of a task exists in the backup, and counts it as written if so.
    fn look(&self, task: &Task) {
        match self.reader.look(&task.item) {
            Ok(length) => self.tally.wrote(task.item.size().unwrap_or(length)),
            Err(e) => (self.tally).problem(&task.item, Wrong::Unreadable, unreadable(e)),
        }
    }

    /// Compares the file that is in a task's place, if any, with the one in the backup.
    fn present(&self, task: &Task) -> Result<Present, NotWritten> {
        let there = match fs::symlink_metadata(&task.to) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Present::Nothing),
            Err(e) => return Err(NotWritten::Write(no_place(&task.to, "look at", e))),
            Ok(there) if !there.is_file() => return Ok(Present::Other),
            Ok(there) => there.len(),
        };
        let unreadable_there = |e| NotWritten::Write(no_place(&task.to, "read", e));
        let mut file = io::BufReader::new(File::open(&task.to).map_err(unreadable_there)?);
        let mut record = task.item.record();
        let from = match &record {
            Ok(record) => self.reader.bytes_of(&task.item, record),
            Err(_) => self.reader.bytes(&task.item),
        };
        let (is_same, ending) = match from.map_err(NotWritten::read)? {
            Bytes::AsItIs(source) => {
                let length = source.metadata().map(|meta| meta.len());
                let may_be_same = length.is_ok_and(|length| length == there);
                let is_same = may_be_same
                    && self.is_same(task, &mut io::BufReader::new(source), &mut file)?;
                (is_same, None)
            }
            Bytes::Elsewhere(stream) => {
                let mut stream = io::BufReader::with_capacity(STREAM_BYTES, stream);
                (self.is_same(task, &mut stream, &mut file)?, None)
            }
            Bytes::Decrypted(mut plain) => {
                let is_same = self.is_same(task, &mut plain, &mut file)?;
                (is_same, plain.ending())
            }
        };
        if !is_same {
            return Ok(Present::Other);
        }
        let judged = record.as_mut().map(|record| {
            if record.lacks_size {
                record.size = there;
            }
            judged(record, &task.to, there, ending)
        });
        Ok(Present::Same(judged.ok().flatten()))
    }

    /// Sets the mode and the time of a file that was there already.
    fn describe_again(&self, task: &Task) -> io::Result<()> {
        // Windows sets times only of files that are open for writing.
        let file = File::options()
            .read(true)
            .write(cfg!(windows))
            .open(&task.to)?;
        let record = task.item.record().ok();
        self.describe(task, &file, true, record.as_ref())
    }

    /// Returns true if a file in the target has the same bytes as one in the backup.
    fn is_same(
        &self,
        task: &Task,
        source: &mut impl BufRead,
        there: &mut impl BufRead,
    ) -> Result<bool, NotWritten> {
        let mut counted = 0;
        loop {
            let wanted = source.fill_buf();
            let wanted = wanted.map_err(NotWritten::read_io)?;
            let found = there.fill_buf();
            let found = found.map_err(|e| NotWritten::Write(no_place(&task.to, "read", e)))?;
            let length = wanted.len().min(found.len());
            if wanted[..length] != found[..length] {
                return Ok(false);
            }
            if length == 0 {
                self.tally.moved(counted);
                return Ok(wanted.is_empty() && found.is_empty());
            }
            source.consume(length);
            there.consume(length);
            counted += length as u64;
            if counted >= CHUNK {
                self.went_on(counted)?;
                counted = 0;
            }
        }
    }

    fn write(&mut self, task: &Task) {
        let tally = self.tally;
        let partial = task.to.with_file_name(&self.partial);
        match self.try_write(task, &partial) {
            Ok(bytes) => {
                tally.wrote(bytes);
                // The whole chunks of a large file were counted while it was copied.
                tally.moved(bytes % CHUNK);
            }
            Err(why) => self.not_written(task, why),
        }
    }

    fn not_written(&self, task: &Task, why: NotWritten) {
        match why {
            NotWritten::Read(detail) => {
                self.tally.problem(&task.item, Wrong::Unreadable, detail);
            }
            NotWritten::Write(why) => self.tally.no_place(&task.item, why),
            NotWritten::Broken(e) => self.tally.stop(e.into()),
            NotWritten::Over => {}
        }
    }

    fn try_write(&mut self, task: &Task, partial: &Path) -> Result<u64, NotWritten> {
        let mut record = task.item.record();
        let from = match &record {
            Ok(record) => self.reader.bytes_of(&task.item, record),
            Err(_) => self.reader.bytes(&task.item),
        };
        let from = from.map_err(NotWritten::read)?;
        let written = self
            .copy(task, from, partial, record.as_ref().ok())
            .and_then(|(bytes, ending)| {
                // Without a size in the record, only the end of an encrypted file can be checked.
                let judged = record.as_mut().map(|record| {
                    if record.lacks_size {
                        record.size = bytes;
                    }
                    judged(record, partial, bytes, ending)
                });
                self.put_in_place(task, partial)?;
                Ok((bytes, judged.ok().flatten()))
            });
        let (bytes, wrong) = written.inspect_err(|_| {
            // If it cannot be removed, the error that is returned here already says what is wrong.
            drop(disk::remove_if_there(partial));
        })?;
        match record {
            Err(why) => {
                let detail = format!(
                    "it was written without its time and mode, because its record cannot be read: \
                     {why}"
                );
                self.tally.problem(&task.item, Wrong::Unreadable, detail);
            }
            Ok(_) => {
                if let Some((wrong, detail)) = wrong {
                    self.tally.problem(&task.item, wrong, detail);
                }
            }
        }
        Ok(bytes)
    }

    fn copy(
        &mut self,
        task: &Task,
        from: Bytes,
        partial: &Path,
        record: Option<&FileRecord>,
    ) -> Result<(u64, Option<Ending>), NotWritten> {
        let failed = |e| NotWritten::Write(no_place(&task.to, "write", e));
        let (bytes, ending, file) = match from {
            Bytes::AsItIs(source) => {
                let cloned = self.clone_of(task, partial);
                let (file, bytes) = match cloned {
                    Some(file) => {
                        let bytes = file.metadata().map_err(failed)?.len();
                        self.tally.moved(bytes / CHUNK * CHUNK);
                        (file, bytes)
                    }
                    None => {
                        let mut file = disk::create_private(partial).map_err(failed)?;
                        let bytes = self.copy_plain(task, &source, &mut file)?;
                        (file, bytes)
                    }
                };
                (bytes, None, file)
            }
            Bytes::Elsewhere(stream) => {
                let mut file = disk::create_private(partial).map_err(failed)?;
                let mut stream = io::BufReader::with_capacity(STREAM_BYTES, stream);
                (
                    self.copy_buffered(task, &mut stream, &mut file)?,
                    None,
                    file,
                )
            }
            Bytes::Decrypted(mut plain) => {
                let mut file = disk::create_private(partial).map_err(failed)?;
                let bytes = self.copy_buffered(task, &mut plain, &mut file)?;
                (bytes, plain.ending(), file)
            }
        };
        self.describe(task, &file, self.clones, record)
            .map_err(failed)?;
        Ok((bytes, ending))
    }

    /// Makes a file that shares the blocks of the original, if the system and the disk can.
    fn clone_of(&mut self, task: &Task, partial: &Path) -> Option<File> {
        if !self.clones {
            return None;
        }
        let path = self.reader.path_of(&task.item).ok()?;
        let cloned = reflink_copy::reflink(path, partial)
            .and_then(|()| fs::OpenOptions::new().write(true).open(partial));
        if cloned.is_err() {
            // The disk cannot clone: copy this file and all later ones.
            self.clones = false;
            drop(disk::remove_if_there(partial));
        }
        cloned.ok()
    }

    fn copy_plain(&self, task: &Task, mut from: &File, to: &mut File) -> Result<u64, NotWritten> {
        let mut bytes = 0;
        loop {
            // The kernel does the copying if it can. Its error then may be for either file.
            let copied = io::copy(&mut (&mut from).take(CHUNK), to)
                .map_err(|e| NotWritten::Write(no_place(&task.to, "write", e)))?;
            bytes += copied;
            if copied < CHUNK {
                return Ok(bytes);
            }
            self.went_on(CHUNK)?;
        }
    }

    fn copy_buffered(
        &self,
        task: &Task,
        from: &mut impl BufRead,
        to: &mut File,
    ) -> Result<u64, NotWritten> {
        let (mut bytes, mut counted) = (0, 0);
        loop {
            let ready = match from.fill_buf() {
                Ok(ready) => ready,
                Err(e) => return Err(NotWritten::read_io(e)),
            };
            if ready.is_empty() {
                return Ok(bytes);
            }
            to.write_all(ready)
                .map_err(|e| NotWritten::Write(no_place(&task.to, "write", e)))?;
            let length = ready.len();
            from.consume(length);
            bytes += length as u64;
            if bytes - counted >= CHUNK {
                counted += CHUNK;
                self.went_on(CHUNK)?;
            }
        }
    }

    fn went_on(&self, bytes: u64) -> Result<(), NotWritten> {
        self.tally.moved(bytes);
        if self.tally.is_over() {
            Err(NotWritten::Over)
        } else {
            Ok(())
        }
    }

    /// Sets the time and the mode of a file, as the phone noted them.
    /// `has_other` says that the file was not created with 0600.
    fn describe(
        &self,
        task: &Task,
        file: &File,
        has_other: bool,
        record: Option<&FileRecord>,
    ) -> io::Result<()> {
        if let Some(record) = record {
            let mode = mode(record.mode, 0o400, 0o600, self.manner.all_modes);
            if !set_mode(file, mode, has_other)? {
                self.tally.with(|lists| lists.lost_modes = true);
            }
        }
        let noted = record.map(|record| record.last_modified as f64);
        match task.modified.or(noted).and_then(time) {
            Some(time) => file.set_times(FileTimes::new().set_modified(time)),
            None => Ok(()),
        }
    }

    fn put_in_place(&self, task: &Task, partial: &Path) -> Result<(), NotWritten> {
        let failed = |e| NotWritten::Write(no_place(&task.to, "write", e));
        let is_taken = |e: &io::Error| e.kind() == io::ErrorKind::AlreadyExists;
        match rename(partial, &task.to, self.manner.overwrite) {
            Err(e) if is_taken(&e) && !self.manner.overwrite => {}
            renamed => return renamed.map_err(failed),
        }
        // This disk treats the name as that of another file, by rules of its own.
        let name = task.to.file_name().unwrap_or_default().to_string_lossy();
        for number in 2..1000 {
            let to = task.to.with_file_name(numbered(&name, number));
            match rename(partial, &to, false) {
                Err(e) if is_taken(&e) => {}
                Err(e) => return Err(failed(e)),
                Ok(()) => {
                    let inside = to.strip_prefix(self.root).unwrap_or(&to);
                    let names: Vec<_> = inside.iter().map(|n| n.to_string_lossy()).collect();
                    self.tally.renamed(&task.item, names.join("/"));
                    return Ok(());
                }
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }
}

/// Returns the mode for a file or folder: the owner's part, or with `all` all permission bits. The
/// bits of `least` are always added, and `unknown` is returned if the phone noted no permissions.
/// The set-user-id and set-group-id bits are never included.
pub(crate) fn mode(noted: u32, least: u32, unknown: u32, all: bool) -> u32 {
    match noted & 0o777 {
        0 => unknown,
        noted if all => noted | least,
        noted => (noted & 0o700) | least,
    }
}

/// Sets a mode. Returns false if the disk stores no modes. `has_other` says that the file was not
/// created with 0600.
fn set_mode(file: &File, mode: u32, has_other: bool) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if mode == 0o600 && !has_other {
            return Ok(true);
        }
        match file.set_permissions(fs::Permissions::from_mode(mode)) {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(false)
            }
            set => set.map(|()| true),
        }
    }
    #[cfg(not(unix))]
    {
        let _unused = (file, mode, has_other);
        Ok(true)
    }
}

/// Sets the mode and the time of a folder.
pub(crate) fn describe_folder(path: &Path, mode: u32, modified: i64) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    #[cfg(not(windows))]
    options.read(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        // These are FILE_WRITE_ATTRIBUTES and FILE_FLAG_BACKUP_SEMANTICS; without the latter,
        // Windows does not open a folder.
        options.access_mode(0x100).custom_flags(0x0200_0000);
    }
    let folder = options.open(path)?;
    set_mode(&folder, mode, true)?;
    match time(modified as f64) {
        Some(time) => folder.set_times(FileTimes::new().set_modified(time)),
        None => Ok(()),
    }
}

/// Converts seconds since 1970 to a time; `None` if they are out of range or zero.
fn time(seconds: f64) -> Option<SystemTime> {
    // An untrusted list can hold any number; disks can store times within a few hundred years.
    const FAR: f64 = 100_000_000_000.0;
    if !(-FAR..FAR).contains(&seconds) || seconds == 0.0 {
        return None;
    }
    let span = Duration::try_from_secs_f64(seconds.abs()).ok()?;
    if seconds < 0.0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    }
}

fn rename(from: &Path, to: &Path, overwrite: bool) -> io::Result<()> {
    if overwrite {
        return fs::rename(from, to);
    }
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The disk does not support this call: check and rename in two steps.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return renamed.map_err(Into::into),
        }
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Returns the reason that a file is unreadable, without its name: the report gives the name
/// separately.
fn unreadable(error: reader::Error) -> String {
    match error {
        reader::Error::File { why, .. } => why,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that only the owner gets rights to an extracted file, unless the rights of group and
    /// others are requested too.
    #[test]
    fn others_get_rights_only_on_request() {
        for (noted, all, wanted) in [
            (0o100_644, false, 0o600),
            (0o100_644, true, 0o644),
            (0o106_755, true, 0o755),
            (0o107_777, false, 0o700),
            (0o100_000, true, 0o600),
            (0o100_044, false, 0o400),
        ] {
            assert_eq!(mode(noted, 0o400, 0o600, all), wanted, "{noted:o}");
        }
    }

    #[test]
    fn out_of_range_times_are_ignored() {
        for absurd in [f64::NAN, f64::INFINITY, 1e18, -1e18, i64::MIN as f64] {
            assert_eq!(time(absurd), None, "{absurd}");
        }
        let first = SystemTime::UNIX_EPOCH;
        assert_eq!(time(1.5), Some(first + Duration::from_millis(1500)));
        assert_eq!(time(-1.0), first.checked_sub(Duration::from_secs(1)));
    }

    #[test]
    fn rename_overwrites_only_when_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        let refused = rename(&a, &b, false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&b).unwrap(), b"b");
        rename(&a, &b, true).unwrap();
        assert_eq!(fs::read(&b).unwrap(), b"a");
        rename(&b, &a, false).unwrap();
        assert!(a.exists() && !b.exists());
    }
}
