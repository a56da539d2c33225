//! Reads from the files of Linux which phones are on USB and which programs are running. On other
//! systems nothing is read, and the report says so.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::base::udid::Udid;

/// The folders in which the system keeps these files.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder with one subfolder per USB device.
    pub usb: PathBuf,
    /// The nodes through which programs talk to USB devices.
    pub nodes: PathBuf,
    /// The folder with one subfolder per process.
    pub processes: PathBuf,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            usb: "/sys/bus/usb/devices".into(),
            nodes: "/dev/bus/usb".into(),
            processes: "/proc".into(),
        }
    }
}

/// A phone's mode, derived from its USB product number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Running iOS, so that a backup can be made.
    Normal,
    /// Showing the recovery screen: no backup can be made.
    Recovery,
    /// DFU mode, one level below recovery: no backup can be made.
    Dfu,
}

/// A phone on the USB bus, whether or not the daemon sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OnUsb {
    /// The phone's UDID, if its serial number is a valid one.
    pub udid: Option<Udid>,
    /// The mode that the phone is in.
    pub mode: Mode,
    /// The negotiated speed in Mbit/s: 1.5, 12, 480, 5000, ...
    pub speed_mbits: Option<f64>,
    /// The port as Linux names it: "1-2.3" is bus 1, port 2, then port 3 of a hub.
    pub port: String,
    /// The device node and the error, if this user cannot open it. The daemon may run as another
    /// user.
    pub node: Option<(PathBuf, io::ErrorKind)>,
}

/// Apple's USB vendor number.
const APPLE: u32 = 0x05ac;

/// Returns the mode that a product number stands for. Sources: usbmuxd's udev rules and
/// libirecovery's irecv_mode.
fn mode(product: u32) -> Option<Mode> {
    match product {
        0x1290..=0x12af | 0x1901..=0x1905 | 0x8600 => Some(Mode::Normal),
        0x1280..=0x1283 => Some(Mode::Recovery),
        0x1222 | 0x1227 => Some(Mode::Dfu),
        _ => None,
    }
}

/// Returns the phones on USB; `None` if the system does not tell.
pub(crate) fn phones_on_usb(places: &Places) -> Option<Vec<OnUsb>> {
    let mut found: Vec<OnUsb> = fs::read_dir(&places.usb)
        .ok()?
        .flatten()
        .filter_map(|entry| on_usb(&entry.path(), places))
        .collect();
    found.sort_by(|a, b| a.port.cmp(&b.port));
    Some(found)
}

fn on_usb(device: &Path, places: &Places) -> Option<OnUsb> {
    let text = |name: &str| {
        let text = fs::read_to_string(device.join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let hex = |name: &str| u32::from_str_radix(&text(name)?, 16).ok();
    let mode = (hex("idVendor")? == APPLE).then(|| mode(hex("idProduct")?))??;
    let number = |name: &str| text(name)?.parse::<u32>().ok();
    let node = number("busnum")
        .zip(number("devnum"))
        .and_then(|(bus, at)| {
            let node = places.nodes.join(format!("{bus:03}/{at:03}"));
            let opened = fs::OpenOptions::new().read(true).write(true).open(&node);
            opened.err().map(|e| (node, e.kind()))
        });
    Some(OnUsb {
        udid: text("serial").and_then(|serial| serial.parse().ok()),
        mode,
        speed_mbits: text("speed").and_then(|speed| speed.parse().ok()),
        port: device.file_name()?.to_str()?.to_owned(),
        node,
    })
}

/// A running program that may hold the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The program's name.
    pub name: String,
    /// The process id.
    pub process: u32,
}

/// Programs that use a phone for a long time: for backups, restores or mounts.
const HOLDERS: [&str; 6] = [
    "idevicebackup",
    "idevicebackup2",
    "idevicerestore",
    "ideviceinstaller",
    "ifuse",
    "pymobiledevice3",
];

/// The subcommands with which this program uses a phone for a long time.
pub(crate) const OURS: (&str, [&str; 3]) = ("idev-backup", ["create", "restore", "encryption"]);

/// Daemons that claim phones on USB.
const DAEMONS: [&str; 3] = ["usbmuxd", "netmuxd", "usbfluxd"];

/// Returns the running programs that matter here: those that use phones, and the daemons. `None` if
/// the system does not tell.
pub(crate) fn programs(places: &Places) -> Option<(Vec<Program>, Vec<Program>)> {
    let entries = fs::read_dir(&places.processes).ok()?;
    let (mut holders, mut daemons) = (Vec::new(), Vec::new());
    let mut seen_any = false;
    for entry in entries.flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        seen_any = true;
        let names = names(&entry.path());
        let is_ours = |words: &[String]| words[0] == OURS.0 && OURS.1.contains(&words[1].as_str());
        // This process itself does not count.
        if process != std::process::id() && names.windows(2).any(is_ours) {
            let name = OURS.0.to_owned();
            holders.push(Program { name, process });
        }
        let known = |list: &[&str]| {
            let name = names.iter().find(|name| list.contains(&name.as_str()))?;
            Some(Program {
                name: name.clone(),
                process,
            })
        };
        holders.extend(known(&HOLDERS));
        daemons.extend(known(&DAEMONS));
    }
    holders.sort_by_key(|program| program.process);
    daemons.sort_by_key(|program| program.process);
    seen_any.then_some((holders, daemons))
}

