//! Lists the files of a backup, made by any program:  cargo run --example read_backup -- FOLDER

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;

use idev_backup::reader::Backup;
use idev_backup::{Known, NoPasswords, Passwords, Secret};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("usage: read_backup FOLDER, with the password in PASSWORD")?;
    let known = std::env::var("PASSWORD").map(|text| Known(Secret::new(text.into_bytes())));
    let passwords: &dyn Passwords = match &known {
        Ok(known) => known,
        Err(_) => &NoPasswords,
    };
    let backup = Backup::open(folder.as_ref(), passwords)?;
    for entry in backup.entries() {
        let entry = entry?;
        println!("{:>12}  {}", entry.size().unwrap_or(0), entry.name());
    }
    let unread = backup.unread();
    if unread.count > 0 {
        eprintln!("{} rows of the list cannot be read", unread.count);
    }
    Ok(())
}
