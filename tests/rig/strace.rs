//! The program under strace (Linux): what it asks of the system is written down, or refused. So no
//! code of the program knows of tests.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether programs can be traced here; says so where not.
pub fn is_there() -> bool {
    // An emulator's own calls would be among the program's.
    let machine = Command::new("uname").arg("-m").output();
    let machine = machine.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if !machine.is_ok_and(|machine| machine == std::env::consts::ARCH) {
        eprintln!("skipped: the program is emulated here, and cannot be traced");
        return false;
    }
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "--", "true"])
        .output();
    match tried {
        Ok(output) if output.status.success() => true,
        other => {
            eprintln!("skipped: no program can be traced here: {other:?}");
            false
        }
    }
}

/// `strace` with these options, writing to `log`; the program's own words follow.
pub fn around(log: &Path, options: &[String]) -> Vec<OsString> {
    let fixed = ["strace", "-f", "-y", "-xx", "--quiet=all", "-o"].map(OsString::from);
    let mut words = Vec::from(fixed);
    words.push(log.into());
    words.extend(options.iter().map(OsString::from));
    words.push("--".into());
    words
}

/// Options that refuse these calls, from the first to the last.
pub fn refuse(calls: &str, error: &str) -> [String; 2] {
    ["-e".to_owned(), format!("inject={calls}:error={error}")]
}

/// Options that refuse what exFAT and FAT32 do not have: clones, hard links, and the exchange of
/// two names.
pub fn exfat() -> Vec<String> {
    let refused = [
        refuse("ioctl", "EOPNOTSUPP"),
        refuse("?link,linkat", "EPERM"),
        refuse("renameat2", "EINVAL"),
    ];
    refused.concat()
}

/// A system call that succeeded.
#[derive(Debug, Clone)]
pub struct Call {
    /// Of the thread.
    pub pid: u32,
    /// "openat", ...
    pub name: String,
    /// As strace writes them.
    pub args: Vec<String>,
    /// What it answered, as strace writes it.
    pub result: String,
}

impl Call {
    /// A number, such as a length.
    pub fn number(&self, at: usize) -> u64 {
        let arg = &self.args[at];
        arg.parse().unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The bytes of a string, all of them.
    pub fn bytes(&self, at: usize) -> Vec<u8> {
        let quoted = self.args[at].strip_prefix('"');
        let quoted = quoted.and_then(|text| text.strip_suffix('"'));
        unhex(quoted.unwrap_or_else(|| panic!("no whole string: {self:?}")))
    }

    /// The number and the path of an open file.
    pub fn file(&self, at: usize) -> (i32, PathBuf) {
        descriptor(&self.args[at]).unwrap_or_else(|| panic!("no open file: {self:?}"))
    }

    /// The number of the file that it opened.
    pub fn opened(&self) -> i32 {
        let opened = descriptor(&self.result);
        opened.unwrap_or_else(|| panic!("opened none: {self:?}")).0
    }

    /// The path that a folder and a name below it make, `AT_FDCWD` too.
    pub fn path_at(&self, folder: usize, name: usize) -> PathBuf {
        self.folder(folder).join(self.path(name))
    }

    /// A path.
    pub fn path(&self, at: usize) -> PathBuf {
        path_of(self.bytes(at))
    }

    /// Every whole path among its arguments.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let path = |arg: &String| match arg.strip_prefix("\"\\x2f") {
            Some(rest) => Some(path_of(unhex(&format!("\\x2f{}", rest.strip_suffix('"')?)))),
            None => split_descriptor(arg).map(|(_, path)| path),
        };
        self.args.iter().filter_map(path)
    }

    fn folder(&self, at: usize) -> PathBuf {
        let (_, path) = split_descriptor(&self.args[at])
            .unwrap_or_else(|| panic!("not opened by this program: {self:?}"));
        path
    }
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8(bytes).unwrap().into()
}

/// `5<\x2f...>`
fn descriptor(text: &str) -> Option<(i32, PathBuf)> {
    let (number, path) = split_descriptor(text)?;
    Some((number.parse().ok()?, path))
}

fn split_descriptor(text: &str) -> Option<(&str, PathBuf)> {
    let (number, path) = text.strip_suffix('>')?.split_once('<')?;
    // Pipes and sockets have no path.
    let path = match path.starts_with("\\x2f") {
        true => path_of(unhex(path)),
        false => PathBuf::new(),
    };
    Some((number, path))
}

/// `\x2f\x64`
fn unhex(text: &str) -> Vec<u8> {
    let mut digits = text.split("\\x");
    assert_eq!(digits.next(), Some(""), "{text:.80}");
    let byte = |digits| u8::from_str_radix(digits, 16).unwrap();
    digits.map(byte).collect()
}

/// The calls of a log that succeeded, in the order in which they ended.
pub fn calls(log: &str) -> Vec<Call> {
    let mut begun: HashMap<u32, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (pid, text) = line.split_once(' ').unwrap();
        let (pid, text) = (pid.parse().unwrap(), text.trim_start());
        if let Some(text) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, text);
        } else if let Some((_, end)) = text.split_once(" resumed>") {
            let start = begun.remove(&pid).unwrap();
            calls.extend(call(pid, &format!("{start}{end}")));
        } else {
            calls.extend(call(pid, text));
        }
    }
    calls
}

/// `openat(AT_FDCWD<\x2f>, "\x2f\x61", O_RDONLY) = 3<\x2f\x61>`; `None` for what failed, or is no
/// call.
fn call(pid: u32, text: &str) -> Option<Call> {
    let (head, result) = text.rsplit_once(" = ")?;
    if result.starts_with('-') || result.starts_with('?') {
        return None;
    }
    let (name, args) = head.trim_end().strip_suffix(')')?.split_once('(')?;
    Some(Call {
        pid,
        name: name.to_owned(),
        args: args.split(", ").map(str::to_owned).collect(),
        result: result.to_owned(),
    })
}
