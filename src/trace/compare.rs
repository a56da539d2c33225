//! Compares messages by their meaning. The order of keys does not matter; a status does.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::line::Message;
use crate::trace::redact::words::class_of;

/// Keys under which a program identifies itself. Phones ignore their values.
const CALLS_ITSELF: [&str; 6] = [
    "BundleID",
    "ClientVersionString",
    "Label",
    "ProgName",
    "ProtocolVersion",
    "kLibUSBMuxVersion",
];
/// Error texts, which only explain a code, and values that differ between disks.
const WORDS: [&str; 2] = ["DLFileErrorString", "DLDeviceIOCallbacks"];

/// The computer's own file in a backup. Its existence and length depend on the computer alone.
const OWN_FILE: &str = "Info.plist";

/// Returns the first difference in meaning between `recorded` and `came`, or `None` if both mean
/// the same. `question` is the message of the phone that both answer, if any.
pub(crate) fn departure(
    recorded: &Message,
    came: &Message,
    question: Option<&str>,
) -> Option<String> {
    match (recorded, came) {
        (Message::Plist(one), Message::Plist(other)) => message(one, other, question),
        (
            Message::File {
                to,
                size,
                sha256,
                end,
                ..
            },
            Message::File {
                to: other_to,
                size: other_size,
                sha256: other_sha256,
                end: other_end,
                ..
            },
        ) => {
            use super::framing::FileEnd::Failed;
            let ends_alike = match (end, other_end) {
                (Failed(one, _), Failed(other, _)) => one == other,
                (one, other) => one == other,
            };
            let unknown = sha256.is_empty() || other_sha256.is_empty();
            if normal(to) != normal(other_to) {
                Some(format!("the file {to} was recorded, {other_to} came"))
            } else if !ends_alike {
                Some(format!(
                    "{to} ended with {end:?}, and now with {other_end:?}"
                ))
            } else if !unknown && size != other_size {
                Some(format!("{to} had {size} bytes, and now {other_size}"))
            } else if !unknown && sha256 != other_sha256 {
                Some(format!("{to} has other contents"))
            } else {
                None
            }
        }
        (Message::Afc(one), Message::Afc(other)) => {
            let same = one.operation == other.operation
                && one.words == other.words
                && one.paths.len() == other.paths.len()
                && one
                    .paths
                    .iter()
                    .zip(&other.paths)
                    .all(|(a, b)| normal(a) == normal(b));
            (!same).then(|| format!("{} was recorded, {} came", afc(one), afc(other)))
        }
        (one, other) if one == other => None,
        (one, other) => Some(format!("{} was recorded, {} came", kind(one), kind(other))),
    }
}

fn afc(packet: &super::line::Packet) -> String {
    format!("{} {:?} {:?}", packet.operation, packet.words, packet.paths)
}

/// Describes the type of a message in a few words.
pub fn kind(message: &Message) -> String {
    match message {
        Message::Plist(value) => name(value).unwrap_or("a property list").to_owned(),
        Message::File { to, .. } => format!("the file {to}"),
        Message::FilesEnd => "the end of files".to_owned(),
        Message::Afc(packet) => packet.operation.clone(),
        Message::Raw(bytes) => format!("{bytes} bytes that are no message"),
    }
}

/// Returns the name of a message of DeviceLink, lockdown or a service.
pub fn name(value: &Json) -> Option<&str> {
    match value {
        Json::Array(parts) => {
            let inner = parts.get(1).and_then(|part| part.get("MessageName"));
            inner.or(parts.first())?.as_str()
        }
        Json::Object(fields) => ["Request", "MessageType", "Command", "command", "Status"]
            .iter()
            .find_map(|key| fields.get(*key)?.as_str()),
        _ => None,
    }
}

fn message(one: &Json, other: &Json, question: Option<&str>) -> Option<String> {
    let (Json::Array(parts), Json::Array(others)) = (one, other) else {
        return value("", one, other);
    };
    let is = |name: &str| {
        let first = |parts: &[Json]| parts.first().and_then(Json::as_str) == Some(name);
        first(parts) && first(others)
    };
    if is("DLMessageDisconnect") {
        return None;
    }
    if !is("DLMessageStatusResponse") {
        return value("", one, other);
    }
    // [name, status, words, payload]
    let at = |parts: &[Json], i: usize| parts.get(i).cloned().unwrap_or(Json::Null);
    let status = value("status", &at(parts, 1), &at(others, 1));
    status.or_else(|| {
        let (payload, came) = (at(parts, 3), at(others, 3));
        let free_space = matches!(
            question,
            Some("DLMessageGetFreeDiskSpace" | "DLMessagePurgeDiskSpace")
        );
        let unsaid = says_nothing(&payload) && says_nothing(&came);
        // The amount of free space differs between disks.
        if unsaid || (free_space && payload.is_number() && came.is_number()) {
            None
        } else {
            value("payload", &payload, &came)
        }
    })
}

fn says_nothing(payload: &Json) -> bool {
    match payload {
        Json::Object(fields) => fields.is_empty(),
        Json::String(text) => text.is_empty() || text == "___EmptyParameterString___",
        Json::Number(number) => number.as_f64() == Some(0.0),
        other => other.is_null(),
    }
}

