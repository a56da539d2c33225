//! Examines the connection, each phone and the store, and gathers the findings.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::concern::Concern;
use super::line::{Level, Line};
use crate::base::phone_names;
use crate::base::udid::Udid;
use crate::device::Error;
use crate::device::connector::Connector;
use crate::doctor::check_copies::{self, Repository};
use crate::doctor::computer::Places;
use crate::doctor::facts::{ConnectionFacts, Health, StoreFacts};
use crate::doctor::{check_connection, check_phone, check_store, check_wifi, facts};
use crate::transport::Attached;

/// The findings of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report<F = Concern> {
    /// The highest severity among the findings.
    pub level: Level,
    /// The findings: the connection to phones, then each phone, then the store.
    pub lines: Vec<Line<F>>,
    /// The facts that could not be determined here, each with the reason.
    pub not_looked_at: Vec<String>,
    /// The phones that are connected or in the store, each by its UDID, with its name if it was
    /// asked or if the store knows it.
    #[serde(skip)]
    pub phones: Vec<(Udid, Option<String>)>,
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
    /// The repository for copies elsewhere, if the user has set one up.
    pub repository: Option<Repository>,
    /// The age from which the last backup is worth a warning.
    pub age_max: Duration,
    /// The time limit for all of a phone's answers, and for the store's disk.
    pub patience: Duration,
    /// The current time.
    pub now: SystemTime,
    /// The folders in which Linux lists USB devices and processes.
    pub places: Places,
}

/// Examines everything. Fails only if the user interrupts; any other failure is a finding.
pub fn examine(connector: &Connector, options: &Options) -> Result<Report, Error> {
    let connection = ConnectionFacts::look(connector, &options.places, options.patience)?;
    let seen = connection.phones.as_deref().unwrap_or_default();
    let mut store_facts = StoreFacts::look(
        options.store.clone(),
        options.store_is_named,
        options.repository.as_ref().map(|one| one.location.clone()),
        options.patience,
        &connector.token,
    )?;
    let wanted = options.device.as_deref();
    let wanted = wanted.map(|text| udids_of(text, connector, seen, &store_facts));
    let wanted = wanted.as_deref();
    let is_meant = |udid: &str| check_connection::is_wanted(wanted, udid);
    let mut phones = Vec::new();
    for phone in seen.iter().filter(|p| is_meant(p.udid.as_str())) {
        phones.push(Health::ask(connector, phone.clone(), options.patience)?);
    }
    let known = known(seen, &phones, &store_facts);
    tell_apart(&known, &mut phones, &mut store_facts);
    store_facts
        .phones
        .retain(|stored| is_meant(stored.udid.as_str()));

    let mut lines = check_connection::judge(&connection, wanted);
    lines.extend(check_wifi::judge(&connection.wifi, options.now));
    for phone in &phones {
        let judged = check_phone::judge(phone).into_iter();
        lines.extend(judged.map(|line| {
            if store_facts.is_busy_with(&phone.phone.udid) {
                check_phone::under_way(line)
            } else {
                line
            }
        }));
    }
    lines.extend(check_store::judge(&store_facts));
    let of_phones = check_store::phones(&store_facts, &phones);
    lines.extend(of_phones.iter().flat_map(|(stored, health)| {
        check_store::judge_phone(&store_facts, stored, *health, options.now, options.age_max)
    }));
    let repository = options.repository.as_ref();
    lines.extend(check_copies::judge(&store_facts, repository, options.now));
    Ok(Report {
        level: lines.iter().map(|l| l.level).max().unwrap_or(Level::Ok),
        not_looked_at: not_looked_at(&connection, &phones, &store_facts),
        lines,
        phones: known,
    })
}

/// Returns the phones that are connected or in the store, each with its name if that is known.
fn known(
    seen: &[Attached],
    asked: &[Health],
    store_facts: &StoreFacts,
) -> Vec<(Udid, Option<String>)> {
    let connected = seen.iter().map(|phone| &phone.udid);
    let stored = store_facts.phones.iter().map(|stored| &stored.udid);
    let mut udids: Vec<&Udid> = connected.chain(stored).collect();
    udids.sort_unstable();
    udids.dedup();
    let name = |udid: &Udid| {
        let health = asked.iter().find(|health| health.phone.udid == *udid);
        if let Some(Ok(facts)) = health.and_then(|health| health.facts.as_ref()) {
            return Some(facts.name.clone());
        }
        let stored = store_facts.phones.iter().find(|s| s.udid == *udid)?;
        stored.current.as_ref()?.name.clone()
    };
    let known = udids.into_iter().map(|udid| (udid.clone(), name(udid)));
    known.collect()
}

/// Gives phones of the same name different ones, for the findings.
fn tell_apart(
    known: &[(Udid, Option<String>)],
    asked: &mut [Health],
    store_facts: &mut StoreFacts,
) {
    let phones: Vec<_> = known
        .iter()
        .map(|(udid, name)| (udid.as_str(), name.as_deref()))
        .collect();
    let names = phone_names::distinct(&phones);
    for ((udid, _), name) in known.iter().zip(names) {
        let health = asked.iter_mut().find(|health| health.phone.udid == *udid);
        if let Some(Ok(facts)) = health.and_then(|health| health.facts.as_mut()) {
            facts.name.clone_from(&name);
        }
        let stored = store_facts.phones.iter_mut().find(|s| s.udid == *udid);
        let backup = stored.and_then(|stored| stored.current.as_mut());
        if let Some(backup) = backup.filter(|backup| backup.name.is_some()) {
            backup.name = Some(name);
        }
    }
}

/// Returns the UDIDs of the phones that `text` identifies: of those that are connected, else of
/// those in the store, else `text` itself.
fn udids_of(
    text: &str,
    connector: &Connector,
    seen: &[Attached],
    store_facts: &StoreFacts,
) -> Vec<String> {
    let connected = phone_names::matching(
        text,
        seen,
        |phone| &phone.udid,
        |phone| connector.name(phone),
    );
    if !connected.is_empty() {
        let udids = connected.iter().map(|phone| phone.udid.to_string());
        return udids.collect();
    }
    let name = |stored: &facts::StoredPhone| stored.current.as_ref()?.name.clone();
    let stored = phone_names::matching(text, &store_facts.phones, |stored| &stored.udid, name);
    if stored.is_empty() {
        return vec![text.to_owned()];
    }
    stored.iter().map(|phone| phone.udid.to_string()).collect()
}

fn not_looked_at(
    connection: &ConnectionFacts,
    phones: &[Health],
    store_facts: &StoreFacts,
) -> Vec<String> {
    let mut not = Vec::new();
    let unseen = if cfg!(target_os = "linux") {
        "not visible on this system, for example in a container"
    } else {
        "visible only on Linux"
    };
    if connection.on_usb.is_none() {
        not.push(format!("USB devices ({unseen})"));
    }
    if connection.programs.is_none() {
        not.push(format!("other programs that use phones ({unseen})"));
    }
    if phones
        .iter()
        .any(|phone| matches!(phone.session, Some(Ok(()))))
    {
        not.push(
            "whether a phone is being restored from iCloud or asks for its passcode (phones \
             report this only when a backup begins)"
                .to_owned(),
        );
    }
    if store_facts.exists
        && store_facts.trouble.is_none()
        && store_facts.abilities.is_none()
        && !store_facts.silent
    {
        not.push(
            "the features of the store's disk (nothing is written to a folder that idev-backup \
             has not used yet)"
                .to_owned(),
        );
    }
    not
}
