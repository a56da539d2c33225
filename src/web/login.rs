//! The page that asks for the server's password, and its sessions.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{COOKIE, HeaderMap, LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use maud::html;

use super::attempts::Attempts;
use super::cookie::Session;
use super::fail::Fail;
use super::guard::{BODY_MAX, From};
use super::layout::{Page, answer};
use super::password::PasswordHash;
use super::site::{Site, locked, reading};
use super::unlock::allow_form;
use super::{form, query};
use crate::base::sha256::Sha256;

/// Path of the page.
pub(super) const PATH: &str = "/login";
/// Time after which an unused session ends.
const UNUSED_MAX: Duration = Duration::from_secs(12 * 3600);
/// Time after which any session ends.
const LASTS: Duration = Duration::from_secs(7 * 86_400);
/// Most sessions at once. Another one ends the one that was not used for longest.
const SESSIONS_MAX: usize = 64;

/// The password of a server, and the browsers that gave it.
pub(super) struct Login {
    hash: PasswordHash,
    attempts: Mutex<Attempts>,
    /// Held while a password is tried: one at a time, since that keeps a processor busy.
    trying: Mutex<()>,
    sessions: Mutex<Vec<Known>>,
}

/// A session. Of its cookie it keeps the hash only.
struct Known {
    cookie: [u8; 32],
    made: Instant,
    used: Instant,
}

impl Login {
    pub(super) fn new(hash: PasswordHash) -> Login {
        Login {
            hash,
            attempts: Mutex::new(Attempts::new(Instant::now())),
            trying: Mutex::default(),
            sessions: Mutex::default(),
        }
    }

    /// Returns true if a cookie belongs to a session.
    pub(super) fn has(&self, cookie: &str) -> bool {
        let hash = hashed(cookie);
        let mut sessions = locked(&self.sessions);
        sessions.retain(|one| one.made.elapsed() < LASTS && one.used.elapsed() < UNUSED_MAX);
        let known = sessions.iter_mut().find(|one| one.cookie == hash);
        if let Some(known) = known {
            known.used = Instant::now();
            return true;
        }
        false
    }

    fn begin(&self, cookie: &str) {
        let now = Instant::now();
        let mut sessions = locked(&self.sessions);
        while sessions.len() >= SESSIONS_MAX {
            let oldest = (0..sessions.len()).min_by_key(|at| sessions[*at].used);
            sessions.swap_remove(oldest.unwrap_or(0));
        }
        sessions.push(Known {
            cookie: hashed(cookie),
            made: now,
            used: now,
        });
    }

    fn end(&self, cookie: &str) {
        let hash = hashed(cookie);
        locked(&self.sessions).retain(|one| one.cookie != hash);
    }

    /// Returns the time for which an address must wait, if it must.
    fn wait(&self, from: IpAddr) -> Option<Duration> {
        locked(&self.attempts).wait(from, Instant::now())
    }
}

/// Hashes a cookie. A look-up by the hash takes no time that would tell the cookie.
fn hashed(cookie: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(cookie.as_bytes());
    hash.finalize()
}

/// Shows the form.
pub(super) async fn page(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    let is_wrong = query::get(query.as_deref(), "wrong").is_some();
    shown(&site, is_wrong.then_some("This is not the password."))
}

fn shown(site: &Site, problem: Option<&str>) -> Response {
    let main = html! {
        form.password method="post" action=(site.at(PATH)) {
            label for="password" { "Password of this server" }
            input id="password" name="password" type="password" required autofocus
                autocomplete="current-password" aria-describedby=[problem.map(|_| "wrong")]
                aria-invalid=[problem.map(|_| "true")];
            @if let Some(problem) = problem { p.bad id="wrong" role="alert" { (problem) } }
            button { "Log in" }
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
    let mut response = answer(page.markup());
    allow_form(&mut response);
    response
}

/// Takes the password, and begins a session if it is right.
pub(super) async fn take(
    State(site): State<Arc<Site>>,
    Extension(From(from)): Extension<From>,
    body: Body,
) -> Response {
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return Fail::Status(StatusCode::PAYLOAD_TOO_LARGE).into_response();
    };
    let password = query::secret(&body, "password");
    query::wipe(body);
    reading(move || {
        let password = password.ok_or(Fail::Status(StatusCode::BAD_REQUEST))?;
        let nothing = Fail::NotFound("this server has no password");
        let login = site.secrets().login().ok_or(nothing)?;
        let one_at_a_time = locked(&login.trying);
        if let Some(wait) = login.wait(from) {
            let text = "Too many wrong passwords. Try again later.";
            let mut response = shown(&site, Some(text));
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            let seconds = wait.as_secs().max(1).into();
            response.headers_mut().insert(RETRY_AFTER, seconds);
            return Ok(response);
        }
        locked(&login.attempts).count(from, Instant::now());
        let is_right = login.hash.admits(&password);
        drop(one_at_a_time);
        if !is_right {
            return Ok(form::to(site.at(&format!("{PATH}?wrong=1"))));
        }
        locked(&login.attempts).forgive(from);
        let cookie = site.secrets().new_cookie();
        let cookie = cookie.map_err(|_| Fail::Unreadable("no random numbers".to_owned()))?;
        login.begin(&cookie);
        let headers = [
            (SET_COOKIE, site.secrets().set_cookie(&cookie)),
            (LOCATION, site.at("/")),
        ];
        Ok((StatusCode::SEE_OTHER, headers).into_response())
    })
    .await
}

/// Ends the session.
pub(super) async fn leave(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(fail) = form::read(&session, body).await {
        return fail.into_response();
    }
    let texts = headers.get_all(COOKIE).iter();
    let cookies = texts.filter_map(|header| site.secrets().cookie_in(header.to_str().ok()?));
    if let Some(login) = site.secrets().login() {
        cookies.for_each(|cookie| login.end(cookie));
    }
    let headers = [
        (SET_COOKIE, site.secrets().no_cookie()),
        (LOCATION, site.at(PATH)),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_bounded() {
        let zeros = "0".repeat(64);
        let hash = format!("pbkdf2-sha256$1${zeros}${zeros}");
        let login = Login::new(hash.parse().unwrap());
        for number in 0..SESSIONS_MAX + 10 {
            login.begin(&number.to_string());
        }
        assert!(!login.has("0") && login.has("70") && !login.has("x"));
        assert_eq!(locked(&login.sessions).len(), SESSIONS_MAX);
        login.end("70");
        assert!(!login.has("70"));
    }
}
