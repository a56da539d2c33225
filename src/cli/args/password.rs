//! Reads backup passwords from a file, a command, the system's credential store, the environment or
//! the terminal. Never from an argument, because every user of the computer can read those.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use idev_backup::base::child;
use idev_backup::base::secret::Secret;
use idev_backup::reader;
use idev_backup::reader::passwords::Passwords;

use super::keyring;
use crate::cli::ctrl_c;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Longest accepted password in bytes.
const BYTES_MAX: usize = 4096;
/// Number of attempts to type a password.
const TRIES: usize = 3;
/// Environment variable that may hold the backup password.
const VARIABLE: &str = "IDEV_BACKUP_PASSWORD";
const NEW_VARIABLE: &str = "IDEV_BACKUP_NEW_PASSWORD";

/// Options for the source of the backup password.
#[derive(Args, Clone, Default)]
pub struct PasswordArgs {
    /// Read the backup password from the first line of this file; `-` is standard input
    #[arg(long, value_name = "FILE", group = "backup password", value_parser = crate::cli::args::store::path_parser())]
    password_file: Option<PathBuf>,
    /// Run this command and use the first line that it prints as the backup password
    #[arg(long, value_name = "COMMAND", group = "backup password")]
    password_command: Option<OsString>,
    /// Read the backup password of this name from the system's credential store [see `idev-backup
    /// encryption remember`]
    #[arg(
        long,
        value_name = "NAME",
        group = "backup password",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = keyring::NAME
    )]
    password_keyring: Option<String>,
    /// Number of times that the password was typed.
    #[arg(skip)]
    typed: Arc<AtomicUsize>,
}

impl PasswordArgs {
    /// Returns true if the password was given for this run by file, command or credential store.
    pub fn is_named(&self) -> bool {
        self.password_file.is_some()
            || self.password_command.is_some()
            || self.password_keyring.is_some()
    }

    /// Returns true if the password comes from standard input.
    pub fn is_stdin(&self) -> bool {
        self.password_file.as_deref().is_some_and(is_stdin)
    }

    /// Returns the password if it was given by file, command, credential store or environment.
    pub fn given(&self) -> Result<Option<Secret>, Failure> {
        if let Some(name) = &self.password_keyring {
            let kept = keyring::recall(name)?;
            return usable(kept, "the password in the credential store").map(Some);
        }
        match of(self.password_file.as_ref(), self.password_command.as_ref())? {
            Some(password) => Ok(Some(password)),
            None => of_environment(VARIABLE),
        }
    }

    /// Returns the current password of a phone; prompts if it was not given.
    pub fn present(&self, question: &str) -> Result<Secret, Failure> {
        match self.given()? {
            Some(password) => Ok(password),
            None => self.ask(question),
        }
    }

    /// Prompts for the password.
    pub fn ask(&self, question: &str) -> Result<Secret, Failure> {
        self.typed.fetch_add(1, Ordering::Relaxed);
        prompt(&format!("{question}: "))
    }

    /// Returns true, and says why, if a wrong password was typed and may be typed again.
    pub fn may_ask_again(&self) -> bool {
        let may = self.has_attempts();
        if may {
            output::tell("Wrong password. Try again.");
        }
        may
    }

    /// Returns true if the password was typed and may be typed again. One from a file, a command or
    /// a variable would only be the same again.
    pub fn has_attempts(&self) -> bool {
        (1..TRIES).contains(&self.typed.load(Ordering::Relaxed))
    }

    /// Allows all attempts again, for another backup.
    pub fn forget_attempts(&self) {
        self.typed.store(0, Ordering::Relaxed);
    }

    /// Returns the new password for a phone; prompts twice if it was not given.
    pub fn chosen(&self, question: &str) -> Result<Secret, Failure> {
        match self.given()? {
            Some(password) => Ok(password),
            None => prompt_twice(question),
        }
    }
}

