//! Sets and removes keys in the text of a config file, and keeps everything else of it: comments,
//! order and spacing.

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::keys::{self, literal};
use super::reader::{Config, Mistake};

/// Mark at the beginning of a file that some editors write.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns the text with a key set to a value, which has the form in which a user types it.
pub(crate) fn set(text: &str, key: &str, value: &str) -> Result<String, Vec<Mistake>> {
    let wanted = Config::parse(&format!("{} = {}\n", checked(key)?, literal(key, value)))
        .map_err(without_lines)?;
    let expected = wanted.value(key).map(String::as_str);
    changed(text, |text| {
        let key = as_spelled(text, key);
        let literal = literal(&key, value);
        let ways = [replaced, uncommented, appended, inserted];
        let results = ways.iter().filter_map(|way| way(text, &key, &literal));
        let is_right = |result: &String| differs_only_in(text, result, &key, expected);
        results.into_iter().find(is_right)
    })
}

/// Returns the text without a key, or `None` if the text does not set it. A line that holds only
/// this key becomes a comment.
pub(crate) fn unset(text: &str, key: &str) -> Result<Option<String>, Vec<Mistake>> {
    let key = as_spelled(text, checked(key)?);
    let is_there = |text: &str| {
        let document = text.parse::<DocumentMut>();
        document.is_ok_and(|mut document| item(&mut document, &key).is_some())
    };
    if Config::parse(text).is_ok() && !is_there(plain(text)) {
        return Ok(None);
    }
    let result = changed(text, |text| {
        if !is_there(text) {
            return None;
        }
        let ways = [commented, removed];
        let results = ways.iter().filter_map(|way| way(text, &key));
        let is_right =
            |result: &String| !is_there(result) && differs_only_in(text, result, &key, None);
        results.into_iter().find(is_right)
    })?;
    Ok((result != text).then_some(result))
}

impl Config {
    /// Returns the value of a key, which may be a rule of one phone or a former name.
    pub(crate) fn value(&self, key: &str) -> Option<&String> {
        match key
            .strip_prefix("phone.")
            .and_then(|rest| rest.split_once('.'))
        {
            Some((udid, rule)) => self.phones.get(&udid.parse().ok()?)?.get(rule),
            None => self.values.get(keys::find(key)?.name),
        }
    }
}

/// Applies a change to a text without its byte order mark. The text must be TOML, and the result
/// must not have more mistakes than before.
fn changed(
    text: &str,
    change: impl FnOnce(&str) -> Option<String>,
) -> Result<String, Vec<Mistake>> {
    let bare = plain(text);
    let before = Config::parse(bare).err().unwrap_or_default();
    if bare.parse::<DocumentMut>().is_err() {
        return Err(before);
    }
    let Some(result) = change(bare) else {
        return if before.is_empty() {
            Ok(text.to_owned())
        } else {
            Err(before)
        };
    };
    // The editor of TOML ends lines as Unix does.
    let result = if bare.contains("\r\n") {
        result.replace("\r\n", "\n").replace('\n', "\r\n")
    } else {
        result
    };
    let mark = if bare.len() < text.len() {
        BYTE_ORDER_MARK.to_string()
    } else {
        String::new()
    };
    Ok(mark + &result)
}

fn plain(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Returns true if two texts mean the same but for one key, which has this value in the second.
/// Mistakes of the first text may be in the second, but no others.
fn differs_only_in(before: &str, after: &str, key: &str, value: Option<&str>) -> bool {
    match (Config::parse(before), Config::parse(after)) {
        (Ok(before), Ok(after)) => {
            let others = |config: &Config| {
                let mut all = config.all();
                let present = keys::find(key).map_or(key, |key| key.name);
                all.retain(|(name, _)| name != present);
                all
            };
            others(&before) == others(&after) && after.value(key).map(String::as_str) == value
        }
        (Ok(_), Err(_)) => false,
        (Err(before), Err(after)) => after.len() <= before.len(),
        (Err(_), Ok(after)) => after.value(key).map(String::as_str) == value,
    }
}

impl Config {
    /// Returns all keys that are set, with those of phones.
    fn all(&self) -> Vec<(String, String)> {
        let values = self.values.iter();
        let of_phones = self.phones.iter().flat_map(|(udid, rules)| {
            let name = move |rule: &&str| format!("phone.{udid}.{rule}");
            rules
                .iter()
                .map(move |(rule, value)| (name(rule), value.clone()))
        });
        values
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .chain(of_phones)
            .collect()
    }
}

/// Returns the key if it consists of names and dots, which TOML takes without quotes.
fn checked(key: &str) -> Result<&str, Vec<Mistake>> {
    let is_name = |part: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        !part.is_empty() && part.chars().all(is_letter)
    };
    if key.split('.').all(is_name) {
        return Ok(key);
    }
    Err(vec![Mistake {
        line: 0,
        text: format!("{key:?} is not the name of a key"),
        hint: Some("`idev-backup config show` lists all keys".to_owned()),
    }])
}

