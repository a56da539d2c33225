//! Judges before a restore whether it can work. Pure: facts in, findings out.

use std::path::Path;

use super::Line;
use super::concern::Concern;
use super::options::{Options, Transfer};
use super::tolerated::tolerated;
use crate::backup::create::BATTERY_LOW_PERCENT;
use crate::base::units::{counted, size};
use crate::doctor::{Level, ios_notes};
use crate::restore::partial::Shown;
use crate::restore::subject::{Source, Target};
use crate::store::{Store, snapshot};
use crate::verify::{Depth, Finding, Outcome, Report, Wrong};

/// Free space that a phone needs in addition to the files themselves. An estimate that allows a
/// warning before the phone refuses.
const SPARE_BYTES: u64 = 1 << 30;

/// The data that a backup without encryption does not contain.
pub const NOT_IN_PLAIN: &str =
    "saved passwords, Health, Home, Wi-Fi settings, Safari and call history";

/// Returns the findings that prevent a restore from starting.
pub fn obstacles(lines: &[Line]) -> Vec<Line> {
    // The phone knows better than we do how much space it needs, and it refuses the restore if it
    // lacks any.
    let is_one = |line: &&Line| line.level == Level::Problem && line.topic != "phone_room";
    lines.iter().filter(is_one).cloned().collect()
}

/// Returns true if files of a damaged backup may be recovered from other snapshots, which only a
/// store holds.
pub fn can_be_repaired(report: &Report) -> bool {
    let of = snapshot::find(Path::new(&report.path));
    let store = of
        .as_ref()
        .and_then(|of| of.path().parent())
        .map(Store::open);
    matches!(store, Some(Ok(store)) if store.is_marked())
}

/// Returns the finding for the check of the backup.
pub(crate) fn judge_check(report: &Report) -> Line {
    const TOPIC: &str = "check";
    let files = counted(report.files, "file");
    let with_remarks = |says: String| {
        let first = report.findings.first();
        let first = first.map_or_else(String::new, |f| format!(": {}: {}", f.file, f.detail));
        let remarks = counted(report.remarks, "remark");
        Line::warning(TOPIC, format!("{says}, with {remarks}{first}")).concern(Concern::Remarks)
    };
    let how = match report.depth {
        Depth::Deep if report.unlocked || !report.encrypted => "opened and read",
        Depth::Deep | Depth::Bytes => "read",
        Depth::Quick => "compared by name and size",
    };
    if let Some(why) = not_restorable(report) {
        return Line::problem(
            TOPIC,
            format!(
                "the backup is complete ({files}, {how}), but it cannot be restored as it is: {why}"
            ),
        )
        .means("a phone refuses such a backup or restores only part of it")
        .concern(Concern::NotRestorable);
    }
    match report.outcome {
        Outcome::Damaged => {
            let line = Line::problem(
                TOPIC,
                format!("the backup is damaged: {}", report.first_damage()),
            );
            let line = line.concern(Concern::Damaged {
                path: report.path.clone(),
                can_be_repaired: can_be_repaired(report),
                is_tolerated: tolerated(report),
            });
            if tolerated(report) {
                line.means(
                    "the phone's list has no digest of the altered files, so the phone accepts \
                     them as they are",
                )
            } else {
                line.means("a phone refuses such a backup or restores only part of it")
            }
        }
        Outcome::WholeWithRemarks => {
            with_remarks(format!("the backup is complete ({files}, {how})"))
        }
        Outcome::Unchecked => Line::warning(
            TOPIC,
            format!("no damage was found, but not everything could be checked ({files}, {how})"),
        )
        .concern(Concern::Unchecked),
        Outcome::NoDamageFound if report.remarks > 0 => with_remarks(format!(
            "no damage was found in the backup ({files}, {how})"
        )),
        Outcome::NoDamageFound => Line::ok(
            TOPIC,
            format!("no damage was found in the backup: {files}, {how}"),
        ),
        Outcome::Whole => Line::ok(TOPIC, format!("the backup is complete: {files}, {how}")),
    }
}

