//! restic as the engine: <https://restic.net>, whose commands and JSON are described in its manual
//! under "Scripting".

mod answers;
mod environment;
mod failure;
mod process;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use self::answers::{Lines, Pushing, Spoken, garbage, incomplete, parsed};
use self::failure::{failed, shortened};
use self::process::{Call, Ended, Output, Sign, run, run_alone};
use super::engine::{Checked, Data, Engine, Key, Node, Pushed, Share, Stored};
use super::{Access, Error};
use crate::base::private_dir::PrivateDir;
use crate::base::progress::{Monitor, Silent};
use crate::base::secret::Secret;
use crate::store::disk;

/// A version of restic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

/// The oldest version that works: that of Debian 12.
pub const OLDEST: Version = Version(0, 14, 0);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A repository behind restic.
pub struct Restic {
    access: Access,
    version: Version,
}

impl Restic {
    /// Asks restic for its version. Does not look at the repository yet.
    pub fn new(access: Access) -> Result<Restic, Error> {
        let version = version(&access)?;
        if version < OLDEST {
            return Err(Error::TooOld {
                program: access.program,
                found: version.to_string(),
                wanted: OLDEST.to_string(),
            });
        }
        Ok(Restic { access, version })
    }

    /// Returns the version of restic.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the means to reach the repository.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Runs a call, and repeats it while the repository is locked and after a lost connection.
    fn run<T>(
        &self,
        monitor: &dyn Monitor,
        mut attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let waits = &self.access.waits;
        let began = Instant::now();
        let (mut lost, mut locked) = (0, 0);
        loop {
            let error = match attempt() {
                Err(e) => e,
                done => return done,
            };
            let wait = match &error {
                Error::Lost { .. } if lost < waits.retries => {
                    lost += 1;
                    waits.retry_wait * 2_u32.saturating_pow(lost - 1)
                }
                Error::Locked { .. } if began.elapsed() < waits.lock_max => {
                    const LOCK_WAIT: Duration = Duration::from_secs(1);
                    const LOCK_WAIT_MAX: u32 = 15;
                    locked += 1;
                    let left = waits.lock_max.saturating_sub(began.elapsed());
                    (LOCK_WAIT * u32::min(locked, LOCK_WAIT_MAX)).min(left)
                }
                _ => return Err(error),
            };
            if lost + locked == 1 || matches!(error, Error::Lost { .. }) {
                monitor.note(format!(
                    "Trying again in {}: {error}",
                    crate::base::units::duration(wait)
                ));
            }
            self.pause(wait)?;
        }
    }

    fn pause(&self, wait: Duration) -> Result<(), Error> {
        const TICK: Duration = Duration::from_millis(100);
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if self.access.cancel.cancelled() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Runs a call, and passes on the lines that it prints.
    fn lines(
        &self,
        call: &Call<'_>,
        monitor: &dyn Monitor,
        each: impl FnMut(&str) -> Result<Sign, Error>,
    ) -> Result<Ended, Error> {
        let mut lines = Lines::new(call.doing, monitor, each);
        let ended = run(&self.access, call, &mut lines)?;
        if !ended.status.success() {
            return Err(failed(&self.access, call, &ended));
        }
        lines.finish()?;
        Ok(ended)
    }

    /// Runs a call whose output does not matter.
    fn quietly(&self, call: &Call<'_>) -> Result<(), Error> {
        let ignore = |_: &str| Ok(Sign::Life);
        self.run(&Silent, || self.lines(call, &Silent, ignore))
            .map(drop)
    }

    /// Runs a call that reports its progress to people.
    fn spoken(&self, call: &Call<'_>, monitor: &dyn Monitor) -> Result<Vec<String>, Error> {
        self.run(monitor, || {
            let mut spoken = Spoken::new(monitor);
            self.lines(call, monitor, |line| spoken.line(line))?;
            Ok(spoken.remarks)
        })
    }

    /// Runs a call that restores a snapshot, or some paths of it, into a folder.
    fn restored(
        &self,
        mut call: Call<'_>,
        snapshot: &str,
        only: &[String],
        to: &Path,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        // Versions before 0.17 show no progress.
        call.is_watched = false;
        if self.version >= Version(0, 17, 0) {
            // Files that an interrupted run has written are compared and not fetched again.
            call.args
                .extend(["--overwrite", "if-changed"].map(OsString::from));
        }
        for path in only {
            call.args.push("--include".into());
            call.args.push(pattern(path).into());
        }
        call.args.push("--target".into());
        call.args.push(to.into());
        call.args.extend(["--", snapshot].map(OsString::from));
        let restored = self.spoken(&call, monitor).map(drop);
        // What is full is the disk of this computer.
        restored.map_err(|e| match e {
            Error::Full { said, .. } => Error::Io {
                doing: call.doing,
                cause: io::Error::new(io::ErrorKind::StorageFull, said),
            },
            e => e,
        })
    }

    /// Runs a call that answers with one piece of JSON.
    fn answer<T: serde::de::DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        self.run(&Silent, || {
            let mut text = String::new();
            self.lines(call, &Silent, |line| {
                text.push_str(line);
                text.push('\n');
                Ok(Sign::Progress)
            })?;
            parsed(call.doing, &text)
        })
    }
}

