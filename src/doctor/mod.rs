//! Finds what would keep the next backup from succeeding, and explains error codes.
//!
//! Facts are gathered first (`facts`, `computer`), with a time limit. Their meaning is judged
//! separately, so that each judgment can be tested alone (`check_connection`, `check_phone`, `check_store`,
//! `ios_notes`).

mod check_connection;
mod check_phone;
pub mod check_schedule;
mod check_store;
pub mod computer;
pub mod explain;
mod facts;
pub(crate) mod ios_notes;
mod messages;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::base::phone_names;
use crate::base::udid::Udid;
use crate::device::Error;
use crate::device::connector::Connector;
use crate::doctor::computer::Places;
use crate::doctor::facts::{Health, Shelf, Trouble, Way};
use crate::transport::Attached;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything is in order.
    Ok,
    /// Backups work, or may work, but the user should do something.
    Warning,
    /// No backup can be made in this state, or the store has none.
    Problem,
}

/// A single finding about the phone, the store or the computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The severity of the finding.
    pub level: Level,
    /// The subject, in one word. Stable: docs/guide.md lists them.
    pub topic: &'static str,
    /// The UDID of the phone that it concerns, if any.
    pub udid: Option<String>,
    /// The finding itself.
    pub says: String,
    /// The consequence, if any.
    pub means: Option<String>,
    /// Advice for the user.
    pub hint: Option<String>,
}

impl Line {
    pub(crate) fn new(level: Level, topic: &'static str, says: impl Into<String>) -> Line {
        Line {
            level,
            topic,
            udid: None,
            says: says.into(),
            means: None,
            hint: None,
        }
    }

    pub(crate) fn ok(topic: &'static str, says: impl Into<String>) -> Line {
        Line::new(Level::Ok, topic, says)
    }

    pub(crate) fn warning(topic: &'static str, says: impl Into<String>) -> Line {
        Line::new(Level::Warning, topic, says)
    }

    pub(crate) fn problem(topic: &'static str, says: impl Into<String>) -> Line {
        Line::new(Level::Problem, topic, says)
    }

    fn trouble(topic: &'static str, trouble: &Trouble) -> Line {
        Line {
            hint: trouble.hint.clone(),
            ..Line::problem(topic, &trouble.text)
        }
    }

    fn of(mut self, udid: &Udid) -> Line {
        self.udid = Some(udid.to_string());
        self
    }

    pub(crate) fn means(mut self, means: impl Into<String>) -> Line {
        self.means = Some(means.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Line {
        self.hint = Some(hint.into());
        self
    }
}

/// The findings of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The highest severity among the findings.
    pub level: Level,
    /// The findings: the connection to phones, then each phone, then the store.
    pub lines: Vec<Line>,
    /// The facts that could not be determined here, each with the reason.
    pub not_looked_at: Vec<String>,
}

/// The options of an examination.
#[derive(Debug, Clone)]
pub struct Options {
    /// The only phone to examine: its UDID, a prefix of it, or its name.
    pub device: Option<String>,
    /// The store's folder.
    pub store: PathBuf,
    /// True if the user named the store.
    pub store_is_named: bool,
    /// The age from which the last backup is worth a warning.
    pub age_max: Duration,
    /// The time limit for all of a phone's answers, and for the store's disk.
    pub patience: Duration,
    /// The current time.
    pub now: SystemTime,
    /// The folders in which Linux lists USB devices and processes.
    pub places: Places,
}

/// Returns the UDID of the one phone that `text` identifies, connected or in the store; else `text`
/// itself.
fn udid_of(text: &str, connector: &Connector, seen: &[Attached], shelf: &Shelf) -> String {
    let connected = phone_names::matching(
        text,
        seen,
        |phone| &phone.udid,
        |phone| connector.name(phone),
    );
    let name = |kept: &facts::Kept| kept.current.as_ref()?.name.clone();
    let kept = phone_names::matching(text, &shelf.kept, |kept| &kept.udid, name);
    match (&connected[..], &kept[..]) {
        ([phone], _) => phone.udid.to_string(),
        ([], [kept]) => kept.udid.to_string(),
        _ => text.to_owned(),
    }
}

/// Examines everything. Fails only if the user interrupts; any other failure is a finding.
pub fn examine(connector: &Connector, options: &Options) -> Result<Report, Error> {
    let way = Way::look(connector, &options.places, options.patience)?;
    let seen = way.phones.as_deref().unwrap_or_default();
    let mut shelf = Shelf::look(
        options.store.clone(),
        options.store_is_named,
        options.patience,
        &connector.token,
    )?;
    let wanted = options.device.as_deref();
    let wanted = wanted.map(|text| udid_of(text, connector, seen, &shelf));
    let is_meant = |udid: &str| {
        let wanted = wanted.as_deref();
        wanted.is_none_or(|wanted| begins(udid, wanted))
    };
    let mut phones = Vec::new();
    for phone in seen.iter().filter(|p| is_meant(p.udid.as_str())) {
        phones.push(Health::ask(connector, phone.clone(), options.patience)?);
    }
    shelf.kept.retain(|kept| is_meant(kept.udid.as_str()));

    let mut lines = check_connection::judge(&way, wanted.as_deref());
    for phone in &phones {
        let judged = check_phone::judge(phone).into_iter();
        lines.extend(judged.map(|line| {
            if shelf.is_busy_with(&phone.phone.udid) {
                check_phone::under_way(line)
            } else {
                line
            }
        }));
    }
    lines.extend(check_store::judge(&shelf));
    let of_phones = check_store::phones(&shelf, &phones);
    lines.extend(of_phones.iter().flat_map(|(kept, health)| {
        check_store::judge_phone(&shelf, kept, *health, options.now, options.age_max)
    }));
    Ok(Report {
        level: lines.iter().map(|l| l.level).max().unwrap_or(Level::Ok),
        not_looked_at: not_looked_at(&way, &phones, &shelf),
        lines,
    })
}

/// Returns true if `udid` begins with `wanted`, which may lack the dash, as USB serial numbers do.
fn begins(udid: &str, wanted: &str) -> bool {
    let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
    plain(udid).starts_with(&plain(wanted))
}

fn not_looked_at(way: &Way, phones: &[Health], shelf: &Shelf) -> Vec<String> {
    let mut not = Vec::new();
    let unseen = if cfg!(target_os = "linux") {
        "this system does not tell, as in a container"
    } else {
        "only Linux tells in files"
    };
    if way.on_usb.is_none() {
        not.push(format!(
            "what is plugged into USB, beside what usbmuxd sees: {unseen}"
        ));
    }
    if way.programs.is_none() {
        not.push(format!("which other programs work on phones: {unseen}"));
    }
    if phones.iter().any(|phone| phone.session == Some(Ok(()))) {
        not.push(
            "whether a phone is being restored from iCloud, or asks for its passcode: it tells only when a backup begins"
                .to_owned(),
        );
    }
    if shelf.exists && shelf.trouble.is_none() && shelf.abilities.is_none() && !shelf.silent {
        not.push(
            "what the disk of the store can do: nothing is written in a folder that idev-backup has not used yet".to_owned(),
        );
    }
    not
}