/// Returns the reason that a backup cannot be restored although it is not damaged, according to a
/// check that examined everything.
pub(super) fn not_restorable(report: &Report) -> Option<String> {
    if report.outcome == Outcome::Damaged || report.restorable != Some(false) {
        return None;
    }
    let name = |f: &Finding| f.relative_path.clone().unwrap_or_else(|| f.file.clone());
    // The phone compares sizes and digests, even if it sent the mismatch itself.
    let compared = |f: &&Finding| matches!(f.wrong, Wrong::Short | Wrong::OtherDigest);
    if let Some(f) = report.findings.iter().find(compared) {
        return Some(format!("{}: {}", name(f), f.detail));
    }
    // Only rows of an unknown kind count, which are reported for Manifest.db. The same finding
    // about Manifest.plist means that its list of applications lacks one; no file is missing then.
    let lacks = |f: &&Finding| f.wrong == Wrong::NotRestored && f.file == "Manifest.db";
    let is_phones = |f: &Finding| f.wrong == Wrong::PhoneFault;
    match report.findings.iter().find(lacks) {
        Some(f) => Some(format!("{}: {}", name(f), f.detail)),
        // When a phone could not send a file, it knew that and still called the backup good (iOS 17
        // always does this for one file). That must not prevent a restore.
        None if report.findings.iter().any(is_phones) => None,
        None => Some("Manifest.plist does not name the iOS version".to_owned()),
    }
}

/// Returns the findings about the backup alone.
pub(crate) fn judge_backup(source: &Source, options: &Options) -> Vec<Line> {
    let mut lines = Vec::new();
    let name = source.name.as_deref().unwrap_or("a phone");
    let model = source.model.as_deref().unwrap_or("unknown model");
    let ios = source.ios.as_deref().unwrap_or("unknown version");
    let date = (source.date.as_deref()).and_then(crate::restore::subject::local_date);
    let says = format!(
        "backup of {name} ({model}, iOS {ios}), made {}: {}, {}",
        date.as_deref().unwrap_or("at an unknown time"),
        counted(source.files, "file"),
        size(source.bytes),
    );
    lines.push(if source.complete {
        Line::ok("backup", says)
    } else {
        Line::problem("backup", format!("{says}; the phone did not finish it"))
            .means("a phone ends the restore of such a backup with code 204")
            .concern(Concern::NotFinished)
    });
    lines.push(match (source.encrypted, options.password.is_some()) {
        (true, true) => Line::ok(
            "encryption",
            "the backup is encrypted, and a password is given",
        ),
        (true, false) => Line::problem(
            "encryption",
            "the backup is encrypted, and no password is given",
        )
        .concern(Concern::NoPassword),
        (false, _) => Line::warning("encryption", "the backup is not encrypted")
            .means(format!(
                "it does not include these data, and the phone will lack them afterwards: \
                 {NOT_IN_PLAIN}"
            ))
            .concern(Concern::NotEncrypted),
    });
    lines.push(match source.apps {
        _ if !options.apps => Line::ok("apps", "the applications are not installed, as requested"),
        Some(apps) => Line::ok(
            "apps",
            if options.only.is_empty() {
                format!(
                    "the phone receives the list of {}, to install them from the App Store",
                    counted(apps, "application")
                )
            } else {
                format!(
                    "of {}, the phone receives the list of those in this part, to install them \
                     from the App Store",
                    counted(apps, "application")
                )
            },
        ),
        None => Line::warning("apps", "the backup has no list of applications")
            .means("their data is restored, but each application must be installed by hand"),
    });
    lines
}

/// Returns the findings about the phone, alone and compared with the backup.
pub fn judge_phone(source: &Source, target: &Target, options: &Options) -> Vec<Line> {
    let mut lines = vec![
        whose(source, target),
        versions(source, target),
        devices(source, target),
    ];
    lines.extend(over_wifi(target));
    lines.extend(space(source, target));
    lines.push(find_my(target));
    if target.set_up == Some(false) {
        lines.push(
            Line::warning("setup", "the phone's setup is not finished (\"Hello\")")
                .means("the phone may end the restore with code 212")
                .concern(Concern::NotSetUp),
        );
    }
    if target.locked {
        lines.push(Line::warning("locked", "the phone is locked").concern(Concern::Locked));
    }
    if let Some(battery) = target.battery {
        let says = format!("its battery is at {battery} %");
        lines.push(if battery < BATTERY_LOW_PERCENT && !target.charging {
            Line::warning("battery", format!("{says}, and not charging"))
                .means("if the phone switches off during the restore, it must be restored again")
                .concern(Concern::BatteryLow)
        } else {
            Line::ok("battery", says)
        });
    }
    lines.extend(password_afterwards(source, target));
    if !options.reboot {
        lines.push(
            Line::warning("restart", "the phone is not restarted, as requested").means(
                "the restored data does not appear until it restarts, and until then it refuses \
                 another restore with code 102",
            ),
        );
    }
    lines
}

