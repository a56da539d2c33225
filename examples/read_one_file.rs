//! Writes one file of a backup to stdout, decrypted if need be:
//! cargo run --example read_one_file -- FOLDER HomeDomain Library/SMS/sms.db > sms.db

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;
use std::io;

use idev_backup::reader::{Backup, cat};
use idev_backup::{Known, NoPasswords, Passwords, Secret};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, domain, path] = words.as_slice() else {
        return Err(
            "usage: read_one_file FOLDER DOMAIN PATH, with the password in PASSWORD".into(),
        );
    };
    let known = std::env::var("PASSWORD").map(|text| Known(Secret::new(text.into_bytes())));
    let passwords: &dyn Passwords = match &known {
        Ok(known) => known,
        Err(_) => &NoPasswords,
    };
    let backup = Backup::open(folder.as_ref(), passwords)?;
    let mut file = cat::open(&backup, domain, path)?;
    io::copy(&mut file, &mut io::stdout().lock())?;
    // An encrypted file that was altered shows that only at its end.
    file.check()?;
    Ok(())
}
