//! Judges the store: its disk, and for each phone the last backup, any draft, and the space for the
//! next backup.

use std::time::{Duration, SystemTime};

use super::concern::Concern;
use super::facts::{Health, StoreFacts, StoredPhone};
use super::line::Line;
use crate::base::time;
use crate::base::udid::Udid;
use crate::base::units::{size, span};
use crate::doctor::check_phone::name;
use crate::store::capabilities::Abilities;

/// Space that the phone demands beyond the bytes that it sends (protocol.md, "Free space").
const SPARE_BYTES: u64 = 128 << 20;

/// Returns the findings about the store itself and its disk.
pub(crate) fn judge(store_facts: &StoreFacts) -> Vec<Line> {
    const TOPIC: &str = "store";
    let path = store_facts.path.display();
    let free = store_facts
        .free_bytes
        .map_or_else(String::new, |free| format!(", with {} free", size(free)));
    if store_facts.silent {
        return vec![
            Line::problem(
                TOPIC,
                format!("the disk of the store {path} does not answer"),
            )
            .means("it is asleep or disconnected, or its network is down")
            .concern(Concern::StoreSilent),
        ];
    }
    if let Some(trouble) = &store_facts.trouble {
        return vec![
            Line::trouble(TOPIC, trouble).means("backups can neither be made nor read there"),
        ];
    }
    if let Some(absence) = &store_facts.absence {
        return vec![if store_facts.is_named {
            Line::warning(TOPIC, absence.to_string())
                .means("no backup is made there until a new store is requested")
                .concern(Concern::Trouble(absence.clone()))
        } else {
            Line::ok(TOPIC, format!("{path} is not a store yet{free}")).concern(Concern::NoStoreYet)
        }];
    }
    let mut lines = vec![Line::ok(TOPIC, format!("the store is {path}{free}"))];
    match &store_facts.abilities {
        None => {}
        Some(Err(trouble)) => lines.push(
            Line::trouble(TOPIC, trouble)
                .means("its backups can be read, but new ones cannot be made"),
        ),
        Some(Ok(abilities)) => lines.extend(disk(abilities)),
    }
    lines
}

fn disk(disk: &Abilities) -> Vec<Line> {
    const TOPIC: &str = "disk";
    let kind = match &disk.file_system {
        Some(kind) => format!("the disk of the store ({kind})"),
        None => "the disk of the store".to_owned(),
    };
    let mut lines = Vec::new();
    lines.push(match (disk.clones, disk.hard_links) {
        (false, false) => Line::warning(TOPIC, format!("{kind} has neither hard links nor clones"))
            .means(
                "every snapshot is a full copy there, and a backup needs space for two more \
                 copies than the retention rules allow",
            )
            .concern(Concern::NoSharing),
        (true, _) => Line::ok(TOPIC, format!("{kind} has clones"))
            .means("unchanged files take no extra disk space in a snapshot"),
        (false, true) => Line::ok(TOPIC, format!("{kind} has hard links"))
            .means("unchanged files take no extra disk space in a snapshot"),
    });
    match disk.large_files {
        Some(false) => lines.push(
            Line::problem(TOPIC, format!("{kind} cannot hold files over 4 GB"))
                .means("a backup fails if it includes such a file, for example a long video")
                .concern(Concern::NoLargeFiles),
        ),
        Some(true) => lines.push(Line::ok(TOPIC, format!("{kind} holds files over 4 GB"))),
        // The probe found no space even for one small file. `space` reports that.
        None => {}
    }
    if !disk.case_sensitive {
        lines.push(
            Line::ok(TOPIC, format!("{kind} does not distinguish `a` from `A`"))
                .means("this is harmless: the files of a backup are named with hex digits"),
        );
    }
    lines
}

/// Returns the phones to judge: those in the store, and those that are connected.
pub(crate) fn phones<'a>(
    store_facts: &'a StoreFacts,
    phones: &'a [Health],
) -> Vec<(StoredPhone, Option<&'a Health>)> {
    // Of a store that is away, nothing is known.
    let is_away = store_facts.is_named && store_facts.absence.is_some();
    if store_facts.silent || store_facts.trouble.is_some() || is_away {
        return Vec::new();
    }
    let find = |udid: &Udid| phones.iter().find(|health| health.phone.udid == *udid);
    let mut all: Vec<_> = store_facts
        .phones
        .iter()
        .map(|stored| (stored.clone(), find(&stored.udid)))
        .collect();
    for health in phones {
        let udid = &health.phone.udid;
        if !store_facts.phones.iter().any(|stored| stored.udid == *udid) {
            let nothing = StoredPhone {
                verified: None,
                damaged: false,
                retired: false,
                unread: None,
                copies: Ok(Vec::new()),
                udid: udid.clone(),
                current: None,
                made: None,
                last_run: None,
                draft: None,
            };
            all.push((nothing, Some(health)));
        }
    }
    all
}

