//! `com.apple.mobile.heartbeat`: the phone sends `Marco` with an interval, and the computer answers
//! `Polo`. Before it sleeps, the phone sends `SleepyTime` (as the crate `idevice` reads it).

use std::io;
use std::time::{Duration, Instant};

use plist::Value;

use super::tls::Link;
use super::wifi::Heart;
use crate::transport::plist_stream::{self, Encoding, FrameError};

/// Name of the service.
pub(super) const NAME: &str = "com.apple.mobile.heartbeat";
const MESSAGE_BYTES_MAX: u32 = 1 << 16;
/// Interval of a heartbeat over a cable, and the patience beyond it.
const BY_CABLE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));
/// Time in which the first answer must arrive.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Interval between looks for the phone's sleep.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Serves one heartbeat until the computer falls silent or disconnects.
pub(super) fn serve(mut link: Link, heart: Option<&Heart>) -> io::Result<()> {
    let (interval, patience) = heart.map_or(BY_CABLE, Heart::timing);
    let mut limit = FIRST_ANSWER.max(interval + patience);
    loop {
        say(
            &mut link,
            [
                ("Command", "Marco".into()),
                ("Interval", interval.as_secs().max(1).into()),
            ],
        )?;
        link.socket().set_read_timeout(Some(limit))?;
        let answer = plist_stream::read(&mut link, MESSAGE_BYTES_MAX);
        let answer = answer.map_err(super::frame_error)?.into_dictionary();
        let command = answer.as_ref().and_then(|answer| answer.get("Command"));
        if command.and_then(Value::as_string) != Some("Polo") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if let Some(heart) = heart {
            heart.beat();
        }
        pause(&mut link, interval, heart)?;
        limit = interval + patience;
    }
}

/// Waits until the next `Marco` is due. The computer has nothing to say meanwhile, and what it says
/// is ignored.
fn pause(link: &mut Link, interval: Duration, heart: Option<&Heart>) -> io::Result<()> {
    let due = Instant::now() + interval;
    loop {
        if let Some(heart) = heart.filter(|heart| heart.is_to_say_goodnight()) {
            say(link, [("Command", "SleepyTime".into())])?;
            heart.said_goodnight();
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let step = if heart.is_some() { BETWEEN_LOOKS } else { left };
        link.socket().set_read_timeout(Some(left.min(step)))?;
        match plist_stream::read(link, MESSAGE_BYTES_MAX) {
            Ok(_) => {}
            Err(FrameError::Io(e)) if is_timeout(&e) => {}
            Err(e) => return Err(super::frame_error(e)),
        }
    }
}

fn is_timeout(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn say<const N: usize>(link: &mut Link, message: [(&str, Value); N]) -> io::Result<()> {
    let message = Value::Dictionary(super::dict(message));
    plist_stream::write(link, &message, Encoding::Xml).map_err(super::frame_error)
}
