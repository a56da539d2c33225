//! Splits a command line as a shell does, and quotes candidates for one.

/// A word of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// The word without quotes.
    pub value: String,
    /// The word as it was typed.
    pub raw: String,
    /// Place behind the quote that is still open at the end, in bytes of `raw`, and the quote.
    pub open: Option<(usize, char)>,
}

/// Splits the line up to the cursor into words, by the rules of POSIX shells. The last word is the
/// one at the cursor; it is empty after a space.
pub fn split(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let open = word.as_ref().and_then(|word| word.open);
        if open.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let at = word.get_or_insert_with(Word::default);
        at.raw.push(c);
        match (open, c) {
            (Some((_, quote)), c) if c == quote => at.open = None,
            (Some((_, '\'')), c) => at.value.push(c),
            (None, '\'' | '"') => at.open = Some((at.raw.len(), c)),
            (_, '\\') => {
                let Some(next) = chars.next() else { break };
                at.raw.push(next);
                // Within double quotes, a backslash stays before most characters.
                if open.is_some() && !"\"\\$`".contains(next) {
                    at.value.push('\\');
                }
                at.value.push(next);
            }
            (_, c) => at.value.push(c),
        }
    }
    words.push(word.unwrap_or_default());
    words
}

/// Returns the text that bash puts in the place of the current word: bash replaces only the part
/// behind the last of `breaks`, or behind an open quote. Returns `None` for a candidate that does
/// not continue the word.
pub fn for_bash(candidate: &str, current: &Word, breaks: &str) -> Option<String> {
    let raw = &current.raw;
    let start = match current.open {
        Some((start, _)) => start,
        None => last_break(raw, breaks),
    };
    let kept = split(&raw[..start]).pop().unwrap_or_default().value;
    let rest = candidate.strip_prefix(&kept)?;
    let escaped = |c: char| match current.open {
        Some((_, '\'')) if c == '\'' => "'\\''".to_owned(),
        Some((_, '"')) if "\"\\$`".contains(c) => format!("\\{c}"),
        None if !is_plain(c) => format!("\\{c}"),
        _ => c.to_string(),
    };
    Some(rest.chars().map(escaped).collect())
}

/// Returns the place behind the last break that is neither quoted nor escaped.
fn last_break(raw: &str, breaks: &str) -> usize {
    let mut start = 0;
    let mut quote = None;
    let mut chars = raw.char_indices();
    while let Some((at, c)) = chars.next() {
        let behind = at + c.len_utf8();
        match quote {
            Some(open) if c == open => {
                quote = None;
                start = behind;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '\\' => drop(chars.next()),
            // Readline leaves these in the word, although they break it.
            None if breaks.contains(c) && "@$".contains(c) => start = at,
            None if breaks.contains(c) => start = behind,
            _ => {}
        }
    }
    start
}

/// Returns a word as PowerShell reads it.
pub fn for_powershell(candidate: &str) -> String {
    if candidate.chars().all(is_plain) {
        return candidate.to_owned();
    }
    format!("'{}'", candidate.replace('\'', "''"))
}

/// Returns true for characters that mean themselves in every shell.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "/._-:@%+=,".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The breaks of bash on Debian.
    const BREAKS: &str = " \t\n\"'@><=;|&(:";

    fn values(line: &str) -> Vec<String> {
        split(line).into_iter().map(|word| word.value).collect()
    }

    #[test]
    fn lines_are_split_like_a_shell() {
        for (line, words) in [
            ("ls Mira", &["ls", "Mira"][..]),
            ("ls ", &["ls", ""]),
            ("", &[""]),
            ("ls Mira\\'s\\ iP", &["ls", "Mira's iP"]),
            ("ls \"Mira's iP", &["ls", "Mira's iP"]),
            ("ls 'Mira'\\''s iPhone'@2", &["ls", "Mira's iPhone@2"]),
            ("ls \"a\\b\\\"c\"", &["ls", "a\\b\"c"]),
            ("ls a\\", &["ls", "a"]),
        ] {
            assert_eq!(values(line), words, "{line:?}");
        }
    }

    #[test]
    fn bash_gets_only_the_part_it_replaces() {
        for (typed, candidate, inserted) in [
            ("", "Mira's iPhone", Some("Mira\\'s\\ iPhone")),
            ("Mi", "Mira's iPhone", Some("Mira\\'s\\ iPhone")),
            (
                "Mira\\'s\\ iPhone@20",
                "Mira's iPhone@2026-11-27",
                Some("@2026-11-27"),
            ),
            ("\"Mi", "Mira's iPhone", Some("Mira's iPhone")),
            ("'Mi", "Mira's iPhone", Some("Mira'\\''s iPhone")),
            (
                "\"Mira's iPhone@20",
                "Mira's iPhone@2026-11-27",
                Some("Mira's iPhone@2026-11-27"),
            ),
            (
                "--device=Mi",
                "--device=Mira's iPhone",
                Some("Mira\\'s\\ iPhone"),
            ),
            ("x@2026-11-27T22:1", "x@2026-11-27T22:14", Some("14")),
            (
                "HomeDomain/Li",
                "HomeDomain/Library/",
                Some("HomeDomain/Library/"),
            ),
            ("Mi@", "other", None),
        ] {
            let current = split(typed).pop().unwrap();
            let found = for_bash(candidate, &current, BREAKS);
            assert_eq!(found.as_deref(), inserted, "{typed} {candidate}");
        }
    }

    #[test]
    fn powershell_words_are_quoted() {
        assert_eq!(for_powershell("HomeDomain/a.b"), "HomeDomain/a.b");
        assert_eq!(for_powershell("Mira's iPhone"), "'Mira''s iPhone'");
    }
}
