//! Judges the facts about one phone.

use super::concern::{Concern, Trouble};
use super::facts::Health;
use super::line::{Level, Line};
use crate::backup::create::BATTERY_LOW_PERCENT;
use crate::base::units::size;
use crate::device;
use crate::doctor::ios_notes;
use crate::mobilebackup::error_codes;
use crate::transport::Via;

/// Free space below which a phone may lack space for its own work during a backup. Our choice:
/// phones do not say how much they need.
const SPACE_LOW_BYTES: u64 = 1_000_000_000;
/// Difference in seconds from which a clock counts as wrong rather than merely inaccurate. Our
/// choice.
const CLOCK_SECONDS_MAX: f64 = 300.0;

/// Returns the findings about a phone: everything that it answered, or the reason that it did not.
pub(crate) fn judge(health: &Health) -> Vec<Line> {
    let name = name(health);
    let mut lines = vec![connected(health, &name)];
    if let Some(Ok(facts)) = &health.facts {
        let over_wifi = health.phone.via == Via::Network;
        lines.push(ios_notes::judge(&name, &facts.model, &facts.ios, over_wifi));
    }
    lines.extend(trust(health, &name));
    lines.extend(locked(health, &name));
    if matches!(health.session, Some(Ok(()))) {
        lines.extend(encryption(health, &name));
        lines.extend(battery(health, &name));
        lines.extend(space(health, &name));
        lines.extend(clock(health, &name));
        lines.extend(setup(health, &name));
        lines.extend(others(health, &name));
        lines.extend(service(health, &name));
    }
    if health.silent {
        lines.push(
            Line::problem(
                "phone",
                format!("{name} stopped responding during the check"),
            )
            .means(
                "the remaining checks of it were skipped, and a backup would hang in the same way",
            )
            .concern(Concern::PhoneSilent),
        );
    }
    let about = |line: Line| line.of(&health.phone.udid);
    lines.into_iter().map(about).collect()
}

/// Returns the phone's name, or its UDID if the name is not known.
pub(crate) fn name(health: &Health) -> String {
    match &health.facts {
        Some(Ok(facts)) => facts.name.clone(),
        _ => format!("phone {}", health.phone.udid),
    }
}

fn connected(health: &Health, name: &str) -> Line {
    const TOPIC: &str = "phone";
    let via = health.phone.via;
    if let Some(Err(trouble)) = &health.facts {
        return Line::trouble(TOPIC, trouble)
            .means(format!("{name} is connected by {via}, but does not answer"));
    }
    let says = format!("{name} is connected by {via}");
    match via {
        Via::Network if !health.charging => Line::warning(TOPIC, format!("{says}, without power"))
            .means("a phone on battery goes to sleep, which ends a backup over Wi-Fi")
            .concern(Concern::OverWifi),
        _ => Line::ok(TOPIC, says),
    }
}

fn trust(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "trust";
    Some(match (&health.record, &health.session) {
        (Some(Err(Trouble::Device(e))), _) if matches!(**e, device::Error::NotPaired) => {
            Line::warning(TOPIC, format!("this computer is not paired with {name}"))
                .means("most facts about it are unknown until then; a backup pairs first")
                .concern(Concern::NotPaired)
        }
        (Some(Err(trouble)), _) => Line::trouble(TOPIC, trouble)
            .means("the phone does not accept connections from this computer"),
        (_, Some(Err(trouble))) => Line::trouble(TOPIC, trouble).means(refused(trouble)),
        (Some(Ok(false)), Some(Ok(()))) => Line::warning(
            TOPIC,
            format!("{name} is paired, but the pair record has no escrow bag"),
        )
        .means("without the escrow bag, the phone can only be backed up while it is unlocked")
        .concern(Concern::NoEscrowBag),
        (Some(Ok(true)), Some(Ok(()))) => {
            Line::ok(TOPIC, format!("{name} and this computer trust each other"))
        }
        _ => return None,
    })
}

/// Explains a session that the phone refused. A phone forgets a computer that it had no contact
/// with for 30 days (Apple Platform Security, "Pairing model security for iPhone and iPad", for iOS
/// 11 and later).
fn refused(trouble: &Trouble) -> &'static str {
    let Trouble::Device(e) = trouble else {
        return REFUSES;
    };
    match &**e {
        device::Error::Tls { .. } => FORGETS,
        device::Error::Lockdown { code, .. } if code.ends_with("HostID") => FORGETS,
        _ => REFUSES,
    }
}

const REFUSES: &str = "the phone does not accept connections from this computer";
const FORGETS: &str = "a phone forgets a computer after 30 days without contact, when it is erased \
    or restored, and when its trust settings are reset";

/// The first version in which a phone that stays locked for 72 hours restarts, and then sends
/// nothing until its passcode is entered. Sources: naehrdine.blogspot.com, "Reverse Engineering iOS
/// 18 Inactivity Reboot", 2024; that services wait for the first unlock after a start: Apple
/// Platform Security, "Pairing model security for iPhone and iPad".
const RESTARTS_WHEN_LOCKED: [u32; 3] = [18, 1, 0];

