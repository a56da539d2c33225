//! Pages that follow running jobs: parts that a small script keeps up to date by server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Without the script, a page
//! with a running job loads itself again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use maud::{Markup, html};
use tokio::sync::mpsc;

use super::cookie::Session;
use super::fail::Fail;
use super::form;
use super::jobs::{Ended, Job, Progress};
use super::layout::{Page, encoded, t};
use super::now::{self, News};
use super::pieces::Pieces;
use super::query;
use super::site::{Site, reading};
use super::unlock::allow_form;
use crate::base::pace::{amount_of, left_words};
use crate::base::time;
use crate::base::units::{counted, duration, size};

/// The script of pages that follow jobs.
pub(super) const SCRIPT: &str = include_str!("live.js");
/// Path of the script.
pub(super) const SCRIPT_PATH: &str = "/live.js";
/// Least time between two updates of a page.
const PAUSE: Duration = Duration::from_millis(400);
/// Time after which an update is sent even if no job changed: the time left goes on.
const BEAT: Duration = Duration::from_secs(2);
/// Time after which a stream ends. The browser then opens the next one.
const STREAM_MAX: Duration = Duration::from_secs(10 * 60);
/// Interval in seconds at which a page without the script loads itself again.
const AGAIN: &str = "5";

/// Marks an answer whose page needs the script: its policy permits it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live;

/// Returns a page with the script. If `runs`, it also loads itself again where scripts are off.
pub(super) fn answer(site: &Site, page: Page<'_>, runs: bool) -> Response {
    let script = site.at(SCRIPT_PATH);
    let head = html! {
        script src=(script) defer {}
        @if runs { noscript { meta http-equiv="refresh" content=(AGAIN); } }
    };
    let page = page.markup().into_string();
    // Titles are escaped, so the first end tag is that of the head.
    let page = page.replacen("</head>", &format!("{}</head>", head.into_string()), 1);
    let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    let mut response = (html, page).into_response();
    response.extensions_mut().insert(Live);
    allow_form(&mut response);
    response
}

/// Returns a part of a page that the script keeps up to date, and the place for what a screen
/// reader should say.
pub(super) fn part(address: &str, loads_again: bool, news: &News) -> Markup {
    html! {
        div data-live=(address) data-then=[loads_again.then_some("load")] { (news.html) }
        p.unseen id="said" role="status" { (t(&news.say)) }
    }
}

/// Sends the script.
pub(super) async fn script() -> Response {
    let kind = [(CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, SCRIPT).into_response()
}

/// Shows a job.
pub(super) async fn job(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(id): Path<u64>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let job = find(&site, id)?;
        let news = of_job(&site, &session, &job);
        let is_other = query::get(query.as_deref(), "busy").is_some() && job.runs();
        let main = html! {
            @if is_other {
                p.note { "This phone has a running job. Begin the other one when it has ended." }
            }
            (part(&site.at(&format!("/job/{id}/live")), false, &news))
        };
        let title = format!("{}: {}", job.work.words(), job.phone);
        let page = Page {
            base: site.secrets().base(),
            title: &title,
            above: vec![(
                site.at(&format!("/phone/{}", encoded(job.udid.as_str()))),
                job.phone.clone(),
            )],
            tabs: None,
            main,
            wide: false,
            is_first: false,
        };
        Ok(answer(&site, page, !news.ended))
    })
    .await
}

fn find(site: &Site, id: u64) -> Result<Arc<Job>, Fail> {
    let nothing = Fail::NotFound("the server has no such job (any more)");
    site.jobs().get(id).ok_or(nothing)
}

/// Cancels a job.
pub(super) async fn cancel(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(id): Path<u64>,
    body: Body,
) -> Response {
    if let Err(fail) = form::read(&session, body).await {
        return fail.into_response();
    }
    reading(move || {
        let job = find(&site, id)?;
        if job.work.can_be_cancelled() {
            job.token.cancel();
        }
        Ok(form::to(site.at(&format!("/job/{id}"))))
    })
    .await
}

fn of_job(site: &Site, session: &Session, job: &Job) -> News {
    let progress = job.progress();
    let (html, say) = match &progress.ended {
        Some(ended) => (result(ended), ended.lines.first().cloned()),
        None => (
            running(site, session, job, &progress),
            Some(in_words(&progress)),
        ),
    };
    let html = html! {
        (html)
        @if !progress.lines.is_empty() {
            ul.log { @for line in &progress.lines { li { (t(line)) } } }
        }
        @let unlisted = progress.problems.saturating_sub(progress.lines.len() as u64);
        @if unlisted > 0 { p.soft { "and " (counted(unlisted, "more problem")) } }
        p.soft { "Begun " (time::when(&time::rfc3339(job.begun))) "." }
    };
    News {
        html,
        say: say.unwrap_or_default(),
        ended: progress.ended.is_some(),
    }
}

fn result(ended: &Ended) -> Markup {
    html! {
        @for (at, line) in ended.lines.iter().enumerate() {
            @if at == 0 {
                p.result { strong class=(if ended.good { "good" } else { "bad" }) { (t(line)) } }
            } @else {
                p { (t(line)) }
            }
        }
        @if let Some(hint) = &ended.hint { p.note { "Advice: " (t(hint)) } }
    }
}

