//! Previews of property lists and of SQLite databases. Both are text in our own markup.

use maud::{Markup, html};
use plist::Value;

use super::fail::Fail;
use super::layout::{pager, t};
use crate::base::bounded_plist;
use crate::base::units::{count, counted, size};
use crate::reader::tables::{Cell, Rows, Table, Tables};

/// Longest property list that is shown, in bytes.
pub(super) const PLIST_BYTES: usize = 4 << 20;
/// Most values of a property list that are shown.
const VALUES: usize = 3_000;
/// Deepest value that is shown.
const DEPTH: usize = 24;
/// Longest text of a value, in characters.
const TEXT: usize = 500;
/// Rows of a table on a page.
const PAGE: u64 = 50;

/// The first bytes of a database.
const DATABASE: &[u8] = b"SQLite format 3\0";

/// Returns true if a file may be a property list, by its first bytes.
pub(super) fn may_be_plist(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&head[..head.len().min(512)]);
    head.starts_with(b"bplist00") || text.contains("<!DOCTYPE plist") || text.contains("<plist")
}

/// Returns true if a file is a SQLite database, by its first bytes.
pub(super) fn is_database(head: &[u8]) -> bool {
    head.starts_with(DATABASE)
}

/// Shows a property list as a tree. `None` for other bytes.
pub(super) fn plist(bytes: &[u8]) -> Option<Markup> {
    let value = bounded_plist::parse(bytes).ok()?;
    let mut left = VALUES;
    let tree = tree(&value, 0, &mut left);
    Some(html! {
        div.preview.tree tabindex="0" role="region" aria-label="Property list" { (tree) }
        @if left == 0 { p.soft { "These are the first " (count(VALUES as u64)) " values." } }
    })
}

fn tree(value: &Value, depth: usize, left: &mut usize) -> Markup {
    *left = left.saturating_sub(1);
    match value {
        Value::Dictionary(values) if depth < DEPTH && !values.is_empty() => html! {
            ul {
                @for (key, value) in values {
                    @if *left > 0 {
                        li { b { bdi { (t(&cut(key))) } } ": " (tree(value, depth + 1, left)) }
                    }
                }
            }
        },
        Value::Array(values) if depth < DEPTH && !values.is_empty() => html! {
            ol start="0" {
                @for value in values {
                    @if *left > 0 { li { (tree(value, depth + 1, left)) } }
                }
            }
        },
        Value::Dictionary(values) => html! { span.soft { (counted(values.len() as u64, "key")) } },
        Value::Array(values) => html! { span.soft { (counted(values.len() as u64, "value")) } },
        Value::Boolean(is_true) => html! { (is_true) },
        Value::Integer(number) => html! { (number) },
        Value::Real(number) => html! { (number) },
        Value::Date(date) => html! { (date.to_xml_format()) },
        Value::Data(bytes) => html! { span.soft { (size(bytes.len() as u64)) " of data" } },
        Value::Uid(number) => html! { span.soft { "object " (number.get()) } },
        Value::String(text) => html! { "“" bdi { (t(&cut(text))) } "”" },
        _ => html! { span.soft { "a value of another type" } },
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Shows the tables of a database, and the rows of one of them. `to` makes the address of a page of
/// a table.
pub(super) fn database(
    tables: &Tables,
    shown: Option<usize>,
    page: usize,
    to: impl Fn(usize, usize) -> String,
) -> Result<Markup, Fail> {
    let shown = match shown {
        None => None,
        Some(number) => {
            let table = tables.tables().get(number);
            let table = table.ok_or(Fail::NotFound("the database has no such table"))?;
            Some((number, table))
        }
    };
    Ok(html! {
        section aria-labelledby="tables" {
            h2 id="tables" { (counted(tables.tables().len() as u64, "table")) }
            ul.tables {
                @for (number, table) in tables.tables().iter().enumerate() {
                    @let is_it = shown.is_some_and(|(shown, _)| shown == number);
                    li {
                        a href=(to(number, 0)) aria-current=[is_it.then_some("true")] {
                            bdi { (t(&table.name)) }
                        }
                    }
                }
            }
        }
        @if let Some((number, table)) = shown {
            section aria-labelledby="rows" {
                h2 id="rows" { bdi { (t(&table.name)) } }
                @match rows(tables, table, page) {
                    Ok((count, rows)) => {
                        p.soft { (count) }
                        div.rows-of tabindex="0" role="region" aria-labelledby="rows" { (rows) }
                        @let has_next = matches!(tables.count(table), Ok(rows) if goes_on(rows, page));
                        (pager(page, has_next, |page| to(number, page)))
                    },
                    Err(why) => p.bad { "The table cannot be read: " (t(&why)) },
                }
            }
        }
    })
}

fn goes_on(rows: Rows, page: usize) -> bool {
    let after = (page as u64).saturating_add(1).saturating_mul(PAGE);
    match rows {
        Rows::Exactly(count) => count > after,
        Rows::MoreThan(_) => true,
    }
}

fn rows(tables: &Tables, table: &Table, page: usize) -> Result<(String, Markup), String> {
    let number = match tables.count(table)? {
        Rows::Exactly(number) => counted(number, "row"),
        Rows::MoreThan(number) => format!("More than {}", counted(number, "row")),
    };
    let rows = tables.rows(table, (page as u64).saturating_mul(PAGE), PAGE)?;
    let markup = html! {
        table {
            thead { tr { @for name in &table.columns { th scope="col" { bdi { (t(name)) } } } } }
            tbody {
                @for row in &rows {
                    tr {
                        @for cell in row {
                            @match cell {
                                Cell::Null => td.soft { "–" },
                                Cell::Number(number) => td.number { (number) },
                                Cell::Text(text) => td dir="auto" { (t(text)) },
                                Cell::Bytes(bytes) => td.soft { (size(*bytes as u64)) },
                            }
                        }
                    }
                }
            }
        }
    };
    Ok((number, markup))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_cut() {
        let many = Value::Array(vec![Value::Boolean(true); VALUES * 2]);
        let mut bytes = Vec::new();
        many.to_writer_binary(&mut bytes).unwrap();
        assert!(may_be_plist(&bytes));
        let shown = plist(&bytes).unwrap().into_string();
        assert_eq!(shown.matches("<li>").count(), VALUES - 1);
        assert!(shown.contains("These are the first"));
        assert!(plist(b"bplist00 and nothing else").is_none());
        let script = b"<plist version='1.0'><string>&lt;script&gt;</string></plist>";
        let shown = plist(script).unwrap().into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script"));
    }
}
