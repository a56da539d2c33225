//! Monitoring of a store: metrics, checks of all phones, and what jobs print.

use std::fs;
use std::sync::LazyLock;

use idev_backup::simulator::{Phone, PhoneConfig};
use regex::Regex;

use crate::rig::program::{Ran, ended, program};
use crate::rig::{OTHER_UDID, Rig, UDID, config};

fn runs(rig: &Rig, args: &[&str], code: i32) -> Ran {
    let ran = ended(program(rig).args(args));
    assert_eq!(ran.code, code, "{args:?}: {}", ran.all());
    ran
}

/// Returns a rig with two phones; the name of the second one needs escaping.
fn two_phones() -> Rig {
    let rig = Rig::new();
    rig.daemon.attach(Phone::new(PhoneConfig {
        udid: OTHER_UDID.parse().unwrap(),
        name: "Kitchen \"iPad\" \\1".into(),
        ..config()
    }));
    rig
}

/// Parses metrics strictly: every line is a comment of a known form or a sample of the family that
/// was declared last. Returns the samples.
fn parsed(text: &str) -> Vec<(String, String, u64)> {
    static SAMPLE: LazyLock<Regex> = LazyLock::new(|| {
        let label = r#"[a-z_]+="(?:[^"\\\n]|\\["\\n])*""#;
        Regex::new(&format!(
            r"^([a-z][a-z_]*)\{{({label}(?:,{label})*)\}} (\d+)$"
        ))
        .unwrap()
    });
    let mut samples = Vec::new();
    let (mut helped, mut family) = (String::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{helped} gauge"));
            family = helped.clone();
        } else {
            let found = SAMPLE.captures(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(found[1], family);
            samples.push((
                found[1].to_owned(),
                found[2].to_owned(),
                found[3].parse().unwrap(),
            ));
        }
    }
    samples
}

fn value(samples: &[(String, String, u64)], name: &str, udid: &str) -> Option<u64> {
    let label = format!("udid=\"{udid}\"");
    let of = |s: &&(String, String, u64)| {
        s.0 == format!("idev_backup_{name}") && (udid.is_empty() || s.1.contains(&label))
    };
    samples.iter().find(of).map(|sample| sample.2)
}

#[test]
fn metrics_show_the_state_of_each_phone() {
    let rig = two_phones();
    runs(&rig, &["create", "-q", "--all"], 0);
    runs(&rig, &["verify", "Mira"], 0);
    let read = |args: &[&str], code| {
        let ran = runs(&rig, &[&["list", "--metrics"], args].concat(), code);
        parsed(&ran.out)
    };
    let samples = read(&[], 0);
    for udid in [UDID, OTHER_UDID] {
        for (name, expected) in [
            ("overdue", 0),
            ("retired", 0),
            ("damaged", 0),
            ("snapshots", 1),
        ] {
            assert_eq!(value(&samples, name, udid), Some(expected), "{name}");
        }
        assert!(value(&samples, "last_good_age_seconds", udid).is_some_and(|age| age < 3600));
        assert!(value(&samples, "size_bytes", udid).is_some_and(|bytes| bytes > 100_000));
    }
    assert_eq!(value(&samples, "store_up", ""), Some(1));
    assert_eq!(value(&samples, "store_phones", ""), Some(2));
    assert!(value(&samples, "store_free_bytes", "").is_some());
    assert!(value(&samples, "verified_age_seconds", UDID).is_some_and(|age| age < 3600));
    assert_eq!(value(&samples, "verified_age_seconds", OTHER_UDID), None);
    let named = samples.iter().find(|s| s.1.contains(OTHER_UDID)).unwrap();
    let name = r#",name="Kitchen \"iPad\" \\1""#;
    assert!(named.1.ends_with(name), "{named:?}");

    // `--check` only decides the exit code.
    let victim = crate::rig::victim(&rig);
    fs::remove_file(rig.current().join(victim)).unwrap();
    runs(&rig, &["verify", "-q", "Mira"], 1);
    let samples = read(&["--check"], 1);
    assert_eq!(value(&samples, "damaged", UDID), Some(1));
    assert_eq!(value(&samples, "newest_damaged", UDID), Some(1));
    assert_eq!(value(&samples, "overdue", UDID), Some(1));
    assert_eq!(value(&samples, "last_good_timestamp_seconds", UDID), None);
    assert_eq!(value(&read(&[], 0), "damaged", OTHER_UDID), Some(0));
    runs(&rig, &["retire", "Mira"], 0);
    let samples = read(&[], 0);
    assert_eq!(value(&samples, "overdue", UDID), Some(0));
    assert_eq!(value(&samples, "retired", UDID), Some(1));
}

#[test]
fn metrics_file_is_replaced_whole() {
    let rig = Rig::backed_up();
    let file = rig.dir.path().join("idev_backup.prom");
    let to = file.to_str().unwrap();
    fs::write(&file, "old").unwrap();
    let ran = runs(&rig, &["list", "--check", "--metrics", "--output", to], 0);
    assert_eq!(ran.all().trim(), "");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(value(&parsed(&text), "overdue", UDID), Some(0));
    #[cfg(unix)]
    {
        // Another user's program reads this file, so the umask alone decides its permissions.
        use std::os::unix::fs::PermissionsExt;
        let ordinary = rig.dir.path().join("ordinary");
        fs::write(&ordinary, "").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), mode(&ordinary) & 0o644);
    }
    let folder = rig.dir.path().to_str().unwrap();
    let ran = runs(&rig, &["list", "--metrics", "--output", folder], 1);
    assert!(ran.err.contains("is not a file"), "{}", ran.all());
    runs(&rig, &["list", "--to", to], 2);
    runs(&rig, &["list", "--metrics", "--json"], 2);

    // A store that is away is reported as such, and does not leave the old values in place.
    let gone = rig.dir.path().join("gone");
    let gone = gone.to_str().unwrap();
    let ran = runs(
        &rig,
        &["list", "--metrics", "--output", to, "--store", gone],
        1,
    );
    assert!(ran.err.contains("no store found"), "{}", ran.all());
    let samples = parsed(&fs::read_to_string(&file).unwrap());
    assert_eq!(value(&samples, "store_up", ""), Some(0));
    assert_eq!(value(&samples, "overdue", UDID), None);
    let left: Vec<_> = fs::read_dir(rig.dir.path()).unwrap().flatten().collect();
    let is_temporary = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("tmp");
    assert!(!left.iter().any(is_temporary), "{left:?}");
}
