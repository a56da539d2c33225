//! Judges the connection to phones: the daemon, USB, and other programs that use phones.

use std::io::ErrorKind;

use super::computer::{Mode, OnUsb};
use super::concern::Concern;
use super::facts::ConnectionFacts;
use super::line::Line;
use crate::device::Error;
use crate::transport::Via;

/// Speed of USB 1.1. Every iPhone is faster, so a bad cable, port or hub is limiting the
/// connection.
const SLOW_MBITS: f64 = 12.0;

/// The reason for which a phone may only charge at a good cable: a locked phone blocks USB after an
/// hour (since iOS 11.4.1, "USB Restricted Mode"), and since iOS 26 it asks for each accessory, as
/// Settings > Privacy & Security > Wired Accessories says. Sources: Apple Platform Deployment,
/// "Manage accessory access to Apple devices"; reports on iOS 26 in jpost.com/consumerism, article
/// 868878, and in thedailytechfeed.com, 2025.
const BLOCKS_USB: &str = "the phone is locked or waits for \"Allow\", and blocks the cable except \
    for charging (Settings > Privacy & Security > Wired Accessories)";

/// Returns the findings about the connection to phones. `wanted` has the UDIDs, or their
/// beginnings, of the phones that the user asked for.
pub(crate) fn judge(connection: &ConnectionFacts, wanted: Option<&[String]>) -> Vec<Line> {
    let mut lines = vec![daemon(connection)];
    lines.extend(
        connection
            .on_usb
            .iter()
            .flatten()
            .flat_map(|usb| on_usb(usb, connection)),
    );
    lines.extend(no_phone(connection, wanted));
    lines.extend(programs(connection));
    lines
}

fn daemon(connection: &ConnectionFacts) -> Line {
    let Some(address) = &connection.address else {
        return match &connection.phones {
            Err(trouble) => Line::trouble("usb", trouble).means(format!(
                "{}, and phones cannot be reached over USB either",
                connection.without()
            )),
            Ok(_) => Line::ok(
                "usb",
                format!(
                    "{}: phones are used over USB directly",
                    connection.without()
                ),
            ),
        };
    };
    match &connection.phones {
        Err(trouble) => Line::trouble("usbmuxd", trouble)
            .means("without it phones cannot be reached, not even by cable"),
        Ok(_) => {
            let running = connection.programs.iter().flat_map(|(_, daemons)| daemons);
            let names: Vec<&str> = running.map(|program| program.name.as_str()).collect();
            let which = match names[..] {
                [] => String::new(),
                _ => format!("; running here: {}", names.join(", ")),
            };
            Line::ok("usbmuxd", format!("usbmuxd answers on {address}{which}"))
        }
    }
}

fn on_usb(usb: &OnUsb, connection: &ConnectionFacts) -> Vec<Line> {
    const TOPIC: &str = "usb";
    let place = match &usb.udid {
        Some(udid) => format!("phone {udid} on USB port {}", usb.port),
        None => format!("a phone on USB port {}", usb.port),
    };
    let about = |line: Line| match &usb.udid {
        Some(udid) => line.of(udid),
        None => line,
    };
    let stuck = match usb.mode {
        Mode::Normal => None,
        Mode::Recovery => Some("recovery"),
        Mode::Dfu => Some("DFU"),
    };
    if let Some(mode) = stuck {
        let line = Line::problem(TOPIC, format!("{place} is in {mode} mode"))
            .means("iOS is not running on it, so it cannot be backed up")
            .concern(Concern::NotInIos);
        return vec![about(line)];
    }
    let mut lines = Vec::new();
    if let Ok(phones) = &connection.phones {
        let is_seen = phones.iter().any(|phone| {
            phone.via == Via::Usb && usb.udid.as_ref().is_none_or(|udid| *udid == phone.udid)
        });
        match (&connection.address, &usb.node) {
            // Any user can read the serial number, so the phone is listed although it cannot be
            // opened.
            (None, Some((node, ErrorKind::PermissionDenied))) => lines.push(about(
                Line::problem(
                    "usb",
                    format!("{place} is connected, but this user may not open it"),
                )
                .means(format!(
                    "{}, and {} belongs to another user, so the phone cannot be backed up",
                    connection.without(),
                    node.display()
                ))
                .concern(Concern::NodeRefused),
            )),
            _ if !is_seen => lines.push(about(not_seen(&place, usb, connection.address.is_some()))),
            _ => {}
        }
    }
    if let Some(speed) = usb.speed_mbits {
        lines.push(about(if speed <= SLOW_MBITS {
            Line::warning(TOPIC, format!("{place} is connected at {speed} Mbit/s"))
                .means(
                    "phones support at least 480 Mbit/s: the cable, the port or a hub is faulty, \
                     and a backup would take days or fail",
                )
                .concern(Concern::SlowUsb)
        } else {
            Line::ok(TOPIC, format!("{place} is connected at {speed} Mbit/s"))
        }));
    }
    lines
}

