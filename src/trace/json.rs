//! Represents property lists as JSON, including values that JSON cannot express, and converts them
//! back for a replay.
//!
//! ```text
//! data {"$data": length}   date {"$date": text}   UID {"$uid": n}
//! a number that identifies {"$redacted": "die-id-1"}
//! a real that JSON cannot hold {"$real": "nan"}
//! ```

use plist::Value;
use serde_json::{Map, Value as Json};

/// Limit in bytes on the data that a replay generates for one message.
const DATA_BYTES_MAX: u64 = 64 << 20;

/// Returns the property list for a line of a trace. Data consists of zeros, in the original length.
pub fn to_plist(json: &Json) -> Value {
    value(json, &mut { DATA_BYTES_MAX })
}

fn value(json: &Json, data_left: &mut u64) -> Value {
    match json {
        Json::Null => Value::String(String::new()),
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => Value::Integer(n.into()),
            (None, Some(n)) => Value::Integer(n.into()),
            (None, None) => Value::Real(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => {
            Value::Array(items.iter().map(|item| value(item, data_left)).collect())
        }
        Json::Object(fields) => typed(fields, data_left).unwrap_or_else(|| {
            let mut plain = |(key, json): (&String, &Json)| (key.clone(), value(json, data_left));
            Value::Dictionary(fields.iter().map(&mut plain).collect())
        }),
    }
}

/// Returns a value of a type that JSON lacks.
fn typed(fields: &Map<String, Json>, data_left: &mut u64) -> Option<Value> {
    let (key, value) = fields.iter().next().filter(|_| fields.len() == 1)?;
    match key.as_str() {
        "$data" => {
            let length = value.as_u64()?.min(*data_left);
            *data_left -= length;
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
    fn json_values_keep_their_type() {
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
