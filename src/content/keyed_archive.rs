//! Reads values of a keyed archive, the property list that NSKeyedArchiver writes: a table of
//! objects that refer to each other by number.

use plist::{Dictionary, Value};

use crate::base::bounded_plist;

/// A decoded archive. References are followed only on the way to a value that is asked for.
pub(crate) struct KeyedArchive {
    objects: Vec<Value>,
    root: Value,
}

impl KeyedArchive {
    /// Parses an archive. The error says why the bytes are not an archive.
    pub(crate) fn parse(bytes: &[u8]) -> Result<KeyedArchive, String> {
        let list = bounded_plist::parse(bytes).map_err(|e| e.to_string())?;
        let Value::Dictionary(mut list) = list else {
            return Err("it is not a keyed archive".to_owned());
        };
        let root = list
            .get("$top")
            .and_then(Value::as_dictionary)
            .and_then(|top| top.get("root"))
            .cloned();
        match (list.remove("$objects"), root) {
            (Some(Value::Array(objects)), Some(root)) => Ok(KeyedArchive { objects, root }),
            _ => Err("it is not a keyed archive".to_owned()),
        }
    }

    /// Returns the root object.
    pub(crate) fn root(&self) -> Option<&Value> {
        self.resolved(&self.root)
    }

    /// Follows a reference; `None` if the value is null.
    fn resolved<'a>(&'a self, value: &'a Value) -> Option<&'a Value> {
        let value = match value {
            Value::Uid(number) => {
                let number = usize::try_from(number.get()).ok()?;
                self.objects.get(number)?
            }
            value => value,
        };
        match value {
            // No archive has a reference to a reference.
            Value::Uid(_) => None,
            Value::String(text) if text == "$null" => None,
            value => Some(value),
        }
    }

    /// Returns the value of a key of an object, or of a dictionary in the archive.
    pub(crate) fn get<'a>(&'a self, object: &'a Value, key: &str) -> Option<&'a Value> {
        let fields = object.as_dictionary()?;
        if let Some(value) = fields.get(key) {
            return self.resolved(value);
        }
        let (keys, values) = self.pairs(fields)?;
        let at = keys
            .iter()
            .position(|name| self.resolved(name).and_then(Value::as_string) == Some(key))?;
        self.resolved(values.get(at)?)
    }

    fn pairs<'a>(&self, fields: &'a Dictionary) -> Option<(&'a [Value], &'a [Value])> {
        let array = |key| fields.get(key).and_then(Value::as_array);
        Some((array("NS.keys")?, array("NS.objects")?))
    }

    /// Returns a text, or the address of an NSURL.
    pub(crate) fn text(&self, object: &Value, key: &str) -> Option<String> {
        let value = self.get(object, key)?;
        let of = |value: &Value| value.as_string().map(str::to_owned);
        of(value)
            .or_else(|| self.get(value, "NS.string").and_then(of))
            .or_else(|| {
                let relative = self.get(value, "NS.relative").and_then(of)?;
                let base = self.get(value, "NS.base");
                let base = base.and_then(|base| self.get(base, "NS.relative").and_then(of));
                Some(format!("{}{relative}", base.unwrap_or_default()))
            })
            .filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use plist::Uid;

    use super::*;

    fn dict<const N: usize>(fields: [(&str, Value); N]) -> Value {
        let fields = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Value::Dictionary(fields.collect())
    }

    fn uid(number: u64) -> Value {
        Value::Uid(Uid::new(number))
    }

    fn archive(objects: Vec<Value>) -> KeyedArchive {
        let list = dict([
            ("$archiver", "NSKeyedArchiver".into()),
            ("$objects", Value::Array(objects)),
            ("$top", dict([("root", uid(1))])),
        ]);
        let mut bytes = Vec::new();
        list.to_writer_binary(&mut bytes).unwrap();
        KeyedArchive::parse(&bytes).unwrap()
    }

    #[test]
    fn values_are_found_by_key() {
        let made = archive(vec![
            "$null".into(),
            dict([
                ("richLinkMetadata", uid(2)),
                ("none", uid(0)),
                ("lost", uid(99)),
            ]),
            dict([("title", uid(3)), ("URL", uid(4))]),
            "A title".into(),
            dict([("NS.base", uid(0)), ("NS.relative", uid(5))]),
            "https://example.org/".into(),
        ]);
        let root = made.root().unwrap();
        let link = made.get(root, "richLinkMetadata").unwrap();
        assert_eq!(made.text(link, "title").as_deref(), Some("A title"));
        assert_eq!(
            made.text(link, "URL").as_deref(),
            Some("https://example.org/")
        );
        assert!(made.get(root, "none").is_none() && made.get(root, "lost").is_none());
    }

    #[test]
    fn archived_dictionaries_are_read_and_cycles_end() {
        let made = archive(vec![
            "$null".into(),
            dict([
                ("NS.keys", Value::Array(vec![uid(2), uid(3)])),
                ("NS.objects", Value::Array(vec![uid(4), uid(1)])),
            ]),
            "ldtext".into(),
            "self".into(),
            "A game".into(),
        ]);
        let root = made.root().unwrap();
        assert_eq!(made.text(root, "ldtext").as_deref(), Some("A game"));
        assert_eq!(made.text(root, "self"), None);
        assert!(KeyedArchive::parse(b"bplist00").is_err());
    }
}
