//! The udev rule that lets users open phones on Linux, where by default only root may open USB
//! devices.

/// Path of the rule's file. The name sorts before 73-seat-late.rules, which acts on `uaccess`, and
/// after 39-usbmuxd.rules.
pub const FILE: &str = "/etc/udev/rules.d/70-idev-backup.rules";

/// The rule itself, one line.
pub const RULE: &str = "SUBSYSTEM==\"usb\", ENV{DEVTYPE}==\"usb_device\", \
    ATTR{idVendor}==\"05ac\", ATTR{idProduct}==\"12[9a]?|190[1-5]|8600\", MODE=\"0660\", \
    GROUP=\"plugdev\", TAG+=\"uaccess\"";
