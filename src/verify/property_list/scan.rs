//! Recognizes the form and the encoding of a property list, and scans it.

use std::borrow::Cow;

use super::binary::Binary;
use super::xml::Xml;

/// Result of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// CFPropertyList accepts the list.
    Valid,
    /// The text is in an encoding that this scan does not read.
    Unknown,
    /// CFPropertyList does not accept the list; the reason.
    Broken(&'static str),
}

/// Scans a whole property list, binary or XML.
pub(crate) fn scan(bytes: &[u8]) -> Scan {
    let scanned = if bytes.starts_with(b"bplist00") {
        Binary::open(bytes).and_then(|list| list.walk())
    } else {
        match text_of(bytes) {
            Ok(Some(text)) => Xml::new(&text).document(),
            Ok(None) => return Scan::Unknown,
            Err(why) => Err(why),
        }
    };
    scanned.map_or_else(Scan::Broken, |()| Scan::Valid)
}

/// Returns true if a file with this beginning is an XML property list in UTF-8 or UTF-16.
pub(crate) fn is_xml(head: &[u8]) -> bool {
    // Compare bytes: most files are neither, and decoding each as text took an eighth of a check.
    let text = match utf16_of(head) {
        Some(text) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(head.strip_prefix(UTF8_MARK).unwrap_or(head)),
    };
    let has_plist = || text.windows(b"<plist".len()).any(|part| part == b"<plist");
    let is_declared = text.starts_with(b"<?xml") && has_plist();
    is_declared || text.starts_with(b"<!DOCTYPE plist") || text.starts_with(b"<plist")
}

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Decodes UTF-16, with or without a byte order mark. Returns `None` if the bytes do not begin like
/// XML in UTF-16.
fn utf16_of(bytes: &[u8]) -> Option<String> {
    let (from, rest): (fn([u8; 2]) -> u16, _) = match bytes {
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0, b'<', ..] => (u16::from_be_bytes, bytes),
        [b'<', 0, ..] => (u16::from_le_bytes, bytes),
        _ => return None,
    };
    let (units, _) = rest.as_chunks::<2>();
    let units = units.iter().map(|unit| from(*unit));
    // CFString accepts half a surrogate pair.
    Some(
        char::decode_utf16(units)
            .map(|c| c.unwrap_or('\u{fffd}'))
            .collect(),
    )
}

/// Returns the text of an XML property list; `None` if its encoding is neither UTF-8 nor UTF-16.
fn text_of(bytes: &[u8]) -> Result<Option<Cow<'_, str>>, &'static str> {
    if let Some(text) = utf16_of(bytes) {
        return Ok(Some(Cow::Owned(text)));
    }
    let bytes = bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) if is_utf8_declared(text) => Ok(Some(Cow::Borrowed(text))),
        Ok(_) => Ok(None),
        Err(e) => {
            let (valid, _) = bytes.split_at(e.valid_up_to());
            let is_utf8 = std::str::from_utf8(valid).is_ok_and(is_utf8_declared);
            if is_utf8 {
                Err("its text is not valid UTF-8")
            } else {
                Ok(None)
            }
        }
    }
}

