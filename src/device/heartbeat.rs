//! The heartbeat that a phone requires over Wi-Fi: it asks, we answer, for as long as we use it.
//!
//! The phone sends `{Command: Marco, Interval: n}` and expects `{Command: Polo}`. Without an answer
//! it closes its services, and other services may start only after one whole exchange (SideStore
//! #1406). A phone that is about to sleep sends `{Command: SleepyTime}` (the `idevice` crate).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use plist::{Dictionary, Value};

use super::Error;
use super::service_stream::ServiceStream;
use crate::base::cancel::CancelToken;
use crate::transport::Lifeline;
use crate::transport::plist_stream::{self, Encoding};

/// Name of the service.
pub(super) const SERVICE: &str = "com.apple.mobile.heartbeat";
const DOING: &str = "exchange a heartbeat with the phone";
/// Longest wait for the first question.
const FIRST_MAX: Duration = Duration::from_secs(10);
/// Time beyond the announced interval after which the heartbeat counts as stopped.
const BEYOND: Duration = Duration::from_secs(5);
/// Longest interval that is accepted: phones announce some ten seconds.
const INTERVAL_MAX: Duration = Duration::from_secs(300);
const MESSAGE_BYTES_MAX: u32 = 1 << 16;

/// A heartbeat that a thread keeps up, until it is dropped.
pub(super) struct Heartbeat {
    lifeline: Arc<Lifeline>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Exchanges the first question and answer, and keeps the heartbeat up from then on.
    pub(super) fn start(
        mut stream: ServiceStream,
        token: &Arc<CancelToken>,
    ) -> Result<Heartbeat, Error> {
        let lifeline = Arc::new(Lifeline::default());
        let mut interval = FIRST_MAX;
        while !exchange(&mut stream, token, &lifeline, &mut interval)? {}
        let stop = Arc::new(AtomicBool::new(false));
        let own = CancelToken::new(stop.clone());
        let line = lifeline.clone();
        let thread = std::thread::Builder::new().name("heartbeat".to_owned());
        let thread = thread.spawn(move || {
            while exchange(&mut stream, &own, &line, &mut interval).is_ok() {}
            line.stop();
        });
        let thread = thread.map_err(|e| Error::wire(DOING, e))?;
        Ok(Heartbeat {
            lifeline,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the state of the heartbeat, for the connections that depend on it.
    pub(super) fn lifeline(&self) -> Arc<Lifeline> {
        self.lifeline.clone()
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Waits for a message of the phone, and answers a question. Returns true after an answer.
fn exchange(
    stream: &mut ServiceStream,
    token: &Arc<CancelToken>,
    lifeline: &Lifeline,
    interval: &mut Duration,
) -> Result<bool, Error> {
    stream.set_patience(token, *interval);
    let message = plist_stream::read(stream, MESSAGE_BYTES_MAX);
    let message = message.map_err(|cause| Error::wire(DOING, cause))?;
    let message = message.into_dictionary().unwrap_or_default();
    match message.get("Command").and_then(Value::as_string) {
        Some("Marco") => {
            let announced = message.get("Interval").and_then(Value::as_unsigned_integer);
            if let Some(seconds) = announced {
                *interval = Duration::from_secs(seconds).min(INTERVAL_MAX) + BEYOND;
            }
            let mut answer = Dictionary::new();
            answer.insert("Command".into(), "Polo".into());
            plist_stream::write(stream, &Value::Dictionary(answer), Encoding::Xml)
                .map_err(|cause| Error::wire(DOING, cause))?;
            lifeline.beat();
            Ok(true)
        }
        Some("SleepyTime") => {
            lifeline.sleepy();
            Ok(false)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    use super::*;
    use crate::transport::{Dropped, Wire};

    fn pair() -> (ServiceStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let token = CancelToken::new(Arc::default());
        let wire = Wire::over_tcp(near, token, FIRST_MAX).unwrap();
        (ServiceStream::Plain(wire), listener.accept().unwrap().0)
    }

    fn send(far: &mut TcpStream, command: &str, interval: Option<u64>) {
        let mut message = Dictionary::new();
        message.insert("Command".into(), command.into());
        if let Some(seconds) = interval {
            message.insert("Interval".into(), seconds.into());
        }
        plist_stream::write(far, &Value::Dictionary(message), Encoding::Xml).unwrap();
    }

    fn answer(far: &mut TcpStream) -> String {
        let answer = plist_stream::read(far, 1 << 16).unwrap();
        let answer = answer.into_dictionary().unwrap();
        answer["Command"].as_string().unwrap().to_owned()
    }

    fn until(done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(done());
    }

    #[test]
    fn heartbeat_ends_with_the_phone() {
        let (stream, mut far) = pair();
        send(&mut far, "Marco", Some(10));
        let heart = Heartbeat::start(stream, &CancelToken::new(Arc::default())).unwrap();
        assert_eq!(answer(&mut far), "Polo");
        send(&mut far, "Marco", None);
        assert_eq!(answer(&mut far), "Polo");
        assert!(heart.lifeline().end().is_none());
        send(&mut far, "SleepyTime", None);
        drop(far);
        until(|| heart.lifeline().end().is_some());
        assert!(matches!(heart.lifeline().end(), Some(Dropped::Asleep)));
    }

    #[test]
    fn silence_beyond_the_interval_ends_it() {
        let (mut stream, mut far) = pair();
        let token = CancelToken::new(Arc::default());
        let line = Lifeline::default();
        let mut interval = FIRST_MAX;
        send(&mut far, "Marco", Some(u64::MAX));
        assert!(exchange(&mut stream, &token, &line, &mut interval).unwrap());
        assert_eq!(interval, INTERVAL_MAX + BEYOND);
        interval = Duration::from_millis(1);
        let silent = exchange(&mut stream, &token, &line, &mut interval).unwrap_err();
        assert!(silent.to_string().contains("sent nothing"), "{silent}");
    }

    #[test]
    fn drop_ends_the_thread_at_once() {
        let (stream, mut far) = pair();
        send(&mut far, "Marco", Some(300));
        let heart = Heartbeat::start(stream, &CancelToken::new(Arc::default())).unwrap();
        let began = Instant::now();
        drop(heart);
        assert!(began.elapsed() < Duration::from_secs(60));
        // The phone sees the end of the connection after the answer.
        assert_eq!(answer(&mut far), "Polo");
        assert!(plist_stream::read(&mut far, 1 << 16).is_err());
    }
}
