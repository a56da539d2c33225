//! Tasks for Windows' Task Scheduler, in its schema 1.2 (MS-TSCH, section 2.5). The schema
//! prescribes the order of elements.

use super::{DAYS, Job, When, xml};

/// Returns the path of a job's task in the Task Scheduler.
pub(crate) fn task_name(name: &str) -> String {
    format!("\\idev-backup\\{name}")
}

/// Builds the task's definition. `schtasks /Create /XML` expects it as UTF-16 with a byte order
/// mark: [`encoded`].
pub(crate) fn task(job: &Job) -> String {
    // The date is a day in the past: only the time of day matters.
    let calendar = |hour: u8, minute: u8, repeat: String, by: String| {
        format!(
            "    <CalendarTrigger>\n{repeat}      <StartBoundary>2024-01-07T{hour:02}:{minute:02}:00</StartBoundary>\n      \
             <Enabled>true</Enabled>\n{by}    </CalendarTrigger>\n"
        )
    };
    let by_day = || {
        "      <ScheduleByDay>\n        <DaysInterval>1</DaysInterval>\n      </ScheduleByDay>\n"
            .to_owned()
    };
    let trigger = match job.when {
        When::Daily { hour, minute } => calendar(hour, minute, String::new(), by_day()),
        When::Weekly { day, hour, minute } => {
            let day = DAYS[usize::from(day) % 7];
            let by = format!(
                "      <ScheduleByWeek>\n        <DaysOfWeek>\n          <{day} />\n        </DaysOfWeek>\n        \
                 <WeeksInterval>1</WeeksInterval>\n      </ScheduleByWeek>\n"
            );
            calendar(hour, minute, String::new(), by)
        }
        When::Every { minutes: 1440 } => calendar(0, 0, String::new(), by_day()),
        When::Every { minutes } => {
            let repeat = format!(
                "      <Repetition>\n        <Interval>PT{minutes}M</Interval>\n        <Duration>P1D</Duration>\n        \
                 <StopAtDurationEnd>false</StopAtDurationEnd>\n      </Repetition>\n"
            );
            calendar(0, 0, repeat, by_day())
        }
        When::Always => {
            "    <LogonTrigger>\n      <Enabled>true</Enabled>\n    </LogonTrigger>\n".to_owned()
        }
    };
    let (limit, restart) = match job.when {
        When::Always => (
            "PT0S",
            "    <RestartOnFailure>\n      <Interval>PT1M</Interval>\n      <Count>3</Count>\n    </RestartOnFailure>\n",
        ),
        _ => ("PT12H", ""),
    };
    let (program, arguments) = job
        .command
        .split_first()
        .map_or(("", &[][..]), |(p, a)| (p, a));
    let arguments: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n\
         <Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\n  \
         <RegistrationInfo>\n    <Description>Backup of iPhones and iPads ({name})</Description>\n  </RegistrationInfo>\n  \
         <Triggers>\n{trigger}  </Triggers>\n  \
         <Principals>\n    <Principal id=\"Author\">\n      <LogonType>InteractiveToken</LogonType>\n      \
         <RunLevel>LeastPrivilege</RunLevel>\n    </Principal>\n  </Principals>\n  \
         <Settings>\n    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n    \
         <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n    \
         <StartWhenAvailable>true</StartWhenAvailable>\n    <ExecutionTimeLimit>{limit}</ExecutionTimeLimit>\n{restart}  </Settings>\n  \
         <Actions Context=\"Author\">\n    <Exec>\n      <Command>{program}</Command>\n      <Arguments>{arguments}</Arguments>\n    \
         </Exec>\n  </Actions>\n</Task>\n",
        name = job.name,
        program = xml(program),
        arguments = xml(&arguments.join(" ")),
    )
}

/// Quotes a word for CommandLineToArgvW.
fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    let mut backslashes = 0;
    for c in word.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                out.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        out.push(c);
    }
    out.extend(std::iter::repeat_n('\\', backslashes));
    out.push('"');
    out
}

/// Encodes a definition as UTF-16, little-endian, with a byte order mark.
pub(crate) fn encoded(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    #[test]
    fn windows_arguments_are_quoted_correctly() {
        for (word, expected) in [
            ("run", r#""run""#),
            (r"C:\my data\", r#""C:\my data\\""#),
            (r#"a"b"#, r#""a\"b""#),
            (r#"a\"b"#, r#""a\\\"b""#),
        ] {
            assert_eq!(quoted(word), expected);
        }
        assert_eq!(encoded("aé"), [0xff, 0xfe, b'a', 0, 0xe9, 0]);
    }

    #[test]
    fn each_schedule_has_its_trigger() {
        for (when, has) in [
            ("daily 22:00", "T22:00:00</StartBoundary>"),
            ("weekly Sun 3:05", "<Sunday />"),
            ("every 6h", "<Interval>PT360M</Interval>"),
            ("every 24h", "<DaysInterval>1</DaysInterval>"),
            ("always", "<LogonTrigger>"),
        ] {
            let text = task(&hostile(when.parse().unwrap()));
            assert!(text.contains(has), "{text}");
            assert!(
                text.contains("<Command>/opt/my tools/idev-backup</Command>"),
                "{text}"
            );
            assert!(text.contains("&lt;é&gt;.json&quot;</Arguments>"), "{text}");
        }
    }
}
