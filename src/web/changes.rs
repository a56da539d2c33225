//! The page of what changed since the backup before, by what the phone noted of each file.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};

use super::backup::{Inside, title};
use super::fail::Fail;
use super::layout::t;
use super::site::{Opened, Site, key_of, reading};
use crate::base::units::{count, counted, size};
use crate::history::list;
use crate::reader::backup::Backup;
use crate::reader::diff::{self, Amount, Change, Difference, Report};
use crate::reader::passwords::{Known, NoPasswords, Passwords};

/// Files that the page names: the largest.
const FILES: usize = 100;

/// The differences to the backup before.
pub(super) struct Changes {
    before: String,
    report: Report,
    largest: Vec<Difference>,
}

impl Changes {
    /// Compares a backup with the one before it; `None` for the first one.
    pub(super) fn read(site: &Site, opened: &Opened) -> Result<Option<Changes>, Fail> {
        let listed = list::list(site.store())?;
        let of_phone = listed
            .iter()
            .filter(|other| other.udid == opened.listed.udid);
        let mut older = of_phone.skip_while(|other| key_of(&other.udid, &other.id) != opened.key);
        let Some(before) = older.nth(1) else {
            return Ok(None);
        };
        let snapshot = site.find(&key_of(&before.udid, &before.id))?;
        let known = site.kept_password(snapshot.udid()).map(Known);
        let passwords: &dyn Passwords = match &known {
            Some(known) => known,
            None => &NoPasswords,
        };
        let one = Backup::open(snapshot.path(), passwords)?;
        let other = Backup::open(opened.folder(), passwords)?;
        let mut largest: Vec<Difference> = Vec::new();
        let report = diff::diff(one, other, &AtomicBool::new(false), |difference| {
            largest.push(difference);
            if largest.len() >= FILES * 4 {
                shorten(&mut largest);
            }
        })?;
        shorten(&mut largest);
        Ok(Some(Changes {
            before: title(before),
            report,
            largest,
        }))
    }
}

fn shorten(largest: &mut Vec<Difference>) {
    largest.sort_by_key(|difference| Reverse(bytes(difference)));
    largest.truncate(FILES);
}

fn bytes(difference: &Difference) -> u64 {
    let noted = difference.after.as_ref().or(difference.before.as_ref());
    noted.map_or(0, |noted| noted.bytes)
}

/// Shows the changes.
pub(super) async fn page(State(site): State<Arc<Site>>, Path(key): Path<String>) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let changes = opened.changes(&site)?;
        let main = match &*changes {
            None => html! { p { "This is the first backup of this phone in the store." } },
            Some(changes) => shown(changes),
        };
        let page = Inside {
            opened: &opened,
            tab: "",
            title: "What changed",
            above: Vec::new(),
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn shown(changes: &Changes) -> Markup {
    let report = &changes.report;
    let cells = |amount: Amount| {
        html! { td { (count(amount.files)) } td { (size(amount.bytes)) } }
    };
    html! {
        p { "Since the backup before: " bdi { (t(&changes.before)) } }
        p {
            (counted(report.amounts.added.files, "new file")) ", "
            (counted(report.amounts.changed.files, "changed file")) ", "
            (counted(report.amounts.removed.files, "file")) " gone. "
            (counted(report.unchanged, "file")) " did not change."
        }
        @for (words, apps) in [("New apps", &report.apps_added), ("Apps that are gone", &report.apps_removed)] {
            @if !apps.is_empty() {
                p { (words) ": " bdi { (t(&apps.join(", "))) } }
            }
        }
        @if !report.kinds.is_empty() {
            div.rows-of tabindex="0" role="region" aria-label="Changes by kind" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Kind" }
                            th scope="col" { "New" } th scope="col" { "Size" }
                            th scope="col" { "Changed" } th scope="col" { "Size" }
                            th scope="col" { "Gone" } th scope="col" { "Size" }
                        }
                    }
                    tbody {
                        @for kind in &report.kinds {
                            tr {
                                th scope="row" { (kind.kind.words()) }
                                (cells(kind.amounts.added))
                                (cells(kind.amounts.changed))
                                (cells(kind.amounts.removed))
                            }
                        }
                    }
                }
            }
        }
        @if !changes.largest.is_empty() {
            section aria-labelledby="files" {
                h2 id="files" { "The largest of these files" }
                ul.entries {
                    @for difference in &changes.largest {
                        li {
                            p { bdi { (t(&difference.relative_path)) } }
                            p.soft {
                                @match difference.change {
                                    Change::Added => "new",
                                    Change::Removed => "gone",
                                    Change::Changed => "changed",
                                }
                                ", " (size(bytes(difference))) ", "
                                bdi { (t(&difference.domain)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
