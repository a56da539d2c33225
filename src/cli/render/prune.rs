//! Reports which snapshots `prune` drops, and why the others stay.

use std::collections::BTreeMap;

use idev_backup::base::phone_names;
use idev_backup::base::units::{counted, size};
use idev_backup::history::prune::Pruned;
use idev_backup::store::retention::Why;

use crate::cli::render::{output, table};

/// Returns a name for each phone, by UDID.
fn names(pruned: &Pruned) -> BTreeMap<String, String> {
    let mut phones: Vec<(&str, Option<&str>)> = pruned
        .snapshots
        .iter()
        .map(|fate| (fate.udid.as_str(), fate.name.as_deref()))
        .collect();
    phones.dedup();
    let udids = phones.iter().map(|(udid, _)| (*udid).to_owned());
    udids.zip(phone_names::distinct(&phones)).collect()
}

/// Prints the table of snapshots, and what becomes free.
pub fn show_fates(pruned: &Pruned) {
    let mut rows = vec![
        ["PHONE", "SNAPSHOT", "WHAT", "FREES", "WHY"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let names = names(pruned);
    let name = |udid: &str| names.get(udid).cloned().unwrap_or_else(|| udid.to_owned());
    for fate in &pruned.snapshots {
        let words: Vec<&str> = fate.why.iter().map(Why::words).collect();
        rows.push(vec![
            name(&fate.udid),
            fate.stamp.clone().unwrap_or_else(|| "?".to_owned()),
            if fate.keep { "keep" } else { "drop" }.to_owned(),
            fate.frees_bytes.map_or_else(String::new, size),
            if fate.keep {
                words.join(", ")
            } else {
                "no rule keeps it".to_owned()
            },
        ]);
    }
    if rows.len() > 1 {
        table::grouped(&rows)
            .iter()
            .filter(|line| !line.is_empty())
            .for_each(|line| output::lines(line));
    }
    for (udid, policy) in &pruned.of_phones {
        let name = output::one_line(&name(udid));
        output::line(&format!("{name} has rules of its own: {policy}."));
    }
    let number = counted(pruned.dropped, "snapshot");
    let room = pruned
        .frees_bytes
        .filter(|_| pruned.dropped > 0)
        .map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
    output::line(&if pruned.dry_run {
        format!(
            "{number} would be dropped{room} ({}). Nothing was changed.",
            pruned.policy
        )
    } else {
        format!("{number} dropped{room} ({}).", pruned.policy)
    });
}
