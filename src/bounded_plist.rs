//! Property lists from outside: parsed with bounds on nesting and on size once expanded.
//!
//! A binary property list may name the same object many times, so a few hundred bytes can unfold to terabytes, and a
//! deeply nested one overflows the stack of whoever drops it.

use std::io::Cursor;

use plist::Value;
use plist::stream::{Event, Reader};

/// How deeply a property list may nest. Phones send less than ten levels.
const DEPTH_MAX: usize = 64;
/// Bytes of text and data that a list may unfold to, per byte of its own (keys such as `DLFileType` are shared).
const UNFOLD_MAX: usize = 64;

/// Why bytes are no property list that we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAPlist(String);

impl std::fmt::Display for NotAPlist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no valid property list: {}", self.0)
    }
}

impl std::error::Error for NotAPlist {}

/// Parses an XML or binary property list. The older text form, which phones never send, is refused.
pub fn parse(bytes: &[u8]) -> Result<Value, NotAPlist> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !bytes.starts_with(b"bplist00") && !text.trim_ascii_start().starts_with(b"<") {
        return Err(NotAPlist("it is neither XML nor binary".to_owned()));
    }
    let mut guard = Guard {
        depth: 0,
        // Every event costs at least one byte in either form, unless containers are shared.
        events_left: bytes.len() + 16,
        bytes_left: bytes.len().saturating_mul(UNFOLD_MAX) + (1 << 20),
        fault: None,
    };
    let events = Reader::new(Cursor::new(bytes)).map_while(|event| match event {
        Ok(event) if guard.admits(&event) => Some(Ok(event)),
        Ok(_) => None,
        Err(e) => Some(Err(e)),
    });
    let value = Value::from_events(events);
    match guard.fault {
        Some(why) => Err(NotAPlist(why.to_owned())),
        None => value.map_err(|e| NotAPlist(e.to_string())),
    }
}

struct Guard {
    depth: usize,
    events_left: usize,
    bytes_left: usize,
    fault: Option<&'static str>,
}

impl Guard {
    fn admits(&mut self, event: &Event<'_>) -> bool {
        let length = match event {
            Event::StartArray(_) | Event::StartDictionary(_) => {
                self.depth += 1;
                0
            }
            Event::EndCollection => {
                self.depth = self.depth.saturating_sub(1);
                // Closing costs no byte in the binary form.
                self.events_left += 1;
                0
            }
            Event::String(text) => text.len(),
            Event::Data(data) => data.len(),
            _ => 0,
        };
        if self.depth > DEPTH_MAX {
            self.fault = Some("it nests too deeply");
        } else if self.events_left == 0 {
            self.fault = Some("it unfolds to more objects than it has bytes");
        } else if self.bytes_left < length {
            self.fault = Some("it unfolds to far more than its own size");
        }
        self.events_left = self.events_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(length);
        self.fault.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary list of `depth` arrays, each naming the next one `fan` times.
    fn nested(depth: u8, fan: u8) -> Vec<u8> {
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for i in 0..depth {
            offsets.push(u16::try_from(bytes.len()).unwrap());
            bytes.push(0xa0 | fan);
            bytes.extend(std::iter::repeat_n(i + 1, fan.into()));
        }
        offsets.push(u16::try_from(bytes.len()).unwrap());
        bytes.push(0x09);
        let table = bytes.len() as u64;
        for offset in &offsets {
            bytes.extend(offset.to_be_bytes());
        }
        bytes.extend([0, 0, 0, 0, 0, 0, 2, 1]);
        bytes.extend((offsets.len() as u64).to_be_bytes());
        bytes.extend(0u64.to_be_bytes());
        bytes.extend(table.to_be_bytes());
        bytes
    }

    #[test]
    fn a_list_that_unfolds_without_end_is_refused() {
        assert!(parse(&nested(3, 1)).is_ok());
        assert!(
            parse(&nested(40, 2))
                .unwrap_err()
                .to_string()
                .contains("unfolds")
        );
    }

    #[test]
    fn absurd_depth_is_refused_in_both_forms() {
        assert!(
            parse(&nested(200, 1))
                .unwrap_err()
                .to_string()
                .contains("deep")
        );
        let xml = format!("<plist version=\"1.0\">{}", "<array>".repeat(500_000));
        assert!(
            parse(xml.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("deep")
        );
    }

    #[test]
    fn rubbish_and_nothing_are_errors() {
        for bytes in [
            &b""[..],
            b"x",
            b"bplist00",
            &[0; 100],
            b"{ a = b; }",
            b"<plist>",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
