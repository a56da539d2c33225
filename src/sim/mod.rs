//! A simulated iPhone behind a usbmuxd-compatible socket.
