//! Follows the objects of a binary property list.

use super::reasons::CUT;

/// A binary property list: objects, a table of their offsets, and a trailer.
pub(super) struct Binary<'a> {
    /// All bytes before the table.
    objects: &'a [u8],
    offsets: &'a [u8],
    offset_bytes: usize,
    reference_bytes: usize,
    count: usize,
    top: usize,
}

/// References to those members of an open container that have not been followed yet.
struct Members {
    object: usize,
    at: usize,
    left: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Never,
    Open,
    Done,
}

impl<'a> Binary<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Binary<'a>, &'static str> {
        const TRAILER_BYTES: usize = 32;
        const BAD: &str = "its trailer is invalid, as in a truncated file";
        let (body, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>().ok_or(CUT)?;
        let number = |at: usize| usize::try_from(number(&trailer[at..at + 8])).map_err(|_| BAD);
        let (count, top, table) = (number(8)?, number(16)?, number(24)?);
        let [offset_bytes, reference_bytes] = [trailer[6], trailer[7]].map(usize::from);
        let sizes = 1..=8;
        if !sizes.contains(&offset_bytes) || !sizes.contains(&reference_bytes) || top >= count {
            return Err(BAD);
        }
        let (objects, rest) = body.split_at_checked(table).ok_or(BAD)?;
        let length = count.checked_mul(offset_bytes).ok_or(BAD)?;
        Ok(Binary {
            objects,
            offsets: rest.get(..length).ok_or(BAD)?,
            offset_bytes,
            reference_bytes,
            count,
            top,
        })
    }

    /// Follows every object of the list.
    pub(super) fn walk(&self) -> Result<(), &'static str> {
        let mut met = vec![Met::Never; self.count];
        let mut open: Vec<Members> = Vec::new();
        let mut next = Some(self.top);
        loop {
            if let Some(object) = next.take() {
                match met
                    .get_mut(object)
                    .ok_or("it refers to an object that does not exist")?
                {
                    Met::Done => {}
                    Met::Open => return Err("an object contains itself"),
                    state => {
                        let members = self.members(object)?;
                        *state = if members.is_some() {
                            Met::Open
                        } else {
                            Met::Done
                        };
                        open.extend(members);
                    }
                }
            }
            let Some(members) = open.last_mut() else {
                return Ok(());
            };
            if members.left == 0 {
                met[members.object] = Met::Done;
                open.pop();
                continue;
            }
            let reference = &self.objects[members.at..members.at + self.reference_bytes];
            members.at += self.reference_bytes;
            members.left -= 1;
            next = Some(usize::try_from(number(reference)).unwrap_or(usize::MAX));
        }
    }

    /// Checks that an object is inside the file, and returns the references of a container.
    fn members(&self, object: usize) -> Result<Option<Members>, &'static str> {
        let offset = object * self.offset_bytes;
        let offset = number(&self.offsets[offset..offset + self.offset_bytes]);
        let at = usize::try_from(offset).map_err(|_| CUT)?;
        let marker = *self.objects.get(at).ok_or(CUT)?;
        let low = usize::from(marker & 0x0f);
        let inside = |at: usize, bytes: Option<usize>| {
            let end = bytes.and_then(|bytes| at.checked_add(bytes));
            self.objects.get(at..end.ok_or(CUT)?).ok_or(CUT)
        };
        match marker >> 4 {
            0x0 if matches!(low, 0 | 8 | 9) => {}
            0x1 if low <= 4 => drop(inside(at + 1, Some(1 << low))?),
            0x2 if matches!(low, 2 | 3) => drop(inside(at + 1, Some(1 << low))?),
            // Any number is a valid date, even one that no calendar has.
            0x3 if low == 3 => drop(inside(at + 1, Some(8))?),
            0x8 => drop(inside(at + 1, Some(low + 1))?),
            kind @ (0x4..=0x6 | 0xa | 0xc | 0xd) => {
                let (count, at) = self.counted(at, low)?;
                let each = match kind {
                    0x4 | 0x5 => 1,
                    0x6 => 2,
                    0xd => 2 * self.reference_bytes,
                    _ => self.reference_bytes,
                };
                let found = inside(at, count.checked_mul(each))?;
                if kind == 0x5 && std::str::from_utf8(found).is_err() {
                    return Err("a text in it has invalid bytes");
                }
                let left = if kind == 0xd { count * 2 } else { count };
                return Ok((kind >= 0xa).then_some(Members { object, at, left }));
            }
            _ => return Err("it has an object of an unknown kind"),
        }
        Ok(None)
    }

    /// Returns the number of elements of an object, and the position of the first.
    fn counted(&self, at: usize, low: usize) -> Result<(usize, usize), &'static str> {
        if low < 0x0f {
            return Ok((low, at + 1));
        }
        let marker = *self.objects.get(at + 1).ok_or(CUT)?;
        if marker >> 4 != 1 || marker & 0x0f > 3 {
            return Err("the length of an object in it is not a number");
        }
        let bytes = 1 << (marker & 0x0f);
        let count = self.objects.get(at + 2..at + 2 + bytes).ok_or(CUT)?;
        let count = usize::try_from(number(count)).map_err(|_| CUT)?;
        Ok((count, at + 2 + bytes))
    }
}

/// Reads a big-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
