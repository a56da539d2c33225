//! Info.plist, written by the computer: it describes the phone and its applications. It is read as
//! a stream, since its icons can be larger than everything else that a reader of backups holds in
//! memory. Decoding the whole file would take about three times its length.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use plist::Value;
use plist::stream::Event;

use super::plist_file::Unreadable;
use crate::backup_format::plist_file;
use crate::base::{bounded_plist, plain_file};

const NAME: &str = "Info.plist";
/// Limits for another program's list of applications: the longest name in bytes, and the number of
/// applications.
const NAME_BYTES_MAX: usize = 1024;
const APPLICATIONS_MAX: usize = 10_000;

/// Description of the phone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// The phone's name.
    pub device_name: Option<String>,
    /// The product type, such as `iPhone16,1`.
    pub product_type: Option<String>,
    /// The version of iOS.
    pub product_version: Option<String>,
    /// The build of iOS, such as `22G100`.
    pub build_version: Option<String>,
    /// The phone's serial number.
    pub serial_number: Option<String>,
    /// The phone's UDID.
    pub udid: Option<String>,
    /// The time at which the computer wrote the file.
    pub last_backup: Option<SystemTime>,
    /// The number of installed applications; `None` if the file does not list them.
    pub installed: Option<usize>,
}

impl Info {
    /// Reads the Info.plist of the backup in `folder`.
    pub fn read(folder: &Path) -> Result<Info, Unreadable> {
        let mut info = Info::default();
        visit(folder, NAME, |path, event| {
            let [field, within @ ..] = path else { return };
            match (field.as_str(), within, event) {
                ("Installed Applications", [_], _) => *info.installed.get_or_insert(0) += 1,
                ("Last Backup Date", [], Event::Date(date)) => info.last_backup = Some(date.into()),
                (field, [], Event::String(text)) => {
                    let text = Some(text.into_owned());
                    match field {
                        "Device Name" => info.device_name = text,
                        "Product Type" => info.product_type = text,
                        "Product Version" => info.product_version = text,
                        "Build Version" => info.build_version = text,
                        "Serial Number" => info.serial_number = text,
                        "Target Identifier" => info.udid = text,
                        _ => {}
                    }
                }
                _ => {}
            }
        })?;
        Ok(info)
    }
}

/// Returns the names of applications by bundle id. They come from Info.plist, or for applications
/// without a name there from Manifest.plist, which has the names of their folders. Unreadable files
/// yield no names.
pub fn application_names(folder: &Path) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut add = |id: &str, name: &str| {
        let fits = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES_MAX;
        if fits(id) && fits(name) && names.len() < APPLICATIONS_MAX {
            names.entry(id.to_owned()).or_insert(name.to_owned());
        }
    };
    // Ignore errors: listings can use bundle ids instead.
    drop(visit(folder, NAME, |path, event| {
        if let [first, id, last] = path
            && (first.as_str(), last.as_str()) == ("Applications", "iTunesMetadata")
            && let Event::Data(metadata) = event
            && let Ok(Value::Dictionary(metadata)) = bounded_plist::parse(&metadata)
            && let Some(name) = (metadata.get("itemName")).and_then(Value::as_string)
        {
            add(id, name);
        }
    }));
    drop(visit(folder, "Manifest.plist", |path, event| {
        if let [first, id, last] = path
            && (first.as_str(), last.as_str()) == ("Applications", "Path")
            && let Event::String(place) = event
            && let Some(name) = place.trim_end_matches('/').strip_suffix(".app")
        {
            add(id, name.rsplit('/').next().unwrap_or_default());
        }
    }));
    names
}

fn visit(
    folder: &Path,
    name: &str,
    each: impl FnMut(&[String], Event<'_>),
) -> Result<(), Unreadable> {
    let damaged = |e: &dyn std::fmt::Display| Unreadable::Damaged(e.to_string());
    let length = plist_file::length(folder, name)?;
    let file = plain_file::open(&folder.join(name)).map_err(|e| damaged(&e))?;
    bounded_plist::visit(file, length, each).map_err(|e| damaged(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_come_from_both_lists() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let whole = format!("<plist version=\"1.0\"><dict>{text}</dict></plist>");
            std::fs::write(dir.path().join(name), whole).unwrap();
        };
        // The data decodes to
        // "<plist><dict><key>itemName</key><string>Chess</string></dict></plist>".
        let chess = "PHBsaXN0PjxkaWN0PjxrZXk+aXRlbU5hbWU8L2tleT48c3RyaW5nPkNoZXNzPC9zdHJpbmc+PC9kaWN0PjwvcGxpc3Q+";
        write(
            "Info.plist",
            &format!(
                "<key>Device Name</key><string>Mira</string><key>Serial Number</key><integer>5</integer>
                 <key>Applications</key><dict><key>org.chess</key><dict><key>iTunesMetadata</key><data>{chess}</data></dict>
                 <key>org.odd</key><dict><key>iTunesMetadata</key><string>x</string></dict></dict>
                 <key>Installed Applications</key><array><string>a</string><string>b</string></array>"
            ),
        );
        write(
            "Manifest.plist",
            "<key>Applications</key><dict>
             <key>org.chess</key><dict><key>Path</key><string>/a/b/Chess2.app</string></dict>
             <key>org.go</key><dict><key>Path</key><string>/a/b/Go Board.app</string></dict></dict>",
        );
        let names = application_names(dir.path());
        let names: Vec<_> = names.iter().map(|(id, n)| (&**id, &**n)).collect();
        assert_eq!(names, [("org.chess", "Chess"), ("org.go", "Go Board")]);
        let info = Info::read(dir.path()).unwrap();
        let wanted = Info {
            device_name: Some("Mira".to_owned()),
            installed: Some(2),
            ..Info::default()
        };
        assert_eq!(info, wanted);
        std::fs::write(dir.path().join(NAME), "").unwrap();
        assert!(matches!(
            Info::read(dir.path()),
            Err(Unreadable::Damaged(_))
        ));
        assert_eq!(application_names(dir.path()).len(), 2);
    }
}
