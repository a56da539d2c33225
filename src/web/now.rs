//! Shows the present: running jobs, also those of other processes, and the connected phones.

use std::sync::Arc;

use maud::{Markup, html};
use serde::Serialize;

use super::cookie::Session;
use super::form;
use super::jobs::Job;
use super::layout::{encoded, t};
use super::live::{in_words, running};
use super::site::Site;
use crate::base::udid::Udid;
use crate::device::listing::Device;
use crate::history::list;

/// A part of a page as it is now.
pub(super) struct News {
    /// Markup of the part.
    pub(super) html: Markup,
    /// Words for screen readers, which say them when they change.
    pub(super) say: String,
    /// True if no more news follow.
    pub(super) ended: bool,
}

impl News {
    /// Returns the news as the script takes them, in one line.
    pub(super) fn data(&self) -> String {
        #[derive(Serialize)]
        struct Data<'a> {
            html: &'a str,
            say: &'a str,
            ended: bool,
        }
        let data = Data {
            html: &self.html.0,
            say: &self.say,
            ended: self.ended,
        };
        serde_json::to_string(&data).unwrap_or_default()
    }
}

/// Returns true if the first page changes soon without the user.
pub(super) fn is_busy(site: &Arc<Site>) -> bool {
    let is_looking = !site.phones().last(site).is_done;
    is_looking || site.jobs().all().iter().any(|job| job.runs())
}

/// Shows all running jobs and the connected phones. `before` is the number of jobs that had ended
/// when the page was made.
pub(super) fn of_all(site: &Arc<Site>, session: &Session, before: u64) -> News {
    let look = site.phones().last(site);
    let jobs = site.jobs().all();
    let running: Vec<&Arc<Job>> = jobs.iter().filter(|job| job.runs()).collect();
    let is_old = site.jobs().ended() != before;
    let html = html! {
        @for job in &running { (card(site, session, job)) }
        @for job in jobs.iter().filter(|job| !job.runs()).take(1) { (last(site, job)) }
        @if is_old { (load_again()) }
        section aria-labelledby="connected" {
            h2 id="connected" { "Connected now" }
            @if !look.is_done {
                p.soft { "Looking for connected phones ..." }
            } @else if let Some(trouble) = &look.trouble {
                p { "Phones cannot be looked for: " (t(&trouble.text)) }
                @if let Some(hint) = &trouble.hint { p.soft { "Advice: " (t(hint)) } }
            } @else if look.phones.is_empty() {
                p.soft { "No phone. Connect one with its cable and unlock it, or use Wi-Fi." }
            } @else {
                ul.rows.phones {
                    @for phone in &look.phones { li { (connected(site, session, phone)) } }
                }
            }
        }
    };
    let say = match running.first() {
        Some(job) => format!("{}: {}", job.phone, in_words(&job.progress())),
        None => String::new(),
    };
    News {
        html,
        say,
        ended: is_old,
    }
}

/// Shows the running job of a phone, or the button that begins a backup.
pub(super) fn of_phone(site: &Arc<Site>, session: &Session, udid: &Udid, before: u64) -> News {
    let job = site.jobs().of(udid);
    let is_old = site.jobs().ended() != before;
    let ended = site.jobs().all();
    let ended = ended.iter().find(|job| job.udid == *udid && !job.runs());
    let html = html! {
        @match &job {
            Some(job) => (card(site, session, job)),
            None => {
                @if let Some(job) = ended { (last(site, job)) }
                @if is_old { (load_again()) }
                @if site.store().is_busy(udid) {
                    p.note { (elsewhere()) }
                } @else {
                    (begin(site, session, udid, "Back up now"))
                }
            }
        }
    };
    let say = job.map_or_else(String::new, |job| in_words(&job.progress()));
    News {
        html,
        say,
        ended: is_old,
    }
}

/// Says that another process works on a phone.
pub(super) fn elsewhere() -> &'static str {
    "Another run of the program works on this phone now: a backup, a check or a removal."
}

fn load_again() -> Markup {
    html! { p { a href="" { "Load the page again" } " to see what changed." } }
}

/// Shows a running job in a few lines.
fn card(site: &Site, session: &Session, job: &Job) -> Markup {
    let to = site.at(&format!("/job/{}", job.id));
    html! {
        div.card.job {
            h2 { a href=(to) { (job.work.words()) ": " bdi { (t(&job.phone)) } } }
            (running(site, session, job, &job.progress()))
        }
    }
}

/// Says how the last job ended.
fn last(site: &Site, job: &Job) -> Markup {
    let progress = job.progress();
    let ended = progress.ended.as_ref();
    html! {
        @if let Some(ended) = ended {
            p {
                a href=(site.at(&format!("/job/{}", job.id))) {
                    (job.work.words()) ": " bdi { (t(&job.phone)) }
                }
                " – "
                span class=(if ended.good { "good" } else { "bad" }) {
                    (t(ended.lines.first().map_or("", String::as_str)))
                }
            }
        }
    }
}

/// Shows a connected phone, with the button that begins a backup.
fn connected(site: &Arc<Site>, session: &Session, phone: &Device) -> Markup {
    let udid: Option<Udid> = phone.udid.parse().ok();
    let known = udid.as_ref();
    let known = known.and_then(|udid| list::phone_name(site.store(), udid));
    let name = phone.name().map(str::to_owned).or(known.clone());
    let name = name.unwrap_or_else(|| phone.udid.clone());
    let runs = udid
        .as_ref()
        .is_some_and(|udid| site.jobs().of(udid).is_some());
    html! {
        div {
            strong {
                @if known.is_some() {
                    a href=(site.at(&format!("/phone/{}", encoded(&phone.udid)))) { bdi { (t(&name)) } }
                } @else { bdi { (t(&name)) } }
            }
            span.soft {
                @if let Some(facts) = &phone.facts { " " (t(&facts.model)) ", iOS " (t(&facts.ios)) }
                ", " (phone.via)
                @if let Some(battery) = phone.battery { ", battery " (battery) " %" }
                @match phone.encrypted {
                    Some(true) => ", backups are encrypted",
                    Some(false) => ", backups are not encrypted",
                    None => "",
                }
            }
            @if let Some(trouble) = &phone.trouble { p.soft { (t(trouble)) } }
            @if !phone.paired && phone.trouble.is_none() {
                p.soft { "This computer is not paired with it: the phone will ask to trust it." }
            }
        }
        @if let Some(udid) = &udid {
            @if runs {
                span.soft { "its job runs" }
            } @else if site.store().is_busy(udid) {
                span.soft { "another run of the program works on it" }
            } @else {
                (begin(site, session, udid, &format!("Back up now: {name}")))
            }
        }
    }
}

/// Returns the button that begins a backup. Its label names the phone where there are several.
fn begin(site: &Site, session: &Session, udid: &Udid, label: &str) -> Markup {
    let to = site.at(&format!("/phone/{}/back-up", encoded(udid.as_str())));
    html! {
        form method="post" action=(to) {
            (form::check(session))
            button.main aria-label=(t(label)) { "Back up now" }
        }
    }
}
