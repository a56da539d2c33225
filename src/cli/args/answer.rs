//! Reads the answer to a question.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Interval at which a prompt checks for Ctrl-C while it waits for the answer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Reads a line from `from`. Returns `None` at the end of input or after Ctrl-C. A separate thread
/// does the reading, because Ctrl-C does not interrupt a read from a terminal; the thread ends with
/// the program.
pub fn typed(from: impl Read + Send + 'static, is_cancelled: impl Fn() -> bool) -> Option<String> {
    /// Limit in bytes, longer than any answer.
    const BYTES_MAX: u64 = 4096;
    let (line, lines) = channel();
    let reader = std::thread::Builder::new().name("answer".to_owned());
    let reading = reader.spawn(move || {
        let mut answer = String::new();
        let read = BufReader::new(from.take(BYTES_MAX)).read_line(&mut answer);
        // The send fails only after the receiver has stopped waiting, for a reason that it knows.
        drop(line.send(read.is_ok().then_some(answer)));
    });
    if reading.is_err() {
        return None;
    }
    loop {
        let answer = lines.recv_timeout(BETWEEN_LOOKS);
        if is_cancelled() {
            return None;
        }
        match answer {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::Receiver;

    /// A terminal on which no input arrives until the test ends.
    struct Quiet(Receiver<()>);

    impl Read for Quiet {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            // Returns when the test drops the sender.
            match self.0.recv() {
                Ok(()) | Err(_) => Ok(0),
            }
        }
    }

    #[test]
    fn ctrl_c_cancels_the_prompt() {
        let (keep, held) = channel();
        assert_eq!(typed(Quiet(held), || true), None);
        drop(keep);
    }

    #[test]
    fn prompt_reads_only_first_line() {
        let typed = |text: &'static str| typed(text.as_bytes(), || false);
        assert_eq!(typed("yes\nno\n").as_deref(), Some("yes\n"));
        assert_eq!(typed("").as_deref(), Some(""));
    }
}
