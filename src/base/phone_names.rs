//! Finds the phone that a text identifies: by its UDID or name, or the beginning of either.

use crate::base::udid::Udid;

/// Minimum length of a UDID prefix, so that a stray digit does not select a phone.
pub(crate) const UDID_MIN: usize = 4;

/// Returns true if a text begins with `head`, ignoring the case of ASCII letters.
pub fn head_is(text: &str, head: &str) -> bool {
    let start = text.get(..head.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(head))
}

/// Normalizes a name for comparison: phones use curved apostrophes and non-breaking spaces, which
/// keyboards do not produce.
pub(crate) fn plain(name: &str) -> String {
    let name = name.replace(['\u{2019}', '\u{2018}'], "'").to_lowercase();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns those of `phones` that `text` identifies. A UDID outranks a name, and a whole name
/// outranks the beginning of another. `name` is called only if the text matches no UDID.
pub fn matching<'a, T>(
    text: &str,
    phones: &'a [T],
    udid: impl Fn(&T) -> &Udid,
    name: impl Fn(&T) -> Option<String>,
) -> Vec<&'a T> {
    // Converts a UDID from a USB serial number to the phone's own form.
    let whole: Option<Udid> = text.parse().ok();
    let head = whole.as_ref().map_or(text, Udid::as_str);
    let by_udid: Vec<&T> = phones
        .iter()
        .filter(|phone| head.len() >= UDID_MIN && head_is(udid(phone).as_str(), head))
        .collect();
    if !by_udid.is_empty() {
        return by_udid;
    }
    let text = plain(text);
    let named: Vec<(String, &T)> = phones
        .iter()
        .filter_map(|phone| Some((plain(&name(phone)?), phone)))
        .filter(|(name, _)| name.starts_with(&text))
        .collect();
    let is_whole = named.iter().any(|(name, _)| *name == text);
    named
        .into_iter()
        .filter(|(name, _)| !is_whole || *name == text)
        .map(|(_, phone)| phone)
        .collect()
}

/// Returns a name for each phone that distinguishes it from the others: its own name, with the end
/// of its UDID if several have that name. A phone without a name has its UDID.
pub fn distinct(phones: &[(&str, Option<&str>)]) -> Vec<String> {
    /// Number of characters by which most UDIDs differ.
    const TAIL: usize = 4;
    let label = |udid: &str, name: &str, is_whole: bool| {
        let tail = udid.get(udid.len().saturating_sub(TAIL)..);
        match tail.filter(|_| !is_whole) {
            Some(tail) => format!("{name} (..{tail})"),
            None => format!("{name} ({udid})"),
        }
    };
    let of = |&(udid, name): &(&str, Option<&str>)| {
        let Some(name) = name else {
            return udid.to_owned();
        };
        let is_same = |other: &&(&str, Option<&str>)| {
            other.0 != udid && other.1.map(plain) == Some(plain(name))
        };
        let mut same = phones.iter().filter(is_same).peekable();
        if same.peek().is_none() {
            return name.to_owned();
        }
        let short = label(udid, name, false);
        let is_clear = same.all(|other| label(other.0, name, false) != short);
        label(udid, name, !is_clear)
    };
    phones.iter().map(of).collect()
}

/// Returns the text by which a command finds one of these phones: its name, or its UDID if it has
/// no name or others have the same.
pub fn selector(phones: &[(&str, Option<&str>)], udid: &str) -> String {
    let at = phones.iter().position(|(other, _)| *other == udid);
    let name = at.and_then(|at| {
        let name = phones[at].1?;
        (distinct(phones)[at] == name).then_some(name)
    });
    name.unwrap_or(udid).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_names_tell_phones_apart() {
        let phones = [
            ("00008130-001A2B3C4D5E6F70", Some("Mira\u{2019}s iPhone")),
            ("00008130-001A2B3C4D5E6F71", Some("Mira's iPhone")),
            ("00008130-001A2B3C4D5E6F72", Some("iPad")),
            ("00008130-001A2B3C4D5E6F73", None),
            ("00008130-001A2B3C4D5E6F74", Some("iPhone")),
            ("00008120-001A2B3C4D5E6F74", Some("iPhone")),
        ];
        assert_eq!(
            distinct(&phones),
            [
                "Mira\u{2019}s iPhone (..6F70)",
                "Mira's iPhone (..6F71)",
                "iPad",
                "00008130-001A2B3C4D5E6F73",
                "iPhone (00008130-001A2B3C4D5E6F74)",
                "iPhone (00008120-001A2B3C4D5E6F74)",
            ]
        );
        assert_eq!(selector(&phones, phones[2].0), "iPad");
        for at in [0, 3, 4] {
            assert_eq!(selector(&phones, phones[at].0), phones[at].0);
        }
        assert_eq!(selector(&phones, "unknown"), "unknown");
    }

    #[test]
    fn phones_match_by_name_or_prefix() {
        let udid =
            |last: &str| -> Udid { format!("00008130-001A2B3C4D5E6F7{last}").parse().unwrap() };
        let phones = [
            (udid("0"), Some("Mira\u{2019}s\u{a0}iPhone".to_owned())),
            (udid("1"), Some("Mira's iPhone 2".to_owned())),
            (udid("2"), Some("0000".to_owned())),
            (udid("3"), None),
            (udid("4"), Some("Blue iPhone".to_owned())),
        ];
        let found = |text: &str| -> Vec<usize> {
            let found = matching(text, &phones, |phone| &phone.0, |phone| phone.1.clone());
            let at = |one: &&(Udid, Option<String>)| phones.iter().position(|p| p.0 == one.0);
            found.iter().filter_map(at).collect()
        };
        for (text, at) in [
            ("mira's iphone", &[0][..]),
            ("Mira's  iPhone", &[0]),
            ("Mira", &[0, 1]),
            ("Mira's iPhone 2", &[1]),
            ("blue", &[4]),
            ("00008130-001a2b3c4d5e6f73", &[3]),
            ("00008130001A2B3C4D5E6F71", &[1]),
            ("0000", &[0, 1, 2, 3, 4]),
            ("000", &[2]),
            ("phone", &[]),
        ] {
            assert_eq!(found(text), at, "{text}");
        }
    }
}
