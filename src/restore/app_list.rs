//! Sends the phone the list of applications that it fetches again after a restore. AFC writes the
//! list before the restore begins, and removes it if the restore fails.

use std::path::Path;
use std::sync::Arc;

use plist::Value;

use crate::backup_format::plists::{self, Unreadable};
use crate::base::cancel::CancelToken;
use crate::device::afc::Afc;
use crate::device::{self, Session};

const FOLDER: &str = "/iTunesRestore";
const FILE: &str = "/iTunesRestore/RestoreApplications.plist";

/// Returns the list in the form that the phone expects: "Applications" of Info.plist as XML,
/// without the applications whose domain is not wanted. `None` if no application remains.
pub(crate) fn list(
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

/// Writes the list to the phone. If this fails, an empty or truncated list may remain there.
pub(crate) fn hand_over(
    session: &mut Session,
    token: &Arc<CancelToken>,
    list: &[u8],
) -> Result<(), device::Error> {
    let mut afc = Afc::open(session, token)?;
    afc.make_dir(FOLDER)?;
    afc.write(FILE, list)
}

/// Removes the list from the phone, also one left by an earlier run. Succeeds if the file does not
/// exist.
pub(crate) fn take_back(
    session: &mut Session,
    token: &Arc<CancelToken>,
) -> Result<(), device::Error> {
    Afc::open(session, token)?.remove(FILE)
}
