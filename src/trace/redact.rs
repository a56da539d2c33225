//! What stands in a trace instead of secrets and identities, decided while recording.
//!
//! Everything that is not known to be harmless is replaced: texts by their key (`device-name-1`), data by its length. The same
//! text gets the same stand-in everywhere, so that a reader can follow it. Harmless are the protocol's own words, numbers
//! that cannot name anybody, and in paths of a backup the names that every backup has (SHA-1 names of files included).
//! [`super::json`] has the form of what JSON lacks.

use std::collections::HashMap;

use plist::{Dictionary, Value};
use serde_json::{Map, Value as Json, json};

use super::framing::{FileEnd, Framing, Item};
use super::line::{AFC_OPERATIONS, Message, Packet};
use super::words::{
    AMOUNTS, CONSTANT, DEVICE_LINK, FILES, INTEGER_MAX, PROSE, SECRET, UDIDS, WORDS, class_of,
    is_apples, is_constant, is_error_name, is_key, is_mac, is_modern_udid, is_uuid, is_word, kebab,
    split_archive,
};
use crate::secret;
use crate::udid::Udid;

/// AFC's answer with bytes.
const AFC_DATA: u64 = 2;

/// Replaces, and remembers by what.
#[derive(Default)]
pub struct Redactor {
    stand_ins: HashMap<String, String>,
    counts: HashMap<String, u32>,
    udids: HashMap<String, u32>,
    /// What is replaced comes from a trace: its stand-ins stay.
    replayed: bool,
}

impl Redactor {
    /// For messages of a client that is told what a trace has.
    pub fn of_a_replay() -> Redactor {
        Redactor {
            replayed: true,
            ..Redactor::default()
        }
    }

    /// An item as it may be written. What it held is wiped.
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

