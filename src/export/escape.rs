//! Escapes text for the formats that are exported. Anybody may have written it.

use std::fmt::Write;

/// Escapes text for an HTML element or a quoted attribute.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut last = ' ';
    for c in text.chars() {
        match c {
            '\n' if last == '\r' => {}
            '\r' | '\u{2028}' | '\u{2029}' => escaped.push('\n'),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Characters that turn the direction of the text could disguise a name.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
        last = c;
    }
    escaped
}

/// Escapes a path below the folder of a page for a link. Everything but plain characters is
/// percent-encoded.
pub(crate) fn link(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                escaped.push(byte.into());
            }
            // Writing to a string cannot fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

/// Writes a value as JSON that can stand in a script of a page: no tag, no line break of a script.
pub(crate) fn script(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    json.replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The longest line of vCard and iCalendar, in bytes without the line break (RFC 6350, section 3.2;
/// RFC 5545, section 3.1).
pub(crate) const LINE_BYTES_MAX: usize = 75;

/// Writes a property of vCard or iCalendar, folded after 75 bytes and never within a character.
pub(crate) fn content_line(name: &str, value: &str) -> String {
    let mut text = String::with_capacity(name.len() + value.len() + 3);
    let mut bytes = 0;
    for c in name.chars().chain([':']).chain(value.chars()) {
        if bytes + c.len_utf8() > LINE_BYTES_MAX {
            text.push_str("\r\n ");
            bytes = 1;
        }
        text.push(c);
        bytes += c.len_utf8();
    }
    text.push_str("\r\n");
    text
}

/// Escapes a text of vCard or iCalendar (RFC 6350, section 3.4; RFC 5545, section 3.3.11). Control
/// characters other than line breaks are not allowed there.
pub(crate) fn content_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\\' | ',' | ';' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => escaped.push_str("\\n"),
            '\t' => escaped.push(c),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// Writes the fields of a row as CSV (RFC 4180). A spreadsheet would run a field that begins like a
/// formula, so such a field gets an apostrophe, as OWASP advises.
pub(crate) fn csv_row<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let fields: Vec<String> = fields.into_iter().map(csv_field).collect();
    fields.join(",") + "\r\n"
}

fn csv_field(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let apostrophe = if is_formula { "'" } else { "" };
    if is_formula || text.contains([',', '"', '\n', '\r']) {
        format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_scripts_are_harmless() {
        let evil = "</script><img src=x onerror='a(\"b\")'>&\u{202e}\u{0}";
        assert_eq!(
            html(evil),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;\u{fffd}"
        );
        assert_eq!(html("a\r\nb\rc\u{2028}d\n"), "a\nb\nc\nd\n");
        let script = script("</script>\u{2028}\"\\");
        assert_eq!(script, "\"\\u003c/script>\\u2028\\\"\\\\\"");
        assert_eq!(link("a b/ü\"'#?.png"), "a%20b/%C3%BC%22%27%23%3F.png");
    }

    #[test]
    fn formulas_are_neutralised() {
        for (text, field) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\n", "\"say \"\"hi\"\"\n\""),
            ("=1+1", "\"'=1+1\""),
            ("+447700900123", "\"'+447700900123\""),
            ("-5", "\"'-5\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\tx", "\"'\tx\""),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(csv_field(text), field, "{text}");
        }
        assert_eq!(csv_row(["a", "b,c"]), "a,\"b,c\"\r\n");
    }
}
