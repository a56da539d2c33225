//! Reads what a phone advertises by DNS-SD: the name of the instance and the TXT record.
//!
//! Anybody on the network can send these. Everything here is bounded, does no I/O, and only narrows
//! down whose phone it may be; the TLS session with the pinned key decides.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tag::{TAG_BYTES, Tag};

/// Service type that phones advertise while they accept connections over Wi-Fi.
pub const SERVICE: &str = "_apple-mobdev2._tcp.local.";
/// Longest name of an instance in bytes: a DNS name has at most 255.
const NAME_BYTES_MAX: usize = 255;
/// Number of tags that are kept of one phone. A phone has one for each computer that it is paired
/// with.
const TAGS_MAX: usize = 64;
/// Longest identifier that is accepted, in bytes. Phones send a UUID of 36 characters.
const IDENTIFIER_BYTES_MAX: usize = 255;

/// Hardware address of a network interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = ();

    /// Parses six pairs of hex digits with colons.
    fn from_str(text: &str) -> Result<Mac, ()> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(())?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| ())?;
        }
        if parts.next().is_some() {
            return Err(());
        }
        Ok(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

/// Facts that one phone advertises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advert {
    /// The Wi-Fi address in the name; a private one on current systems.
    pub mac: Mac,
    /// The value from which the tags are computed, as the very bytes of the TXT record.
    pub identifier: Option<Vec<u8>>,
    /// The tags of the computers that the phone is paired with.
    pub tags: Vec<Tag>,
}

impl Advert {
    /// Reads the name of an instance, with or without the type of the service, and the pairs of its
    /// TXT record. Returns `None` if the name is not that of a phone.
    ///
    /// The name is `MAC@address`, with more after it on current systems; only the MAC before the
    /// first `@` is used (pymobiledevice3's protocol notes).
    pub fn parse<'a>(
        name: &str,
        pairs: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Option<Advert> {
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let (mac, _) = name.split_once('@')?;
        let mut advert = Advert {
            mac: mac.parse().ok()?,
            identifier: None,
            tags: Vec::new(),
        };
        for (key, value) in pairs {
            let Some(value) = value else { continue };
            // DNS-SD ignores the case of keys (RFC 6763, section 6.4).
            if key.eq_ignore_ascii_case("identifier") {
                let fits = (1..=IDENTIFIER_BYTES_MAX).contains(&value.len());
                if fits && advert.identifier.is_none() {
                    advert.identifier = Some(value.to_vec());
                }
            } else if is_tag(key) && advert.tags.len() < TAGS_MAX {
                advert.tags.extend(decode(value));
            }
        }
        Some(advert)
    }

    /// Returns true if one of the phone's tags names the computer with this HostID.
    pub fn names(&self, host_id: &str) -> bool {
        let Some(identifier) = &self.identifier else {
            return false;
        };
        !self.tags.is_empty() && self.tags.contains(&super::tag::tag(host_id, identifier))
    }
}

/// Returns true for `authTag` and `authTag#N`.
fn is_tag(key: &str) -> bool {
    const KEY: &str = "authTag";
    let head = key.get(..KEY.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(KEY))
        && match key[KEY.len()..].strip_prefix('#') {
            Some(number) => {
                !number.is_empty()
                    && number.len() <= 5
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            None => key.len() == KEY.len(),
        }
}

/// Decodes the Base64 of a tag. Blanks around it are allowed; another length is not a tag.
fn decode(value: &[u8]) -> Option<Tag> {
    /// Length in Base64 with padding; anything much longer is not decoded at all.
    const TEXT_BYTES_MAX: usize = 64;
    if value.len() > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = STANDARD.decode(value.trim_ascii()).ok()?;
    <[u8; TAG_BYTES]>::try_from(bytes.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "aa:bb:cc:00:11:22@fe80::1-supportsRP-24._apple-mobdev2._tcp.local.";

    fn parse(pairs: &[(&'static str, &'static str)]) -> Advert {
        let pairs = pairs
            .iter()
            .map(|(key, value)| (*key, Some(value.as_bytes())));
        Advert::parse(NAME, pairs).unwrap()
    }

    #[test]
    fn name_is_split_at_first_at() {
        for name in [
            NAME,
            "aa:bb:cc:00:11:22@fe80::1",
            "AA:BB:CC:00:11:22@",
            "aa:bb:cc:00:11:22@x@y\u{1b}[2J\n../..",
        ] {
            let advert = Advert::parse(name, []).unwrap();
            assert_eq!(advert.mac.to_string(), "aa:bb:cc:00:11:22", "{name:?}");
        }
    }

    #[test]
    fn malformed_names_are_ignored() {
        let long = format!("aa:bb:cc:00:11:22@{}", "x".repeat(300));
        for name in [
            "",
            "@fe80::1",
            "aa:bb:cc:00:11:22",
            "aa:bb:cc:00:11@fe80::1",
            "aa:bb:cc:00:11:22:33@fe80::1",
            "aa:bb:cc:00:11:+2@fe80::1",
            "aa:bb:cc:00:11:2\u{e9}@fe80::1",
            "aabbcc001122@fe80::1",
            "../../etc@fe80::1",
            "\u{1b}[2J:bb:cc:00:11:22@fe80::1",
            &long,
        ] {
            assert_eq!(Advert::parse(name, []), None, "{name:?}");
        }
    }

    #[test]
    fn tags_are_read_in_all_forms() {
        let advert = parse(&[
            ("Identifier", "2BE6E510-0325-4365-923E-B14C6F57DB3A"),
            ("authTag", "AAAAAAAAAAA="),
            ("AUTHTAG#0", " DNKInlok1wk= "),
            ("authTag#17", "wZ1elcCN5RA="),
            // None of these is a tag.
            ("authTag#", "wZ1elcCN5RA="),
            ("authTag#x", "wZ1elcCN5RA="),
            ("authTags", "wZ1elcCN5RA="),
            ("authTag#2", "kXjlTr2l"),
            ("authTag#3", "not Base64!!"),
            ("authTag#4", ""),
        ]);
        assert_eq!(advert.tags.len(), 3);
        assert!(advert.names("11111111-2222-3333-4444-555555555555"));
        assert!(advert.names("7B1F0C52-9C2E-4D43-8A6B-0D5E7F3A9C11"));
        assert!(!advert.names("7b1f0c52-9c2e-4d43-8a6b-0d5e7f3a9c11"));
        assert!(!advert.names(""));
    }

    #[test]
    fn identifier_alone_names_nobody() {
        let advert = parse(&[("identifier", "2BE6E510-0325-4365-923E-B14C6F57DB3A")]);
        assert!(!advert.names("11111111-2222-3333-4444-555555555555"));
        let advert = parse(&[("authTag", "DNKInlok1wk=")]);
        assert!(!advert.names("11111111-2222-3333-4444-555555555555"));
        assert_eq!(
            Advert::parse(NAME, [("identifier", None)])
                .unwrap()
                .identifier,
            None
        );
    }

    #[test]
    fn hostile_records_stay_bounded() {
        let keys: Vec<String> = (0..10_000).map(|n| format!("authTag#{n}")).collect();
        let huge = vec![b'x'; 1 << 16];
        let pairs = keys
            .iter()
            .map(|key| (key.as_str(), Some(&b"AAAAAAAAAAA="[..])));
        let pairs = pairs.chain([
            ("identifier", Some(&huge[..])),
            ("authTag", Some(&huge[..])),
        ]);
        let advert = Advert::parse(NAME, pairs).unwrap();
        assert_eq!((advert.tags.len(), advert.identifier), (TAGS_MAX, None));
    }
}
