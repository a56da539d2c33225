//! Parses the command line and the config file, and runs the command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use idev_backup::automation::schedule::job_state;
use idev_backup::base::private_dir;

use crate::cli::args::config::{self, Config};
use crate::cli::args::keep::KeepArgs;
use crate::cli::args::store::WritableStoreArgs;
use crate::cli::args::variables;
use crate::cli::failure::Failure;
use crate::cli::refusal::refuse;
use crate::cli::render::output;
use crate::cli::render::typed::{self, Typed};
use crate::cli::screen::SCREEN;
use crate::cli::{commands, exit, version};

/// Back up iPhones and iPads to folders that any tool can read, and verify the backups
///
/// Connect a phone with its cable, unlock it, and run:  idev-backup create
#[derive(Parser)]
#[command(version, long_version = version::details(), subcommand_required = true, max_term_width = 100, override_help = SCREEN)]
struct Cli {
    /// Use this config file [default: idev-backup/config.toml in the platform's configuration
    /// folder]
    #[arg(long, global = true, env = "IDEV_BACKUP_CONFIG", value_name = "FILE", value_parser = crate::cli::args::store::path_parser())]
    config: Option<PathBuf>,
    /// Print only problems and the data that was asked for
    #[arg(long, short, global = true, display_order = 990)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(visible_alias = "backup")]
    Create(Box<commands::create::Create>),
    Devices(commands::devices::Devices),
    Doctor(Box<commands::doctor::Doctor>),
    Encryption(Box<commands::encryption::EncryptionCommand>),
    Pair(commands::pair::Pair),
    Unpair(commands::pair::Unpair),
    Wifi(commands::wifi::WifiCommand),
    #[command(visible_alias = "snapshots")]
    List(commands::list::List),
    #[command(visible_alias = "check")]
    Verify(commands::verify::Verify),
    Restore(Box<commands::restore::Restore>),
    Repository(Box<commands::repository::RepositoryCommand>),
    #[command(visible_alias = "forget")]
    Prune(commands::prune::Prune),
    Pin(commands::pin::Pin),
    Unpin(commands::pin::Unpin),
    Tag(commands::tag::Tag),
    Delete(commands::delete::Delete),
    Retire(commands::retire::Retire),
    Adopt(commands::adopt::Adopt),
    Copy(commands::copy::Copy),
    Schedule(commands::schedule::ScheduleCommand),
    Setup(Box<commands::setup::Setup>),
    Watch(Box<commands::watch::WatchCommand>),
    Config(commands::config::ConfigCommand),
    #[cfg(feature = "web")]
    Open(commands::open::Open),
    #[cfg(feature = "web")]
    Serve(Box<commands::serve::Serve>),
    Info(commands::info::Info),
    Usage(commands::usage::Usage),
    Ls(commands::ls::Ls),
    Find(commands::find::Find),
    Search(commands::search::Search),
    Tree(commands::tree::Tree),
    #[command(visible_alias = "dump")]
    Cat(commands::cat::Cat),
    Extract(commands::extract::Extract),
    Export(commands::export::Export),
    Diff(commands::diff::Diff),
    Demo(commands::demo::Demo),
    Simulate(Box<commands::simulate::Simulate>),
    Trace(commands::trace::TraceCommand),
    UdevRule(commands::udev_rule::UdevRule),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}

impl Command {
    /// Returns the retention rules of a command that drops snapshots.
    fn keep(&mut self) -> Option<&mut KeepArgs> {
        match self {
            Command::Create(create) => Some(&mut create.backup.keep),
            Command::Watch(watch) => Some(&mut watch.backup.keep),
            Command::Prune(prune) => Some(&mut prune.keep),
            Command::Repository(repository) => repository.keep(),
            _ => None,
        }
    }
}

