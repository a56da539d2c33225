//! The first page, with all phones of the store, and the page of a phone, with its backups.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::cookie::Session;
use super::fail::Fail;
use super::layout::{Page, answer, encoded, t};
use super::site::{Site, key_of, reading};
use super::unlock::allow_form;
use super::{away, form, live, next, now};
use crate::base::time;
use crate::base::units::{count, counted, size, span};
use crate::history::elsewhere::Elsewhere;
use crate::history::list::{self, Backup, Look, Overview, Phone};
use crate::store::Snapshot;
use crate::store::snapshot::read_report;

/// Shows all phones.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
) -> Response {
    reading(move || {
        let now = SystemTime::now();
        // First, so that a job which ends meanwhile makes the page old.
        let ended = site.jobs().ended();
        let overview = overview(&site, now)?;
        let follow = live::since(&site.at("/live"), ended);
        let news = site.acts().then(|| now::of_all(&site, &session, ended));
        let main = html! {
            @if let Some(news) = &news { (live::part(&follow, true, news)) }
            (next::words(&site))
            @if news.is_some() { h2 { "Phones in this store" } }
            @if overview.phones.is_empty() {
                p { "There are no backups in this store yet." }
            }
            @if let Some(trouble) = &overview.copies_trouble {
                p.bad { "The notes about copies elsewhere cannot be read: " (t(trouble)) }
            }
            ul.cards {
                @for phone in &overview.phones {
                    li.card { (phone_card(&site, &overview, phone, now)) }
                }
            }
            (away::words(&site))
            @if site.secrets().login().is_some() {
                form method="post" action=(site.at("/logout")) {
                    (form::check(&session))
                    button { "Log out" }
                }
            }
            @if let Some(free) = overview.free_bytes {
                p.soft {
                    "Store: " bdi { (t(&site.store().root().display().to_string())) }
                    ", " (size(free)) " free."
                }
            }
        };
        let page = Page {
            base: site.secrets().base(),
            title: "Backups",
            above: Vec::new(),
            tabs: None,
            main,
            wide: false,
            is_first: true,
        };
        Ok(match news {
            Some(_) => live::answer(&site, page, now::is_busy(&site)),
            None => {
                let mut response = answer(page.markup());
                allow_form(&mut response);
                response
            }
        })
    })
    .await
}

fn overview(site: &Site, now: SystemTime) -> Result<Overview, Fail> {
    let look = Look {
        sizes: false,
        overdue: site.options().overdue,
        now,
    };
    let mut overview = list::overview(site.store(), &look)?;
    let options = site.options();
    let (repository, limit) = (options.repository.as_deref(), options.copy_overdue);
    overview.look_elsewhere(site.store(), repository, limit, now);
    Ok(overview)
}

