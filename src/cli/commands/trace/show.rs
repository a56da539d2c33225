//! `idev-backup trace show`

use std::path::PathBuf;

use clap::Args;
use idev_backup::base::units::size;
use idev_backup::trace::compare;
use idev_backup::trace::line::{Event, Line, Message};

use crate::cli::args::recording::read;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Print a trace in readable form
///
/// Columns: seconds, channel, direction (`>` to the phone, `<` from it), message.
#[derive(Args)]
pub struct Show {
    /// The trace file
    #[arg(value_parser = crate::cli::args::store::path_parser())]
    file: PathBuf,
    /// Print long messages in full
    #[arg(long)]
    whole: bool,
}

impl Show {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> Result<u8, Failure> {
        let trace = read(&self.file)?;
        let head = &trace.head;
        let time = if head.time.is_empty() {
            String::new()
        } else {
            format!(" at {}", head.time)
        };
        output::line(&format!("recorded by {} in the {}{time}", head.by, head.at));
        let mut names = std::collections::HashMap::new();
        for line in &trace.lines {
            if let Event::Open { name, .. } = &line.event {
                let short = name.rsplit('.').next().unwrap_or(name);
                names.insert(line.channel, short.to_owned());
            }
            let name = names.get(&line.channel).map_or("?", String::as_str);
            output::data(&shown(line, name, self.whole));
        }
        Ok(exit::DONE)
    }
}

/// Maximum length in characters of a message that is shown without `--whole`.
const SHOWN_MAX: usize = 160;

fn shown(line: &Line, name: &str, whole: bool) -> String {
    let (sign, mut text) = match &line.event {
        Event::Open { name, phone, on } => {
            let phone = phone.as_ref().map(|udid| format!(" of {udid}"));
            let on = on.map(|on| format!(", the connection of {on}"));
            let rest = [phone, on].into_iter().flatten().collect::<String>();
            ("+", format!("{name} opened{rest}"))
        }
        Event::Close(by) => (by.sign(), "closed".to_owned()),
        Event::Message(dir, message) => (dir.sign(), described(message)),
    };
    if let Some((at, _)) = text.char_indices().nth(SHOWN_MAX)
        && !whole
    {
        text.truncate(at);
        text.push_str("...");
    }
    let label = format!("{} {name}", line.channel);
    format!("{:>10.3}  {label:<24} {sign} {text}", line.seconds)
}

fn described(message: &Message) -> String {
    match message {
        Message::Plist(value) => {
            let name = compare::name(value).unwrap_or_default();
            format!("{name} {value}").trim_start().to_owned()
        }
        Message::File {
            to,
            size: bytes,
            sha256,
            end,
            ..
        } => {
            use idev_backup::trace::framing::FileEnd;
            let hash = sha256.get(..12).unwrap_or(sha256);
            let end = match end {
                FileEnd::Whole => String::new(),
                FileEnd::Cut => ", cut".to_owned(),
                FileEnd::Failed(code, text) => format!(", failed with {code}: {text}"),
            };
            format!("file {to}, {}, SHA-256 {hash}...{end}", size(*bytes))
        }
        Message::Afc(packet) => {
            let paths = packet.paths.join(" ");
            let data = match packet.data {
                0 => String::new(),
                n => format!(" and {}", size(n)),
            };
            format!("{} {:?} {paths}{data}", packet.operation, packet.words)
        }
        other => compare::kind(other),
    }
}