/// Parses the command line and runs the command.
pub fn run() -> ExitCode {
    if let Some(log) = job_state::log_of_this_job() {
        output::begin_job(&log);
    }
    if std::env::args_os().len() <= 1 {
        SCREEN.trim_end().lines().for_each(output::tell);
        return ExitCode::from(exit::USAGE);
    }
    if let Some(code) = answer_hidden() {
        return ExitCode::from(code);
    }
    let code = match parse() {
        Ok(cli) => output::ended(obey(cli)),
        Err(code) => code,
    };
    // A thread of the simulated phone may still be writing its list of files.
    private_dir::remove_all();
    ExitCode::from(code)
}

/// Runs a command for scripts and tests outside of the command line. Returns its exit code.
fn answer_hidden() -> Option<u8> {
    let mut words = std::env::args_os().skip(1);
    let first = words.next()?;
    match first.to_str()? {
        "__complete" => Some(commands::completions::answer(words, Cli::command())),
        "__reference" => Some(commands::reference::run(Cli::command())),
        _ => None,
    }
}

/// Parses the command line, with the config file's values as defaults.
fn parse() -> Result<Cli, u8> {
    let plain = Config::default().apply(Cli::command());
    let mut cli = of(plain.clone());
    output::be_quiet(cli.quiet);
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
    let mistakes = variables::mistakes(&Cli::command(), std::env::vars_os());
    match &mut cli.command {
        Command::Doctor(doctor) => doctor.config = variables::findings(&mistakes),
        _ if !mistakes.is_empty() => return Err(variables::refuse(&mistakes)),
        _ => {}
    }
    let Some((path, is_named)) = config::place(cli.config.as_deref()) else {
        return Ok(cli);
    };
    // `setup` makes the file.
    let must_exist = is_named && !matches!(cli.command, Command::Setup(_));
    match Config::read(&path, must_exist) {
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
                    .extend(commands::config::findings(&path, &mistakes));
                Ok(cli)
            }
            _ => Err(config::refuse_mistakes(&path, &mistakes)),
        },
    }
}

fn of(command: clap::Command) -> Cli {
    let mut command = brief(command);
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let matches = matches.unwrap_or_else(|e| refuse(&e, &command));
    typed::note(options_typed(&matches));
    let cli = Cli::from_arg_matches(&matches);
    let mut cli = cli.unwrap_or_else(|e| refuse(&e.format(&mut command), &command));
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
                .then_some("--rehearse uses a simulated phone: leave out --device")
        }
        (Command::Create(create), Some((_, args))) => {
            (create.all && typed(args)).then_some("--all means every phone: leave out --device")
        }
        _ => None,
    };
    if let Some(why) = conflict {
        refuse(&command.error(ErrorKind::ArgumentConflict, why), &command);
    }
    cli
}

/// Returns the options that select the store and the config file, if the user typed them.
fn options_typed(matches: &clap::ArgMatches) -> Typed {
    let (mut store, mut config, mut present) = (None, None, Some(matches));
    while let Some(matches) = present {
        let value = |option: &str| {
            let is_there = matches.try_contains_id(option).unwrap_or(false);
            let source = is_there.then(|| matches.value_source(option))?;
            let raw = matches.get_raw(option)?.next()?;
            (source == Some(ValueSource::CommandLine)).then(|| raw.display().to_string())
        };
        store = store.or(value("store"));
        config = config.or(value("config"));
        present = matches.subcommand().map(|(_, matches)| matches);
    }
    // `setup` writes the store into the config file, where all commands find it.
    let is_setup = matches.subcommand_name() == Some("setup");
    Typed {
        store: store.filter(|_| !is_setup),
        config,
        with_store: with_store(&Cli::command(), ""),
    }
}

/// Returns the commands below `command` that take the option for the user's store.
fn with_store(command: &clap::Command, name: &str) -> Vec<String> {
    let is_store = |arg: &clap::Arg| arg.get_env().is_some_and(|env| env == "IDEV_BACKUP_STORE");
    let mut found = Vec::new();
    if command.get_arguments().any(is_store) {
        found.push(name.to_owned());
    }
    for below in command.get_subcommands() {
        let name = format!("{name} {}", below.get_name());
        found.extend(with_store(below, name.trim_start()));
    }
    found
}

