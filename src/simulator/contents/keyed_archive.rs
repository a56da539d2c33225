//! Writes keyed archives, as NSKeyedArchiver does.

use plist::{Dictionary, Uid, Value};

use crate::simulator::dict;

/// A value to archive.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Url(String),
    Object(&'static str, Vec<(&'static str, Node)>),
    Dictionary(Vec<(&'static str, Node)>),
}

/// Archives an object as a binary property list.
pub(super) fn archive(root: &Node) -> Vec<u8> {
    let mut objects = vec![Value::from("$null")];
    let root = add(root, &mut objects);
    let list = dict([
        ("$archiver", "NSKeyedArchiver".into()),
        ("$objects", Value::Array(objects)),
        ("$top", Value::Dictionary(dict([("root", root)]))),
        ("$version", 100_000.into()),
    ]);
    let mut bytes = Vec::new();
    match Value::Dictionary(list).to_writer_binary(&mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Adds an object to the table, and returns a reference to it.
fn add(node: &Node, objects: &mut Vec<Value>) -> Value {
    let at = objects.len();
    objects.push(Value::from(""));
    objects[at] = match node {
        Node::Text(text) => Value::from(text.as_str()),
        Node::Url(url) => {
            let relative = add(&Node::Text(url.clone()), objects);
            let none = Value::Uid(Uid::new(0));
            let fields = dict([("NS.base", none), ("NS.relative", relative)]);
            object("NSURL", fields, objects)
        }
        Node::Object(class, fields) => {
            let mut made = Dictionary::new();
            for (name, value) in fields {
                made.insert((*name).to_owned(), add(value, objects));
            }
            object(class, made, objects)
        }
        Node::Dictionary(fields) => {
            let (mut keys, mut values) = (Vec::new(), Vec::new());
            for (name, value) in fields {
                keys.push(add(&Node::Text((*name).to_owned()), objects));
                values.push(add(value, objects));
            }
            let fields = dict([
                ("NS.keys", Value::Array(keys)),
                ("NS.objects", Value::Array(values)),
            ]);
            object("NSDictionary", fields, objects)
        }
    };
    Value::Uid(Uid::new(at as u64))
}

fn object(class: &str, mut fields: Dictionary, objects: &mut Vec<Value>) -> Value {
    let classes = vec![Value::from(class), "NSObject".into()];
    let described = dict([
        ("$classes", Value::Array(classes)),
        ("$classname", class.into()),
    ]);
    fields.insert(
        "$class".to_owned(),
        Value::Uid(Uid::new(objects.len() as u64)),
    );
    objects.push(Value::Dictionary(described));
    Value::Dictionary(fields)
}
