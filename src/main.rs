//! `idev-backup`: parse, run, exit code.

fn main() {}
