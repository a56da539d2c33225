//! Backs up the phone that is connected:  cargo run --example back_up -- FOLDER

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use idev_backup::backup::create::{Options, create};
use idev_backup::base::progress::Event;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::store::Store;
use idev_backup::transport::Transport;
use idev_backup::transport::network::Options as Wireless;
use idev_backup::{CancelToken, Monitor};

/// Prints the phases and the problems of the run.
struct Printer;

impl Monitor for Printer {
    fn event(&self, event: Event) {
        match event {
            Event::Phase { phase } => println!("{phase:?}"),
            Event::Waiting { what, .. } => println!("The phone waits for its owner: {what:?}"),
            Event::Problem { problem } => println!("problem: {problem}"),
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: back_up FOLDER")?;
    let folder = PathBuf::from(folder);
    let token = CancelToken::new(Arc::default());
    let transport = Transport::choose(None, Wireless::default(), token.clone())?;
    let connector = Connector::new(transport, folder.join("pairing"), Pin::PairRecord, token);

    let phone = connector.phone(None)?;
    let place = folder.join("backups");
    let store = match Store::open(&place) {
        Ok(store) => store,
        Err(_) => Store::create(&place)?,
    };
    let report = create(&connector, &phone, &store, &Options::default(), &Printer)?;
    println!("{} files are in {}", report.files, report.path);
    Ok(())
}
