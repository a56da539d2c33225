//! Converts names on a phone to names that a folder on this computer can hold.
//!
//! Characters that the disk cannot hold are percent-encoded as in a URL (`%3A` for `:`), and a name
//! that is too long is cut and ends with a few digits of its hash. Names that lead out of their
//! folder are never converted; they are refused (`Item::leads_out`).

use sha1::{Digest, Sha1};

/// The longest accepted path on a phone, in bytes: the limit of iOS (PATH_MAX). It also limits how
/// deeply folders are nested, which some systems cannot handle.
pub(crate) const PATH_BYTES_MAX: usize = 1024;

/// The rules for names on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// True if the rules of Windows apply, which are also those of FAT, exFAT and NTFS.
    pub windows: bool,
    /// True if `a` and `A` are the same name.
    pub folds_case: bool,
    /// The length of the longest allowed name.
    pub length_max: Length,
}

/// A maximum length, and the unit in which it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// A number of bytes in UTF-8.
    Bytes(usize),
    /// A number of code units in UTF-16.
    Units(usize),
}

impl Rules {
    /// Returns the usual rules of this operating system, for a disk that was not probed.
    pub(crate) fn of_system() -> Rules {
        Rules {
            windows: cfg!(windows),
            folds_case: cfg!(any(windows, target_vendor = "apple")),
            length_max: if cfg!(any(windows, target_vendor = "apple")) {
                Length::Units(255)
            } else {
                Length::Bytes(255)
            },
        }
    }

    /// Returns the place of an item below the target: one folder for the domain, then its path.
    /// `None` if the domain is empty.
    pub(crate) fn place(&self, domain: &str, relative_path: &str) -> Option<Place> {
        let domain = Some(domain).filter(|domain| !domain.is_empty())?;
        self.below(std::iter::once(domain).chain(relative_path.split('/')))
    }

    /// Returns the place for a path given as its parts. `None` if all parts are empty.
    pub(crate) fn below<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Place> {
        let mut place = Place {
            parts: Vec::new(),
            is_altered: false,
        };
        // Every system reads `a//b` as `a/b`.
        for name in names.filter(|name| !name.is_empty()) {
            let held = self.held(name);
            place.is_altered |= held.is_some();
            place.parts.push(held.unwrap_or_else(|| name.to_owned()));
        }
        (!place.parts.is_empty()).then_some(place)
    }

    /// Returns a replacement for a name that the disk cannot hold; `None` if it can.
    pub(crate) fn held(&self, name: &str) -> Option<String> {
        let is_dots = matches!(name, "." | "..");
        let last = name.chars().next_back();
        // Windows removes spaces and dots from the end of a name.
        let bad_end = self.windows && matches!(last, Some('.' | ' '));
        let is_device = self.windows && is_device(name);
        let has_bad = name.chars().any(|c| self.is_bad(c));
        let escaped = (is_dots || bad_end || is_device || has_bad).then(|| {
            let end = name.len() - last.map_or(0, char::len_utf8);
            let mut held = String::new();
            for (at, c) in name.char_indices() {
                let is_bad = self.is_bad(c)
                    // Escaping `%` too makes the name decodable.
                    || c == '%'
                    || is_dots
                    || (bad_end && at == end)
                    || (is_device && at == 0);
                if is_bad {
                    escape(c, &mut held)
                } else {
                    held.push(c)
                }
            }
            held
        });
        let fits = |name: &str| match self.length_max {
            Length::Bytes(max) => name.len() <= max,
            Length::Units(max) => name.encode_utf16().count() <= max,
        };
        match escaped {
            None if fits(name) => None,
            Some(held) if fits(&held) => Some(held),
            other => Some(shortened(name, other.as_deref().unwrap_or(name))),
        }
    }

    fn is_bad(&self, c: char) -> bool {
        // Many disks can hold control characters, but these move the cursor in a terminal that
        // lists the folder.
        c == '/'
            || c.is_control()
            || (self.windows && matches!(c, '<' | '>' | ':' | '"' | '\\' | '|' | '?' | '*'))
    }
}

/// The place of an item below the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The names of the folders and of the item; at least one.
    pub parts: Vec<String>,
    /// True if a name differs from the one on the phone.
    pub is_altered: bool,
}

impl Place {
    /// Returns the names joined by `/`.
    pub(crate) fn path(&self) -> String {
        self.parts.join("/")
    }
}

/// Appends a number to a name: `IMG.HEIC` and 2 give `IMG (2).HEIC`.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    let (stem, dot, extension) = parts(name);
    // A very long name is cut to make room for the number.
    let stem = cut(stem, 230usize.saturating_sub(extension.len()));
    format!("{stem} ({number}){dot}{extension}")
}

/// Splits a name into stem, dot and extension. The dot of `.profile` does not begin an extension.
pub(crate) fn parts(name: &str) -> (&str, &str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= 17 => (&name[..at], ".", &name[at + 1..]),
        _ => (name, "", ""),
    }
}

