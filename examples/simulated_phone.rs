//! Runs a simulated phone that any client of usbmuxd can back up:
//! cargo run --example simulated_phone -- 127.0.0.1:27016

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;

use idev_backup::simulator::{Content, Daemon, Phone, PhoneConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:0");
    let phone = Phone::new(PhoneConfig {
        name: "Example iPhone".to_owned(),
        content: Content {
            small: 500,
            ..Content::default()
        },
        ..PhoneConfig::default()
    });
    let daemon = Daemon::start(address, vec![phone])?;
    println!("USBMUXD_SOCKET_ADDRESS={}", daemon.address());
    println!("Press Ctrl-C to stop.");
    loop {
        std::thread::park();
    }
}
