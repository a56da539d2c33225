//! The reasons that a page cannot be shown, as pages.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, html};

use super::layout::t;
use crate::base::failure_kind::FailureKind;
use crate::{content, history, reader, store};

/// The reasons that a page cannot be shown.
#[derive(Debug)]
pub(super) enum Fail {
    /// The request has no cookie.
    NoCookie,
    /// The request has no session. The address asks for the password of the server.
    Login(String),
    /// The rules of the server forbid the request.
    Refused(&'static str),
    /// The address names nothing: a page, a backup, or a file of it.
    NotFound(&'static str),
    /// The backup is encrypted, and its password is not known. The address asks for it.
    Locked(String),
    /// The phone has a running job, which the address shows.
    Busy(String),
    /// An action is not possible.
    NotPossible(String),
    /// The page takes too long.
    Slow,
    /// Another status of HTTP.
    Status(StatusCode),
    /// The backup or the store cannot be read.
    Unreadable(String),
}

impl From<reader::Error> for Fail {
    fn from(e: reader::Error) -> Fail {
        match e {
            reader::Error::NoFile(_)
            | reader::Error::NoDomain(_)
            | reader::Error::NoPath { .. }
            | reader::Error::NoDomainNamed(_) => Fail::NotFound("the backup has no such file"),
            e => Fail::Unreadable(e.to_string()),
        }
    }
}

impl From<content::Error> for Fail {
    fn from(e: content::Error) -> Fail {
        Fail::Unreadable(e.to_string())
    }
}

impl From<history::Error> for Fail {
    fn from(e: history::Error) -> Fail {
        match e.kind() {
            FailureKind::Failed => Fail::NotPossible(e.to_string()),
            _ => Fail::Unreadable(e.to_string()),
        }
    }
}

impl From<store::Error> for Fail {
    fn from(e: store::Error) -> Fail {
        Fail::Unreadable(e.to_string())
    }
}

impl std::fmt::Display for Fail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fail::NoCookie | Fail::Login(_) => f.write_str("the request has no session"),
            Fail::Refused(why) | Fail::NotFound(why) => f.write_str(why),
            Fail::Locked(_) => f.write_str("the backup is encrypted"),
            Fail::Busy(_) => f.write_str("the phone has a running job"),
            Fail::NotPossible(why) => f.write_str(why),
            Fail::Slow => f.write_str("this takes too long"),
            Fail::Status(status) => status.fmt(f),
            Fail::Unreadable(why) => f.write_str(why),
        }
    }
}

impl IntoResponse for Fail {
    fn into_response(self) -> Response {
        let (status, head, text) = match self {
            Fail::Locked(to) | Fail::Login(to) => return (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response(),
            Fail::Busy(to) => {
                let to = format!("{to}?busy=1");
                return (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response();
            }
            Fail::NotPossible(why) => (StatusCode::CONFLICT, "Not possible", why),
            Fail::NoCookie => (
                StatusCode::FORBIDDEN,
                "This page needs its start address",
                "Open the address that the program printed in the terminal, or log in. That begins a \
                 session in this browser."
                    .to_owned(),
            ),
            Fail::Refused(why) => (
                StatusCode::FORBIDDEN,
                "Refused",
                format!("The request was refused, because {why}."),
            ),
            Fail::NotFound(what) => (
                StatusCode::NOT_FOUND,
                "Not found",
                format!("There is nothing at this address: {what}."),
            ),
            Fail::Slow => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This takes too long",
                "The disk may be slow or busy. Load the page again in a minute.".to_owned(),
            ),
            Fail::Status(status) => (
                status,
                "Refused",
                status
                    .canonical_reason()
                    .unwrap_or("Not possible")
                    .to_owned(),
            ),
            Fail::Unreadable(why) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "This cannot be read",
                why,
            ),
        };
        // These pages have no style: the path of the style is known only with the cookie.
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (head) }
                }
                body {
                    main {
                        h1 { (head) }
                        p { (t(&text)) }
                    }
                }
            }
        };
        let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        (status, html, page.into_string()).into_response()
    }
}