fn locked(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "lock";
    Some(if health.locked? {
        let ios = match &health.facts {
            Some(Ok(facts)) => ios_notes::version(&facts.ios),
            _ => None,
        };
        let restarts = if ios.is_some_and(|ios| ios >= RESTARTS_WHEN_LOCKED) {
            ". If it stays locked for 72 hours, it restarts, and then sends nothing until its \
                passcode is entered"
        } else {
            ""
        };
        Line::warning(TOPIC, format!("{name} is locked"))
            .means(format!(
                "a locked phone cannot be paired, asks for its passcode when a backup begins, and \
                 may fail to send files (codes 104, 208){restarts}"
            ))
            .concern(Concern::Locked)
    } else {
        Line::ok(TOPIC, format!("{name} is not locked"))
    })
}

fn encryption(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "encryption";
    let on = health.encryption.is_on?;
    Some(match (on, health.encryption.is_required) {
        (true, _) => Line::ok(TOPIC, format!("{name} encrypts its backups")),
        (false, true) => Line::problem(
            TOPIC,
            format!(
                "the administrator of {name} requires encrypted backups, and it has no backup \
                 password"
            ),
        )
        .means(described(207))
        .concern(Concern::EncryptionRequired),
        (false, false) => Line::warning(TOPIC, format!("{name} does not encrypt its backups"))
            .means(
                "only encrypted backups include saved passwords, Health, Home, Wi-Fi settings, \
                 Safari and call history",
            )
            .concern(Concern::NotEncrypted),
    })
}

/// Describes the failure of a backup that the phone would end with `code`.
fn described(code: i64) -> String {
    let cause = error_codes::described(code).map_or_else(String::new, |refusal| refusal.cause);
    format!("a backup would end with code {code}: {cause}")
}

fn battery(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "battery";
    let percent = health.battery?;
    let power = if health.charging { ", with power" } else { "" };
    let says = format!("{name}'s battery is at {percent} %{power}");
    Some(if percent < BATTERY_LOW_PERCENT && !health.charging {
        Line::warning(TOPIC, says)
            .means("the backup fails if the phone switches off")
            .concern(Concern::BatteryLow)
    } else {
        Line::ok(TOPIC, says)
    })
}

fn space(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "phone_room";
    let free = health.free_bytes?;
    let says = format!("{name} has {} free", size(free));
    Some(if free < SPACE_LOW_BYTES {
        Line::warning(TOPIC, says)
            .means(format!(
                "a phone needs free space of its own to make a backup; without it {}",
                described(106)
            ))
            .concern(Concern::PhoneFull)
    } else {
        Line::ok(TOPIC, says)
    })
}

fn clock(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "clock";
    let ahead = health.clock_ahead?;
    if ahead.abs() <= CLOCK_SECONDS_MAX {
        return Some(Line::ok(
            TOPIC,
            format!("{name} and this computer agree on the time"),
        ));
    }
    let minutes = (ahead.abs() / 60.0).round();
    let way = if ahead > 0.0 { "ahead of" } else { "behind" };
    Some(
        Line::warning(
            TOPIC,
            format!("{name}'s clock is {minutes} minutes {way} this computer's"),
        )
        .means(
            "this computer's clock names snapshots and the phone's clock dates backups; pairing \
             fails if a certificate is not valid yet",
        )
        .concern(Concern::ClocksDiffer),
    )
}

fn setup(health: &Health, name: &str) -> Option<Line> {
    (health.set_up == Some(false)).then(|| {
        Line::problem("setup", format!("{name} has not been set up yet"))
            .means(described(212))
            .concern(Concern::NotSetUp)
    })
}

fn others(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "sync";
    Some(match health.sync_free.as_ref()? {
        Ok(true) => Line::ok(TOPIC, format!("no other program is syncing {name}")),
        Ok(false) => Line::problem(TOPIC, format!("another program is syncing {name}"))
            .means("only one program at a time can use a phone; a backup waits for ten seconds")
            .concern(Concern::Syncing),
        Err(trouble) => Line::warning(TOPIC, trouble.to_string())
            .means("so it is unknown whether another program is using the phone")
            .concern(Concern::SyncUnknown(trouble.clone())),
    })
}

/// Adapts a finding about a phone that another run of this program is backing up: that run is
/// expected to hold the sync lock, so this is not a problem.
pub(crate) fn under_way(line: Line) -> Line {
    match line.topic {
        "sync" if line.level == Level::Problem => Line {
            level: Level::Ok,
            says: "another idev-backup run is backing it up".to_owned(),
            means: None,
            concern: None,
            ..line
        },
        _ => line,
    }
}

