//! `idev-backup trace`, and the options of commands that record one.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{io, thread};

use clap::{Args, Subcommand};
use idev_backup::base::cancel::CancelToken;
use idev_backup::base::progress::Silent;
use idev_backup::base::units::{counted, size};
use idev_backup::device::connector::Connector;
use idev_backup::device::tls::Pin;
use idev_backup::device::trust;
use idev_backup::simulator::{Daemon, Phone, PhoneConfig, Replay};
use idev_backup::trace::line::{Event, Line, Message};
use idev_backup::trace::{Trace, compare};
use idev_backup::transport::Usbmuxd;
use idev_backup::transport::usbmuxd::Address;

use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Show a recorded conversation with a phone, or play the phone's side of it.
///
/// Record one with:  idev-backup create --trace FILE
#[derive(Args)]
pub struct TraceCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Show(Show),
    Replay(Play),
}

/// Print a trace for people.
///
/// Columns: seconds, channel, direction (`>` to the phone, `<` from it), message.
#[derive(Args)]
struct Show {
    /// The trace
    #[arg(value_parser = crate::cli::args::store::path_parser())]
    file: PathBuf,
    /// Print messages whole, however long
    #[arg(long)]
    whole: bool,
}

/// Be the phone of a trace, for any client, and tell where the client departs from what was
/// recorded.
///
/// Prints one line, `USBMUXD_SOCKET_ADDRESS=...`: set that in the environment of the client. It
/// ends when the client has gone, with 0 if it did as was recorded, and with 3 if it did not.
#[derive(Args)]
struct Play {
    /// The trace
    #[arg(value_parser = crate::cli::args::store::path_parser())]
    file: PathBuf,
    /// Where to listen: UNIX:/path or HOST:PORT (port 0: any free one)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
    /// Seconds without any connection after which the client is taken to be gone
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    idle: u64,
}

impl TraceCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let done = match &self.what {
            What::Show(show) => show.run(),
            What::Replay(play) => play.run(),
        };
        done.unwrap_or_else(|e| output::failure(&e, None, false))
    }
}

fn read(path: &Path) -> Result<Trace, Failure> {
    let failed = |what: String| Failure::Command {
        what,
        hint: "name a trace: what `idev-backup create --trace FILE` writes".to_owned(),
    };
    let text =
        std::fs::read(path).map_err(|e| failed(format!("cannot read {}: {e}", path.display())))?;
    Trace::parse(&String::from_utf8_lossy(&text))
        .map_err(|(line, e)| failed(format!("{}, line {line}: {e}", path.display())))
}

impl Show {
    fn run(&self) -> Result<u8, Failure> {
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
            output::line(&shown(line, name, self.whole));
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

impl Play {
    fn run(&self) -> Result<u8, Failure> {
        let trace = read(&self.file)?;
        let replay = Replay::new(&trace).map_err(|e| Failure::Command {
            what: format!("{} cannot be played: {e}", self.file.display()),
            hint: "record a conversation with a phone".to_owned(),
        })?;
        let failed = |e: io::Error| Failure::Command {
            what: format!("cannot listen on {}: {e}", self.listen),
            hint: "name another UNIX:/path or HOST:PORT with --listen".to_owned(),
        };
        let base = PhoneConfig::default();
        let phone = Phone::new(PhoneConfig {
            udid: replay.udid().cloned().unwrap_or(base.udid.clone()),
            plain: replay.is_plain(),
            ..base
        });
        let daemon = Daemon::start(&self.listen, vec![phone.clone()]).map_err(failed)?;
        let token = CancelToken::new(interrupt());
        if replay.begins_paired() {
            pair_beforehand(&daemon, &token)?;
        }
        phone.play(replay.clone());
        output::line(&format!("USBMUXD_SOCKET_ADDRESS={}", daemon.address()));
        let mut told = 0;
        let idle = Duration::from_secs(self.idle);
        loop {
            for departure in replay.departures().iter().skip(told) {
                output::line(&format!("departs: {departure}"));
                told += 1;
            }
            if token.cancelled() || replay.idle_for().is_some_and(|quiet| quiet >= idle) {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        drop(daemon);
        for channel in replay.unplayed() {
            output::line(&format!("departs: {channel} was recorded, and not opened"));
            told += 1;
        }
        Ok(match told {
            0 => {
                output::line("Played: the client did as was recorded.");
                exit::DONE
            }
            n => {
                let departures = counted(n as u64, "departure");
                output::line(&format!(
                    "Played, with {departures} from what was recorded."
                ));
                exit::DONE_WITH_PROBLEMS
            }
        })
    }
}

/// Pairs with the phone in advance, for a trace that begins with a paired computer: the daemon
/// receives a pair record that fits this phone's new keys.
fn pair_beforehand(daemon: &Daemon, token: &std::sync::Arc<CancelToken>) -> Result<(), Failure> {
    let usbmuxd = Usbmuxd::new(Address::parse(daemon.address()), token.clone());
    let connector = Connector::new(usbmuxd, PathBuf::new(), Pin::PairRecord, token.clone());
    let phone = connector.phone(None)?;
    trust::pair(&connector, &phone, Duration::from_secs(10), &Silent)?;
    Ok(())
}