/// Removes the line numbers of mistakes in a text that the user does not see.
fn without_lines(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    for mistake in &mut mistakes {
        mistake.line = 0;
    }
    mistakes
}

/// Returns the key as the text spells it: under a former name, or with the UDID of a phone in
/// another case.
fn as_spelled(text: &str, key: &str) -> String {
    let mut document = plain(text).parse::<DocumentMut>().unwrap_or_default();
    let Some((udid, rule)) = key
        .strip_prefix("phone.")
        .and_then(|rest| rest.split_once('.'))
    else {
        let names = keys::names(key);
        let is_there = |name: &&&str| item(&mut document, name).is_some();
        let spelled = names.iter().find(is_there).or(names.first());
        return spelled.map_or_else(|| key.to_owned(), |name| (*name).to_owned());
    };
    let phones = document.get("phone").and_then(Item::as_table_like);
    let spelled = phones.and_then(|phones| {
        let mut names = phones.iter().map(|(name, _)| name.to_owned());
        names.find(|name| name.eq_ignore_ascii_case(udid))
    });
    format!(
        "phone.{}.{rule}",
        spelled.unwrap_or_else(|| udid.to_owned())
    )
}

/// Returns the section of a key and its name there.
fn parts(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

fn section<'a>(document: &'a mut DocumentMut, name: &str) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for part in name.split('.').filter(|part| !part.is_empty()) {
        table = table.get_mut(part)?.as_table_like_mut()?;
    }
    Some(table)
}

fn item<'a>(document: &'a mut DocumentMut, key: &str) -> Option<&'a mut Item> {
    let (of, name) = parts(key);
    section(document, of)?.get_mut(name)
}

/// Replaces the value of a key that is set, and keeps the comment behind it.
fn replaced(text: &str, key: &str, literal: &str) -> Option<String> {
    let mut document = text.parse::<DocumentMut>().ok()?;
    let present = item(&mut document, key)?.as_value_mut()?;
    let mut value: Value = literal.parse().ok()?;
    *value.decor_mut() = present.decor().clone();
    *present = value;
    Some(document.to_string())
}

/// Replaces the comment that holds the key in its section, as in the template.
fn uncommented(text: &str, key: &str, literal: &str) -> Option<String> {
    let (of, name) = parts(key);
    let mut present = String::new();
    let mut result = String::new();
    let mut is_set = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.starts_with('[') {
            let header = bare.split(']').next().unwrap_or_default();
            present = header.replace(['[', '"', '\'', ' '], "");
        }
        let setting = bare.strip_prefix('#').filter(|_| !is_set && present == of);
        let is_key = |setting: &&str| {
            let name_there = setting.split_once('=').map(|(left, _)| left.trim());
            name_there == Some(name)
        };
        match setting
            .filter(is_key)
            .and_then(|line| replaced(line, name, literal))
        {
            Some(set) => {
                result.push_str(set.trim_end());
                result.push_str(&line[line.trim_end().len()..]);
                is_set = true;
            }
            None => result.push_str(line),
        }
    }
    is_set.then_some(result)
}

/// Adds a section with the key behind the rest.
fn appended(text: &str, key: &str, literal: &str) -> Option<String> {
    let (of, name) = parts(key);
    let mut document = text.parse::<DocumentMut>().ok()?;
    if of.is_empty() || section(&mut document, of).is_some() {
        return None;
    }
    let gap = if text.trim().is_empty() { "" } else { "\n\n" };
    Some(format!(
        "{}{gap}[{of}]\n{name} = {literal}\n",
        text.trim_end()
    ))
}

/// Adds the key to its section, which is there.
fn inserted(text: &str, key: &str, literal: &str) -> Option<String> {
    let (of, name) = parts(key);
    let mut document = text.parse::<DocumentMut>().ok()?;
    let value: Value = literal.parse().ok()?;
    section(&mut document, of)?.insert(name, Item::Value(value));
    Some(document.to_string())
}

/// Makes the lines of a key comments, if they hold nothing else.
fn commented(text: &str, key: &str) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let (of, name) = parts(key);
    let mut table = document.get_ref();
    for part in of.split('.').filter(|part| !part.is_empty()) {
        table = table.get(part)?.get_ref().as_table()?;
    }
    let (name, value): (_, &Spanned<DeValue<'_>>) = table.get_key_value(name)?;
    let begin = text
        .get(..name.span().start)?
        .rfind('\n')
        .map_or(0, |at| at + 1);
    let is_alone = |c: char| c.is_ascii_alphanumeric() || " \t.-_\"'".contains(c);
    if !text.get(begin..name.span().start)?.chars().all(is_alone) {
        return None;
    }
    let lines = text.get(begin..value.span().end)?.replace('\n', "\n#");
    Some(format!(
        "{}#{lines}{}",
        &text[..begin],
        text.get(value.span().end..)?
    ))
}

