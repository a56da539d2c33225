//! Wraps text at the width of a terminal.

use console::{Term, measure_text_width};

/// Narrowest terminal for which text is wrapped.
const WIDTH_MIN: usize = 30;

/// Wraps each line of a text for a terminal; text for a file or a pipe stays as it is.
pub fn for_terminal(text: &str, terminal: &Term) -> String {
    match terminal.size_checked() {
        Some((_, columns)) if terminal.is_term() => wrapped(text, usize::from(columns)),
        _ => text.to_owned(),
    }
}

/// Returns true if a line of the text is wider than the terminal.
pub fn exceeds(text: &str, terminal: &Term) -> bool {
    let is_wide = |columns: u16| {
        let mut lines = text.lines();
        lines.any(|line| measure_text_width(line) > usize::from(columns))
    };
    terminal.is_term()
        && terminal
            .size_checked()
            .is_some_and(|(_, columns)| is_wide(columns))
}

/// Breaks lines between words, with a hanging indent. A word that is longer than the width, such as
/// a path, stays whole.
fn wrapped(text: &str, width: usize) -> String {
    if width < WIDTH_MIN {
        return text.to_owned();
    }
    let lines: Vec<String> = text.split('\n').map(|line| folded(line, width)).collect();
    lines.join("\n")
}

fn folded(line: &str, width: usize) -> String {
    if measure_text_width(line) <= width {
        return line.to_owned();
    }
    let spaces = line.len() - line.trim_start_matches(' ').len();
    let indent = " ".repeat(spaces + 2);
    let mut rows = vec![" ".repeat(spaces)];
    let mut has_word = false;
    for word in line.trim_start_matches(' ').split(' ') {
        if let Some(row) = rows.last_mut() {
            let gap = usize::from(has_word);
            if !has_word || measure_text_width(row) + gap + measure_text_width(word) <= width {
                row.push_str(&" ".repeat(gap));
                row.push_str(word);
            } else {
                rows.push(format!("{indent}{word}"));
            }
        }
        has_word = true;
    }
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_get_hanging_indents() {
        let text = "error: the phone needs more space than the disk has\n  hint: free 30 GB on the disk, or use another one";
        let expected = "error: the phone needs more space than\n  the disk has\n  hint: free 30 GB on the disk, or use\n    another one";
        assert_eq!(wrapped(text, 40), expected);
        assert_eq!(wrapped(text, 200), text);
        assert_eq!(wrapped(text, 10), text);
        let path = format!("  {}", "/long".repeat(20));
        assert_eq!(wrapped(&path, 40), path);
    }
}
