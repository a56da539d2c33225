//! Reports what takes up space in a backup: by kind, and by application.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::info::of_property_lists;
use super::totals::{Sum, Totals};
use crate::backup_format::categories::Amount;
use crate::backup_format::info_plist::application_names;
use crate::backup_format::unreadable_rows::Unread;
use crate::reader::Error;
use crate::reader::backup::Backup;

/// The prefixes of domains that belong to applications. The rest is the bundle id of the
/// application, of an extension, or of a group.
const PREFIXES: [&str; 3] = ["AppDomain-", "AppDomainPlugin-", "AppDomainGroup-"];

/// The report on the space used by a backup.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The path of the backup's folder.
    pub path: String,
    /// The phone's name.
    pub name: Option<String>,
    /// The phone's UDID.
    #[serde(skip)]
    pub udid: Option<String>,
    /// The time of the backup, as RFC 3339.
    pub date: Option<String>,
    /// The sum of all files.
    #[serde(flatten)]
    pub all: Sum,
    /// By the kind of data, largest first.
    pub kinds: Vec<Amount>,
    /// By application, largest first.
    pub apps: Vec<App>,
    /// Number of files whose records cannot be read. They count as files of 0 bytes.
    pub unreadable: u64,
    /// The parts of the list that could not be read: their number, and the names of the first.
    pub unread: Unread,
}

/// The space that an application uses, including its extensions and groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct App {
    /// The application's bundle id.
    pub id: String,
    /// The application's name, if the backup contains it.
    pub name: Option<String>,
    /// The application's files and their bytes.
    #[serde(flatten)]
    pub sum: Sum,
}

/// Adds up the files of a backup.
pub fn usage(opened: &Backup) -> Result<Report, Error> {
    report(opened, Totals::of(opened)?)
}

/// A report that is made in steps, so that others can use the backup between them.
#[cfg(feature = "web")]
pub(crate) struct Steps {
    totals: Totals,
    /// Number of the last row that was added.
    after: Option<i64>,
}

#[cfg(feature = "web")]
impl Steps {
    pub(crate) fn begin() -> Steps {
        Steps {
            totals: Totals::default(),
            after: Some(i64::MIN),
        }
    }

    /// Adds some more files. Returns false once all were added.
    pub(crate) fn step(&mut self, opened: &Backup) -> Result<bool, Error> {
        if let Some(after) = self.after {
            let (items, last) = opened.batch(after)?;
            for item in items {
                self.totals.take(opened, item);
            }
            self.after = last;
        }
        Ok(self.after.is_some())
    }

    /// Returns the report.
    pub(crate) fn report(self, opened: &Backup) -> Result<Report, Error> {
        report(opened, self.totals)
    }
}

fn report(opened: &Backup, totals: Totals) -> Result<Report, Error> {
    let known = of_property_lists(opened.folder())?;
    let mut kinds = totals.kinds.list();
    kinds.sort_by_key(|amount| std::cmp::Reverse(amount.bytes));
    Ok(Report {
        path: known.path,
        name: known.name,
        udid: known.udid,
        date: known.date,
        all: totals.all,
        kinds,
        apps: apps(&totals.domains, &application_names(opened.folder())),
        unreadable: totals.unreadable,
        unread: opened.unread(),
    })
}

/// Returns the bundle id in the domain of an application.
pub(crate) fn bundle_id(domain: &str) -> Option<&str> {
    PREFIXES
        .iter()
        .find_map(|prefix| domain.strip_prefix(prefix))
}

fn apps(domains: &HashMap<String, Sum>, names: &BTreeMap<String, String>) -> Vec<App> {
    // An application has a domain of its own, or a name. Every other id belongs to one of these, or
    // to none.
    let known =
        |id: &str| names.contains_key(id) || domains.contains_key(&format!("AppDomain-{id}"));
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for (domain, sum) in domains {
        let Some(id) = bundle_id(domain) else {
            continue;
        };
        let owner = if known(id) { id } else { owner(id, known) };
        sums.entry(owner).or_default().add(*sum);
    }
    let mut apps: Vec<App> = sums
        .into_iter()
        .filter(|(_, sum)| sum.files > 0)
        .map(|(id, sum)| App {
            id: id.to_owned(),
            name: names.get(id).cloned(),
            sum,
        })
        .collect();
    apps.sort_by(|a, b| b.sum.bytes.cmp(&a.sum.bytes).then(a.id.cmp(&b.id)));
    apps
}

/// Returns the application that an extension (`com.example.app.share`) or a group
/// (`group.com.example.app`, `group.com.example.app.shared`, `A1B2C3D4E5.com.example.app`) belongs
/// to: the longest prefix that is an application's id. Returns `id` itself if no prefix is.
fn owner(id: &str, known: impl Fn(&str) -> bool) -> &str {
    /// Bundle ids have fewer parts; an id in a forged list could have a million.
    const PARTS_MAX: usize = 16;
    let behind_team = || {
        let (team, rest) = id.split_once('.')?;
        let is_team = team.len() == 10 && team.bytes().all(|b| b.is_ascii_alphanumeric());
        is_team.then_some(rest)
    };
    let start = (id.strip_prefix("group.")).or_else(behind_team);
    let start = start.unwrap_or(id);
    std::iter::successors(Some(start), |name| Some(name.rsplit_once('.')?.0))
        .take(PARTS_MAX)
        .find(|name| known(name))
        .unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_extensions_count_toward_their_app() {
        let domains: HashMap<String, Sum> = [
            "AppDomain-com.example.chat",
            "AppDomainPlugin-com.example.chat.share",
            "AppDomainGroup-group.com.example.chat",
            "AppDomainGroup-group.com.example.chat.shared.more",
            "AppDomainGroup-A1B2C3D4E5.com.example.chat",
            "AppDomain-com.example.chatter",
            "AppDomainGroup-group.org.named",
            "AppDomainGroup-group.nobody",
            "AppDomainPlugin-com.example.other.widget",
            "HomeDomain",
        ]
        .into_iter()
        .map(|domain| {
            (
                domain.to_owned(),
                Sum {
                    files: 1,
                    bytes: 10,
                },
            )
        })
        .collect();
        let names = BTreeMap::from([("org.named".to_owned(), "Named".to_owned())]);
        let found: Vec<_> = apps(&domains, &names)
            .into_iter()
            .map(|app| (app.id, app.sum.files, app.name.is_some()))
            .collect();
        let wanted = [
            ("com.example.chat", 5, false),
            ("com.example.chatter", 1, false),
            ("com.example.other.widget", 1, false),
            ("group.nobody", 1, false),
            ("org.named", 1, true),
        ];
        assert_eq!(
            found,
            wanted.map(|(id, n, named)| (id.to_owned(), n, named))
        );
    }
}
