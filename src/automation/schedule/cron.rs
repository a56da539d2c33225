//! Jobs in the user's crontab, each a single marked line. All other lines stay as they are, byte
//! for byte.
//!
//! ```text
//! 0 22 * * * '/usr/bin/idev-backup' 'schedule' 'run' '/home/...json' # idev-backup:nightly
//! ```

use super::{Job, When};

/// Returns the comment at the end of a job's line.
fn mark(name: &str) -> String {
    format!(" # idev-backup:{name}")
}

/// Returns the line of a job, without the line break.
pub(crate) fn line(job: &Job) -> String {
    let when = match job.when {
        When::Daily { hour, minute } => format!("{minute} {hour} * * *"),
        When::Weekly { day, hour, minute } => format!("{minute} {hour} * * {day}"),
        When::Every { minutes } if minutes < 60 => format!("*/{minutes} * * * *"),
        When::Every { minutes: 1440 } => "0 0 * * *".to_owned(),
        When::Every { minutes: 60 } => "0 * * * *".to_owned(),
        When::Every { minutes } => format!("0 */{} * * *", minutes / 60),
        When::Always => "@reboot".to_owned(),
    };
    let words: Vec<String> = job.command.iter().map(|word| quoted(word)).collect();
    format!("{when} {}{}", words.join(" "), mark(&job.name))
}

/// Quotes a word for sh, and escapes `%`, which cron would read as the end of the line.
fn quoted(word: &str) -> String {
    let word: String = word.chars().filter(|c| *c != '\n' && *c != '\r').collect();
    let word = format!("'{}'", word.replace('\'', "'\\''"));
    // cron removes the backslash before sh sees the word.
    word.replace('%', "\\%")
}

/// Returns the names of our jobs in a crontab.
pub(crate) fn names(crontab: &[u8]) -> Vec<String> {
    let ours = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let (line, name) = text.trim_end().rsplit_once(" # idev-backup:")?;
        let is_comment = line.trim_start().starts_with('#');
        (!is_comment && super::check_name(name).is_ok()).then(|| name.to_owned())
    };
    lines(crontab).filter_map(ours).collect()
}

/// Returns the crontab with the job's line, which replaces an older one of the same name or is
/// added at the end.
pub(crate) fn with(crontab: &[u8], job: &Job) -> Vec<u8> {
    let line = line(job).into_bytes();
    let mut out = Vec::with_capacity(crontab.len() + line.len() + 1);
    let mut placed = false;
    for old in lines(crontab) {
        if !is_of(old, &job.name) {
            out.extend_from_slice(old);
        } else if !placed {
            out.extend_from_slice(&line);
            out.push(b'\n');
            placed = true;
        }
    }
    if !placed {
        // cron ignores a last line without a line break, and our line would be appended to it.
        if out.last().is_some_and(|b| *b != b'\n') {
            out.push(b'\n');
        }
        out.extend_from_slice(&line);
        out.push(b'\n');
    }
    out
}

/// Returns the crontab without the job's line, or `None` if it has no such line.
pub(crate) fn without(crontab: &[u8], name: &str) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> = lines(crontab).filter(|line| !is_of(line, name)).collect();
    let kept = kept.concat();
    (kept.len() != crontab.len()).then_some(kept)
}

fn is_of(line: &[u8], name: &str) -> bool {
    let text = line.trim_ascii();
    text.ends_with(mark(name).as_bytes()) && !text.starts_with(b"#")
}

/// Splits a crontab into lines that keep their line breaks.
fn lines(crontab: &[u8]) -> impl Iterator<Item = &[u8]> {
    crontab.split_inclusive(|b| *b == b'\n')
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    fn job(when: &str) -> Job {
        Job {
            name: "nightly".to_owned(),
            when: when.parse().unwrap(),
            command: vec!["/bin/x".to_owned(), "run".to_owned()],
        }
    }

    #[test]
    fn schedules_become_escaped_cron_lines() {
        for (when, expected) in [
            ("daily 22:00", "0 22 * * * "),
            ("weekly Sun 3:05", "5 3 * * 0 "),
            ("every 6h", "0 */6 * * * "),
            ("every 1h", "0 * * * * "),
            ("every 24h", "0 0 * * * "),
            ("every 15m", "*/15 * * * * "),
            ("always", "@reboot "),
        ] {
            let line = line(&job(when));
            assert_eq!(
                line,
                format!("{expected}'/bin/x' 'run' # idev-backup:nightly")
            );
        }
        let line = line(&hostile(When::Always));
        assert!(
            line.contains("'/home/o'\\''brien/50\\% \"x\" $HOME"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn foreign_crontab_lines_stay_unchanged() {
        let odd: &[&[u8]] = &[
            b"",
            b"\n",
            b"# a comment\n\nMAILTO=\"\"\n5 4 * * * echo hi\n",
            b"@daily x\r\n0 1 * * * y\r\n",
            b"* * * * * no final newline",
            b"\xff\xfe not UTF-8 \x00\n\t * * * *   odd\n",
            b"# idev-backup:nightly\n# 0 0 * * * x # idev-backup:nightly\n",
            b"0 0 * * * x # idev-backup:nightly2\n0 0 * * * y # idev-backup:night\n",
        ];
        for crontab in odd {
            let added = with(crontab, &job("daily 22:00"));
            let shown = String::from_utf8_lossy(&added).into_owned();
            assert!(added.starts_with(crontab), "{shown}");
            assert!(names(&added).contains(&"nightly".to_owned()), "{shown}");
            let removed = without(&added, "nightly").unwrap();
            let ended = crontab.is_empty() || crontab.ends_with(b"\n");
            let newline: &[u8] = if ended { b"" } else { b"\n" };
            assert_eq!(removed, [crontab, newline].concat());
            assert_eq!(without(&removed, "nightly"), None);
        }
    }

    #[test]
    fn cron_job_is_replaced_in_place() {
        let between = with(b"a\n", &job("daily 22:00"));
        let between = [&between[..], b"z\n"].concat();
        let changed = String::from_utf8(with(&between, &job("every 6h"))).unwrap();
        let lines: Vec<&str> = changed.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "a", "z"));
        assert!(lines[1].starts_with("0 */6"), "{changed}");
        // A line that was given Windows line breaks, or is there twice, is still ours.
        let doubled = [&between[..], &between[..]].concat();
        let doubled = String::from_utf8(doubled).unwrap().replace('\n', "\r\n");
        let left = without(doubled.as_bytes(), "nightly").unwrap();
        assert_eq!(left, b"a\r\nz\r\na\r\nz\r\n");
    }
}
