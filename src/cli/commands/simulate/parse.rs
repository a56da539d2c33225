//! Parses the options of `simulate`.

use std::ops::RangeInclusive;
use std::time::Duration;

use idev_backup::simulator::{Passcode, Trust};

/// Parses a size such as "20K", in bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size (a number with K, M or G)");
    let (digits, shift) = match text.to_ascii_uppercase().chars().last() {
        Some('K') => (&text[..text.len() - 1], 10),
        Some('M') => (&text[..text.len() - 1], 20),
        Some('G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// Parses a range of sizes such as "2K..20K".
pub fn range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let range = size(low)?..=size(high)?;
    if range.is_empty() {
        return Err(format!(
            "{text:?} is not a range: its end is below its start"
        ));
    }
    Ok(range)
}

/// Parses a number of files and their size, such as "3x5M".
pub fn bulk(text: &str) -> Result<(u32, u64), String> {
    let (count, each) = text
        .split_once('x')
        .ok_or_else(|| format!("{text:?} is not of the form COUNTxSIZE"))?;
    let count = count
        .parse()
        .map_err(|_| format!("{count:?} is not a number"))?;
    Ok((count, size(each)?))
}

/// Parses a number of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

fn seconds(text: &str) -> Option<Duration> {
    duration(text.strip_prefix("after:")?).ok()
}

/// Parses what the owner does when asked to trust a computer.
pub fn trust(text: &str) -> Result<Trust, String> {
    match text {
        "now" => Ok(Trust::Now),
        "deny" => Ok(Trust::Deny),
        "never" => Ok(Trust::Never),
        _ => match seconds(text) {
            Some(wait) => Ok(Trust::After(wait)),
            None => Err("one of now, after:SECONDS, deny, never".to_owned()),
        },
    }
}

/// Parses when a backup asks for the passcode.
pub fn passcode(text: &str) -> Result<Passcode, String> {
    match text {
        "none" => Ok(Passcode::None),
        "never" => Ok(Passcode::Never),
        _ => match seconds(text) {
            Some(wait) => Ok(Passcode::After(wait)),
            None => Err("one of none, after:SECONDS, never".to_owned()),
        },
    }
}
