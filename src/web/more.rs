//! The page with links to all other kinds of content.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use maud::html;

use super::backup::Inside;
use super::site::{Site, reading};
use crate::export::records::listed::LISTS;

/// Shows links to all kinds.
pub(super) async fn page(State(site): State<Arc<Site>>, Path(key): Path<String>) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let kinds = [("/notes", "Notes"), ("/whatsapp", "WhatsApp")];
        let main = html! {
            ul.rows {
                @for (path, title) in kinds {
                    li { a href=(opened.at(&site, path)) { (title) } }
                }
                @for (_, name, title) in LISTS {
                    li { a href=(opened.at(&site, &format!("/records/{name}"))) { (title) } }
                }
            }
        };
        let page = Inside {
            opened: &opened,
            tab: "/more",
            title: "More",
            above: Vec::new(),
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}
