//! The page of other backups on this computer: other stores, and other programs' folders.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::layout::{Page, answer, t};
use super::site::{Site, reading};
use crate::base::time;
use crate::base::units::size;
use crate::history::everywhere::{self, State as Found};

/// Shows all places with backups, and the stores that are away.
pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
    reading(move || {
        let places = everywhere::everywhere(&site.options().search);
        let main = html! {
            p { "Only the store in use can be looked into here; the program opens another one by its path." }
            ul.cards {
                @for place in &places {
                    li.card {
                        h2 { (place.program) @if place.current { " " span.tag { "in use" } } }
                        p.soft { bdi { (t(&place.path)) } }
                        @match place.state {
                            Found::Here => {},
                            Found::Offline => p.bad { "Away: the disk is not connected, or the folder is gone." },
                            _ => p.bad { "It cannot be read: " (t(place.why.as_deref().unwrap_or("no reason is known"))) },
                        }
                        @if let (Found::Offline, Some(seen)) = (place.state, &place.seen) {
                            p { "Last seen " (time::when(seen)) }
                        }
                        ul {
                            @for phone in &place.phones {
                                li {
                                    bdi { (t(phone.name.as_deref().unwrap_or(&phone.udid))) }
                                    @if let Some(newest) = &phone.newest { ": newest backup " (time::when(newest)) }
                                }
                            }
                            @for backup in &place.backups {
                                li {
                                    bdi { (t(backup.name.as_deref().unwrap_or(&backup.udid))) }
                                    @if let Some(date) = &backup.date { ", " (time::when(date)) }
                                    @if let Some(bytes) = backup.bytes { ", " (size(bytes)) }
                                }
                            }
                        }
                    }
                }
            }
        };
        let page = Page {
            base: site.secrets().base(),
            title: "All backups on this computer",
            above: Vec::new(),
            tabs: None,
            main,
            wide: false,
            is_first: false,
        };
        Ok(answer(page.markup()))
    })
    .await
}
