//! Prints all output of the program; no other file does. Data goes to stdout, everything else to
//! stderr.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Read, Stdout, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use idev_backup::automation::policy::Described;
use idev_backup::backup;
use idev_backup::base::time;
use indicatif::MultiProgress;
use serde::Serialize;

use super::log::{self, Level, Purpose, Source};
use super::{typed, wrap};
use crate::cli::failure::Failure;
use crate::cli::{exit, hints};

/// Style of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Shows bars, or lines without a terminal.
    People,
    /// Shows problems only.
    Quiet,
    /// Prints JSON events.
    Json,
}

/// True if `--quiet` was given.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves out reports from now on, if `is_quiet`; problems and requested data are still printed.
pub fn be_quiet(is_quiet: bool) {
    QUIET.store(is_quiet, Ordering::SeqCst);
}

/// Returns true if reports are left out.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::SeqCst)
}

/// Returns the style of a command's output.
pub fn style(as_json: bool) -> Style {
    match (as_json, is_quiet()) {
        (true, _) => Style::Json,
        (false, true) => Style::Quiet,
        (false, false) => Style::People,
    }
}

/// Returns the progress bars of running jobs if stderr is a terminal. Lines are printed above them.
pub fn bars() -> Option<&'static MultiProgress> {
    static BARS: OnceLock<Option<MultiProgress>> = OnceLock::new();
    let make = || std::io::stderr().is_terminal().then(MultiProgress::new);
    BARS.get_or_init(make).as_ref()
}

fn above_the_bars(print: impl FnOnce()) {
    match bars() {
        Some(bars) => bars.suspend(print),
        None => print(),
    }
}

/// Returns true for characters that move the cursor, change colors, or change the direction of the
/// text that follows, and so could disguise a name.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Start of a continuation line that an error appends to its first line.
const CONTINUED: &str = "\n  ";

/// Escapes the characters that terminals act on, since names come from phones.
///
/// A line break stays only before an indented line, as in errors that quote the phone: a name
/// cannot end a line and begin one that looks like our own output.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let shown = text.split(CONTINUED).map(one_line);
    shown.collect::<Vec<_>>().join(CONTINUED).into()
}

/// Replaces the signs of reports that a terminal without UTF-8 cannot print.
fn with_plain_signs(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() || speaks_utf8() {
        return text;
    }
    text.replace(" · ", ", ").replace('…', "..").into()
}

/// Returns a name for use within a line, with all of its line breaks escaped.
pub fn one_line(text: &str) -> String {
    text.chars().map(escaped).collect()
}

/// Returns a character, escaped if a terminal would act on it.
pub fn escaped(c: char) -> String {
    if is_obeyed(c) {
        c.escape_default().to_string()
    } else {
        c.to_string()
    }
}

/// Prints several lines of a report, such as the rows of a table.
pub fn lines(text: &str) {
    text.split('\n').for_each(line);
}

/// Prints a line of a report, unless `--quiet` leaves reports out.
pub fn line(text: &str) {
    report(text, None, !is_quiet());
}

/// Prints a line of a report that has this severity. `--quiet` leaves out only information.
pub fn line_at(text: &str, level: Level) {
    report(text, Some(level), level < Level::Info || !is_quiet());
}

/// Prints a line that `--quiet` does not leave out: about a problem, or the answer itself. A
/// terminal gets it wrapped. Does not treat a closed pipe as an error.
pub fn finding(text: &str) {
    report(text, None, true);
}

fn report(text: &str, level: Option<Level>, is_wanted: bool) {
    let text = typed::in_text(text);
    let text = with_plain_signs(harmless(&text));
    let level = log::add_at(&text, Source::Stdout, level);
    if is_wanted && is_printed(level) {
        print(&wrap::for_terminal(&text, &console::Term::stdout()));
    }
}

/// Prints a line of data, which stays one line whatever the width of the terminal.
pub fn data(text: &str) {
    print(&harmless(text));
}

fn print(text: &str) {
    let mut written = Ok(());
    above_the_bars(|| written = writeln!(io::stdout().lock(), "{text}"));
    if let Err(e) = written {
        unprinted(&e);
    }
}

