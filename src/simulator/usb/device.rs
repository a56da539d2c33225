//! The phone as a USB device: its descriptors, its configuration, and endpoint 0.
//!
//! The data follows public sources (`lsusb -v` of real phones, and the rules of usbmuxd): four
//! configurations, the first two without the mux. A phone starts in one of those until the
//! computer chooses another.

use super::redir::{Control, Endpoint, Interface};
use crate::simulator::usb::redir;

pub(super) const VENDOR: u16 = 0x05ac;
pub(super) const PRODUCT: u16 = 0x12a8;
/// Device release number; newer phones have higher ones.
pub(super) const VERSION: u16 = 0x0e01;
/// Packet size in bytes of USB 2 at high speed. All packets of a bulk transfer but the last have
/// it.
pub(super) const PACKET_BYTES: usize = 512;
/// Endpoint numbers of the mux.
pub(super) const MUX_OUT: u8 = 0x04;
pub(super) const MUX_IN: u8 = 0x85;

const CONTROL: u8 = 0;
const BULK: u8 = 2;
const INTERRUPT: u8 = 3;
const HIGH_SPEED_INTERVAL: u8 = 10;

/// An interface in one of its alternate settings.
#[derive(Debug)]
struct Setting {
    interface: u8,
    alternate: u8,
    /// Class, subclass, protocol.
    class: [u8; 3],
    /// Address and type of each endpoint.
    ends: &'static [(u8, u8)],
    /// Index of the string with the interface's name.
    name: u8,
}

const PTP: Setting = Setting {
    interface: 0,
    alternate: 0,
    class: [6, 1, 1],
    ends: &[(0x02, BULK), (0x81, BULK), (0x83, INTERRUPT)],
    name: 5,
};
const HID: Setting = Setting {
    interface: 0,
    alternate: 0,
    class: [3, 0, 0],
    ends: &[(0x81, INTERRUPT)],
    name: 6,
};
const MUX: Setting = Setting {
    interface: 1,
    alternate: 0,
    class: [255, 254, 2],
    ends: &[(MUX_OUT, BULK), (MUX_IN, BULK)],
    name: 7,
};
const ETHERNET_OFF: Setting = Setting {
    interface: 2,
    alternate: 0,
    class: [255, 253, 1],
    ends: &[],
    name: 8,
};
const ETHERNET: Setting = Setting {
    interface: 2,
    alternate: 1,
    class: [255, 253, 1],
    ends: &[(0x86, BULK), (0x05, BULK)],
    name: 8,
};

/// Configurations 1 to 4, each with the index of its name string.
static CONFIGURATIONS: [(&[Setting], u8); 4] = [
    (&[PTP], 5),
    (&[HID], 6),
    (&[PTP, MUX], 9),
    (&[PTP, MUX, ETHERNET_OFF, ETHERNET], 10),
];
/// Strings from index 4 on; 1 to 3 are the manufacturer, the product and the serial number.
const STRINGS: [&str; 7] = [
    "",
    "PTP",
    "iPod USB Interface",
    "Apple USB Multiplexor",
    "Apple USB Ethernet",
    "PTP + Apple Mobile Device",
    "PTP + Apple Mobile Device + Apple USB Ethernet",
];

/// Answer of the phone to a control transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u8,
    pub(super) data: Vec<u8>,
}

impl Answer {
    fn of(status: u8) -> Answer {
        let data = Vec::new();
        Answer { status, data }
    }
}

/// State of the device that the computer can change.
#[derive(Debug)]
pub(super) struct Device {
    serial: String,
    configuration: u8,
    /// Alternate setting of each interface.
    alternates: [u8; 3],
}

impl Device {
    /// Creates a device in its state after a reset.
    pub(super) fn new(serial: String) -> Device {
        Device {
            serial,
            configuration: 0,
            alternates: [0; 3],
        }
    }

    pub(super) fn configuration(&self) -> u8 {
        self.configuration
    }

