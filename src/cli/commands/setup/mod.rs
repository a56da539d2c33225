//! `idev-backup setup`

mod answers;
mod copies;
mod job;
mod phones;
mod questions;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use idev_backup::automation::schedule::job_state::JobFile;
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::units::counted;
use idev_backup::repository::Location;
use idev_backup::store::Store;

use self::answers::{Answers, Known, Notify, When, applied};
use self::job::Change;
use self::phones::Phones;
use self::questions::Given;
use super::create::Create;
use crate::cli::args::ask;
use crate::cli::args::config::{self, Config, file, template};
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::folders;
use crate::cli::args::password::PasswordArgs;
use crate::cli::args::store::path_parser;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style, tell};
use crate::cli::render::progress::Show;
use crate::cli::{ctrl_c, exit, hints};

/// Parses the command line of `create`, with the config file that the user named.
pub(crate) type ParseCreate = fn(&[String], Option<&Path>) -> Result<Create, Failure>;

/// Choose where, when and how many backups are kept, and make the first one
///
/// Asks a few questions, shows what it will do, and does it: it writes the config file, pairs with
/// the phone, offers backup encryption, installs a scheduled job, and makes the first backup. Run
/// it again to change an answer: it keeps everything that it does not ask about.
///
/// Example:  idev-backup setup
///           idev-backup setup --yes --store /srv/backups --schedule 'Sun 21:30'
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Setup {
    /// The store, the folder that holds all backups
    #[arg(long, value_name = "DIR", value_parser = path_parser())]
    store: Option<PathBuf>,
    /// Keep the N newest snapshots in addition to the current backup
    #[arg(long, value_name = "N", visible_alias = "keep", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    keep_last: Option<u32>,
    /// Times of backups: 21:30, "Sun 21:30", "every 6h", plugged (when a phone is plugged in)
    /// or never
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    schedule: Option<When>,
    /// The way to report problems: desktop, none, or a command
    #[arg(long, value_name = "HOW", value_parser = Notify::parse)]
    notifications: Option<Notify>,
    /// Turn on backup encryption. A lost password cannot be recovered
    #[arg(long)]
    encrypt: bool,
    /// Make no backup now
    #[arg(long)]
    no_backup: bool,
    /// Skip the questions: take the options given here, and present or default values for the rest
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    pub(crate) connector: ConnectionArgs,
}

/// Everything that `setup` will do.
struct Plan {
    /// The path of the config file.
    path: PathBuf,
    answers: Answers,
    /// The keys that change, each with its new value.
    changes: Vec<(&'static str, Option<String>)>,
    job: Option<JobFile>,
    change: Change,
    /// The program restic.
    restic: OsString,
}

impl Plan {
    /// Returns the place of copies elsewhere, if the config file names another one or none.
    fn new_copies(&self) -> Option<&str> {
        let mut keys = self.changes.iter().map(|(key, _)| *key);
        let place = self.answers.copies.place.as_deref();
        place.filter(|_| keys.any(|key| key.starts_with("repository.")))
    }
}

impl Setup {
    /// Runs the command and returns its exit code. `named` is the config file named with
    /// `--config`.
    pub fn run(&self, named: Option<&Path>, parse: ParseCreate) -> u8 {
        let done = self.set_up(named, parse);
        done.unwrap_or_else(|e| output::failure(&e, None, false))
    }

    fn set_up(&self, named: Option<&Path>, parse: ParseCreate) -> Result<u8, Failure> {
        if !self.yes && !ask::is_possible() {
            return Err(Failure::Command {
                what: "setup asks questions, and needs a terminal for them".to_owned(),
                hint: "run it in a terminal, or add --yes with options such as --store DIR"
                    .to_owned(),
            });
        }
        ctrl_c::afterwards("run `idev-backup setup` again: nothing is half written");
        let plan = self.plan(named)?;
        let token = CancelToken::new(ctrl_c::flag());
        let wanted = self.device.device.as_deref();
        let phones = Phones::look(self.connector.connector_with(token), wanted);
        self.tell_plan(&plan, &phones);
        if !self.yes && !ask::agrees("Go on?", true)? {
            return Err(Failure::Declined("Nothing was changed"));
        }
        // From now on, Ctrl-C ends setup between two steps.
        ctrl_c::interrupt();
        self.carry_out(plan, phones, named, parse)
    }

    /// Asks the questions, and compares the answers with what is there.
    fn plan(&self, named: Option<&Path>) -> Result<Plan, Failure> {
        let (path, _) = config::place(named).ok_or_else(|| Failure::Command {
            what: "your home folder is not known".to_owned(),
            hint: "name a config file with --config".to_owned(),
        })?;
        // Mistakes in the file were reported before the command began.
        let config = Config::read(&path, false).unwrap_or_default();
        let outranking = config::set_variable("store");
        let jobs = folders::jobs()?.list().0;
        let job = jobs.iter().find(|job| job.name == job::NAME);
        let present = config.values.get("store").map(PathBuf::from);
        let default = Answers::present(Known {
            store: match (&outranking, present) {
                (Some((_, store)), _) => store.into(),
                (None, Some(store)) => store,
                (None, None) => folders::home()?.0.join("idev-backup"),
            },
            job: job.and_then(|job| job.when.parse().ok()),
            has_other_jobs: job.is_none() && !jobs.is_empty(),
            has_desktop: has_desktop(),
            config: &config,
            path: &path,
        });
        let given = Given {
            store: self.store.clone(),
            keep_last: self.keep_last,
            when: self.schedule,
            notify: self.notifications.clone(),
        };
        let restic = copies::program(&config);
        let answers = questions::answers(given, default, self.yes, &restic)?;
        if let Some((variable, store)) = outranking.filter(|(_, store)| *answers.store != **store) {
            return Err(Failure::Command {
                what: format!(
                    "the variable {variable} names another store, {store}, and outranks the config file"
                ),
                hint: format!("unset {variable}, and run `idev-backup setup` again"),
            });
        }
        Ok(Plan {
            changes: answers.changes(&config),
            change: Change::of(answers.when, job),
            job: job.cloned(),
            path,
            answers,
            restic,
        })
    }

