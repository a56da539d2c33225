//! The inputs that fuzzing keeps (`tests/fuzz/inputs/TARGET/`), run by any compiler: what was once found stays found.

#![allow(clippy::unwrap_used)] // Tests stop at what is unexpected.

#[path = "fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

fn run(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/inputs")
        .join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        body(&bytes);
        // And cut anywhere.
        for cut in (0..bytes.len()).step_by(bytes.len().div_ceil(64).max(1)) {
            body(&bytes[..cut]);
        }
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

macro_rules! targets {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name), bodies::$name);
        }
    )*};
}

targets!(plist session usbmux afc pair_record record metadata lists path);
