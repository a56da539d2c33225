//! Phones on this computer's own USB, through libusb: listing, configuring and claiming them.
//!
//! Each listing and each phone uses a libusb context of its own: a listing shows the phones of that
//! moment, without udev or events, and only a phone's own pump handles the events of its context.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusb::{Context, Device, DeviceHandle, Direction, TransferType, UsbContext};

use super::bulk::Bulk;
use super::mux::TRANSFER_BYTES;
use crate::transport::error::Trouble;
use crate::transport::usb::pump::{Pipe, Wake};
use crate::transport::usb::{Bus, Found};

/// USB vendor id of Apple.
const APPLE: u16 = 0x05AC;
/// Transfers from the phone that are under way: while one is processed, the others wait for bytes.
/// 8 transfers cover a whole window.
const INCOMING: usize = 8;
/// Most transfers to the phone that are under way.
const OUTGOING: usize = 4;
/// Attempts to open a phone: right after it is plugged in, the kernel and udev configure it at the
/// same time.
const TRIES: usize = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// The USB bus of this computer.
pub(crate) struct Libusb;

impl Libusb {
    /// Returns true if libusb can access this computer's USB.
    pub(crate) fn is_here() -> bool {
        begin().is_ok()
    }
}

impl Bus for Libusb {
    fn phones(&self) -> Result<Vec<Found>, Trouble> {
        let found = phones(&begin()?)?;
        Ok(found
            .iter()
            .map(|device| Found {
                place: place(device),
                serial: serial(device),
            })
            .collect())
    }

    fn open(&self, place_: u32) -> Result<(Box<dyn Pipe>, Wake), Trouble> {
        let mut tries = TRIES;
        loop {
            match open(place_) {
                // The kernel or udev has reconfigured the phone between two of our steps.
                Err(Trouble::Library { .. } | Trouble::Busy { .. }) if tries > 1 => {
                    tries -= 1;
                    std::thread::sleep(BETWEEN_TRIES);
                }
                done => return done,
            }
        }
    }
}

/// Creates a libusb context. This fails if the computer has no bus, and libusb's error does not say
/// so.
fn begin() -> Result<Context, Trouble> {
    Context::new().map_err(|_| Trouble::NoBus)
}

fn is_phone(product: u16) -> bool {
    matches!(product, 0x1290..=0x12AF | 0x1901..=0x1905 | 0x8600)
}

fn phones(context: &Context) -> Result<Vec<Device<Context>>, Trouble> {
    let devices = context.devices().map_err(|e| library("list devices", e))?;
    let is_one = |device: &Device<Context>| {
        let told = device.device_descriptor();
        told.is_ok_and(|d| d.vendor_id() == APPLE && is_phone(d.product_id()))
    };
    Ok(devices.iter().filter(is_one).collect())
}

fn place(device: &Device<Context>) -> u32 {
    u32::from(device.bus_number()) << 8 | u32::from(device.address())
}

/// Returns the path of the phone's device node, or a description where there are no nodes.
fn node(device: &Device<Context>) -> String {
    let (bus, address) = (device.bus_number(), device.address());
    if cfg!(target_os = "linux") {
        format!("/dev/bus/usb/{bus:03}/{address:03}")
    } else {
        format!("the phone on USB bus {bus}, address {address}")
    }
}

/// Returns the phone's serial number. On Linux sysfs shows it to every user; elsewhere we ask the
/// phone.
fn serial(device: &Device<Context>) -> Result<String, Trouble> {
    if let Ok(ports) = device.port_numbers()
        && cfg!(target_os = "linux")
    {
        let ports: Vec<String> = ports.iter().map(u8::to_string).collect();
        let name = format!("{}-{}/serial", device.bus_number(), ports.join("."));
        if let Ok(text) = std::fs::read_to_string(Path::new("/sys/bus/usb/devices").join(name)) {
            return Ok(text.trim().to_owned());
        }
    }
    let told = device.device_descriptor();
    let told = told.map_err(|e| trouble("read the phone's description", e, device))?;
    let index = told.serial_number_string_index().unwrap_or(0);
    let handle = device.open();
    let handle = handle.map_err(|e| trouble("open the phone", e, device))?;
    let text = handle.read_string_descriptor_ascii(index);
    text.map_err(|e| trouble("read the phone's serial number", e, device))
}

/// Interface that speaks the mux protocol, in one of the phone's configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    configuration: u8,
    interface: u8,
    setting: u8,
    from_phone: u8,
    to_phone: u8,
    packet_bytes: usize,
}