/// Returns the findings about one phone's backups and the space for the next one.
pub(crate) fn judge_phone(
    store_facts: &StoreFacts,
    stored: &StoredPhone,
    health: Option<&Health>,
    now: SystemTime,
    age_max: Duration,
) -> Vec<Line> {
    let stored_name = stored
        .current
        .as_ref()
        .and_then(|backup| backup.name.clone());
    let name = match (health, stored_name) {
        (Some(health), _) => name(health),
        (None, Some(name)) => name,
        (None, None) => format!("phone {}", stored.udid),
    };
    let mut lines = Vec::new();
    lines.extend(draft(stored, &name));
    lines.push(last_backup(stored, &name, now, age_max));
    lines.extend(notes(stored, &name));
    lines.extend(last_verified(stored, &name, now));
    lines.extend(health.and_then(|health| space(store_facts, stored, health, &name)));
    lines
        .into_iter()
        .map(|line| line.of(&stored.udid))
        .collect()
}

fn draft(stored: &StoredPhone, name: &str) -> Option<Line> {
    let (written, running) = stored.draft?;
    let when = time::local_text(written);
    Some(if running {
        Line::ok(
            "draft",
            format!("a backup of {name} is running, last written to {when}"),
        )
    } else {
        Line::warning(
            "draft",
            format!("a backup of {name} was interrupted, last written to {when}"),
        )
        .means(
            "its draft takes up disk space until the next run, which continues it if the phone \
             agrees; the last good backup is untouched",
        )
        .concern(Concern::DraftLeft)
    })
}

fn last_backup(stored: &StoredPhone, name: &str, now: SystemTime, age_max: Duration) -> Line {
    const TOPIC: &str = "backup";
    let Some(backup) = &stored.current else {
        return Line::warning(TOPIC, format!("the store has no backup of {name}"))
            .means("if the phone were lost now, its data would be lost too")
            .concern(Concern::NoBackup);
    };
    if backup.refused {
        let path = &backup.path;
        return Line::problem(
            TOPIC,
            format!("this user may not read the current backup of {name} ({path})"),
        )
        .means(
            "another user or `sudo` made it: it cannot be checked, and no backup can continue from \
             it",
        )
        .concern(Concern::BackupRefused);
    }
    if !backup.complete {
        return Line::problem(
            TOPIC,
            format!("the current backup of {name} was never finished"),
        )
        .means("another program began it and was interrupted: restoring from it may fail")
        .concern(Concern::NotFinished);
    }
    if stored.damaged {
        return Line::problem(
            TOPIC,
            format!("a check found the current backup of {name} damaged"),
        )
        .means("some of it cannot be restored")
        .concern(Concern::Damaged);
    }
    let Some(made) = stored.made else {
        return Line::warning(
            TOPIC,
            format!("the backup of {name} does not say when it was made"),
        )
        .means("none of its property lists has a readable date")
        .concern(Concern::NoDate);
    };
    match time::age(now, made) {
        _ if stored.retired => Line::ok(
            TOPIC,
            format!(
                "the last good backup of {name} was made {}, and the phone is retired",
                time::local_text(made)
            ),
        ),
        None => Line::warning(
            TOPIC,
            format!(
                "the last good backup of {name} is dated {}, which is in the future",
                time::local_text(made)
            ),
        )
        .means("the clock of this computer or of the phone is or was wrong")
        .concern(Concern::FutureDate),
        Some(age) if age > age_max => Line::warning(
            TOPIC,
            format!("the last good backup of {name} is {} old", span(age)),
        )
        .means("newer data exists only on the phone")
        .concern(Concern::Overdue),
        Some(_) => Line::ok(
            TOPIC,
            format!(
                "the last good backup of {name} was made {}",
                time::local_text(made)
            ),
        ),
    }
}

