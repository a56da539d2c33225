//! Launch agents of the user; see launchd.plist(5).

use super::{Job, When, xml};

/// Returns launchd's label of a job.
pub(crate) fn label(name: &str) -> String {
    format!("org.idev-backup.{name}")
}

/// Builds the property list of a job.
pub(crate) fn agent(job: &Job) -> String {
    let mut words = String::new();
    for word in &job.command {
        words += &format!("\t\t<string>{}</string>\n", xml(word));
    }
    let at = |pairs: &[(&str, u16)]| {
        let mut dict = String::from("\t\t<dict>\n");
        for (key, number) in pairs {
            dict += &format!("\t\t\t<key>{key}</key>\n\t\t\t<integer>{number}</integer>\n");
        }
        dict + "\t\t</dict>\n"
    };
    let calendar = |dicts: String| {
        format!("\t<key>StartCalendarInterval</key>\n\t<array>\n{dicts}\t</array>\n")
    };
    let when = match job.when {
        When::Daily { hour, minute } => calendar(at(&[("Hour", hour.into()), ("Minute", minute.into())])),
        When::Weekly { day, hour, minute } => calendar(at(&[
            ("Weekday", day.into()),
            ("Hour", hour.into()),
            ("Minute", minute.into()),
        ])),
        // Do not use StartInterval: launchd makes up for runs missed during sleep only with a
        // calendar.
        When::Every { minutes } if minutes < 60 => {
            let times = (0..60).step_by(usize::from(minutes));
            calendar(times.map(|m| at(&[("Minute", m)])).collect())
        }
        When::Every { minutes } => {
            let times = (0..24).step_by(usize::from(minutes / 60));
            calendar(times.map(|h| at(&[("Hour", h), ("Minute", 0)])).collect())
        }
        When::Always => {
            "\t<key>RunAtLoad</key>\n\t<true/>\n\t<key>KeepAlive</key>\n\t<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>\n\
             \t<key>ThrottleInterval</key>\n\t<integer>30</integer>\n"
                .to_owned()
        }
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n\
         \t<key>Label</key>\n\t<string>{}</string>\n\
         \t<key>ProgramArguments</key>\n\t<array>\n{words}\t</array>\n\
         {when}\
         \t<key>ProcessType</key>\n\t<string>Background</string>\n\
         </dict>\n</plist>\n",
        xml(&label(&job.name)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile;
    use super::*;

    fn read(when: &str) -> (plist::Dictionary, Job) {
        let job = hostile(when.parse().unwrap());
        let value = plist::Value::from_reader_xml(agent(&job).as_bytes()).unwrap();
        (value.into_dictionary().unwrap(), job)
    }

    #[test]
    fn launchd_plist_holds_command_and_times() {
        for (when, times) in [
            ("daily 22:00", 1),
            ("weekly Sun 3:05", 1),
            ("every 6h", 4),
            ("every 15m", 4),
            ("every 24h", 1),
            ("always", 0),
        ] {
            let (dict, job) = read(when);
            let words = dict["ProgramArguments"].as_array().unwrap();
            let words: Vec<&str> = words.iter().map(|w| w.as_string().unwrap()).collect();
            assert_eq!(words, job.command, "{when}");
            let calendar = dict.get("StartCalendarInterval").and_then(|c| c.as_array());
            assert_eq!(calendar.map_or(0, Vec::len), times, "{when}");
            assert_eq!(dict.contains_key("KeepAlive"), times == 0, "{when}");
        }
        let (dict, _) = read("weekly Sun 3:05");
        let at = dict["StartCalendarInterval"].as_array().unwrap()[0]
            .as_dictionary()
            .unwrap();
        let number = |key: &str| at[key].as_unsigned_integer();
        assert_eq!(
            (number("Weekday"), number("Hour"), number("Minute")),
            (Some(0), Some(3), Some(5))
        );
    }
}