fn not_seen(place: &str, usb: &OnUsb, by_daemon: bool) -> Line {
    let line = if by_daemon {
        format!("{place} is connected, but usbmuxd does not see it")
    } else {
        format!("{place} is connected, but cannot be used")
    };
    let line = Line::problem("usb", line);
    match &usb.node {
        Some((node, ErrorKind::NotFound)) => line
            .means(format!(
                "its device node {} does not exist: USB must be passed through to a container or \
                 a virtual machine",
                node.display()
            ))
            .concern(Concern::NoNode),
        Some((node, ErrorKind::PermissionDenied)) => line
            .means(format!(
                "this user may not open {}, which is normal; usbmuxd's own user needs access, \
                 which its udev rules grant (39-usbmuxd.rules)",
                node.display()
            ))
            .concern(Concern::NodeOfUsbmuxd),
        _ if !by_daemon => line
            .means(format!(
                "libusb does not see an interface for backups on it; perhaps {BLOCKS_USB}"
            ))
            .concern(Concern::NoInterface),
        _ => line
            .means(format!(
                "usbmuxd did not detect it or failed to open it, another program holds it, or \
                 {BLOCKS_USB}"
            ))
            .concern(Concern::NotDetected),
    }
}

/// Returns a finding for each wanted phone if none of them is connected.
fn no_phone(connection: &ConnectionFacts, wanted: Option<&[String]>) -> Vec<Line> {
    let Ok(phones) = &connection.phones else {
        return Vec::new();
    };
    if phones.iter().any(|p| is_wanted(wanted, p.udid.as_str())) {
        return Vec::new();
    }
    let line = |wanted: Option<String>| {
        let none = Error::NoDevice {
            wanted,
            present: phones.iter().map(|phone| phone.udid.to_string()).collect(),
        };
        let line = Line::trouble("phone", &none.into());
        match &connection.on_usb {
            Some(usb) if usb.is_empty() => line.means(format!(
                "USB shows no Apple device either: the cable only charges, it is not plugged in, \
                 the phone is off, or {BLOCKS_USB}"
            )),
            _ => line.means("it cannot be backed up until it is connected"),
        }
    };
    match wanted {
        None => vec![line(None)],
        Some(wanted) => wanted.iter().map(|text| line(Some(text.clone()))).collect(),
    }
}

fn programs(connection: &ConnectionFacts) -> Vec<Line> {
    let holders = connection.programs.iter().flat_map(|(holders, _)| holders);
    let told = |program: &super::computer::Program| {
        let says = format!("{} is running (process {})", program.name, program.process);
        if program.name == super::computer::OURS.0 {
            return Line::ok("programs", says).means("several idev-backup runs may work at once");
        }
        Line::warning("programs", says)
            .means(
                "it works with phones too, and two programs that back up one phone at the same \
                 time disturb each other",
            )
            .concern(Concern::OtherProgram)
    };
    holders.map(told).collect()
}

/// Returns true if `wanted` names the phone `udid`, or no phone at all.
pub(crate) fn is_wanted(wanted: Option<&[String]>, udid: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.iter().any(|wanted| begins(udid, wanted)))
}

