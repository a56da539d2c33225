//! Lists the peculiarities of iOS versions that matter for a backup, each with its source.

use super::concern::Concern;
use super::line::Line;

const TOPIC: &str = "ios";

/// A range of iOS versions, and the fact that applies to it.
struct Fact {
    from: [u32; 3],
    /// The end of the range, exclusive.
    to: [u32; 3],
    means: &'static str,
    /// The concern, if this version itself causes trouble.
    concern: Option<Concern>,
}

const ASKS: &str =
    "since iOS 16.1 and 15.7.1, a phone with a passcode asks for it at the start of each backup";
const LATER: [u32; 3] = [u32::MAX, 0, 0];

static FACTS: [Fact; 7] = [
    Fact {
        from: [0, 0, 0],
        to: [10, 0, 0],
        means: "before iOS 10, the list of files is Manifest.mbdb, which fewer programs can read",
        concern: None,
    },
    // Source: imazing.com, 2017: "iPhone Disconnected iTunes Backup Error".
    Fact {
        from: [10, 3, 3],
        to: [10, 3, 4],
        means: "iOS 10.3.3 can end each backup at the same place, at a file with accents in its \
            name",
        concern: Some(Concern::IosEndsEarly),
    },
    // Source: protocol.md, "The passcode".
    Fact {
        from: [15, 7, 1],
        to: [16, 0, 0],
        means: ASKS,
        concern: None,
    },
    Fact {
        from: [16, 1, 0],
        to: LATER,
        means: ASKS,
        concern: None,
    },
    // Source: pmd3#755.
    Fact {
        from: [17, 0, 0],
        to: [18, 0, 0],
        means: "on iOS 17, one file of FileProvider, backup_manifest.db, always fails; this is \
            harmless and only noted",
        concern: None,
    },
    // Source: limd#1735.
    Fact {
        from: [26, 0, 1],
        to: [26, 0, 2],
        means: "iOS 26.0.1 may finish a backup without confirming it; after the time limit, a check \
            of the files decides",
        concern: Some(Concern::IosUnconfirmed),
    },
    // Sources: protocol.md, "Restore"; for supervision limd#1746, a report of two users.
    Fact {
        from: [27, 0, 0],
        to: LATER,
        means: "iOS 27 changed how parts of a backup are restored: restore whole backups only; \
            and by reports, supervision by an organisation is not restored any more",
        concern: None,
    },
];

/// The first version that announces itself on Wi-Fi in a new way (protocol.md, section 9).
const NEW_WIFI: [u32; 3] = [26, 4, 0];

/// Returns the finding about the iOS version of the phone called `name`.
pub(crate) fn judge(name: &str, model: &str, ios: &str, over_wifi: bool) -> Line {
    let says = format!("{name} is an {model} with iOS {ios}");
    let Some(version) = version(ios) else {
        return Line::warning(TOPIC, says)
            .means("this version number cannot be read, so version-specific notes are missing")
            .concern(Concern::IosUnknown);
    };
    let holds = |fact: &&Fact| (fact.from..fact.to).contains(&version);
    let facts: Vec<&Fact> = FACTS.iter().filter(holds).collect();
    let mut means: Vec<&str> = facts.iter().map(|fact| fact.means).collect();
    if over_wifi && version >= NEW_WIFI {
        means.push(
            "since iOS 26.4, phones announce themselves on Wi-Fi in a new way, which older \
             programs do not detect",
        );
    }
    let mut line = match facts.iter().find_map(|fact| fact.concern.clone()) {
        Some(concern) => Line::warning(TOPIC, says).concern(concern),
        None => Line::ok(TOPIC, says),
    };
    if !means.is_empty() {
        line = line.means(means.join("; "));
    }
    line
}

/// Parses a version such as "18.6.2". Missing parts are 0.
pub(crate) fn version(text: &str) -> Option<[u32; 3]> {
    let mut version = [0; 3];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 3 {
        return None;
    }
    for (number, part) in version.iter_mut().zip(parts) {
        *number = part.parse().ok()?;
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn ios_notes_match_the_version() {
        let table = [
            (
                "9.3.5",
                Level::Ok,
                &["Manifest.mbdb"][..],
                &["passcode"][..],
            ),
            ("10.3.3", Level::Warning, &["accents"], &["passcode"]),
            ("15.7", Level::Ok, &[], &["passcode"]),
            ("15.7.1", Level::Ok, &["passcode"], &["FileProvider"]),
            ("16.0.3", Level::Ok, &[], &["passcode"]),
            ("16.1", Level::Ok, &["passcode"], &["FileProvider"]),
            ("17.5.1", Level::Ok, &["passcode", "FileProvider"], &[]),
            ("18.6.2", Level::Ok, &["passcode"], &["FileProvider"]),
            (
                "26.0.1",
                Level::Warning,
                &["without confirming it"],
                &["FileProvider"],
            ),
            (
                "26.0.2",
                Level::Ok,
                &["passcode"],
                &["without confirming it"],
            ),
            ("27.1", Level::Ok, &["restore whole"], &[]),
            ("?", Level::Warning, &["cannot be read"], &[]),
            ("1.2.3.4", Level::Warning, &["cannot be read"], &[]),
        ];
        for (ios, level, told, not_told) in table {
            let line = judge("Mira's iPhone", "iPhone 15 Pro", ios, false);
            let means = line.means.unwrap_or_default();
            assert_eq!(line.level, level, "{ios}");
            for words in told {
                assert!(means.contains(words), "{ios}: {means}");
            }
            for words in not_told {
                assert!(!means.contains(words), "{ios}: {means}");
            }
        }
        let told = |ios, wifi| judge("a", "b", ios, wifi).means.unwrap_or_default();
        assert!(told("26.4", true).contains("Wi-Fi"));
        assert!(!told("26.4", false).contains("Wi-Fi") && !told("26.3", true).contains("Wi-Fi"));
    }
}