/// Shows a running job: what the phone waits for, the phase, and how far it is.
pub(super) fn running(site: &Site, session: &Session, job: &Job, progress: &Progress) -> Markup {
    let percent = progress.share.map(|share| (share * 100.0).round());
    html! {
        @if let Some((wait, left)) = &progress.wait {
            p.wait { strong { (wait.words()) } " (" (left_words(*left)) ")" }
        }
        p.phase {
            (phase_words(progress))
            @if job.token.cancelled() { " – cancelling" }
        }
        @if let Some(percent) = percent {
            progress max="100" value=(percent) aria-label="Progress of this step" {}
        }
        p.soft { (amounts(progress)) }
        @if job.work.can_be_cancelled() && !job.token.cancelled() {
            form.inline method="post" action=(site.at(&format!("/job/{}/cancel", job.id))) {
                (form::check(session))
                button { "Cancel" }
            }
        }
    }
}

fn phase_words(progress: &Progress) -> &'static str {
    progress.phase.map_or("Beginning", |phase| phase.words())
}

/// Says in a few words what happens, for a screen reader. It changes with the phase and not with
/// every number.
pub(super) fn in_words(progress: &Progress) -> String {
    match &progress.wait {
        Some((wait, _)) => format!("{}.", wait.words()),
        None => format!("{}.", phase_words(progress)),
    }
}

/// Returns the amounts of a phase in one line.
fn amounts(progress: &Progress) -> String {
    let seen = &progress.seen;
    let mut parts = Vec::new();
    if let Some(share) = progress.share {
        parts.push(format!("{:.0} %", share * 100.0));
    }
    if progress
        .phase
        .is_some_and(|phase| phase.moves_bytes(seen.bytes))
    {
        parts.push(match seen.bytes_total {
            Some(total) => amount_of(seen.bytes, total),
            None => size(seen.bytes),
        });
        let seconds = progress.spent.as_secs_f64();
        if seconds > 1.0 {
            parts.push(format!("{}/s", size((seen.bytes as f64 / seconds) as u64)));
        }
    }
    if seen.files > 0 {
        parts.push(counted(seen.files, "file"));
    }
    parts.push(match progress.left {
        Some(left) => left_words(left),
        None => format!("{} so far", duration(progress.spent)),
    });
    parts.join(" · ")
}

/// Returns the address of a stream for a page that was made when this many jobs had ended.
pub(super) fn since(stream: &str, ended: u64) -> String {
    format!("{stream}?before={ended}")
}

/// Returns the number of jobs that had ended when the page was made. Jobs may end before the page
/// opens its stream, or while it is hidden and has none.
fn before(site: &Site, query: Option<&str>) -> u64 {
    let given = query::get(query, "before").and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| site.jobs().ended())
}

/// Follows a job.
pub(super) async fn follow_job(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(id): Path<u64>,
) -> Response {
    let job = match find(&site, id) {
        Ok(job) => job,
        Err(fail) => return fail.into_response(),
    };
    events(site, move |site| of_job(site, &session, &job))
}

/// Follows all jobs and the connected phones, for the first page.
pub(super) async fn follow_all(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
) -> Response {
    let before = before(&site, query.as_deref());
    events(site, move |site| now::of_all(site, &session, before))
}

/// Follows the job of a phone.
pub(super) async fn follow_phone(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(udid): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let before = before(&site, query.as_deref());
    match udid.parse() {
        Ok(udid) => events(site, move |site| {
            now::of_phone(site, &session, &udid, before)
        }),
        Err(_) => Fail::NotFound("the store has no such phone").into_response(),
    }
}

/// Sends what `render` returns, now and whenever it changes.
fn events(
    site: Arc<Site>,
    render: impl Fn(&Arc<Site>) -> News + Send + Sync + 'static,
) -> Response {
    let Ok(permit) = site.streams().clone().try_acquire_owned() else {
        return Fail::Status(StatusCode::SERVICE_UNAVAILABLE).into_response();
    };
    let (sender, receiver) = mpsc::channel(1);
    let render = Arc::new(render);
    let mut changes = site.jobs().changes();
    tokio::spawn(async move {
        let _permit = permit;
        let begun = tokio::time::Instant::now();
        let mut last = String::new();
        while begun.elapsed() < STREAM_MAX {
            changes.borrow_and_update();
            let (site, render) = (site.clone(), render.clone());
            let news = tokio::task::spawn_blocking(move || render(&site)).await;
            let Ok(news) = news else { return };
            let data = news.data();
            // A comment shows that the stream is alive, and notices a browser that is gone.
            let event = if data == last {
                ":\n\n".to_owned()
            } else {
                format!("data: {data}\n\n")
            };
            last = data;
            if sender.send(Bytes::from(event)).await.is_err() || news.ended {
                return;
            }
            tokio::time::sleep(PAUSE).await;
            tokio::time::timeout(BEAT, changes.changed()).await.ok();
        }
    });
    let kind = [(CONTENT_TYPE, "text/event-stream")];
    (kind, Body::new(Pieces(receiver))).into_response()
}