/// Returns true unless the XML declaration names an encoding other than UTF-8 or ASCII.
fn is_utf8_declared(text: &str) -> bool {
    let declaration = text
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split_once("?>"));
    let named = declaration.and_then(|(inside, _)| inside.split_once("encoding"));
    let Some((_, named)) = named else {
        return true;
    };
    let named = named
        .trim_start_matches([' ', '=', '"', '\''])
        .to_ascii_lowercase();
    ["utf-8", "utf8", "us-ascii", "ascii"]
        .iter()
        .any(|name| named.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a binary list of these objects. The first one is the top object.
    fn binary(objects: &[&[u8]]) -> Vec<u8> {
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for object in objects {
            offsets.push(u8::try_from(bytes.len()).unwrap());
            bytes.extend(*object);
        }
        let table = bytes.len() as u64;
        bytes.extend(&offsets);
        bytes.extend([0, 0, 0, 0, 0, 0, 1, 1]);
        for number in [objects.len() as u64, 0, table] {
            bytes.extend(number.to_be_bytes());
        }
        bytes
    }

    fn dated(seconds: f64) -> Vec<u8> {
        let mut date = vec![0x33];
        date.extend(seconds.to_be_bytes());
        binary(&[&date])
    }

    #[test]
    fn every_date_is_valid() {
        for seconds in [
            0.0,
            -63_114_076_800.0,
            f64::MAX,
            f64::MIN,
            f64::NAN,
            f64::INFINITY,
        ] {
            assert_eq!(scan(&dated(seconds)), Scan::Valid, "{seconds}");
        }
        for date in [
            "0000-12-30T00:00:00Z",
            "2026-11-30T12:00:00Z",
            "-0001-01-01T00:00:00Z",
            "144683-05-23T16:29:59Z",
        ] {
            let list = format!("<plist version=\"1.0\"><date>{date}</date></plist>");
            assert_eq!(scan(list.as_bytes()), Scan::Valid, "{date}");
        }
    }

    #[test]
    fn binary_plist_objects_are_checked() {
        let valid: [&[&[u8]]; 7] = [
            &[
                &[0xd1, 1, 2],
                &[0x51, b'a'],
                &[0xa2, 3, 3],
                &[0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ],
            // Half a surrogate pair, a set, null, a UID, an empty dictionary.
            &[&[0xc2, 1, 2], &[0x61, 0xd8, 0x3d], &[0x00]],
            &[&[0x80, 7]],
            &[&[0xd0]],
            &[&[0x5f, 0x10, 3, b'a', b'b', b'c']],
            &[&[0x22, 0, 0, 0, 0]],
            &[&[0xa1, 1], &[0x09]],
        ];
        for objects in valid {
            assert_eq!(scan(&binary(objects)), Scan::Valid, "{objects:?}");
        }
        let broken: [&[&[u8]]; 7] = [
            &[&[0xa1, 0]],
            &[&[0xa1, 1], &[0xa1, 0]],
            &[&[0xa1, 9]],
            &[&[0x55, b'a']],
            &[&[0x51, 0xff]],
            &[&[0x70]],
            &[&[0x5f, 0x13, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
        ];
        for objects in broken {
            assert!(
                matches!(scan(&binary(objects)), Scan::Broken(_)),
                "{objects:?}"
            );
        }
    }

    #[test]
    fn deep_lists_need_no_recursion() {
        let xml = format!(
            "<plist>{}{}</plist>",
            "<array>".repeat(300_000),
            "</array>".repeat(300_000)
        );
        assert_eq!(scan(xml.as_bytes()), Scan::Valid);
        let cut = &xml.as_bytes()[..xml.len() - 9];
        assert!(matches!(scan(cut), Scan::Broken(_)));
    }

    #[test]
    fn xml_parsing_matches_apple() {
        const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"x.dtd\">\n";
        for (inside, is_valid) in [
            (
                "<dict><key>a</key><string>b &amp; &#x41;<![CDATA[<c> & ]] d]]></string></dict>",
                true,
            ),
            (
                "<array><integer>-0x1F</integer><integer> 18446744073709551615</integer><real>nan</real><real>-infinity</real></array>",
                true,
            ),
            ("<!-- a > b --><dict/>", true),
            (
                "<array><true/><false></false><data>\n BAUG\n</data><string/><key/></array>",
                false,
            ),
            (
                "<array><true/><false></false><data>\n BAUG\n</data><string/></array>",
                true,
            ),
            ("<dict><key>a</key></dict>", false),
            ("<dict><string>a</string></dict>", false),
            ("<string>a</strinG>", false),
            ("<string>&nothing;</string>", false),
            ("<integer>18446744073709551616</integer>", false),
            ("<integer></integer>", false),
            ("<date>yesterday</date>", false),
            ("<array>text</array>", false),
            ("<strink>a</strink>", false),
            ("", false),
        ] {
            let list = format!("{HEAD}<plist version=\"1.0\">{inside}</plist>\n");
            let mut marked = vec![0xff, 0xfe];
            marked.extend(list.encode_utf16().flat_map(u16::to_le_bytes));
            let plain: Vec<u8> = list.encode_utf16().flat_map(u16::to_be_bytes).collect();
            for bytes in [list.as_bytes(), &marked, &plain] {
                assert!(is_xml(&bytes[..bytes.len().min(400)]), "{inside}");
                assert_eq!(scan(bytes) == Scan::Valid, is_valid, "{inside}");
            }
        }
    }

    #[test]
    fn other_encodings_are_unknown() {
        let list =
            b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><plist><string>\xe4</string></plist>";
        assert_eq!(scan(list), Scan::Unknown);
        let list =
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist><string>\xe4</string></plist>";
        assert!(matches!(scan(list), Scan::Broken(_)));
        assert!(!is_xml(b"<?xml version=\"1.0\"?><html>"));
    }

    #[test]
    fn cut_lists_are_broken() {
        let mut list = Vec::new();
        let value = plist::Value::Array((0..300).map(|n| format!("text {n}").into()).collect());
        value.to_writer_binary(&mut list).unwrap();
        assert_eq!(scan(&list), Scan::Valid);
        for cut in 1..list.len() {
            assert_ne!(scan(&list[..list.len() - cut]), Scan::Valid, "{cut}");
        }
    }
}
