//! Keeps the computer from sleeping while a backup runs, by means of the system.
//!
//! A child process is used and not a library: macOS and Linux have a program that holds the lock as
//! long as it lives, and Apple's frameworks cannot be linked everywhere. Windows has no such
//! program, so a library makes the system call there.

use std::process::{Child, Stdio};

use crate::base::child;

/// Guard that keeps the computer awake as long as it lives. It must stay on the thread that created
/// it.
pub(crate) struct Awake {
    holder: Option<Child>,
    #[cfg(windows)]
    _told: Option<keepawake::KeepAwake>,
}

impl Awake {
    /// Starts to keep the computer awake. Does nothing if the system offers no way: a backup that
    /// is interrupted by sleep fails safely.
    pub(crate) fn keep() -> Awake {
        let mut command = match () {
            // The process ends with this program, however that ends.
            () if cfg!(target_os = "macos") => {
                let mut command = child::command("caffeinate");
                command.args(["-i", "-w", &std::process::id().to_string()]);
                command
            }
            // The lock lasts as long as the inner command, whose input ends when this program does.
            () if cfg!(target_os = "linux") => {
                let mut command = child::command("systemd-inhibit");
                command.args(["--what=sleep:idle", "--who=idev-backup", "--mode=block"]);
                command.args(["--why=A phone is being backed up", "cat"]);
                command
            }
            () => {
                return Awake {
                    holder: None,
                    #[cfg(windows)]
                    _told: keepawake::Builder::default().idle(true).create().ok(),
                };
            }
        };
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Awake {
            holder: spawned.ok(),
            #[cfg(windows)]
            _told: None,
        }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        let Some(mut holder) = self.holder.take() else {
            return;
        };
        if cfg!(target_os = "linux") {
            // `cat` ends at the end of its input, and systemd-inhibit ends with it. Killing
            // systemd-inhibit would leave `cat` behind.
            drop(holder.stdin.take());
            for _ in 0..50 {
                if !matches!(holder.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        // If systemd-inhibit got no answer from the system, it holds no lock and may be killed. A
        // `cat` that is left ends with its input.
        drop(holder.kill());
        drop(holder.wait());
    }
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn windows_accepts_keep_awake_request() {
        assert!(Awake::keep()._told.is_some());
    }
}
