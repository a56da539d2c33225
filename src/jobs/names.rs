//! Names of a phone as a folder of this computer can hold them.
//!
//! What cannot be held is written as in a URL, `%3A` for `:`, and a name that is too long is cut
//! and ends with a few digits of its hash. Names that lead out of their place are never made fit:
//! they are refused (`Item::leads_out`).

use sha1::{Digest, Sha1};

/// Longest path of a phone that is taken: what iOS allows (PATH_MAX). It bounds how deep folders
/// can be, too, which not every system bears.
pub const PATH_BYTES_MAX: usize = 1024;

/// What the names of a folder's disk may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Windows' rules, which are those of FAT, exFAT and NTFS too.
    pub windows: bool,
    /// `a` and `A` are one name.
    pub folds_case: bool,
    /// Longest name.
    pub length_max: Length,
}

/// How the length of a name is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// In bytes of UTF-8.
    Bytes(usize),
    /// In units of UTF-16.
    Units(usize),
}

impl Rules {
    /// Those of this system, as long as nothing else is known of a disk.
    pub fn of_system() -> Rules {
        Rules {
            windows: cfg!(windows),
            folds_case: cfg!(any(windows, target_vendor = "apple")),
            length_max: match cfg!(any(windows, target_vendor = "apple")) {
                true => Length::Units(255),
                false => Length::Bytes(255),
            },
        }
    }

    /// Where something lies below the target: the domain is one folder, the rest follows. `None` if
    /// nothing is left of it.
    pub fn place(&self, domain: &str, relative_path: &str) -> Option<Place> {
        let domain = Some(domain).filter(|domain| !domain.is_empty())?;
        self.below(std::iter::once(domain).chain(relative_path.split('/')))
    }

    /// The same of names that are parts of a path each.
    pub fn below<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Place> {
        let mut place = Place {
            parts: Vec::new(),
            is_altered: false,
        };
        // `a//b` is `a/b` to every system.
        for name in names.filter(|name| !name.is_empty()) {
            let held = self.held(name);
            place.is_altered |= held.is_some();
            place.parts.push(held.unwrap_or_else(|| name.to_owned()));
        }
        (!place.parts.is_empty()).then_some(place)
    }

    /// Another name for one that cannot be held.
    pub fn held(&self, name: &str) -> Option<String> {
        let is_dots = matches!(name, "." | "..");
        let last = name.chars().next_back();
        // Windows takes blanks and points off the end of a name.
        let bad_end = self.windows && matches!(last, Some('.' | ' '));
        let is_device = self.windows && is_device(name);
        let has_bad = name.chars().any(|c| self.is_bad(c));
        let escaped = (is_dots || bad_end || is_device || has_bad).then(|| {
            let end = name.len() - last.map_or(0, char::len_utf8);
            let mut held = String::new();
            for (at, c) in name.char_indices() {
                let is_bad = self.is_bad(c)
                    // So that it can be turned back.
                    || c == '%'
                    || is_dots
                    || (bad_end && at == end)
                    || (is_device && at == 0);
                match is_bad {
                    true => escape(c, &mut held),
                    false => held.push(c),
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
        // Control characters can be held by many disks, and move the cursor of whoever lists the
        // folder.
        c == '/'
            || c.is_control()
            || (self.windows && matches!(c, '<' | '>' | ':' | '"' | '\\' | '|' | '?' | '*'))
    }
}

/// Where something lies below the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Each a name; at least one.
    pub parts: Vec<String>,
    /// It is not called what it was called on the phone.
    pub is_altered: bool,
}

impl Place {
    /// With `/` between its names.
    pub fn path(&self) -> String {
        self.parts.join("/")
    }
}

/// `IMG.HEIC` and 2 are `IMG (2).HEIC`.
pub fn numbered(name: &str, number: u32) -> String {
    let (stem, dot, extension) = parts(name);
    // Room for the number, where the name is as long as can be.
    let stem = cut(stem, 230usize.saturating_sub(extension.len()));
    format!("{stem} ({number}){dot}{extension}")
}

/// Stem, point and extension; the point of `.profile` begins none.
pub fn parts(name: &str) -> (&str, &str, &str) {
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
    // Half of an escape means nothing.
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

/// `CON`, `nul.txt`, `COM1` and their like.
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
    fn what_can_be_held_stays_as_it_is() {
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
    fn what_cannot_be_held_is_escaped() {
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
    fn what_is_too_long_is_cut_and_keeps_its_kind() {
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
    fn a_place_is_below_its_domain() {
        let place = LINUX.place("HomeDomain", "Library//a/./b").unwrap();
        assert_eq!(place.path(), "HomeDomain/Library/a/%2E/b");
        assert_eq!(LINUX.place("a/../b", "").unwrap().path(), "a%2F..%2Fb");
        assert_eq!(LINUX.place("", "x"), None);
        assert!(!LINUX.place("HomeDomain", "a").unwrap().is_altered);
    }

    #[test]
    fn numbers_stand_before_the_extension() {
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
