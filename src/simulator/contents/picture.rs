//! Makes small pictures that browsers show: PNG without compression (RFC 2083, RFC 1951).

/// Returns a square picture with a gradient of colors that the seed decides.
pub(super) fn png(side: u16, seed: u64) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..side {
        pixels.push(0); // The filter of the row: none.
        for x in 0..side {
            let shade = |offset: u64, along: u16| {
                let base = (seed >> offset) as u8;
                base.wrapping_add((u32::from(along) * 128 / u32::from(side)) as u8)
            };
            pixels.extend([shade(0, x), shade(8, y), shade(16, side - x)]);
        }
    }
    let mut header = Vec::new();
    header.extend(u32::from(side).to_be_bytes());
    header.extend(u32::from(side).to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // 8 bits for each of three colors.
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [
        (b"IHDR", header),
        (b"IDAT", stored(&pixels)),
        (b"IEND", Vec::new()),
    ] {
        png.extend((data.len() as u32).to_be_bytes());
        let start = png.len();
        png.extend(name);
        png.extend(data);
        let sum = crc32(&png[start..]);
        png.extend(sum.to_be_bytes());
    }
    png
}

/// Returns the bytes as a zlib stream of stored blocks.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_equal_published_ones() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        // The Adler-32 of "Wikipedia" in its own article.
        assert!(stored(b"Wikipedia").ends_with(&0x11e6_0398u32.to_be_bytes()));
    }
}
