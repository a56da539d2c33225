//! Limits how often a password may be tried: by one address, and in all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong passwords of one address before it has to wait.
const FREE: u32 = 5;
/// The first wait. Each further wrong password doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Maximum of the wait.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// Wrong passwords of all addresses within a minute before all have to wait.
const ALL_MAX: u32 = 60;
/// The time over which these are counted.
const ALL_SPAN: Duration = Duration::from_secs(60);
/// Most addresses that are remembered.
const ADDRESSES_MAX: usize = 4096;

/// The wrong passwords so far.
#[derive(Debug)]
pub(super) struct Attempts {
    by_address: HashMap<IpAddr, Wrong>,
    since: Instant,
    in_all: u32,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    times: u32,
    last: Instant,
}

impl Wrong {
    fn wait(self) -> Duration {
        match self.times.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(1 << more.min(16)).min(WAIT_MAX),
        }
    }
}

impl Attempts {
    pub(super) fn new(now: Instant) -> Attempts {
        Attempts {
            by_address: HashMap::new(),
            since: now,
            in_all: 0,
        }
    }

    /// Returns the time for which an address has to wait before it may try, if it has to.
    pub(super) fn wait(&self, of: IpAddr, now: Instant) -> Option<Duration> {
        let known = self.by_address.get(&whole(of));
        let own = known.map(|wrong| (wrong.last + wrong.wait()).saturating_duration_since(now));
        let all = (self.in_all >= ALL_MAX)
            .then(|| (self.since + ALL_SPAN).saturating_duration_since(now));
        let wait = own.max(all).unwrap_or_default();
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a wrong password, before it is known to be wrong: requests at the same time then
    /// count too.
    pub(super) fn count(&mut self, of: IpAddr, now: Instant) {
        if now.saturating_duration_since(self.since) >= ALL_SPAN {
            self.since = now;
            self.in_all = 0;
        }
        self.in_all += 1;
        self.by_address
            .retain(|_, wrong| now.saturating_duration_since(wrong.last) < WAIT_MAX * 2);
        if self.by_address.len() >= ADDRESSES_MAX {
            let oldest = self.by_address.iter().min_by_key(|(_, wrong)| wrong.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.by_address.remove(&oldest);
            }
        }
        let wrong = self.by_address.entry(whole(of)).or_insert(Wrong {
            times: 0,
            last: now,
        });
        wrong.times += 1;
        wrong.last = now;
    }

    /// Forgets the wrong passwords of an address that gave the right one.
    pub(super) fn forgive(&mut self, of: IpAddr) {
        self.by_address.remove(&whole(of));
        self.in_all = self.in_all.saturating_sub(1);
    }
}

/// Returns the address that counts: of IPv6 the first half, since one computer has all of the
/// second.
pub(super) fn whole(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(of) => match of.to_ipv4_mapped() {
            Some(of) => IpAddr::V4(of),
            None => IpAddr::V6(Ipv6Addr::from_bits(of.to_bits() >> 64 << 64)),
        },
        of => of,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn wrong_passwords_cost_more_each_time() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let one = at("192.0.2.1");
        for _ in 0..FREE - 1 {
            attempts.count(one, now);
        }
        assert_eq!(attempts.wait(one, now), None);
        let mut waits = Vec::new();
        for _ in 0..20 {
            attempts.count(one, now);
            waits.push(attempts.wait(one, now).unwrap().as_secs());
        }
        assert_eq!(waits[..4], [2, 4, 8, 16]);
        assert_eq!(waits[19], WAIT_MAX.as_secs());
        assert_eq!(attempts.wait(at("192.0.2.2"), now), None);
        assert_eq!(attempts.wait(one, now + WAIT_MAX), None);
        attempts.forgive(one);
        assert_eq!(attempts.wait(one, now), None);
    }

    #[test]
    fn many_addresses_are_limited_too() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        for number in 0..ALL_MAX {
            attempts.count(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(attempts.wait(at("198.51.100.1"), now).is_some());
        let later = now + ALL_SPAN;
        assert_eq!(attempts.wait(at("198.51.100.1"), later), None);
        attempts.count(at("198.51.100.1"), later);
        assert_eq!(attempts.wait(at("198.51.100.2"), later), None);
        for number in 0..20_000u32 {
            attempts.count(IpAddr::from(number.to_be_bytes()), later);
        }
        assert!(attempts.by_address.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn neighbours_in_ipv6_count_together() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        for number in 0..FREE {
            attempts.count(at(&format!("2001:db8::{number}")), now);
        }
        assert!(attempts.wait(at("2001:db8::ffff"), now).is_some());
        assert_eq!(attempts.wait(at("2001:db8:0:1::1"), now), None);
        attempts.count(at("::ffff:192.0.2.1"), now);
        assert!(attempts.by_address.contains_key(&at("192.0.2.1")));
    }
}