    /// A UDID, in any of its forms; each form of one UDID gets the same form of its stand-in.
    pub fn udid(&mut self, text: &str) -> String {
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

    /// A name of Apple's, such as a service's; any other is replaced.
    pub fn word(&mut self, text: &str) -> String {
        match text {
            "usbmux" | "lockdown" => text.to_owned(),
            _ if is_apples(text) => text.to_owned(),
            _ => self.stand_in("service", text),
        }
    }

    fn value(&mut self, framing: Framing, key: Option<&str>, value: &Value) -> Json {
        match value {
            Value::Boolean(flag) => (*flag).into(),
            Value::Real(real) => match serde_json::Number::from_f64(*real) {
                Some(number) => Json::Number(number),
                None => json!({"$real": real.to_string().to_lowercase()}),
            },
            Value::Integer(_) => self.integer(framing, key, value),
            Value::Data(bytes) => json!({"$data": bytes.len()}),
            Value::Date(date) => json!({"$date": date.to_xml_format()}),
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

    /// An element of an array. The first ones of a DeviceLink message are the protocol's own words.
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
            _ => self.value(framing, key, item),
        }
    }

    fn dictionary(&mut self, framing: Framing, fields: &Dictionary) -> Json {
        // Lockdown answers {"Key": "DeviceName", "Value": ...}.
        let asked = fields.get("Key").and_then(Value::as_string);
        let mut object = Map::new();
        for (name, value) in fields {
            let key = match name.as_str() {
                "Value" => asked.or(Some("Value")),
                other => Some(other),
            };
            let shown = self.key(framing, name);
            // Numbers keep what they count apart, should two names look alike now.
            object.insert(shown, self.value(framing, key, value));
        }
        Json::Object(object)
    }

    fn key(&mut self, framing: Framing, name: &str) -> String {
        if name.starts_with('$') {
            return format!("${}", self.stand_in("key", name));
        }
        if framing == Framing::DeviceLink {
            return match DEVICE_LINK.contains(&name) {
                true => name.to_owned(),
                false => self.path(name),
            };
        }
        let known = WORDS.contains(&name) || CONSTANT.contains(&name) || SECRET.contains(&name);
        match known || is_key(name) || is_apples(name) {
            true if !self.stand_ins.contains_key(name) => name.to_owned(),
            _ => self.text(framing, Some("key"), name),
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
        match harmless {
            true => json,
            false => {
                json!({"$redacted": self.stand_in(&kebab(key.unwrap_or("number")), &size.to_string())})
            }
        }
    }

    fn text(&mut self, framing: Framing, key: Option<&str>, text: &str) -> String {
        let key = key.unwrap_or("text");
        if text.is_empty() {
            return String::new();
        }
        if SECRET.contains(&key) {
            return "password".to_owned();
        }
        if is_modern_udid(text) || (UDIDS.contains(&key) && text.parse::<Udid>().is_ok()) {
            return self.udid(text);
        }
        if CONSTANT.contains(&key) && is_constant(text) {
            return text.to_owned();
        }
        if PROSE.contains(&key) || CONSTANT.contains(&key) {
            return self.prose(text);
        }
        if let Some(known) = self.stand_ins.get(text) {
            return known.clone();
        }
        if is_apples(text) {
            return text.to_owned();
        }
        if framing == Framing::DeviceLink {
            return self.path(text);
        }
        self.stand_in(&kebab(key), text)
    }

    /// A path: names that every backup has stay.
    fn path(&mut self, path: &str) -> String {
        let parts: Vec<String> = path.split('/').map(|part| self.part(part)).collect();
        parts.join("/")
    }

    fn part(&mut self, part: &str) -> String {
        let hex = |n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_hexdigit());
        if self.udids.contains_key(&part.to_ascii_uppercase()) || is_modern_udid(part) {
            return self.udid(part);
        }
        // An archive of Apple's: <UDID>-YYYYMMDD-HHMMSS.
        if let Some((udid, stamp)) = split_archive(part) {
            return format!("{}-{stamp}", self.udid(udid));
        }
        let known = matches!(part, "" | "." | "..") || FILES.contains(&part) || hex(2) || hex(40);
        match known {
            true => part.to_owned(),
            false => self.stand_in("name", part),
        }
    }

    /// A sentence: what is quoted, what looks like a path and what is known to be somebody's is replaced.
    fn prose(&mut self, text: &str) -> String {
        let mut shown = String::new();
        for (at, piece) in text.split('"').enumerate() {
            if at > 0 {
                shown.push('"');
            }
            match at % 2 {
                0 => shown.push_str(&self.plain_prose(piece)),
                _ => shown.push_str(&self.path(piece)),
            }
        }
        let mut known: Vec<(&String, &String)> = self
            .stand_ins
            .iter()
            .filter(|(text, stand_in)| text.len() > 4 && !is_word(text) && text != stand_in)
            .collect();
        known.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        for (text, stand_in) in known {
            if shown.contains(text.as_str()) {
                shown = shown.replace(text.as_str(), stand_in);
            }
        }
        shown
    }

    fn plain_prose(&mut self, text: &str) -> String {
        if let Some((before, rest)) = text.split_once('\'')
            && let Some((quoted, after)) = rest.split_once('\'')
        {
            let (before, after) = (self.plain_prose(before), self.plain_prose(after));
            return format!("{before}'{}'{after}", self.path(quoted));
        }
        let words = text.split(' ').map(|word| {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            // A path goes with all of its slashes.
            if word.contains(['/', '\\']) && !is_error_name(bare) {
                return match word.starts_with(|c: char| c.is_ascii_hexdigit()) {
                    true => self.path(word),
                    false => self.stand_in("path", word),
                };
            }
            match self.identity(bare) {
                Some(stand_in) => word.replace(bare, &stand_in),
                None => word.to_owned(),
            }
        });
        let words: Vec<String> = words.collect();
        words.join(" ")
    }

    /// What stands for a word that identifies by its shape, or is known already.
    fn identity(&mut self, word: &str) -> Option<String> {
        if is_modern_udid(word) || self.udids.contains_key(&word.to_ascii_uppercase()) {
            return Some(self.udid(word));
        }
        if let Some(known) = self.stand_ins.get(word).filter(|_| word.len() > 2) {
            return Some(known.clone());
        }
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let marks = word
            .bytes()
            .filter(|b| matches!(b, b':' | b'-' | b'@'))
            .count();
        let many = digits > 6 || (word.len() > 15 && digits > 3) || marks > 3 || word.contains('@');
        many.then(|| self.stand_in("number", word))
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

    fn stand_in(&mut self, class: &str, text: &str) -> String {
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
        stand_in
    }
}

/// What AFC tells of a file: names and values, each ended by a NUL. Sizes, kinds and times identify nobody, and a client that
/// is played to needs them.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(redactor: &mut Redactor, framing: Framing, xml: &str) -> String {
        let xml = format!("<plist version=\"1.0\">{xml}</plist>");
        let value = crate::bounded_plist::parse(xml.as_bytes()).unwrap();
        match redactor.item(framing, Item::Plist(value)) {
            Message::Plist(json) => json.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_gets_the_same_stand_in_wherever_it_comes() {
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
    fn every_form_of_a_udid_has_the_same_form_of_one_stand_in() {
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
    fn the_protocols_own_words_stay() {
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
    fn passwords_do_not_even_show_whether_they_are_equal() {
        let shown = shown(
            &mut Redactor::default(),
            Framing::DeviceLink,
            "<array><string>DLMessageProcessMessage</string><dict><key>OldPassword</key><string>hunter2</string>\
             <key>NewPassword</key><string>hunter2</string></dict></array>",
        );
        assert_eq!(
            shown,
            r#"["DLMessageProcessMessage",{"OldPassword":"password","NewPassword":"password"}]"#
        );
    }
}
