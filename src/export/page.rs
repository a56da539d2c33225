//! Parts that all exported pages share. A page needs nothing but the files beside it, and a browser
//! loads nothing else: the content security policy forbids it.

use crate::export::escape;

/// The style of all pages: readable in light and dark, on a phone, and on paper.
const STYLE: &str = include_str!("page.css");

/// Returns the beginning of a page up to its body. `script`: the page has scripts of its own.
pub(crate) fn head(title: &str, script: bool) -> String {
    let scripts = if script {
        "script-src 'unsafe-inline' 'self' file:; "
    } else {
        ""
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; {scripts}\
         style-src 'unsafe-inline'; img-src 'self' file: data:; media-src 'self' file:\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape::html(title)
    )
}

/// Returns the end of a page.
pub(crate) fn foot() -> &'static str {
    "</body>\n</html>\n"
}

/// Returns true for an address that a browser may follow.
pub(crate) fn is_followed(url: &str) -> bool {
    const SCHEMES: [&str; 4] = ["http://", "https://", "mailto:", "tel:"];
    let lower = url.trim().to_ascii_lowercase();
    SCHEMES.iter().any(|scheme| lower.starts_with(scheme))
}

/// Returns a link, if the address is one that a browser may follow; else only its text.
pub(crate) fn link(url: &str, text: &str) -> String {
    let text = escape::html(text);
    if is_followed(url) {
        let url = escape::html(url.trim());
        format!("<a href=\"{url}\" rel=\"noreferrer\">{text}</a>")
    } else {
        text
    }
}
