//! Decodes typedstream, the archive format of NSArchiver, in which Messages stores the bodies of
//! messages: a text with attributes for its ranges.
//!
//! ```text
//! 04 0B "streamtyped" 81 E8 03    version 4, byte order, system version 1000
//! then groups of values: the types as a string ("iI", "@"), then a value for each type
//!   number      one signed byte, or 81 + 2 bytes, or 82 + 4 bytes, or 83 + a float or double
//!   string      84 + length + bytes: new; 92 and up: the nth string so far; 85: none
//!   object      84 + class + groups of values + 86: new; 92 and up: the nth object or class so far
//!   class       84 + name + version + superclass: new; 92 and up: the nth; 85: end of the chain
//! ```
//! The format is described by the project python-typedstream, and by the bodies themselves.
//!
//! An object refers to earlier ones, so a few bytes can describe an endless graph. The decoder
//! never follows references while it reads: every value takes at least a byte of the archive. What
//! is read later, an attributed string, has a known depth.

use std::borrow::Cow;

/// The deepest nesting of objects. The bodies of messages have four levels.
const DEPTH_MAX: usize = 64;
/// The most types in one group of values. Bodies have two.
const TYPES_MAX: usize = 32;
/// The most attributes of all ranges of a text.
const ATTRIBUTES_MAX: usize = 100_000;
/// The longest address that is put together from two parts.
const URL_BYTES_MAX: usize = 8 << 10;
/// The number that stands for the first string or object in a reference.
const FIRST_REFERENCE: i64 = -110;
const TAG_SHORT: u8 = 0x81;
const TAG_LONG: u8 = 0x82;
const TAG_FLOAT: u8 = 0x83;
const TAG_NEW: u8 = 0x84;
const TAG_NIL: u8 = 0x85;
const TAG_END: u8 = 0x86;

/// The reason that an archive cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin as a typedstream.
    #[error("it is not a typedstream")]
    NotATypedstream,
    /// The archive ends in the middle of a value.
    #[error("it is truncated")]
    Truncated,
    /// A value has a type or a tag that is not known.
    #[error("it contains a value of an unknown type")]
    UnknownType,
    /// A reference leads to nothing, or to something of another kind.
    #[error("a reference in it is wrong")]
    WrongReference,
    /// Objects are nested more deeply than any real archive.
    #[error("it is nested too deeply")]
    TooDeep,
    /// The archive describes far more than it holds.
    #[error("it describes far more than it holds")]
    TooLarge,
    /// The archive holds no text.
    #[error("it holds no text")]
    NoText,
}

/// A text with attributes, which borrows from its archive.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttributedText<'a> {
    /// The text. U+FFFC stands for an attachment.
    pub text: Cow<'a, str>,
    /// The length of each run in bytes, and the index of its attributes. Runs follow one another.
    runs: Vec<(usize, usize)>,
    sets: Vec<Vec<(&'a str, Attribute<'a>)>>,
}

/// A range of a text that has the same attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run<'t> {
    /// The text of the range.
    pub text: &'t str,
    attributes: &'t [(&'t str, Attribute<'t>)],
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Attribute<'a> {
    /// A string.
    Text(&'a str),
    /// The address of an NSURL.
    Url(Cow<'a, str>),
    /// A whole number or a truth value.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// An object of another class.
    Other,
}

impl AttributedText<'_> {
    /// Returns the runs in the order of the text. Text behind the last one has no attributes.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let mut at = 0;
        self.runs.iter().map(move |(bytes, set)| {
            let text = &self.text[at..at + bytes];
            at += bytes;
            Run {
                text,
                attributes: &self.sets[*set],
            }
        })
    }
}

