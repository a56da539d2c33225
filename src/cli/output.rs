//! What is printed: the only file that does. Data goes to stdout, everything else to stderr.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Read, Stdout, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use idev_backup::jobs::{Error, list};
use indicatif::MultiProgress;
use serde::Serialize;

use super::{exit, log};

/// The bars of running jobs, where stderr is a terminal. Lines are printed above them.
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

/// What moves the cursor, changes colours, or turns the direction of what follows, so that a name
/// is read as another one.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What an error appends to its own line begins so.
const CONTINUED: &str = "\n  ";

/// Shows the characters that terminals obey instead of sending them, since names come from phones.
///
/// A line break stays only where an indented line follows, as in errors that quote the phone: no
/// name can end a line and begin one that looks like a verdict of ours.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let shown = text.split(CONTINUED).map(one_line);
    shown.collect::<Vec<_>>().join(CONTINUED).into()
}

/// Returns a name as it may stand in a line, with all of its line breaks shown.
pub fn one_line(text: &str) -> String {
    let shown = |c: char| match is_obeyed(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Prints lines of data that were put together here, such as a row of a table.
pub fn lines(text: &str) {
    text.split('\n').for_each(line);
}

/// Prints a line of data. A reader that has gone away is no error of ours.
pub fn line(text: &str) {
    let mut written = Ok(());
    above_the_bars(|| written = writeln!(io::stdout().lock(), "{}", harmless(text)));
    if let Err(e) = written {
        unprinted(&e);
    }
}

fn unprinted(e: &io::Error) {
    if e.kind() != io::ErrorKind::BrokenPipe {
        lost(e);
    }
}

/// Some of the output was lost.
static LOST: AtomicBool = AtomicBool::new(false);

/// Tells once that output is lost.
fn lost(why: &io::Error) {
    if !LOST.swap(true, Ordering::SeqCst) {
        tell(&format!("error: cannot write the output: {why}"));
        tell("  hint: is the disk that it goes to full?");
    }
}

/// Something went wrong that no job knows of.
static PROBLEM: AtomicBool = AtomicBool::new(false);

/// Tells of what went wrong beside the job, which goes on; the exit code says so too.
pub fn problem(text: &str, hint: &str) {
    PROBLEM.store(true, Ordering::SeqCst);
    tell(&format!("problem: {text}"));
    tell(&format!("  hint: {hint}"));
}

/// The exit code of a run: one whose output was lost did not do what it should, whatever else it
/// did.
pub fn ended(code: u8) -> u8 {
    match code {
        exit::DONE | exit::DONE_WITH_PROBLEMS if LOST.load(Ordering::SeqCst) => exit::FAILED,
        exit::DONE if PROBLEM.load(Ordering::SeqCst) => exit::DONE_WITH_PROBLEMS,
        code => code,
    }
}

/// Prints bytes as they are; an error is one of reading them. A reader that has gone away is no
/// error of ours, and what stdout cannot take is lost output.
pub fn bytes(from: &mut impl Read) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                // What was read is of use, and the error that is told is the first one.
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

/// Prints a line for whoever watches.
pub fn tell(text: &str) {
    log::add(&harmless(text));
    above_the_bars(|| drop(writeln!(std::io::stderr().lock(), "{}", harmless(text))));
}

/// An object as scripts get it. All have this head.
#[derive(Serialize)]
struct Object<'a, T> {
    /// Of the objects' form.
    version: u32,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    udid: Option<&'a str>,
    event: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// Prints an object under its head; `udid` where it is about one phone.
pub fn object(event: &str, udid: Option<&str>, body: &impl Serialize) {
    json(&Object {
        version: 1,
        time: now(),
        udid,
        event,
        body,
    });
}

/// RFC 3339, as all times for scripts.
pub fn now() -> String {
    list::rfc3339(SystemTime::now())
}

/// Prints an object that has its head already.
pub fn json(object: &impl Serialize) {
    if let Some(text) = json_text(object) {
        line(&text);
    }
}

/// In one line, without what a terminal would obey: JSON leaves some of it as it is.
fn json_text(object: &impl Serialize) -> Option<String> {
    let text = serde_json::to_string(object);
    let text = text.map_err(|e| tell(&format!("error: cannot write JSON: {e}")));
    let shown = |c: char| match is_obeyed(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    text.ok().map(|text| match text.contains(is_obeyed) {
        true => text.chars().map(shown).collect(),
        false => text,
    })
}

/// Returns true if people read stdout.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Many lines of data, written in large pieces where nobody watches. Each answers whether anybody
/// still reads.
pub struct Lines {
    out: BufWriter<Stdout>,
    /// People read it, so that each line is written at once.
    is_terminal: bool,
    failed: Option<io::Error>,
}

impl Lines {
    /// To stdout.
    pub fn new() -> Lines {
        let out = io::stdout();
        Lines {
            is_terminal: out.is_terminal(),
            out: BufWriter::with_capacity(64 << 10, out),
            failed: None,
        }
    }

    /// Writes a line. A line break in a name is shown to pipes too, since a script takes each line
    /// for a name.
    pub fn line(&mut self, text: &str) -> bool {
        match text.contains(is_obeyed) {
            true => self.bytes(&[one_line(text).as_bytes(), b"\n"]),
            false => self.bytes(&[text.as_bytes(), b"\n"]),
        }
    }

    /// A name as it is, ended by a byte that no name has.
    pub fn ended_by_null(&mut self, name: &str) -> bool {
        self.bytes(&[name.as_bytes(), b"\0"])
    }

    /// A text as it is, whatever is in it.
    pub fn text(&mut self, text: &[u8]) -> bool {
        self.bytes(&[text])
    }

    /// An object under its head.
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

    /// Writes what is left and answers the exit code. A reader that has gone away is no error of
    /// ours.
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

/// What a failure is to scripts.
#[derive(Serialize)]
struct Failure {
    text: String,
    hint: Option<String>,
    exit_code: u8,
}

/// Tells of a failure and answers its exit code; `udid` where it is about one phone.
pub fn failure(error: &Error, udid: Option<&str>, as_json: bool) -> u8 {
    failure_of("", error, udid, as_json)
}

/// The same, with a phone's name before it.
pub fn failure_of(prefix: &str, error: &Error, udid: Option<&str>, as_json: bool) -> u8 {
    let exit_code = exit::code(error.class());
    let hint = error.hint();
    tell(&format!("{prefix}error: {error}"));
    if let Some(hint) = &hint {
        tell(&format!("  hint: {hint}"));
    }
    if as_json {
        let failure = Failure {
            text: error.to_string(),
            hint,
            exit_code,
        };
        object("error", udid, &failure);
    }
    exit_code
}

/// "today 22:14", "yesterday 22:14", "2026-11-20 22:14": local time.
pub fn when(rfc3339: &str) -> String {
    let Ok(time) = rfc3339.parse::<jiff::Timestamp>() else {
        return rfc3339.to_owned();
    };
    let zone = jiff::tz::TimeZone::system();
    let now = jiff::Timestamp::try_from(SystemTime::now())
        .unwrap_or_default()
        .to_zoned(zone.clone());
    let then = time.to_zoned(zone);
    let clock = then.strftime("%H:%M");
    match now.date().since(then.date()).map(|span| span.get_days()) {
        Ok(0) => format!("today {clock}"),
        Ok(1) => format!("yesterday {clock}"),
        _ => then.strftime("%Y-%m-%d %H:%M").to_string(),
    }
}

/// "2026-11-20 22:14", also for today.
pub fn when_exactly(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => list::local(time.into()),
        Err(_) => rfc3339.to_owned(),
    }
}

/// Whether other letters than ASCII's can be printed.
pub fn speaks_utf8() -> bool {
    if cfg!(windows) {
        return true;
    }
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var);
    // The first one that says anything counts.
    let locale = variables.into_iter().flatten().find(|v| !v.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Lines up the columns of a table. On a terminal that is too narrow each row becomes a block of
/// lines instead.
pub fn table(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| one_line(cell)).collect())
        .collect();
    let lines = aligned(&rows);
    let widest = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    let out = console::Term::stdout();
    if !out.is_term() || widest <= usize::from(out.size().1) {
        return lines;
    }
    let Some((heads, rows)) = rows.split_first() else {
        return lines;
    };
    let block = |row: &Vec<String>| {
        let mut cells = heads.iter().zip(row);
        let name = cells.next().map(|(_, cell)| cell.clone());
        let facts = cells.map(|(head, cell)| format!("  {:<12} {cell}", head.to_lowercase()));
        name.into_iter().chain(facts).collect::<Vec<_>>().join("\n")
    };
    // The head has no line of its own then, and yet takes one, so that each row is where it was.
    std::iter::once(String::new())
        .chain(rows.iter().map(block))
        .collect()
}

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|t| t.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let aligned = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(text, &width)| format!("{text:<width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(aligned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_told_nothing_by_a_name() {
        assert_eq!(
            harmless("a\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}\u{1b}"),
            "a\\u{202e}gpj.exe\\u{2066}\\u{200f}\\u{61c}\\u{1b}"
        );
        assert_eq!(harmless("写真 \u{200d}ä"), "写真 \u{200d}ä");
        // A name cannot begin a line of its own; what an error appends can.
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
