//! `idev-backup restore`

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::slice;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use idev_backup::base::time;
use idev_backup::base::units::{counted, duration, size};
use idev_backup::device::connector::Connector;
use idev_backup::doctor::{Level, Line};
use idev_backup::reader::passwords::Known;
use idev_backup::restore::subject::Source;
use idev_backup::restore::{self, Considered, Held, Options, Report, preflight};
use idev_backup::verify::Depth;
use serde::Serialize;

use super::{doctor, rehearse};
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::args::value_parsers;
use crate::cli::failure::Failure;
use crate::cli::render::log;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch, ticking};
use crate::cli::{exit, hints};

/// Longest time that `--wait` waits for the phone: a reboot after a restore takes minutes, because
/// the phone migrates its data.
const WAIT_BACK: Duration = Duration::from_secs(20 * 60);
/// Interval at which a prompt checks for Ctrl-C while it waits for the answer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Restore a backup to the phone that it is of, or to another, and overwrite what is there
///
/// Example:  idev-backup restore latest --dry-run
///           idev-backup restore latest
///
/// First see what is in the way with `--dry-run`, or have the whole restore played to a simulated
/// phone with `--rehearse`, which needs no phone. A restore checks the backup, says what it will
/// overwrite, and asks. The backup itself is never written to.
///
/// With `--dry-run`: exit code 0: all is well. 3: there are warnings. 1: there is a problem.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Restore {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// `--device` was typed: a variable or the config file names a phone for any command, and not
    /// one to be overwritten by this.
    #[arg(skip)]
    pub(crate) device_is_named: bool,
    /// Tell what is in the way, and change nothing: the backup, versions, room, Find My, what will
    /// be missing
    #[arg(long)]
    dry_run: bool,
    /// Play the whole restore to a simulated phone, and compare every byte that it received with
    /// the backup
    #[arg(long, conflicts_with_all = ["dry_run", "wait", "trace"])]
    pub(crate) rehearse: bool,
    /// Do not ask. Onto another phone than the backup is of only together with --device
    #[arg(long, short)]
    yes: bool,
    /// Keep the phone's own settings, rather than those of the backup
    #[arg(long, help_heading = "What is restored")]
    keep_settings: bool,
    /// Leave out the files of the system, and restore what apps have
    #[arg(long, help_heading = "What is restored")]
    no_system_files: bool,
    /// Do not have the phone fetch the backup's applications from the App Store
    #[arg(long, help_heading = "What is restored")]
    no_apps: bool,
    /// Remove from the phone what the backup does not have
    #[arg(long, help_heading = "What is restored")]
    remove_others: bool,
    /// Only domains that match this pattern, as in 'AppDomain*com.example*'; may be repeated. See
    /// --partial-at-my-own-risk
    #[arg(long, value_name = "DOMAIN", help_heading = "What is restored", value_parser = domains)]
    only: Vec<String>,
    /// Restore a part, though nobody has tried that with a real phone; never on iOS 27 and later
    #[arg(long, requires = "only", help_heading = "What is restored")]
    partial_at_my_own_risk: bool,
    /// Do not restart the phone in the end; nothing of the backup appears until it is
    #[arg(long)]
    no_reboot: bool,
    /// Wait until the phone is back after its restart
    #[arg(long, conflicts_with = "no_reboot")]
    wait: bool,
    /// Check names and sizes of the backup only, rather than every byte
    #[arg(long)]
    quick_check: bool,
    /// Restore a backup in which only contents are altered, which phones do not notice
    #[arg(long)]
    force: bool,
    /// Minutes of silence after which the phone is given up
    #[arg(long, value_name = "MINUTES", default_value_t = 31, value_parser = clap::value_parser!(u64).range(5..=600))]
    patience: u64,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct DryRun<'a> {
    /// Path of the backup that was checked.
    path: String,
    #[serde(flatten)]
    report: &'a idev_backup::doctor::Report,
}