fn notes(stored: &StoredPhone, name: &str) -> Option<Line> {
    let trouble = stored.unread.as_ref()?;
    let line = Line::warning("notes", format!("the notes of {name}: {trouble}"))
        .means(
            "it is unknown which backups are pinned, named, verified or damaged, so old ones are \
             not dropped",
        )
        .concern(Concern::Trouble(trouble.clone()));
    Some(line)
}

/// Time after which a backup should be read through again, because disks lose data unnoticed.
const UNREAD_MAX: Duration = Duration::from_secs(90 * 86_400);

fn last_verified(stored: &StoredPhone, name: &str, now: SystemTime) -> Option<Line> {
    const TOPIC: &str = "verified";
    // `last_backup` already reports the damage.
    if stored.damaged {
        return None;
    }
    // Every backup is checked when it is made, which counts as the first check.
    let last = stored.verified.max(stored.made)?;
    let says = match stored.verified {
        Some(time) => format!(
            "a backup of {name} was last verified on {}",
            time::local_text(time)
        ),
        None => format!("no backup of {name} has been verified since it was made"),
    };
    let line = match now.duration_since(last) {
        Ok(age) if age > UNREAD_MAX && !stored.retired => Line::warning(TOPIC, says)
            .means("only reading the files reveals damage on the disk")
            .concern(Concern::NotVerified),
        _ => Line::ok(TOPIC, says),
    };
    Some(line)
}

/// An estimate of the bytes that the next backup needs, with the reason.
#[derive(Debug, PartialEq, Eq)]
enum Need {
    /// About this many bytes.
    About(u64, String),
    /// About this many bytes at most, and probably far fewer.
    AtMost(u64, String),
}

/// Estimates the bytes that the next backup needs. Only the phone knows the exact number, and it
/// gives it only once a backup begins.
fn need(store_facts: &StoreFacts, stored: &StoredPhone, health: &Health) -> Option<Need> {
    let used = health
        .capacity_bytes
        .zip(health.free_bytes)
        .map(|(capacity, free)| capacity.saturating_sub(free));
    let Some(backup) = stored.current.as_ref().filter(|backup| backup.complete) else {
        let why = "estimated for a first backup from the space used on the phone, without the \
            apps themselves";
        return used.map(|used| Need::AtMost(used, why.to_owned()));
    };
    let whole = backup.bytes.or(used)?;
    if let (Some(was), Some(will)) = (backup.encrypted, health.encryption.is_on)
        && was != will
    {
        let word = if will { "on" } else { "off" };
        let why = format!(
            "the phone sends everything again, because encryption was switched {word} after the \
             last backup"
        );
        return Some(Need::About(whole, why));
    }
    let shares = match &store_facts.abilities {
        Some(Ok(disk)) => disk.clones || disk.hard_links && backup.ours,
        _ => true,
    };
    if !shares {
        let why = "the last backup is copied first, because this disk cannot share files between \
            backups";
        return Some(Need::About(whole, why.to_owned()));
    }
    match stored.last_run {
        Some((false, received)) => Some(Need::About(
            received,
            "estimated from the last run, which received only changes".to_owned(),
        )),
        _ => Some(Need::AtMost(
            whole,
            "the phone sends only changes; their size cannot be estimated from a single backup"
                .to_owned(),
        )),
    }
}