fn whose(source: &Source, target: &Target) -> Line {
    const TOPIC: &str = "phone";
    if source.is_of(&target.udid) {
        return Line::ok(
            TOPIC,
            format!("the backup was made from {}", target.words()),
        );
    }
    let line = Line::warning(
        TOPIC,
        format!(
            "{} is not the phone that the backup was made from",
            target.words()
        ),
    );
    if source.encrypted {
        line.means(
            "it becomes a copy of that phone, except for data that never leaves a phone, such as \
             Face ID and Apple Pay",
        )
    } else {
        line.means(
            "it becomes a copy of that phone, except for passwords and keys (those need an \
             encrypted backup)",
        )
    }
}

fn versions(source: &Source, target: &Target) -> Line {
    const TOPIC: &str = "version";
    let (of, on) = (source.ios.as_deref(), target.facts.ios.as_str());
    let of_words = of.unwrap_or("?");
    match (of.and_then(ios_notes::version), ios_notes::version(on)) {
        (Some(backup), Some(phone)) if backup > phone => {
            let line = if backup[..2] > phone[..2] {
                Line::problem(
                    TOPIC,
                    format!(
                        "the backup was made with iOS {of_words}, which is newer than the phone's \
                         {on}"
                    ),
                )
            } else {
                Line::warning(
                    TOPIC,
                    format!(
                        "the backup was made with iOS {of_words}, which is slightly newer than \
                         the phone's {on}"
                    ),
                )
            };
            line.means("a phone refuses backups made with a newer iOS (code 203)")
                .concern(Concern::OlderIos {
                    needed: of_words.to_owned(),
                })
        }
        (Some(_), Some(_)) => Line::ok(
            TOPIC,
            format!("iOS {on} accepts backups made with iOS {of_words}"),
        ),
        _ => Line::warning(
            TOPIC,
            format!("it is unknown whether iOS {on} accepts a backup made with iOS {of_words}"),
        )
        .means("a phone refuses backups made with a newer iOS than its own (code 203)"),
    }
}

/// Returns the kind of device, for example "iPhone" for "iPhone16,1".
fn class(product_type: &str) -> &str {
    let end = product_type.find(|c: char| c.is_ascii_digit());
    &product_type[..end.unwrap_or(product_type.len())]
}

/// Returns true if the phone is expected to request fewer files than the list names: because the
/// options say so, or because it is another kind of device.
pub(super) fn takes_less(source: &Source, target: &Target, options: &Options) -> bool {
    let of = source.product_type.as_deref().map(class);
    !options.system_files || of != Some(class(&target.facts.product_type))
}

fn devices(source: &Source, target: &Target) -> Line {
    const TOPIC: &str = "device";
    let of = source.product_type.as_deref().map(class);
    let on = class(&target.facts.product_type);
    match of {
        Some(of) if of == on => Line::ok(
            TOPIC,
            format!("the backup was made from an {on}, and this is an {on}"),
        ),
        Some(of) => Line::warning(
            TOPIC,
            format!("the backup was made from an {of}, and this is an {on}"),
        )
        .means("the phone leaves out settings and other system files in any case"),
        None => Line::warning(
            TOPIC,
            "the backup does not name the kind of device it was made from",
        )
        .means("a phone leaves out the system files of another kind of device"),
    }
}

/// Returns the finding for a phone without a cable. No public source shows that a phone accepts a
/// restore over Wi-Fi, and one that breaks off leaves a phone that must be restored again.
fn over_wifi(target: &Target) -> Option<Line> {
    target.over_wifi.then(|| {
        Line::problem("connection", "the phone is connected over Wi-Fi")
            .means(
                "restores over Wi-Fi are not known to work, and one that breaks off leaves a phone \
                 that must be restored again",
            )
            .concern(Concern::OverWifi)
    })
}