/// Takes the key out of its section.
fn removed(text: &str, key: &str) -> Option<String> {
    let (of, name) = parts(key);
    let mut document = text.parse::<DocumentMut>().ok()?;
    section(&mut document, of)?.remove(name)?;
    Some(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::config::template::template;

    const PHONE: &str = "phone.00008130-001A2B3C4D5E6F70.retention.keep-last";

    #[test]
    fn set_keeps_everything_else() {
        for (before, key, value, after) in [
            ("", "store", "/srv/b", "store = \"/srv/b\"\n"),
            ("", "create.full", "true", "[create]\nfull = true\n"),
            (
                "# mine\n[retention]\nkeep-last  =  3   # few\n\n# end\n",
                "retention.keep-last",
                "5",
                "# mine\n[retention]\nkeep-last  =  5   # few\n\n# end\n",
            ),
            (
                "[retention]\n  # keep-last = 3   # few\n#keep-last = 4\n",
                "retention.keep-last",
                "5",
                "[retention]\n keep-last = 5   # few\n#keep-last = 4\n",
            ),
            (
                "[create]\n#keep-last = 3\n[retention]\n",
                "retention.keep-last",
                "5",
                "[create]\n#keep-last = 3\n[retention]\nkeep-last = 5\n",
            ),
            (
                "retention = { keep-daily = 2 }\n",
                "retention.keep-last",
                "5",
                "retention = { keep-daily = 2 , keep-last = 5 }\n",
            ),
            (
                "[log]\n# the last line\n",
                PHONE,
                "1",
                "[log]\n# the last line\n\n[phone.00008130-001A2B3C4D5E6F70.retention]\nkeep-last = 1\n",
            ),
            (
                "[phone.00008130-001a2b3c4d5e6f70.retention]\nkeep-last = 2\n",
                PHONE,
                "1",
                "[phone.00008130-001a2b3c4d5e6f70.retention]\nkeep-last = 1\n",
            ),
            (
                "\u{feff}store = '/a'\r\n# end\r\n",
                "store",
                "/b",
                "\u{feff}store = \"/b\"\r\n# end\r\n",
            ),
            (
                "[watch]\noverdue-after = '3d'\n",
                "overdue-after",
                "5d",
                "[watch]\noverdue-after = \"5d\"\n",
            ),
            // A mistake is corrected while another one is left.
            (
                "[create]\nfull = 1\nno-apps = 2\n",
                "create.full",
                "true",
                "[create]\nfull = true\nno-apps = 2\n",
            ),
        ] {
            let before = before.replace("'/", if cfg!(windows) { "'C:/" } else { "'/" });
            let root = if cfg!(windows) { "C:/" } else { "/" };
            let value = match value.strip_prefix('/') {
                Some(rest) => format!("{root}{rest}"),
                None => value.to_owned(),
            };
            let result = set(&before, key, &value).unwrap();
            assert_eq!(
                result,
                after.replace("\"/", &format!("\"{root}")),
                "{before}"
            );
        }
    }

    #[test]
    fn template_lines_are_uncommented() {
        let text = template();
        let set = set(&text, "retention.keep-last", "9").unwrap();
        assert_eq!(set, text.replacen("#keep-last = 3", "keep-last = 9", 1));
        let unset = unset(&set, "retention.keep-last").unwrap().unwrap();
        assert_eq!(unset, text.replacen("#keep-last = 3", "#keep-last = 9", 1));
    }

    #[test]
    fn invalid_settings_are_refused() {
        for (text, key, value, says) in [
            ("", "retention.keep-last", "-1", "from 0 to 100000"),
            ("", "retention.keep-lst", "1", "unknown key"),
            ("", "create.full", "maybe", "true or false"),
            ("", "store", "backups", "absolute path"),
            ("", "log", "x", "is a section"),
            ("", "a b", "x", "not the name of a key"),
            ("", "store = '/x'\nb", "x", "not the name of a key"),
            ("", "phone.x.retention.keep-last", "1", "not a phone"),
            ("a = \n", "create.full", "true", "not TOML"),
        ] {
            let mistakes = set(text, key, value).unwrap_err();
            assert!(mistakes[0].text.contains(says), "{key}: {mistakes:?}");
        }
    }

    #[test]
    fn unset_keeps_everything_else() {
        for (before, key, after) in [
            (
                "[create]\n full = true # why\n",
                "create.full",
                Some("[create]\n# full = true # why\n"),
            ),
            (
                "retention = { keep-last = 5, keep-daily = 2 }\n",
                "retention.keep-last",
                Some("retention = { keep-daily = 2 }\n"),
            ),
            (
                "create.full = true\n",
                "create.full",
                Some("#create.full = true\n"),
            ),
            (
                "[hooks]\non-start = '''\na\nb'''\nnotify = true\n",
                "hooks.on-start",
                Some("[hooks]\n#on-start = '''\n#a\n#b'''\nnotify = true\n"),
            ),
            (
                "[create]\nful = true\n",
                "create.ful",
                Some("[create]\n#ful = true\n"),
            ),
            ("[create]\nfull = true\n", "create.no-apps", None),
        ] {
            assert_eq!(unset(before, key).unwrap().as_deref(), after, "{before}");
        }
        assert!(unset("a = \n", "create.full").is_err());
    }
}
