//! Replaces secrets and identities with placeholders while a trace is being recorded.
//!
//! Everything that is not known to be harmless is replaced: texts by a placeholder named after
//! their key (`device-name-1`), data by its length. Equal texts get equal placeholders everywhere,
//! so that a reader can follow them. Harmless are the protocol's own words, numbers that cannot
//! identify a person, and in paths of a backup the names that every backup has (SHA-1 names of
//! files included). [`super::json`] defines the form of values that JSON lacks.

pub(crate) mod sentences;
pub(crate) mod words;

use std::collections::HashMap;

use plist::{Dictionary, Value};
use serde_json::{Map, Value as Json, json};

use super::framing::{FileEnd, Framing, Item};
use super::line::{AFC_OPERATIONS, Message, Packet};
use crate::base::secret;
use crate::base::udid::Udid;
use crate::trace::redact::words::{
    AMOUNTS, CONSTANT, DEVICE_LINK, FILES, INTEGER_MAX, PROSE, PROTOCOL, UDIDS, WITH_BLANKS, WORDS,
    class_of, is_apples, is_constant, is_folder, is_hash, is_key, is_mac, is_modern_udid,
    is_secret, is_uuid, is_word, kebab, split_archive,
};

/// Length in bytes of the names that are searched for in sentences; `NAMES_MAX` limits their
/// number.
const NAME_BYTES: std::ops::RangeInclusive<usize> = 3..=100;
const NAMES_MAX: usize = 2000;
/// AFC operation that answers with data bytes.
const AFC_DATA: u64 = 2;

/// Replaces sensitive texts, and remembers their placeholders.
#[derive(Default)]
pub struct Redactor {
    stand_ins: HashMap<String, String>,
    counts: HashMap<String, u32>,
    udids: HashMap<String, u32>,
    /// Names that may occur in sentences, with their placeholders.
    names: Vec<(String, String)>,
    /// True if the input comes from a trace: its placeholders stay unchanged.
    replayed: bool,
}

impl Redactor {
    /// Creates a redactor for the messages of a client to which a trace is replayed.
    #[cfg(feature = "simulator")]
    pub(crate) fn of_a_replay() -> Redactor {
        Redactor {
            replayed: true,
            ..Redactor::default()
        }
    }

    /// Returns an item in redacted form, and wipes the original contents.
    pub fn item(&mut self, framing: Framing, item: Item) -> Message {
        match item {
            Item::Plist(mut value) => {
                let json = self.value(framing, None, &value);
                secret::wipe(&mut value);
                Message::Plist(json)
            }
            Item::FilesEnd => Message::FilesEnd,
            Item::Raw(bytes) => Message::Raw(bytes),
            Item::Afc {
                number,
                operation,
                bytes,
            } => Message::Afc(self.packet(number, operation, &bytes)),
            Item::File(file) => Message::File {
                from: file.device_path.map(|path| self.stand_in("path", &path)),
                to: self.path(&file.path),
                size: file.size,
                sha256: file
                    .sha256
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
                body: file.body,
                end: match file.end {
                    FileEnd::Failed(code, text) => FileEnd::Failed(code, self.prose(&text)),
                    other => other,
                },
            },
        }
    }

    /// Returns the placeholder of a UDID in any of its forms. Each form gets a placeholder of the
    /// same form.
    pub(crate) fn udid(&mut self, text: &str) -> String {
        let Ok(udid) = text.parse::<Udid>() else {
            return self.stand_in("udid", text);
        };
        let next = self.udids.len() as u32 + 1;
        let key = udid.as_str().to_ascii_uppercase();
        let number = *self.udids.entry(key).or_insert(next);
        match text.len() {
            24 => format!("00008000{number:016}"),
            25 => format!("00008000-{number:016}"),
            _ => format!("{number:040}"),
        }
    }

    /// Returns a name that Apple defines, such as that of a service, unchanged; replaces any other.
    pub(crate) fn word(&mut self, text: &str) -> String {
        match text {
            "usbmux" | "lockdown" => text.to_owned(),
            _ if is_apples(text) => text.to_owned(),
            _ => self.stand_in("service", text),
        }
    }