fn shortened(name: &str, held: &str) -> String {
    let hash = Sha1::digest(name);
    let digits: String = hash[..4].iter().map(|b| format!("{b:02x}")).collect();
    let (stem, dot, extension) = parts(held);
    format!("{}~{digits}{dot}{extension}", cut(stem, 200))
}

fn cut(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // Half of an escape sequence is meaningless, so it is cut off entirely.
    let cut = &text[..end];
    match cut.rfind('%') {
        Some(at) if end < text.len() && end - at < 3 => &cut[..at],
        _ => cut,
    }
}

fn escape(c: char, to: &mut String) {
    let mut bytes = [0; 4];
    for byte in c.encode_utf8(&mut bytes).bytes() {
        to.push_str(&format!("%{byte:02X}"));
    }
}

/// Returns true for names that Windows reserves for devices: `CON`, `nul.txt`, `COM1` and others.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_uppercase();
    let numbered = |stem: &str| {
        let rest = stem
            .strip_prefix("COM")
            .or_else(|| stem.strip_prefix("LPT"));
        rest.is_some_and(|rest| matches!(rest, "¹" | "²" | "³") || is_digit(rest))
    };
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || numbered(&stem)
}

fn is_digit(text: &str) -> bool {
    text.len() == 1 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Rules = Rules {
        windows: false,
        folds_case: false,
        length_max: Length::Bytes(255),
    };
    const WINDOWS: Rules = Rules {
        windows: true,
        folds_case: true,
        length_max: Length::Units(255),
    };

    #[test]
    fn valid_file_names_stay_unchanged() {
        for name in [
            "IMG_0001.HEIC",
            "a:b",
            "写真",
            "100 %.txt",
            "...",
            "a b",
            "~",
            "CON",
            "a.",
        ] {
            assert_eq!(LINUX.held(name), None, "{name}");
        }
        for name in [
            "IMG_0001.HEIC",
            "写真",
            "100 %.txt",
            ".x",
            "CONSOLE",
            "COM",
            "COM10",
            "lpt",
        ] {
            assert_eq!(WINDOWS.held(name), None, "{name}");
        }
    }

    #[test]
    fn invalid_file_names_are_escaped() {
        for (name, held) in [
            ("Icon\r", "Icon%0D"),
            ("a\u{1b}[2J%", "a%1B[2J%25"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("a/b", "a%2Fb"),
            ("\u{85}", "%C2%85"),
            ("\0", "%00"),
        ] {
            assert_eq!(LINUX.held(name).as_deref(), Some(held), "{name:?}");
        }
        for (name, held) in [
            ("a:b", "a%3Ab"),
            ("50%:", "50%25%3A"),
            ("a.", "a%2E"),
            ("a ", "a%20"),
            ("...", "..%2E"),
            ("nul", "%6Eul"),
            ("Con.txt", "%43on.txt"),
            ("COM1", "%43OM1"),
            ("LPT²", "%4CPT²"),
            ("a\\..\\b", "a%5C..%5Cb"),
        ] {
            assert_eq!(WINDOWS.held(name).as_deref(), Some(held), "{name:?}");
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        let long = |c: &str| format!("{}.HEIC", c.repeat(400));
        let held = LINUX.held(&long("ä")).unwrap();
        assert!(held.len() <= 255 && held.ends_with(".HEIC"), "{held}");
        assert_ne!(Some(held), LINUX.held(&long("ö")));
        assert_eq!(LINUX.held(&"a".repeat(255)), None);
        assert!(WINDOWS.held(&"😀".repeat(127)).is_none());
        let held = WINDOWS.held(&"😀".repeat(200)).unwrap();
        assert!(held.encode_utf16().count() <= 255);
        let held = LINUX.held(&"\u{1}".repeat(200)).unwrap();
        assert!(held.len() <= 255, "{held}");
        assert!(numbered(&"a".repeat(255), 1_000_000).len() <= 255);
    }

    #[test]
    fn exported_path_starts_with_domain() {
        let place = LINUX.place("HomeDomain", "Library//a/./b").unwrap();
        assert_eq!(place.path(), "HomeDomain/Library/a/%2E/b");
        assert_eq!(LINUX.place("a/../b", "").unwrap().path(), "a%2F..%2Fb");
        assert_eq!(LINUX.place("", "x"), None);
        assert!(!LINUX.place("HomeDomain", "a").unwrap().is_altered);
    }

    #[test]
    fn numbers_precede_the_extension() {
        for (name, numbered_name) in [
            ("a.txt", "a (2).txt"),
            (".profile", ".profile (2)"),
            ("a", "a (2)"),
            ("a.b.c", "a.b (2).c"),
        ] {
            assert_eq!(numbered(name, 2), numbered_name);
        }
    }
}
