//! The metadata of a backup: its three property lists, its list of files (Manifest.db, or
//! Manifest.mbdb before iOS 10) and the archived record of each file.

mod by_path;
pub mod categories;
pub(crate) mod content_match;
pub(crate) mod domain_subset;
pub mod info_plist;
pub mod keybag;
mod kind;
mod list_error;
pub mod manifest_db;
pub mod manifest_mbdb;
mod outline;
mod plist_file;
pub mod plists;
pub mod record;
mod row;
mod salvage;
pub mod temp_db;
pub mod unreadable_rows;
pub mod wal;

/// SQL statements with which iOS 10 to 26 create Manifest.db (taken from real databases of iOS 10.3
/// to 11.2).
pub const SCHEMA: &str = "\
CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
CREATE INDEX FilesDomainIdx ON Files(domain);
CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
CREATE INDEX FilesFlagsIdx ON Files(flags);
CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";

/// Returns true if a name would lead a restore outside of its target folder. No phone writes such a
/// name.
pub(crate) fn leads_out(domain: &str, relative_path: &str) -> bool {
    [domain, relative_path].iter().any(|name| {
        name.starts_with('/') || name.contains('\0') || name.split('/').any(|part| part == "..")
    })
}

#[cfg(test)]
mod tests {
    use super::leads_out;

    #[test]
    fn only_escaping_paths_are_flagged() {
        for (domain, path) in [
            ("SysContainerDomain-../../var", "x"),
            ("HomeDomain", "Library/../../x"),
            ("HomeDomain", ".."),
            ("HomeDomain", "/etc/passwd"),
            ("/", "x"),
            ("HomeDomain", "a\0b"),
        ] {
            assert!(leads_out(domain, path), "{domain} {path:?}");
        }
        for path in [
            "",
            "Library/Icon\r",
            "a..b/..c/d..",
            "a\\..\\b",
            "...",
            "a:b",
        ] {
            assert!(!leads_out("AppDomain-com.example", path), "{path:?}");
        }
    }
}