/// Options that few people need: `--help` shows them, `-h` does not.
const EXPERT: &[&str] = &[
    "copy_overdue_after",
    "address",
    "any_certificate",
    "config",
    "hook_time_limit",
    "keep_daily",
    "keep_monthly",
    "keep_weekly",
    "keep_within",
    "keep_yearly",
    "log_file",
    "log_level",
    "may_sleep",
    "min_battery",
    "no_apps",
    "notify",
    "on_failure",
    "on_overdue",
    "on_push_failure",
    "on_start",
    "on_success",
    "on_waiting_for_passcode",
    "overdue_after",
    "push_if",
    "push_quiet_hours",
    "push_retry",
    "push_retry_wait",
    "password_command",
    "password_keyring",
    "patience",
    "quiet_hours",
    "read_again",
    "remind_every",
    "passcode_wait",
    "repository_password_command",
    "repository_password_keyring",
    "repository_patience",
    "repository_retry",
    "restic",
    "restic_option",
    "limit_download",
    "retry",
    "retry_wait",
    "trace",
    "trace_metadata",
    "transport",
    "wait_for_device",
];

/// Keeps the short help to one screen: it leaves out expert options, and the variables of all.
fn brief(command: clap::Command) -> clap::Command {
    fn shortened(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|arg| {
            let is_expert = EXPERT.contains(&arg.get_id().as_str());
            arg.hide_env(true).hide_short_help(is_expert)
        });
        command.mut_subcommands(shortened)
    }
    if std::env::args_os().any(|word| word == "-h") {
        shortened(command)
    } else {
        command
    }
}

/// Parses the command line of a job, with the current values of the config file.
fn of_job(words: &[String], named: Option<&Path>) -> Result<Option<WritableStoreArgs>, Failure> {
    Ok(match parsed(words, named)?.command {
        Command::Create(create) => Some(create.store),
        Command::Watch(watch) => Some(watch.store),
        _ => None,
    })
}

/// Parses the command line of `create`, with the current values of the config file.
fn of_create(words: &[String], named: Option<&Path>) -> Result<commands::create::Create, Failure> {
    match parsed(words, named)?.command {
        Command::Create(create) => Ok(*create),
        _ => Err(Failure::Command {
            what: format!("`idev-backup {}` makes no backup", words.join(" ")),
            hint: "run `idev-backup create`".to_owned(),
        }),
    }
}

/// Parses a command line that the user did not type now.
fn parsed(words: &[String], named: Option<&Path>) -> Result<Cli, Failure> {
    let exit = |e: clap::Error| -> ! { refuse(&e, &Cli::command()) };
    let words = || std::iter::once("idev-backup").chain(words.iter().map(String::as_str));
    let of = |matches: Result<clap::ArgMatches, clap::Error>| {
        let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
        cli.unwrap_or_else(|e| exit(e))
    };
    let plain = Config::default().apply(Cli::command());
    let plain = plain
        .try_get_matches_from(words())
        .unwrap_or_else(|e| exit(e));
    let typed = plain.value_source("config") == Some(ValueSource::CommandLine);
    let of_job = plain.get_one::<PathBuf>("config").filter(|_| typed);
    let of_job = of_job.map(PathBuf::as_path);
    let config = match config::place(of_job.or(named)) {
        Some((path, is_named)) => Config::read(&path, is_named).map_err(|_| Failure::Command {
            what: format!("cannot read the config file {}", path.display()),
            hint: "`idev-backup config check` lists its mistakes".to_owned(),
        })?,
        None => Config::default(),
    };
    let mut cli = of(config.apply(Cli::command()).try_get_matches_from(words()));
    let mut typed = of(Ok(plain));
    if let (Some(keep), Some(typed)) = (cli.command.keep(), typed.command.keep()) {
        keep.read(&config, typed);
    }
    Ok(cli)
}

