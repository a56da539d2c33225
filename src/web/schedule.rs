//! The page of scheduled backups into this store: shows the jobs, adds a daily one, removes one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::acting::Schedule;
use super::cookie::Session;
use super::fail::Fail;
use super::form::{self, Form};
use super::layout::{Page, answer, t};
use super::next;
use super::site::{Site, reading};
use super::unlock::allow_form;
use crate::automation::policy::Described;
use crate::automation::schedule::When;
use crate::automation::schedule::job_state::{JobFile, State as JobState};
use crate::base::time;

/// Path of the page.
pub(super) const PATH: &str = "/schedule";

fn schedule(site: &Site) -> Result<&Schedule, Fail> {
    let schedule = site.hands()?.options().schedule.as_ref();
    schedule.ok_or(Fail::NotFound("the jobs of this user are not known"))
}

/// Shows the jobs.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
) -> Response {
    reading(move || shown(&site, &session, None)).await
}

fn shown(site: &Site, session: &Session, problem: Option<&Described>) -> Result<Response, Fail> {
    let schedule = schedule(site)?;
    let jobs = next::jobs(schedule, site.store().root());
    let main = html! {
        @if let Some(problem) = problem {
            div.note.bad role="alert" {
                p { (t(&problem.text)) }
                @if let Some(hint) = &problem.hint { p { "Advice: " (t(hint)) } }
            }
        }
        p {
            "The system of this computer starts these jobs. A backup is made if the phone is \
             connected then, and its owner may have to enter the passcode."
        }
        @if jobs.is_empty() { p { "No backup is scheduled for this store." } }
        ul.cards { @for job in &jobs { li.card { (card(site, session, schedule, job)) } } }
        section aria-labelledby="add" {
            h2 id="add" { "Add a daily backup" }
            form.password method="post" action=(site.at(&format!("{PATH}/add"))) {
                (form::check(session))
                label for="time" { "Every day at" }
                input id="time" name="value" type="time" value="22:00" required;
                button { "Add" }
            }
        }
    };
    let page = Page {
        base: site.secrets().base(),
        title: "Scheduled backups",
        above: Vec::new(),
        tabs: None,
        main,
        wide: false,
        is_first: false,
    };
    let mut response = answer(page.markup());
    allow_form(&mut response);
    Ok(response)
}

fn card(site: &Site, session: &Session, schedule: &Schedule, job: &JobFile) -> Markup {
    let (last, state) = schedule.jobs.state(job);
    let next = next::of(job, &next::now());
    html! {
        h2 { bdi { (t(&job.name)) } }
        dl.facts {
            dt { "When" }
            dd { (t(&job.when)) }
            @if let Some(next) = next { dt { "Next" } dd { (next) } }
            dt { "Last run" }
            dd {
                @match (last, state) {
                    (Ok(Some(last)), JobState::Running) => { "began " (time::when(&last.started)) ", and runs now" },
                    (Ok(Some(last)), _) => {
                        (time::when(&last.started)) ": "
                        @match last.exit_code {
                            Some(0) => span.good { "all went well" },
                            Some(code) => strong.bad { "ended with the code " (code) },
                            None => strong.bad { "was ended from outside" },
                        }
                    },
                    (Ok(None), _) => { "not yet" },
                    (Err(e), _) => span.bad { (t(&e.to_string())) },
                }
            }
        }
        form method="post" action=(site.at(&format!("{PATH}/remove"))) {
            (form::check(session))
            input type="hidden" name="value" value=(job.name);
            button.danger aria-label=(t(&format!("Remove the job {}", job.name))) { "Remove the job" }
        }
    }
}

/// Adds a daily job.
pub(super) async fn add(
    site: State<Arc<Site>>,
    session: Extension<Session>,
    body: Body,
) -> Response {
    change(site, session, body, |site, form| {
        let when = format!("daily {}", form.get("value")).parse::<When>();
        let when = when.map_err(Fail::NotPossible)?;
        let schedule = schedule(site)?;
        let (jobs, _) = schedule.jobs.list();
        // A job of the same name may be for another store.
        let names = (1..).map(|number| match number {
            1 => "daily".to_owned(),
            number => format!("daily-{number}"),
        });
        let is_free = |name: &String| jobs.iter().all(|job| job.name != *name);
        let name = names.take(100).find(is_free);
        let name =
            name.ok_or_else(|| Fail::NotPossible("there are 100 jobs already".to_owned()))?;
        Ok((schedule.add)(&name, when, site.store()))
    })
    .await
}

/// Removes a job, if it is one for this store.
pub(super) async fn remove(
    site: State<Arc<Site>>,
    session: Extension<Session>,
    body: Body,
) -> Response {
    change(site, session, body, |site, form| {
        let schedule = schedule(site)?;
        let name = form.get("value");
        let jobs = next::jobs(schedule, site.store().root());
        if jobs.iter().any(|job| job.name == name) {
            Ok((schedule.remove)(&name))
        } else {
            Err(Fail::NotFound("this store has no such job"))
        }
    })
    .await
}

async fn change(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    body: Body,
    change: impl FnOnce(&Site, &Form) -> Result<Result<(), Described>, Fail> + Send + 'static,
) -> Response {
    let form = match form::read(&session, body).await {
        Ok(form) => form,
        Err(fail) => return fail.into_response(),
    };
    reading(move || match change(&site, &form)? {
        Ok(()) => Ok(form::to(site.at(PATH))),
        Err(problem) => shown(&site, &session, Some(&problem)),
    })
    .await
}