fn space(source: &Source, target: &Target) -> Option<Line> {
    const TOPIC: &str = "phone_room";
    let free = target.free_bytes?;
    let need = source.bytes.saturating_add(SPARE_BYTES);
    let says = format!(
        "the backup has {}, and the phone has {} free",
        size(source.bytes),
        size(free)
    );
    Some(if free < need {
        Line::problem(TOPIC, says)
            .means(
                "the phone stores the received files in addition to its own, and refuses with \
                 code 106 if they do not fit",
            )
            .concern(Concern::PhoneFull {
                missing_bytes: need - free,
            })
    } else {
        Line::ok(TOPIC, says)
    })
}

fn find_my(target: &Target) -> Line {
    const TOPIC: &str = "find_my";
    match target.find_my {
        Some(true) => Line::problem(TOPIC, "Find My is switched on")
            .means("a phone refuses restores while it is on (code 211)")
            .concern(Concern::FindMyOn),
        Some(false) => Line::ok(TOPIC, "the phone reports that Find My is off"),
        None => Line::warning(TOPIC, "the phone does not report whether Find My is on")
            .concern(Concern::FindMyUnknown),
    }
}

/// Returns the findings about a backup that must be fetched first.
pub(crate) fn judge_transfer(transfer: &Transfer) -> Vec<Line> {
    let into = transfer.into.display();
    let needed = size(transfer.bytes);
    let free = transfer.free_bytes;
    let missing_bytes = transfer.bytes.saturating_sub(free.unwrap_or(u64::MAX));
    let space = match free.map(size) {
        None => Line::ok(
            "store_space",
            format!("the backup takes {needed} in {into}"),
        ),
        Some(free) if missing_bytes == 0 => Line::ok(
            "store_space",
            format!("the backup takes {needed} in {into}, where {free} are free"),
        ),
        Some(free) => Line::problem(
            "store_space",
            format!("the backup takes {needed} in {into}, where only {free} are free"),
        )
        .concern(Concern::StoreFull { missing_bytes }),
    };
    let files = counted(transfer.files, "file");
    let unchecked = format!("the {files} of the backup are in the repository and were not read");
    let check = Line::warning("check", unchecked)
        .means("a restore fetches the backup into the store and checks it there first")
        .concern(Concern::NotFetched);
    vec![space, check]
}

/// Returns the finding for a partial restore.
pub(crate) fn judge_part(part: &Shown, options: &Options) -> Line {
    let says = format!(
        "only a part is restored, {}: {}",
        options.only.join(", "),
        counted(part.files, "file")
    );
    Line::warning("part", says)
        .means("this has not been tested with a real phone, which may have to be erased afterwards")
}

/// Returns the finding about the phone's backup password after the restore: the phone adopts the
/// backup's password, or none if the backup has none.
fn password_afterwards(source: &Source, target: &Target) -> Option<Line> {
    const TOPIC: &str = "backup_password";
    match (source.encrypted, target.will_encrypt?) {
        (false, _) if target.requires_encryption => Some(
            Line::problem(
                TOPIC,
                "the phone's administrator requires encrypted backups, and this one is not \
                 encrypted",
            )
            .means("the phone refuses to switch off the encryption of its backups")
            .concern(Concern::EncryptionRequired),
        ),
        (false, true) => Some(
            Line::warning(
                TOPIC,
                "the phone encrypts its backups, and this one is not encrypted",
            )
            .means("afterwards, it may no longer encrypt them")
            .concern(Concern::EncryptionMayEnd),
        ),
        (true, _) => Some(Line::ok(
            TOPIC,
            "afterwards, the phone's backups have this backup's password",
        )),
        (false, false) => None,
    }
}

