//! Writes typedstream, the format of NSArchiver, as Messages does for the bodies of messages. It
//! shares no code with the decoder, so that the two do not share a misunderstanding.

/// The value of an attribute.
#[derive(Debug, Clone)]
pub(super) enum Attr {
    Text(String),
    Url(String),
    Number(i64),
    Data(Vec<u8>),
}

/// A range of a text, and its attributes.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) text: String,
    pub(super) attributes: Vec<(&'static str, Attr)>,
}

/// Archives an attributed string. `mutable`: as the phone does for messages that it sends.
pub(super) fn attributed_string(runs: &[Run], mutable: bool) -> Vec<u8> {
    let mut out = Writer::default();
    out.bytes.extend(b"\x04\x0bstreamtyped\x81\xe8\x03");
    out.types("@");
    let (attributed, string): (&[_], &[_]) = if mutable {
        (
            &[
                ("NSMutableAttributedString", 0),
                ("NSAttributedString", 0),
                ("NSObject", 0),
            ],
            &[("NSMutableString", 1), ("NSString", 1), ("NSObject", 0)],
        )
    } else {
        (&[("NSAttributedString", 0), ("NSObject", 0)], &STRING)
    };
    out.begin(attributed);
    out.types("@");
    out.begin(string);
    let text: String = runs.iter().map(|run| run.text.as_str()).collect();
    out.types("+");
    out.unshared(text.as_bytes());
    out.end();
    let mut sets: Vec<String> = Vec::new();
    for run in runs {
        let set = format!("{:?}", run.attributes);
        let known = sets.iter().position(|other| *other == set);
        out.types("iI");
        out.integer(known.unwrap_or(sets.len()) as i64 + 1);
        out.length(run.text.encode_utf16().count());
        if known.is_none() {
            sets.push(set);
            out.dictionary(&run.attributes);
        }
    }
    out.end();
    out.bytes
}

const STRING: [(&str, u8); 2] = [("NSString", 1), ("NSObject", 0)];
/// The number of the first reference.
const FIRST: i64 = -110;

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    strings: Vec<String>,
    /// Names of classes and of keys by their numbers; objects that nothing refers to are "".
    entries: Vec<String>,
}

impl Writer {
    fn integer(&mut self, number: i64) {
        if let Ok(small) = i8::try_from(number)
            && i64::from(small) >= FIRST
        {
            self.bytes.push(small.cast_unsigned());
        } else if let Ok(short) = i16::try_from(number) {
            self.bytes.push(0x81);
            self.bytes.extend(short.to_le_bytes());
        } else {
            self.bytes.push(0x82);
            self.bytes.extend((number as i32).to_le_bytes());
        }
    }

    fn length(&mut self, length: usize) {
        match length {
            0..=0x7f => self.bytes.push(length as u8),
            0x80..=0xffff => {
                self.bytes.push(0x81);
                self.bytes.extend((length as u16).to_le_bytes());
            }
            _ => {
                self.bytes.push(0x82);
                self.bytes.extend((length as u32).to_le_bytes());
            }
        }
    }

    fn unshared(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.bytes.extend(bytes);
    }

    /// Writes the types of the next group of values.
    fn types(&mut self, types: &str) {
        self.shared(types);
    }

    fn shared(&mut self, string: &str) {
        match self.strings.iter().position(|known| known == string) {
            Some(at) => self.integer(at as i64 + FIRST),
            None => {
                self.strings.push(string.to_owned());
                self.bytes.push(0x84);
                self.unshared(string.as_bytes());
            }
        }
    }

    /// Begins an object of a class, given with its superclasses and their versions.
    fn begin(&mut self, classes: &[(&str, u8)]) {
        self.bytes.push(0x84);
        self.entries.push(String::new());
        for (name, version) in classes {
            let entry = format!("class {name}");
            if let Some(at) = self.entries.iter().position(|known| *known == entry) {
                return self.integer(at as i64 + FIRST);
            }
            self.entries.push(entry);
            self.bytes.push(0x84);
            self.shared(name);
            self.bytes.push(*version);
        }
        self.bytes.push(0x85);
    }

    fn end(&mut self) {
        self.bytes.push(0x86);
    }

    fn string(&mut self, text: &str) {
        self.types("@");
        self.begin(&STRING);
        self.types("+");
        self.unshared(text.as_bytes());
        self.end();
    }

    /// Writes the name of an attribute, which exists once in an archive.
    fn key(&mut self, name: &str) {
        let entry = format!("key {name}");
        match self.entries.iter().position(|known| *known == entry) {
            Some(at) => {
                self.types("@");
                self.integer(at as i64 + FIRST);
            }
            None => {
                let at = self.entries.len();
                self.string(name);
                self.entries[at] = entry;
            }
        }
    }

    fn dictionary(&mut self, attributes: &[(&str, Attr)]) {
        self.types("@");
        self.begin(&[("NSDictionary", 0), ("NSObject", 0)]);
        self.types("i");
        self.integer(attributes.len() as i64);
        for (name, value) in attributes {
            self.key(name);
            match value {
                Attr::Text(text) => self.string(text),
                Attr::Url(url) => {
                    self.types("@");
                    self.begin(&[("NSURL", 0), ("NSObject", 0)]);
                    self.types("c");
                    self.bytes.push(0);
                    self.string(url);
                    self.end();
                }
                Attr::Number(number) => {
                    self.types("@");
                    self.begin(&[("NSNumber", 0), ("NSValue", 0), ("NSObject", 0)]);
                    self.types("*");
                    self.bytes.push(0x84);
                    self.shared("i");
                    self.entries.push(String::new());
                    self.types("i");
                    self.integer(*number);
                    self.end();
                }
                Attr::Data(data) => {
                    self.types("@");
                    self.begin(&[("NSData", 0), ("NSObject", 0)]);
                    self.types("i");
                    self.integer(data.len() as i64);
                    self.types(&format!("[{}c]", data.len()));
                    self.bytes.extend(data);
                    self.end();
                }
            }
        }
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the writer makes the bytes that an iPad with iOS 14 wrote (the competition
    /// UIUCTF 2021).
    #[test]
    fn bodies_equal_those_of_a_phone() {
        const RECEIVED: &str = "040b73747265616d747970656481e803840140848484124e5341747472696275746564537472696e67008484084e534f626a656374008592848484084e53537472696e67019484012b04f09fa4a286840269490102928484840c4e5344696374696f6e617279009484016901928496961d5f5f6b494d4d657373616765506172744174747269627574654e616d658692848484084e534e756d626572008484074e5356616c7565009484012a84999900868686";
        const SENT: &str = "040b73747265616d747970656481e803840140848484194e534d757461626c6541747472696275746564537472696e67008484124e5341747472696275746564537472696e67008484084e534f626a6563740085928484840f4e534d757461626c65537472696e67018484084e53537472696e67019584012b0e526564416d6f67757323383731358684026949010e928484840c4e5344696374696f6e617279009584016901928498981d5f5f6b494d4d657373616765506172744174747269627574654e616d658692848484084e534e756d626572008484074e5356616c7565009584012a849b9b00868686";
        for (text, mutable, expected) in [("🤢", false, RECEIVED), ("RedAmogus#8715", true, SENT)]
        {
            let run = Run {
                text: text.to_owned(),
                attributes: vec![("__kIMMessagePartAttributeName", Attr::Number(0))],
            };
            let bytes = attributed_string(&[run], mutable);
            assert_eq!(super::super::super::entry::hex(&bytes), expected);
        }
    }
}
