//! The kinds of files that a browser may show as what they are: pictures, videos and sounds, which
//! cannot run scripts. The first bytes decide, not the name: anybody may have named the file.

/// Number of first bytes that decide.
pub(super) const HEAD_BYTES: usize = 32;

/// The kind of a file that may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// A picture.
    Image(&'static str),
    /// A video.
    Video(&'static str),
    /// A sound.
    Audio(&'static str),
}

impl Media {
    /// Returns the MIME type.
    pub(super) fn mime_type(self) -> &'static str {
        let (Media::Image(name) | Media::Video(name) | Media::Audio(name)) = self;
        name
    }

    /// Recognizes a file by its first bytes. SVG, HTML, PDF and anything unknown is `None`.
    pub(super) fn of(head: &[u8]) -> Option<Media> {
        let brand = head.get(8..12);
        Some(match head {
            [0xff, 0xd8, 0xff, ..] => Media::Image("image/jpeg"),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Media::Image("image/png"),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Media::Image("image/gif"),
            [b'R', b'I', b'F', b'F', ..] if brand == Some(b"WEBP") => Media::Image("image/webp"),
            [b'R', b'I', b'F', b'F', ..] if brand == Some(b"WAVE") => Media::Audio("audio/wav"),
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Media::Image("image/tiff"),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => match brand? {
                b"heic" | b"heix" | b"mif1" | b"msf1" | b"hevc" => Media::Image("image/heic"),
                b"avif" => Media::Image("image/avif"),
                b"qt  " => Media::Video("video/quicktime"),
                b"M4A " | b"M4B " => Media::Audio("audio/mp4"),
                _ => Media::Video("video/mp4"),
            },
            [b'c', b'a', b'f', b'f', 0, 1, ..] => Media::Audio("audio/x-caf"),
            [b'#', b'!', b'A', b'M', b'R', ..] => Media::Audio("audio/amr"),
            [b'I', b'D', b'3', ..] | [0xff, 0xfb | 0xf3 | 0xf2, ..] => Media::Audio("audio/mpeg"),
            _ => return None,
        })
    }
}

/// Returns the beginning of a text, or `None` for bytes that are no text in UTF-8. A character that
/// is cut at the end does not matter.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&bytes[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let is_plain =
        |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}');
    text.chars().all(is_plain).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_files_are_shown() {
        for (head, shown) in [
            (b"\xff\xd8\xff\xe0aaaaaaaa".as_slice(), Some("image/jpeg")),
            (b"\x89PNG\r\n\x1a\n", Some("image/png")),
            (b"\0\0\0\x20ftypheic", Some("image/heic")),
            (b"\0\0\0\x20ftypqt  ", Some("video/quicktime")),
            (b"\0\0\0\x20ftypisom", Some("video/mp4")),
            (b"\0\0\0\x20ftyp", None),
            (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
            (b"<!doctype html>", None),
            (b"%PDF-1.7", None),
            (b"", None),
        ] {
            let media = Media::of(head);
            assert_eq!(media.map(Media::mime_type), shown, "{head:?}");
        }
    }

    #[test]
    fn texts_are_recognized() {
        assert_eq!(text("ü\n".as_bytes()), Some("ü\n"));
        assert_eq!(text(&"aü".as_bytes()[..2]), Some("a"));
        assert_eq!((text(b"a\0b"), text(b"\xff\xfea")), (None, None));
    }
}