/// Options for the source of a new backup password.
#[derive(Args, Clone, Default)]
pub struct NewPasswordArgs {
    /// Read the new backup password from the first line of this file; `-` is standard input
    #[arg(long, value_name = "FILE", group = "new backup password", value_parser = crate::cli::args::store::path_parser())]
    new_password_file: Option<PathBuf>,
    /// Run this command and use the first line that it prints as the new backup password
    #[arg(long, value_name = "COMMAND", group = "new backup password")]
    new_password_command: Option<OsString>,
}

impl NewPasswordArgs {
    /// Returns true if the new password comes from standard input.
    pub fn is_stdin(&self) -> bool {
        self.new_password_file.as_deref().is_some_and(is_stdin)
    }

    /// Returns the new password; prompts twice if it was not given.
    pub fn chosen(&self, question: &str) -> Result<Secret, Failure> {
        if let Some(path) = &self.new_password_file {
            return of_file(path);
        }
        if let Some(command) = &self.new_password_command {
            return of_command(command);
        }
        match of_environment(NEW_VARIABLE)? {
            Some(password) => Ok(password),
            None => prompt_twice(question),
        }
    }
}

impl Passwords for PasswordArgs {
    fn backup_password(&self, of: &str) -> Result<Secret, reader::Error> {
        self.present(&format!("Password of {of}")).map_err(unread)
    }

    fn another(&self, of: &str) -> Result<Option<Secret>, reader::Error> {
        if self.may_ask_again() {
            let password = self.ask(&format!("Password of {of}"));
            password.map(Some).map_err(unread)
        } else {
            Ok(None)
        }
    }
}

/// Converts the error of a password's source to that of a reader.
pub fn unread(e: Failure) -> reader::Error {
    match e {
        Failure::Interrupted => reader::Error::Interrupted,
        Failure::NoPassword { why } => reader::Error::NoPassword { why },
        e => reader::Error::PasswordSource(Box::new(e)),
    }
}

/// Reads the password from a file or a command, if either was given.
pub fn of(file: Option<&PathBuf>, command: Option<&OsString>) -> Result<Option<Secret>, Failure> {
    match (file, command) {
        (Some(path), _) => of_file(path).map(Some),
        (None, Some(command)) => of_command(command).map(Some),
        (None, None) => Ok(None),
    }
}

/// Prompts for a password on the terminal.
pub fn prompt(question: &str) -> Result<Secret, Failure> {
    let password = typed(question)?;
    if password.expose().is_empty() {
        return Err(no_password("nothing was typed"));
    }
    usable(password, "the password that was typed")
}

fn typed(question: &str) -> Result<Secret, Failure> {
    let question = output::one_line(question);
    let typed = ctrl_c::while_asking(|| rpassword::prompt_password(question));
    let typed = typed.map_err(|e| match e.kind() {
        io::ErrorKind::Interrupted => Failure::Interrupted,
        _ => no_password(&format!(
            "a password is needed, and the program cannot ask for it without a terminal: {e}"
        )),
    })?;
    Ok(Secret::new(typed.into_bytes()))
}

