//! Reads the elements of an XML property list.

use super::reasons::CUT;

/// The unread rest of an XML property list.
pub(super) struct Xml<'a> {
    rest: &'a str,
}

/// An element that can contain others and has not ended yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `plist`; true once its value was read.
    List(bool),
    Array,
    /// `dict`; true while a key waits for its value.
    Dictionary(bool),
}

impl Open {
    fn name(self) -> &'static str {
        match self {
            Open::List(_) => "plist",
            Open::Array => "array",
            Open::Dictionary(_) => "dict",
        }
    }
}

impl<'a> Xml<'a> {
    pub(super) fn new(text: &'a str) -> Xml<'a> {
        Xml { rest: text }
    }

    /// Reads the whole list.
    pub(super) fn document(mut self) -> Result<(), &'static str> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.skip_others()?;
            let after = self.rest.strip_prefix('<').ok_or(match self.rest {
                "" => CUT,
                _ => "it has text where only elements are allowed",
            })?;
            self.rest = after;
            if let Some(after) = after.strip_prefix('/') {
                self.rest = after;
                let closed = open.pop().ok_or("an element ends without a beginning")?;
                match closed {
                    Open::Dictionary(true) => return Err("a key has no value"),
                    Open::List(false) => return Err("it has no value"),
                    _ => self.close(closed.name())?,
                }
            } else {
                let (name, is_empty) = self.tag()?;
                self.element(name, is_empty, &mut open)?;
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads the rest of an element after its start tag.
    fn element(
        &mut self,
        name: &str,
        is_empty: bool,
        open: &mut Vec<Open>,
    ) -> Result<(), &'static str> {
        if name == "key" {
            match open.last_mut() {
                Some(Open::Dictionary(waits @ false)) => *waits = true,
                _ => return Err("a key is not allowed at its place"),
            }
            return self.text(name, is_empty).map(drop);
        }
        if name == "plist" {
            open.push(Open::List(false));
            return if is_empty {
                Err("it has no value")
            } else {
                Ok(())
            };
        }
        match open.last_mut() {
            Some(Open::Dictionary(waits)) => {
                if !std::mem::take(waits) {
                    return Err("a value has no key");
                }
            }
            Some(Open::List(is_met)) => {
                if std::mem::replace(is_met, true) {
                    return Err("it has several values");
                }
            }
            Some(Open::Array) | None => {}
        }
        match name {
            "dict" if !is_empty => open.push(Open::Dictionary(false)),
            "array" if !is_empty => open.push(Open::Array),
            "dict" | "array" => {}
            "true" | "false" if is_empty => {}
            "true" | "false" => {
                self.rest = self.rest.trim_start().strip_prefix("</").ok_or(CUT)?;
                self.close(name)?;
            }
            "string" | "data" => drop(self.text(name, is_empty)?),
            "integer" if is_integer(self.text(name, is_empty)?) => {}
            "real" if is_real(self.text(name, is_empty)?) => {}
            "date" if is_date(self.text(name, is_empty)?) => {}
            "integer" | "real" | "date" => return Err("a number or date in it is invalid"),
            _ => return Err("it has an element that property lists do not have"),
        }
        Ok(())
    }

    /// Skips whitespace, comments, processing instructions and the document type.
    fn skip_others(&mut self) -> Result<(), &'static str> {
        loop {
            self.rest = self
                .rest
                .trim_start_matches(|c: char| c.is_whitespace() || c == '\0');
            let end = if self.rest.starts_with("<?") {
                "?>"
            } else if self.rest.starts_with("<!--") {
                "-->"
            } else if self.rest.starts_with("<!") {
                let (head, _) = self.rest.split_once('>').ok_or(CUT)?;
                if head.contains('[') { "]>" } else { ">" }
            } else {
                return Ok(());
            };
            self.rest = self.rest.split_once(end).ok_or(CUT)?.1;
        }
    }

    /// Returns the name of a start tag, and true if the element is empty.
    fn tag(&mut self) -> Result<(&'a str, bool), &'static str> {
        let (inside, rest) = self.rest.split_once('>').ok_or(CUT)?;
        self.rest = rest;
        let (inside, is_empty) = match inside.strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        Ok((
            inside.split_whitespace().next().unwrap_or_default(),
            is_empty,
        ))
    }

    /// Reads the rest of an end tag.
    fn close(&mut self, name: &str) -> Result<(), &'static str> {
        let rest = self.rest.strip_prefix(name);
        let rest = rest.and_then(|rest| rest.trim_start().strip_prefix('>'));
        self.rest = rest.ok_or("the beginning and the end of an element do not match")?;
        Ok(())
    }

    /// Returns the text up to the end of an element, without resolving its references.
    fn text(&mut self, name: &str, is_empty: bool) -> Result<&'a str, &'static str> {
        const DATA: &str = "<![CDATA[";
        if is_empty {
            return Ok("");
        }
        let whole = self.rest;
        loop {
            let (text, _) = self.rest.split_once('<').ok_or(CUT)?;
            if !text.split('&').skip(1).all(is_reference) {
                return Err("a text in it refers to a character that does not exist");
            }
            self.rest = &self.rest[text.len()..];
            if let Some(data) = self.rest.strip_prefix(DATA) {
                self.rest = data.split_once("]]>").ok_or(CUT)?.1;
                continue;
            }
            let text = &whole[..whole.len() - self.rest.len()];
            self.rest = self
                .rest
                .strip_prefix("</")
                .ok_or("an element is inside of a text")?;
            self.close(name)?;
            return Ok(text);
        }
    }
}

/// Returns true for a valid reference, without its `&`: `lt;`, `#60;` or `#x3c;`.
fn is_reference(after: &str) -> bool {
    let Some((name, _)) = after.split_once(';') else {
        return false;
    };
    let number = match name.strip_prefix("#x") {
        Some(digits) => u32::from_str_radix(digits, 16).is_ok(),
        None => name
            .strip_prefix('#')
            .is_some_and(|digits| digits.parse::<u32>().is_ok()),
    };
    number || matches!(name, "lt" | "gt" | "amp" | "apos" | "quot")
}

/// Returns true for a decimal or hexadecimal number of 64 bits, with or without a sign.
fn is_integer(text: &str) -> bool {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.trim_start();
    let hex = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((digits, 10), |digits| (digits, 16));
    let is_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let number = i128::from_str_radix(digits, radix).map(|number| sign * number);
    is_digits && number.is_ok_and(|n| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&n))
}

/// Returns true for any floating-point number, including infinity and "not a number".
fn is_real(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}

/// Returns true for `YYYY-MM-DDTHH:MM:SSZ`. The year may have any number of digits, and the date
/// need not be in the calendar: 0000-12-30 is accepted.
fn is_date(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.trim();
    let parts = || {
        let (year, rest) = text.strip_prefix('-').unwrap_or(text).split_once('-')?;
        let (month, rest) = rest.split_once('-')?;
        let (day, rest) = rest.split_once('T')?;
        let (hour, rest) = rest.split_once(':')?;
        let (minute, second) = rest.strip_suffix('Z')?.split_once(':')?;
        Some((year, [month, day, hour, minute, second]))
    };
    parts().is_some_and(|(year, others)| {
        is_number(year) && others.iter().all(|part| part.len() == 2 && is_number(part))
    })
}
