//! `idev-backup prune`, `pin`, `unpin`, `tag` and `delete`: control which snapshots are kept.

use std::io::{BufRead, IsTerminal};

use clap::Args;
use idev_backup::base::units::{counted, size};
use idev_backup::history::change::{self, Chosen, Deleted, Noted, Prune as How, Pruned};

use crate::cli::args::keep::KeepArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::table;

/// Drop the snapshots that no rule keeps.
///
/// Example:  idev-backup prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
///
/// Never dropped: the current backup, the newest good one, the last one that `verify` found whole,
/// those that are pinned or have a name, and those that another program made.
#[derive(Args)]
pub struct Prune {
    /// Show what would be dropped, and why the others stay
    #[arg(long)]
    dry_run: bool,
    /// Only this phone's, by its UDID or its name, or how either begins
    #[arg(long, short, value_name = "PHONE", value_parser = crate::cli::args::device::phone_text)]
    device: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Prune {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let pruned = self.prune(&watch);
        watch.finish();
        match pruned {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(pruned) => {
                match self.output.style() {
                    Style::Json => output::object("pruned", None, &pruned),
                    Style::Quiet => {}
                    Style::People => show_fates(&pruned),
                }
                match watch.problems() {
                    0 => exit::DONE,
                    _ => exit::DONE_WITH_PROBLEMS,
                }
            }
        }
    }

    fn prune(&self, watch: &Watch) -> Result<Pruned, Failure> {
        let store = self.store.open()?;
        let udid = match &self.device {
            None => None,
            Some(beginning) => Some(change::phone(&store, beginning)?),
        };
        let how = How {
            policy: self.keep.policy(),
            of_phones: self.keep.of_phones(),
            udid,
            dry_run: self.dry_run,
        };
        Ok(change::prune(&store, &how, watch)?)
    }
}

fn show_fates(pruned: &Pruned) {
    let mut rows = vec![
        ["PHONE", "SNAPSHOT", "WHAT", "FREES", "WHY"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for fate in &pruned.snapshots {
        let words: Vec<&str> = fate.why.iter().map(change::Why::words).collect();
        rows.push(vec![
            fate.udid.clone(),
            fate.stamp.clone().unwrap_or_else(|| "?".to_owned()),
            if fate.keep { "keep" } else { "drop" }.to_owned(),
            fate.frees_bytes.map_or_else(String::new, size),
            if fate.keep {
                words.join(", ")
            } else {
                "no rule keeps it".to_owned()
            },
        ]);
    }
    if rows.len() > 1 {
        table::table(&rows)
            .iter()
            .filter(|line| !line.is_empty())
            .for_each(|line| output::lines(line));
    }
    for (udid, policy) in &pruned.of_phones {
        output::line(&format!("{udid} has rules of its own: {policy}."));
    }
    let number = counted(pruned.dropped, "snapshot");
    let room = pruned
        .frees_bytes
        .filter(|_| pruned.dropped > 0)
        .map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
    output::line(&if pruned.dry_run {
        format!(
            "{number} would be dropped{room} ({}). Nothing was changed.",
            pruned.policy
        )
    } else {
        format!("{number} dropped{room} ({}).", pruned.policy)
    });
}

/// Which snapshot.
#[derive(Args, Clone)]
struct SnapshotArgs {
    /// The snapshot: its time or how that begins, a name that it was given, `latest`, a phone, or
    /// its folder
    snapshot: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl SnapshotArgs {
    fn find(&self) -> Result<Chosen, Failure> {
        change::find(self.store.open(), &self.snapshot)
    }

    fn note(&self, words: &str, change: impl FnOnce(&Chosen) -> Result<Noted, Failure>) -> u8 {
        match self.find().and_then(|of| change(&of)) {
            Err(e) => output::failure(&e, None, self.json),
            Ok(noted) if self.json => {
                output::object("noted", None, &noted);
                exit::DONE
            }
            Ok(noted) => {
                output::line(&format!("{} {words}.", noted.path));
                exit::DONE
            }
        }
    }
}

/// Keep a snapshot, whatever the rules say.
///
/// Example:  idev-backup pin 20261120
#[derive(Args)]
pub struct Pin {
    #[command(flatten)]
    of: SnapshotArgs,
}

impl Pin {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.of
            .note("is pinned, and stays", |of| Ok(change::pin(of, true)?))
    }
}

/// Take a snapshot's pin away; the rules decide about it again.
///
/// Example:  idev-backup unpin 20261120
#[derive(Args)]
pub struct Unpin {
    #[command(flatten)]
    of: SnapshotArgs,
}

impl Unpin {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.of
            .note("is not pinned any more", |of| Ok(change::pin(of, false)?))
    }
}

/// Give a snapshot a name: it stays, and every command finds it by that.
///
/// Example:  idev-backup tag 20261120 "before iOS 27"
#[derive(Args)]
pub struct Tag {
    #[command(flatten)]
    of: SnapshotArgs,
    /// The name
    name: String,
    /// Take the name away
    #[arg(long)]
    remove: bool,
}

impl Tag {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let words = if self.remove {
            format!("is not called {:?} any more", self.name)
        } else {
            format!("is called {:?}, and stays", self.name)
        };
        self.of
            .note(&words, |of| Ok(change::tag(of, &self.name, self.remove)?))
    }
}

