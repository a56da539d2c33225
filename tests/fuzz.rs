//! Runs the fuzz targets with any compiler, on the stored inputs (`tests/fuzz/inputs/TARGET/`): as
//! they are, cut at up to 64 places, and changed at random. `IDEV_BACKUP_FUZZ_SECONDS` is the time
//! for random changes of each target, default 1; `IDEV_BACKUP_FUZZ_SEED` is their seed, default 0.
//! An input that makes a target fail is kept below `target/tmp/`; add it to the target's folder.

#[path = "fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

/// Numbers at the limits of integer types, where lengths and signs go wrong.
const ODD: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];
/// The maximum length of a changed input.
const BYTES_MAX: usize = 64 << 10;

fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/inputs")
        .join(target);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        body(&bytes);
        // Also cut the input.
        for cut in (0..bytes.len()).step_by(bytes.len().div_ceil(64).max(1)) {
            body(&bytes[..cut]);
        }
        inputs.push(bytes);
    }
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    change(target, body, &inputs);
    bodies::tidy_up(target);
}

/// Runs changed inputs until the time is up.
fn change(target: &str, body: fn(&[u8]), inputs: &[Vec<u8>]) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seconds = number("IDEV_BACKUP_FUZZ_SECONDS").unwrap_or(1);
    let seed = number("IDEV_BACKUP_FUZZ_SEED").unwrap_or(0);
    let mut random = Random(seed);
    let (start, mut tried) = (Instant::now(), 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut bytes = random.one_of(inputs).clone();
        for _ in 0..=random.below(4) {
            alter(&mut bytes, inputs, &mut random);
        }
        bytes.truncate(BYTES_MAX);
        if let Err(broken) = panic::catch_unwind(AssertUnwindSafe(|| body(&bytes))) {
            let kept =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-{seed}-{tried}"));
            fs::write(&kept, &bytes).unwrap();
            eprintln!(
                "{target}: found with seed {seed}, kept as {}",
                kept.display()
            );
            panic::resume_unwind(broken);
        }
        tried += 1;
    }
    eprintln!("{target}: {tried} inputs in {seconds} s with seed {seed}");
}

/// Changes a byte or a number, removes or doubles a range, inserts random bytes, or replaces
/// everything from a position on by the end of another input.
fn alter(bytes: &mut Vec<u8>, inputs: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + 1 + random.below(32)).min(bytes.len());
    match random.below(8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.next() as u8,
        2 => {
            let odd = *random.one_of(&ODD);
            let width = 1 << random.below(4);
            let mut number = odd.to_le_bytes()[..width].to_vec();
            if random.below(2) == 0 {
                number.reverse();
            }
            let end = (at + width).min(bytes.len());
            bytes.splice(at..end, number);
        }
        3 => drop(bytes.drain(at..end)),
        4 => {
            let range = bytes[at..end].to_vec();
            bytes.splice(at..at, range);
        }
        5 => {
            let made_up: Vec<u8> = (0..=random.below(16))
                .map(|_| random.next() as u8)
                .collect();
            bytes.splice(at..at, made_up);
        }
        6 => {
            let other = random.one_of(inputs);
            let from = random.below(other.len() + 1);
            bytes.splice(at.., other[from..].iter().copied());
        }
        _ => bytes.truncate(at),
    }
}

/// The generator splitmix64, which gives the same numbers for the same seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

// Each test has the name of its target, which is also the name of its body and of its folder.
macro_rules! targets {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name), bodies::$name);
        }
    )*};
}

targets!(plist session usbmux mux afc pair_record record metadata mbdb keybag backup lists path trace framing typedstream message note wal);