/// Asks restic for its version.
fn version(access: &Access) -> Result<Version, Error> {
    /// Answer of restic to this question, in bytes; a program that prints more is another one.
    const ANSWER_MAX: usize = 4 << 10;
    /// Longest time for that answer.
    const ANSWER_WAIT: Duration = Duration::from_secs(30);
    struct Answer(Vec<u8>);
    impl Output for Answer {
        fn out(&mut self, bytes: &[u8]) -> Result<Sign, Error> {
            let left = ANSWER_MAX.saturating_sub(self.0.len());
            self.0.extend_from_slice(&bytes[..bytes.len().min(left)]);
            Ok(Sign::Life)
        }
    }
    let mut access = access.clone();
    access.waits.silence_max = access.waits.silence_max.min(ANSWER_WAIT);
    let call = Call::new("ask for the version of restic", ["version"]);
    let mut answer = Answer(Vec::new());
    let ended = run_alone(&access, &call, &mut answer)?;
    let said = String::from_utf8_lossy(&answer.0).into_owned();
    let version = ended
        .status
        .success()
        .then(|| parse_version(&said))
        .flatten();
    version.ok_or_else(|| Error::NotRestic {
        program: access.program.clone(),
        said: shortened(&format!("{said}{}", ended.stderr)),
    })
}