    fn tell_plan(&self, plan: &Plan, phones: &Phones) {
        let store = plan.answers.store.display();
        let is_new = Store::open_made(&plan.answers.store).is_err();
        let made = if is_new {
            "make the store"
        } else {
            "use the store"
        };
        let keys: Vec<&str> = plan.changes.iter().map(|(key, _)| *key).collect();
        let path = plan.path.display();
        if !self.yes {
            tell("");
        }
        tell("Setup will:");
        tell(&format!("  {made} {store}"));
        tell(&if keys.is_empty() {
            format!("  leave {path} as it is")
        } else {
            format!("  write {path}: {}", keys.join(", "))
        });
        if let Some(place) = plan.new_copies() {
            let place = Location::new(place);
            tell(&match plan.answers.copies.password_file {
                Some(_) => format!(
                    "  ask for the password of the repository {place}, make it if it is not there, \
                    and push each backup to it"
                ),
                None => format!("  push each backup to the repository {place}"),
            });
        }
        for phone in &phones.found {
            let name = output::one_line(&phone.name);
            if !phone.is_paired {
                tell(&format!(
                    "  pair with {name}: unlock it, and tap Trust on it"
                ));
            }
        }
        if let Some(words) = plan.change.words() {
            tell(&format!("  {words}"));
        }
        for phone in phones.found.iter().filter(|_| !self.no_backup) {
            let name = output::one_line(&phone.name);
            tell(&format!(
                "  back up {name}, if the store has no backup of it"
            ));
        }
        if phones.found.is_empty() {
            tell("  make no backup now: no phone is connected");
        }
    }

    /// Does what the plan says, and returns the exit code.
    fn carry_out(
        &self,
        plan: Plan,
        phones: Phones,
        named: Option<&Path>,
        parse: ParseCreate,
    ) -> Result<u8, Failure> {
        let store = Store::planned(&plan.answers.store)?;
        let show = Show::new(Style::People);
        store.make(&show.watch(None, None))?;
        folders::remember(&store);
        write_config(&plan)?;
        if plan.new_copies().is_some() {
            copies::prepare(&plan.answers.copies, &plan.restic)?;
        }
        let mut ready = Vec::new();
        if let Ok(connector) = &phones.connector {
            for phone in &phones.found {
                if self.prepare(connector, phone, &store)? {
                    ready.push(phone);
                }
            }
        }
        let made =
            folders::jobs().and_then(|jobs| plan.change.make(&jobs, named, plan.job.as_ref()));
        if let Err(e) = made {
            tell_problem(&e.to_string(), hints::of(&e));
        }
        let mut codes = Vec::new();
        for phone in ready {
            let udid = &phone.attached.udid;
            if !self.no_backup && store.current(udid)?.is_none() {
                let words = ["create", "--device", udid.as_str()].map(str::to_owned);
                codes.push(parse(&words, named)?.run());
            }
        }
        close(&phones, &codes);
        Ok(exit::worst(&codes))
    }
}

fn write_config(plan: &Plan) -> Result<(), Failure> {
    if plan.changes.is_empty() {
        return Ok(());
    }
    let text = file::read(&plan.path)?.unwrap_or_else(template);
    let text = applied(&text, &plan.changes).map_err(|mistakes| {
        let texts: Vec<String> = mistakes.into_iter().map(|mistake| mistake.text).collect();
        Failure::Command {
            what: format!(
                "cannot change {}: {}",
                plan.path.display(),
                texts.join("; ")
            ),
            hint: "`idev-backup config edit` opens the file in an editor".to_owned(),
        }
    })?;
    file::write(&plan.path, &text)?;
    output::line(&format!("Wrote {}.", plan.path.display()));
    Ok(())
}

/// Reports the end, with the next step.
fn close(phones: &Phones, codes: &[u8]) {
    output::line("");
    if codes.iter().any(|code| *code != exit::DONE) {
        let failed = codes.iter().filter(|code| **code != exit::DONE).count() as u64;
        output::line(&format!(
            "Setup is complete, but {} had problems. Run `idev-backup create` to try again.",
            counted(failed, "backup")
        ));
    } else if phones.found.is_empty() {
        output::line(
            "Setup is complete. Next: connect a phone with its cable, unlock it, and run \
            `idev-backup create`.",
        );
    } else {
        output::line("Setup is complete. `idev-backup list` shows the backups.");
    }
}

/// Reports a step that failed, while the others go on. The exit code of the program will show it.
fn tell_problem(text: &str, hint: Option<String>) {
    output::problem(text, hint.as_deref().unwrap_or("run `idev-backup doctor`"));
}

/// Returns true if desktop notifications can appear.
fn has_desktop() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(windows) || cfg!(target_os = "macos") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