impl Restore {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let done = self.done(&watch);
        watch.finish();
        done.unwrap_or_else(|e| output::failure(&e, None, self.output.json))
    }

    fn done(&self, watch: &Watch<'_>) -> Result<u8, Failure> {
        let named = self.read.named_of(self.device.device.as_deref())?;
        // Take the lock before showing the backup, and keep it while the user decides: a backup
        // that begins meanwhile would replace the data that the user agreed to restore. A dry run
        // asks nothing and needs no lock.
        let held = if self.dry_run {
            None
        } else {
            Some(restore::hold_named(&named)?)
        };
        let folder = named.folder;
        let options = self.options(&folder)?;
        if let (true, Some(held)) = (self.rehearse, &held) {
            return rehearse::run(held, &folder, &options, self.output.style(), watch);
        }
        let connector = self.connector.connector()?;
        let wanted = self.device.device.as_deref();
        let Some(held) = held else {
            let phone = connector.phone(wanted).map_err(restore::Error::from);
            let report = restore::dry_run(&connector, phone, &folder, &options, watch)?;
            watch.finish();
            if self.output.json {
                let path = folder.display().to_string();
                let report = &report;
                output::object("dry_run", None, &DryRun { path, report });
            } else {
                doctor::show(&report, self.output.quiet)
            }
            return Ok(match report.level {
                Level::Ok => exit::DONE,
                Level::Warning => exit::DONE_WITH_PROBLEMS,
                Level::Problem => exit::FAILED,
            });
        };
        self.restore(&held, &connector, &folder, &options, watch)
    }

    fn restore(
        &self,
        held: &Held,
        connector: &Connector,
        folder: &Path,
        options: &Options,
        watch: &Watch<'_>,
    ) -> Result<u8, Failure> {
        let phone = connector.phone(self.device.device.as_deref())?;
        let seen = restore::consider(connector, &phone, folder, options, watch)?;
        let obstacles = preflight::obstacles(&seen.lines);
        if !obstacles.is_empty() {
            return Err(restore::Error::NotReady(obstacles).into());
        }
        if self.yes {
            self.vouched(&seen)?;
            if self.output.style() == Style::People {
                warnings(&seen).iter().for_each(|line| output::tell(line));
            }
        } else {
            agrees(&seen, options, || connector.token.cancelled())?
        }
        let report = ticking(slice::from_ref(watch), || {
            restore::restore(held, connector, &phone, folder, options, watch)
        })?;
        watch.finish();
        log::add(&format!(
            "Restored {} to {}",
            report.source.path, report.target.udid
        ));
        match self.output.style() {
            Style::Quiet => {}
            Style::Json => {
                let restored = Restored {
                    report: &report,
                    only: &options.only,
                    lines: &seen.lines,
                };
                output::object("restored", Some(phone.udid.as_str()), &restored);
            }
            Style::People => (summary(&report, options).iter()).for_each(|line| output::line(line)),
        }
        Ok(if report.problems.is_empty() {
            exit::DONE
        } else {
            exit::DONE_WITH_PROBLEMS
        })
    }

    /// Without a confirmation prompt, requires that the user named the target phone or that the
    /// backup was made from it.
    fn vouched(&self, seen: &Considered) -> Result<(), Failure> {
        let Considered { source, target, .. } = seen;
        if self.device_is_named || source.is_of(&target.udid) {
            return Ok(());
        }
        Err(Failure::Command {
            what: match &source.udid {
                Some(of) => format!(
                    "{} is another phone ({}) than the backup is of ({of}), and with --yes nobody is asked whether it may be overwritten",
                    target.words(),
                    target.udid
                ),
                None => format!(
                    "the backup does not say which phone it is of, and with --yes nobody is asked whether {} ({}) may be overwritten",
                    target.words(),
                    target.udid
                ),
            },
            hint: format!("if it is meant, name it: --device {}", target.udid),
        })
    }

    /// Builds the restore options. Asks for the password only if the backup is encrypted.
    fn options(&self, folder: &Path) -> Result<Options, Failure> {
        let source = Source::look(folder)?;
        let password = if !source.encrypted {
            None
        } else if self.dry_run && !std::io::stdin().is_terminal() {
            self.read.given_password()?
        } else {
            let question = format!("Password of the backup {}", source.path);
            Some(Known(self.read.password().present(&question)?))
        };
        Ok(Options {
            keep_settings: self.keep_settings,
            system_files: !self.no_system_files,
            apps: !self.no_apps,
            remove_others: self.remove_others,
            reboot: !self.no_reboot,
            wait_back: self.wait.then_some(WAIT_BACK),
            depth: if self.quick_check {
                Depth::Quick
            } else {
                Depth::Deep
            },
            force: self.force,
            password,
            advise: Some(hints::restore),
            only: self.only.clone(),
            partial_at_own_risk: self.partial_at_my_own_risk,
            stay_awake: true,
            silence_max: Duration::from_secs(self.patience * 60),
            ..Options::default()
        })
    }
}

/// The final `--json` object.
#[derive(Serialize)]
struct Restored<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Patterns given with `--only`.
    only: &'a [String],
    /// Findings of the preflight checks, as in a dry run.
    lines: &'a [Line],
}

/// Parses a pattern of domains, so that a mistake is found before any data is read.
fn domains(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty, and so matches no domain".to_owned());
    }
    value_parsers::pattern(text)
}

/// Shows what the restore will overwrite and asks for confirmation. Returns an error if the user
/// does not agree.
fn agrees(
    seen: &Considered,
    options: &Options,
    is_cancelled: impl Fn() -> bool,
) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Command {
            what: format!(
                "a restore overwrites what is on {}, and nobody is there to be asked",
                seen.target.words()
            ),
            hint: "run it in a terminal, or say --yes; `--dry-run` tells what would happen"
                .to_owned(),
        });
    }
    for line in question(seen, options) {
        output::tell(&line);
    }
    output::tell("Type `yes` to overwrite the phone:");
    let answer = typed(std::io::stdin(), is_cancelled);
    match answer.as_deref().map(str::trim) {
        Some("yes") => Ok(()),
        _ => {
            output::tell("Nothing was restored.");
            Err(Failure::Interrupted)
        }
    }
}

