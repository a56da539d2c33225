//! Aligns the columns of tables, within the width of the terminal.

use super::output::one_line;

/// Aligns the columns of a table. If the terminal is too narrow, each row becomes a block of lines
/// instead.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| one_line(cell)).collect())
        .collect();
    let lines = aligned(&rows);
    let widest = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    let out = console::Term::stdout();
    if !out.is_term() || widest <= usize::from(out.size().1) {
        return lines;
    }
    let Some((heads, rows)) = rows.split_first() else {
        return lines;
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

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
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
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(aligned).collect()
}