fn unprinted(e: &io::Error) {
    if e.kind() != io::ErrorKind::BrokenPipe {
        lost(e);
    }
}

/// True once some of the output was lost.
static LOST: AtomicBool = AtomicBool::new(false);

/// Reports the first loss of output; later calls do nothing.
fn lost(why: &io::Error) {
    if !LOST.swap(true, Ordering::SeqCst) {
        tell(&format!("error: cannot write the output: {why}"));
        tell("  hint: is the disk that it goes to full?");
    }
}

/// True once a problem occurred outside of any job.
static PROBLEM: AtomicBool = AtomicBool::new(false);

/// Reports a problem outside of the job, which continues. The exit code of the program will show
/// it.
pub fn problem(text: &str, hint: &str) {
    PROBLEM.store(true, Ordering::SeqCst);
    tell(&format!("problem: {text}"));
    tell(&format!("  hint: {hint}"));
}

/// Returns the exit code of the program. Lost output turns success into failure.
pub fn ended(code: u8) -> u8 {
    match code {
        exit::DONE | exit::DONE_WITH_PROBLEMS if LOST.load(Ordering::SeqCst) => exit::FAILED,
        exit::DONE if PROBLEM.load(Ordering::SeqCst) => exit::DONE_WITH_PROBLEMS,
        code => code,
    }
}

/// Copies bytes to stdout unchanged. Returns only read errors: a closed pipe is ignored, and other
/// write errors count as lost output.
pub fn bytes(from: &mut impl Read) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                // Print the data read so far. The read error came first, so report that one.
                drop(out.flush());
                return Err(e);
            }
        };
        if let Err(e) = out.write_all(&buffer[..length]) {
            unprinted(&e);
            return Ok(());
        }
    }
    if let Err(e) = out.flush() {
        unprinted(&e);
    }
    Ok(())
}

/// Prints a line to stderr for people.
pub fn tell(text: &str) {
    let text = typed::in_text(text);
    let text = with_plain_signs(harmless(&text));
    if is_printed(log::add(&text, Source::Stderr)) {
        let text = wrap::for_terminal(&text, &console::Term::stderr());
        let gap = if IS_PROMPT_OPEN.swap(false, Ordering::SeqCst) {
            "\n"
        } else {
            ""
        };
        above_the_bars(|| drop(writeln!(std::io::stderr().lock(), "{gap}{text}")));
    }
}

/// True while the cursor stands behind a question.
static IS_PROMPT_OPEN: AtomicBool = AtomicBool::new(false);

/// True if only problems are printed, because everything is in the log of a job.
static ONLY_PROBLEMS: AtomicBool = AtomicBool::new(false);

fn is_printed(level: Level) -> bool {
    level < Level::Info || !ONLY_PROBLEMS.load(Ordering::SeqCst)
}

/// Begins the log of a scheduled job. Unless people watch it in a terminal, the job then prints
/// only problems: cron sends whatever a job prints to its owner.
pub fn begin_job(file: &Path) {
    if let Err(e) = log::begin(file, Level::Info, Purpose::Job) {
        let text = format!("cannot write the log {}: {e}", file.display());
        problem(&text, "check that you may write in that folder");
        return;
    }
    ONLY_PROBLEMS.store(!io::stderr().is_terminal(), Ordering::SeqCst);
}

/// Prints a question to stderr. The answer is typed on the same line, and [`answered`] ends it.
pub fn prompt(question: &str) {
    IS_PROMPT_OPEN.store(true, Ordering::SeqCst);
    let text = wrap::for_terminal(&harmless(question), &console::Term::stderr());
    let mut stderr = std::io::stderr().lock();
    // A question that cannot be printed cannot be reported elsewhere either.
    drop(write!(stderr, "{text} ").and_then(|()| stderr.flush()));
}

/// Records that the user ended the line of a question.
pub fn answered() {
    IS_PROMPT_OPEN.store(false, Ordering::SeqCst);
}

/// A JSON object for scripts. All objects have these fields in common.
#[derive(Serialize)]
struct Object<'a, T> {
    /// Version of the object format.
    version: u32,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    udid: Option<&'a str>,
    event: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// Prints an object with the common fields; `udid` names the phone that it is about, if any.