fn service(health: &Health, name: &str) -> Option<Line> {
    const TOPIC: &str = "service";
    Some(match health.service.as_ref()? {
        Ok(()) => Line::ok(TOPIC, format!("{name}'s backup service starts")),
        Err(trouble) => {
            Line::trouble(TOPIC, trouble).means(format!("{name} would not begin a backup"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::connector::{Encryption, Facts};
    use crate::transport::Attached;

    fn healthy() -> Health {
        Health {
            facts: Some(Ok(Facts {
                name: "Mira's iPhone".to_owned(),
                product_type: "iPhone16,1".to_owned(),
                model: "iPhone 15 Pro".to_owned(),
                ios: "18.6.2".to_owned(),
            })),
            locked: Some(false),
            record: Some(Ok(true)),
            session: Some(Ok(())),
            encryption: Encryption {
                is_on: Some(true),
                is_required: true,
            },
            battery: Some(81),
            free_bytes: Some(90_000_000_000),
            clock_ahead: Some(-2.0),
            set_up: Some(true),
            sync_free: Some(Ok(true)),
            service: Some(Ok(())),
            ..Health::of(Attached {
                device_id: 1,
                udid: "00008130-001A2B3C4D5E6F70".parse().unwrap(),
                via: Via::Usb,
                is_replayed: false,
            })
        }
    }

    fn trouble(why: &str) -> Trouble {
        let why = why.to_owned();
        device::Error::BadRecord { why }.into()
    }

    #[test]
    fn healthy_phone_passes_every_check() {
        let lines = judge(&healthy());
        assert!(lines.iter().all(|l| l.level == Level::Ok), "{lines:#?}");
        assert!(lines.iter().all(|l| l.udid.is_some()));
        let topics: Vec<_> = lines.iter().map(|l| l.topic).collect();
        assert_eq!(
            topics,
            [
                "phone",
                "ios",
                "trust",
                "lock",
                "encryption",
                "battery",
                "phone_room",
                "clock",
                "sync",
                "service"
            ]
        );
    }

    /// Checks that each problem gives exactly one line, which has an explanation and a hint.
    #[test]
    fn each_phone_problem_gets_one_line() {
        use Level::{Problem, Warning};
        type Change = fn(&mut Health);
        let table: [(Level, &str, &str, Change); 19] = [
            (Warning, "phone", "by Wi-Fi", |h| h.phone.via = Via::Network),
            (Problem, "phone", "refused", |h| {
                h.facts = Some(Err(trouble("refused")))
            }),
            (Problem, "phone", "stopped responding", |h| h.silent = true),
            (Warning, "trust", "is not paired with Mira", |h| {
                h.record = Some(Err(device::Error::NotPaired.into()));
                h.session = None;
            }),
            (Problem, "trust", "lacks HostID", |h| {
                h.record = Some(Err(trouble("it lacks HostID")));
                h.session = None;
            }),
            (Problem, "trust", "forgotten", |h| {
                h.session = Some(Err(trouble("it has forgotten you")))
            }),
            (Warning, "trust", "escrow bag", |h| {
                h.record = Some(Ok(false))
            }),
            (Warning, "lock", "is locked", |h| h.locked = Some(true)),
            (Problem, "encryption", "administrator", |h| {
                h.encryption.is_on = Some(false)
            }),
            (Warning, "encryption", "does not encrypt", |h| {
                h.encryption.is_on = Some(false);
                h.encryption.is_required = false;
            }),
            (Warning, "battery", "at 9 %", |h| h.battery = Some(9)),
            (Warning, "phone_room", "999.0 MB free", |h| {
                h.free_bytes = Some(999_000_000)
            }),
            (Warning, "clock", "10 minutes ahead of", |h| {
                h.clock_ahead = Some(600.0)
            }),
            (Warning, "clock", "10 minutes behind", |h| {
                h.clock_ahead = Some(-600.0)
            }),
            (Problem, "setup", "not been set up", |h| {
                h.set_up = Some(false)
            }),
            (Problem, "sync", "another program is syncing", |h| {
                h.sync_free = Some(Ok(false))
            }),
            (Warning, "sync", "no afc", |h| {
                h.sync_free = Some(Err(trouble("no afc")))
            }),
            (Problem, "service", "InvalidService", |h| {
                h.service = Some(Err(trouble("InvalidService")))
            }),
            (Warning, "ios", "26.0.1", |h| {
                if let Some(Ok(facts)) = &mut h.facts {
                    facts.ios = "26.0.1".to_owned();
                }
            }),
        ];
        for (level, topic, words, change) in table {
            let mut health = healthy();
            change(&mut health);
            let lines = judge(&health);
            let wrong: Vec<_> = lines.iter().filter(|l| l.level != Level::Ok).collect();
            let [line] = wrong[..] else {
                panic!("{words}: {lines:#?}")
            };
            assert_eq!((line.level, line.topic), (level, topic), "{words}");
            assert!(line.says.contains(words), "{}", line.says);
            assert!(line.means.is_some() && line.concern.is_some(), "{line:#?}");
        }
    }

    #[test]
    fn low_battery_is_fine_while_charging() {
        let mut health = healthy();
        (health.battery, health.charging) = (Some(9), true);
        assert!(judge(&health).iter().all(|l| l.level == Level::Ok));
    }
}