    /// Selects a configuration, 0 for none. Returns false if it does not exist.
    pub(super) fn configure(&mut self, number: u8) -> bool {
        let known = usize::from(number) <= CONFIGURATIONS.len();
        if known {
            self.configuration = number;
            self.alternates = [0; 3];
        }
        known
    }

    /// Returns true if the active configuration has the mux's endpoints.
    pub(super) fn has_mux(&self) -> bool {
        self.settings().any(|s| s.class == MUX.class)
    }

    pub(super) fn alternate(&self, interface: u8) -> Option<u8> {
        self.settings().find(|s| s.interface == interface)?;
        self.alternates.get(usize::from(interface)).copied()
    }

    /// Selects an alternate setting. Returns false if it does not exist.
    pub(super) fn set_alternate(&mut self, interface: u8, alternate: u8) -> bool {
        let mut all = self.all_settings().iter();
        let known = all.any(|s| (s.interface, s.alternate) == (interface, alternate));
        if known {
            self.alternates[usize::from(interface)] = alternate;
        }
        known
    }

    fn all_settings(&self) -> &'static [Setting] {
        let at = usize::from(self.configuration).checked_sub(1);
        at.map_or(&[], |at| CONFIGURATIONS[at].0)
    }

    /// Returns the active settings.
    fn settings(&self) -> impl Iterator<Item = &'static Setting> + use<'_> {
        let all = self.all_settings().iter();
        all.filter(|s| self.alternates[usize::from(s.interface)] == s.alternate)
    }

    /// Returns the active interfaces, for usbredir.
    pub(super) fn interfaces(&self) -> Vec<Interface> {
        let active = self.settings();
        active
            .map(|s| [s.interface, s.class[0], s.class[1], s.class[2]])
            .collect()
    }

    /// Returns the active endpoints, for usbredir, including endpoint 0 in both directions.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let zero = |address| Endpoint {
            address,
            kind: CONTROL,
            interval: 0,
            interface: 0,
            packet_bytes_max: 64,
        };
        let mut all = vec![zero(0), zero(0x80)];
        for setting in self.settings() {
            all.extend(setting.ends.iter().map(|(address, kind)| Endpoint {
                address: *address,
                kind: *kind,
                interval: interval(*kind),
                interface: setting.interface,
                packet_bytes_max: packet_bytes(*kind),
            }));
        }
        all
    }

    /// Answers a transfer on endpoint 0 that usbredir leaves to the device.
    pub(super) fn control(&self, asked: &Control) -> Answer {
        match (asked.request_type, asked.request) {
            (0x80, 6) => {
                let [index, kind] = asked.value.to_le_bytes();
                let Some(mut data) = self.descriptor(kind, index) else {
                    return Answer::of(redir::STALL);
                };
                data.truncate(usize::from(asked.length));
                let status = redir::OK;
                Answer { status, data }
            }
            // GET_STATUS: self-powered, nothing halted.
            (0x80, 0) => status_word(1),
            (0x81 | 0x82, 0) => status_word(0),
            // CLEAR_FEATURE and SET_FEATURE of device, interface and endpoint.
            (0..=2, 1 | 3) => Answer::of(redir::OK),
            _ => Answer::of(redir::STALL),
        }
    }

    fn descriptor(&self, kind: u8, index: u8) -> Option<Vec<u8>> {
        match kind {
            1 => {
                let mut all = vec![18, 1, 0x00, 0x02, 0, 0, 0, 64];
                for number in [VENDOR, PRODUCT, VERSION] {
                    all.extend(number.to_le_bytes());
                }
                all.extend([1, 2, 3, CONFIGURATIONS.len() as u8]);
                Some(all)
            }
            2 => configuration(index),
            3 => self.string(index),
            // Device qualifier: the properties at full speed.
            6 => Some(vec![10, 6, 0, 2, 0, 0, 0, 64, 1, 0]),
            _ => None,
        }
    }

    fn string(&self, index: u8) -> Option<Vec<u8>> {
        let text = match index {
            0 => return Some(vec![4, 3, 0x09, 0x04]),
            1 => "Apple Inc.",
            2 => "iPhone",
            3 => &self.serial,
            other => STRINGS.get(usize::from(other) - 4)?,
        };
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u8::try_from(units.len() + 2).ok()?;
        Some([&[length, 3], &units[..]].concat())
    }
}

