//! `idev-backup simulate --usbredir`: attaches one phone to the USB of a virtual machine.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;

use idev_backup::simulator::{Cable, Phone, UsbEvent};

use super::parse;

/// Attaches one phone to the USB of a virtual machine, until that ends.
pub fn serve(address: &str, phone: &Arc<Phone>, mux_version: u32) -> io::Result<()> {
    let (cable, events) = Cable::plug(address, phone, mux_version).map_err(|e| {
        io::Error::new(
            e.kind(),
            format!("cannot connect to QEMU's usb-redir at {address}: {e}\n  hint: start QEMU first, with the socket of its -chardev at this address"),
        )
    })?;
    thread::Builder::new().name("cable".into()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if let Err(e) = handle(&cable, &line) {
                crate::cli::render::output::tell(&format!("usb: {line:?}: {e}"));
            }
        }
        // Standard input has ended: no more commands can arrive, and the cable stays as it is.
        loop {
            thread::park();
        }
    })?;
    for event in events {
        say(&event.to_string())?;
        match event {
            UsbEvent::Over => break,
            UsbEvent::Nonsense(e) => {
                let why = format!(
                    "QEMU at {address} does not speak usbredir: {e}\n  hint: the socket must be that of `-device usb-redir`"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Prints a line about the cable.
fn say(what: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "usb: {what}")?;
    stdout.flush()
}

/// Executes a command line from standard input.
fn handle(cable: &Cable, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [] => {}
        ["plug"] => cable.plug_again(),
        ["unplug"] => cable.unplug(),
        ["replug"] => {
            cable.unplug();
            cable.plug_again();
        }
        ["unplug-after", bytes] => cable.unplug_after(parse::size(bytes)?),
        ["counts"] => say(&cable.counts().to_string()).map_err(|e| e.to_string())?,
        _ => return Err("one of plug, unplug, unplug-after BYTES, replug, counts".to_owned()),
    }
    Ok(())
}
