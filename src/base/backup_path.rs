//! Paths that a phone sends. They are checked once when they are parsed, and trusted afterwards.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest path that is accepted from a phone, in bytes. Phones send paths of the form
/// `<UDID>/Snapshot/xx/<40 hex>`, which have 93 bytes.
const PATH_BYTES_MAX: usize = 1024;
/// The longest component in bytes: the limit of common file systems.
const COMPONENT_BYTES_MAX: usize = 255;

/// A path that stays below the backup root on every platform: relative, separated by `/`, and
/// without `..`, NUL, backslashes, control characters, or names that Windows does not allow.
///
/// A leading `/` is removed, since iOS sends `/.b/6/...` (see docs/protocol.md, "Paths").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackupPath(String);

/// The reason for refusing a path from a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPath {
    /// The path, shortened so that it can be shown.
    pub name: String,
    /// The fault of the path.
    pub why: &'static str,
}

impl BackupPath {
    /// Returns the path as the phone writes it, without a leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the components of the path, at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Returns the first component: the folder directly below the backup root.
    pub fn first(&self) -> &str {
        self.0.split_once('/').map_or(self.as_str(), |(f, _)| f)
    }

    /// Returns the last component.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.as_str(), |(_, n)| n)
    }

    /// Returns the location of this path below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.components());
        path
    }
}

impl FromStr for BackupPath {
    type Err = BadPath;

    fn from_str(name: &str) -> Result<Self, BadPath> {
        let bad = |why| BadPath {
            name: name.chars().take(120).collect(),
            why,
        };
        let path = name.strip_prefix('/').unwrap_or(name);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Err(bad("it is empty"));
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        for part in path.split('/') {
            if let Some(why) = fault_of(part) {
                return Err(bad(why));
            }
        }
        Ok(BackupPath(path.to_owned()))
    }
}

/// Returns the reason why `part` is not a valid name of a file or folder on every platform.
fn fault_of(part: &str) -> Option<&'static str> {
    if part.is_empty() {
        return Some("a component is empty");
    }
    if part == "." || part == ".." {
        return Some("it leads out of the backup");
    }
    if part.len() > COMPONENT_BYTES_MAX {
        return Some("a component is too long");
    }
    if part.contains('\0') {
        return Some("it has a NUL character");
    }
    if part.contains('\\') {
        return Some("it has a backslash");
    }
    if part.chars().any(char::is_control) {
        return Some("it has a control character");
    }
    if part.contains(['<', '>', ':', '"', '|', '?', '*']) || part.ends_with([' ', '.']) {
        return Some("Windows cannot hold it");
    }
    let stem = part.split('.').next().unwrap_or(part).to_ascii_uppercase();
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (stem.len() == 4
            && (stem.starts_with("COM") || stem.starts_with("LPT"))
            && stem.as_bytes()[3].is_ascii_digit());
    device.then_some("it is a device name on Windows")
}

impl fmt::Display for BackupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the path {:?} is refused: {}", self.name, self.why)
    }
}

impl std::error::Error for BadPath {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_sent_by_phones_are_accepted() {
        for (sent, kept) in [
            (
                "00008030-001C195E0A88802E/Status.plist",
                "00008030-001C195E0A88802E/Status.plist",
            ),
            ("/.b/6/x", ".b/6/x"),
            ("UDID/Snapshot/", "UDID/Snapshot"),
            (
                "U/3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28",
                "U/3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28",
            ),
            ("U/conference", "U/conference"),
        ] {
            assert_eq!(sent.parse::<BackupPath>().unwrap().as_str(), kept);
        }
    }

    #[test]
    fn path_length_limits_are_exact() {
        let component = |length| format!("U/{}", "a".repeat(length));
        assert!(component(255).parse::<BackupPath>().is_ok());
        assert!(component(256).parse::<BackupPath>().is_err());
        let path = |length| format!("{}{}", "a/".repeat(500), "b".repeat(length));
        assert!(path(24).parse::<BackupPath>().is_ok());
        assert!(path(25).parse::<BackupPath>().is_err());
    }

    #[test]
    fn device_names_are_matched_exactly() {
        for name in ["COM", "COMA", "com10", "LPTX", "x1y2", "CONS", "nul0", "ab"] {
            assert!(format!("U/{name}").parse::<BackupPath>().is_ok(), "{name}");
        }
        for name in [
            "COM1", "com9.txt", "lpt0", "LPT1", "CON", "prn.x", "Aux", "NUL",
        ] {
            assert!(format!("U/{name}").parse::<BackupPath>().is_err(), "{name}");
        }
    }

    #[test]
    fn path_splits_into_components() {
        let path: BackupPath = "/U/3d/x.plist".parse().unwrap();
        assert_eq!((path.first(), path.name()), ("U", "x.plist"));
        assert_eq!(
            path.components().collect::<Vec<_>>(),
            ["U", "3d", "x.plist"]
        );
        assert_eq!(path.below(Path::new("r")), Path::new("r/U/3d/x.plist"));
        assert_eq!(
            (path.to_string(), format!("{path:?}")),
            ("U/3d/x.plist".into(), "\"U/3d/x.plist\"".into())
        );
        let alone: BackupPath = "U".parse().unwrap();
        assert_eq!((alone.first(), alone.name()), ("U", "U"));
        let refused = "..".parse::<BackupPath>().unwrap_err().to_string();
        assert_eq!(
            refused,
            "the path \"..\" is refused: it leads out of the backup"
        );
    }

    #[test]
    fn escaping_or_unstorable_paths_are_refused() {
        let long = "a".repeat(256);
        let deep = "a/".repeat(600);
        for name in [
            "",
            "/",
            "..",
            "U/../../etc/passwd",
            "U/..",
            "./U",
            "U//x",
            "//U/x",
            "U/a\0b",
            "U\\x",
            "U/a\nb",
            "C:/x",
            "U/a:b",
            "U/nul",
            "U/AUX.txt",
            "U/com1",
            "U/x ",
            "U/x.",
            "U/x\u{85}y",
            "U/a?b",
            long.as_str(),
            deep.as_str(),
        ] {
            assert!(name.parse::<BackupPath>().is_err(), "{name:?}");
        }
    }
}
