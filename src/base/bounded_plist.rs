//! Parses property lists from outside, with limits on nesting and on the expanded size.
//!
//! A binary property list may refer to the same object many times, so a few hundred bytes can
//! expand to terabytes. A deeply nested list overflows the stack when it is dropped.

use std::borrow::Cow;
use std::io::{BufReader, Cursor, Read, Seek};
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use plist::stream::{Event, Reader};
use plist::{Date, Value};

/// The deepest nesting allowed. Phones send fewer than ten levels.
const DEPTH_MAX: usize = 64;
/// The most bytes of memory that a list may expand to, per byte of its length (keys such as
/// `DLFileType` are shared).
const UNFOLD_MAX: usize = 16;
/// The range to which the limit from [`UNFOLD_MAX`] is clamped, in bytes.
const UNFOLD_BYTES: RangeInclusive<usize> = 16 << 20..=384 << 20;
/// The memory that an object is assumed to use beside its text, in bytes.
const OBJECT_BYTES: usize = 64;
/// The range of dates that every form of a property list can write, in seconds since 1970.
const DATES: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The error for bytes that are not an acceptable property list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAPlist(String);

impl std::fmt::Display for NotAPlist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a valid property list: {}", self.0)
    }
}

impl std::error::Error for NotAPlist {}

/// Parses an XML or binary property list. The older text form, which phones never send, is an
/// error.
pub fn parse(bytes: &[u8]) -> Result<Value, NotAPlist> {
    let bytes = &*plain_xml(bytes);
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !bytes.starts_with(b"bplist00") && !text.trim_ascii_start().starts_with(b"<") {
        return Err(NotAPlist("it is neither XML nor binary".to_owned()));
    }
    let mut guard = Guard::new(bytes.len());
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

/// Calls `each` for every string, number, date and piece of data in a list, with the names of the
/// dictionary keys that lead to it. An array contributes the name "". `bytes` is the length of the
/// list. Only one such value is in memory at a time, plus for XML the text read so far, since
/// plist's reader (1.10) keeps it. That is a third of the memory that the whole list would need.
pub(crate) fn visit(
    mut from: impl Read + Seek,
    bytes: u64,
    each: impl FnMut(&[String], Event<'_>),
) -> Result<(), NotAPlist> {
    let cannot = |e: std::io::Error| NotAPlist(e.to_string());
    if !has_other_xml(&mut from).map_err(cannot)? {
        return visit_plain(from, bytes, each);
    }
    let mut all = Vec::new();
    let read = from.by_ref().take(OTHER_XML_BYTES_MAX + 1);
    { read }.read_to_end(&mut all).map_err(cannot)?;
    if all.len() as u64 > OTHER_XML_BYTES_MAX {
        return Err(NotAPlist("it is too large for XML of this form".to_owned()));
    }
    let plain = plain_xml(&all);
    visit_plain(Cursor::new(&*plain), plain.len() as u64, each)
}

/// Visits a list that [`plain_xml`] would not change.
fn visit_plain(
    from: impl Read + Seek,
    bytes: u64,
    mut each: impl FnMut(&[String], Event<'_>),
) -> Result<(), NotAPlist> {
    let mut guard = Guard::new(usize::try_from(bytes).unwrap_or(usize::MAX));
    let mut path: Vec<String> = Vec::new();
    // For each open dictionary: true if a key comes next. For each open array: `None`.
    let mut open: Vec<Option<bool>> = Vec::new();
    for event in Reader::new(BufReader::new(from)) {
        let event = event.map_err(|e| NotAPlist(e.to_string()))?;
        if !guard.admits(&event) {
            break;
        }
        if open.is_empty() && !matches!(event, Event::StartDictionary(_)) {
            return Err(NotAPlist("it is not a dictionary".to_owned()));
        }
        match (event, open.last_mut()) {
            (Event::EndCollection, _) => {
                open.pop();
                path.pop();
                if let Some(Some(names_next)) = open.last_mut() {
                    *names_next = true;
                }
            }
            (Event::String(name), Some(Some(names_next))) if *names_next => {
                if let Some(place) = path.last_mut() {
                    *place = name.into_owned();
                }
                *names_next = false;
            }
            (Event::StartDictionary(_), _) => {
                open.push(Some(true));
                path.push(String::new());
            }
            (Event::StartArray(_), _) => {
                open.push(None);
                path.push(String::new());
            }
            (value, within) => {
                each(&path, value);
                if let Some(Some(names_next)) = within {
                    *names_next = true;
                }
            }
        }
        if open.is_empty() {
            break;
        }
    }
    match guard.fault {
        Some(why) => Err(NotAPlist(why.to_owned())),
        None if !open.is_empty() => Err(NotAPlist("it is truncated".to_owned())),
        None => Ok(()),
    }
}

/// The largest list in UTF-16 or with CDATA that [`visit`] accepts, in bytes, since it is read as a
/// whole.
const OTHER_XML_BYTES_MAX: u64 = 64 << 20;
const CDATA: &[u8] = b"<![CDATA[";
const CDATA_END: &[u8] = b"]]>";
const COMMENT: &[u8] = b"<!--";
const COMMENT_END: &[u8] = b"-->";

/// Returns XML as UTF-8 with CDATA sections replaced by escaped text, since plist's reader (1.10)
/// ignores such sections. Returns anything else unchanged.
fn plain_xml(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.starts_with(b"bplist00") {
        return bytes.into();
    }
    let text = match utf_16(bytes) {
        Some(text) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(bytes),
    };
    if find(&text, CDATA).is_none() {
        return text;
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        plain.extend(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with(COMMENT) {
            // A section inside a comment does not count.
            let end = find(rest, COMMENT_END).map_or(rest.len(), |end| end + COMMENT_END.len());
            rest = &rest[end..];
        } else if let Some(section) = rest.strip_prefix(CDATA) {
            let end = find(section, CDATA_END).unwrap_or(section.len());
            for byte in &section[..end] {
                match byte {
                    b'<' => plain.extend(b"&lt;"),
                    b'>' => plain.extend(b"&gt;"),
                    b'&' => plain.extend(b"&amp;"),
                    byte => plain.push(*byte),
                }
            }
            rest = section.get(end + CDATA_END.len()..).unwrap_or_default();
        } else {
            plain.push(b'<');
            rest = &rest[1..];
        }
    }
    plain.extend(rest);
    plain.into()
}

/// Returns the text if the bytes are UTF-16, which is recognized by a byte order mark or by the "<"
/// with which XML begins.
fn utf_16(bytes: &[u8]) -> Option<String> {
    let (is_big, text) = match bytes {
        [0xfe, 0xff, rest @ ..] => (true, rest),
        [0xff, 0xfe, rest @ ..] => (false, rest),
        [0, b'<', ..] => (true, bytes),
        [b'<', 0, ..] => (false, bytes),
        _ => return None,
    };
    let units = text.chunks_exact(2).map(|unit| {
        if is_big {
            u16::from_be_bytes([unit[0], unit[1]])
        } else {
            u16::from_le_bytes([unit[0], unit[1]])
        }
    });
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

/// Returns true if [`plain_xml`] would change the list, and rewinds to its beginning.
fn has_other_xml(from: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    let mut window = vec![0; 64 << 10];
    let (mut kept, mut is_first, mut found) = (0, true, false);
    while !found {
        let read = from.read(&mut window[kept..])?;
        let seen = &window[..kept + read];
        if read == 0 || is_first && seen.starts_with(b"bplist00") {
            break;
        }
        found =
            is_first && utf_16(&seen[..seen.len().min(2)]).is_some() || find(seen, CDATA).is_some();
        is_first = false;
        // The start of a section may be split between two windows.
        let end = kept + read;
        kept = end.min(CDATA.len() - 1);
        window.copy_within(end - kept..end, 0);
    }
    from.rewind()?;
    Ok(found)
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == mark[0])?;
        if bytes[at..].starts_with(mark) {
            return Some(at);
        }
        at += 1;
    }
}

/// Returns the nearest time that every form of a date can hold: times before 1970 or after the year
/// 9000 are replaced by that limit. The clocks of computers and the times of files can be anything.
pub(crate) fn writable(time: SystemTime) -> SystemTime {
    const LAST: Duration = Duration::from_secs(221_845_392_000);
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + since.unwrap_or_default().min(LAST)
}

struct Guard {
    depth: usize,
    events_left: usize,
    bytes_left: usize,
    fault: Option<&'static str>,
}

impl Guard {
    fn new(bytes: usize) -> Guard {
        Guard {
            depth: 0,
            // Every event takes at least one byte in either form, unless containers are shared.
            events_left: bytes.saturating_add(16),
            bytes_left: bytes
                .saturating_mul(UNFOLD_MAX)
                .clamp(*UNFOLD_BYTES.start(), *UNFOLD_BYTES.end()),
            fault: None,
        }
    }

    fn admits(&mut self, event: &Event<'_>) -> bool {
        let length = match event {
            Event::StartArray(_) | Event::StartDictionary(_) => {
                self.depth += 1;
                0
            }
            Event::EndCollection => {
                self.depth = self.depth.saturating_sub(1);
                // The end of a collection takes no bytes in the binary form.
                self.events_left += 1;
                0
            }
            Event::String(text) => text.len(),
            Event::Data(data) => data.len(),
            Event::Date(date) if !DATES.contains(&seconds(*date)) => {
                self.fault = Some("the year of a date is out of range");
                return false;
            }
            _ => 0,
        };
        let length = length + OBJECT_BYTES;
        if self.depth > DEPTH_MAX {
            self.fault = Some("it nests too deeply");
        } else if self.events_left == 0 {
            self.fault = Some("it expands to more objects than it has bytes");
        } else if self.bytes_left < length {
            self.fault = Some("it expands to far more than its own size");
        }
        self.events_left = self.events_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(length);
        self.fault.is_none()
    }
}

fn seconds(date: Date) -> i64 {
    let time = SystemTime::from(date);
    let whole = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visit_reports_values_with_paths() {
        let list = r#"<plist version="1.0"><dict><key>a</key><string>1</string><key>b</key><dict><key>c</key><array>
            <string>2</string><dict><key>d</key><integer>3</integer></dict><true/></array><key>e</key><data>BAUG</data>
            </dict><key>f</key><dict/><key>g</key><string>7</string></dict></plist>"#;
        let mut binary = Vec::new();
        let value = parse(list.as_bytes()).unwrap();
        value.to_writer_binary(&mut binary).unwrap();
        for bytes in [list.as_bytes(), &binary] {
            let mut met = Vec::new();
            let each = |path: &[String], _: Event| met.push(path.join("/"));
            visit(Cursor::new(bytes), bytes.len() as u64, each).unwrap();
            assert_eq!(met, ["a", "b/c/", "b/c//d", "b/c/", "b/e", "g"]);
        }
        for cut in 0..binary.len() {
            let bytes = &binary[..cut];
            assert!(visit(Cursor::new(bytes), cut as u64, |_, _| {}).is_err());
        }
        for bytes in [&nested(60, 2)[..], b"<plist><array/></plist>", b""] {
            let length = bytes.len() as u64;
            assert!(visit(Cursor::new(bytes), length, |_, _| {}).is_err());
        }
    }

    #[test]
    fn cdata_and_utf_16_are_read() {
        let text = |name: &str| {
            format!(
                "<?xml version=\"1.0\"?><plist><dict><key>a</key><string>{name}</string></dict></plist>"
            )
        };
        let big: Vec<u8> = text("Mira &amp; 写真")
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let little: Vec<u8> = text("Mira &amp; 写真")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let long = "x".repeat(70_000);
        for (bytes, wanted) in [
            (
                text("<![CDATA[Mira & ]]><![CDATA[写真]]>").into_bytes(),
                "Mira & 写真".to_owned(),
            ),
            (
                text("Mira &amp; <!-- <![CDATA[ --><![CDATA[写真]]>").into_bytes(),
                "Mira & 写真".to_owned(),
            ),
            (
                text(&format!("{long}<![CDATA[<b>]]>")).into_bytes(),
                format!("{long}<b>"),
            ),
            ([&[0xfe, 0xff], &big[..]].concat(), "Mira & 写真".to_owned()),
            (
                [&[0xff, 0xfe], &little[..]].concat(),
                "Mira & 写真".to_owned(),
            ),
            (big, "Mira & 写真".to_owned()),
            (little, "Mira & 写真".to_owned()),
        ] {
            let value = parse(&bytes).unwrap();
            let read = value
                .as_dictionary()
                .and_then(|fields| fields.get("a")?.as_string());
            assert_eq!(read, Some(&*wanted));
            let mut met = Vec::new();
            let each = |_: &[String], event: Event| {
                if let Event::String(text) = event {
                    met.push(text.into_owned());
                }
            };
            visit(Cursor::new(&bytes), bytes.len() as u64, each).unwrap();
            assert_eq!(met, [wanted]);
        }
        // An incomplete section is still an error.
        assert!(parse(text("<![CDATA[x").as_bytes()).is_err());
        assert!(parse(&[0xfe, 0xff, 0, b'<', 0]).is_err());
    }

    #[test]
    fn every_time_becomes_a_writable_date() {
        let epoch = SystemTime::UNIX_EPOCH;
        let day = Duration::from_secs(86_400);
        assert_eq!(writable(epoch - day), epoch);
        assert_eq!(writable(epoch + day), epoch + day);
        for years in [7_030u32, 8_000, 100_000] {
            // Windows cannot represent the last one.
            let Some(time) = epoch.checked_add(day * 366 * years) else {
                continue;
            };
            let date = Date::from(writable(time)).to_xml_format();
            assert!(date.starts_with("9000-"), "{date}");
        }
    }

    /// Returns a binary list of `depth` nested arrays. Every array refers to the next one `fan`
    /// times.
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
    fn exponentially_expanding_plist_is_refused() {
        assert!(parse(&nested(3, 1)).is_ok());
        assert!(
            parse(&nested(40, 2))
                .unwrap_err()
                .to_string()
                .contains("expands")
        );
    }

    #[test]
    fn memory_amplifying_plist_is_refused() {
        // A single string of 64 bytes is referred to a million times.
        const NAMES: u32 = 1_000_000;
        let mut bytes = b"bplist00\xaf\x12".to_vec();
        bytes.extend(NAMES.to_be_bytes());
        bytes.extend(std::iter::repeat_n(1, NAMES as usize));
        let text = bytes.len() as u32;
        bytes.extend(b"\x5f\x10\x40");
        bytes.extend([b'x'; 64]);
        let table = bytes.len() as u64;
        bytes.extend([8u32, text].iter().flat_map(|at| at.to_be_bytes()));
        bytes.extend([0, 0, 0, 0, 0, 0, 4, 1]);
        bytes.extend([2u64, 0, table].iter().flat_map(|n| n.to_be_bytes()));
        let refused = parse(&bytes).unwrap_err().to_string();
        assert!(refused.contains("expands"), "{refused}");
    }

    /// Checks that a date that cannot be written again is refused while reading.
    #[test]
    fn out_of_range_dates_are_refused() {
        let dated = |seconds: f64| {
            let mut bytes = b"bplist00\x33".to_vec();
            bytes.extend(seconds.to_be_bytes());
            bytes.extend([17 - 8]);
            bytes[17] = 8;
            bytes.extend([0, 0, 0, 0, 0, 0, 1, 1]);
            bytes.extend([1u64, 0, 17].iter().flat_map(|n| n.to_be_bytes()));
            parse(&bytes)
        };
        assert!(dated(700_000_000.0).is_ok());
        for seconds in [-7e10, 1e12, f64::NAN, f64::INFINITY] {
            assert!(dated(seconds).is_err(), "{seconds}");
        }
    }

    #[test]
    fn excessive_plist_depth_is_refused() {
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
    fn malformed_and_empty_plists_are_errors() {
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
