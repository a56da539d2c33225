//! Aligns the columns of tables, within the width of the terminal.

use super::output::one_line;

/// Blanks between two columns. A narrow terminal gets fewer.
const GAP: usize = 3;
const NARROW_GAP: usize = 2;

/// Aligns the columns of a table. If the terminal is too narrow, each row becomes a block of lines
/// instead.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let rows = on_one_line(rows);
    for gap in [GAP, NARROW_GAP] {
        let lines = aligned(&rows, gap);
        if fits_terminal(&lines) {
            return lines;
        }
    }
    let Some((heads, rows)) = rows.split_first() else {
        return Vec::new();
    };
    let block = |row: &Vec<String>| {
        let mut cells = heads.iter().zip(row);
        let name = cells.next().map(|(_, cell)| cell.clone());
        let facts = cells.map(|(head, cell)| format!("  {:<12} {cell}", head.to_lowercase()));
        name.into_iter().chain(facts).collect::<Vec<_>>().join("\n")
    };
    // Blocks have no header, but still print an empty line in its place, so that each row keeps its
    // index.
    std::iter::once(String::new())
        .chain(rows.iter().map(block))
        .collect()
}

/// Least width of a last column whose text is wrapped.
const WRAPPED_MIN: usize = 20;

/// Aligns the columns of a table as [`table`] does. If the terminal is too narrow, each text in the
/// first column becomes a heading of its rows, and the last column is wrapped.
pub fn grouped(rows: &[Vec<String>]) -> Vec<String> {
    let out = console::Term::stdout();
    let width = out.is_term().then(|| usize::from(out.size().1));
    let rows = on_one_line(rows);
    width
        .and_then(|width| grouped_within(&rows, width))
        .unwrap_or_else(|| table(&rows))
}

/// Returns the lines of a grouped table. Returns `None` if the rows fit as a table, or not even as
/// groups.
fn grouped_within(rows: &[Vec<String>], width: usize) -> Option<Vec<String>> {
    let widest = |lines: &[String]| lines.iter().map(|line| line.chars().count()).max();
    if widest(&aligned(rows, NARROW_GAP)) <= Some(width) {
        return None;
    }
    let below: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.get(1..).unwrap_or_default().to_vec())
        .collect();
    let mut lines = aligned(&below, NARROW_GAP);
    if widest(&lines) > Some(width.saturating_sub(2)) {
        let (last, others): (Vec<_>, Vec<_>) = below
            .into_iter()
            .filter_map(|mut row| Some((row.pop()?, row)))
            .unzip();
        let column = widest(&aligned(&others, NARROW_GAP))? + NARROW_GAP;
        let room = width
            .checked_sub(column + 2)
            .filter(|room| *room >= WRAPPED_MIN)?;
        let wrapped = last.iter().map(|text| folded(text, room, column + 2));
        let padded = aligned(&others, NARROW_GAP).into_iter();
        lines = padded
            .zip(wrapped)
            .map(|(line, text)| format!("{line:<column$}{text}").trim_end().to_owned())
            .collect();
    }
    let mut group = None;
    let headed = rows
        .iter()
        .zip(lines)
        .enumerate()
        .map(|(index, (row, line))| {
            let name = row.first().filter(|name| index > 0 && group != Some(*name));
            if index > 0 {
                group = row.first();
            }
            match name {
                Some(name) => format!("{name}\n  {line}"),
                None => format!("  {line}"),
            }
        });
    Some(headed.collect())
}

/// Breaks a text between words into lines of this width. All but the first are indented.
fn folded(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

/// Returns true if [`table`] prints these rows as a table.
pub fn fits(rows: &[Vec<String>]) -> bool {
    fits_terminal(&aligned(&on_one_line(rows), NARROW_GAP))
}

fn fits_terminal(lines: &[String]) -> bool {
    let out = console::Term::stdout();
    let widest = lines.iter().map(|line| line.chars().count()).max();
    !out.is_term() || widest.unwrap_or(0) <= usize::from(out.size().1)
}

fn on_one_line(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let cells = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect();
    rows.iter().map(cells).collect()
}

fn aligned(rows: &[Vec<String>], gap: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|t| t.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let aligned = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(text, &width)| format!("{text:<width$}"));
        cells
            .collect::<Vec<_>>()
            .join(&" ".repeat(gap))
            .trim_end()
            .to_owned()
    };
    rows.iter().map(aligned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_tables_are_grouped() {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["PHONE", "SNAPSHOT", "WHAT", "WHY"]),
            row([
                "Mira's iPhone",
                "20261130-154848",
                "keep",
                "the current backup, the newest good one",
            ]),
            row([
                "Mira's iPhone",
                "20261130-154846",
                "drop",
                "no rule keeps it",
            ]),
            row(["iPad", "20261130-154847", "keep", "keep-last"]),
        ];
        assert_eq!(grouped_within(&rows, 90), None);
        assert_eq!(grouped_within(&rows, 30), None);
        let lines = grouped_within(&rows, 50).unwrap();
        let text = "  SNAPSHOT         WHAT  WHY
Mira's iPhone
  20261130-154848  keep  the current backup, the
                         newest good one
  20261130-154846  drop  no rule keeps it
iPad
  20261130-154847  keep  keep-last";
        assert_eq!(lines.join("\n"), text);
        let wide = grouped_within(&rows, 66).unwrap();
        assert_eq!(wide[2], "  20261130-154846  drop  no rule keeps it");
    }
}