fn open(wanted: u32) -> Result<(Box<dyn Pipe>, Wake), Trouble> {
    let context = begin()?;
    let device = phones(&context)?.into_iter().find(|d| place(d) == wanted);
    let device = device.ok_or(Trouble::Unplugged)?;
    let handle = device
        .open()
        .map_err(|e| trouble("open the phone", e, &device))?;
    let active = handle.active_configuration();
    let active = active.map_err(|e| trouble("ask for the phone's configuration", e, &device))?;
    let mux = choose(interfaces(&device)?, active).ok_or(Trouble::NoInterface)?;
    if mux.configuration != active {
        free_interfaces(&device, &handle);
        let set = handle.set_active_configuration(mux.configuration);
        set.map_err(|e| trouble("configure the phone", e, &device))?;
    }
    // Windows and some other systems do not support this and do not need it.
    match handle.set_auto_detach_kernel_driver(true) {
        Ok(()) | Err(rusb::Error::NotSupported) => {}
        Err(e) => {
            return Err(trouble(
                "free the phone from the kernel's driver",
                e,
                &device,
            ));
        }
    }
    let claimed = handle.claim_interface(mux.interface);
    claimed.map_err(|e| trouble("claim the phone's interface", e, &device))?;
    if mux.setting != 0 {
        let set = handle.set_alternate_setting(mux.interface, mux.setting);
        set.map_err(|e| trouble("set up the phone's interface", e, &device))?;
    }
    let waker = context.clone();
    let wake: Wake = Arc::new(move || waker.interrupt_handle_events());
    let bulk = Bulk::start(
        handle,
        mux.from_phone,
        mux.to_phone,
        INCOMING,
        TRANSFER_BYTES,
    );
    let bulk = bulk.map_err(|e| trouble("start to read from the phone", e, &device))?;
    let pipe = UsbPipe {
        bulk,
        packet_bytes: mux.packet_bytes,
    };
    Ok((Box::new(pipe), wake))
}

/// Detaches the kernel's drivers (pictures, tethering), which prevent a change of configuration.
/// Interfaces that other programs have claimed stay claimed.
fn free_interfaces(device: &Device<Context>, handle: &DeviceHandle<Context>) {
    let Ok(active) = device.active_config_descriptor() else {
        return; // it is not configured
    };
    for interface in active.interfaces() {
        let number = interface.number();
        // If one cannot be detached, the next step fails with the reason.
        if handle.kernel_driver_active(number) == Ok(true)
            && handle.detach_kernel_driver(number).is_err()
        {
            return;
        }
    }
}

fn interfaces(device: &Device<Context>) -> Result<Vec<Place>, Trouble> {
    let told = device.device_descriptor();
    let told = told.map_err(|e| trouble("read the phone's description", e, device))?;
    let mut found = Vec::new();
    for index in 0..told.num_configurations() {
        // Skip a configuration that cannot be read.
        let Ok(configuration) = device.config_descriptor(index) else {
            continue;
        };
        for interface in configuration.interfaces() {
            for setting in interface.descriptors() {
                let kind = (
                    setting.class_code(),
                    setting.sub_class_code(),
                    setting.protocol_code(),
                );
                if kind != (0xFF, 0xFE, 0x02) {
                    continue;
                }
                let of = |direction: Direction| {
                    setting.endpoint_descriptors().find(|endpoint| {
                        endpoint.direction() == direction
                            && endpoint.transfer_type() == TransferType::Bulk
                    })
                };
                if let (Some(from), Some(to)) = (of(Direction::In), of(Direction::Out)) {
                    found.push(Place {
                        configuration: configuration.number(),
                        interface: setting.interface_number(),
                        setting: setting.setting_number(),
                        from_phone: from.address(),
                        to_phone: to.address(),
                        packet_bytes: usize::from(to.max_packet_size() & 0x7FF).max(1),
                    });
                }
            }
        }
    }
    Ok(found)
}

/// Chooses the interface of the active configuration, so that nothing changes for other programs;
/// else the one of the highest configuration, as other hosts do.
fn choose(found: Vec<Place>, active: u8) -> Option<Place> {
    let rank = |place: &Place| (place.configuration == active, place.configuration);
    found.into_iter().max_by_key(rank)
}

fn library(doing: &'static str, e: rusb::Error) -> Trouble {
    Trouble::Library {
        doing,
        why: e.to_string(),
    }
}

