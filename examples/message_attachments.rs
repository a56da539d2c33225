//! Lists the attachments of messages in a backup, with their sizes:
//! cargo run --example message_attachments -- FOLDER

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;

use idev_backup::backup_format::manifest_db::{Filter, Kind};
use idev_backup::reader::Backup;
use idev_backup::{Known, NoPasswords, Passwords, Secret};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("usage: message_attachments FOLDER, with the password in PASSWORD")?;
    let known = std::env::var("PASSWORD").map(|text| Known(Secret::new(text.into_bytes())));
    let passwords: &dyn Passwords = match &known {
        Ok(known) => known,
        Err(_) => &NoPasswords,
    };
    let backup = Backup::open(folder.as_ref(), passwords)?;
    let attachments = Filter {
        domain: Some("MediaDomain"),
        below: Some("Library/SMS/Attachments"),
        kind: Some(Kind::File),
        sorted: true,
        ..Filter::default()
    };
    let (mut files, mut bytes) = (0_u64, 0_u64);
    backup.each(&attachments, |entry| {
        let size = entry.size().unwrap_or(0);
        println!("{size:>12}  {}", entry.relative_path);
        files += 1;
        bytes += size;
        true
    })?;
    println!("{files} attachments, {bytes} bytes");
    Ok(())
}
