//! Prints the hits of `search`.

use console::{Term, measure_text_width};
use idev_backup::base::time::when_exactly;
use idev_backup::base::units::{count, counted};
use idev_backup::content::items::Item;
use idev_backup::content::query::Query;
use idev_backup::content::search::Skipped;
use idev_backup::reader::backup::Unread;
use serde::Serialize;

use crate::cli::render::output;

/// The width for a file or a pipe.
const WIDTH: usize = 80;
/// The indent of the second line.
const INDENT: &str = "    ";

/// The totals of a search.
#[derive(Serialize, Default)]
pub struct Searched {
    /// Number of hits.
    pub hits: u64,
    /// Number of backups that were searched.
    pub backups: u64,
    /// The kinds that the newest backup does not have, and what could not be read in any.
    pub not_searched: Vec<Skipped>,
    /// The parts of the lists that could not be read.
    pub unread: Unread,
}

/// Returns the two lines of a hit. `older` names the backup, if a newer one does not have the hit.
pub fn hit(item: &Item, query: &Query, older: Option<&str>) -> [String; 2] {
    let time = item.time.map(|time| when_exactly(&time.to_string()));
    let mut parts = vec![item.kind.one().to_owned()];
    parts.extend(item.who.clone());
    if item.place != item.who {
        parts.extend(item.place.as_ref().map(|place| format!("({place})")));
    }
    let older = older.map(|name| format!("  [gone since {name}]"));
    let older = older.unwrap_or_default();
    let time = time.unwrap_or_else(|| "no date".to_owned());
    let first = format!("{time}  {}", output::one_line(&parts.join(" ")));
    let room = width().saturating_sub(measure_text_width(&older));
    let first = format!("{}{older}", cut(&first, room));
    let second = format!(
        "{INDENT}{}",
        snippet(&item.text, query, width() - INDENT.len())
    );
    [first, second]
}

/// Returns the width of a line.
pub(super) fn width() -> usize {
    let terminal = Term::stdout();
    match terminal.size_checked() {
        Some((_, columns)) if terminal.is_term() => usize::from(columns).max(40),
        _ => WIDTH,
    }
}

/// Returns the text around the match, in one line of at most this width.
fn snippet(text: &str, query: &Query, width: usize) -> String {
    let place = query.find(text).unwrap_or(0..0);
    // A third of the line is before the match.
    let before: String = text[..place.start].chars().rev().take(width / 3).collect();
    let before: String = before.chars().rev().collect();
    let is_cut = before.len() < place.start;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let gap = |text: &str| {
        if text.ends_with(char::is_whitespace) {
            " "
        } else {
            ""
        }
    };
    let start = if is_cut { "… " } else { "" };
    let after: String = text[place.start..].chars().take(4 * width).collect();
    let line = format!("{start}{}{}{}", words(&before), gap(&before), words(&after));
    cut(&output::one_line(&line), width)
}

/// Cuts a line at a width in columns.
pub(super) fn cut(line: &str, width: usize) -> String {
    if measure_text_width(line) <= width {
        return line.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in line.chars() {
        used += measure_text_width(c.encode_utf8(&mut [0; 4]));
        if used > width {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

/// Says what was found and what was not searched.
pub fn summary(totals: &Searched, ignores_case: bool, is_limited: bool) {
    for one in &totals.not_searched {
        if !one.absent {
            output::tell(&format!("problem: {}", output::one_line(&one.why)));
        } else if is_limited {
            output::tell(&format!("Not searched: {}.", output::one_line(&one.why)));
        }
    }
    let absent: Vec<&str> = totals
        .not_searched
        .iter()
        .filter(|one| one.absent && !is_limited)
        .map(|one| one.kind.word())
        .collect();
    if !absent.is_empty() {
        output::tell(&format!("Not in this backup: {}.", absent.join(", ")));
    }
    if output::is_quiet() {
        return;
    }
    let backups = match totals.backups {
        1 => String::new(),
        several => format!(" in {} backups", count(several)),
    };
    match totals.hits {
        0 if ignores_case => output::tell(&format!("Nothing found{backups}.")),
        0 => output::tell(&format!(
            "Nothing found{backups}. Upper and lower case differ; -i ignores that."
        )),
        hits => output::tell(&format!("{}{backups}.", counted(hits, "hit"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_fit_their_line() {
        let long = "word ".repeat(100) + "the KEY\nis\tunder the mat " + &"更多文字".repeat(40);
        let query = Query::new("key", true);
        for width in [40, 76, 200] {
            let line = snippet(&long, &query, width);
            assert!(measure_text_width(&line) <= width, "{line}");
            assert!(
                line.contains("the KEY is under") && line.starts_with("… "),
                "{line}"
            );
        }
        assert_eq!(snippet("key", &query, 76), "key");
        assert_eq!(snippet("a  \n key!", &query, 76), "a key!");
    }
}
