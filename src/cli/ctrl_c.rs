//! What Ctrl-C does: it ends a job at a safe point, and everything else at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use idev_backup::private;

use super::{exit, output};

/// What the handler knows.
#[derive(Default)]
struct Ctrl {
    /// It was pressed.
    flag: Arc<AtomicBool>,
    /// A job looks at the flag.
    is_heeded: AtomicBool,
    /// A password is asked for: the terminal hides what is typed, and only the prompt knows how it
    /// was before.
    is_asking: AtomicBool,
}

/// A program has one handler, and sets it once.
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

/// Becomes true at Ctrl-C. A second one ends the program at once; the last good backup is safe from
/// both.
pub fn interrupt() -> Arc<AtomicBool> {
    CTRL.is_heeded.store(true, Ordering::SeqCst);
    CTRL.flag.clone()
}

/// Lets `ask` end by itself at Ctrl-C: a program that ended meanwhile would leave a terminal that
/// shows nothing of what is typed.
pub fn while_asking<T>(ask: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    CTRL.is_asking.store(true, Ordering::SeqCst);
    let mut answer = ask();
    if cfg!(windows) && answer.is_err() {
        // There a prompt says only that nothing was typed, at about the time at which the handler
        // runs.
        std::thread::sleep(Duration::from_millis(100));
        if CTRL.flag.load(Ordering::SeqCst) {
            answer = Err(std::io::ErrorKind::Interrupted.into());
        }
    }
    // Who was interrupted is on the way to the end, and needs no word of the handler.
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
        /// What a prompt takes at most to put the terminal right and end the program.
        const PROMPT_ENDS: Duration = Duration::from_secs(1);
        if self.is_asking.load(Ordering::SeqCst) {
            self.flag.store(true, Ordering::SeqCst);
            std::thread::sleep(PROMPT_ENDS);
        } else if self.is_heeded.load(Ordering::SeqCst) && !self.flag.swap(true, Ordering::SeqCst) {
            output::tell("stopping at the next safe point; press Ctrl-C again to quit at once");
            return;
        }
        private::remove_all();
        std::process::exit(i32::from(exit::INTERRUPTED));
    }
}
