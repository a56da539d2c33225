//! Property lists in JSON, where it has no kind of its own for a value; and back, for a replay.
//!
//! ```text
//! data {"$data": length}   date {"$date": text}   UID {"$uid": n}   a number that identifies {"$redacted": "die-id-1"}
//! a real that JSON cannot hold {"$real": "nan"}   a key that begins with "$" gets another "$" in front
//! ```

use plist::Value;
use serde_json::{Map, Value as Json};

/// The property list that a line shows; data comes back as zeros of its length.
pub fn to_plist(json: &Json) -> Value {
    match json {
        Json::Null => Value::String(String::new()),
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => Value::Integer(n.into()),
            (None, Some(n)) => Value::Integer(n.into()),
            (None, None) => Value::Real(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(to_plist).collect()),
        Json::Object(fields) => typed(fields).unwrap_or_else(|| {
            let plain = |(key, value): (&String, &Json)| {
                let key = key.strip_prefix('$').unwrap_or(key);
                (key.to_owned(), to_plist(value))
            };
            Value::Dictionary(fields.iter().map(plain).collect())
        }),
    }
}

/// A value of a kind that JSON lacks.
fn typed(fields: &Map<String, Json>) -> Option<Value> {
    const DATA_BYTES_MAX: u64 = 64 << 20;
    let (key, value) = fields.iter().next().filter(|_| fields.len() == 1)?;
    match key.as_str() {
        "$data" => {
            let length = value.as_u64()?.min(DATA_BYTES_MAX);
            Some(Value::Data(vec![0; usize::try_from(length).ok()?]))
        }
        "$date" => plist::Date::from_xml_format(value.as_str()?)
            .ok()
            .map(Value::Date),
        "$uid" => Some(Value::Uid(plist::Uid::new(value.as_u64()?))),
        "$real" => value.as_str()?.parse().ok().map(Value::Real),
        "$redacted" => {
            let number = value.as_str()?.rsplit('-').next()?.parse::<u64>().ok()?;
            Some(Value::Integer(number.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_comes_back_as_its_kind() {
        for (json, value) in [
            (json!(2.0), Value::Real(2.0)),
            (json!(2), Value::Integer(2.into())),
            (json!({"$data": 3}), Value::Data(vec![0; 3])),
            (json!({"$real": "inf"}), Value::Real(f64::INFINITY)),
            (json!({"$redacted": "die-id-7"}), Value::Integer(7.into())),
            (json!({"$uid": 4}), Value::Uid(plist::Uid::new(4))),
        ] {
            assert_eq!(to_plist(&json), value);
        }
    }
}
