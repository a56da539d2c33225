//! The commands of `idev-backup`: the program's table of contents.

mod adopt;
mod bounds;
mod cat;
mod config;
mod config_command;
mod create;
mod ctrl_c;
mod demo;
mod devices;
mod diff;
mod doctor;
mod encryption;
mod exit;
mod export;
mod extract;
mod find;
mod history;
mod info;
mod keyring;
mod list;
mod log;
mod ls;
mod manual;
mod new_file;
mod output;
mod page;
mod pair;
mod password;
mod progress;
mod reading;
mod rehearse;
mod restore;
mod schedule;
mod schedule_health;
mod schedule_run;
mod simulate;
mod stores;
mod trace;
mod tree;
mod udev_rule;
mod unattended;
mod usage;
mod variables;
mod verify;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use etcetera::BaseStrategy;
use idev_backup::base::cancel::CancelToken;
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::error::Error;
use idev_backup::trace::At;
use idev_backup::transport::Transport;
use idev_backup::transport::select::Wanted;

use config::Config;
use ctrl_c::interrupt;
use stores::{StoreArgs, WritableStoreArgs};
use trace::TraceArgs;

/// Backs up an iPhone or iPad to a folder that every tool can read, and proves that the backup is
/// whole.
///
/// Connect a phone with its cable, unlock it, and run:  idev-backup create
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100
)]
#[command(
    after_help = "No phone at hand? `idev-backup demo` backs up a simulated one.\n\
    Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems, 4 no device, 5 locked or not trusted, 6 wrong password, \
    7 no space, 8 connection lost, 130 interrupted."
)]
struct Cli {
    /// The config file [default: idev-backup/config.toml in the platform's place for configuration]
    #[arg(long, global = true, env = "IDEV_BACKUP_CONFIG", value_name = "FILE", value_parser = stores::path_parser())]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(Box<create::Create>),
    Devices(devices::Devices),
    Doctor(Box<doctor::Doctor>),
    Encryption(Box<encryption::EncryptionCommand>),
    Pair(pair::Pair),
    Unpair(pair::Unpair),
    List(list::List),
    Verify(verify::Verify),
    Restore(Box<restore::Restore>),
    Prune(history::Prune),
    Pin(history::Pin),
    Unpin(history::Unpin),
    Tag(history::Tag),
    Delete(history::Delete),
    Retire(history::Retire),
    Adopt(adopt::Adopt),
    Copy(adopt::Copy),
    Schedule(schedule::ScheduleCommand),
    Watch(Box<watch::WatchCommand>),
    Config(config_command::ConfigCommand),
    Info(info::Info),
    Usage(usage::Usage),
    Ls(ls::Ls),
    Find(find::Find),
    Tree(tree::Tree),
    Cat(cat::Cat),
    Extract(extract::Extract),
    Export(export::Export),
    Diff(diff::Diff),
    Demo(demo::Demo),
    Simulate(Box<simulate::Simulate>),
    Trace(trace::TraceCommand),
    UdevRule(udev_rule::UdevRule),
    Completions(manual::Completions),
    Man(manual::Man),
}

impl Command {
    /// Returns the retention rules of a command that drops snapshots.
    fn keep(&mut self) -> Option<&mut history::KeepArgs> {
        match self {
            Command::Create(create) => Some(&mut create.backup.keep),
            Command::Watch(watch) => Some(&mut watch.backup.keep),
            Command::Prune(prune) => Some(&mut prune.keep),
            _ => None,
        }
    }
}

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    match parse() {
        Ok(cli) => ExitCode::from(output::ended(obey(cli))),
        Err(code) => ExitCode::from(code),
    }
}

