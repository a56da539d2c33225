//! Handles Ctrl-C: it ends a job at a safe point, and anything else at once.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use idev_backup::base::private_dir;

use super::{afterwards, exit};
use crate::cli::render::output;

/// State of the Ctrl-C handler.
#[derive(Default)]
struct Ctrl {
    /// True once Ctrl-C was pressed.
    flag: Arc<AtomicBool>,
    /// True if a job checks the flag.
    is_heeded: AtomicBool,
    /// True if Ctrl-C is the normal end of the command, which needs no message.
    is_normal_end: AtomicBool,
    /// True during a password prompt: the terminal hides the input, and only the prompt can restore
    /// it.
    is_asking: AtomicBool,
}

/// Said at the first Ctrl-C or signal to end. Not "again": another program may have sent a signal,
/// which the handler cannot distinguish from Ctrl-C.
const STOPPING: &str = "stopping at the next safe point; Ctrl-C from now on quits at once";

/// The handler of this program, installed once.
static CTRL: LazyLock<Arc<Ctrl>> = LazyLock::new(|| {
    let ctrl = Arc::new(Ctrl::default());
    let known = ctrl.clone();
    if let Err(e) = ctrlc::set_handler(move || known.pressed()) {
        output::tell(&format!(
            "problem: Ctrl-C will end the program at once: {e}"
        ));
    }
    ctrl
});

/// Returns a flag that becomes true at Ctrl-C. A second Ctrl-C ends the program at once; neither
/// can harm the last good backup.
pub fn interrupt() -> Arc<AtomicBool> {
    CTRL.is_heeded.store(true, Ordering::SeqCst);
    CTRL.flag.clone()
}

/// Returns a flag that becomes true at Ctrl-C, for a command that runs until then.
#[cfg(feature = "web")]
pub fn end() -> Arc<AtomicBool> {
    CTRL.is_normal_end.store(true, Ordering::SeqCst);
    interrupt()
}

/// Returns the flag of [`interrupt`], while Ctrl-C still ends the program at once.
pub fn flag() -> Arc<AtomicBool> {
    CTRL.flag.clone()
}

/// Makes Ctrl-C end the program at once again, after the job that checked the flag of
/// [`interrupt`].
pub fn release() {
    CTRL.is_heeded.store(false, Ordering::SeqCst);
}

/// Installs the handler, which removes private temporary files before Ctrl-C ends the program.
pub fn install() {
    LazyLock::force(&CTRL);
}

/// Returns true once Ctrl-C was pressed while a job checks for it.
pub fn is_pressed() -> bool {
    CTRL.flag.load(Ordering::SeqCst)
}

/// Installs the handler, and records what to tell the user if Ctrl-C ends the command at once.
pub fn afterwards(text: &'static str) {
    afterwards::note(text);
    install();
}

/// Runs a prompt and lets it handle Ctrl-C: if the program ended during the prompt, the terminal
/// would continue to hide all input.
pub fn while_asking<T>(ask: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    CTRL.is_asking.store(true, Ordering::SeqCst);
    let mut answer = ask();
    if cfg!(windows) && answer.is_err() {
        // On Windows, an interrupted prompt reports only empty input, at about the time at which
        // the handler runs.
        std::thread::sleep(Duration::from_millis(100));
        if CTRL.flag.load(Ordering::SeqCst) {
            answer = Err(std::io::ErrorKind::Interrupted.into());
        }
    }
    // After an interruption the program ends anyway, so keep the handler silent.
    if !is_interruption(&answer) {
        CTRL.is_asking.store(false, Ordering::SeqCst);
    }
    answer
}

fn is_interruption<T>(answer: &std::io::Result<T>) -> bool {
    matches!(answer, Err(e) if e.kind() == std::io::ErrorKind::Interrupted)
}

impl Ctrl {
    fn pressed(&self) {
        /// Longest time that a prompt needs to restore the terminal and end the program.
        const PROMPT_ENDS: Duration = Duration::from_secs(1);
        if self.is_asking.load(Ordering::SeqCst) {
            self.flag.store(true, Ordering::SeqCst);
            std::thread::sleep(PROMPT_ENDS);
        } else if self.is_heeded.load(Ordering::SeqCst) && !self.flag.swap(true, Ordering::SeqCst) {
            if self.is_normal_end.load(Ordering::SeqCst) {
                return;
            }
            output::tell(if std::io::stderr().is_terminal() {
                STOPPING
            } else {
                "stopping at the next safe point"
            });
            return;
        }
        private_dir::remove_all();
        if !self.is_asking.load(Ordering::SeqCst) {
            output::interrupted(afterwards::get());
        }
        std::process::exit(i32::from(exit::INTERRUPTED));
    }
}