impl<'t> Run<'t> {
    /// Returns the value of an attribute.
    pub fn get(&self, name: &str) -> Option<&'t Attribute<'t>> {
        let found = self.attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    /// Returns the value of an attribute that is a string.
    pub fn text(&self, name: &str) -> Option<&'t str> {
        match self.get(name)? {
            Attribute::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of an attribute that is a whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Attribute::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

/// Decodes an archived NSAttributedString or NSString.
pub fn attributed_text(archive: &[u8]) -> Result<AttributedText<'_>, Error> {
    Decoder::decode(archive)?.attributed_text()
}

/// A value of an archive.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Nil,
    Integer(i64),
    Real(f64),
    Bytes(&'a [u8]),
    /// The index of an object.
    Object(usize),
}

/// Everything that can be referred to.
#[derive(Debug, Clone)]
enum Entry<'a> {
    Object {
        class: usize,
        values: Vec<Value<'a>>,
    },
    Class {
        name: &'a [u8],
    },
    CString,
}

struct Decoder<'a> {
    rest: &'a [u8],
    is_big_endian: bool,
    strings: Vec<&'a [u8]>,
    entries: Vec<Entry<'a>>,
    root: Value<'a>,
}

impl<'a> Decoder<'a> {
    fn decode(archive: &'a [u8]) -> Result<Decoder<'a>, Error> {
        let rest = archive
            .strip_prefix(b"\x04\x0b")
            .ok_or(Error::NotATypedstream)?;
        let (signature, rest) = rest.split_at_checked(11).ok_or(Error::NotATypedstream)?;
        let mut decoder = Decoder {
            rest,
            is_big_endian: match signature {
                b"streamtyped" => false,
                b"typedstream" => true,
                _ => return Err(Error::NotATypedstream),
            },
            strings: Vec::new(),
            entries: Vec::new(),
            root: Value::Nil,
        };
        decoder.integer()?; // The version of the system that wrote it, always 1000.
        let mut values = Vec::new();
        let head = decoder.byte()?;
        decoder.group(head, &mut values, 0)?;
        decoder.root = *values.first().ok_or(Error::NoText)?;
        Ok(decoder)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.take(1).map(|one| one[0])
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        if self.is_big_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }

    fn integer(&mut self) -> Result<i64, Error> {
        let head = self.byte()?;
        self.integer_from(head)
    }

    fn integer_from(&mut self, head: u8) -> Result<i64, Error> {
        match head {
            TAG_SHORT => Ok(i16::from_le_bytes(self.number()?).into()),
            TAG_LONG => Ok(i32::from_le_bytes(self.number()?).into()),
            0x83..=0x91 | 0x80 => Err(Error::UnknownType),
            small => Ok(i64::from(small.cast_signed())),
        }
    }

    /// Reads a length, which has no sign.
    fn length(&mut self) -> Result<usize, Error> {
        let length = match self.byte()? {
            TAG_SHORT => u32::from(u16::from_le_bytes(self.number()?)),
            TAG_LONG => u32::from_le_bytes(self.number()?),
            0x80..=0x91 => return Err(Error::UnknownType),
            small => small.into(),
        };
        usize::try_from(length).map_err(|_| Error::Truncated)
    }

    /// Returns the index that a reference means.
    fn reference(&mut self, head: u8, known: usize) -> Result<usize, Error> {
        let number = self.integer_from(head)? - FIRST_REFERENCE;
        let index = usize::try_from(number).ok().filter(|index| *index < known);
        index.ok_or(Error::WrongReference)
    }

    /// Reads a string that later ones can refer to; `None` for nil.
    fn shared_string(&mut self, head: u8) -> Result<Option<&'a [u8]>, Error> {
        match head {
            TAG_NIL => Ok(None),
            TAG_NEW => {
                let length = self.length()?;
                let string = self.take(length)?;
                self.strings.push(string);
                Ok(Some(string))
            }
            head => {
                let index = self.reference(head, self.strings.len())?;
                Ok(Some(self.strings[index]))
            }
        }
    }

    /// Reads the types of a group and a value for each.
    fn group(&mut self, head: u8, to: &mut Vec<Value<'a>>, depth: usize) -> Result<(), Error> {
        let types = self.shared_string(head)?.ok_or(Error::UnknownType)?;
        self.values(types, to, depth)
    }

