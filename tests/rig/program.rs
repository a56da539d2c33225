//! Runs the built program as people and scripts do.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Rig;

/// Returns a command for the program with its own home folder and the rig's daemon and store.
pub fn program(rig: &Rig) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idev-backup"));
    let home = rig.dir.path().join("home");
    fs::create_dir_all(&home).unwrap();
    for (key, folder) in [
        ("HOME", ""),
        ("XDG_DATA_HOME", "data"),
        ("XDG_CONFIG_HOME", "config"),
        ("USERPROFILE", ""),
        ("APPDATA", "roaming"),
        ("LOCALAPPDATA", "local"),
    ] {
        command.env(key, home.join(folder));
    }
    for of_whoever_tests in ["IDEV_BACKUP_DEVICE", "IDEV_BACKUP_PASSWORD"] {
        command.env_remove(of_whoever_tests);
    }
    command.env("USBMUXD_SOCKET_ADDRESS", rig.daemon.address());
    command.env("IDEV_BACKUP_STORE", rig.store.root());
    command.stdin(Stdio::null());
    command
}

/// The exit code and the output of a run.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end, without a terminal. The command may fail, but must not panic.
pub fn ended(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    };
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
    assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

impl Ran {
    /// Returns all output: stdout, then stderr.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    /// Parses every line of stdout as a JSON object.
    pub fn objects(&self) -> Vec<Value> {
        let object = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.out.lines().map(object).collect()
    }

    /// Parses the last line of stdout as a JSON object.
    pub fn last_object(&self) -> Value {
        self.objects().pop().unwrap()
    }

    /// Returns the first object with this event; panics if there is not one.
    pub fn object(&self, event: &str) -> Value {
        let mut objects = self.objects().into_iter();
        let of = objects.find(|object| object["event"] == event);
        of.unwrap_or_else(|| panic!("no {event}: {}", self.all()))
    }
}

/// Runs the program on a terminal of its own with so many columns; returns its exit code and what
/// the terminal shows.
#[cfg(unix)]
pub fn in_a_terminal(command: &mut Command, columns: u16) -> (i32, String) {
    use std::fs::{File, OpenOptions};
    use std::io::Read;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = || {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        options.open(name.to_str().unwrap()).unwrap()
    };
    let mut child = command
        .stdin(terminal())
        .stdout(terminal())
        .stderr(terminal())
        .spawn()
        .unwrap();
    // Read the output meanwhile: otherwise it would fill the terminal and block the program.
    let mut shown = File::from(master);
    let reading = std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = shown.read(&mut buffer) {
            all.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8_lossy(&all).replace("\r\n", "\n")
    });
    let code = child.wait().unwrap().code().unwrap();
    // The command holds the terminal open, and reading ends only when nothing does.
    let closed = || std::process::Stdio::null();
    command.stdin(closed()).stdout(closed()).stderr(closed());
    (code, reading.join().unwrap())
}
