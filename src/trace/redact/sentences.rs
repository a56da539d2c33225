//! Redacts sentences in a trace, such as errors of phones and programs. Plain words stay.
//! Quotations, paths, words of any other form, and names seen before are replaced.

use super::words::{class_of, is_apples, is_error_name, is_modern_udid};
use crate::trace::redact::Redactor;

/// Longest text in bytes that is treated as a sentence.
const BYTES_MAX: usize = 2048;
/// Placeholder that DeviceLink sends for an empty text.
const EMPTY: &str = "___EmptyParameterString___";
const QUOTES: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»')];

impl Redactor {
    /// Returns a sentence without any personal data.
    pub(crate) fn prose(&mut self, text: &str) -> String {
        if text.is_empty() || text == EMPTY {
            return text.to_owned();
        }
        if text.len() > BYTES_MAX {
            return "sentence".to_owned();
        }
        let text = self.without_names(text);
        let mut shown: Vec<String> = Vec::new();
        let mut words = text.split(' ').peekable();
        while let Some(word) = words.next() {
            if let Some((open, close)) = quote(word) {
                let mut span = word.to_owned();
                while !is_closed(&span, open, close) {
                    let Some(next) = words.next() else { break };
                    span = format!("{span} {next}");
                }
                shown.push(self.quoted(&span, open, close));
            } else if is_path(word) {
                // A path may contain spaces, so the following words may belong to it, up to a code
                // in parentheses.
                let mut path = word.to_owned();
                while let Some(next) = words.next_if(|next| !next.starts_with('(')) {
                    path = format!("{path} {next}");
                }
                shown.push(self.bare_path(&path));
            } else {
                shown.push(self.plain_word(word));
            }
        }
        shown.join(" ")
    }

    fn quoted(&mut self, span: &str, open: char, close: char) -> String {
        let inner = span.split_once(open).and_then(|(before, rest)| {
            let (inner, after) = rest.rsplit_once(close)?;
            let punctuation = |text: &str| text.chars().all(|c| c.is_ascii_punctuation());
            (punctuation(before) && punctuation(after)).then_some((before, inner, after))
        });
        match inner {
            Some((before, inner, after)) => {
                format!("{before}{open}{}{close}{after}", self.path(inner))
            }
            None => self.stand_in("word", span),
        }
    }

    fn bare_path(&mut self, path: &str) -> String {
        let first = path.split('/').next().unwrap_or_default();
        if is_modern_udid(first) || self.is_known_udid(first) {
            self.path(path)
        } else {
            self.stand_in("path", path)
        }
    }

    fn plain_word(&mut self, word: &str) -> String {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let letters = |text: &str| text.bytes().all(|b| b.is_ascii_alphabetic());
        let number =
            |text: &str| text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let harmless = letters(bare)
            || number(bare)
            || bare.strip_suffix("n't").is_some_and(letters)
            || is_error_name(bare)
            || is_apples(bare)
            || class_of(bare).is_some();
        if harmless {
            return word.to_owned();
        }
        let stand_in = if is_modern_udid(bare) || self.is_known_udid(bare) {
            self.udid(bare)
        } else {
            self.stand_in("word", bare)
        };
        word.replace(bare, &stand_in)
    }

    /// Replaces all known names in a text by their placeholders.
    fn without_names(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for (name, stand_in) in self.names() {
            let mut from = 0;
            while let Some(at) = shown[from..].find(name).map(|at| from + at) {
                let end = at + name.len();
                let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                let inside =
                    letter(shown[..at].chars().next_back()) || letter(shown[end..].chars().next());
                if inside {
                    from = end;
                } else {
                    shown.replace_range(at..end, stand_in);
                    from = at + stand_in.len();
                }
            }
        }
        shown
    }
}

/// Returns the pair of quotation marks that a word opens, if any.
fn quote(word: &str) -> Option<(char, char)> {
    let first = word.trim_start_matches(['(', '[']).chars().next()?;
    QUOTES.into_iter().find(|(open, _)| *open == first)
}

/// Returns true if the span ends with its closing mark, optionally followed by punctuation.
fn is_closed(span: &str, open: char, close: char) -> bool {
    let after = span.split_once(open).map_or("", |(_, after)| after);
    after
        .rsplit_once(close)
        .is_some_and(|(_, rest)| rest.chars().all(|c| c.is_ascii_punctuation()))
}

fn is_path(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
    word.contains(['/', '\\']) && !is_error_name(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_words_and_codes_stay() {
        let mut redactor = Redactor::default();
        for text in [
            "Device locked (MBErrorDomain/208)",
            "Input/output error (5)",
            "The passcode wasn't entered, code -4.",
            "___EmptyParameterString___",
            "No such file or directory",
        ] {
            assert_eq!(redactor.prose(text), text);
        }
    }

    #[test]
    fn quotes_paths_and_names_are_replaced() {
        let mut redactor = Redactor::default();
        for (text, shown) in [
            ("at \"/var/Tom.pdf\" (5)", "at \"/var/name-1\" (5)"),
            (
                "no '/home/mira s/x', sorry",
                "no '/name-2/name-3/name-4', sorry",
            ),
            (
                "reading /var/My Letter to Tom.pdf (MBErrorDomain/1)",
                "reading path-1 (MBErrorDomain/1)",
            ),
            (
                "of AppDomain-net.whatsapp on miras.local:",
                "of word-1 on word-2:",
            ),
            ("serial F2LXK0QCDE1F at 10.0.0.5", "serial word-3 at word-4"),
            ("“Secret Plan” name=Mira", "“name-5” word-5"),
        ] {
            assert_eq!(redactor.prose(text), shown);
        }
    }

    /// Checks that a text of apostrophes, which open quotations without closing them, is redacted.
    #[test]
    fn long_apostrophe_runs_are_handled() {
        let mut redactor = Redactor::default();
        assert_eq!(redactor.prose(&"' ".repeat(200_000)), "sentence");
        redactor.prose(&"' ".repeat(1000));
    }
}