/// Reads a line from `from`. Returns `None` at the end of input or after Ctrl-C. A separate thread
/// does the reading, because Ctrl-C does not interrupt a read from a terminal; the thread ends with
/// the program.
fn typed(from: impl Read + Send + 'static, is_cancelled: impl Fn() -> bool) -> Option<String> {
    /// Limit in bytes, longer than any answer.
    const BYTES_MAX: u64 = 4096;
    let (line, lines) = channel();
    let reader = std::thread::Builder::new().name("answer".to_owned());
    let reading = reader.spawn(move || {
        let mut answer = String::new();
        let read = BufReader::new(from.take(BYTES_MAX)).read_line(&mut answer);
        // The send fails only after the receiver has stopped waiting, for a reason that it knows.
        drop(line.send(read.is_ok().then_some(answer)));
    });
    if reading.is_err() {
        return None;
    }
    loop {
        let answer = lines.recv_timeout(BETWEEN_LOOKS);
        if is_cancelled() {
            return None;
        }
        match answer {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Lists the data that will be overwritten, and the backup that will replace it.
fn question(seen: &Considered, options: &Options) -> Vec<String> {
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
            "  ONLY A PART OF IT: {}. Nobody has tried that with a real phone; it may have to be erased afterwards.",
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
        "Settings: those of the backup.",
    ));
    lines.push(choose(
        options.system_files,
        "Files of the system too: messages, calls, accounts.",
        "Files of the system are left out.",
    ));
    lines.push(choose(
        options.apps,
        if options.only.is_empty() {
            "Applications: the phone fetches them from the App Store."
        } else {
            "Applications: of those in this part, the phone fetches them from the App Store."
        },
        "Applications: not fetched.",
    ));
    lines.push(choose(
        options.remove_others,
        "What the backup does not have IS REMOVED from the phone.",
        "What the backup does not have stays where iOS allows it.",
    ));
    lines.push(choose(
        options.reboot,
        "The phone restarts in the end.",
        "The phone is not restarted: nothing of the backup appears until you do it.",
    ));
    lines.extend(warnings(seen));
    lines
}

/// Lists the findings of the preflight checks that are not OK.
fn warnings(seen: &Considered) -> Vec<String> {
    let mut lines = Vec::new();
    for line in seen.lines.iter().filter(|line| line.level != Level::Ok) {
        lines.push(format!("  warning: {}", output::one_line(&line.says)));
        lines.extend((line.means.as_ref()).map(|means| format!("    {}", output::one_line(means))));
    }
    lines
}

/// Returns the final summary for people.
fn summary(report: &Report, options: &Options) -> Vec<String> {
    let time = |seconds: f64| duration(Duration::from_secs_f64(seconds));
    let mut lines = vec![String::new()];
    let with = match report.problems.len() as u64 {
        0 => String::new(),
        problems => format!(", with {}", counted(problems, "problem")),
    };
    lines.push(format!(
        "Done{with} in {}. {} has taken {}: {}, {}.",
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
            "  NOTHING OF IT APPEARS YET: restart the phone. Until then it takes no other restore (code 102)."
                .to_owned()
        }
        (true, Some(true)) => {
            "  It has restarted and is back. It goes on arranging what it got for a while.".to_owned()
        }
        (true, Some(false)) => "  It restarts, and was not seen to be back yet.".to_owned(),
        (true, None) => {
            "  It restarts now, and shows what was restored after that; this can take some minutes.".to_owned()
        }
    });
    if report.apps {
        lines.push(
            "  Applications come from the App Store by themselves, once the phone is signed in; what the store no longer has does not."
                .to_owned(),
        );
    }
    if !report.source.encrypted {
        lines.push(format!(
            "  Not restored, since the backup is not encrypted: {}.",
            preflight::NOT_IN_PLAIN
        ));
    }
    lines.push(format!(
        "  The backup was checked for {}, the phone prepared for {}, and files went to it for {}.",
        time(report.seconds.check),
        time(report.seconds.prepare),
        time(report.seconds.send),
    ));
    lines.push(format!("  {} is untouched.", report.source.path));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Receiver;

    /// A terminal on which no input arrives until the test ends.
    struct Quiet(Receiver<()>);

    impl Read for Quiet {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            // Returns when the test drops the sender.
            match self.0.recv() {
                Ok(()) | Err(_) => Ok(0),
            }
        }
    }

    #[test]
    fn ctrl_c_cancels_the_prompt() {
        let (keep, held) = channel();
        assert_eq!(typed(Quiet(held), || true), None);
        drop(keep);
    }

    #[test]
    fn prompt_reads_only_first_line() {
        let typed = |text: &'static str| typed(text.as_bytes(), || false);
        assert_eq!(typed("yes\nno\n").as_deref(), Some("yes\n"));
        assert_eq!(typed("").as_deref(), Some(""));
    }

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
        let target = restore::subject::Target {
            udid: "A".to_owned(),
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