fn phone_card(site: &Site, overview: &Overview, phone: &Phone, now: SystemTime) -> Markup {
    let mut of_phone = overview.backups.iter().filter(|b| b.udid == phone.udid);
    let newest = of_phone.next();
    let model = newest.and_then(|newest| newest.model.as_deref());
    let ios = newest.and_then(|newest| newest.ios.as_deref());
    let has_draft = overview.drafts.contains(&phone.udid);
    let runs = is_busy(site, &phone.udid);
    let to = site.at(&format!("/phone/{}", encoded(&phone.udid)));
    html! {
        h2 { a href=(to) { bdi { (t(phone.name.as_deref().unwrap_or("A phone without a name"))) } } }
        p.soft {
            @if let Some(model) = model { (t(model)) }
            @if let Some(ios) = ios { ", iOS " (t(ios)) }
        }
        dl.facts {
            dt { "Last good backup" }
            dd {
                @match phone.last_good.as_deref() {
                    Some(last) => {
                        (time::when(last))
                        @if let Some(age) = age(last, now) { " (" (age) ")" }
                        @if phone.overdue { " " strong.bad { "overdue" } }
                    },
                    None => strong.bad { "none" },
                }
            }
            @if let Some(newest) = newest {
                dt { "Checked" }
                dd { (checked(newest)) }
                dt { "Encrypted" }
                dd { (encrypted(newest)) }
                @if let Some(gaps) = gaps_noted(site, newest) {
                    dt { "Missing" }
                    dd { (gaps) }
                }
            }
            dt { "Copy elsewhere" }
            @if phone.copies.is_empty() {
                dd.soft { "none that this program knows of" }
            }
            @for copy in &phone.copies { dd { (elsewhere(copy, phone, now)) } }
            @if let Some(retired) = &phone.retired {
                dt { "Retired" }
                dd { (time::when(retired)) }
            }
            @if runs {
                dt { "Now" }
                dd { (now::elsewhere()) }
            } @else if has_draft {
                dt { "Now" }
                dd { "A backup was interrupted. The next one continues it." }
            }
            @if let Some(trouble) = &phone.trouble {
                dt { "Problem" }
                dd.bad { (t(trouble)) }
            }
        }
        p.links {
            @if let Some(newest) = newest {
                a.button href=(backup_link(site, newest)) { "Look into the newest backup" }
                " "
            }
            a href=(to) { @if phone.snapshots > 1 { "All " } (counted(phone.snapshots, "backup")) }
            @if phone.bytes > 0 { span.soft { " " (size(phone.bytes)) } }
        }
    }
}

/// Says which backup of a phone a repository has, as the notes of the store say.
fn elsewhere(copy: &Elsewhere, phone: &Phone, now: SystemTime) -> Markup {
    let is_waiting = phone.copy_overdue && copy.waits_since.is_some();
    html! {
        bdi { (t(&copy.words())) }
        @if let Some(age) = copy.date.as_deref().and_then(|date| age(date, now)) { " (" (age) ")" }
        @if is_waiting { " " strong.bad { "overdue" } }
        @if let Some(failed) = &copy.failed {
            br;
            span.bad { "The push failed " (time::when(&failed.time)) ": " (t(&failed.why)) }
        }
    }
}

/// Returns true if another process works on a phone.
fn is_busy(site: &Site, udid: &str) -> bool {
    let udid = udid.parse();
    udid.is_ok_and(|udid| site.jobs().of(&udid).is_none() && site.store().is_busy(&udid))
}

/// Returns the number of things that the run found missing, from its report.
fn gaps_noted(site: &Site, backup: &Backup) -> Option<Markup> {
    let gaps = report_of(site, backup)?;
    let gaps = gaps.get("missing")?.as_array()?.len() as u64;
    (gaps > 0).then(|| {
        html! { a href={ (backup_link(site, backup)) "#missing" } { (counted(gaps, "thing")) } }
    })
}

/// Returns the report of the run that made a backup.
fn report_of(site: &Site, backup: &Backup) -> Option<Value> {
    let snapshots = site.snapshots().ok()?;
    let is_it = |s: &&Snapshot| s.udid().as_str() == backup.udid && s.id().as_str() == backup.id;
    read_report(&snapshots.iter().find(is_it)?.report()?)
}

/// Returns the address of a listed backup.
fn backup_link(site: &Site, backup: &Backup) -> String {
    site.at(&format!("/b/{}", key_of(&backup.udid, &backup.id)))
}

/// Returns the time since a date, in words.
fn age(rfc3339: &str, now: SystemTime) -> Option<String> {
    let then: jiff::Timestamp = rfc3339.parse().ok()?;
    let age = time::age(now, SystemTime::from(then))?;
    let days = age.as_secs() / 86_400;
    (days > 0).then(|| {
        format!(
            "{} ago",
            span(std::time::Duration::from_secs(days * 86_400))
        )
    })
}

/// Says what the last check found.
pub(super) fn checked(backup: &Backup) -> Markup {
    html! {
        @if let Some(damaged) = &backup.damaged {
            strong.bad { "damaged" } ", found " (time::when(damaged))
        } @else if let Some(verified) = &backup.verified {
            span.good { "whole" } ", every byte compared " (time::when(&verified.time))
        } @else if !backup.complete {
            strong.bad { "unfinished" }
        } @else {
            "not yet since it was made"
        }
    }
}

