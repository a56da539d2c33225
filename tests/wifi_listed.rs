//! Phones that a daemon lists over Wi-Fi, as Apple's usbmuxd and netmuxd do.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use idev_backup::FailureKind;
use idev_backup::automation::policy::{Outcome, Plan, Run};
use idev_backup::backup::create::create;
use idev_backup::backup::{Error, Report};
use idev_backup::base::progress::{Monitor, Phase, Silent};
use idev_backup::device::connector::Connector;
use idev_backup::device::{self, listing, trust, wifi};
use idev_backup::simulator::{Passcode, PhoneConfig, WifiFault};
use idev_backup::transport::{Attached, Via};

use crate::rig::{At, UDID, config, options};
use crate::wifi::{Heard, Wireless, while_watching};

/// Returns a phone without a cable that the daemon lists over Wi-Fi.
fn listed(config: PhoneConfig) -> Wireless {
    let wireless = Wireless::with(config);
    let rig = &wireless.rig;
    rig.daemon.detach(rig.udid());
    rig.daemon.attach_over_wifi(rig.phone.clone());
    wireless
}

/// Returns a connector through the daemon alone, and the phone.
fn reach(wireless: &Wireless) -> (Connector, Attached) {
    let connector = wireless.rig.connector();
    let phone = connector.phone(None).unwrap();
    assert_eq!(phone.via, Via::Network);
    (connector, phone)
}

fn try_create(wireless: &Wireless, monitor: &dyn Monitor) -> Result<Report, Error> {
    let (connector, phone) = reach(wireless);
    create(&connector, &phone, &wireless.rig.store, &options(), monitor)
}

/// Checks that the phone, which demands a heartbeat before any service, is backed up, and that it
/// is kept awake meanwhile.
#[test]
fn listed_phone_is_backed_up() {
    let wireless = listed(config());
    let held = Mutex::new(Vec::new());
    let phone = wireless.rig.phone.clone();
    let look = At(Phase::Scanning, || {
        held.lock().unwrap().extend(phone.assertions());
    });
    let report = try_create(&wireless, &look).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let held = format!("{:?}", held.into_inner().unwrap());
    assert!(held.contains("AMDPowerAssertionTypeWirelessSync"), "{held}");
    crate::rig::assert_whole(&wireless.rig.current());
    wireless.rig.assert_holds_the_phone(&wireless.rig.current());
}

/// Checks that a phone that is attached by cable and over Wi-Fi is one phone, with the cable.
#[test]
fn cable_and_listing_are_one_phone() {
    let wireless = listed(config());
    let rig = &wireless.rig;
    rig.daemon.attach(rig.phone.clone());
    for connector in [rig.connector(), wireless.connector_both()] {
        let phones = connector.phones().unwrap();
        assert_eq!((phones.len(), phones[0].via), (1, Via::Usb));
    }
    let status = wifi::status(&rig.connector(), None, std::time::SystemTime::now()).unwrap();
    assert_eq!((status.via.as_deref(), status.listed), (Some("USB"), true));
    rig.daemon.detach(rig.udid());
    for connector in [rig.connector(), wireless.connector_both()] {
        let found = listing::devices(&connector, |_| None).unwrap();
        assert_eq!(found.len(), 1);
        let device = &found[0];
        assert_eq!((device.udid.as_str(), device.via.as_str()), (UDID, "Wi-Fi"));
        assert!(device.paired && device.facts.is_some(), "{device:?}");
    }
}