/// Parses the command line, with the config file's values as defaults.
fn parse() -> Result<Cli, u8> {
    let plain = Config::default().apply(Cli::command());
    let mut cli = of(plain.clone());
    match &mut cli.command {
        Command::Doctor(doctor) if doctor.explains() => return Ok(cli),
        Command::Config(_)
        | Command::Demo(_)
        | Command::Simulate(_)
        | Command::Trace(_)
        | Command::UdevRule(_)
        | Command::Completions(_)
        | Command::Man(_) => return Ok(cli),
        Command::Schedule(schedule) if !schedule.reads_config() => return Ok(cli),
        _ => {}
    }
    let mistakes = variables::mistakes();
    match &mut cli.command {
        Command::Doctor(doctor) => doctor.config = variables::findings(&mistakes),
        _ if !mistakes.is_empty() => return Err(variables::tell(&mistakes)),
        _ => {}
    }
    let Some((path, is_named)) = config::place(cli.config.as_deref()) else {
        return Ok(cli);
    };
    match Config::read(&path, is_named) {
        Ok(config) => {
            let mut with_config = of(config.apply(Cli::command()));
            if let (Some(keep), Some(typed)) = (with_config.command.keep(), cli.command.keep()) {
                keep.read(&config, typed);
            }
            if let (Command::Doctor(doctor), Command::Doctor(plain)) =
                (&mut with_config.command, &mut cli.command)
            {
                doctor.config = std::mem::take(&mut plain.config);
            }
            Ok(with_config)
        }
        Err(mistakes) => match &mut cli.command {
            // `doctor` reports the mistakes among its findings.
            Command::Doctor(doctor) => {
                doctor
                    .config
                    .extend(config_command::findings(&path, &mistakes));
                Ok(cli)
            }
            _ => Err(config::tell_mistakes(&path, &mistakes)),
        },
    }
}

/// Reports why the command line is invalid, and exits. A value that the user did not type comes
/// from a variable.
fn refuse(e: &clap::Error, command: &clap::Command) -> ! {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match e.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let variable = text(ContextKind::InvalidArg)
        .zip(text(ContextKind::InvalidValue))
        .and_then(|(option, value)| config::of_variable(command, option, value));
    // A message that cannot be printed cannot be reported elsewhere either.
    drop(e.print());
    if let Some(variable) = variable {
        output::tell(&format!(
            "  hint: that is the value of the variable {variable}"
        ));
    }
    std::process::exit(e.exit_code())
}

fn of(command: clap::Command) -> Cli {
    let mut command = command;
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let matches = matches.unwrap_or_else(|e| refuse(&e, &command));
    let cli = Cli::from_arg_matches(&matches);
    let mut cli = cli.unwrap_or_else(|e| e.format(&mut command).exit());
    // A variable or the config file names a phone for all commands, so ignore it for those that
    // take no phone.
    let typed =
        |args: &clap::ArgMatches| args.value_source("device") == Some(ValueSource::CommandLine);
    match (&mut cli.command, matches.subcommand()) {
        (Command::Create(create), Some((_, args))) => create.store.note_source(args),
        (Command::Watch(watch), Some((_, args))) => watch.store.note_source(args),
        (Command::Adopt(adopt), Some((_, args))) => adopt.store.note_source(args),
        _ => {}
    }
    let conflict = match (&mut cli.command, matches.subcommand()) {
        (Command::Restore(restore), Some((_, args))) => {
            restore.device_is_named = typed(args);
            (restore.rehearse && restore.device_is_named)
                .then_some("--rehearse plays the phone that the backup is of: leave --device out")
        }
        (Command::Create(create), Some((_, args))) => {
            (create.all && typed(args)).then_some("--all is every phone, and --device is one")
        }
        _ => None,
    };
    if let Some(why) = conflict {
        command.error(ErrorKind::ArgumentConflict, why).exit();
    }
    cli
}

/// Parses the command line of a job, with the current values of the config file.
fn of_job(words: &[String], named: Option<&Path>) -> Result<Option<WritableStoreArgs>, Error> {
    let exit = |e: clap::Error| -> ! { e.exit() };
    let words = || std::iter::once("idev-backup").chain(words.iter().map(String::as_str));
    let plain = Config::default().apply(Cli::command());
    let plain = plain
        .try_get_matches_from(words())
        .unwrap_or_else(|e| exit(e));
    let typed = plain.value_source("config") == Some(ValueSource::CommandLine);
    let of_job = plain.get_one::<PathBuf>("config").filter(|_| typed);
    let of_job = of_job.map(PathBuf::as_path);
    let config = match config::place(of_job.or(named)) {
        Some((path, is_named)) => Config::read(&path, is_named).map_err(|_| Error::Nothing {
            what: format!("the job could not read the config file {}", path.display()),
            hint: "`idev-backup config check` tells its mistakes".to_owned(),
        })?,
        None => Config::default(),
    };
    let matches = config.apply(Cli::command()).try_get_matches_from(words());
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    Ok(match cli.unwrap_or_else(|e| exit(e)).command {
        Command::Create(create) => Some(create.store),
        Command::Watch(watch) => Some(watch.store),
        _ => None,
    })
}

