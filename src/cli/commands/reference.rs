//! The hidden command that prints docs/guide/reference.md, all but the part about JSON, from the
//! definition of the command line, the keys of the config file and the exit codes.

use clap::{Arg, Command};
use idev_backup::base::child;

use crate::cli::args::config::{self, KEYS};
use crate::cli::exit;
use crate::cli::render::output::Lines;

/// Prints the reference. `command` is the command line without hidden commands.
pub fn run(command: Command) -> u8 {
    let mut command = config::Config::default().apply(command);
    command.build();
    let mut text = String::from(
        "# Reference\n\n\
        All commands, options, keys, variables and exit codes, as the program itself lists them. A \
        test\nwrites this page: `SNAPSHOTS=overwrite cargo test --test all -- snapshots::reference`.\n\n\
        - [Commands](#commands)\n- [Config file](#config-file)\n- [Variables](#variables)\n\
        - [Exit codes](#exit-codes)\n- [JSON](#json)\n\n## Commands\n\n\
        Every command also takes the options of the program. A flag that a key or a variable sets is \
        switched\noff with `=false`.\n\n",
    );
    text += &options(command.get_arguments().filter(|arg| !is_help(arg)));
    commands(&command, "idev-backup", &mut text);
    text += &keys(&command);
    text += &variables();
    text += &exit_codes();
    let mut lines = Lines::new();
    lines.text(text.as_bytes());
    lines.end(exit::DONE)
}

fn commands(above: &Command, words: &str, text: &mut String) {
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in above.get_subcommands().filter(shown) {
        let words = format!("{words} {}", command.get_name());
        text.push_str(&format!("### {words}\n\n"));
        let about = command.get_about().map(ToString::to_string);
        text.push_str(&format!(
            "{}.\n\n",
            about.unwrap_or_default().trim_end_matches('.')
        ));
        let aliases: Vec<String> = command
            .get_visible_aliases()
            .map(|alias| format!("`{alias}`"))
            .collect();
        if !aliases.is_empty() {
            text.push_str(&format!("Also called {}.\n\n", aliases.join(", ")));
        }
        text.push_str(&options(
            command
                .get_arguments()
                .filter(|arg| !is_help(arg) && !arg.is_global_set()),
        ));
        commands(command, &words, text);
    }
}

fn is_help(arg: &Arg) -> bool {
    ["help", "version"].contains(&arg.get_id().as_str()) || arg.is_hide_set()
}

/// Returns a table of arguments and options, or nothing if it has neither.
fn options<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows: Vec<String> = args.map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "| argument or option | meaning |\n|---|---|\n{}\n",
        rows.concat()
    )
}

fn row(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut meaning = cell(&help);
    let default: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
    if takes_value && !default.is_empty() && !arg.is_hide_default_value_set() {
        meaning += &format!(" [default: {}]", default.join(","));
    }
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    if takes_value && !possible.is_empty() && !arg.is_hide_possible_values_set() {
        meaning += &format!(" [one of: {}]", possible.join(", "));
    }
    format!("| `{}` | {meaning} |\n", cell(&name(arg)))
}

/// Returns an option as it is typed, such as "-d, --device PHONE".
fn name(arg: &Arg) -> String {
    let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    let Some(long) = arg.get_long() else {
        let dots = if arg
            .get_num_args()
            .is_some_and(|count| count.max_values() > 1)
        {
            "..."
        } else {
            ""
        };
        let name = if values.is_empty() {
            arg.get_id().as_str().to_uppercase()
        } else {
            values
        };
        return format!("{name}{dots}");
    };
    let short = arg.get_short().map(|short| format!("-{short}, "));
    let short = short.unwrap_or_default();
    let is_flag = !takes_value || values == "false";
    let is_optional = arg
        .get_num_args()
        .is_some_and(|count| count.min_values() == 0);
    match (is_flag, is_optional) {
        (true, _) => format!("{short}--{long}"),
        (false, true) => format!("{short}--{long}[={values}]"),
        (false, false) => format!("{short}--{long} {values}"),
    }
}

fn keys(command: &Command) -> String {
    let mut text = String::from(
        "## Config file\n\nA variable has precedence over a key, and an option over a variable.\n\n\
        | key | meaning | default | variable |\n|---|---|---|---|\n",
    );
    for key in KEYS {
        let variable = config::variable(key.name);
        let default = default_of(command, &variable).unwrap_or_default();
        text += &format!(
            "| `{}` | {} | {} | `{variable}` |\n",
            key.name,
            cell(key.help),
            cell(&default)
        );
    }
    text.push('\n');
    text
}

fn default_of(command: &Command, variable: &str) -> Option<String> {
    let reads = |arg: &&Arg| arg.get_env().is_some_and(|env| env == variable);
    let own = command.get_arguments().find(reads);
    let own = own.and_then(|arg| arg.get_default_values().first()?.to_str());
    let mut below = command.get_subcommands();
    own.map(str::to_owned)
        .or_else(|| below.find_map(|command| default_of(command, variable)))
}

/// Variables that are neither those of keys nor of options.
const OTHERS: [(&str, &str); 6] = [
    ("IDEV_BACKUP_CONFIG", "the config file"),
    (child::SECRETS[0], "the backup password"),
    (
        child::SECRETS[1],
        "the new backup password, for `encryption change`",
    ),
    (
        child::SECRETS[2],
        "the backup password of the phones of `simulate`",
    ),
    (
        child::JOB,
        "set by `schedule run` for the command that it runs",
    ),
    (
        "USBMUXD_SOCKET_ADDRESS",
        "the daemon to use: `UNIX:/path` or `HOST:PORT`",
    ),
];

fn variables() -> String {
    let rows: Vec<String> = OTHERS
        .iter()
        .map(|(name, meaning)| format!("| `{name}` | {meaning} |\n"))
        .collect();
    format!(
        "## Variables\n\nEvery key of the config file has a variable, see above. A variable \
        `IDEV_BACKUP_...` that is not\nlisted, or is empty, is refused.\n\n\
        | variable | meaning |\n|---|---|\n{}\n",
        rows.concat()
    )
}

fn exit_codes() -> String {
    let codes = (0..=8).chain([exit::INTERRUPTED]);
    let rows: Vec<String> = codes
        .map(|code| format!("| {code} | {} |\n", exit::words(code)))
        .collect();
    format!(
        "## Exit codes\n\n| code | meaning |\n|---|---|\n{}",
        rows.concat()
    )
}

/// Returns text for a cell of a table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}