fn status_word(low: u8) -> Answer {
    let status = redir::OK;
    let data = vec![low, 0];
    Answer { status, data }
}

fn packet_bytes(kind: u8) -> u16 {
    match kind {
        BULK => PACKET_BYTES as u16,
        _ => 64,
    }
}

fn interval(kind: u8) -> u8 {
    match kind {
        INTERRUPT => HIGH_SPEED_INTERVAL,
        _ => 0,
    }
}

/// Returns a configuration descriptor and all descriptors that follow it.
fn configuration(index: u8) -> Option<Vec<u8>> {
    let (settings, name) = CONFIGURATIONS.get(usize::from(index))?;
    let mut rest = Vec::new();
    for setting in *settings {
        let [class, subclass, protocol] = setting.class;
        let ends = setting.ends.len() as u8;
        let (number, alternate) = (setting.interface, setting.alternate);
        rest.extend([9, 4, number, alternate, ends, class, subclass, protocol]);
        rest.push(setting.name);
        if class == HID.class[0] {
            // HID 1.11 with one report descriptor of 96 bytes.
            rest.extend([9, 0x21, 0x11, 1, 0, 1, 0x22, 96, 0]);
        }
        for (address, kind) in setting.ends {
            rest.extend([7, 5, *address, *kind]);
            rest.extend(packet_bytes(*kind).to_le_bytes());
            rest.push(interval(*kind));
        }
    }
    let last = settings.last().map_or(0, |s| s.interface);
    let mut all = vec![9, 2];
    all.extend((9 + rest.len() as u16).to_le_bytes());
    // Self-powered, 500 mA.
    all.extend([last + 1, index + 1, *name, 0xc0, 250]);
    all.extend(rest);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device::new("00008130001A2B3C4D5E6F70".into())
    }

    fn ask(kind: u8, index: u8, length: u16) -> Control {
        Control {
            request: 6,
            request_type: 0x80,
            value: u16::from_le_bytes([index, kind]),
            length,
            ..Control::default()
        }
    }

    /// Checks that a descriptor is as long as its own length field says and no longer than the host
    /// requested.
    #[test]
    fn descriptors_have_the_right_length() {
        let device = device();
        for index in 0..4 {
            let whole = device.control(&ask(2, index, 4096)).data;
            let says = u16::from_le_bytes([whole[2], whole[3]]);
            assert_eq!(usize::from(says), whole.len());
            assert_eq!(whole[5], index + 1);
            let mut parts = &whole[..];
            while let [length, ..] = parts {
                parts = &parts[usize::from(*length)..];
            }
        }
        assert_eq!(device.control(&ask(1, 0, 8)).data.len(), 8);
        assert_eq!(device.control(&ask(1, 0, 64)).data.len(), 18);
        for (kind, index) in [(2, 4), (3, 200), (15, 0)] {
            let answer = device.control(&ask(kind, index, 64));
            assert_eq!(answer, Answer::of(redir::STALL), "{kind} {index}");
        }
    }

    #[test]
    fn last_two_configurations_have_mux() {
        let mut device = device();
        for (number, mux) in [(0, false), (1, false), (2, false), (3, true), (4, true)] {
            assert!(device.configure(number));
            assert_eq!(device.has_mux(), mux, "{number}");
            let ends = device.endpoints();
            assert_eq!(ends.iter().any(|e| e.address == MUX_IN), mux);
        }
        assert!(!device.configure(5));
        assert_eq!(device.configuration(), 4);
        assert!(device.set_alternate(2, 1) && !device.set_alternate(1, 1));
        assert!(device.endpoints().iter().any(|e| e.address == 0x86));
    }
}
