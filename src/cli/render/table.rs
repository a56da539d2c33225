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
