//! What a backup holds: its three property lists, Manifest.db and the archived record of each file.

pub mod db;
mod glance;
pub mod kinds;
pub mod plists;
pub mod record;

/// The statements that iOS 10 to 26 makes Manifest.db with (read off real databases of iOS 10.3 to 11.2).
pub const SCHEMA: &str = "\
CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
CREATE INDEX FilesDomainIdx ON Files(domain);
CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
CREATE INDEX FilesFlagsIdx ON Files(flags);
CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";