fn obey(cli: Cli) -> u8 {
    match cli.command {
        Command::Create(c) => c.connector.trace.end(c.run()),
        Command::Devices(c) => c.connector.trace.end(c.run()),
        Command::Doctor(c) => c.connector.trace.end(c.run()),
        Command::Encryption(c) => c.run(),
        Command::Pair(c) => c.connector.trace.end(c.run()),
        Command::Unpair(c) => c.connector.trace.end(c.run()),
        Command::List(c) => c.run(),
        Command::Verify(c) => c.run(),
        Command::Restore(c) => c.connector.trace.end(c.run()),
        Command::Prune(c) => c.run(),
        Command::Pin(c) => c.run(),
        Command::Unpin(c) => c.run(),
        Command::Tag(c) => c.run(),
        Command::Delete(c) => c.run(),
        Command::Retire(c) => c.run(),
        Command::Adopt(c) => c.run(),
        Command::Copy(c) => c.run(),
        Command::Info(c) => c.run(),
        Command::Usage(c) => c.run(),
        Command::Ls(c) => c.run(),
        Command::Find(c) => c.run(),
        Command::Tree(c) => c.run(),
        Command::Cat(c) => c.run(),
        Command::Extract(c) => c.run(),
        Command::Export(c) => c.run(),
        Command::Diff(c) => c.run(),
        Command::Demo(c) => c.run(),
        Command::Simulate(c) => match c.run() {
            Ok(()) => exit::DONE,
            Err(e) => {
                output::tell(&format!("error: {e}"));
                exit::FAILED
            }
        },
        Command::Trace(c) => c.run(),
        Command::Schedule(c) => c.run(cli.config.as_deref()),
        Command::Watch(c) => c.connector.trace.end(c.run()),
        Command::Config(c) => c.run(
            cli.config.as_deref(),
            &Config::default().apply(Cli::command()),
        ),
        Command::UdevRule(c) => c.run(),
        Command::Completions(c) => c.run(),
        Command::Man(c) => c.run(),
    }
}

/// How a phone is reached.
#[derive(Args, Clone)]
struct ConnectionArgs {
    /// Go on though the phone shows another key than the one it was paired with
    #[arg(long)]
    any_certificate: bool,
    /// The way to phones: usbmuxd or usb [default: usbmuxd if it answers, else usb]
    #[arg(long, value_name = "WAY", env = "IDEV_BACKUP_TRANSPORT")]
    transport: Option<Wanted>,
    #[command(flatten)]
    trace: TraceArgs,
}

impl ConnectionArgs {
    fn connector(&self) -> Result<Connector, Error> {
        self.connector_with(CancelToken::new(interrupt()))
    }

    /// Connects with waits that `token` can cancel.
    fn connector_with(&self, token: Arc<CancelToken>) -> Result<Connector, Error> {
        let pin = if self.any_certificate {
            Pin::Anyone
        } else {
            Pin::PairRecord
        };
        let mut daemon = Transport::choose(self.transport, token.clone())?;
        if let Some(recorder) = self.trace.begin(At::Computer)? {
            daemon = daemon.recorded(recorder);
        }
        Ok(Connector::new(
            daemon,
            home()?.1.join("idev-backup").join("pairing"),
            pin,
            token,
        ))
    }
}

/// Which phone.
#[derive(Args, Clone)]
struct DeviceArgs {
    /// The phone, by its UDID or its name, or how either begins; may be left out while only one is
    /// connected
    #[arg(long, short, value_name = "PHONE", env = "IDEV_BACKUP_DEVICE", value_parser = phone_text)]
    device: Option<String>,
}

/// Parses a phone's UDID or name.
fn phone_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return Err("expected a phone's UDID or name, or how either begins".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// How results are shown.
#[derive(Args, Clone, Copy)]
struct OutputArgs {
    /// Print JSON: an event a line while running, then the result
    #[arg(long)]
    json: bool,
    /// Print only problems
    #[arg(long, short)]
    quiet: bool,
}

impl OutputArgs {
    fn style(self) -> progress::Style {
        match self {
            OutputArgs { json: true, .. } => progress::Style::Json,
            OutputArgs { quiet: true, .. } => progress::Style::Quiet,
            _ => progress::Style::People,
        }
    }
}

/// Returns the platform's folders for data and for configuration.
fn home() -> Result<(PathBuf, PathBuf), Error> {
    match etcetera::base_strategy::choose_native_strategy() {
        // On Windows, the data folder would roam through the network with its user; a backup must
        // not.
        Ok(place) if cfg!(windows) => Ok((place.cache_dir(), place.config_dir())),
        Ok(place) => Ok((place.data_dir(), place.config_dir())),
        Err(_) => Err(Error::Nothing {
            what: "you have no home folder".to_owned(),
            hint: "name the folder of backups with --store".to_owned(),
        }),
    }
}
