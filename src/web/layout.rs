//! The parts that all pages share: their frame, the way back, the navigation and lists.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::export::escape;

/// Path of the style.
pub(super) const STYLE_PATH: &str = "/style.css";
/// Path of the icon.
pub(super) const ICON_PATH: &str = "/icon.svg";
/// The style of all pages.
pub(super) const STYLE: &str = include_str!("style.css");

/// The icon of all pages: a phone with a tick.
pub(super) const ICON: &str = include_str!("icon.svg");

/// Escapes a text that a phone wrote. Beside markup, this removes characters that turn the
/// direction of the text, with which a name could pretend to be another one.
pub(super) fn t(text: &str) -> PreEscaped<String> {
    PreEscaped(escape::html(text))
}

/// A page.
pub(super) struct Page<'a> {
    /// First part of all paths.
    pub base: &'a str,
    /// Title of the page.
    pub title: &'a str,
    /// Pages above this one, from the first: address and name.
    pub above: Vec<(String, String)>,
    /// Navigation within a backup.
    pub tabs: Option<Markup>,
    /// Content of the page.
    pub main: Markup,
    /// True if the page uses the whole width.
    pub wide: bool,
    /// True for the first page.
    pub is_first: bool,
}

impl Page<'_> {
    /// Returns the whole page.
    pub(super) fn markup(self) -> Markup {
        let base = self.base;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    link rel="stylesheet" href={ (base) (STYLE_PATH) };
                    link rel="icon" href={ (base) (ICON_PATH) };
                    title { (t(self.title)) " – idev-backup" }
                }
                body class=[self.wide.then_some("wide")] {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        @if !self.is_first {
                            nav aria-label="Path" {
                                ol.path {
                                    li { a href={ (base) "/" } { "Backups" } }
                                    @for (to, name) in &self.above {
                                        li { a href=(to) { bdi { (t(name)) } } }
                                    }
                                }
                            }
                        }
                        h1 { bdi { (t(self.title)) } }
                        @if let Some(tabs) = self.tabs { (tabs) }
                    }
                    main id="main" { (self.main) }
                    footer {
                        p { a href={ (base) "/places" } { "Other backups on this computer" } }
                    }
                }
            }
        }
    }
}

/// Returns a page as an answer.
pub(super) fn answer(page: Markup) -> Response {
    let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (html, page.into_string()).into_response()
}

/// Returns links to the previous and the next page of a list. `to` makes the address of a page.
pub(super) fn pager(page: usize, has_next: bool, to: impl Fn(usize) -> String) -> Markup {
    html! {
        @if page > 0 || has_next {
            nav.pager aria-label="Pages" {
                @if page > 0 {
                    a rel="prev" href=(to(page - 1)) { "Previous" }
                }
                span { "Page " (page + 1) }
                @if has_next {
                    a rel="next" href=(to(page + 1)) { "Next" }
                }
            }
        }
    }
}

/// Returns a form that searches a list. It needs no script.
pub(super) fn search(to: &str, label: &str, wish: &str) -> Markup {
    html! {
        form.search role="search" action=(to) {
            label for="q" { (label) }
            span { input id="q" name="q" type="search" value=(t(wish)); button { "Search" } }
        }
    }
}

/// Returns a bar that shows a part of a whole. The text beside it must say the same.
pub(super) fn bar(part: u64, whole: u64) -> Markup {
    html! {
        meter min="0" max=(whole.max(1)) value=(part) aria-hidden="true" {}
    }
}

/// Percent-encodes a value for an address.
pub(super) fn encoded(text: &str) -> String {
    escape::link(text)
}