/// Prompts for a new password twice, since a typing mistake would lock the user out.
pub fn prompt_twice(question: &str) -> Result<Secret, Failure> {
    let mut tries = TRIES;
    loop {
        let first = typed(&format!("{question}: "))?;
        let why = if first.expose().is_empty() {
            "the password is empty"
        } else if typed("Repeat the password: ")? == first {
            return usable(first, "the password that was typed");
        } else {
            "the passwords do not match"
        };
        tries -= 1;
        if tries == 0 {
            return Err(Failure::Mistyped { why });
        }
        output::tell(&format!(
            "{}{}. Try again.",
            why[..1].to_uppercase(),
            &why[1..]
        ));
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn of_file(path: &PathBuf) -> Result<Secret, Failure> {
    let named = |e: io::Error| {
        no_password(&format!(
            "cannot read the password file {}: {e}",
            path.display()
        ))
    };
    let bytes = if is_stdin(path) {
        first_line(&mut io::stdin().lock())
    } else {
        File::open(path).and_then(|mut file| first_line(&mut file))
    };
    let of = format!("the password file {}", path.display());
    usable(Secret::new(bytes.map_err(named)?), &of)
}

fn of_command(command: &OsString) -> Result<Secret, Failure> {
    let named = |e: io::Error| no_password(&format!("cannot run the password command: {e}"));
    let mut child = child::shell(command)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(named)?;
    let mut out = child.stdout.take();
    let bytes = out
        .as_mut()
        .map_or_else(|| Ok(Vec::new()), first_line)
        .map_err(named)?;
    drop(out);
    let status = child.wait().map_err(named)?;
    if !status.success() {
        return Err(no_password(&format!(
            "the password command failed ({status})"
        )));
    }
    usable(Secret::new(bytes), "the output of the password command")
}

pub fn of_environment(variable: &str) -> Result<Option<Secret>, Failure> {
    let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let password = Secret::new(text.into_encoded_bytes());
    usable(password, &format!("the variable {variable}")).map(Some)
}

/// Reads the first line into a preallocated buffer, so that no copy is left in memory.
fn first_line(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(BYTES_MAX + 1);
    from.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if let Some(end) = bytes.iter().position(|b| *b == b'\n') {
        zeroize_behind(&mut bytes, end);
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    if bytes.len() > BYTES_MAX {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is longer than 4,096 bytes",
        ))
    } else {
        Ok(bytes)
    }
}

fn zeroize_behind(bytes: &mut Vec<u8>, end: usize) {
    bytes[end..].fill(0);
    bytes.truncate(end);
}

/// Byte order mark with which some editors begin a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checks the bytes of a password from any source; `of` names the source. Phones accept UTF-8 text,
/// and a byte that the user did not type would lock the user out. A byte order mark is not part of
/// the password.
fn usable(password: Secret, of: &str) -> Result<Secret, Failure> {
    let bytes = password.expose();
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let is_utf16 = [b"\xff\xfe", b"\xfe\xff"]
        .iter()
        .any(|mark| bytes.starts_with(*mark));
    if is_utf16 || text.contains(&0) {
        return Err(no_password(&format!(
            "{of} is UTF-16 text or has NUL bytes, but a password must be UTF-8 text: save it as \
            UTF-8"
        )));
    }
    if std::str::from_utf8(text).is_err() {
        return Err(no_password(&format!(
            "{of} is not UTF-8 text: save it as UTF-8"
        )));
    }
    if text.is_empty() {
        return Err(no_password(&format!("{of} is empty")));
    }
    if text.len() == bytes.len() {
        return Ok(password);
    }
    Ok(Secret::new(text.to_vec()))
}

fn no_password(why: &str) -> Failure {
    Failure::NoPassword {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let line = first_line(&mut &bytes[..]).unwrap();
        let password = usable(Secret::new(line), "the file");
        password
            .map(|password| password.expose().to_vec())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn first_line_is_the_password() {
        for (bytes, password) in [
            (&b"secret"[..], "secret"),
            (b"secret\n", "secret"),
            (b"secret\r\n", "secret"),
            (b"secret \r\nmore\n", "secret "),
            (b"\xef\xbb\xbfsecret\r\n", "secret"),
            (b" a b\t\n", " a b\t"),
            (
                "p\u{e4}\u{df}\u{feff}x\n".as_bytes(),
                "p\u{e4}\u{df}\u{feff}x",
            ),
        ] {
            assert_eq!(read(bytes), Ok(password.as_bytes().to_vec()), "{bytes:?}");
        }
    }

    #[test]
    fn invalid_password_bytes_are_refused() {
        for (bytes, why) in [
            (&b"\xff\xfes\0e\0c\0\r\0\n\0"[..], "UTF-16"),
            (b"\xfe\xff\0s\0e\0c\0\r\0\n", "UTF-16"),
            (b"s\0e\0c\0\n\0", "UTF-16"),
            (b"sec\0ret\n", "NUL"),
            (b"s\xe4cret\n", "not UTF-8"),
            (b"\xef\xbb\xbf\n", "is empty"),
            (b"\n", "is empty"),
        ] {
            let told = read(bytes).unwrap_err();
            assert!(told.contains(why), "{bytes:?}: {told}");
        }
    }
}