    fn values(
        &mut self,
        mut types: &'a [u8],
        to: &mut Vec<Value<'a>>,
        depth: usize,
    ) -> Result<(), Error> {
        for _ in 0..TYPES_MAX {
            let Some((&kind, rest)) = types.split_first() else {
                return Ok(());
            };
            types = rest;
            let value = match kind {
                b'c' => Value::Integer(self.byte()?.cast_signed().into()),
                b'C' | b'B' => Value::Integer(self.byte()?.into()),
                b's' | b'i' | b'l' | b'q' => Value::Integer(self.integer()?),
                b'S' | b'I' | b'L' | b'Q' => Value::Integer(self.length()? as i64),
                b'f' => self.real(4)?,
                b'd' => self.real(8)?,
                b'+' => {
                    let length = self.length()?;
                    Value::Bytes(self.take(length)?)
                }
                b'*' => self.c_string()?,
                b':' | b'%' => {
                    let head = self.byte()?;
                    self.shared_string(head)?.map_or(Value::Nil, Value::Bytes)
                }
                b'@' => self.object(depth)?,
                b'[' => {
                    let (value, rest) = self.array(types)?;
                    types = rest;
                    value
                }
                _ => return Err(Error::UnknownType),
            };
            to.push(value);
        }
        Err(Error::UnknownType)
    }

