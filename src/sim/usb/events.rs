//! What the phone's end of the cable tells.

use std::fmt;

use super::{Misstep, RedirError};

/// What happens at the phone's end of the cable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsbEvent {
    /// The phone is plugged in.
    Plugged,
    /// It is not any more.
    Unplugged,
    /// The computer reset the device.
    Reset,
    /// The computer chose this configuration; 0 is none.
    Configured(u8),
    /// Both sides agreed on this version of the mux.
    Agreed(u32),
    /// A connection was opened to this service.
    Opened(String),
    /// The computer did what it must not do.
    Misstep(Misstep),
    /// QEMU went away.
    Over,
    /// QEMU sent what is no usbredir.
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
            UsbEvent::Opened(service) => write!(f, "connection to {service}"),
            UsbEvent::Misstep(misstep) => write!(f, "misstep: {misstep}"),
            UsbEvent::Over => f.write_str("QEMU is gone"),
            UsbEvent::Nonsense(e) => write!(f, "QEMU sent nonsense: {e}"),
        }
    }
}

/// What passed since the last count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transfers to the computer, and their bytes.
    pub transfers_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Transfers from the computer.
    pub transfers_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// So many reads waited at most for the phone to say something.
    pub reads_waiting_max: usize,
    /// What the computer did wrong.
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
