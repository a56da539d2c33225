//! Services and timers of the user's systemd; see systemd.service(5) and systemd.timer(5).

use super::{DAYS, Job, When};

/// Returns the name of a job's unit, without its suffix.
pub(crate) fn unit(name: &str) -> String {
    format!("idev-backup-{name}")
}

/// Builds the service, which runs once per start or, for [`When::Always`], permanently.
pub(crate) fn service(job: &Job) -> String {
    let words: Vec<String> = job.command.iter().map(|word| quoted(word)).collect();
    let command = words.join(" ");
    // A run without anything to do exits with 0. Exit status 3 means a backup with problems, which
    // counts as a backup.
    let (kind, install) = match job.when {
        When::Always => (
            "Type=exec\nRestart=on-failure\nRestartSec=30",
            "\n[Install]\nWantedBy=default.target\n",
        ),
        _ => ("Type=oneshot", ""),
    };
    format!(
        "# Made by idev-backup, which overwrites it.\n\
         [Unit]\n\
         Description=Backup of iPhones and iPads ({name})\n\
         Documentation=man:idev-backup(1)\n\
         \n\
         [Service]\n\
         {kind}\n\
         ExecStart={command}\n\
         SuccessExitStatus=3\n\
         Nice=10\n\
         {install}",
        name = job.name
    )
}

/// Builds the timer, or returns `None` for a job that always runs.
pub(crate) fn timer(job: &Job) -> Option<String> {
    let calendar = match job.when {
        When::Daily { hour, minute } => format!("*-*-* {hour:02}:{minute:02}:00"),
        When::Weekly { day, hour, minute } => {
            let day = &DAYS[usize::from(day) % 7][..3];
            format!("{day} *-*-* {hour:02}:{minute:02}:00")
        }
        When::Every { minutes } if minutes < 60 => format!("*-*-* *:00/{minutes}:00"),
        When::Every { minutes: 1440 } => "*-*-* 00:00:00".to_owned(),
        When::Every { minutes } => format!("*-*-* 00/{}:00:00", minutes / 60),
        When::Always => return None,
    };
    Some(format!(
        "# Made by idev-backup, which overwrites it.\n\
         [Unit]\n\
         Description=When iPhones and iPads are backed up ({})\n\
         \n\
         [Timer]\n\
         OnCalendar={calendar}\n\
         # Makes up for a backup that was missed while the computer slept.\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        job.name
    ))
}

/// Quotes a word of ExecStart. Doubles `%` and `$`, which would start specifiers and variables
/// there.
fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '%' => out.push_str("%%"),
            '$' => out.push_str("$$"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn schedules_become_escaped_systemd_units() {
        let text = service(&hostile(When::Always));
        assert!(
            text.contains("\"/home/o'brien/50%% \\\"x\\\" $$HOME \\\\ & <é>.json\""),
            "{text}"
        );
        assert!(text.contains("Restart=on-failure") && text.contains("WantedBy=default.target"));
        assert_eq!(timer(&hostile(When::Always)), None);
        for (when, calendar) in [
            ("daily 22:00", "*-*-* 22:00:00"),
            ("weekly Sun 3:05", "Sun *-*-* 03:05:00"),
            ("every 6h", "*-*-* 00/6:00:00"),
            ("every 15m", "*-*-* *:00/15:00"),
        ] {
            let job = hostile(when.parse().unwrap());
            let timer = timer(&job).unwrap();
            assert!(
                timer.contains(&format!("OnCalendar={calendar}\n")),
                "{timer}"
            );
            let service = service(&job);
            assert!(service.contains("Type=oneshot") && !service.contains("[Install]"));
        }
    }
}