pub fn object(event: &str, udid: Option<&str>, body: &impl Serialize) {
    json(&Object {
        version: 1,
        time: now(),
        udid,
        event,
        body,
    });
}

/// Returns the current time for a line that people may read later: local on a terminal, else as
/// for scripts.
pub fn stamp() -> String {
    if io::stderr().is_terminal() {
        time::local_text(SystemTime::now())
    } else {
        now()
    }
}

/// Returns the current time as RFC 3339, the form of all times for scripts.
pub fn now() -> String {
    time::rfc3339(SystemTime::now())
}

/// Prints an object that already has the common fields.
pub fn json(object: &impl Serialize) {
    if let Some(text) = json_text(object) {
        data(&text);
    }
}

/// Returns an object as one line of JSON. Escapes characters that a terminal would act on, since
/// JSON leaves some of them as they are.
fn json_text(object: &impl Serialize) -> Option<String> {
    let text = serde_json::to_string(object);
    let text = text.map_err(|e| tell(&format!("error: cannot write JSON: {e}")));
    let shown = |c: char| {
        if is_obeyed(c) {
            format!("\\u{:04x}", u32::from(c))
        } else {
            c.to_string()
        }
    };
    text.ok().map(|text| {
        let text = typed::in_json(&text).into_owned();
        if text.contains(is_obeyed) {
            text.chars().map(shown).collect()
        } else {
            text
        }
    })
}

/// Returns true if people read stdout.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Writes many lines of data, in large chunks unless stdout is a terminal. Each method returns
/// false once the reader has gone.
pub struct Lines {
    out: BufWriter<Stdout>,
    /// True if stdout is a terminal, so that each line is written at once.
    is_terminal: bool,
    failed: Option<io::Error>,
}

impl Lines {
    /// Creates a writer to stdout.
    pub fn new() -> Lines {
        let out = io::stdout();
        Lines {
            is_terminal: out.is_terminal(),
            out: BufWriter::with_capacity(64 << 10, out),
            failed: None,
        }
    }

    /// Writes a line. Escapes a line break in a name for pipes too, since a script reads each line
    /// as a name.
    pub fn line(&mut self, text: &str) -> bool {
        if text.contains(is_obeyed) {
            self.bytes(&[one_line(text).as_bytes(), b"\n"])
        } else {
            self.bytes(&[text.as_bytes(), b"\n"])
        }
    }

    /// Writes a name unchanged, followed by a NUL byte, which no name contains.
    pub fn ended_by_null(&mut self, name: &str) -> bool {
        self.bytes(&[name.as_bytes(), b"\0"])
    }

    /// Writes bytes unchanged.
    pub fn text(&mut self, text: &[u8]) -> bool {
        self.bytes(&[text])
    }

    /// Writes an object with the common fields.
    pub fn object(&mut self, event: &str, body: &impl Serialize) -> bool {
        let object = Object {
            version: 1,
            time: now(),
            udid: None,
            event,
            body,
        };
        json_text(&object).is_none_or(|text| self.bytes(&[text.as_bytes(), b"\n"]))
    }

    fn bytes(&mut self, parts: &[&[u8]]) -> bool {
        let out = &mut self.out;
        let mut written = parts.iter().try_for_each(|part| out.write_all(part));
        if self.is_terminal && written.is_ok() {
            written = out.flush();
        }
        self.keep(written);
        self.failed.is_none()
    }

    fn keep(&mut self, written: io::Result<()>) {
        if let Err(e) = written {
            self.failed.get_or_insert(e);
        }
    }

    /// Writes the remaining data and returns the exit code. Does not treat a closed pipe as an
    /// error.
    pub fn end(mut self, code: u8) -> u8 {
        let written = self.out.flush();
        self.keep(written);
        match &self.failed {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                lost(e);
                exit::FAILED
            }
            _ => code,
        }
    }
}

/// JSON form of a failure.
#[derive(Serialize)]
struct FailureObject {
    text: String,
    hint: Option<String>,
    exit_code: u8,
}

