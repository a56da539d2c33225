//! Exports the chats of WhatsApp to a folder, in the formats of [`messages`].

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::base::progress::Monitor;
use crate::content::whatsapp::WhatsApp;
use crate::export::messages::{self, Options, Report};
use crate::export::{Error, Exported};
use crate::reader::backup::Backup;

/// Exports the chats of a backup into a folder.
pub fn export(
    backup: &Backup,
    to: &Path,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    messages::check(backup, options)?;
    let whatsapp = WhatsApp::open(backup)?;
    let job = messages::Job {
        source: &whatsapp,
        no_names: None,
    };
    job.export(backup, to, options, (interrupt, monitor))
}
