//! Advice for backups that cannot be read, exported, checked or changed in the history.

use std::io::ErrorKind;

use idev_backup::{content, export, history, reader, repository, verify};

use super::super::failure::Failure;
use super::{PASSWORD_SOURCES, store};

const LIST: &str = "`idev-backup list` shows what the store holds";
const BROKEN_BACKUP: &str =
    "run `idev-backup verify` to see what else is damaged, and which older snapshots are intact";

/// Returns the advice for a backup that cannot be read, if there is any.
pub fn read(error: &reader::Error) -> Option<String> {
    use reader::Error;
    let hint = match error {
        Error::NoBackup(_) => {
            "name the folder that holds Manifest.db; `idev-backup list` shows the backups of the store"
        }
        Error::NoFolder(_) => "`idev-backup list` shows the backups of the store",
        Error::Metadata { .. } | Error::File { .. } => BROKEN_BACKUP,
        Error::IsFolder(name) => {
            return Some(format!(
                "`idev-backup ls BACKUP '{name}'` shows what is in it"
            ));
        }
        Error::NoFile(_) => {
            "write the domain and the whole path, as in HomeDomain/Library/SMS/sms.db"
        }
        Error::NoDomain(_) => "`idev-backup ls BACKUP` shows its domains",
        Error::NoPath { domain, .. } => {
            return Some(format!(
                "`idev-backup ls BACKUP {domain}` shows what is there; `idev-backup find` looks everywhere"
            ));
        }
        Error::NoDomainNamed(_) => {
            "begin with the domain, without a slash before it, as in HomeDomain/Library; \
            `idev-backup ls BACKUP` shows the domains"
        }
        Error::Pattern(_) => {
            "write patterns as in a shell: *.HEIC, CameraRollDomain/**, Library/{SMS,Notes}/*"
        }
        Error::TreeTooLarge => {
            "name a folder, or draw fewer levels with --depth; `idev-backup find` lists everything"
        }
        Error::Replaced(_) => "run the same command again; no damage is known in either of them",
        Error::Removed(_) => "`idev-backup list` shows what is there",
        Error::WrongPassword { .. } => {
            "use the password that the phone had when this backup was made; `idev-backup \
            encryption check` tries another one"
        }
        Error::NoPassword { .. } => PASSWORD_SOURCES,
        Error::PasswordSource(source) => {
            return source.downcast_ref::<Failure>().and_then(super::of);
        }
        Error::Source(broken) => {
            let cause = broken.cause.downcast_ref::<repository::Error>();
            return cause.and_then(super::repository);
        }
        Error::Store(e) => return store(e).map(str::to_owned),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a folder or file that cannot be written.
pub fn target(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free space on that disk, or name a folder on another one with --to"
        }
        _ => "name another folder with --to",
    }
}