/// Returns the facts that only the phone itself knows.
pub(crate) fn not_looked_at(has_phone: bool) -> Vec<String> {
    let mut not = vec![
        "whether a restore from iCloud is running (code 25), or an earlier restore was not \
         followed by a restart (102): phones report this only when a restore begins"
            .to_owned(),
    ];
    if !has_phone {
        not.push("the phone: version, free space, Find My, battery".to_owned());
    }
    not
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::connector::Facts;

    fn source() -> Source {
        Source {
            udid: Some("A".into()),
            product_type: Some("iPhone16,1".into()),
            ios: Some("18.6.2".into()),
            complete: true,
            encrypted: true,
            files: 10,
            bytes: 10 << 30,
            apps: Some(3),
            ..Source::default()
        }
    }

    fn target() -> Target {
        Target {
            over_wifi: false,
            udid: "A".into(),
            facts: Facts {
                name: "Mira's iPhone".into(),
                product_type: "iPhone16,1".into(),
                model: "iPhone 15 Pro".into(),
                ios: "18.6.2".into(),
            },
            free_bytes: Some(100 << 30),
            capacity_bytes: Some(256 << 30),
            find_my: Some(false),
            set_up: Some(true),
            battery: Some(80),
            charging: false,
            locked: false,
            will_encrypt: Some(true),
            requires_encryption: false,
        }
    }

    /// Returns the level of the finding on a topic; `None` if the topic does not occur.
    fn level(lines: &[Line], topic: &str) -> Option<Level> {
        let line = lines.iter().find(|line| line.topic == topic)?;
        // Every finding that is not OK must come with a consequence or advice.
        assert!(line.level == Level::Ok || line.means.is_some() || line.concern.is_some());
        Some(line.level)
    }

    #[test]
    fn suitable_phone_gets_no_warning() {
        let lines = judge_phone(&source(), &target(), &Options::default());
        let worst = lines.iter().map(|line| line.level).max();
        assert_eq!(worst, Some(Level::Ok), "{lines:#?}");
    }

    #[test]
    fn preflight_problems_have_their_topic() {
        type Change = fn(&mut Source, &mut Target, &mut Options);
        let table: [(&str, Level, Change); 15] = [
            ("version", Level::Problem, |_, t, _| {
                t.facts.ios = "17.7".into()
            }),
            ("version", Level::Warning, |_, t, _| {
                t.facts.ios = "18.6".into()
            }),
            ("version", Level::Ok, |_, t, _| t.facts.ios = "26.0".into()),
            ("version", Level::Warning, |s, _, _| s.ios = None),
            ("device", Level::Warning, |_, t, _| {
                t.facts.product_type = "iPad13,1".into()
            }),
            ("phone", Level::Warning, |_, t, _| t.udid = "B".into()),
            ("phone_room", Level::Problem, |_, t, _| {
                t.free_bytes = Some(10 << 30)
            }),
            ("phone_room", Level::Ok, |_, t, _| {
                t.free_bytes = Some(11 << 30)
            }),
            ("find_my", Level::Problem, |_, t, _| t.find_my = Some(true)),
            ("find_my", Level::Warning, |_, t, _| t.find_my = None),
            ("setup", Level::Warning, |_, t, _| t.set_up = Some(false)),
            ("battery", Level::Warning, |_, t, _| t.battery = Some(19)),
            ("locked", Level::Warning, |_, t, _| t.locked = true),
            ("restart", Level::Warning, |_, _, o| o.reboot = false),
            ("backup_password", Level::Problem, |s, t, _| {
                s.encrypted = false;
                t.requires_encryption = true;
            }),
        ];
        for (topic, wanted, change) in table {
            let (mut source, mut target, mut options) = (source(), target(), Options::default());
            change(&mut source, &mut target, &mut options);
            let lines = judge_phone(&source, &target, &options);
            assert_eq!(level(&lines, topic), Some(wanted), "{topic}: {lines:#?}");
            let is_obstacle = wanted == Level::Problem && topic != "phone_room";
            assert_eq!(obstacles(&lines).len(), usize::from(is_obstacle), "{topic}");
        }
    }

    #[test]
    fn incomplete_backup_is_reported() {
        let options = Options::default();
        let lines = judge_backup(&source(), &options);
        assert_eq!(
            level(&lines, "encryption"),
            Some(Level::Problem),
            "no password"
        );
        assert_eq!(level(&lines, "backup"), Some(Level::Ok));
        let plain = Source {
            encrypted: false,
            complete: false,
            apps: None,
            ..source()
        };
        let lines = judge_backup(&plain, &options);
        assert_eq!(level(&lines, "encryption"), Some(Level::Warning));
        assert_eq!(level(&lines, "backup"), Some(Level::Problem));
        assert_eq!(level(&lines, "apps"), Some(Level::Warning));
    }
}