fn trouble(doing: &'static str, e: rusb::Error, device: &Device<Context>) -> Trouble {
    match e {
        rusb::Error::Access => Trouble::NoRights { node: node(device) },
        rusb::Error::Busy => Trouble::Busy {
            by: holders(&node(device)),
        },
        rusb::Error::NoDevice => Trouble::Unplugged,
        rusb::Error::NotSupported | rusb::Error::NotFound if cfg!(windows) => Trouble::Driver,
        e => library(doing, e),
    }
}

/// Lists the programs that have the phone's node open, and the daemons that are known to hold
/// phones, whose open files we cannot see if they run as another user.
fn holders(node: &str) -> Vec<String> {
    const DAEMONS: [&str; 3] = ["usbmuxd", "netmuxd", "usbfluxd"];
    let mut found = Vec::new();
    if !cfg!(target_os = "linux") {
        return found;
    }
    // Without a readable /proc, the list stays empty.
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    // Only numbers are processes: `self` and `thread-self` would list this program.
    let number = |p: &std::fs::DirEntry| p.file_name().to_str()?.parse::<u32>().ok();
    let others = processes.filter(|p| number(p).is_some_and(|n| n != std::process::id()));
    for process in others {
        let Ok(name) = std::fs::read_to_string(process.path().join("comm")) else {
            continue;
        };
        let files = std::fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let has_it = |file: std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|to| to == Path::new(node))
        };
        if DAEMONS.contains(&name.trim()) || files.into_iter().any(has_it) {
            let number = process.file_name();
            // A program chooses its own name, so remove characters that a terminal would obey.
            let name: String = name.chars().filter(|c| !c.is_control()).collect();
            found.push(format!("{name} (process {})", number.to_string_lossy()));
        }
    }
    found
}

struct UsbPipe {
    bulk: Bulk,
    packet_bytes: usize,
}

/// Error of a transfer, as a [`Trouble`].
struct Failed(Trouble);

impl From<rusb::Error> for Failed {
    fn from(e: rusb::Error) -> Failed {
        Failed(match e {
            rusb::Error::NoDevice => Trouble::Unplugged,
            e => library(
                "move bytes to or from the phone; it was unplugged or reset, or its cable is bad",
                e,
            ),
        })
    }
}

impl Pipe for UsbPipe {
    fn has_room(&self) -> bool {
        self.bulk.outgoing() < OUTGOING
    }

    fn is_flushed(&self) -> bool {
        self.bulk.outgoing() == 0
    }

    fn send(&mut self, packet: Vec<u8>) -> Result<(), Trouble> {
        // The phone recognizes the end of a packet by a transfer that is not full.
        let is_full = packet.len().is_multiple_of(self.packet_bytes);
        self.bulk.send(packet).map_err(|e| Failed::from(e).0)?;
        if is_full {
            self.bulk.send(Vec::new()).map_err(|e| Failed::from(e).0)?;
        }
        Ok(())
    }

    fn wait(
        &mut self,
        patience: Duration,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.bulk
            .wait(patience, &mut |bytes| take(bytes).map_err(Failed))
            .map_err(|failed| failed.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(configuration: u8) -> Place {
        Place {
            configuration,
            interface: 1,
            setting: 0,
            from_phone: 0x85,
            to_phone: 4,
            packet_bytes: 512,
        }
    }

    /// Checks that the active configuration is kept if it can be used. Otherwise the highest one is
    /// chosen.
    #[test]
    fn usable_active_configuration_is_kept() {
        let both = vec![at(3), at(4)];
        assert_eq!(choose(both.clone(), 3), Some(at(3)));
        assert_eq!(choose(both.clone(), 4), Some(at(4)));
        // Configuration 0 is a phone that udev left unconfigured, 1 is the kernel's choice.
        assert_eq!(choose(both.clone(), 0), Some(at(4)));
        assert_eq!(choose(both, 1), Some(at(4)));
        assert_eq!(choose(Vec::new(), 1), None);
    }

    #[test]
    fn only_phone_product_ids_match() {
        assert!(
            [0x1290, 0x12A8, 0x12AF, 0x1901, 0x8600]
                .into_iter()
                .all(is_phone)
        );
        // A keyboard, recovery mode, DFU.
        assert!(![0x024F, 0x1281, 0x1227, 0x12B0].into_iter().any(is_phone));
    }
}
