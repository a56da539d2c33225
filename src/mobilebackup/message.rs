//! DeviceLink's messages: property lists to requests, replies to property lists. This module does
//! no I/O and is the only place with wire names.

use plist::{Dictionary, Value};

use super::{Entry, EntryKind, Error, Fault, Passwords, RestoreOptions};
use crate::base::backup_path::BackupPath;

/// Placeholder for an empty parameter in a message.
const EMPTY: &str = "___EmptyParameterString___";

/// Request from the phone.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The requested operation.
    pub kind: Kind,
    /// The phone's own progress after this request, 0-100. It stalls, jumps and goes back.
    pub percent: Option<f64>,
}

/// The requested operations, named from our side.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `DLMessageDownloadFiles`: send these files.
    SendFiles(Vec<BackupPath>),
    /// `DLMessageUploadFiles`: the phone sends files. The number is its own estimate of their
    /// bytes.
    ReceiveFiles(u64),
    /// `DLMessageGetFreeDiskSpace` (DeviceLink 300 and later).
    FreeSpace,
    /// `DLMessagePurgeDiskSpace` (400 and later): free this many bytes.
    Purge(u64),
    /// `DLContentsOfDirectory`: list the folder.
    List(BackupPath),
    /// `DLMessageCreateDirectory`: create the folder.
    MakeDir(BackupPath),
    /// `DLMessageMoveItems`, before DeviceLink 200 `DLMessageMoveFiles`: move each first path to
    /// the second, in the phone's order.
    Move(Vec<(BackupPath, BackupPath)>),
    /// `DLMessageRemoveItems`, before 200 `DLMessageRemoveFiles` and `DLMessageRemoveDirectory`:
    /// remove these files and folders.
    Remove(Vec<BackupPath>),
    /// `DLMessageCopyItem`: copy the first path to the second.
    Copy(BackupPath, BackupPath),
    /// `DLMessageProcessMessage` with a response: the phone's verdict on the whole backup.
    Verdict(Verdict),
    /// `DLMessagePing`: answer with success.
    Ping,
    /// `DLMessageDisconnect`: the phone ends the dialog, giving this reason.
    Disconnect(String),
    /// Any other message, by name. We answer "not supported", since the phone waits for an answer.
    Unknown(String),
}

/// The phone's final result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// 0 for success, else an MBErrorDomain code.
    pub code: i64,
    /// The phone's error text; empty on success.
    pub description: String,
}

impl Request {
    /// Parses a message from the phone.
    pub fn parse(message: &Value) -> Result<Request, Error> {
        const DOING: &str = "asked for something";
        let parts = message
            .as_array()
            .ok_or_else(|| Error::strange(DOING, "the message is not an array"))?;
        let name = parts.first().and_then(Value::as_string);
        let name = name.ok_or_else(|| Error::strange(DOING, "the message has no name"))?;
        let at = |i: usize| parts.get(i);
        let missing = |what: &str| Error::strange(DOING, format!("{name} has no {what}"));
        let path = |i: usize| {
            at(i)
                .and_then(Value::as_string)
                .ok_or_else(|| missing("path"))
                .and_then(parse_path)
        };
        let kind = match name {
            "DLMessageDownloadFiles" => {
                Kind::SendFiles(asked_for(at(1)).ok_or_else(|| missing("files"))??)
            }
            "DLMessageUploadFiles" => {
                Kind::ReceiveFiles(at(3).and_then(Value::as_unsigned_integer).unwrap_or(0))
            }
            "DLMessageGetFreeDiskSpace" => Kind::FreeSpace,
            "DLMessagePurgeDiskSpace" => Kind::Purge(
                at(1)
                    .and_then(Value::as_unsigned_integer)
                    .ok_or_else(|| missing("amount"))?,
            ),
            "DLContentsOfDirectory" => Kind::List(path(1)?),
            "DLMessageCreateDirectory" => Kind::MakeDir(path(1)?),
            "DLMessageMoveItems" | "DLMessageMoveFiles" => {
                let items = at(1)
                    .and_then(Value::as_dictionary)
                    .ok_or_else(|| missing("files"))?;
                Kind::Move(moves(items)?)
            }
            "DLMessageRemoveItems" | "DLMessageRemoveFiles" | "DLMessageRemoveDirectory" => {
                Kind::Remove(paths(at(1)).ok_or_else(|| missing("files"))??)
            }
            "DLMessageCopyItem" => Kind::Copy(path(1)?, path(2)?),
            "DLMessageProcessMessage" => Kind::Verdict(verdict(at(1))?),
            "DLMessageDisconnect" => {
                let reason = at(1).and_then(Value::as_string).filter(|r| *r != EMPTY);
                Kind::Disconnect(reason.unwrap_or_default().to_owned())
            }
            "DLMessagePing" => Kind::Ping,
            other => Kind::Unknown(other.chars().take(80).collect()),
        };
        let percent = match kind {
            Kind::SendFiles(_) | Kind::Move(_) | Kind::Remove(_) | Kind::MakeDir(_) => at(3),
            Kind::ReceiveFiles(_) => at(2),
            _ => None,
        };
        let percent = percent.and_then(number).filter(|p| p.is_finite());
        Ok(Request { kind, percent })
    }