/// Returns true if `udid` begins with `wanted`, which may lack the dash, as USB serial numbers do.
fn begins(udid: &str, wanted: &str) -> bool {
    let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
    plain(udid).starts_with(&plain(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::doctor::Trouble;
    use crate::doctor::check_wifi::WifiFacts;
    use crate::doctor::computer::Program;
    use crate::transport::Attached;

    const UDID: &str = "00008130-001A2B3C4D5E6F70";

    fn connection() -> ConnectionFacts {
        ConnectionFacts {
            address: Some("/var/run/usbmuxd".to_owned()),
            passed_over: false,
            phones: Ok(vec![Attached {
                device_id: 1,
                udid: UDID.parse().unwrap(),
                via: Via::Usb,
                is_replayed: false,
            }]),
            wifi: WifiFacts::default(),
            on_usb: Some(vec![usb()]),
            programs: Some((Vec::new(), Vec::new())),
        }
    }

    fn usb() -> OnUsb {
        OnUsb {
            udid: Some(UDID.parse().unwrap()),
            mode: Mode::Normal,
            speed_mbits: Some(480.0),
            port: "1-2".to_owned(),
            node: None,
        }
    }

    fn with_usb(usb: OnUsb, seen: bool) -> ConnectionFacts {
        let mut connection = connection();
        connection.on_usb = Some(vec![usb]);
        if !seen {
            connection.phones = Ok(Vec::new());
        }
        connection
    }

    #[track_caller]
    fn told(
        connection: &ConnectionFacts,
        wanted: Option<&str>,
        level: Level,
        topic: &str,
        words: &str,
    ) {
        let wanted = wanted.map(|wanted| vec![wanted.to_owned()]);
        let lines = judge(connection, wanted.as_deref());
        let line = lines.iter().find(|l| l.level == level && l.topic == topic);
        let line = line.unwrap_or_else(|| panic!("{lines:#?}"));
        assert!(format!("{line:?}").contains(words), "{line:#?}");
        assert!(
            level == Level::Ok || line.concern.is_some() && line.means.is_some(),
            "{line:#?}"
        );
    }

    #[test]
    fn connected_phone_has_no_problems() {
        assert!(
            judge(&connection(), None)
                .iter()
                .all(|l| l.level == Level::Ok)
        );
        let mut connection = connection();
        connection.programs = None;
        connection.on_usb = None;
        assert_eq!(judge(&connection, Some(&["000081300".to_owned()])).len(), 1);
    }

    #[test]
    fn direct_usb_problems_are_explained() {
        let mut direct = connection();
        direct.address = None;
        told(&direct, None, Level::Ok, "usb", "over USB directly");
        assert!(!judge(&direct, None).iter().any(|l| l.topic == "usbmuxd"));
        direct.on_usb = Some(vec![OnUsb {
            node: Some(("/dev/bus/usb/001/007".into(), ErrorKind::PermissionDenied)),
            ..usb()
        }]);
        told(&direct, None, Level::Problem, "usb", "NodeRefused");
        told(&direct, None, Level::Problem, "usb", "/dev/bus/usb/001/007");
        direct.on_usb = Some(vec![usb()]);
        direct.phones = Ok(Vec::new());
        told(&direct, None, Level::Problem, "usb", "cannot be used");
        direct.phones = Err(Trouble::NoAnswer { address: None });
        told(&direct, None, Level::Problem, "usb", "USB does not answer");
    }

    #[test]
    fn connection_problems_are_named() {
        use Level::{Problem, Warning};
        let mut silent = connection();
        silent.phones = Err(Trouble::NoAnswer {
            address: Some("/x".to_owned()),
        });
        told(&silent, None, Problem, "usbmuxd", "usbmuxd on /x");
        assert!(!judge(&silent, None).iter().any(|l| l.topic == "phone"));

        told(
            &connection(),
            Some("ffff"),
            Problem,
            "phone",
            "ffff is not connected",
        );
        let mut none = connection();
        (none.phones, none.on_usb) = (Ok(Vec::new()), Some(Vec::new()));
        told(&none, None, Problem, "phone", "only charges");

        let node = |why| Some(("/dev/bus/usb/001/007".into(), why));
        for (node, words) in [
            (None, "did not detect it"),
            (node(ErrorKind::PermissionDenied), "udev rules"),
            (node(ErrorKind::NotFound), "passed through"),
        ] {
            let unseen = with_usb(OnUsb { node, ..usb() }, false);
            told(&unseen, None, Problem, "usb", words);
        }
        let slow = with_usb(
            OnUsb {
                speed_mbits: Some(12.0),
                ..usb()
            },
            true,
        );
        told(&slow, None, Warning, "usb", "is faulty");
        for mode in [Mode::Recovery, Mode::Dfu] {
            let stuck = with_usb(OnUsb { mode, ..usb() }, false);
            told(&stuck, None, Problem, "usb", "mode");
        }
        let mut busy = connection();
        busy.programs = Some((
            vec![Program {
                name: "idevicebackup2".to_owned(),
                process: 40,
            }],
            Vec::new(),
        ));
        told(&busy, None, Warning, "programs", "process 40");
    }
}