    /// Returns the names replaced so far, with their placeholders.
    pub(super) fn names(&self) -> &[(String, String)] {
        &self.names
    }

    /// Returns true if the text is the UDID of a phone seen before.
    pub(super) fn is_known_udid(&self, text: &str) -> bool {
        self.udids.contains_key(&text.to_ascii_uppercase())
    }

    fn value(&mut self, framing: Framing, key: Option<&str>, value: &Value) -> Json {
        match value {
            // Do not even reveal whether two secrets are equal, or their length.
            Value::String(_) | Value::Data(_) | Value::Integer(_) if key.is_some_and(is_secret) => {
                "password".into()
            }
            Value::Boolean(flag) => (*flag).into(),
            Value::Real(real) => match serde_json::Number::from_f64(*real) {
                Some(number) => Json::Number(number),
                None => json!({"$real": real.to_string().to_lowercase()}),
            },
            Value::Integer(_) => self.integer(framing, key, value),
            Value::Data(bytes) => json!({"$data": bytes.len()}),
            Value::Date(date) => json!({"$date": rfc3339(*date)}),
            Value::Uid(uid) => json!({"$uid": uid.get()}),
            Value::String(text) => self.text(framing, key, text).into(),
            Value::Array(items) => {
                let mut list = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    list.push(self.element(framing, key, items, at, item));
                }
                list.into()
            }
            Value::Dictionary(fields) => self.dictionary(framing, fields),
            _ => Json::Null,
        }
    }

    /// Redacts an element of an array. The first elements of a DeviceLink message are words of the
    /// protocol.
    fn element(
        &mut self,
        framing: Framing,
        key: Option<&str>,
        all: &[Value],
        at: usize,
        item: &Value,
    ) -> Json {
        let name = all.first().and_then(Value::as_string).unwrap_or_default();
        match item.as_string() {
            Some(text) if framing == Framing::DeviceLink && key.is_none() => match (name, at) {
                (_, 0) if is_word(text) => text.into(),
                ("DLMessageStatusResponse" | "DLMessageDisconnect", _) => self.prose(text).into(),
                ("DLMessageVersionExchange", _) if is_word(text) => text.into(),
                _ => self.path(text).into(),
            },
            // Only the message itself begins with words of the protocol.
            _ => self.value(framing, key.or(Some("")), item),
        }
    }

    fn dictionary(&mut self, framing: Framing, fields: &Dictionary) -> Json {
        // Lockdown answers {"Key": "DeviceName", "Value": ...}.
        let asked = fields.get("Key").and_then(Value::as_string);
        let asked = asked.filter(|key| self.is_harmless_key(key));
        let mut object = Map::new();
        for (name, value) in fields {
            let shown = self.key(framing, name);
            // The placeholder of a value contains the key, so the key must be harmless itself.
            let key = match name.as_str() {
                "Value" => asked.unwrap_or("Value"),
                name if shown == *name || is_secret(name) => name,
                _ => "text",
            };
            object.insert(shown, self.value(framing, Some(key), value));
        }
        Json::Object(object)
    }

    fn is_harmless_key(&self, name: &str) -> bool {
        let known = WORDS.contains(&name) || PROTOCOL.contains(&name) || CONSTANT.contains(&name);
        (known || is_key(name) || is_apples(name)) && !self.stand_ins.contains_key(name)
    }

    fn key(&mut self, framing: Framing, name: &str) -> String {
        if framing == Framing::DeviceLink {
            return if DEVICE_LINK.contains(&name) || (is_hash(name) && !self.is_known_udid(name)) {
                name.to_owned()
            } else {
                self.path(name)
            };
        }
        if self.is_harmless_key(name) {
            name.to_owned()
        } else {
            self.text(framing, Some("key"), name)
        }
    }

    fn integer(&mut self, framing: Framing, key: Option<&str>, value: &Value) -> Json {
        let unsigned = value.as_unsigned_integer();
        let (json, size) = match (value.as_signed_integer(), unsigned) {
            (Some(n), _) => (Json::from(n), i128::from(n)),
            (None, Some(n)) => (Json::from(n), i128::from(n)),
            (None, None) => return Json::Null,
        };
        let harmless = size.abs() <= INTEGER_MAX
            || framing == Framing::DeviceLink
            || key.is_some_and(|key| AMOUNTS.contains(&key));
        if harmless {
            json
        } else {
            json!({"$redacted": self.stand_in(&kebab(key.unwrap_or("number")), &size.to_string())})
        }
    }

    fn text(&mut self, framing: Framing, key: Option<&str>, text: &str) -> String {
        let key = key.unwrap_or("text");
        if text.is_empty() {
            return String::new();
        }
        let old_udid = || UDIDS.contains(&key) && text.parse::<Udid>().is_ok();
        if is_modern_udid(text) || self.is_known_udid(text) || old_udid() {
            return self.udid(text);
        }
        if PROTOCOL.contains(&key) && is_constant(text) {
            return text.to_owned();
        }
        if let Some(known) = self.stand_ins.get(text) {
            return known.clone();
        }
        let words = if WITH_BLANKS.contains(&key) {
            text.replace(' ', "")
        } else {
            text.to_owned()
        };
        if CONSTANT.contains(&key) && is_constant(&words) {
            return text.to_owned();
        }
        if PROSE.contains(&key) {
            return self.prose(text);
        }
        if is_apples(text) {
            return text.to_owned();
        }
        if framing == Framing::DeviceLink && !CONSTANT.contains(&key) {
            return self.path(text);
        }
        self.stand_in(&kebab(key), text)
    }

    /// Redacts a path, except for names that every backup has.
    pub(super) fn path(&mut self, path: &str) -> String {
        let parts = path.split('/').enumerate();
        let parts: Vec<String> = parts.map(|(at, part)| self.part(part, at == 0)).collect();
        parts.join("/")
    }

    /// Redacts a component of a path. The first one may be the UDID of a phone; an old UDID looks
    /// like the file names in the components after it.
    fn part(&mut self, part: &str, is_first: bool) -> String {
        if is_modern_udid(part) || self.is_known_udid(part) || (is_first && is_hash(part)) {
            return self.udid(part);
        }
        // Archive name in Apple's format: <UDID>-YYYYMMDD-HHMMSS.
        if let Some((udid, stamp)) = split_archive(part) {
            return format!("{}-{stamp}", self.udid(udid));
        }
        let known = matches!(part, "" | "." | "..")
            || FILES.contains(&part)
            || is_folder(part)
            || is_hash(part);
        if known {
            part.to_owned()
        } else {
            self.stand_in("name", part)
        }
    }

    fn packet(&mut self, number: u64, operation: u64, bytes: &[u8]) -> Packet {
        let known = AFC_OPERATIONS.iter().find(|(n, ..)| *n == operation);
        let (name, words, paths) = match known {
            Some((_, name, words, paths)) => ((*name).to_owned(), *words, *paths),
            None => (operation.to_string(), 0, false),
        };
        let (head, rest) = bytes.split_at(bytes.len().min(words * 8));
        let mut packet = Packet {
            number,
            operation: name,
            words: head
                .chunks_exact(8)
                .map(|word| u64::from_le_bytes(std::array::from_fn(|i| word[i])))
                .collect(),
            paths: Vec::new(),
            data: 0,
        };
        if let Some(facts) = file_facts(rest).filter(|_| operation == AFC_DATA) {
            packet.paths = facts;
        } else if paths {
            let rest = rest.strip_suffix(&[0]).unwrap_or(rest);
            for path in rest.split(|byte| *byte == 0) {
                packet.paths.push(self.path(&String::from_utf8_lossy(path)));
            }
        } else {
            packet.data = rest.len() as u64;
        }
        packet
    }

    pub(super) fn stand_in(&mut self, class: &str, text: &str) -> String {
        if let Some(known) = self.stand_ins.get(text) {
            return known.clone();
        }
        if self.replayed && class_of(text).is_some() {
            return text.to_owned();
        }
        let count = self.counts.entry(class.to_owned()).or_default();
        *count += 1;
        let stand_in = match text {
            _ if is_uuid(text) => {
                format!("00000000-0000-4000-8000-{:012}", self.stand_ins.len() + 1)
            }
            _ if is_mac(text) => format!("02:00:00:00:00:{:02x}", *count % 256),
            _ => format!("{class}-{count}"),
        };
        self.stand_ins.insert(text.to_owned(), stand_in.clone());
        let is_name = !["key", "name", "path", "word"].contains(&class);
        if is_name && NAME_BYTES.contains(&text.len()) && self.names.len() < NAMES_MAX {
            self.names.push((text.to_owned(), stand_in.clone()));
        }
        stand_in
    }
}

