//! Reads the parameters of an address and the fields of a form, in the encoding
//! `application/x-www-form-urlencoded`.

use zeroize::Zeroize;

use crate::base::secret::Secret;

/// Returns the first parameter of this name, if it is UTF-8.
pub(super) fn get(query: Option<&str>, name: &str) -> Option<String> {
    let bytes = field(query?.as_bytes(), name)?;
    String::from_utf8(bytes).ok()
}

/// Returns all parameters of this name that are numbers.
pub(super) fn numbers(query: Option<&str>, name: &str) -> Vec<usize> {
    let pairs = query.unwrap_or_default().split('&');
    let values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    values.filter_map(|value| value.parse().ok()).collect()
}

/// Greatest number of a page. Its first entry has a place that any integer can hold.
const NUMBER_MAX: usize = 1 << 24;

/// Returns a number that is not too great to calculate with, or 0.
pub(super) fn number(query: Option<&str>, name: &str) -> usize {
    let text = get(query, name);
    let number = text.and_then(|text| text.parse::<usize>().ok());
    number.unwrap_or(0).min(NUMBER_MAX)
}

/// Returns a field of a form as a secret. Decoding leaves no copy in memory.
pub(super) fn secret(body: &[u8], name: &str) -> Option<Secret> {
    field(body, name).map(Secret::new)
}

fn field(body: &[u8], name: &str) -> Option<Vec<u8>> {
    body.split(|byte| *byte == b'&').find_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        (pair[..end] == *name.as_bytes()).then(|| decoded(&pair[end + 1..]))
    })
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        let byte = *text.get(at)?;
        char::from(byte).to_digit(16).map(|digit| digit as u8)
    };
    // The capacity suffices, so that the vector never moves and leaves a copy behind.
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                at += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(byte),
        }
        at += 1;
    }
    bytes
}

/// Overwrites the body of a form, if nothing else refers to it.
pub(super) fn wipe(body: bytes::Bytes) {
    if let Ok(mut bytes) = body.try_into_mut() {
        bytes.as_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Some("d=A%20b%2F%C3%BC&p=x+y&p=second&bad=%ff&cut=%4");
        assert_eq!(get(query, "d").as_deref(), Some("A b/ü"));
        assert_eq!(get(query, "p").as_deref(), Some("x y"));
        assert_eq!(get(query, "cut").as_deref(), Some("%4"));
        assert_eq!(get(query, "bad"), None);
        assert_eq!((get(query, "q"), get(None, "d")), (None, None));
        assert_eq!(number(Some("page=12"), "page"), 12);
        assert_eq!(number(Some("page=-1"), "page"), 0);
        let great = format!("page={}", usize::MAX);
        assert_eq!(number(Some(&great), "page"), NUMBER_MAX);
        assert_eq!(numbers(Some("n=1&m=2&n=x&n=3"), "n"), [1, 3]);
        let secret = secret(b"a=b&password=p%26%C3%A4+", "password").unwrap();
        assert_eq!(secret.expose(), "p&ä ".as_bytes());
    }
}