fn obey(cli: Cli) -> u8 {
    match cli.command {
        Command::Create(c) => c.connector.trace.end(c.run()),
        Command::Devices(c) => c.connector.trace.end(c.run()),
        Command::Doctor(c) => c.connector.trace.end(c.run()),
        Command::Encryption(c) => c.run(),
        Command::Wifi(c) => c.run(),
        Command::Pair(c) => c.connector.trace.end(c.run()),
        Command::Unpair(c) => c.connector.trace.end(c.run()),
        Command::List(c) => c.run(),
        Command::Verify(c) => c.run(),
        Command::Restore(c) => c.connector.trace.end(c.run()),
        Command::Repository(c) => c.run(),
        Command::Prune(c) => c.run(),
        Command::Pin(c) => c.run(),
        Command::Unpin(c) => c.run(),
        Command::Tag(c) => c.run(),
        Command::Delete(c) => c.run(),
        Command::Retire(c) => c.run(),
        Command::Adopt(c) => c.run(),
        Command::Copy(c) => c.run(),
        #[cfg(feature = "web")]
        Command::Open(c) => c.run(&commands::pages::Settings {
            named: cli.config.as_deref(),
            parse: of_create,
        }),
        #[cfg(feature = "web")]
        Command::Serve(c) => c.run(&commands::pages::Settings {
            named: cli.config.as_deref(),
            parse: of_create,
        }),
        Command::Info(c) => c.run(),
        Command::Usage(c) => c.run(),
        Command::Ls(mut c) => {
            c.settle();
            c.run()
        }
        Command::Search(c) => c.run(),
        Command::Find(mut c) => {
            c.settle();
            c.run()
        }
        Command::Tree(mut c) => {
            c.settle();
            c.run()
        }
        Command::Cat(mut c) => {
            c.settle();
            c.run()
        }
        Command::Extract(mut c) => {
            c.settle();
            c.run()
        }
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
        Command::Schedule(c) => c.run(cli.config.as_deref(), of_job),
        Command::Setup(c) => c
            .connector
            .trace
            .end(c.run(cli.config.as_deref(), of_create)),
        Command::Watch(c) => c.connector.trace.end(c.run()),
        Command::Config(c) => c.run(cli.config.as_deref(), Cli::command()),
        Command::UdevRule(c) => c.run(),
        Command::Completions(c) => c.run(&mut Cli::command()),
        Command::Man(c) => c.run(Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screen_names_every_command() {
        let listed: Vec<&str> = SCREEN.split_whitespace().collect();
        for command in Cli::command()
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
        {
            let name = command.get_name();
            assert!(listed.contains(&name), "{name} is not on the first screen");
            assert!(
                crate::cli::screen::advice(name).is_none(),
                "{name} is a command"
            );
        }
        assert!(SCREEN.lines().all(|line| line.chars().count() <= 104));
    }

    fn told(name: &str, value: &str) -> Option<variables::Mistake> {
        let environment = [(name.into(), value.into())].into_iter();
        variables::mistakes(&Cli::command(), environment).pop()
    }

    #[test]
    fn variable_mistakes_are_explained() {
        for (name, value, text, hint) in [
            ("RETENTION_KEEP_LST", "9", "unknown variable", "KEEP_LAST?"),
            ("STOER", "/x", "unknown variable", "IDEV_BACKUP_STORE?"),
            ("WHATEVER_IT_IS", "9", "unknown variable", "config show"),
            ("STORE", "", "is empty", "unset"),
            ("PASSWORD", "", "is empty", "unset"),
            ("CREATE_FULL", "", "is empty", "unset"),
            (
                "STORE",
                "backups",
                "not an absolute path",
                "write an absolute",
            ),
            (
                "CONFIG",
                "./a.toml",
                "not an absolute path",
                "write an absolute",
            ),
            (
                "LOG_FILE",
                "a.log",
                "not an absolute path",
                "write an absolute",
            ),
        ] {
            let mistake = told(&format!("IDEV_BACKUP_{name}"), value).unwrap();
            assert!(mistake.text.contains(text), "{name}: {mistake:?}");
            assert!(mistake.text.contains(name), "{name}: {mistake:?}");
            assert!(mistake.hint.contains(hint), "{name}: {mistake:?}");
        }
    }

    #[test]
    fn valid_variables_are_accepted() {
        let root = if cfg!(windows) { "C:\\x" } else { "/x" };
        for (name, value) in [
            ("IDEV_BACKUP_STORE", root),
            ("IDEV_BACKUP_STORE", "~/backups"),
            ("IDEV_BACKUP_RETENTION_KEEP_LAST", "9"),
            ("IDEV_BACKUP_NEW_PASSWORD", "x"),
            ("IDEV_BACKUP_KILLS", "9"),
            ("OTHER", ""),
        ] {
            assert_eq!(told(name, value), None, "{name}");
        }
    }

    /// Every option and argument that is a path goes through the same reader.
    #[test]
    fn no_path_may_be_empty() {
        fn paths(command: &clap::Command, names: &[String], found: &mut Vec<Vec<String>>) {
            for arg in command.get_arguments() {
                let is_path = arg.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>();
                if is_path {
                    let option = arg.get_long().map(|long| format!("--{long}="));
                    found.push([names, &[option.unwrap_or_default()]].concat());
                }
            }
            for command in command.get_subcommands() {
                let name = command.get_name().to_owned();
                paths(command, &[names, &[name]].concat(), found);
            }
        }
        let command = Cli::command();
        let mut found = Vec::new();
        paths(&command, &["idev-backup".to_owned()], &mut found);
        assert!(found.len() > 20, "{found:?}");
        for words in found {
            // Other arguments may have to precede the one under test.
            let told = [0, 1].map(|before| {
                let mut words = words.clone();
                let last = words.pop().unwrap_or_default();
                words.extend(vec!["x".to_owned(); before]);
                words.push(last);
                let told = command.clone().try_get_matches_from(&words).err();
                told.map(|e| e.to_string()).unwrap_or_default()
            });
            assert!(
                told.iter().any(|told| told.contains("is empty")),
                "{words:?}: {told:?}"
            );
        }
    }

    /// Calls `each` with every visible command below the program, and its words.
    fn each_command(each: &mut dyn FnMut(&[String], &clap::Command)) {
        fn walk(
            command: &clap::Command,
            above: &[String],
            each: &mut dyn FnMut(&[String], &clap::Command),
        ) {
            for command in command.get_subcommands().filter(|c| !c.is_hide_set()) {
                let words = [above, &[command.get_name().to_owned()]].concat();
                each(&words, command);
                walk(command, &words, each);
            }
        }
        let mut command = Cli::command();
        command.build();
        walk(&command, &[], each);
    }

    /// Checks that an option means the same in all commands: it has the same short form, takes the
    /// same kind of value, and its help begins with the same two words.
    #[test]
    fn options_mean_the_same_everywhere() {
        type Meaning = (Option<char>, String, String);
        let mut options = std::collections::BTreeMap::<String, (Meaning, String)>::new();
        let mut shorts = std::collections::BTreeMap::<char, String>::new();
        let mut faults = Vec::new();
        each_command(&mut |words, command| {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let Some(long) = arg.get_long() else {
                    assert!(arg.get_short().is_none(), "{words:?}: {arg:?}");
                    continue;
                };
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let words_of_help = help.split(|c: char| c.is_whitespace() || ":;,.".contains(c));
                let topic: Vec<&str> = match long {
                    // Its help begins with the verb of the command.
                    "all" => (words_of_help.filter(|word| word.starts_with("phone")))
                        .map(|_| "phone")
                        .collect(),
                    _ => words_of_help.take(2).collect(),
                };
                let takes_value = arg.get_num_args().is_some_and(|n| n.takes_values());
                let value = arg.get_value_names().filter(|_| takes_value);
                let value = value.map(|names| names.join(" ")).unwrap_or_default();
                let meaning = (arg.get_short(), value, topic.join(" "));
                let own = (meaning, words.join(" "));
                let (first, of) = options.entry(long.to_owned()).or_insert(own.clone());
                if *first != own.0 {
                    let (meaning, other) = own;
                    faults.push(format!(
                        "--{long}: {first:?} in `{of}`, {meaning:?} in `{other}`"
                    ));
                }
                if let Some(short) = arg.get_short() {
                    let same = shorts.entry(short).or_insert(long.to_owned());
                    if same != long {
                        faults.push(format!("-{short} is --{same} and --{long}"));
                    }
                }
            }
        });
        assert!(faults.is_empty(), "{faults:#?}");
        assert_eq!(shorts.get(&'n').map(String::as_str), Some("dry-run"));
        assert_eq!(shorts.get(&'i').map(String::as_str), Some("ignore-case"));
        assert!(options.len() > 80, "{}", options.len());
    }

    /// Checks that every command takes `-q`, and that former names of options still work.
    #[test]
    fn quiet_and_former_names_are_accepted() {
        let command = Config::default().apply(Cli::command());
        let accepts = |words: &[&str]| {
            let words = std::iter::once("idev-backup").chain(words.iter().copied());
            let told = command.clone().try_get_matches_from(words);
            told.map_err(|e| e.to_string())
        };
        each_command(&mut |words, of| {
            if of.has_subcommands() && of.is_subcommand_required_set() {
                return;
            }
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            words.insert(1, "-q");
            let told = accepts(&words).err().unwrap_or_default();
            assert!(!told.contains("unexpected argument"), "{words:?}: {told}");
        });
        for words in [
            &["list", "--overdue-days", "3"][..],
            &["doctor", "--max-age", "3"],
            &["create", "--keep", "3", "--patience", "31"],
            &["extract", "--any-case", "--to", "x"],
            &["usage", "--html", "x", "--force"],
            &["diff", "a", "b", "--all"],
            &["restore", "--no-apps"],
            &["pair", "--wait", "20"],
        ] {
            assert!(
                accepts(words).is_ok(),
                "{words:?}: {:?}",
                accepts(words).err()
            );
        }
    }

    #[test]
    fn every_config_key_has_an_option() {
        fn names(command: &clap::Command, found: &mut Vec<String>) {
            let of = |arg: &clap::Arg| arg.get_env().map(|env| env.to_string_lossy().into_owned());
            found.extend(command.get_arguments().filter_map(of));
            command.get_subcommands().for_each(|c| names(c, found));
        }
        let mut found = Vec::new();
        names(&Cli::command(), &mut found);
        for key in config::KEYS {
            assert!(found.contains(&config::variable(key.name)), "{}", key.name);
        }
    }

    #[test]
    fn config_template_shows_the_defaults() {
        fn defaults(command: &clap::Command, found: &mut Vec<(String, String)>) {
            for arg in command.get_arguments() {
                let default = arg.get_default_values().first().and_then(|v| v.to_str());
                if let (Some(variable), Some(default)) = (arg.get_env(), default) {
                    let variable = variable.to_string_lossy().into_owned();
                    found.push((variable, default.to_owned()));
                }
            }
            command.get_subcommands().for_each(|c| defaults(c, found));
        }
        let mut found = Vec::new();
        defaults(&Config::default().apply(Cli::command()), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for key in config::KEYS {
            let variable = config::variable(key.name);
            for (_, default) in found.iter().filter(|(name, _)| *name == variable) {
                let expected = config::literal(key.name, default);
                assert_eq!(config::example(key.name), expected, "{}", key.name);
            }
        }
    }

    #[test]
    fn flag_outranks_config_outranks_default() {
        let config = Config::parse("[retention]\nkeep-last = 9\n[create]\nfull = true").unwrap();
        let parsed = |args: &[&str]| {
            let command = config.apply(Cli::command());
            let words = ["idev-backup", "create"].iter().chain(args);
            let matches = command.try_get_matches_from(words).unwrap();
            let create = matches.subcommand_matches("create").unwrap().clone();
            let keep = *create.get_one::<u32>("keep_last").unwrap();
            (keep, *create.get_one::<bool>("full").unwrap())
        };
        assert_eq!(parsed(&[]), (9, true));
        assert_eq!(parsed(&["--keep", "1", "--full=false"]), (1, false));
        assert_eq!(parsed(&["--full"]), (9, true));
    }
}