fn space(
    store_facts: &StoreFacts,
    stored: &StoredPhone,
    health: &Health,
    name: &str,
) -> Option<Line> {
    const TOPIC: &str = "room";
    let free = store_facts.free_bytes?;
    let need = need(store_facts, stored, health)?;
    let (Need::About(bytes, why) | Need::AtMost(bytes, why)) = &need;
    // The same sum as in the error of a backup: what the phone sends, and what it demands beyond.
    let needed = bytes.saturating_add(SPARE_BYTES);
    let says = format!(
        "the next backup of {name} needs about {}, and the store has {} free",
        size(needed),
        size(free)
    );
    let missing_bytes = needed.saturating_sub(free);
    let why = format!(
        "{why}; a phone wants {} free beyond what it sends",
        size(SPARE_BYTES)
    );
    let concern = Concern::StoreFull { missing_bytes };
    Some(match need {
        _ if missing_bytes == 0 => Line::ok(TOPIC, says).means(why),
        // The phone refuses to begin with less free space than this, however little it would send.
        _ if free < SPARE_BYTES => Line::problem(TOPIC, says).means(why).concern(concern),
        Need::About(..) => Line::problem(TOPIC, says).means(why).concern(concern),
        Need::AtMost(..) => Line::warning(TOPIC, says)
            .means(format!(
                "{why}. The phone reports the space that it needs before it sends anything"
            ))
            .concern(concern),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::doctor::Trouble;
    use crate::history::list::Backup;
    use crate::store;
    use crate::transport::{Attached, Via};

    const UDID: &str = "00008130-001A2B3C4D5E6F70";
    const DAY: Duration = Duration::from_secs(86_400);
    const GB: u64 = 1_000_000_000;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 20_000 * DAY
    }

    fn store_facts() -> StoreFacts {
        StoreFacts {
            exists: true,
            free_bytes: Some(100 * GB),
            abilities: Some(Ok(Abilities {
                file_system: Some("ext4".to_owned()),
                hard_links: true,
                clones: false,
                case_sensitive: true,
                large_files: Some(true),
            })),
            ..StoreFacts::at("/srv/backups".into(), true)
        }
    }

    fn with_disk(change: fn(&mut Abilities)) -> StoreFacts {
        let mut store_facts = store_facts();
        if let Some(Ok(disk)) = &mut store_facts.abilities {
            change(disk);
        }
        store_facts
    }

    fn stored() -> StoredPhone {
        StoredPhone {
            verified: None,
            damaged: false,
            retired: false,
            unread: None,
            copies: Ok(Vec::new()),
            udid: UDID.parse().unwrap(),
            current: Some(Backup {
                udid: UDID.to_owned(),
                name: Some("Mira's iPhone".to_owned()),
                model: None,
                ios: None,
                date: None,
                current: true,
                complete: true,
                encrypted: Some(true),
                files: None,
                bytes: Some(60 * GB),
                ours: true,
                path: "/srv/backups/x".to_owned(),
                ..Backup::default()
            }),
            made: Some(now() - DAY),
            last_run: Some((false, 3 * GB)),
            draft: None,
        }
    }

    fn health() -> Health {
        let mut health = Health::of(Attached {
            device_id: 1,
            udid: UDID.parse().unwrap(),
            via: Via::Usb,
            is_replayed: false,
        });
        health.encryption.is_on = Some(true);
        (health.capacity_bytes, health.free_bytes) = (Some(250 * GB), Some(170 * GB));
        health
    }

    #[test]
    fn usable_store_passes_every_check() {
        let lines = judge(&store_facts());
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|l| l.level == Level::Ok), "{lines:#?}");
        let lines = judge_phone(&store_facts(), &stored(), Some(&health()), now(), 7 * DAY);
        assert!(lines.iter().all(|l| l.level == Level::Ok), "{lines:#?}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn store_and_disk_problems_are_reported() {
        use Level::{Ok as Fine, Problem, Warning};
        let trouble = || {
            let denied = std::io::ErrorKind::PermissionDenied.into();
            Trouble::from(store::Error::io("write in", "x".as_ref(), denied))
        };
        let silent = StoreFacts {
            silent: true,
            ..store_facts()
        };
        let broken = StoreFacts {
            trouble: Some(trouble()),
            ..store_facts()
        };
        let read_only = StoreFacts {
            abilities: Some(Err(trouble())),
            ..store_facts()
        };
        let absent = |is_named| StoreFacts {
            exists: false,
            absence: Some(Trouble::from(store::Error::NoStore {
                path: "x".into(),
                cause: store::Absence::NoMark,
            })),
            is_named,
            ..store_facts()
        };
        let table = [
            (silent, Problem, "store", "does not answer"),
            (broken, Problem, "store", "cannot write in x"),
            (read_only, Problem, "store", "cannot write in x"),
            (absent(true), Warning, "store", "no store found"),
            (absent(false), Fine, "store", "is not a store yet"),
            (
                with_disk(|d| d.hard_links = false),
                Warning,
                "disk",
                "neither hard links nor clones",
            ),
            (with_disk(|d| d.clones = true), Fine, "disk", "has clones"),
            (
                with_disk(|d| d.large_files = Some(false)),
                Problem,
                "disk",
                "over 4 GB",
            ),
            (
                with_disk(|d| d.case_sensitive = false),
                Fine,
                "disk",
                "does not distinguish",
            ),
        ];
        for (store_facts, level, topic, words) in table {
            let lines = judge(&store_facts);
            let line = lines.iter().find(|l| l.says.contains(words));
            let line = line.unwrap_or_else(|| panic!("{words}: {lines:#?}"));
            assert_eq!((line.level, line.topic), (level, topic), "{words}");
            assert!(level == Fine || line.means.is_some() && line.concern.is_some());
        }
    }

    #[test]
    fn backup_and_draft_states_are_reported() {
        use Level::{Ok as Fine, Problem, Warning};
        type Change = fn(&mut StoredPhone);
        let table: [(Level, &str, &str, Change); 8] = [
            (Warning, "backup", "no backup of", |k| k.current = None),
            (Problem, "backup", "never finished", |k| {
                if let Some(backup) = &mut k.current {
                    backup.complete = false;
                }
            }),
            (Warning, "backup", "9 days old", |k| {
                k.made = Some(now() - 9 * DAY)
            }),
            (Fine, "backup", "was made ", |k| {
                k.made = Some(now() - 7 * DAY)
            }),
            (Warning, "backup", "in the future", |k| {
                k.made = Some(now() + DAY)
            }),
            (Warning, "backup", "does not say when", |k| k.made = None),
            (Warning, "draft", "interrupted", |k| {
                k.draft = Some((now(), false))
            }),
            (Fine, "draft", "is running", |k| {
                k.draft = Some((now(), true))
            }),
        ];
        for (level, topic, words, change) in table {
            let mut stored = stored();
            change(&mut stored);
            let lines = judge_phone(&store_facts(), &stored, None, now(), 7 * DAY);
            let line = lines.iter().find(|l| l.says.contains(words));
            let line = line.unwrap_or_else(|| panic!("{words}: {lines:#?}"));
            assert_eq!((line.level, line.topic), (level, topic), "{words}");
            assert!(level == Fine || line.means.is_some() && line.concern.is_some());
            assert_eq!(line.udid.as_deref(), Some(UDID));
        }
    }

    #[test]
    fn next_backup_size_is_estimated() {
        let need_of = |store_facts: &StoreFacts, stored: &StoredPhone| match need(
            store_facts,
            stored,
            &health(),
        )
        .unwrap()
        {
            Need::About(bytes, _) => (bytes / GB, true),
            Need::AtMost(bytes, _) => (bytes / GB, false),
        };
        assert_eq!(need_of(&store_facts(), &stored()), (3, true));
        let first = StoredPhone {
            current: None,
            ..stored()
        };
        assert_eq!(need_of(&store_facts(), &first), (80, false));
        let after_one = StoredPhone {
            last_run: Some((true, 60 * GB)),
            ..stored()
        };
        assert_eq!(need_of(&store_facts(), &after_one), (60, false));
        let mut switched = stored();
        switched.current.as_mut().unwrap().encrypted = Some(false);
        assert_eq!(need_of(&store_facts(), &switched), (60, true));
        let exfat = with_disk(|d| d.hard_links = false);
        assert_eq!(need_of(&exfat, &stored()), (60, true));
        let mut theirs = stored();
        theirs.current.as_mut().unwrap().ours = false;
        assert_eq!(need_of(&store_facts(), &theirs), (60, true));
        assert_eq!(need_of(&with_disk(|d| d.clones = true), &theirs), (3, true));
        let mut mute = health();
        mute.capacity_bytes = None;
        assert_eq!(need(&store_facts(), &first, &mute), None);
    }

    /// Checks that a lack of space is a problem if the need is known, and a warning if only an
    /// upper bound is known.
    #[test]
    fn known_shortage_is_a_problem() {
        let level = |free, stored: &StoredPhone| {
            let store_facts = StoreFacts {
                free_bytes: Some(free),
                ..store_facts()
            };
            space(&store_facts, stored, &health(), "x").unwrap().level
        };
        let first = StoredPhone {
            current: None,
            ..stored()
        };
        let line = space(&store_facts(), &stored(), &health(), "x").unwrap();
        assert!(line.says.contains("needs about 3.1 GB"), "{line:?}");
        assert_eq!(level(3 * GB + SPARE_BYTES, &stored()), Level::Ok);
        assert_eq!(level(3 * GB + SPARE_BYTES - 1, &stored()), Level::Problem);
        assert_eq!(level(79 * GB, &first), Level::Warning);
        assert_eq!(level(SPARE_BYTES - 1, &first), Level::Problem);
    }
}
