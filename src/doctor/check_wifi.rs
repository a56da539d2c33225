//! Judges whether paired phones can be found over Wi-Fi.

use std::time::SystemTime;

use super::concern::{Concern, Trouble};
use super::line::Line;
use crate::base::udid::Udid;
use crate::base::units::counted;
use crate::device::last_contact::Contact;
use crate::transport::network::Air;

const TOPIC: &str = "wifi";

/// The facts about finding phones over Wi-Fi. Absent if no phone is used that way.
#[derive(Debug, Clone, Default)]
pub(crate) struct WifiFacts {
    /// Signs of life from the network, or the reason that this computer cannot listen; `None` if
    /// nothing needs to be found by multicast.
    pub(crate) air: Option<Result<Air, String>>,
    /// Number of phones that are seen and are not ours.
    pub(crate) others: usize,
    /// The phones that were seen but refused the connection, each with the reason.
    pub(crate) troubled: Vec<(Option<Udid>, Trouble)>,
    /// The last contact with each phone that was switched on for Wi-Fi.
    pub(crate) contacts: Vec<(Udid, Contact)>,
    /// The phones among them that are connected now.
    pub(crate) connected: Vec<Udid>,
}

/// Returns the findings. `now` is the present time.
pub(crate) fn judge(wifi: &WifiFacts, now: SystemTime) -> Vec<Line> {
    let mut lines: Vec<Line> = wifi.air.iter().map(|air| heard(air, wifi.others)).collect();
    for (udid, trouble) in &wifi.troubled {
        let line = Line::trouble(TOPIC, trouble)
            .means("the phone is seen over Wi-Fi, but cannot be backed up");
        lines.push(match udid {
            Some(udid) => line.of(udid),
            None => line,
        });
    }
    for (udid, contact) in &wifi.contacts {
        if wifi.connected.contains(udid) {
            continue;
        }
        let days = contact.age(now).map(|age| age.as_secs() / 86_400);
        if let Some(days) = days.filter(|_| contact.is_long_ago(now)) {
            lines.push(
                Line::warning(
                    TOPIC,
                    format!("the last contact with phone {udid} was {days} days ago"),
                )
                .means("a phone forgets this computer after 30 days without contact")
                .concern(Concern::TrustEnds)
                .of(udid),
            );
        }
    }
    lines
}

fn heard(air: &Result<Air, String>, others: usize) -> Line {
    const UNFOUND: &str = "phones over Wi-Fi are found only at an address that is given";
    match air {
        Err(why) => Line::warning(
            TOPIC,
            format!("this computer cannot listen for phones on the network: {why}"),
        )
        .means(UNFOUND)
        .concern(Concern::NoMulticast),
        Ok(air) if air.port_is_held => Line::warning(
            TOPIC,
            "another program holds UDP port 5353 and does not share it",
        )
        .means(UNFOUND)
        .concern(Concern::PortHeld),
        Ok(air) if air.interfaces == Some(0) => {
            Line::warning(TOPIC, "this computer has no network connection")
                .means("phones over Wi-Fi are not reachable")
                .concern(Concern::NoNetwork)
        }
        Ok(air) if !air.answered => Line::warning(
            TOPIC,
            "no device on the network answers an mDNS query, not even for other services",
        )
        .means(
            "multicast does not arrive: a firewall, a container with a network of its own, or a \
             Wi-Fi that separates devices stops it, or no other device is there",
        )
        .concern(Concern::NoMulticast),
        Ok(_) => Line::ok(
            TOPIC,
            match others {
                0 => "multicast arrives, so phones over Wi-Fi can be found".to_owned(),
                _ => format!(
                    "multicast arrives; {} that this computer is not paired with seen over Wi-Fi",
                    counted(others as u64, "phone")
                ),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::time;
    use crate::device;
    use crate::doctor::Level;

    fn air(interfaces: usize, answered: bool, port_is_held: bool) -> WifiFacts {
        let air = Air {
            interfaces: Some(interfaces),
            answered,
            port_is_held,
            restarts: 0,
        };
        WifiFacts {
            air: Some(Ok(air)),
            ..WifiFacts::default()
        }
    }

    #[test]
    fn network_problems_are_distinguished() {
        let now = SystemTime::now();
        let broken = WifiFacts {
            air: Some(Err("no sockets".to_owned())),
            ..WifiFacts::default()
        };
        let crowd = WifiFacts {
            others: 3,
            ..air(2, true, false)
        };
        for (facts, level, words) in [
            (broken, Level::Warning, "no sockets"),
            (air(0, false, true), Level::Warning, "port 5353"),
            (air(0, false, false), Level::Warning, "no network"),
            (
                air(2, false, false),
                Level::Warning,
                "no device on the network answers",
            ),
            (air(2, true, false), Level::Ok, "multicast arrives"),
            (crowd, Level::Ok, "3 phones"),
        ] {
            let lines = judge(&facts, now);
            assert_eq!(lines.len(), 1, "{lines:#?}");
            assert_eq!(lines[0].level, level, "{lines:#?}");
            assert!(format!("{lines:?}").contains(words), "{words}: {lines:#?}");
            let is_explained = lines[0].concern.is_some() && lines[0].means.is_some();
            assert!(level == Level::Ok || is_explained, "{lines:#?}");
        }
    }

    #[test]
    fn refusals_and_old_contacts_are_findings() {
        let now = SystemTime::now();
        let udid: Udid = "00008130-001A2B3C4D5E6F70".parse().unwrap();
        let contact = |days: u64| Contact {
            time: time::rfc3339(now - Duration::from_secs(days * 86_400 + 60)),
            via: "Wi-Fi".to_owned(),
            wifi: true,
        };
        let locked = device::Error::Lockdown {
            request: "open a session with the phone".to_owned(),
            code: "EscrowLocked".to_owned(),
        };
        let mut facts = WifiFacts {
            troubled: vec![(Some(udid.clone()), locked.into())],
            contacts: vec![(udid.clone(), contact(21))],
            ..WifiFacts::default()
        };
        let lines = judge(&facts, now);
        assert!(
            lines[0].says.contains("has not been unlocked since"),
            "{lines:#?}"
        );
        assert!(lines[1].says.contains("21 days ago"), "{lines:#?}");
        facts.troubled.clear();
        facts.connected.push(udid.clone());
        assert!(judge(&facts, now).is_empty());
        facts.connected.clear();
        facts.contacts = vec![(udid, contact(19))];
        assert!(judge(&facts, now).is_empty());
    }
}
