//! The dialog itself: one loop that reads like the protocol.

use std::sync::Arc;

use plist::Value;

use super::message::{Kind, Reply, Request, Verdict};
use super::{DeviceFault, Error, Fault, Host, Passwords, RestoreOptions};
use crate::base::backup_path::{BackupPath, BadPath};
use crate::base::cancel::CancelToken;
use crate::base::secret;
use crate::mobilebackup::file_stream::{self, Body, End, Outgoing};
use crate::mobilebackup::message;
use crate::mobilebackup::null_host::NoBackup;
use crate::transport::plist_stream::{self, Encoding, MESSAGE_BYTES_MAX};
use crate::transport::{AnyStream, Stream, read_u32};

/// Name of the service.
pub const SERVICE: &str = "com.apple.mobilebackup2";

/// An open connection to the backup service, after the version exchange.
pub struct Session {
    stream: AnyStream,
    token: Arc<CancelToken>,
}

impl Session {
    /// Negotiates the versions with the phone.
    pub fn open(stream: AnyStream, token: Arc<CancelToken>) -> Result<Session, Error> {
        const DOING: &str = "opened the backup service";
        let mut session = Session { stream, token };
        let version = message::offered_version(&session.next(DOING)?)?;
        session.say(
            &message::accept_version(version.min(message::VERSION_MAX)),
            DOING,
        )?;
        if !message::is_ready(&session.next(DOING)?) {
            return Err(Error::strange(DOING, "it does not say that it is ready"));
        }
        session.say(&message::hello(), DOING)?;
        match Request::parse(&session.next(DOING)?)?.kind {
            Kind::Verdict(Verdict { code: 0, .. }) => Ok(session),
            Kind::Verdict(_) => Err(Error::NoCommonVersion),
            other => Err(Error::strange(
                DOING,
                format!("it answered the greeting with {other:?}"),
            )),
        }
    }

    /// Asks for a backup and serves the phone until its verdict.
    pub fn backup(mut self, udid: &str, full: bool, host: &mut dyn Host) -> Result<Verdict, Error> {
        let asked = self.say(&message::backup(udid, full), "was asked for a backup");
        let result = asked.and_then(|()| self.serve(&[udid], "prepared", host));
        // Finish the files that are still being written, however the dialog ended.
        let _late = host.settle();
        self.part(&result);
        result
    }

    /// Asks for a change of the backup password and waits for the phone's verdict. The phone sends
    /// nothing until its owner has entered the passcode (iOS 13 and later).
    pub fn change_password(
        mut self,
        udid: &str,
        passwords: Passwords<'_>,
    ) -> Result<Verdict, Error> {
        const DOING: &str = "was asked to change the backup password";
        let mut request = message::change_password(udid, passwords);
        let asked = self.say(&request, DOING);
        secret::wipe(&mut request);
        let result = asked.and_then(|()| self.serve(&[udid], DOING, &mut NoBackup));
        self.part(&result);
        result
    }

    /// Asks the phone `target` to restore the backup of `source`, possibly another phone's, and
    /// serves it until its verdict. The phone may request files under either name.
    pub fn restore(
        mut self,
        source: &str,
        target: &str,
        options: &RestoreOptions<'_>,
        host: &mut dyn Host,
    ) -> Result<Verdict, Error> {
        const DOING: &str = "was asked to restore";
        let mut request = message::restore(source, target, options);
        let asked = self.say(&request, DOING);
        secret::wipe(&mut request);
        let result =
            asked.and_then(|()| self.serve(&[source, target], "prepared the restore", host));
        let _late = host.settle();
        self.part(&result);
        result
    }

    /// Sends a disconnect message, if the dialog is at a point where that is possible.
    fn part(&mut self, result: &Result<Verdict, Error>) {
        if matches!(
            result,
            Ok(_) | Err(Error::Cancelled | Error::Hostile(_) | Error::Strange { .. })
        ) {
            // Other computers end the dialog like this, too. If the phone is gone already, the
            // error does not matter.
            self.token.set_between_messages(false);
            drop(self.say(
                &message::disconnect(),
                "received the end of the conversation",
            ));
        }
    }

