//! Builds the page of `usage --html`: a single self-contained file, so that users can keep, send
//! and print it.

use std::io::Write;
use std::path::{Path, PathBuf};

use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::reader::usage::Report;

use super::output;
use super::usage::{Part, apps, kinds, percent};
use crate::cli::failure::Failure;
use crate::cli::new_file;

/// Maximum number of rows in a table. Owners read only the first ones, and a manipulated backup
/// could name a million.
const ROWS_MAX: usize = 500;

/// The page loads nothing and runs no scripts.
const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
"#;

const STYLE: &str = "
:root { --ground: #ffffff; --ink: #1d1d1f; --faint: #6b6b70; --line: #e3e3e8;
  --k0: #2563c9; --k1: #b4531a; --k2: #2a7d46; --k3: #8a3fb5; --k4: #b3263f; --k5: #17747d; --k6: #8a6d00; --k7: #5f6470; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161618; --ink: #f2f2f4; --faint: #a2a2aa; --line: #35353a;
  --k0: #6ea0ff; --k1: #f09a5d; --k2: #66c58a; --k3: #c68cf0; --k4: #f27b8f; --k5: #5cc4cf; --k6: #d9bb3c; --k7: #a4a9b6; } }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 52rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', sans-serif; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { margin: .25rem 0; color: var(--faint); }
svg { display: block; width: 100%; height: 2.5rem; margin: 1.5rem 0 .5rem; border-radius: .5rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); padding-bottom: .25rem; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; padding-left: 0; }
th { font-weight: 600; }
tbody th { font-weight: 400; }
td.bar { width: 35%; }
td.bar div { height: .8rem; min-width: 1px; border-radius: .2rem; background: var(--k0); }
.dot { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .5rem; }
small { display: block; color: var(--faint); }
@media (max-width: 36rem) { td.bar, th.bar { display: none; } }
@media print { body { padding: 0; } td.bar div, .dot, svg { print-color-adjust: exact; } }
";

/// Returns the page of a report.
pub fn of(report: &Report) -> String {
    let name = report.name.as_deref().unwrap_or("A backup");
    let (name, title) = (text(name), escaped(name));
    let made = match &report.date {
        Some(date) => format!("Backup of {}. ", text(&time::when_exactly(date))),
        None => String::new(),
    };
    let all = report.all.bytes;
    let (kinds, apps) = (kinds(report), apps(report));
    let mut page = HEAD.to_owned();
    page.push_str(&format!(
        "<title>{title}: what uses the \
        space</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    ));
    page.push_str(&format!(
        "<h1>{name}: what uses the space</h1>\n<p>{made}{} in {}.</p>\n",
        size(all),
        counted(report.all.files, "file")
    ));
    page.push_str(&strip(&kinds, all));
    page.push_str(&table(
        "By kind",
        "Everything in the backup, largest first.",
        &kinds,
        all,
        true,
    ));
    if !apps.is_empty() {
        let about = "Each app with its extensions and shared folders. The share is that of the whole backup.";
        page.push_str(&table("By app", about, &apps, all, false));
    }
    if report.unreadable > 0 {
        let records = counted(report.unreadable, "record");
        page.push_str(&format!(
            "<p>{records} of files cannot be read; their sizes are not included.</p>\n"
        ));
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// Returns a bar of all kinds. The table below contains the same data as text.
fn strip(parts: &[Part], all: u64) -> String {
    let mut svg = String::from(
        "<svg viewBox=\"0 0 1000 40\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Shares of the kinds; the table \
         below has the numbers\">\n",
    );
    let mut start = 0.0;
    for (place, part) in parts.iter().enumerate() {
        let width = percent(part.sum.bytes, all) * 10.0;
        svg.push_str(&format!(
            "<rect x=\"{start:.2}\" y=\"0\" width=\"{width:.2}\" height=\"40\" fill=\"var(--k{})\"><title>{}: {}</title></rect>\n",
            place % 8,
            escaped(&part.name),
            size(part.sum.bytes)
        ));
        start += width;
    }
    svg.push_str("</svg>\n");
    svg
}

fn table(title: &str, about: &str, parts: &[Part], all: u64, in_colours: bool) -> String {
    let mut html = format!(
        "<h2>{title}</h2>\n<table>\n<caption>{about}</caption>\n<thead><tr><th scope=\"col\">Name</th>\
         <th scope=\"col\" class=\"bar\" aria-hidden=\"true\"></th><th scope=\"col\">Size</th><th scope=\"col\">Share</th>\
         <th scope=\"col\">Files</th></tr></thead>\n<tbody>\n"
    );
    let largest = parts.iter().map(|part| part.sum.bytes).max().unwrap_or(0);
    for (place, part) in parts.iter().take(ROWS_MAX).enumerate() {
        let colour = if in_colours { place % 8 } else { 0 };
        let dot = if in_colours {
            format!("<span class=\"dot\" style=\"background:var(--k{colour})\"></span>")
        } else {
            String::new()
        };
        let note = part
            .note
            .as_deref()
            .map(|note| format!("<small>{}</small>", text(note)));
        html.push_str(&format!(
            "<tr><th scope=\"row\">{dot}{}{}</th><td class=\"bar\" aria-hidden=\"true\"><div style=\"width:{:.1}%;\
             background:var(--k{colour})\"></div></td><td>{}</td><td>{:.1} %</td><td>{}</td></tr>\n",
            text(&part.name),
            note.unwrap_or_default(),
            percent(part.sum.bytes, largest),
            size(part.sum.bytes),
            percent(part.sum.bytes, all),
            count(part.sum.files)
        ));
    }
    html.push_str("</tbody>\n</table>\n");
    if parts.len() > ROWS_MAX {
        let more = counted((parts.len() - ROWS_MAX) as u64, "smaller one");
        html.push_str(&format!("<p>And {more}.</p>\n"));
    }
    html
}

/// Returns a name from a phone as plain text, isolated so that it cannot change the direction of
/// the text next to it.
fn text(name: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(name))
}

/// Escapes a name for a title, which cannot contain elements.
fn escaped(name: &str) -> String {
    let mut safe = String::new();
    for c in output::one_line(name).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Parses the path of the page. Rejects `-`, because the page is never printed to stdout.
pub fn place(file: PathBuf) -> Result<PathBuf, &'static str> {
    if file.as_os_str() == "-" {
        Err("the page cannot be printed: name a file")
    } else {
        Ok(file)
    }
}

/// Writes a page that only its owner can read: completely or not at all.
pub fn write(file: &Path, page: &str, replace: bool) -> Result<(), Failure> {
    new_file::write(file, replace, |draft| {
        draft
            .write_all(page.as_bytes())
            .map_err(|e| new_file::cannot(file, &e))
    })
}