    /// Returns every path that the request names.
    pub fn paths(&self) -> Vec<&BackupPath> {
        match &self.kind {
            Kind::SendFiles(paths) | Kind::Remove(paths) => paths.iter().collect(),
            Kind::Move(items) => items.iter().flat_map(|(from, to)| [from, to]).collect(),
            Kind::Copy(from, to) => vec![from, to],
            Kind::List(path) | Kind::MakeDir(path) => vec![path],
            _ => Vec::new(),
        }
    }

    /// Describes the phone's activity, to complete "while it ...".
    pub(crate) fn doing(&self) -> &'static str {
        match self.kind {
            Kind::SendFiles(_) => "read files of the backup",
            Kind::ReceiveFiles(_) => "sent files",
            Kind::FreeSpace | Kind::Purge(_) => "asked for disk space",
            Kind::List(_) => "looked at the backup",
            Kind::MakeDir(_) => "made folders",
            Kind::Move(_) => "moved files",
            Kind::Remove(_) => "removed files",
            Kind::Copy(..) => "copied files",
            Kind::Verdict(_) | Kind::Disconnect(_) => "ended the backup",
            Kind::Ping | Kind::Unknown(_) => "asked for something",
        }
    }
}

/// Returns a progress value, which is a real or the integer 0.
fn number(value: &Value) -> Option<f64> {
    value
        .as_real()
        .or_else(|| value.as_signed_integer().map(|i| i as f64))
}

fn parse_path(text: &str) -> Result<BackupPath, Error> {
    text.parse().map_err(Error::Hostile)
}

/// Parses the files that a phone requests at once, an array of paths or a single one. The limit on
/// their number bounds the cost of one request, since we answer for each file.
fn asked_for(value: Option<&Value>) -> Option<Result<Vec<BackupPath>, Error>> {
    match value?.as_array() {
        Some(list) if list.len() > FILES_AT_ONCE_MAX => Some(Err(Error::strange(
            "asked for files",
            format!("it asks for {} files at once", list.len()),
        ))),
        _ => paths(value),
    }
}

fn paths(value: Option<&Value>) -> Option<Result<Vec<BackupPath>, Error>> {
    match value? {
        Value::Array(list) => Some(
            list.iter()
                .map(|p| match p.as_string() {
                    Some(text) => parse_path(text),
                    None => Err(Error::strange(
                        "asked for something",
                        "a path is not a text",
                    )),
                })
                .collect(),
        ),
        Value::String(one) => Some(parse_path(one).map(|path| vec![path])),
        _ => None,
    }
}

fn moves(items: &Dictionary) -> Result<Vec<(BackupPath, BackupPath)>, Error> {
    let pair = |(from, to): (&String, &Value)| {
        let to = to
            .as_string()
            .ok_or_else(|| Error::strange("moved files", "a path is not a text"))?;
        Ok((parse_path(from)?, parse_path(to)?))
    };
    items.iter().map(pair).collect()
}

fn verdict(response: Option<&Value>) -> Result<Verdict, Error> {
    const DOING: &str = "reported its result";
    let response = response.and_then(Value::as_dictionary);
    let response = response.ok_or_else(|| Error::strange(DOING, "it is not a dictionary"))?;
    match response.get("MessageName").and_then(Value::as_string) {
        Some("Response") => {}
        other => return Err(Error::strange(DOING, format!("it is called {other:?}"))),
    }
    let code = response.get("ErrorCode").and_then(Value::as_signed_integer);
    let description = response.get("ErrorDescription").and_then(Value::as_string);
    Ok(Verdict {
        code: code.ok_or_else(|| Error::strange(DOING, "it has no ErrorCode"))?,
        description: description.unwrap_or_default().to_owned(),
    })
}