    fn serve(
        &mut self,
        names: &[&str],
        mut doing: &'static str,
        host: &mut dyn Host,
    ) -> Result<Verdict, Error> {
        loop {
            let message = self.next(doing)?;
            let request = Request::parse(&message).and_then(|request| {
                let mut paths = request.paths().into_iter();
                paths.try_for_each(|path| admit(path, names))?;
                Ok(request)
            });
            let request = match request {
                Err(hostile @ Error::Hostile(_)) => {
                    self.refuse(&message);
                    return Err(hostile);
                }
                other => other?,
            };
            doing = request.doing();
            host.begins(&request);
            let reply = match request.kind {
                Kind::SendFiles(paths) => self.send_files(&paths, host)?,
                Kind::ReceiveFiles(_) => self.receive_files(names, host)?,
                Kind::FreeSpace => number(host.free_space()),
                Kind::Purge(amount) => host.purge(amount).map_or(Reply::NotPurged, Reply::Number),
                Kind::List(path) => host.list(&path).map_or_else(Reply::Failed, Reply::Entries),
                Kind::MakeDir(path) => done(host.make_dir(&path)),
                Kind::Move(items) => several(
                    items
                        .into_iter()
                        .map(|(from, to)| (host.rename(&from, &to), from)),
                ),
                Kind::Remove(paths) => {
                    several(paths.into_iter().map(|path| (host.remove(&path), path)))
                }
                Kind::Copy(from, to) => done(host.copy(&from, &to)),
                Kind::Verdict(verdict) => return Ok(verdict),
                Kind::Disconnect(reason) => return Err(Error::HungUp { reason }),
                Kind::Ping => Reply::Done,
                Kind::Unknown(_) => Reply::Failed(Fault::Unsupported),
            };
            self.say(&reply.to_plist(), doing)?;
        }
    }

    /// Answers "not found" to a message with a forbidden path. The session ends afterwards, so
    /// errors in sending the answer do not matter.
    fn refuse(&mut self, message: &Value) {
        if message::asks_for_files(message)
            && Outgoing::new(&mut self.stream, &self.token)
                .finish()
                .is_err()
        {
            return;
        }
        let not_found = Reply::Failed(Fault::NotFound).to_plist();
        drop(self.say(&not_found, "received an error for a missing file"));
    }

    fn send_files(&mut self, paths: &[BackupPath], host: &mut dyn Host) -> Result<Reply, Error> {
        const DOING: &str = "read files of the backup";
        let mut faults = Vec::new();
        let mut outgoing = Outgoing::new(&mut self.stream, &self.token);
        for path in paths {
            let sent = outgoing.send(path, host.open(path));
            if let Some(fault) = sent.map_err(|e| Error::wire(DOING, e))? {
                faults.push((path.clone(), fault));
            }
        }
        host.confirm_sent().map_err(|_| Error::Withheld)?;
        // This is needed for an empty list, too: the phone waits for it (limd#112).
        outgoing.finish().map_err(|e| Error::wire(DOING, e))?;
        Ok(Reply::Several(faults))
    }

    fn receive_files(&mut self, names: &[&str], host: &mut dyn Host) -> Result<Reply, Error> {
        let mut faults = Vec::new();
        while let Some((device_path, path)) = file_stream::read_head(&mut self.stream)? {
            admit(&path, names)?;
            let mut body = Body::new(&mut self.stream, &self.token);
            let kept = host.receive(&path, &mut body);
            // `finish` reads what the host left unread, so that the stream stays synchronized. A
            // broken connection is reported as such, not as a failure to write.
            match body.finish() {
                End::Wire(e) => return Err(e),
                End::Device { code, text } => host.device_fault(DeviceFault {
                    path,
                    device_path,
                    code,
                    text,
                }),
                End::Whole => {
                    if let Err(fault) = kept {
                        faults.push((path, fault));
                    }
                }
            }
        }
        faults.extend(host.settle());
        Ok(Reply::Several(faults))
    }

    /// Reads the next message. The wait may be cancelled only before the message begins.
    fn next(&mut self, doing: &'static str) -> Result<Value, Error> {
        if self.token.cancelled() {
            return Err(Error::Cancelled);
        }
        self.token.set_between_messages(true);
        let length = read_u32(&mut self.stream);
        self.token.set_between_messages(false);
        let length = length.map_err(|e| Error::wire(doing, e))?;
        let stream: &mut dyn Stream = &mut self.stream;
        let mut reader = stream;
        plist_stream::read_body(&mut reader, length, MESSAGE_BYTES_MAX)
            .map_err(|e| Error::wire(doing, e))
    }

