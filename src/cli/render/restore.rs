//! Shows what a restore will overwrite, and how it ended.

use std::time::Duration;

use idev_backup::base::time;
use idev_backup::base::units::{counted, duration, size};
use idev_backup::doctor::Level;
use idev_backup::restore::{Considered, Options, Report, preflight};

use crate::cli::render::output;

/// Lists the data that will be overwritten, and the backup that will replace it.
pub fn question(seen: &Considered, options: &Options) -> Vec<String> {
    let (source, target) = (&seen.source, &seen.target);
    let mut lines = vec![
        format!(
            "This OVERWRITES what is on {}",
            output::one_line(&target.words())
        ),
        format!("  {}", target.udid),
    ];
    let date = source.date.as_deref().map(time::when_exactly);
    // These texts come from the backup and the phone: a name with a line break must not look like a
    // line of our output.
    let said =
        |text: &Option<String>, else_: &str| output::one_line(text.as_deref().unwrap_or(else_));
    lines.push(format!(
        "with the backup of {} ({}, iOS {}), made {}",
        said(&source.name, "a phone without a name"),
        said(&source.model, "unknown model"),
        said(&source.ios, "?"),
        date.as_deref().unwrap_or("at an unknown time"),
    ));
    lines.push(format!(
        "  {}, {}, {}: {}",
        counted(source.files, "file"),
        size(source.bytes),
        if source.encrypted {
            "encrypted"
        } else {
            "not encrypted"
        },
        output::one_line(&source.path)
    ));
    if !options.only.is_empty() {
        lines.push(format!(
            "  ONLY A PART OF IT: {}. This is untested with real phones; you may have to erase \
            the phone afterwards.",
            output::one_line(&options.only.join(", "))
        ));
    }
    let choose = |is: bool, yes: &str, no: &str| {
        if is {
            format!("  {yes}")
        } else {
            format!("  {no}")
        }
    };
    lines.push(choose(
        options.keep_settings,
        "The phone keeps its settings.",
        "Settings: restored from the backup.",
    ));
    lines.push(choose(
        options.system_files,
        "System files are restored too: messages, calls, accounts.",
        "System files are left out.",
    ));
    lines.push(choose(
        options.apps,
        if options.only.is_empty() {
            "Applications: the phone downloads them from the App Store."
        } else {
            "Applications: the phone downloads those in this part from the App Store."
        },
        "Applications: not downloaded.",
    ));
    lines.push(choose(
        options.remove_others,
        "What the backup does not have IS REMOVED from the phone.",
        "What the backup does not have stays where iOS allows it.",
    ));
    lines.push(choose(
        options.reboot,
        "The phone restarts at the end.",
        "The phone is not restarted: nothing from the backup appears until you restart it.",
    ));
    lines.extend(warnings(seen));
    lines
}

/// Lists the findings of the preflight checks that are not OK.
pub fn warnings(seen: &Considered) -> Vec<String> {
    let mut lines = Vec::new();
    for line in seen.lines.iter().filter(|line| line.level != Level::Ok) {
        lines.push(format!("  warning: {}", output::one_line(&line.says)));
        lines.extend((line.means.as_ref()).map(|means| format!("    {}", output::one_line(means))));
    }
    lines
}

/// Returns the final summary for people.
pub fn summary(report: &Report, options: &Options) -> Vec<String> {
    let time = |seconds: f64| duration(Duration::from_secs_f64(seconds));
    let mut lines = vec![String::new()];
    let with = match report.problems.len() as u64 {
        0 => String::new(),
        problems => format!(", with {}", counted(problems, "problem")),
    };
    lines.push(format!(
        "Done{with} in {}. {} has received {}: {}, {}.",
        time(report.seconds.total),
        output::one_line(&report.target.facts.name),
        if options.only.is_empty() {
            "the backup".to_owned()
        } else {
            format!(
                "a part of the backup ({})",
                output::one_line(&options.only.join(", "))
            )
        },
        counted(report.sent_files, "file"),
        size(report.sent_bytes),
    ));
    lines.push(match (report.reboot, report.is_back) {
        (false, _) => {
            "  NOTHING OF IT APPEARS YET: restart the phone. Until then it refuses other restores \
            (code 102)."
                .to_owned()
        }
        (true, Some(true)) => {
            "  The phone has restarted. It continues to arrange the restored data for a while."
                .to_owned()
        }
        (true, Some(false)) => "  The phone is restarting, and has not come back yet.".to_owned(),
        (true, None) => {
            "  The phone is restarting, and shows the restored data afterwards; this can take \
            some minutes."
                .to_owned()
        }
    });
    if report.apps {
        lines.push(
            "  The phone downloads applications from the App Store once it is signed in, except \
            those no longer available there."
                .to_owned(),
        );
    }
    if !report.source.encrypted {
        lines.push(format!(
            "  Not restored, because the backup is not encrypted: {}.",
            preflight::NOT_IN_PLAIN
        ));
    }
    lines.push(format!(
        "  Checking the backup took {}, preparing the phone {}, and sending files {}.",
        time(report.seconds.check),
        time(report.seconds.prepare),
        time(report.seconds.send),
    ));
    lines.push(format!("  {} is unchanged.", report.source.path));
    lines
}

#[cfg(test)]
mod tests {
    use idev_backup::restore::subject::{Source, Target};

    use super::*;

    #[test]
    fn names_add_no_prompt_lines() {
        let forged = "x\n  The phone is NOT overwritten.";
        let source = Source {
            path: forged.to_owned(),
            name: Some(forged.to_owned()),
            model: Some(forged.to_owned()),
            ios: Some(forged.to_owned()),
            ..Source::default()
        };
        let target = Target {
            udid: "A".to_owned(),
            over_wifi: false,
            facts: idev_backup::device::connector::Facts {
                name: forged.to_owned(),
                product_type: "iPhone16,1".to_owned(),
                model: "iPhone 15 Pro".to_owned(),
                ios: forged.to_owned(),
            },
            free_bytes: None,
            capacity_bytes: None,
            find_my: None,
            set_up: None,
            battery: None,
            charging: false,
            locked: false,
            will_encrypt: None,
            requires_encryption: false,
        };
        let options = Options::default();
        let seen = Considered {
            lines: preflight::judge_phone(&source, &target, &options),
            source,
            target,
        };
        for line in question(&seen, &options) {
            assert!(!line.contains('\n'), "{line:?}");
        }
    }
}