/// Reply to a request. It always has four elements, or the phone reports "too few components".
#[derive(Debug, Clone)]
pub enum Reply {
    /// Success without a value.
    Done,
    /// Success with a number: bytes free, or bytes purged.
    Number(u64),
    /// Success with the contents of a folder.
    Entries(Vec<Entry>),
    /// Failure of the whole request.
    Failed(Fault),
    /// The paths that failed, each with its fault; empty on success.
    Several(Vec<(BackupPath, Fault)>),
    /// No space could be freed.
    NotPurged,
}

impl Reply {
    /// Builds `["DLMessageStatusResponse", status, text, payload]`.
    pub fn to_plist(&self) -> Value {
        let empty = || Value::Dictionary(Dictionary::new());
        let (status, text, payload) = match self {
            Reply::Done => (0, EMPTY, empty()),
            Reply::Number(bytes) => (0, EMPTY, Value::Integer((*bytes).into())),
            Reply::Entries(entries) => (0, EMPTY, Value::Dictionary(contents(entries))),
            Reply::Failed(fault) => {
                let (status, text) = fault.status();
                (status, text, empty())
            }
            Reply::Several(faults) if faults.is_empty() => (0, EMPTY, empty()),
            Reply::Several(faults) => {
                (-13, "Multi status", Value::Dictionary(multi_status(faults)))
            }
            Reply::NotPurged => (-1, "Nothing could be purged", Value::Integer(0.into())),
        };
        Value::Array(vec![
            "DLMessageStatusResponse".into(),
            Value::Integer(status.into()),
            text.into(),
            payload,
        ])
    }
}

fn multi_status(faults: &[(BackupPath, Fault)]) -> Dictionary {
    let one = |(path, fault): &(BackupPath, Fault)| {
        let (code, text) = fault.status();
        let mut details = Dictionary::new();
        details.insert("DLFileErrorString".into(), text.into());
        details.insert("DLFileErrorCode".into(), Value::Integer(code.into()));
        (path.as_str().to_owned(), Value::Dictionary(details))
    };
    faults.iter().map(one).collect()
}

fn contents(entries: &[Entry]) -> Dictionary {
    let one = |entry: &Entry| {
        let kind = match entry.kind {
            EntryKind::Regular => "DLFileTypeRegular",
            EntryKind::Directory => "DLFileTypeDirectory",
            EntryKind::Unknown => "DLFileTypeUnknown",
        };
        let mut details = Dictionary::new();
        details.insert("DLFileType".into(), kind.into());
        details.insert("DLFileSize".into(), Value::Integer(entry.size.into()));
        details.insert(
            "DLFileModificationDate".into(),
            Value::Date(crate::base::bounded_plist::writable(entry.modified).into()),
        );
        (entry.name.clone(), Value::Dictionary(details))
    };
    entries.iter().map(one).collect()
}

/// Most files that a phone may request at once; phones request up to 128.
const FILES_AT_ONCE_MAX: usize = 10_000;

/// Highest version that we accept: 400 is the version of iOS 14 and later. We use the phone's
/// version if it is lower.
pub(crate) const VERSION_MAX: u64 = 400;

/// Returns the version in the phone's first message.
pub fn offered_version(message: &Value) -> Result<u64, Error> {
    const DOING: &str = "opened the backup service";
    let parts = message
        .as_array()
        .filter(|p| p.first().and_then(Value::as_string) == Some("DLMessageVersionExchange"));
    let version = parts
        .and_then(|p| p.get(1))
        .and_then(Value::as_unsigned_integer);
    version.ok_or_else(|| Error::strange(DOING, "it does not offer a version"))
}

/// Builds our answer to the phone's first message.
pub fn accept_version(version: u64) -> Value {
    Value::Array(vec![
        "DLMessageVersionExchange".into(),
        "DLVersionsOk".into(),
        Value::Integer(version.into()),
    ])
}

