//! Reports about a phone's connections over Wi-Fi.

use std::time::SystemTime;

use idev_backup::base::time;
use idev_backup::device::wifi::Status;

use crate::cli::render::output::one_line;

/// Describes the state of a phone.
pub fn words(status: &Status, now: SystemTime) -> Vec<String> {
    let name = status
        .name
        .as_deref()
        .map_or_else(|| status.udid.clone(), one_line);
    let mut lines = vec![match status.on {
        Some(true) => format!("{name} accepts connections over Wi-Fi."),
        Some(false) => format!(
            "{name} does not accept connections over Wi-Fi. Turn them on by cable: `idev-backup \
             wifi on`"
        ),
        None => format!("{name} is not connected."),
    }];
    if let Some(via) = &status.via {
        lines.push(format!("  Connected now by {via}."));
    }
    lines.push(match (&status.address, &status.trouble) {
        (None, _) if status.listed => "  Seen over Wi-Fi by usbmuxd.".to_owned(),
        (Some(address), _) => format!("  Seen over Wi-Fi at {address}."),
        (None, Some(trouble)) => format!("  Seen over Wi-Fi, but {}.", one_line(trouble)),
        (None, None) => "  Not seen over Wi-Fi now.".to_owned(),
    });
    if status.on == Some(true) && !status.has_record {
        lines.push(
            "  Only usbmuxd has its pair record. `idev-backup wifi on` keeps a copy, so that the \
             phone is found when usbmuxd does not run."
                .to_owned(),
        );
    }
    if let Some(contact) = &status.last_contact {
        let when = time::when(&contact.time);
        lines.push(match status.trust_days_left {
            Some(days) if contact.is_long_ago(now) => format!(
                "  Last contact: {when} by {}. Warning: the phone forgets this computer in {days} \
                 days, unless it is connected before.",
                contact.via
            ),
            _ => format!("  Last contact: {when} by {}.", contact.via),
        });
    }
    lines
}

/// Describes a change of the switch.
pub fn changed(name: &str, on: bool) -> Vec<String> {
    let name = one_line(name);
    if !on {
        return vec![format!(
            "{name} accepts connections by cable only from now on."
        )];
    }
    vec![
        format!("{name} accepts connections over Wi-Fi from now on."),
        "  Connect it to power in this Wi-Fi; `idev-backup devices` shows it without a cable."
            .to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use idev_backup::device::last_contact::Contact;

    use super::*;

    fn status() -> Status {
        Status {
            udid: "00008130-001A2B3C4D5E6F70".to_owned(),
            name: Some("Mira's iPhone".to_owned()),
            on: Some(true),
            via: Some("USB".to_owned()),
            address: Some("192.168.1.20".to_owned()),
            listed: false,
            trouble: None,
            has_record: true,
            last_contact: None,
            trust_days_left: None,
        }
    }

    #[test]
    fn old_contact_is_a_warning() {
        let now = SystemTime::now();
        let then = now - Duration::from_secs(25 * 86_400);
        let contact = Contact {
            time: time::rfc3339(then),
            via: "Wi-Fi".to_owned(),
            wifi: true,
        };
        let old = Status {
            on: None,
            via: None,
            address: None,
            trust_days_left: contact.days_left(now),
            last_contact: Some(contact),
            ..status()
        };
        let said = words(&old, now).join("\n");
        assert!(
            said.contains("is not connected") && said.contains("Not seen"),
            "{said}"
        );
        assert!(
            said.contains("Warning: the phone forgets this computer in"),
            "{said}"
        );
    }

    #[test]
    fn names_are_shown_on_one_line() {
        let mut status = status();
        status.name = Some("a\nb\u{1b}[2J".to_owned());
        status.trouble = Some("x\ny".to_owned());
        status.address = None;
        for line in words(&status, SystemTime::now()) {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}
