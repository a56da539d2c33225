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
        ("XDG_STATE_HOME", "state"),
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

/// Returns the program without root's capability to read the files of other users.
#[cfg(target_os = "linux")]
pub fn without_root_privileges(rig: &Rig) -> Command {
    let program = program(rig);
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-dac_override,-dac_read_search", "--"])
        .arg(program.get_program());
    for (key, value) in program.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command
}

/// Returns the program with a substitute for the system's crontab(1), which keeps the table in a
/// file.
#[cfg(unix)]
pub fn with_crontab(rig: &Rig) -> Command {
    use std::os::unix::fs::PermissionsExt;
    let bin = rig.dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = "#!/bin/sh\nf=$HOME/crontab\nif [ \"$1\" = -l ]; then\n\
        [ ! -e \"$HOME/denied\" ] || { echo 'you are not allowed to use crontab' >&2; exit 1; }\n\
        [ -e $f ] || { echo \"no crontab for me\" >&2; exit 1; }\ncat $f\n\
        elif [ -e \"$HOME/full\" ]; then exit 1\n\
        elif [ \"$1\" = -e ]; then sh -c \"$EDITOR $f\"\nelse cat > $f\nfi\n";
    // The substitute systemctl reports a login session while the file `session` exists.
    for (name, script) in [
        ("crontab", script),
        ("systemctl", "#!/bin/sh\n[ -e \"$HOME/session\" ]\n"),
    ] {
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = program(rig);
    command.env("PATH", path);
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

/// Runs the program on a terminal of its own of this width; returns its exit code and what
/// the terminal shows.
#[cfg(unix)]
pub fn in_a_terminal(command: &mut Command, columns: u16) -> (i32, String) {
    typing(command, columns, &[])
}

/// Runs the program on a terminal of its own, and types: each text as soon as the terminal shows
/// the words before it. Returns the exit code and what the terminal shows.
///
/// `setsid` makes the terminal the controlling one, on which the program asks for passwords.
#[cfg(unix)]
pub fn typing(command: &mut Command, columns: u16, texts: &[(&str, &str)]) -> (i32, String) {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    /// The longest time between a text and the words that follow.
    const ANSWER_MAX: Duration = Duration::from_secs(120);

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
    let mut wrapped = Command::new("setsid");
    let command = if texts.is_empty() {
        command
    } else {
        wrapped
            .args(["--ctty", "--wait"])
            .arg(command.get_program());
        wrapped.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        &mut wrapped
    };
    let mut child = command
        .stdin(terminal())
        .stdout(terminal())
        .stderr(terminal())
        .spawn()
        .unwrap();
    // Read the output meanwhile: otherwise it would fill the terminal and block the program.
    let mut keys = File::from(master);
    let mut shown = keys.try_clone().unwrap();
    let (pieces, arriving) = channel();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = shown.read(&mut buffer) {
            if pieces.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut all = Vec::new();
    let mut seen = 0;
    for (words, text) in texts {
        let found = |all: &[u8]| {
            let new = String::from_utf8_lossy(&all[seen..]).into_owned();
            new.contains(words)
        };
        while !found(&all) {
            match arriving.recv_timeout(ANSWER_MAX) {
                Ok(piece) => all.extend(piece),
                Err(_) => {
                    child.kill().unwrap();
                    panic!("no {words:?}: {}", String::from_utf8_lossy(&all));
                }
            }
        }
        seen = all.len();
        if words.contains("assword") {
            // The question appears before the terminal hides the input, which drops what was typed.
            let is_hidden = || {
                let modes = rustix::termios::tcgetattr(&keys).unwrap().local_modes;
                !modes.contains(rustix::termios::LocalModes::ECHO)
            };
            let asked = std::time::Instant::now();
            while !is_hidden() {
                assert!(asked.elapsed() < ANSWER_MAX, "the input is not hidden");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        keys.write_all(text.as_bytes()).unwrap();
    }
    let code = child.wait().unwrap().code().unwrap();
    // The command holds the terminal open, and reading ends only when nothing does.
    let closed = || std::process::Stdio::null();
    command.stdin(closed()).stdout(closed()).stderr(closed());
    all.extend(arriving.iter().flatten());
    reading.join().unwrap();
    let shown = String::from_utf8_lossy(&all).replace("\r\n", "\n");
    (code, shown)
}
