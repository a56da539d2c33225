//! Reads messages of protocol buffers without a schema: fields by number, in the order of the
//! bytes. The format is described at protobuf.dev/programming-guides/encoding.
//!
//! A reader asks for each level by itself, so crafted bytes cannot nest deeper than its code, and
//! all values are slices of the same bytes.

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A whole number.
    Number(u64),
    /// A text, bytes or another message.
    Bytes(&'a [u8]),
    /// Four or eight bytes, such as a float.
    Fixed,
}

impl<'a> Value<'a> {
    /// Returns the bytes of a text or message.
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns a number.
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Returns a number that can be negative.
    pub(crate) fn signed(self) -> Option<i64> {
        self.number().map(u64::cast_signed)
    }
}

/// The fields of a message. The iteration ends at the first field that is not whole; `is_whole`
/// then returns false.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    is_whole: bool,
}

impl<'a> Fields<'a> {
    /// Begins to read a message.
    pub(crate) fn of(bytes: &'a [u8]) -> Fields<'a> {
        Fields {
            rest: bytes,
            is_whole: true,
        }
    }

    /// Returns true if all fields up to here were whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Returns the first value of a field.
    pub(crate) fn first(self, number: u64) -> Option<Value<'a>> {
        self.all(number).next()
    }

    /// Returns the first message in a field.
    pub(crate) fn message(self, number: u64) -> Option<Fields<'a>> {
        self.first(number)?.bytes().map(Fields::of)
    }

    /// Returns all values of a field.
    pub(crate) fn all(mut self, number: u64) -> impl Iterator<Item = Value<'a>> {
        std::iter::from_fn(move || self.by_ref().find(|(found, _)| *found == number))
            .map(|(_, value)| value)
    }

    /// Returns all messages in a field.
    pub(crate) fn messages(self, number: u64) -> impl Iterator<Item = Fields<'a>> {
        self.all(number)
            .filter_map(|value| value.bytes().map(Fields::of))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let length = usize::try_from(length).ok()?;
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups are obsolete, and Notes has none.
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || !self.is_whole {
            return None;
        }
        let field = self.field();
        self.is_whole = field.is_some();
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_number() {
        // The examples of the description: field 1 is 150, field 2 is "testing"; then two
        // fields of fixed size and a message.
        let bytes = b"\x08\x96\x01\x12\x07testing\x1d\x00\x00\x80\x3f\x21\x00\x00\x00\x00\x00\x00\x00\x00\x2a\x02\x08\x01\x08\x02";
        let fields = Fields::of(bytes);
        assert_eq!(fields.first(1).and_then(Value::number), Some(150));
        let all: Vec<Value<'_>> = fields.all(1).collect();
        assert_eq!(all, [Value::Number(150), Value::Number(2)]);
        let text = fields.first(2).and_then(Value::bytes);
        assert_eq!(text, Some(&b"testing"[..]));
        assert_eq!(fields.first(3), Some(Value::Fixed));
        assert_eq!(fields.first(4), Some(Value::Fixed));
        let inner = fields.message(5).and_then(|inner| inner.first(1));
        assert_eq!(inner, Some(Value::Number(1)));
        assert!(fields.first(6).is_none() && fields.message(1).is_none());
        let minus = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let minus = Fields::of(minus).first(1).and_then(Value::signed);
        assert_eq!(minus, Some(-1));
    }

    #[test]
    fn cut_fields_end_the_message() {
        for bytes in [
            &b"\x08"[..],
            b"\x08\x96",
            b"\x12\x07test",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x",
            b"\x0b\x01",
            b"\x1d\x00",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            let mut fields = Fields::of(bytes);
            assert!(fields.by_ref().next().is_none(), "{bytes:?}");
            assert!(!fields.is_whole(), "{bytes:?}");
        }
        let mut empty = Fields::of(b"");
        assert!(empty.next().is_none() && empty.is_whole());
    }
}
