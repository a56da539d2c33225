//! Events and counts at the phone's end of the cable.

use std::fmt;

use super::{Misstep, RedirError};

/// Event at the phone's end of the cable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsbEvent {
    /// The phone was plugged in.
    Plugged,
    /// The phone was unplugged.
    Unplugged,
    /// The computer reset the device.
    Reset,
    /// The computer chose this configuration; 0 means none.
    Configured(u8),
    /// Both sides agreed on this version of the mux.
    Agreed(u32),
    /// A connection was opened to this service.
    Backup(String),
    /// The computer violated the protocol.
    Misstep(Misstep),
    /// QEMU closed the connection.
    Over,
    /// QEMU sent bytes that are not valid usbredir.
    Nonsense(RedirError),
}

impl fmt::Display for UsbEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsbEvent::Plugged => f.write_str("plugged in"),
            UsbEvent::Unplugged => f.write_str("unplugged"),
            UsbEvent::Reset => f.write_str("reset by the computer"),
            UsbEvent::Configured(number) => write!(f, "configuration {number}"),
            UsbEvent::Agreed(version) => write!(f, "mux version {version}"),
            UsbEvent::Backup(service) => write!(f, "connection to {service}"),
            UsbEvent::Misstep(misstep) => write!(f, "misstep: {misstep}"),
            UsbEvent::Over => f.write_str("QEMU is gone"),
            UsbEvent::Nonsense(e) => write!(f, "QEMU sent nonsense: {e}"),
        }
    }
}

/// Traffic since the previous count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of transfers to the computer.
    pub transfers_in: u64,
    /// Number of bytes in those transfers.
    pub bytes_in: u64,
    /// Number of transfers from the computer.
    pub transfers_out: u64,
    /// Number of bytes in those transfers.
    pub bytes_out: u64,
    /// Highest number of reads that waited for data from the phone at one time.
    pub reads_waiting_max: usize,
    /// Number of protocol violations by the computer.
    pub missteps: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "in {} transfers {} bytes, out {} transfers {} bytes, reads waiting at most {}, missteps {}",
            self.transfers_in,
            self.bytes_in,
            self.transfers_out,
            self.bytes_out,
            self.reads_waiting_max,
            self.missteps
        )
    }
}