/// Say that a phone is gone for good: its last backup is not overdue any more.
///
/// Example:  idev-backup retire "Mira's old iPhone"
///
/// Its backups stay, and can be restored. A phone that is backed up again is no longer retired.
#[derive(Args)]
pub struct Retire {
    /// The phone, by its UDID or its name, or how either begins
    #[arg(value_name = "PHONE", value_parser = crate::cli::args::device::phone_text)]
    phone: String,
    /// Take it back: the phone is expected again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Retire {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let store = self.store.open();
        match store.and_then(|store| Ok(change::retire(&store, &self.phone, self.undo)?)) {
            Err(e) => output::failure(&e, None, self.json),
            Ok(noted) if self.json => {
                output::object("retired", Some(&noted.udid), &noted);
                exit::DONE
            }
            Ok(noted) => {
                let name = noted.name.as_deref().unwrap_or("the phone");
                let words = match noted.retired {
                    Some(_) => "is retired, and not overdue any more. Its backups stay",
                    None => "is not retired any more",
                };
                let line = format!("{name} ({}) {words}.", noted.udid);
                output::line(&output::one_line(&line));
                exit::DONE
            }
        }
    }
}

/// Delete a snapshot, for good.
///
/// Example:  idev-backup delete 20261120
#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    of: SnapshotArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Delete {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let style = if self.of.json {
            Style::Json
        } else {
            Style::People
        };
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let deleted = self.delete(&watch);
        watch.finish();
        match deleted {
            Err(e) => output::failure(&e, None, self.of.json),
            Ok(None) => {
                output::tell("Nothing was deleted.");
                exit::FAILED
            }
            Ok(Some(deleted)) => {
                match style {
                    Style::Json => output::object("deleted", Some(&deleted.udid), &deleted),
                    _ => output::line(&format!("{} is deleted.", deleted.path)),
                }
                match watch.problems() {
                    0 => exit::DONE,
                    _ => exit::DONE_WITH_PROBLEMS,
                }
            }
        }
    }

    fn delete(&self, watch: &Watch) -> Result<Option<Deleted>, Failure> {
        let chosen = self.of.find()?;
        let seen = change::consider(&chosen, watch)?;
        // Finish the progress display first, so that it does not redraw below the question.
        watch.finish();
        if !self.yes && !agrees(&seen)? {
            return Ok(None);
        }
        Ok(Some(change::delete(&chosen, seen, watch)?))
    }
}

/// States what cannot be undone and asks for confirmation.
fn agrees(seen: &Deleted) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Command {
            what: format!(
                "deleting {} cannot be undone, and nobody is there to be asked",
                seen.path
            ),
            hint: "run it in a terminal, or say --yes".to_owned(),
        });
    }
    let room = seen.frees_bytes.map_or_else(String::new, |bytes| {
        format!(" {} become free.", size(bytes))
    });
    output::tell(&format!(
        "This deletes {} for good: nothing brings it back.{room}",
        seen.path
    ));
    for (is_so, text) in [
        (
            seen.last_of_phone,
            "It is the ONLY backup of this phone in the store.",
        ),
        (
            seen.current,
            "It is the current backup: the next one begins anew and sends everything.",
        ),
        (
            seen.pinned,
            "It is pinned, or may be: it will be refused until the pin is taken away.",
        ),
    ] {
        if is_so {
            output::tell(&format!("  {text}"));
        }
    }
    if !seen.tags.is_empty() {
        output::tell(&format!("  It is called {}.", seen.tags.join(", ")));
    }
    output::tell("Type `yes` to delete it:");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && answer.trim() == "yes")
}