    fn real(&mut self, bytes: usize) -> Result<Value<'a>, Error> {
        match (self.byte()?, bytes) {
            (TAG_FLOAT, 4) => Ok(Value::Real(f32::from_le_bytes(self.number()?).into())),
            (TAG_FLOAT, _) => Ok(Value::Real(f64::from_le_bytes(self.number()?))),
            (head, _) => Ok(Value::Real(self.integer_from(head)? as f64)),
        }
    }

    /// Reads an array of bytes. `types` follows the opening bracket.
    fn array(&mut self, types: &'a [u8]) -> Result<(Value<'a>, &'a [u8]), Error> {
        let digits = types.iter().take_while(|c| c.is_ascii_digit()).count();
        let (number, rest) = types.split_at(digits);
        let length = std::str::from_utf8(number)
            .ok()
            .and_then(|n| n.parse().ok());
        match (length, rest) {
            (Some(length), [b'c' | b'C', b']', rest @ ..]) => {
                Ok((Value::Bytes(self.take(length)?), rest))
            }
            _ => Err(Error::UnknownType),
        }
    }

    fn c_string(&mut self) -> Result<Value<'a>, Error> {
        match self.byte()? {
            TAG_NIL => Ok(Value::Nil),
            TAG_NEW => {
                let head = self.byte()?;
                let string = self.shared_string(head)?.ok_or(Error::WrongReference)?;
                self.entries.push(Entry::CString);
                Ok(Value::Bytes(string))
            }
            _ => Err(Error::UnknownType),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        if depth == DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        match self.byte()? {
            TAG_NIL => Ok(Value::Nil),
            TAG_NEW => {
                let index = self.entries.len();
                self.entries.push(Entry::Object {
                    class: usize::MAX,
                    values: Vec::new(),
                });
                let class = self.class()?.ok_or(Error::WrongReference)?;
                let mut values = Vec::new();
                loop {
                    match self.byte()? {
                        TAG_END => break,
                        head => self.group(head, &mut values, depth + 1)?,
                    }
                }
                self.entries[index] = Entry::Object { class, values };
                Ok(Value::Object(index))
            }
            head => {
                let index = self.reference(head, self.entries.len())?;
                match self.entries[index] {
                    Entry::Object { .. } => Ok(Value::Object(index)),
                    _ => Err(Error::WrongReference),
                }
            }
        }
    }

    /// Reads a class and its chain of superclasses; `None` for nil.
    fn class(&mut self) -> Result<Option<usize>, Error> {
        let mut first = None;
        for _ in 0..DEPTH_MAX {
            match self.byte()? {
                TAG_NIL => return Ok(first),
                TAG_NEW => {
                    let head = self.byte()?;
                    let name = self.shared_string(head)?.ok_or(Error::WrongReference)?;
                    self.integer()?; // The version of the class.
                    first.get_or_insert(self.entries.len());
                    self.entries.push(Entry::Class { name });
                }
                head => {
                    let index = self.reference(head, self.entries.len())?;
                    return match self.entries[index] {
                        Entry::Class { .. } => Ok(Some(first.unwrap_or(index))),
                        _ => Err(Error::WrongReference),
                    };
                }
            }
        }
        Err(Error::TooDeep)
    }

    fn attributed_text(&self) -> Result<AttributedText<'a>, Error> {
        let Some((class, values)) = self.parts(self.root) else {
            return Err(Error::NoText);
        };
        if let Some(bytes) = self.string(self.root) {
            return Ok(AttributedText {
                text: String::from_utf8_lossy(bytes),
                ..AttributedText::default()
            });
        }
        let (first, mut rest) = match values {
            [first, rest @ ..] if class.ends_with(b"AttributedString") => (*first, rest),
            _ => return Err(Error::NoText),
        };
        let text = String::from_utf8_lossy(self.string(first).ok_or(Error::NoText)?);
        let mut decoded = AttributedText {
            text,
            ..AttributedText::default()
        };
        let (mut at, mut attributes) = (0, 0);
        while let [Value::Integer(number), Value::Integer(units), after @ ..] = rest {
            rest = after;
            // The set itself follows the first run that has it.
            if let [set @ Value::Object(_), after @ ..] = rest {
                let set = self.attributes(*set);
                // Sets can refer to the same objects, and so be much larger than the archive.
                attributes += set.len();
                if attributes > ATTRIBUTES_MAX {
                    return Err(Error::TooLarge);
                }
                decoded.sets.push(set);
                rest = after;
            }
            let index = usize::try_from(*number - 1).ok();
            let index = index.filter(|index| *index < decoded.sets.len());
            let bytes = bytes_of_units(&decoded.text[at..], *units);
            at += bytes;
            let run = (bytes, index.ok_or(Error::WrongReference)?);
            decoded.runs.push(run);
        }
        Ok(decoded)
    }

    /// Returns the class name and the values of an object.
    fn parts(&self, value: Value<'_>) -> Option<(&'a [u8], &[Value<'a>])> {
        let Value::Object(index) = value else {
            return None;
        };
        match self.entries.get(index)? {
            Entry::Object { class, values } => match self.entries.get(*class)? {
                Entry::Class { name } => Some((name, values)),
                _ => None,
            },
            _ => None,
        }
    }

    fn string(&self, value: Value<'_>) -> Option<&'a [u8]> {
        match self.parts(value)? {
            (b"NSString" | b"NSMutableString", [Value::Bytes(bytes), ..]) => Some(bytes),
            _ => None,
        }
    }

    fn words(&self, value: Value<'_>) -> Option<&'a str> {
        std::str::from_utf8(self.string(value)?).ok()
    }

    fn attributes(&self, set: Value<'_>) -> Vec<(&'a str, Attribute<'a>)> {
        let Some((b"NSDictionary" | b"NSMutableDictionary", [_, pairs @ ..])) = self.parts(set)
        else {
            return Vec::new();
        };
        let pairs = pairs.chunks_exact(2).take(ATTRIBUTES_MAX + 1);
        pairs
            .filter_map(|pair| Some((self.words(pair[0])?, self.attribute(pair[1])?)))
            .collect()
    }

    fn attribute(&self, value: Value<'_>) -> Option<Attribute<'a>> {
        if let Some(text) = self.words(value) {
            return Some(Attribute::Text(text));
        }
        Some(match self.parts(value)? {
            (b"NSNumber", [_, Value::Integer(number), ..]) => Attribute::Integer(*number),
            (b"NSNumber", [_, Value::Real(number), ..]) => Attribute::Real(*number),
            (b"NSURL", [Value::Integer(0), url]) => Attribute::Url(self.words(*url)?.into()),
            // A relative address follows its base.
            (b"NSURL", [_, base, url]) => {
                let base = match self.parts(*base) {
                    Some((b"NSURL", [Value::Integer(0), base])) => self.words(*base),
                    _ => None,
                };
                let (base, url) = (base.unwrap_or_default(), self.words(*url)?);
                if base.len() + url.len() > URL_BYTES_MAX {
                    return None;
                }
                Attribute::Url(format!("{base}{url}").into())
            }
            _ => Attribute::Other,
        })
    }
}

/// Returns the number of bytes at the beginning of a text that take this number of units in UTF-16.
/// Never more than the text has, and never a part of a character.
pub fn bytes_of_units(text: &str, units: i64) -> usize {
    let mut left = units;
    for (at, c) in text.char_indices() {
        if left <= 0 {
            return at;
        }
        left -= c.len_utf16() as i64;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies that Messages wrote on an iPad with iOS 14, published by the competition UIUCTF 2021:
    /// one received, one sent.
    const RECEIVED: &str = "040b73747265616d747970656481e803840140848484124e5341747472696275746564537472696e67008484084e534f626a656374008592848484084e53537472696e67019484012b04f09fa4a286840269490102928484840c4e5344696374696f6e617279009484016901928496961d5f5f6b494d4d657373616765506172744174747269627574654e616d658692848484084e534e756d626572008484074e5356616c7565009484012a84999900868686";
    const SENT: &str = "040b73747265616d747970656481e803840140848484194e534d757461626c6541747472696275746564537472696e67008484124e5341747472696275746564537472696e67008484084e534f626a6563740085928484840f4e534d757461626c65537472696e67018484084e53537472696e67019584012b0e526564416d6f67757323383731358684026949010e928484840c4e5344696374696f6e617279009584016901928498981d5f5f6b494d4d657373616765506172744174747269627574654e616d658692848484084e534e756d626572008484074e5356616c7565009584012a849b9b00868686";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn real_bodies_are_decoded() {
        for (body, text) in [(RECEIVED, "🤢"), (SENT, "RedAmogus#8715")] {
            let body = unhex(body);
            let decoded = attributed_text(&body).unwrap();
            assert_eq!(decoded.text, text);
            let runs: Vec<Run<'_>> = decoded.runs().collect();
            assert_eq!(runs.len(), 1);
            assert_eq!(runs[0].text, text);
            assert_eq!(runs[0].integer("__kIMMessagePartAttributeName"), Some(0));
        }
    }

    #[test]
    fn every_cut_is_an_error() {
        let body = unhex(RECEIVED);
        for cut in 0..body.len() {
            assert!(attributed_text(&body[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn deep_and_wrong_archives_are_errors() {
        const HEAD: &str = "040b73747265616d747970656481e803";
        // An object in an object in an object...
        let deep = format!("{HEAD}8401408484840141008592{}", "848392".repeat(100));
        let nested = format!("{HEAD}84014084848401410085{}", "928493".repeat(100));
        for (archive, expected) in [
            ("", Error::NotATypedstream),
            ("040b73747265616d747970656481", Error::Truncated),
            (HEAD, Error::Truncated),
            // A type that does not exist, a reference to nothing, an object that is nil.
            (&format!("{HEAD}84013f"), Error::UnknownType),
            (&format!("{HEAD}84014095"), Error::WrongReference),
            (&format!("{HEAD}84014085"), Error::NoText),
            (&deep, Error::UnknownType),
            (&nested, Error::TooDeep),
            // A string that claims 4 GB, and an array that does.
            (&format!("{HEAD}84012b82ffffffff"), Error::Truncated),
            (
                &format!("{HEAD}840d5b343030303030303030305d"),
                Error::Truncated,
            ),
        ] {
            let got = attributed_text(&unhex(archive)).unwrap_err();
            assert_eq!(got, expected, "{archive}");
        }
    }

    #[test]
    fn ranges_never_split_characters() {
        assert_eq!(bytes_of_units("a😀b", 1), 1);
        assert_eq!(bytes_of_units("a😀b", 2), 5);
        assert_eq!(bytes_of_units("a😀b", 3), 5);
        assert_eq!(bytes_of_units("a😀b", 100), 6);
        assert_eq!(bytes_of_units("a😀b", -1), 0);
    }
}