/// Checks that drops and silence end a run as lost connections, and that the next one continues.
#[test]
fn lost_listed_phone_is_continued() {
    let wireless = listed(config());
    wireless.wifi.fail_after(200_000, WifiFault::Drop);
    let error = try_create(&wireless, &Silent).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert!(wireless.rig.draft().exists());
    let report = loop {
        match try_create(&wireless, &Silent) {
            // The phone has not noticed yet that the run is over.
            Err(Error::Refused(no)) if no.code == 14 => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    assert!(report.draft.contains("continuing"), "{}", report.draft);
    wireless.rig.assert_holds_the_phone(&wireless.rig.current());
}

#[test]
fn silence_of_listed_phone_is_noticed() {
    let wireless = listed(PhoneConfig {
        passcode: Passcode::Never,
        ..config()
    });
    let began = Instant::now();
    let silence = At(Phase::Scanning, || {
        wireless.wifi.fail(&WifiFault::Silence).unwrap();
    });
    let error = try_create(&wireless, &silence).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Lost, "{error}");
    assert!(error.to_string().contains("heartbeat"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// Checks that no phone is paired over Wi-Fi, whoever lists it.
#[test]
fn listed_phone_is_not_paired() {
    let wireless = listed(config());
    let (connector, phone) = reach(&wireless);
    trust::unpair(&connector, &phone).unwrap();
    let wait = Duration::from_secs(10);
    let error = trust::pair(&connector, &phone, wait, &Silent).unwrap_err();
    assert!(matches!(error, device::Error::NeedsCable { .. }), "{error}");
    let error = trust::session_or_pair(&connector, &phone, wait, &Silent).err();
    assert!(matches!(error, Some(device::Error::NotPaired)), "{error:?}");
}

#[test]
fn charging_condition_asks_listed_phone() {
    for (battery, is_done) in [(15, false), (90, true)] {
        let wireless = listed(PhoneConfig {
            battery,
            ..config()
        });
        let (connector, phone) = reach(&wireless);
        let mut plan = Plan::default();
        plan.conditions.charging = true;
        let run = Run {
            connector: &connector,
            store: &wireless.rig.store,
            options: &options(),
            plan: &plan,
            monitor: &Silent,
        };
        match run.back_up(&phone).unwrap() {
            Outcome::Done(_) => assert!(is_done, "{battery} %"),
            Outcome::Skipped(why) => assert!(!is_done && why.contains("not charging"), "{why}"),
        }
    }
}

/// Checks that a watch uses the cable, else the daemon's entry, else what it finds itself, and
/// reports each phone once, however many ways lead to it.
#[test]
fn watch_follows_listed_phone() {
    let wireless = Wireless::new();
    let rig = &wireless.rig;
    let connector = wireless.connector_both();
    let (texts, heard) = channel();
    let watcher = Heard {
        texts: Mutex::new(texts),
    };
    let next = |wanted: &[&str]| {
        let mut texts: Vec<String> = Vec::new();
        while texts.len() < wanted.len() {
            let text = heard.recv_timeout(Duration::from_secs(60));
            texts.push(text.unwrap_or_else(|_| panic!("{wanted:?} are not {texts:?}")));
        }
        texts.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(texts, wanted);
    };
    while_watching(&connector, &watcher, || {
        next(&[
            "attached over USB",
            "attached over Wi-Fi",
            "backup over USB",
        ]);
        // Our own look has found the phone already, so nothing new is reported.
        rig.daemon.attach_over_wifi(rig.phone.clone());
        rig.daemon.detach(rig.udid());
        next(&["detached over USB", "backup over Wi-Fi"]);
    });
    drop(heard);
    // Through the daemon alone, which still lists the phone.
    let (texts, heard) = channel();
    let watcher = Heard {
        texts: Mutex::new(texts),
    };
    let connector = rig.connector();
    let next = |wanted: &str| {
        let text = heard.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(text, wanted);
    };
    while_watching(&connector, &watcher, || {
        next("attached over Wi-Fi");
        next("backup over Wi-Fi");
        rig.daemon.detach_over_wifi(rig.udid());
        next("detached over Wi-Fi");
        rig.daemon.attach_over_wifi(rig.phone.clone());
        next("attached over Wi-Fi");
        rig.daemon.attach(rig.phone.clone());
        next("attached over USB");
        next("backup over USB");
    });
}