    fn say(&mut self, message: &Value, doing: &'static str) -> Result<(), Error> {
        plist_stream::write(&mut self.stream, message, Encoding::Binary)
            .map_err(|e| Error::wire(doing, e))
    }
}

/// Checks that a path belongs to this dialog. A phone may name its own backup or the one that it
/// restores, the staging area of restores (`.b`), and archives of a backup
/// (`<UDID>-YYYYMMDD-HHMMSS`).
fn admit(path: &BackupPath, names: &[&str]) -> Result<(), Error> {
    let archive = |rest: &str| {
        let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
        rest.split_once('-')
            .is_some_and(|(date, time)| digits(date, 8) && digits(time, 6))
    };
    let first = path.first();
    let is_of = |udid: &&str| {
        let rest = first.strip_prefix(*udid);
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(archive))
    };
    let allowed = first == ".b" || names.iter().any(is_of);
    if allowed {
        Ok(())
    } else {
        Err(Error::Hostile(BadPath {
            name: path.as_str().chars().take(120).collect(),
            why: "it is outside of this phone's backup",
        }))
    }
}

fn done(result: Result<(), Fault>) -> Reply {
    result.map_or_else(Reply::Failed, |()| Reply::Done)
}

fn number(result: Result<u64, Fault>) -> Reply {
    result.map_or_else(Reply::Failed, Reply::Number)
}

fn several(results: impl Iterator<Item = (Result<(), Fault>, BackupPath)>) -> Reply {
    Reply::Several(
        results
            .filter_map(|(result, path)| result.err().map(|fault| (path, fault)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_lists_only_failed_paths() {
        let path = |name: &str| name.parse::<BackupPath>().unwrap();
        let results = [
            (Ok(()), path("U/a")),
            (Err(Fault::NoSpace), path("U/b")),
            (Ok(()), path("U/c")),
        ];
        let wanted = Reply::Several(vec![(path("U/b"), Fault::NoSpace)]);
        assert_eq!(several(results.into_iter()).to_plist(), wanted.to_plist());
        assert_eq!(done(Ok(())).to_plist(), Reply::Done.to_plist());
        assert_eq!(number(Ok(7)).to_plist(), Reply::Number(7).to_plist());
        let failed = Reply::Failed(Fault::Io).to_plist();
        assert_eq!(done(Err(Fault::Io)).to_plist(), failed);
        assert_eq!(number(Err(Fault::Io)).to_plist(), failed);
    }

    #[test]
    fn only_own_backup_paths_are_admitted() {
        let udid = "00008030-001C195E0A88802E";
        for (path, allowed) in [
            ("00008030-001C195E0A88802E/Status.plist", true),
            ("00008030-001C195E0A88802E-20261120-221401", true),
            (".b/6/x", true),
            ("00008030-001C195E0A88802F/Status.plist", false),
            ("00008030-001C195E0A88802E-20261120-221401/Info.plist", true),
            ("00008030-001C195E0A88802E-x/Status.plist", false),
            ("00008030-001C195E0A88802E-20261120", false),
            ("00008030-001C195E0A88802E-20261120-2214", false),
            ("00008030-001C195E0A88802E-2026112-2214011", false),
            ("00008030-001C195E0A88802E-2026112x-221401", false),
            ("00008030-001C195E0A88802E-20261120-22140x", false),
            ("00008030-001C195E0A88802E-20261120-221401-x", false),
            ("00008030-001C195E0A88802E20261120-221401", false),
            ("x00008030-001C195E0A88802E", false),
            (".b", true),
            (".bb/x", false),
            ("etc/passwd", false),
            (".idev-backup/store.json", false),
        ] {
            assert_eq!(
                admit(&path.parse().unwrap(), &[udid]).is_ok(),
                allowed,
                "{path}"
            );
        }
        // A phone that restores another phone's backup may name both.
        let both = [udid, "00008030-001C195E0A88802F"];
        for (path, allowed) in [
            ("00008030-001C195E0A88802E/Status.plist", true),
            ("00008030-001C195E0A88802F/Status.plist", true),
            ("00008030-001C195E0A88802A/Status.plist", false),
        ] {
            let admitted = admit(&path.parse().unwrap(), &both);
            assert_eq!(admitted.is_ok(), allowed, "{path}");
        }
    }
}