/// Returns the advice for a failed export, if there is any.
pub fn export(error: &export::Error) -> Option<String> {
    use export::Error;
    let hint = match error {
        Error::Read(e) => return read(e),
        Error::Target { cause, .. } => target(cause),
        Error::NotEmpty(_) | Error::OtherExport(_) => {
            "name a folder that is empty or does not exist yet, or add --overwrite to fill this \
            one and replace files in it"
        }
        Error::AroundBackup { .. } | Error::InStore { .. } | Error::InBackup(_) => {
            "name another folder with --to"
        }
        Error::Content(e) => return content(e),
        Error::NoChat(_) => {
            "write a part of the title or of a member's name, or the whole address; without \
            --chat all conversations are exported"
        }
        Error::LinksToEncrypted => "use `--attachments copy`",
        Error::NothingMatches => {
            "a pattern with a `/` must match domain and path (`HomeDomain/Library/SMS/**`), one \
            without only the file name (`*.HEIC`); --ignore-case ignores upper and lower case"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for content that cannot be read, if there is any.
fn content(error: &content::Error) -> Option<String> {
    use content::Error;
    let hint = match error {
        Error::Read(e) => return read(e),
        Error::Absent(content::Kind::Messages) => {
            "turn off Messages in iCloud on the phone (Settings, your name, iCloud) and make a new \
            backup"
        }
        Error::OnlyInEncrypted(_) => {
            "`idev-backup encryption on` switches encryption on; the next backup has them"
        }
        Error::Absent(_) => "`idev-backup info` shows what the backup lacks",
        Error::Unreadable { .. } => BROKEN_BACKUP,
        Error::UnknownSchema { .. } => {
            "use a newer idev-backup, or `idev-backup cat` to read the database with another \
            program"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a check that cannot be done, if there is any.
pub fn verify(error: &verify::Error) -> Option<String> {
    use verify::Error;
    match error {
        Error::Read(e) => read(e),
        Error::Store(e) => store(e).map(str::to_owned),
        Error::NotInStore(_) | Error::NoHashes(_) => {
            Some("make a new one: `idev-backup create --full`".to_owned())
        }
        _ => None,
    }
}

/// Advises to name one of several phones.
fn add_device(phones: &[String]) -> String {
    let phone = phones.first().map_or("PHONE", String::as_str);
    // Names of phones have an apostrophe more often than what double quotes keep special.
    let word = if phone.contains(['"', '$', '`', '\\', '!']) {
        format!("'{}'", phone.replace('\'', "'\\''"))
    } else if phone.contains([' ', '\'']) {
        format!("\"{phone}\"")
    } else {
        phone.to_owned()
    };
    format!("add the phone to the command, for example -d {word}")
}

/// Returns the advice for a failed change of the history, if there is any.
pub fn history(error: &history::Error) -> Option<String> {
    use history::Error;
    let hint = match error {
        Error::Store(e) => return store(e).map(str::to_owned),
        Error::Verify(e) => return verify(e),
        Error::EmptyName => {
            "`idev-backup list` shows what the store holds; in a script, check where the name \
            comes from"
        }
        Error::NoBackups => {
            "connect a phone and run `idev-backup create`, which makes the first one"
        }
        Error::NotFound {
            name,
            is_of_files: true,
            ..
        } => {
            return Some(format!(
                "name the backup first, as in `idev-backup find latest '{name}'`; `idev-backup list` shows all of them"
            ));
        }
        Error::NotFound { .. } | Error::NoPhone(_) => LIST,
        Error::FolderOfPhone { .. } => "leave out --device",
        Error::WhichPhone { phones } => return Some(add_device(phones)),
        Error::Ambiguous {
            name, candidates, ..
        } if name == "latest" => return Some(add_device(candidates)),
        Error::Ambiguous { candidates, .. } if candidates.iter().any(|one| one.contains(' ')) => {
            "use one of these names, in quotes"
        }
        Error::Ambiguous { .. } => "use one of these names",
        Error::AmbiguousPhone { .. } => "type more of the UDID or name",
        Error::NotInStore(_) => {
            "`idev-backup list` shows what the store holds; `idev-backup adopt` copies a backup \
            into it"
        }
        Error::NotOurs(_) => {
            "delete it with the program that made it; `idev-backup adopt` copies a backup into a \
            store"
        }
        Error::Pinned(_) => "unpin it first with `idev-backup unpin`",
        Error::BadTag(_) => "a tag has 1 to 80 characters and is not `latest`",
        Error::NoTag { .. } => "`idev-backup list` shows the tags",
        Error::SourceDamaged { .. } => {
            "`idev-backup verify` lists all damage; --force adopts the backup as it is"
        }
        Error::PresentDamaged(at) => {
            return Some(format!(
                "`idev-backup verify --repair {}` repairs files from other snapshots there; or \
                delete it there, and run this again",
                at.display()
            ));
        }
        Error::Metadata { .. } => BROKEN_BACKUP,
        Error::UnknownPhone(_) => {
            "rename the folder to the phone's UDID, because its Info.plist has no Target Identifier"
        }
        Error::CopyDamaged(_) => {
            "check the original with `idev-backup verify`; if it is whole, check the disk that it \
            was copied to"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
