//! The list of applications that a phone fetches again once it was restored: handed over by AFC
//! before the restore begins, and taken back where it fails.

use std::path::Path;
use std::sync::Arc;

use plist::Value;

use crate::device::afc::Afc;
use crate::device::{self, Session};
use crate::manifest::plists::{self, Unreadable};
use crate::transport::Calm;

const FOLDER: &str = "/iTunesRestore";
const FILE: &str = "/iTunesRestore/RestoreApplications.plist";

/// The list, as the phone wants it: "Applications" of Info.plist, in XML, without those whose
/// domain is not wanted. `None` where the backup has none, or none of them is wanted.
pub fn list(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Option<Vec<u8>>, Unreadable> {
    let mut info = match plists::read(folder, "Info.plist") {
        Err(Unreadable::Absent) => return Ok(None),
        info => info?,
    };
    let Some(Value::Dictionary(mut apps)) = info.remove("Applications") else {
        return Ok(None);
    };
    apps.retain(|id, _| is_wanted(&format!("AppDomain-{id}")));
    if apps.is_empty() {
        return Ok(None);
    }
    let mut xml = Vec::new();
    let written = Value::Dictionary(apps).to_writer_xml(&mut xml);
    written.map_err(|e| Unreadable::Damaged(e.to_string()))?;
    Ok(Some(xml))
}

/// Hands the list over. Where that fails, an empty or cut one may lie there.
pub fn hand_over(
    session: &mut Session,
    calm: &Arc<Calm>,
    list: &[u8],
) -> Result<(), device::Error> {
    let mut afc = Afc::open(session, calm)?;
    afc.make_dir(FOLDER)?;
    afc.write(FILE, list)
}

/// Takes it back, and one that an earlier run left; none is fine.
pub fn take_back(session: &mut Session, calm: &Arc<Calm>) -> Result<(), device::Error> {
    Afc::open(session, calm)?.remove(FILE)
}
