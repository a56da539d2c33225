//! `idev-backup simulate`: runs a daemon with simulated phones until it is stopped, or attaches one
//! phone to the USB of a virtual machine.

mod cable;
mod parse;
mod phone;
mod wifi;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use idev_backup::base::cancel::CancelToken;
use idev_backup::base::units::counted;
use idev_backup::simulator::{Daemon, Phone};
use idev_backup::trace::At;

use self::phone::PhoneArgs;
use self::wifi::WifiArgs;
use crate::cli::args::trace::TraceArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::render::output;

/// Simulate iPhones behind a usbmuxd-compatible socket
///
/// Example:  idev-backup simulate --listen 127.0.0.1:27015 --fault cut-after:100000 --fault times:1
///
/// Prints one line, `USBMUXD_SOCKET_ADDRESS=...`: set that in the environment of a client, and it
/// finds the phones.
#[derive(Debug, clap::Args)]
pub struct Simulate {
    /// Listen on this address: UNIX:/path or HOST:PORT (port 0: any free port)
    #[arg(long, value_name = "ADDR", default_value_t = default_address())]
    listen: String,
    /// Act as a USB device of a virtual machine instead: connect to this socket of QEMU's
    /// usb-redir, UNIX:/path or HOST:PORT
    ///
    /// Start QEMU with `-device qemu-xhci -chardev socket,id=c0,path=/path,server=on,wait=off
    /// -device usb-redir,chardev=c0`. Lines on stdin change the cable: `unplug`, `plug`,
    /// `unplug-after BYTES` (to the computer), `replug`; `counts` prints the number of bytes and
    /// packets. Mistakes of the computer are printed as `usb: misstep: ...`.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["listen", "phones", "trace"])]
    usbredir: Option<String>,
    /// The highest version of the USB mux that the phone speaks; phones before iOS 7 speak version
    /// 1
    #[arg(long, value_name = "VERSION", default_value_t = 2, requires = "usbredir", value_parser = clap::value_parser!(u32).range(1..=2))]
    mux_version: u32,
    /// The number of phones
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    phones: u32,
    /// Write the truth about the content of the first phone to this file, as JSON
    #[arg(long, value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    truth: Option<PathBuf>,
    #[command(flatten)]
    wifi: WifiArgs,
    #[command(flatten)]
    phone: PhoneArgs,
    #[command(flatten)]
    trace: TraceArgs,
}

impl Simulate {
    /// Serves the phones until a signal ends the process.
    pub fn run(&self) -> io::Result<()> {
        if let Some(address) = &self.usbredir {
            let phone = Phone::new(self.phone.config(0)?);
            return cable::serve(&with_scheme(address), &phone, self.mux_version);
        }
        if self.wifi.is_wanted() && self.phones > 1 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "--wifi serves one phone\n  hint: leave out --phones",
            ));
        }
        let mut phones = Vec::new();
        for number in 0..self.phones {
            phones.push(Phone::new(self.phone.config(number)?));
        }
        if let (Some(file), Some(phone)) = (&self.truth, phones.first()) {
            write_truth(file, phone)?;
        }
        let wifi = self.wifi.join(&phones[0])?;
        let first = phones[0].clone();
        let listen = with_scheme(&self.listen);
        let daemon = Daemon::start(&listen, phones).map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("cannot listen on {listen}: {e}\n  hint: name another UNIX:/path or HOST:PORT with --listen"),
            )
        })?;
        if self.wifi.is_listed() {
            daemon.follow_over_wifi(first.clone());
        }
        let daemon = Arc::new(daemon);
        let recorder = self.trace.begin(At::Phone);
        if let Some(recorder) = recorder.map_err(|e| io::Error::other(e.to_string()))? {
            if let Some(wifi) = &wifi {
                wifi.record(recorder.clone());
            }
            daemon.record(recorder);
        }
        // Before the address is known to anyone: a signal must not leave the socket behind.
        let token = CancelToken::new(interrupt());
        let mut stdout = io::stdout();
        writeln!(stdout, "USBMUXD_SOCKET_ADDRESS={}", daemon.address())?;
        stdout.flush()?;
        if let Some(wifi) = &wifi {
            wifi::print_addresses(wifi)?;
            wifi::follow_commands(wifi, &daemon, first)?;
        }
        if !output::is_quiet() {
            let phones = counted(u64::from(self.phones), "simulated phone");
            output::tell(&format!(
                "Serving {phones} until Ctrl-C. In another terminal, set that variable and run \
                `idev-backup devices`."
            ));
        }
        daemon.serve(&token);
        Ok(())
    }
}

fn write_truth(file: &Path, phone: &Phone) -> io::Result<()> {
    let text = format!("{:#}\n", phone.truth());
    std::fs::write(file, text).map_err(|e| {
        let why = format!(
            "cannot write {}: {e}\n  hint: name another file with --truth",
            file.display()
        );
        io::Error::new(e.kind(), why)
    })
}

fn with_scheme(address: &str) -> String {
    if address.starts_with('/') {
        format!("UNIX:{address}")
    } else {
        address.to_owned()
    }
}

fn default_address() -> String {
    if cfg!(unix) {
        let path = std::env::temp_dir().join("idev-backup-sim.sock");
        format!("UNIX:{}", path.display())
    } else {
        "127.0.0.1:27015".to_owned()
    }
}