/// Returns the names of a process: its `comm`, and the file names of its first two arguments,
/// because a script is run by an interpreter.
fn names(process: &Path) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(name) = fs::read_to_string(process.join("comm")) {
        names.push(name.trim().to_owned());
    }
    if let Ok(line) = fs::read(process.join("cmdline")) {
        for word in line.split(|byte| *byte == 0).take(2) {
            let word = String::from_utf8_lossy(word);
            let name = word.rsplit(['/', '\\']).next().unwrap_or(&word);
            names.push(name.trim_end_matches(".exe").to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let places = Places {
            usb: at("usb"),
            nodes: at("nodes"),
            processes: at("proc"),
        };
        (dir, places)
    }

    fn put(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn only_phones_are_found_on_usb() {
        let (_dir, places) = made_up();
        put(
            &places.usb,
            &[
                // A phone with its node, behind a hub, at low speed.
                ("1-2.3/idVendor", "05ac\n"),
                ("1-2.3/idProduct", "12a8\n"),
                ("1-2.3/serial", "00008130001A2B3C4D5E6F70\n"),
                ("1-2.3/speed", "12\n"),
                ("1-2.3/busnum", "1\n"),
                ("1-2.3/devnum", "7\n"),
                // A phone in recovery mode, without its node.
                ("2-1/idVendor", "05ac\n"),
                ("2-1/idProduct", "1281\n"),
                ("2-1/serial", "CPID:8030 ECID:001C195E0A88802E\n"),
                ("2-1/speed", "480\n"),
                ("2-1/busnum", "2\n"),
                ("2-1/devnum", "3\n"),
                // An Apple keyboard, another vendor's phone, an interface, and a root hub that has
                // none of these files.
                ("1-3/idVendor", "05ac\n"),
                ("1-3/idProduct", "0250\n"),
                ("1-4/idVendor", "18d1\n"),
                ("1-4/idProduct", "12a8\n"),
                ("1-2.3:1.0/bInterfaceClass", "ff\n"),
                ("usb1/speed", "480\n"),
                ("1-5/idVendor", "rubbish\n"),
            ],
        );
        put(&places.nodes, &[("001/007", "")]);
        let found = phones_on_usb(&places).unwrap();
        assert_eq!(found.len(), 2, "{found:#?}");
        let [phone, recovery] = &found[..] else {
            unreachable!()
        };
        let udid = phone.udid.as_ref().unwrap();
        assert_eq!(udid.as_str(), "00008130-001A2B3C4D5E6F70");
        assert_eq!(phone.speed_mbits, Some(12.0));
        assert_eq!((phone.mode, phone.port.as_str()), (Mode::Normal, "1-2.3"));
        assert_eq!(phone.node, None);
        assert_eq!((recovery.mode, &recovery.udid), (Mode::Recovery, &None));
        let (node, why) = recovery.node.clone().unwrap();
        assert!(node.ends_with("002/003"), "{}", node.display());
        assert_eq!(why, io::ErrorKind::NotFound);
    }

    #[test]
    fn programs_match_by_name_or_script() {
        let (_dir, places) = made_up();
        put(
            &places.processes,
            &[
                ("40/comm", "idevicebackup2\n"),
                ("40/cmdline", "idevicebackup2\0backup\0/srv\0"),
                ("7/comm", "python3\n"),
                (
                    "7/cmdline",
                    "/usr/bin/python3\0/usr/local/bin/pymobiledevice3\0backup2\0",
                ),
                ("9/comm", "usbmuxd\n"),
                ("9/cmdline", "/usr/sbin/usbmuxd\0--user\0"),
                // This program making a backup, and waiting for phones.
                ("50/comm", "idev-backup\n"),
                ("50/cmdline", "/opt/idev-backup\0create\0--all\0"),
                ("51/comm", "idev-backup\n"),
                ("51/cmdline", "idev-backup\0watch\0"),
                // Only mentions the name in its arguments.
                ("11/comm", "vim\n"),
                ("11/cmdline", "vim\0-R\0idevicebackup2\0"),
                ("12/cmdline", ""),
                ("self/comm", "idevicebackup2\n"),
            ],
        );
        let (holders, daemons) = programs(&places).unwrap();
        let named = |programs: &[Program]| {
            let name = |p: &Program| format!("{} {}", p.name, p.process);
            programs.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(
            named(&holders),
            ["pymobiledevice3 7", "idevicebackup2 40", "idev-backup 50"]
        );
        assert_eq!(named(&daemons), ["usbmuxd 9"]);
    }

    /// Checks that a system that does not list its USB devices is not reported as one without
    /// phones.
    #[test]
    fn unknown_differs_from_no_phones() {
        let (_dir, places) = made_up();
        assert_eq!(phones_on_usb(&places), None);
        assert_eq!(programs(&places), None);
        fs::create_dir_all(&places.usb).unwrap();
        fs::create_dir_all(&places.processes).unwrap();
        assert_eq!(phones_on_usb(&places), Some(Vec::new()));
        assert_eq!(programs(&places), None);
    }
}
