//! Transport of bytes to a phone, through a daemon's socket or over USB, and the framing that all
//! of the phone's services share.

pub mod error;
mod lifeline;
pub mod network;
pub mod plist_stream;
pub mod select;
pub mod socket;
mod stream;
mod tick;
pub mod udev_rule;
pub mod usb;
pub mod usbmuxd;

pub use error::{Error, Trouble};
pub use lifeline::Dropped;
pub(crate) use lifeline::Lifeline;
pub use network::Network;
pub use select::Transport;
pub use socket::Wire;
pub(crate) use stream::read_u32;
pub use stream::{AnyStream, Stream, send};
pub use usb::Usb;
pub use usbmuxd::{Attached, Usbmuxd, Via};
