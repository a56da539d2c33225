//! Estimates the time that a job still needs, from how fast it went lately.

use std::time::{Duration, Instant};

use super::units::size;

/// Time over which the speed is averaged. A phone sends in bursts of some seconds.
const AVERAGED: Duration = Duration::from_secs(15);
/// Shortest time between two measurements of the speed.
const BETWEEN: Duration = Duration::from_millis(500);
/// No estimate is given before this time, and before this share of the work is done.
const EARLIEST: Duration = Duration::from_secs(5);
const SHARE_MIN: f64 = 0.02;
/// A job that has not moved for this long gives no estimate.
const STALLED: Duration = Duration::from_secs(10);
/// A longer estimate says nothing.
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// The speed of a job.
#[derive(Debug)]
pub struct Pace {
    begun: Instant,
    /// Time of the last measurement, and the share of the work that was done then.
    last: (Instant, f64),
    /// Time of the last movement.
    moved: Instant,
    /// Share of the work that is done in a second.
    speed: Option<f64>,
}

impl Pace {
    /// Begins with a job that has done nothing yet.
    pub fn new(now: Instant) -> Pace {
        Pace {
            begun: now,
            last: (now, 0.0),
            moved: now,
            speed: None,
        }
    }

    /// Notes that this share of the work is done, from 0 to 1, and returns the time left, if that
    /// can be estimated.
    pub fn left(&mut self, now: Instant, share: f64) -> Option<Duration> {
        let (at, before) = self.last;
        let passed = now.duration_since(at);
        if share < before {
            // The phone corrected its figure: measure again from here, with the speed as it was.
            self.last = (now, share);
        } else if passed >= BETWEEN {
            let speed = (share - before) / passed.as_secs_f64();
            let weight = 1.0 - (-passed.as_secs_f64() / AVERAGED.as_secs_f64()).exp();
            self.speed = Some(match self.speed {
                None => speed,
                Some(average) => average + (speed - average) * weight,
            });
            self.last = (now, share);
        }
        if share > before {
            self.moved = now;
        }
        let is_early = now.duration_since(self.begun) < EARLIEST || share < SHARE_MIN;
        let is_stalled = now.duration_since(self.moved) >= STALLED;
        let speed = self.speed.filter(|speed| *speed > 0.0)?;
        if is_early || is_stalled || share > 1.0 {
            return None;
        }
        let left = Duration::try_from_secs_f64((1.0 - share) / speed).ok()?;
        Some(left).filter(|left| *left <= LONGEST)
    }
}

/// Formats a time left: "0:07", "12:30", "1:05:00". Longer times are rounded, because an estimate
/// that changes each second reads as more than it is.
pub fn left_words(left: Duration) -> String {
    let seconds = left.as_secs_f64().ceil() as u64;
    let step = match seconds {
        0..60 => 1,
        60..600 => 5,
        600..3600 => 30,
        _ => 300,
    };
    let seconds = seconds.div_ceil(step) * step;
    match seconds {
        0..3600 => format!("{}:{:02} left", seconds / 60, seconds % 60),
        _ => format!(
            "{}:{:02}:{:02} left",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    }
}

/// Returns "1.9 of 3.0 GB", or "880.0 MB of 3.0 GB" if the units differ.
pub fn amount_of(bytes: u64, total: u64) -> String {
    let (done, total) = (size(bytes), size(total));
    match (done.split_once(' '), total.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {total}"),
        _ => format!("{done} of {total}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the estimates of a job that does `share(seconds)` of its work.
    fn estimates(share: impl Fn(f64) -> f64, until: u64) -> Vec<Option<u64>> {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        (1..=until)
            .map(|second| {
                let now = begun + Duration::from_secs(second);
                let left = pace.left(now, share(second as f64));
                left.map(|left| left.as_secs_f64().round() as u64)
            })
            .collect()
    }

    #[test]
    fn steady_work_gives_the_right_time() {
        let left = estimates(|second| second / 100.0, 60);
        assert_eq!(&left[..4], [None; 4]);
        for (at, left) in left.iter().enumerate().skip(4) {
            assert_eq!(*left, Some(100 - (at as u64 + 1)), "second {}", at + 1);
        }
    }

    #[test]
    fn no_estimate_without_movement() {
        // Little was done, then nothing, then the figure went back.
        assert!(estimates(|_| 0.01, 60).iter().all(Option::is_none));
        let left = estimates(|second| second.min(20.0) / 100.0, 60);
        assert!(
            left[10].is_some() && left[45..].iter().all(Option::is_none),
            "{left:?}"
        );
        let left = estimates(|second| if second < 20.0 { 0.9 } else { 0.3 }, 40);
        assert!(left[35..].iter().all(Option::is_none), "{left:?}");
        assert!(estimates(|_| f64::NAN, 20).iter().all(Option::is_none));
    }

    #[test]
    fn a_burst_changes_the_estimate_slowly() {
        let share = |second: f64| {
            if second < 30.0 {
                second / 100.0
            } else {
                second / 100.0 + 0.05
            }
        };
        let left = estimates(share, 40);
        let (before, after) = (left[28].unwrap(), left[29].unwrap());
        assert!(after > before / 2, "{before} {after}");
    }

    #[test]
    fn time_left_is_rounded() {
        for (seconds, words) in [
            (0.2, "0:01 left"),
            (7.0, "0:07 left"),
            (61.0, "1:05 left"),
            (601.0, "10:30 left"),
            (3700.0, "1:05:00 left"),
        ] {
            assert_eq!(left_words(Duration::from_secs_f64(seconds)), words);
        }
    }
}