/// Returns the keys and values with which AFC describes a file, each ended by a NUL. Sizes, types
/// and times identify no person, and a client in a replay needs them.
fn file_facts(bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes.strip_suffix(&[0])?).ok()?;
    let facts: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let harmless = |pair: &[String]| match pair {
        [name, value] => {
            name.starts_with("st_")
                && is_word(name)
                && (value.starts_with("S_IF") || value.bytes().all(|b| b.is_ascii_digit()))
                && is_word(value)
        }
        _ => false,
    };
    facts.chunks(2).all(harmless).then_some(facts)
}

/// Returns a date as text. plist's own conversion panics at years that RFC 3339 cannot express.
fn rfc3339(date: plist::Date) -> String {
    let time = jiff::Timestamp::try_from(std::time::SystemTime::from(date));
    time.map_or_else(|_| "in no year".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(redactor: &mut Redactor, framing: Framing, xml: &str) -> String {
        let xml = format!("<plist version=\"1.0\">{xml}</plist>");
        let value = crate::base::bounded_plist::parse(xml.as_bytes()).unwrap();
        match redactor.item(framing, Item::Plist(value)) {
            Message::Plist(json) => json.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_names_get_equal_placeholders() {
        let mut redactor = Redactor::default();
        let first = shown(
            &mut redactor,
            Framing::Plists,
            "<dict><key>Key</key><string>DeviceName</string><key>Value</key><string>Mira's iPhone</string></dict>",
        );
        assert_eq!(first, r#"{"Key":"DeviceName","Value":"device-name-1"}"#);
        let later = shown(
            &mut redactor,
            Framing::DeviceLink,
            "<array><string>DLMessageProcessMessage</string><dict><key>ErrorDescription</key><string>Error opening \
             \"/var/mobile/Letter to Tom.pdf\" of Mira's iPhone (MBErrorDomain/100)</string></dict></array>",
        );
        assert!(
            later.contains("of device-name-1 (MBErrorDomain/100)"),
            "{later}"
        );
        assert!(
            !later.contains("Letter") && !later.contains("Tom"),
            "{later}"
        );
    }

    #[test]
    fn udid_placeholder_keeps_the_form() {
        let mut redactor = Redactor::default();
        let shown = shown(
            &mut redactor,
            Framing::Usbmux,
            "<dict><key>UDID</key><string>00008030-001C195E0A88802E</string><key>USBSerialNumber</key>\
             <string>00008030001C195E0A88802E</string></dict>",
        );
        assert_eq!(
            shown,
            r#"{"UDID":"00008000-0000000000000001","USBSerialNumber":"000080000000000000000001"}"#
        );
        assert_eq!(
            redactor.path("00008030-001C195E0A88802E-20261122-101112/Manifest.db"),
            "00008000-0000000000000001-20261122-101112/Manifest.db"
        );
    }

    #[test]
    fn protocol_words_stay_unchanged() {
        let mut redactor = Redactor::default();
        let verdict = shown(
            &mut redactor,
            Framing::DeviceLink,
            "<array><string>DLMessageProcessMessage</string><dict><key>ErrorCode</key><integer>208</integer>\
             <key>ErrorDescription</key><string>Device locked (MBErrorDomain/208)</string><key>MessageName</key>\
             <string>Response</string></dict></array>",
        );
        assert_eq!(
            verdict,
            r#"["DLMessageProcessMessage",{"ErrorCode":208,"ErrorDescription":"Device locked (MBErrorDomain/208)","MessageName":"Response"}]"#
        );
        let request = shown(
            &mut redactor,
            Framing::Plists,
            "<dict><key>Request</key><string>StartService</string><key>Service</key>\
             <string>com.apple.mobilebackup2</string><key>EscrowBag</key><data>AAAA</data></dict>",
        );
        assert_eq!(
            request,
            r#"{"Request":"StartService","Service":"com.apple.mobilebackup2","EscrowBag":{"$data":3}}"#
        );
    }

    #[test]
    fn replaced_key_is_absent_from_value() {
        let shown = shown(
            &mut Redactor::default(),
            Framing::Plists,
            "<dict><key>group.net.whatsapp.shared</key><string>/private/x</string><key>Mira Mueller</key>\
             <array><string>abcd</string><integer>12345678901</integer></array></dict>",
        );
        let lower = shown.to_lowercase();
        assert!(
            !lower.contains("whatsapp") && !lower.contains("mueller"),
            "{shown}"
        );
    }

    #[test]
    fn only_one_word_labels_stay() {
        let label = |text: &str| {
            let xml = format!("<dict><key>Label</key><string>{text}</string></dict>");
            shown(&mut Redactor::default(), Framing::Plists, &xml)
        };
        assert_eq!(label("idevicebackup2"), r#"{"Label":"idevicebackup2"}"#);
        for text in [
            "Miras MacBook Pro",
            "0123456789abcdef0123456789abcdef01234567",
        ] {
            assert_eq!(label(text), r#"{"Label":"label-1"}"#);
        }
    }

    /// Checks that a UDID of an older phone, which has the form of a file ID, is recognised by its
    /// position in a path.
    #[test]
    fn old_udid_is_recognised_by_position() {
        let mut redactor = Redactor::default();
        let (udid, file) = (
            "0123456789abcdef0123456789abcdef01234567",
            "3d0d7e5fb2ce288813306e4d4636395e047a3d28",
        );
        let stand_in = "0000000000000000000000000000000000000001";
        assert_eq!(
            redactor.path(&format!("{udid}/3d/{file}")),
            format!("{stand_in}/3d/{file}")
        );
        let request = format!(
            "<array><string>DLMessageRemoveFiles</string><array><string>{udid}</string><string>{udid}/{file}</string>\
             </array></array>"
        );
        let shown = shown(&mut redactor, Framing::DeviceLink, &request);
        assert_eq!(
            shown,
            format!(r#"["DLMessageRemoveFiles",["{stand_in}","{stand_in}/{file}"]]"#)
        );
    }

    /// Checks that all passwords get the same placeholder, so that a trace does not reveal whether
    /// two are equal.
    #[test]
    fn passwords_share_one_placeholder() {
        let shown = shown(
            &mut Redactor::default(),
            Framing::DeviceLink,
            "<array><string>DLMessageProcessMessage</string><dict><key>OldPassword</key><string>hunter2</string>\
             <key>NewPassword</key><string></string><key>Passcode</key><integer>123456</integer>\
             <key>BackupPassword</key><data>AAAA</data></dict></array>",
        );
        assert_eq!(
            shown,
            r#"["DLMessageProcessMessage",{"OldPassword":"password","NewPassword":"password","name-1":"password","name-2":"password"}]"#
        );
    }

    #[test]
    fn wrapped_keys_show_only_length() {
        let shown = shown(
            &mut Redactor::default(),
            Framing::DeviceLink,
            "<array><string>DLMessageProcessMessage</string><dict><key>BackupKeyBag</key><data>VkVSUwAA</data>\
             <key>ManifestKey</key><data>AwAAAAAA</data><key>EncryptionKey</key><data>AwAA</data></dict></array>",
        );
        assert!(
            shown.contains(r#"{"$data":6}"#) && shown.contains(r#"{"$data":3}"#),
            "{shown}"
        );
        assert!(
            !shown.contains("VkVS") && !shown.contains("AwAA"),
            "{shown}"
        );
    }
}
