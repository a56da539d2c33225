//! Tests if texts have the words of a search.

use std::ops::Range;

/// The words of a search.
#[derive(Debug, Clone)]
pub struct Query {
    /// The text to find; in lower case if case is ignored.
    needle: String,
    ignores_case: bool,
}

impl Query {
    /// Finds a text. With `ignore_case`, upper and lower case do not matter.
    pub fn new(text: &str, ignore_case: bool) -> Query {
        let needle = if ignore_case {
            text.to_lowercase()
        } else {
            text.to_owned()
        };
        Query {
            needle,
            ignores_case: ignore_case,
        }
    }

    /// Finds every text.
    pub fn all() -> Query {
        Query::new("", false)
    }

    /// Returns true if every text matches.
    pub fn finds_all(&self) -> bool {
        self.needle.is_empty()
    }

    /// Returns the place of the first occurrence in a text.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        if !self.ignores_case {
            let at = text.find(&self.needle)?;
            return Some(at..at + self.needle.len());
        }
        if text.is_ascii() {
            let at = text.to_ascii_lowercase().find(&self.needle)?;
            return Some(at..at + self.needle.len());
        }
        // A character can have another length in lower case, so each byte remembers its character.
        let mut lower = String::with_capacity(text.len());
        let mut places = Vec::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            for c in c.to_lowercase() {
                lower.push(c);
            }
            places.resize(lower.len(), at);
        }
        let at = lower.find(&self.needle)?;
        let end = at + self.needle.len();
        let end = places.get(end).copied().unwrap_or(text.len());
        Some(places.get(at).copied().unwrap_or(text.len())..end)
    }

    /// Returns false if no text in these bytes can match. It is fast, so that most rows of a
    /// database need not be decoded.
    pub(crate) fn may_be_in(&self, bytes: &[u8]) -> bool {
        if self.needle.is_empty() {
            return true;
        }
        if !self.ignores_case || self.needle.is_ascii() {
            return self.is_in(bytes);
        }
        String::from_utf8_lossy(bytes)
            .to_lowercase()
            .contains(&self.needle)
    }

    /// Returns true if the bytes have the needle, in any case if that is ignored.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let needle = self.needle.as_bytes();
        let first = needle[0];
        let other = if self.ignores_case {
            first.to_ascii_uppercase()
        } else {
            first
        };
        let Some(last) = bytes.len().checked_sub(needle.len()) else {
            return false;
        };
        (0..=last).any(|at| {
            (bytes[at] == first || bytes[at] == other) && {
                let window = &bytes[at..at + needle.len()];
                if self.ignores_case {
                    window.eq_ignore_ascii_case(needle)
                } else {
                    window == needle
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case() {
        for (needle, ignores, text, found) in [
            ("hello", true, "Say HELLO!", Some("HELLO")),
            ("Hello", false, "Say HELLO!", None),
            ("HELLO", false, "Say HELLO!", Some("HELLO")),
            ("größe", true, "Ana GRÖSSE, Ana GRÖßE", Some("GRÖßE")),
            ("ÉTÉ", true, "l’été 🏖️", Some("été")),
            ("写真", true, "Jun 写真", Some("写真")),
            // One letter that has two in lower case.
            ("i̇x", true, "aİx", Some("İx")),
            ("😊", false, "مرحبا 😊", Some("😊")),
            ("", false, "anything", Some("")),
            ("longer than it", true, "short", None),
        ] {
            let query = Query::new(needle, ignores);
            let place = query.find(text);
            assert_eq!(place.clone().map(|place| &text[place]), found, "{needle}");
            if place.is_some() {
                assert!(query.may_be_in(text.as_bytes()), "{needle}");
            }
        }
        assert!(!Query::new("été", true).may_be_in(b"\xff\x00ETE"));
        assert!(Query::new("ete", true).may_be_in(b"\xff\x00ETE"));
    }
}
