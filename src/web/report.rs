//! The page of a backup's report: what its run noted, and what checks found.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::backup::Inside;
use super::home::checked;
use super::layout::t;
use super::site::{Site, reading};
use crate::history::list;
use crate::store::snapshot::read_report;

/// Most values that are shown.
const VALUES: usize = 2_000;
/// Deepest value that is shown.
const DEPTH: usize = 12;

/// Shows the report.
pub(super) async fn page(State(site): State<Arc<Site>>, Path(key): Path<String>) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let snapshot = site.find(&key)?;
        let listed = list::one(site.store(), &snapshot);
        let report = snapshot.report().and_then(|path| read_report(&path));
        let mut left = VALUES;
        let main = html! {
            section aria-labelledby="check" {
                h2 id="check" { "Check" }
                p { (checked(&listed)) }
                p {
                    @if listed.damaged.is_some() {
                        "A check found bytes that are not those that the phone sent. The command line \
                         names the files, and repairs them where another backup has the same bytes."
                    } @else if listed.verified.is_some() {
                        "A check read every file of this backup, and each one has the bytes that the \
                         phone sent."
                    } @else {
                        "The run compared the backup with the phone's list when it was made. No later \
                         check has read its files again."
                    }
                }
            }
            section aria-labelledby="run" {
                h2 id="run" { "The run that made it" }
                @match &report {
                    Some(report) => div.preview.tree tabindex="0" role="region" aria-label="Report" {
                        (tree(report, 0, &mut left))
                    },
                    None => p { "Another program made this backup, and it has no report." },
                }
            }
        };
        let page = Inside {
            opened: &opened,
            tab: "",
            title: "Report",
            above: Vec::new(),
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn tree(value: &Value, depth: usize, left: &mut usize) -> Markup {
    *left = left.saturating_sub(1);
    match value {
        Value::Object(values) if depth < DEPTH && !values.is_empty() => html! {
            ul {
                @for (key, value) in values {
                    @if *left > 0 {
                        li { b { bdi { (t(&key.replace('_', " "))) } } ": " (tree(value, depth + 1, left)) }
                    }
                }
            }
        },
        Value::Array(values) if depth < DEPTH && !values.is_empty() => html! {
            ul { @for value in values { @if *left > 0 { li { (tree(value, depth + 1, left)) } } } }
        },
        Value::String(text) => html! { bdi { (t(text)) } },
        Value::Null => html! { span.soft { "–" } },
        Value::Bool(true) => html! { "yes" },
        Value::Bool(false) => html! { "no" },
        Value::Number(number) => html! { (number) },
        Value::Object(_) | Value::Array(_) => html! { span.soft { "none" } },
    }
}
