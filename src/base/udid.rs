//! The permanent identifier of a phone.

use std::fmt;
use std::str::FromStr;

/// A phone's unique device identifier: 40 hex digits (up to iPhone 8/X) or
/// `XXXXXXXX-XXXXXXXXXXXXXXXX` (since XS).
///
/// The identifier is compared and stored as the phone writes it, since it names the folder that
/// other tools look for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Udid(String);

/// The error for text that is not a UDID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAUdid(String);

impl Udid {
    /// Returns the identifier as the phone writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Udid {
    type Err = NotAUdid;

    fn from_str(text: &str) -> Result<Self, NotAUdid> {
        let hex = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit());
        // The USB serial number has 24 characters. It becomes the UDID by adding a "-" after the
        // eighth (usbmuxd does the same).
        if text.len() == 24 && hex(text) {
            return Ok(Udid(format!("{}-{}", &text[..8], &text[8..])));
        }
        let classic = text.len() == 40 && hex(text);
        let modern = text.len() == 25
            && text.is_ascii()
            && text.as_bytes()[8] == b'-'
            && hex(&text[..8])
            && hex(&text[9..]);
        if classic || modern {
            Ok(Udid(text.to_owned()))
        } else {
            Err(NotAUdid(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for Udid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Udid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Udid({})", self.0)
    }
}

impl fmt::Display for NotAUdid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a UDID (40 hex digits, or 8 and 16 with a dash)",
            self.0
        )
    }
}

impl std::error::Error for NotAUdid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_udid_forms_are_accepted() {
        for (text, udid) in [
            ("00008030-001C195E0A88802E", "00008030-001C195E0A88802E"),
            ("00008030001C195E0A88802E", "00008030-001C195E0A88802E"),
            (
                "0123456789abcdef0123456789abcdef01234567",
                "0123456789abcdef0123456789abcdef01234567",
            ),
        ] {
            assert_eq!(text.parse::<Udid>().unwrap().as_str(), udid);
        }
    }

    #[test]
    fn malformed_udids_are_refused() {
        for text in [
            "",
            "..",
            "00008030-001C195E0A88802",
            "0000803é-01C195E0A88802E",
            "../../../etc/passwd/../../../etc/passwd0",
        ] {
            assert!(text.parse::<Udid>().is_err(), "{text:?}");
        }
    }
}
