//! Keeps a phone awake while a backup over Wi-Fi runs.
//!
//! `com.apple.mobile.assertion_agent` holds an assertion until its time is over or the connection
//! ends. It is renewed well before that (pymobiledevice3, `power-assertion`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plist::{Dictionary, Value};

use super::service_stream::ServiceStream;
use super::{Error, Session};
use crate::base::cancel::CancelToken;
use crate::transport::plist_stream::{self, Encoding};

const SERVICE: &str = "com.apple.mobile.assertion_agent";
const DOING: &str = "keep the phone awake";
/// Time that an assertion holds, and the interval at which it is renewed.
const HOLDS: Duration = Duration::from_secs(20 * 60);
const RENEW_EVERY: Duration = Duration::from_secs(10 * 60);
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(200);
const MESSAGE_BYTES_MAX: u32 = 1 << 16;

/// An assertion that a thread renews, until it is dropped.
pub(crate) struct PowerAssertion {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PowerAssertion {
    /// Asks the phone to stay awake.
    pub(crate) fn hold(
        session: &mut Session,
        token: &Arc<CancelToken>,
    ) -> Result<PowerAssertion, Error> {
        let mut stream = session.service_stream(SERVICE)?;
        stream.set_patience(token, ANSWER_MAX);
        ask(&mut stream)?;
        let stop = Arc::new(AtomicBool::new(false));
        let own = CancelToken::new(stop.clone());
        stream.set_patience(&own, ANSWER_MAX);
        let thread = std::thread::Builder::new().name("awake".to_owned());
        let thread = thread.spawn(move || {
            let mut asked = Instant::now();
            while !own.cancelled() {
                std::thread::sleep(TICK);
                if asked.elapsed() >= RENEW_EVERY {
                    asked = Instant::now();
                    // A phone that no longer answers has ended the backup too.
                    if ask(&mut stream).is_err() {
                        return;
                    }
                }
            }
        });
        let thread = thread.map_err(|e| Error::wire(DOING, e))?;
        Ok(PowerAssertion {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for PowerAssertion {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Sends the request and waits for its answer. No source tells what is in it.
fn ask(stream: &mut ServiceStream) -> Result<(), Error> {
    let broken = |cause| Error::wire(DOING, cause);
    plist_stream::write(stream, &Value::Dictionary(request()), Encoding::Xml).map_err(broken)?;
    plist_stream::read(stream, MESSAGE_BYTES_MAX).map_err(broken)?;
    Ok(())
}

fn request() -> Dictionary {
    let mut request = Dictionary::new();
    request.insert("CommandKey".into(), "CommandCreateAssertion".into());
    request.insert(
        "AssertionTypeKey".into(),
        "AMDPowerAssertionTypeWirelessSync".into(),
    );
    request.insert("AssertionNameKey".into(), "idev-backup".into());
    request.insert("AssertionTimeoutKey".into(), HOLDS.as_secs().into());
    request
}
