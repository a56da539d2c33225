//! Asks for the password of an encrypted backup, and forgets it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use maud::html;

use super::fail::Fail;
use super::guard::BODY_MAX;
use super::layout::{Page, answer, encoded, t};
use super::site::{Site, reading};
use super::{backup, form, query};
use crate::history::list;

/// Lets a page have a form: with the policy `no-referrer`, a browser would send the form with the
/// origin `null`. No other site learns the address with this policy either.
pub(super) fn allow_form(response: &mut Response) {
    let policy = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(REFERRER_POLICY, policy);
}

/// Shows the form for the password.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let snapshot = site.find(&key)?;
        let listed = list::one(site.store(), &snapshot);
        let is_wrong = query::get(query.as_deref(), "wrong").is_some();
        let then = if then(query.as_deref()).is_empty() { "" } else { "?then=manage" };
        let phone = listed.name.as_deref().unwrap_or("A phone without a name");
        let title = backup::title(&listed);
        let main = html! {
            p { "This backup of " bdi { (t(phone)) } " is encrypted." }
            form.password method="post" action=(site.at(&format!("/b/{key}/unlock{then}"))) {
                label for="password" { "Backup password" }
                input id="password" name="password" type="password" required autofocus
                    autocomplete="off" aria-describedby=[is_wrong.then_some("wrong")]
                    aria-invalid=[is_wrong.then_some("true")];
                @if is_wrong {
                    p.bad id="wrong" role="alert" { "This password does not open the backup." }
                }
                button { "Open the backup" }
            }
            p.soft {
                "The program keeps the password in memory only, and forgets it when it was not used for \
                 15 minutes. Opening takes some seconds."
            }
        };
        let page = Page {
            base: site.secrets().base(),
            title: &title,
            above: vec![(
                site.at(&format!("/phone/{}", encoded(&listed.udid))),
                phone.to_owned(),
            )],
            tabs: None,
            main,
            wide: false,
            is_first: false,
        };
        let mut response = answer(page.markup());
        allow_form(&mut response);
        Ok(response)
    })
    .await
}

/// Takes the password, and shows the backup if it is right.
pub(super) async fn take(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return Fail::Status(StatusCode::PAYLOAD_TOO_LARGE).into_response();
    };
    let password = query::secret(&body, "password");
    query::wipe(body);
    reading(move || {
        let password = password.ok_or(Fail::Status(StatusCode::BAD_REQUEST))?;
        let opened = site.open_with(&key, Some(password))?;
        Ok(form::to(opened.at(&site, then(query.as_deref()))))
    })
    .await
}

/// Returns the path of the page that follows.
fn then(query: Option<&str>) -> &'static str {
    match query::get(query, "then").as_deref() {
        Some("manage") => "/manage",
        _ => "",
    }
}

/// Forgets the password.
pub(super) async fn forget(State(site): State<Arc<Site>>, Path(key): Path<String>) -> Response {
    reading(move || {
        site.forget(site.find(&key)?.udid());
        Ok(form::to(site.at("/")))
    })
    .await
}
