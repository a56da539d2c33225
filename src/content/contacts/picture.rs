//! The pictures of people.

use crate::content::database::Database;
use crate::content::{Error, value};

/// Bytes before a picture in which its beginning is searched: some phones put a mark before it.
const MARK_BYTES_MAX: usize = 16;

/// A picture that browsers can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The MIME type.
    pub mime_type: &'static str,
    /// The extension of a file name.
    pub extension: &'static str,
    /// The contents.
    pub bytes: Vec<u8>,
}

/// Reads the largest picture of any of the cards.
pub(super) fn of(db: &Database, cards: &[i64]) -> Result<Option<Picture>, Error> {
    let failed = |e| db.failed(e);
    let mut largest: Option<Picture> = None;
    for name in ["ABFullSizeImage", "ABThumbnailImage"] {
        let table = db.table(name)?;
        if !table.has("record_id") || !table.has("data") {
            continue;
        }
        let sql = format!("{} WHERE t.record_id = ?1", table.select(&["data"]));
        let mut statement = db.connection().prepare(&sql).map_err(failed)?;
        for card in cards {
            let mut rows = statement.query([card]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let found = value::bytes(row, 0).and_then(recognised);
                let known = largest.as_ref().map_or(0, |picture| picture.bytes.len());
                if let Some(picture) = found.filter(|picture| picture.bytes.len() > known) {
                    largest = Some(picture);
                }
            }
        }
        if largest.is_some() {
            break;
        }
    }
    Ok(largest)
}

/// Recognises a picture by its first bytes.
fn recognised(bytes: &[u8]) -> Option<Picture> {
    const KNOWN: [(&[u8], &str, &str); 3] = [
        (b"\xff\xd8\xff", "image/jpeg", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
        (b"GIF8", "image/gif", "gif"),
    ];
    (0..MARK_BYTES_MAX.min(bytes.len())).find_map(|at| {
        let rest = &bytes[at..];
        let (_, mime_type, extension) = KNOWN.iter().find(|(head, ..)| rest.starts_with(head))?;
        Some(Picture {
            mime_type,
            extension,
            bytes: rest.to_vec(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_recognised_behind_a_mark() {
        let png = b"\x89PNG\r\n\x1a\nrest";
        assert_eq!(recognised(png).map(|p| p.extension), Some("png"));
        let marked = [b"\x01", &png[..]].concat();
        assert_eq!(recognised(&marked).map(|p| p.bytes), Some(png.to_vec()));
        assert_eq!(recognised(b"pixels"), None);
        assert_eq!(recognised(b""), None);
    }
}