fn value(at: &str, one: &Json, other: &Json) -> Option<String> {
    let differ = || {
        Some(format!(
            "{at}: {} was recorded, {} came",
            short(one),
            short(other)
        ))
    };
    match (one, other) {
        (Json::Object(fields), Json::Object(others)) => object(at, fields, others),
        (Json::Array(items), Json::Array(others)) if items.len() == others.len() => {
            let both = items.iter().zip(others).enumerate();
            let mut found =
                both.filter_map(|(n, (one, other))| value(&format!("{at}[{n}]"), one, other));
            found.next()
        }
        (Json::String(text), Json::String(other)) if normal(text) == normal(other) => None,
        (Json::Number(n), Json::Number(m)) if n.as_f64() == m.as_f64() => None,
        // Some programs send negative numbers in unsigned form.
        (Json::Number(n), Json::Number(m)) if signed(n).is_some() && signed(n) == signed(m) => None,
        (one, other) if one == other => None,
        _ => differ(),
    }
}

fn signed(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or(number.as_u64().map(u64::cast_signed))
}

fn object(at: &str, one: &Map<String, Json>, other: &Map<String, Json>) -> Option<String> {
    // Of redacted values and times, compare only the type.
    for kind in ["$data", "$date", "$redacted"] {
        if one.contains_key(kind) && other.contains_key(kind) {
            return None;
        }
    }
    let is_folder = |fields: &Map<String, Json>| {
        fields.get("DLFileType").and_then(Json::as_str) == Some("DLFileTypeDirectory")
    };
    let ignored = |key: &str| {
        key == OWN_FILE
            || CALLS_ITSELF.contains(&key)
            || WORDS.contains(&key)
            || (key == "DLFileSize" && is_folder(one) && is_folder(other))
    };
    // Keys may be placeholders: treat those of one class as equal, and compare their values in
    // order.
    let grouped = |fields: &'_ Map<String, Json>| {
        let mut groups: BTreeMap<String, Vec<Json>> = BTreeMap::new();
        for (key, value) in fields.iter().filter(|(key, _)| !ignored(key)) {
            groups.entry(normal(key)).or_default().push(value.clone());
        }
        groups
    };
    let (recorded, mut came) = (grouped(one), grouped(other));
    for (key, recorded) in recorded {
        let came = came.remove(&key).unwrap_or_default();
        for (recorded, came) in recorded.iter().zip(&came) {
            if let Some(found) = value(&format!("{at}.{key}"), recorded, came) {
                return Some(found);
            }
        }
        match recorded.len().cmp(&came.len()) {
            Ordering::Greater => return Some(format!("{at}.{key} was recorded, and did not come")),
            Ordering::Less => return Some(format!("{at}.{key} came, and was not recorded")),
            Ordering::Equal => {}
        }
    }
    let extra = came.keys().next();
    extra.map(|key| format!("{at}.{key} came, and was not recorded"))
}

/// Replaces the placeholders in a text by their class, without the number.
fn normal(text: &str) -> String {
    let parts = text.split('/').map(|part| match class_of(part) {
        Some(class) => class,
        _ if part.starts_with("00000000-0000-4000-8000-") => "uuid",
        _ if part.starts_with("02:00:00:00:00:") => "mac",
        _ => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn same(one: Json, other: Json, question: Option<&str>) -> bool {
        departure(&Message::Plist(one), &Message::Plist(other), question).is_none()
    }

    #[test]
    fn equivalent_messages_compare_equal() {
        for (one, other) in [
            (json!({"a": 1, "b": 2}), json!({"b": 2.0, "a": 1})),
            (json!({"a": {"$data": 5}}), json!({"a": {"$data": 900}})),
            (
                json!({"HostID": "host-id-1"}),
                json!({"HostID": "host-id-4"}),
            ),
            (
                json!({"Label": "x", "Request": "y"}),
                json!({"Request": "y"}),
            ),
            (
                json!([
                    "DLMessageStatusResponse",
                    0,
                    "___EmptyParameterString___",
                    {}
                ]),
                json!(["DLMessageStatusResponse", 0, "", 0]),
            ),
            (
                json!({"x": {"DLFileType": "DLFileTypeDirectory", "DLFileSize": 64}}),
                json!({"x": {"DLFileType": "DLFileTypeDirectory", "DLFileSize": 4096}}),
            ),
        ] {
            assert!(same(one.clone(), other.clone(), None), "{one} {other}");
        }
    }

    #[test]
    fn changed_values_compare_as_different() {
        for (one, other) in [
            (json!({"a": 1}), json!({"a": 2})),
            (json!({"a": 1}), json!({})),
            (json!({}), json!({"a": 1})),
            (
                json!(["DLMessageStatusResponse", 0, "", {}]),
                json!(["DLMessageStatusResponse", -6, "", {}]),
            ),
            (
                json!(["DLMessageStatusResponse", 0, "", 5]),
                json!(["DLMessageStatusResponse", 0, "", 6]),
            ),
            (
                json!(["a", "U/Status.plist"]),
                json!(["a", "U/Manifest.db"]),
            ),
        ] {
            assert!(!same(one.clone(), other.clone(), None), "{one} {other}");
        }
    }

    #[test]
    fn placeholder_keys_compare_one_to_one() {
        let two = |first: u64, second: u64| json!({"name-1": first, "name-2": second});
        assert!(same(two(1, 2), two(1, 2), None));
        assert!(!same(two(1, 2), two(3, 2), None));
        assert!(!same(two(1, 2), json!({"name-1": 1}), None));
        assert!(!same(json!({"name-1": 1}), two(1, 2), None));
    }

    #[test]
    fn free_space_may_differ() {
        let free = |bytes: u64| json!(["DLMessageStatusResponse", 0, "", bytes]);
        assert!(same(free(5), free(6), Some("DLMessageGetFreeDiskSpace")));
    }
}
