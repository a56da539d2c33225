//! The edits and unsends of a message, from the property list in `message_summary_info`.
//!
//! ```text
//! ec   part -> list of { t: archived body, d: seconds since 2001 }, oldest first
//! rp   numbers of the parts that were unsent
//! otr  part -> range of the part in the original text
//! ```

use plist::Value;

use crate::base::bounded_plist;
use crate::content::Time;
use crate::content::messages::body;
use crate::content::messages::record::{Edit, Version};

/// The most versions of a part that are read. Phones allow five edits.
const VERSIONS_MAX: usize = 100;

/// The edits and unsends of a message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) edits: Vec<Edit>,
    pub(super) unsent_parts: Vec<u64>,
    /// The number of parts that the message had when it was sent; 0 if unknown.
    pub(super) parts: usize,
}

impl Summary {
    /// Parses the property list. One that cannot be read has no edits.
    pub(super) fn parse(bytes: &[u8]) -> Summary {
        let Ok(Value::Dictionary(list)) = bounded_plist::parse(bytes) else {
            return Summary::default();
        };
        let mut summary = Summary::default();
        if let Some(edited) = list.get("ec").and_then(Value::as_dictionary) {
            summary.edits = edited
                .iter()
                .filter_map(|(part, versions)| {
                    let versions = versions.as_array()?.iter().take(VERSIONS_MAX);
                    Some(Edit {
                        part: part.parse().ok()?,
                        versions: versions.map(version).collect(),
                    })
                })
                .collect();
            summary.edits.sort_by_key(|edit| edit.part);
        }
        if let Some(parts) = list.get("rp").and_then(Value::as_array) {
            let numbers = parts.iter().filter_map(Value::as_unsigned_integer);
            summary.unsent_parts = numbers.collect();
        }
        let ranges = list.get("otr").and_then(Value::as_dictionary);
        summary.parts = ranges.map_or(0, plist::Dictionary::len);
        summary
    }
}

fn version(value: &Value) -> Version {
    let fields = value.as_dictionary();
    let get = |key| fields.and_then(|fields| fields.get(key));
    Version {
        time: get("d").and_then(|time| match time {
            Value::Real(seconds) => Time::from_real(*seconds),
            Value::Integer(seconds) => Time::from_real(seconds.as_signed()? as f64),
            _ => None,
        }),
        text: get("t").and_then(Value::as_data).and_then(body::text_of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_summaries_have_no_edits() {
        for bytes in [&b""[..], b"bplist00", b"<plist><array/></plist>"] {
            assert_eq!(Summary::parse(bytes), Summary::default());
        }
        let odd =
            b"<plist version=\"1.0\"><dict><key>ec</key><dict><key>x</key><array/><key>1</key>\
            <array><string>no</string></array></dict><key>rp</key><array><integer>2</integer>\
            <integer>-1</integer></array></dict></plist>";
        let summary = Summary::parse(odd);
        assert_eq!(summary.edits.len(), 1);
        assert_eq!(
            (summary.edits[0].part, summary.edits[0].versions.len()),
            (1, 1)
        );
        assert_eq!(summary.unsent_parts, [2]);
    }
}