/// Returns true if the message says that the phone is ready.
pub fn is_ready(message: &Value) -> bool {
    let name = message
        .as_array()
        .and_then(|p| p.first())
        .and_then(Value::as_string);
    name == Some("DLMessageDeviceReady")
}

/// Offers the versions of the backup protocol itself.
pub fn hello() -> Value {
    let mut message = Dictionary::new();
    message.insert("MessageName".into(), "Hello".into());
    message.insert(
        "SupportedProtocolVersions".into(),
        Value::Array(vec![Value::Real(2.0), Value::Real(2.1)]),
    );
    process(message)
}

/// Asks for a backup.
pub fn backup(udid: &str, full: bool) -> Value {
    let mut message = Dictionary::new();
    message.insert("MessageName".into(), "Backup".into());
    message.insert("TargetIdentifier".into(), udid.into());
    if full {
        let mut options = Dictionary::new();
        options.insert("ForceFullBackup".into(), Value::Boolean(true));
        message.insert("Options".into(), Value::Dictionary(options));
    }
    process(message)
}

/// Asks the phone to change the backup password. The message holds passwords, so the caller wipes
/// it after sending.
pub(crate) fn change_password(udid: &str, passwords: Passwords<'_>) -> Value {
    let mut message = Dictionary::new();
    message.insert("MessageName".into(), "ChangePassword".into());
    message.insert("TargetIdentifier".into(), udid.into());
    if let Some(old) = passwords.old {
        message.insert("OldPassword".into(), old.into());
    }
    if let Some(new) = passwords.new {
        message.insert("NewPassword".into(), new.into());
    }
    process(message)
}

/// Asks the phone `target` to restore the backup of `source`; the phone then requests files under
/// the name of `source`. The message states every option, since phones have defaults of their own.
/// It may hold a password, so the caller wipes it after sending.
pub fn restore(source: &str, target: &str, how: &RestoreOptions<'_>) -> Value {
    let mut options = Dictionary::new();
    for (name, wanted) in [
        ("RestoreSystemFiles", how.system_files),
        ("RestoreShouldReboot", how.reboot),
        ("RestoreDontCopyBackup", true),
        ("RestorePreserveSettings", how.keep_settings),
        ("RemoveItemsNotRestored", how.remove_others),
    ] {
        options.insert(name.into(), Value::Boolean(wanted));
    }
    if let Some(password) = how.password {
        options.insert("Password".into(), password.into());
    }
    let mut message = Dictionary::new();
    message.insert("MessageName".into(), "Restore".into());
    message.insert("TargetIdentifier".into(), target.into());
    message.insert("SourceIdentifier".into(), source.into());
    message.insert("Options".into(), Value::Dictionary(options));
    process(message)
}

/// Returns true if a message requests files, so that its answer starts with the list of files. This
/// also holds for messages whose paths we refuse.
pub(crate) fn asks_for_files(message: &Value) -> bool {
    let parts = message.as_array();
    parts.and_then(|p| p.first()).and_then(Value::as_string) == Some("DLMessageDownloadFiles")
}

/// Builds the message that ends the dialog.
pub(crate) fn disconnect() -> Value {
    Value::Array(vec!["DLMessageDisconnect".into(), EMPTY.into()])
}