fn encrypted(backup: &Backup) -> &'static str {
    match backup.encrypted {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    }
}

/// Says what the run of a backup received, and links to the changes since the backup before.
fn since_before(site: &Site, backup: &Backup, is_first: bool) -> Markup {
    let report = report_of(site, backup);
    let number = |name: &str| report.as_ref()?.get(name)?.as_u64();
    let of_run = (number("received_files"), number("received_bytes"));
    let when = backup.date.as_deref();
    let when = when.map_or("no date".to_owned(), time::when);
    html! {
        p.soft {
            @if let (Some(files), Some(bytes)) = of_run {
                "Received: " (counted(files, "file")) " (" (size(bytes)) ")"
                @if let Some(removed) = number("removed_files").filter(|removed| *removed > 0) {
                    ", removed: " (count(removed))
                }
                ". "
            }
            @if is_first {
                "The first backup of this phone here."
            } @else {
                a href={ (backup_link(site, backup)) "/changes" }
                    aria-label={ "What changed since the one before, backup of " (when) } {
                    "What changed since the one before"
                }
            }
        }
    }
}

/// Shows the backups of a phone.
pub(super) async fn phone(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(udid): Path<String>,
) -> Response {
    reading(move || {
        let now = SystemTime::now();
        let ended = site.jobs().ended();
        let overview = overview(&site, now)?;
        let mut phones = overview.phones.iter();
        let phone = phones.find(|phone| phone.udid == udid);
        let phone = phone.ok_or(Fail::NotFound("the store has no such phone"))?;
        let backups: Vec<&Backup> = overview
            .backups
            .iter()
            .filter(|b| b.udid == udid)
            .collect();
        let of = udid.parse().ok().filter(|_| site.acts());
        let news = of.as_ref().map(|of| now::of_phone(&site, &session, of, ended));
        let runs = of.is_some_and(|of| site.jobs().of(&of).is_some());
        let follow = site.at(&format!("/phone/{}/live", encoded(&udid)));
        let follow = live::since(&follow, ended);
        let main = html! {
            @if let Some(news) = &news { (live::part(&follow, true, news)) }
            ol.timeline reversed {
                @for (number, backup) in backups.iter().enumerate() {
                    li {
                        h2 {
                            a href=(backup_link(&site, backup)) {
                                (backup.date.as_deref().map_or("No date".to_owned(), time::when))
                            }
                            @if backup.current { " " span.tag { "current" } }
                            @if backup.pinned == Some(true) { " " span.tag { "pinned" } }
                            @for tag in &backup.tags { " " span.tag { bdi { (t(tag)) } } }
                        }
                        p {
                            @if let Some(bytes) = backup.bytes { (size(bytes)) ", " }
                            @if let Some(files) = backup.files { (count(files)) " files, " }
                            @if let Some(ios) = &backup.ios { "iOS " (t(ios)) ", " }
                            "encrypted: " (encrypted(backup))
                        }
                        p.soft { "Checked: " (checked(backup)) }
                        (since_before(&site, backup, number + 1 == backups.len()))
                        @if site.acts() {
                            p {
                                a href={ (backup_link(&site, backup)) "/manage" }
                                    aria-label={ "Check, keep or delete the backup of "
                                        (backup.date.as_deref().map_or("no date".to_owned(), time::when)) } {
                                    "Check, keep or delete"
                                }
                            }
                        }
                    }
                }
            }
        };
        let title = phone.name.as_deref().unwrap_or("A phone without a name");
        let page = Page {
            base: site.secrets().base(),
            title,
            above: Vec::new(),
            tabs: None,
            main,
            wide: false,
            is_first: false,
        };
        Ok(match news {
            Some(_) => live::answer(&site, page, runs),
            None => answer(page.markup()),
        })
    })
    .await
}