/// Reports a failure and returns its exit code; `udid` names the phone that it is about, if any.
pub fn failure(error: &Failure, udid: Option<&str>, as_json: bool) -> u8 {
    failure_of("", error, udid, as_json)
}

/// Reports a failure as [`failure`] does, with a phone's name in front.
pub fn failure_of(prefix: &str, error: &Failure, udid: Option<&str>, as_json: bool) -> u8 {
    if let (Failure::Declined(text), false) = (error, as_json) {
        tell(&format!("{text}."));
        return exit::code(error.kind());
    }
    described_failure(prefix, hints::describe(error), udid, as_json)
}

/// Reports a failed backup, with a phone's name in front. `selector` is the text by which commands
/// find the phone, if there are others.
pub fn backup_failure(
    prefix: &str,
    error: &backup::Error,
    udid: &str,
    selector: Option<&str>,
    as_json: bool,
) -> u8 {
    let mut described = hints::describe_backup(error);
    if let (Some(hint), Some(selector)) = (&described.hint, selector) {
        described.hint = Some(typed::for_phone(hint, selector));
    }
    described_failure(prefix, described, Some(udid), as_json)
}

/// Returns true if the command line asks for JSON. Words after `--` belong to another command.
pub fn wants_json() -> bool {
    std::env::args_os()
        .take_while(|word| word != "--")
        .any(|word| word == "--json")
}

/// Reports that the command line is refused, and returns the exit code of wrong usage.
pub fn refused(text: &str, hint: Option<&str>) -> u8 {
    failed(text, hint, exit::USAGE, wants_json())
}

/// Reports a failure in words, and returns its exit code.
pub fn failed(text: &str, hint: Option<&str>, exit_code: u8, as_json: bool) -> u8 {
    let described = Described {
        text: text.to_owned(),
        exit_code,
        hint: hint.map(str::to_owned),
    };
    described_failure("", described, None, as_json)
}

/// Reports that the user ended the program, and removes what it showed of its progress.
pub fn interrupted(hint: Option<&str>) {
    if let Some(bars) = bars() {
        // A terminal that is gone shows nothing.
        bars.clear().ok();
    }
    failed("interrupted", hint, exit::INTERRUPTED, wants_json());
}

/// Prints only the JSON object of a failure.
pub fn failure_object(text: &str, hint: Option<&str>, exit_code: u8) {
    let failure = FailureObject {
        text: text.to_owned(),
        hint: hint.map(str::to_owned),
        exit_code,
    };
    object("error", None, &failure);
}

/// Reports a failure that is described already, and returns its exit code.
pub fn described_failure(
    prefix: &str,
    described: Described,
    udid: Option<&str>,
    as_json: bool,
) -> u8 {
    let Described {
        text,
        exit_code,
        hint,
    } = described;
    tell(&format!("{prefix}error: {text}"));
    if let Some(hint) = &hint {
        tell(&format!("  hint: {hint}"));
    }
    if as_json {
        let failure = FailureObject {
            text,
            hint,
            exit_code,
        };
        object("error", udid, &failure);
    }
    exit_code
}

/// Returns true if the terminal can print characters beyond ASCII.
pub fn speaks_utf8() -> bool {
    if cfg!(windows) {
        return true;
    }
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var);
    // The first variable that is set decides.
    let locale = variables.into_iter().flatten().find(|v| !v.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_control_the_terminal() {
        assert_eq!(
            harmless("a\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}\u{1b}"),
            "a\\u{202e}gpj.exe\\u{2066}\\u{200f}\\u{61c}\\u{1b}"
        );
        assert_eq!(harmless("写真 \u{200d}ä"), "写真 \u{200d}ä");
        // A name cannot begin a new line, but a continuation of an error can.
        assert_eq!(harmless("x\nWHOLE."), "x\\nWHOLE.");
        assert_eq!(
            harmless("error: x\r\n\n  says: y\n"),
            "error: x\\r\\n\n  says: y\\n"
        );
        assert_eq!(one_line("x\n  y"), "x\\n  y");
        let text = json_text(&"a\u{202e}b").unwrap();
        assert_eq!(text, r#""a\u202eb""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "a\u{202e}b");
    }
}
