//! Forms that act. Each carries a value that only pages of the same session know, beside the cookie
//! and the origin that the guard checks.

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::cookie::Session;
use super::fail::Fail;
use super::guard::BODY_MAX;
use super::query;

/// Name of the field that proves that a form is ours.
const CHECK: &str = "check";

/// Returns the field that proves that a form is ours.
pub(super) fn check(session: &Session) -> Markup {
    html! { input type="hidden" name=(CHECK) value=(session.form_value()); }
}

/// The fields of a form.
pub(super) struct Form(String);

impl Form {
    /// Returns a field, or an empty text.
    pub(super) fn get(&self, name: &str) -> String {
        query::get(Some(&self.0), name).unwrap_or_default()
    }
}

/// Reads a form. Refuses one that no page of this session made.
pub(super) async fn read(session: &Session, body: Body) -> Result<Form, Fail> {
    let bytes = to_bytes(body, BODY_MAX).await;
    let bytes = bytes.map_err(|_| Fail::Status(StatusCode::PAYLOAD_TOO_LARGE))?;
    let text = String::from_utf8(bytes.to_vec());
    let form = Form(text.map_err(|_| Fail::Status(StatusCode::BAD_REQUEST))?);
    if session.made(&form.get(CHECK)) {
        Ok(form)
    } else {
        Err(Fail::Refused("the form is not one of this session"))
    }
}

/// Sends the browser to another page.
pub(super) fn to(address: String) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, address)]).into_response()
}
