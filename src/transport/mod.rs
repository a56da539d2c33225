//! How bytes reach a phone: the daemon's socket, and the framing that all of its services share.

pub mod plist_stream;