/// Parses "restic 0.14.0 compiled with go1.19.8 on linux/amd64". Versions between two releases
/// have a suffix: "restic 0.18.1-dev (compiled manually)".
fn parse_version(said: &str) -> Option<Version> {
    let mut words = said.split_whitespace();
    let number = (words.next()? == "restic").then(|| words.next())??;
    let digits = |part: &str| {
        let end = part.find(|c: char| !c.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().ok()
    };
    let mut parts = number.split('.');
    let (major, minor) = (digits(parts.next()?)?, digits(parts.next()?)?);
    Some(Version(major, minor, parts.next().map_or(Some(0), digits)?))
}

#[derive(Deserialize)]
struct Config {
    id: String,
}

#[derive(Deserialize)]
struct Snapshot {
    id: String,
    time: String,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyLine {
    current: bool,
    id: String,
    #[serde(default)]
    user_name: String,
    #[serde(default)]
    host_name: String,
    #[serde(default)]
    created: String,
}

#[derive(Deserialize)]
struct NodeLine {
    #[serde(default)]
    struct_type: String,
    #[serde(default)]
    path: String,
}

impl Engine for Restic {
    fn init(&self) -> Result<(), Error> {
        self.quietly(&Call::new("create the repository", ["init"]))
    }

    fn id(&self) -> Result<String, Error> {
        let call = Call::new("read the repository", ["cat", "config", "--no-lock"]);
        Ok(self.answer::<Config>(&call)?.id)
    }

    fn snapshots(&self) -> Result<Vec<Stored>, Error> {
        // A list needs no lock: a snapshot is one file.
        let call = Call::new("list the repository", ["snapshots", "--json", "--no-lock"]);
        // `null` for none.
        let all: Option<Vec<Snapshot>> = self.answer(&call)?;
        let stored = |snapshot: Snapshot| {
            let time = snapshot.time.parse();
            Ok(Stored {
                time: time.map_err(|_| garbage(call.doing, &snapshot.time))?,
                id: snapshot.id,
                host: snapshot.hostname,
                paths: snapshot.paths,
                tags: snapshot.tags.unwrap_or_default(),
            })
        };
        let all = all.unwrap_or_default().into_iter().map(stored);
        let mut all = all.collect::<Result<Vec<Stored>, Error>>()?;
        all.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Ok(all)
    }

    fn push(&self, data: &Data<'_>, monitor: &dyn Monitor) -> Result<Pushed, Error> {
        let doing = "push the backup";
        // A clone has an inode of its own, and a further hard link changes the time of
        // the inode. The time of the content tells whether a file is the same.
        let mut call = Call::new(
            doing,
            ["backup", "--json", "--ignore-inode", "--ignore-ctime"],
        );
        let time = data.time.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let mut add = |args: &[&str]| call.args.extend(args.iter().map(OsString::from));
        add(&["--time", &time]);
        if let Some(host) = data.host {
            add(&["--host", host]);
        }
        for tag in &data.tags {
            add(&["--tag", tag]);
        }
        // Without this, restic would look for a parent itself.
        match data.parent {
            Some(parent) => add(&["--parent", parent]),
            None => add(&["--force"]),
        }
        add(&["--", "."]);
        for path in &data.beside {
            add(&[path]);
        }
        call.folder = Some(data.folder);
        call.is_right = data.is_right;
        self.run(monitor, || {
            let mut pushing = Pushing::new(doing, monitor);
            let ended = run(&self.access, &call, &mut pushing)?;
            /// Exit code of restic: the snapshot was made, and some files could not be read.
            const INCOMPLETE: i32 = 3;
            if ended.status.code() == Some(INCOMPLETE) {
                return Err(incomplete(pushing));
            }
            if !ended.status.success() {
                return Err(failed(&self.access, &call, &ended));
            }
            pushing.finish()?;
            let done = pushing.done.filter(|done| !done.id.is_empty());
            done.ok_or_else(|| garbage(doing, "(it ended without a summary)"))
        })
    }

    fn check(&self, read: Option<Share>, monitor: &dyn Monitor) -> Result<Checked, Error> {
        let mut call = Call::new("check the repository", ["check"]);
        match read {
            None => {}
            Some(Share::ALL) => call.args.push("--read-data".into()),
            Some(share) => {
                let subset = format!("--read-data-subset={}/{}", share.group, share.of);
                call.args.push(subset.into());
            }
        }
        let remarks = self.spoken(&call, monitor)?;
        Ok(Checked { read, remarks })
    }

    fn files(
        &self,
        snapshot: &str,
        folder: &str,
        is_deep: bool,
        each: &mut dyn FnMut(Node) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut call = Call::new("list the snapshot", ["ls", "--json", "--no-lock"]);
        if is_deep {
            call.args.push("--recursive".into());
        }
        let rest = ["--", snapshot, folder].map(OsString::from);
        call.args.extend(rest);
        let doing = call.doing;
        let itself = folder.trim_end_matches('/');
        self.lines(&call, &Silent, |line| {
            let node: NodeLine = parsed(doing, line)?;
            // The first line describes the snapshot. The folder itself and those around it follow.
            let is_below = node.path.strip_prefix(itself);
            let is_below = is_below.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
            if node.struct_type == "node" && is_below {
                each(Node { path: node.path })?;
            }
            Ok(Sign::Progress)
        })?;
        Ok(())
    }

    fn dump(&self, snapshot: &str, path: &str, to: &mut dyn Write) -> Result<(), Error> {
        /// Passes on the output, without the part that an earlier attempt has passed on.
        struct Into<'a> {
            to: &'a mut dyn Write,
            passed: &'a mut u64,
            seen: u64,
        }
        impl Output for Into<'_> {
            fn out(&mut self, bytes: &[u8]) -> Result<Sign, Error> {
                let known = self.passed.saturating_sub(self.seen);
                let known = usize::try_from(known)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.seen += bytes.len() as u64;
                let written = self.to.write_all(&bytes[known..]);
                written.map_err(|cause| Error::Io {
                    doing: "write a file of the repository",
                    cause,
                })?;
                *self.passed = self.seen.max(*self.passed);
                Ok(Sign::Progress)
            }
        }
        let mut call = Call::new("read a file of the repository", ["dump", "--no-lock"]);
        call.args.extend(["--", snapshot, path].map(OsString::from));
        // A snapshot never changes, so a further attempt prints the same bytes.
        let mut passed = 0;
        self.run(&Silent, || {
            let mut into = Into {
                to: &mut *to,
                passed: &mut passed,
                seen: 0,
            };
            let ended = run(&self.access, &call, &mut into)?;
            if ended.status.success() {
                Ok(())
            } else if ended.stderr.contains("not found in snapshot") {
                Err(Error::NoFile(path.to_owned()))
            } else {
                Err(failed(&self.access, &call, &ended))
            }
        })
    }

    fn fetch(&self, snapshot: &str, files: &[String], to: &Path) -> Result<(), Error> {
        let call = Call::new("read the lists of the backup", ["restore", "--no-lock"]);
        self.restored(call, snapshot, files, to, &Silent)
    }

    fn restore(
        &self,
        snapshot: &str,
        only: &[String],
        to: &Path,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let call = Call::new("restore the snapshot", ["restore"]);
        self.restored(call, snapshot, only, to, monitor)
    }

    fn forget(&self, snapshots: &[String]) -> Result<(), Error> {
        let mut call = Call::new("remove snapshots", ["forget", "--"]);
        call.args.extend(snapshots.iter().map(OsString::from));
        self.quietly(&call)
    }

    fn prune(&self, monitor: &dyn Monitor) -> Result<(), Error> {
        self.spoken(&Call::new("remove unused data", ["prune"]), monitor)
            .map(drop)
    }

    fn unlock(&self) -> Result<(), Error> {
        self.quietly(&Call::new("remove stale locks", ["unlock"]))
    }

    fn keys(&self) -> Result<Vec<Key>, Error> {
        let call = Call::new("list the keys", ["key", "list", "--json", "--no-lock"]);
        let all: Vec<KeyLine> = self.answer(&call)?;
        let key = |line: KeyLine| Key {
            id: line.id,
            current: line.current,
            user: line.user_name,
            host: line.host_name,
            created: line.created,
        };
        Ok(all.into_iter().map(key).collect())
    }

    fn add_key(&self, password: &Secret) -> Result<(), Error> {
        let doing = "add a key";
        // restic takes one password by its standard input. A file in a folder that only this user
        // may open is the way for a second one that works on all systems. It is there for a moment.
        let failed = |cause| Error::Io { doing, cause };
        let place = PrivateDir::new("idev-backup-key-").map_err(failed)?;
        let path = place.path().join("password");
        let mut file = disk::create_private(&path).map_err(failed)?;
        file.write_all(password.expose()).map_err(failed)?;
        drop(file);
        let mut call = Call::new(doing, ["key", "add", "--new-password-file"]);
        call.args.push(path.into());
        self.quietly(&call)
    }

    fn remove_key(&self, id: &str) -> Result<(), Error> {
        self.quietly(&Call::new("remove a key", ["key", "remove", "--", id]))
    }

    fn mount(&self, at: &Path, monitor: &dyn Monitor) -> Result<(), Error> {
        let mut call = Call::new("mount the repository", ["mount", "--no-lock", "--"]);
        call.args.push(at.into());
        call.is_watched = false;
        let mut spoken = Spoken::new(monitor);
        self.lines(&call, monitor, |line| spoken.line(line))
            .map(drop)
    }
}

/// Returns a pattern that matches one path: restic reads patterns as shells do.
fn pattern(path: &str) -> String {
    let mut pattern = String::new();
    for c in path.chars() {
        if "*?[]\\".contains(c) && !cfg!(windows) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed() {
        for (said, wanted) in [
            (
                "restic 0.14.0 compiled with go1.19.8 on linux/amd64",
                Some(Version(0, 14, 0)),
            ),
            (
                "restic 0.18.1-dev (compiled manually) compiled with",
                Some(Version(0, 18, 1)),
            ),
            ("restic 1.0 x", Some(Version(1, 0, 0))),
            ("rustic 0.9.0", None),
            ("restic", None),
            ("restic x.y.z", None),
            ("", None),
        ] {
            assert_eq!(parse_version(said), wanted, "{said}");
        }
        assert!(Version(0, 13, 1) < OLDEST && Version(0, 14, 0) >= OLDEST);
        assert!(Version(1, 0, 0) > Version(0, 18, 9));
    }

    #[test]
    fn patterns_match_only_their_path() {
        assert_eq!(pattern("/a/b"), "/a/b");
        if cfg!(not(windows)) {
            assert_eq!(pattern("/a*[b]"), "/a\\*\\[b\\]");
        }
    }
}
