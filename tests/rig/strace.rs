//! Runs the program under strace (Linux), which logs its system calls or makes them fail. The
//! program itself therefore needs no code for tests.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns true if programs can be traced here; otherwise prints the reason.
pub fn is_there() -> bool {
    // Under an emulator, strace would log the emulator's calls as well as the program's.
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

/// Returns the `strace` command with these options, writing to `log`. The caller appends the
/// command to trace.
pub fn around(log: &Path, options: &[String]) -> Vec<OsString> {
    let fixed = ["strace", "-f", "-y", "-xx", "--quiet=all", "-o"].map(OsString::from);
    let mut words = Vec::from(fixed);
    words.push(log.into());
    words.extend(options.iter().map(OsString::from));
    words.push("--".into());
    words
}

/// Returns options that make these calls fail, from the first to the last.
pub fn refuse(calls: &str, error: &str) -> [String; 2] {
    ["-e".to_owned(), format!("inject={calls}:error={error}")]
}

/// Returns options that make the operations fail that exFAT and FAT32 lack: clones, hard links, and
/// the exchange of two names.
pub fn exfat() -> Vec<String> {
    let refused = [
        refuse("ioctl", "EOPNOTSUPP"),
        refuse("?link,linkat", "EPERM"),
        refuse("renameat2", "EINVAL"),
    ];
    refused.concat()
}

/// Describes a system call that succeeded.
#[derive(Debug, Clone)]
pub struct Call {
    /// The id of the calling thread.
    pub pid: u32,
    /// The name of the call, such as "openat".
    pub name: String,
    /// The arguments, as strace writes them.
    pub args: Vec<String>,
    /// The return value, as strace writes it.
    pub result: String,
}

impl Call {
    /// Returns an argument that is a number, such as a length.
    pub fn number(&self, at: usize) -> u64 {
        let arg = &self.args[at];
        arg.parse().unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Returns a string argument, which strace must not have shortened.
    pub fn bytes(&self, at: usize) -> Vec<u8> {
        let quoted = self.args[at].strip_prefix('"');
        let quoted = quoted.and_then(|text| text.strip_suffix('"'));
        unhex(quoted.unwrap_or_else(|| panic!("no whole string: {self:?}")))
    }

    /// Returns the descriptor number and the path of an argument that is an open file.
    pub fn file(&self, at: usize) -> (i32, PathBuf) {
        descriptor(&self.args[at]).unwrap_or_else(|| panic!("no open file: {self:?}"))
    }

    /// Returns the descriptor number of the file that the call opened.
    pub fn opened(&self) -> i32 {
        let opened = descriptor(&self.result);
        opened.unwrap_or_else(|| panic!("opened none: {self:?}")).0
    }

    /// Returns the path that a folder argument (which may be `AT_FDCWD`) and a name argument make.
    pub fn path_at(&self, folder: usize, name: usize) -> PathBuf {
        self.folder(folder).join(self.path(name))
    }

    /// Returns an argument that is a path.
    pub fn path(&self, at: usize) -> PathBuf {
        path_of(self.bytes(at))
    }

    /// Returns every absolute path among the arguments.
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

/// Parses a descriptor such as `5<\x2f...>` into its number and path.
fn descriptor(text: &str) -> Option<(i32, PathBuf)> {
    let (number, path) = split_descriptor(text)?;
    Some((number.parse().ok()?, path))
}

fn split_descriptor(text: &str) -> Option<(&str, PathBuf)> {
    let (number, path) = text.strip_suffix('>')?.split_once('<')?;
    // Pipes and sockets have no path.
    let path = if path.starts_with("\\x2f") {
        path_of(unhex(path))
    } else {
        PathBuf::new()
    };
    Some((number, path))
}

/// Decodes a string such as `\x2f\x64`.
fn unhex(text: &str) -> Vec<u8> {
    let mut digits = text.split("\\x");
    assert_eq!(digits.next(), Some(""), "{text:.80}");
    let byte = |digits| u8::from_str_radix(digits, 16).unwrap();
    digits.map(byte).collect()
}

/// Returns the calls of a log that succeeded, in the order in which they returned.
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

/// Parses a line such as `openat(AT_FDCWD<\x2f>, "\x2f\x61", O_RDONLY) = 3<\x2f\x61>`. Returns
/// `None` if the call failed or the line is not a call.
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