fn process(message: Dictionary) -> Value {
    Value::Array(vec![
        "DLMessageProcessMessage".into(),
        Value::Dictionary(message),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Result<Request, Error> {
        let xml = format!("<plist version=\"1.0\"><array>{xml}</array></plist>");
        Request::parse(&crate::base::bounded_plist::parse(xml.as_bytes()).unwrap())
    }

    #[test]
    fn upload_request_is_parsed() {
        // limd#437, iOS 7 and later.
        let request = parse(
            "<string>DLMessageUploadFiles</string><dict/><real>0.5</real><integer>77</integer>",
        )
        .unwrap();
        assert_eq!(request.kind, Kind::ReceiveFiles(77));
        assert_eq!(request.percent, Some(0.5));
    }

    #[test]
    fn oversized_file_requests_are_refused() {
        let files = "<string>a</string>".repeat(FILES_AT_ONCE_MAX + 1);
        let asked = parse(&format!(
            "<string>DLMessageDownloadFiles</string><array>{files}</array><dict/><real>0</real>"
        ));
        assert!(matches!(asked, Err(Error::Strange { .. })), "{asked:?}");
    }

    #[test]
    fn empty_download_request_is_valid() {
        // limd#112
        let request = parse(
            "<string>DLMessageDownloadFiles</string><array></array><dict/><real>97.0</real><integer>0</integer>",
        );
        assert_eq!(request.unwrap().kind, Kind::SendFiles(vec![]));
    }

    #[test]
    fn moves_keep_the_phones_order() {
        let request = parse(
            "<string>DLMessageMoveItems</string><dict><key>U/b</key><string>U/c</string><key>U/a</key>\
             <string>U/b</string></dict><dict/><real>1</real>",
        );
        let Kind::Move(moves) = request.unwrap().kind else {
            panic!()
        };
        let names: Vec<_> = moves.iter().map(|(from, _)| from.as_str()).collect();
        assert_eq!(names, ["U/b", "U/a"]);
    }

    #[test]
    fn escaping_path_is_hostile() {
        let remove =
            parse("<string>DLMessageRemoveItems</string><array><string>../../etc</string></array>");
        assert!(matches!(remove, Err(Error::Hostile(_))));
    }

    #[test]
    fn passcode_verdict_is_parsed() {
        // limd#1380
        let request = parse(
            "<string>DLMessageProcessMessage</string><dict><key>ErrorCode</key><integer>208</integer>\
             <key>ErrorDescription</key><string>Device locked (MBErrorDomain/208)</string>\
             <key>MessageName</key><string>Response</string></dict>",
        );
        let verdict = Verdict {
            code: 208,
            description: "Device locked (MBErrorDomain/208)".to_owned(),
        };
        assert_eq!(request.unwrap().kind, Kind::Verdict(verdict));
    }

    #[test]
    fn every_reply_has_four_elements() {
        let path: BackupPath = "U/Status.plist".parse().unwrap();
        for reply in [
            Reply::Done,
            Reply::Number(7),
            Reply::Entries(vec![]),
            Reply::Failed(Fault::NoSpace),
            Reply::Several(vec![(path, Fault::NotFound)]),
            Reply::NotPurged,
        ] {
            assert_eq!(
                reply.to_plist().as_array().map(Vec::len),
                Some(4),
                "{reply:?}"
            );
        }
    }

    /// Checks that a restore request states every option and always tells the phone not to copy the
    /// backup.
    #[test]
    fn restore_request_states_all_options() {
        let how = RestoreOptions {
            system_files: true,
            reboot: false,
            keep_settings: false,
            remove_others: false,
            password: Some("secret"),
        };
        let message = restore("OLD", "NEW", &how);
        let request = message.as_array().unwrap()[1].as_dictionary().unwrap();
        let text = |key: &str| request[key].as_string();
        assert_eq!(text("MessageName"), Some("Restore"));
        assert_eq!(
            (text("SourceIdentifier"), text("TargetIdentifier")),
            (Some("OLD"), Some("NEW"))
        );
        let options = request["Options"].as_dictionary().unwrap();
        for (name, wanted) in [
            ("RestoreSystemFiles", true),
            ("RestoreShouldReboot", false),
            ("RestoreDontCopyBackup", true),
            ("RestorePreserveSettings", false),
            ("RemoveItemsNotRestored", false),
        ] {
            assert_eq!(options[name].as_boolean(), Some(wanted), "{name}");
        }
        assert_eq!(options["Password"].as_string(), Some("secret"));
        let open = restore(
            "A",
            "A",
            &RestoreOptions {
                password: None,
                ..how
            },
        );
        let options =
            open.as_array().unwrap()[1].as_dictionary().unwrap()["Options"].as_dictionary();
        assert!(!options.unwrap().contains_key("Password"));
    }

    #[test]
    fn incomplete_messages_are_errors() {
        for xml in [
            "",
            "<integer>1</integer>",
            "<string>DLMessageDownloadFiles</string>",
            "<string>DLMessageMoveItems</string><dict><key>U/a</key><integer>1</integer></dict>",
            "<string>DLMessagePurgeDiskSpace</string><string>x</string>",
            "<string>DLMessageProcessMessage</string><dict><key>MessageName</key><string>Response</string></dict>",
            "<string>DLMessageCopyItem</string><string>U/a</string>",
        ] {
            assert!(parse(xml).is_err(), "{xml}");
        }
    }
}
