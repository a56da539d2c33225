//! Faults of the simulated phone's Wi-Fi: sleep, other addresses, and lost connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::super::lock;
use super::air::Air;
use super::{Private, Shared, fixed_port, resolve};

/// Longest wait until all heartbeats have announced the sleep.
const GOODNIGHT: Duration = Duration::from_secs(1);

/// A fault of the Wi-Fi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WifiFault {
    /// The phone announces that it is about to sleep, and falls silent.
    Sleep,
    /// The phone falls silent without a word, as one that is carried out of reach.
    Silence,
    /// The phone gets these addresses instead of its own.
    Roam(Vec<String>),
    /// All connections end.
    Drop,
    /// The phone takes another private MAC, and with it another name and identifier in its advert.
    PrivateAddress,
}

/// A fault that occurs after a number of bytes.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) bytes: u64,
    pub(super) fault: WifiFault,
}

impl Shared {
    /// Returns true if a fault is to occur after some number of bytes.
    pub(super) fn awaits_fault(&self) -> bool {
        lock(&self.pending).is_some()
    }

    /// Returns how many of `length` bytes may pass before the next fault.
    pub(super) fn before_fault(&self, length: usize) -> usize {
        let left = lock(&self.pending).as_ref().map(|pending| pending.bytes);
        left.map_or(length, |left| {
            length.min(usize::try_from(left).unwrap_or(usize::MAX))
        })
    }

    /// Counts bytes to a computer, and lets the fault occur that is due after them.
    pub(super) fn sent(self: &Arc<Self>, count: u64) {
        let mut pending = lock(&self.pending);
        let Some(next) = pending.as_mut() else { return };
        next.bytes = next.bytes.saturating_sub(count);
        if next.bytes > 0 {
            return;
        }
        let due = pending.take();
        drop(pending);
        if let Some(Pending { fault, .. }) = due
            && self.fail(&fault).is_err()
        {
            // Without its new addresses, the phone has left the old ones anyway.
            lock(&self.net).air.leave();
        }
    }

    /// Lets a fault occur.
    pub(super) fn fail(self: &Arc<Self>, fault: &WifiFault) -> io::Result<()> {
        match fault {
            WifiFault::Sleep => self.sleep(),
            WifiFault::Silence => lock(&self.net).air.sleep(),
            WifiFault::Roam(addresses) => self.roam(&resolved(addresses)?)?,
            WifiFault::Drop => self.drop_connections(),
            WifiFault::PrivateAddress => {
                lock(&self.net).private = Private::new();
                self.refresh()?;
            }
        }
        Ok(())
    }

    fn sleep(&self) {
        self.sleepy.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + GOODNIGHT;
        let all_told = || {
            lock(&self.hearts)
                .values()
                .all(|beating| beating.told || !beating.proven)
        };
        while !all_told() && Instant::now() < deadline {
            thread::sleep(super::BETWEEN_LOOKS);
        }
        lock(&self.net).air.sleep();
    }

    pub(super) fn wake(&self) {
        self.sleepy.store(false, Ordering::SeqCst);
        for beating in lock(&self.hearts).values_mut() {
            beating.told = false;
        }
        lock(&self.net).air.wake();
    }

    fn roam(self: &Arc<Self>, addresses: &[SocketAddr]) -> io::Result<()> {
        let mut net = lock(&self.net);
        net.air.leave();
        net.air = Air::new();
        net.addresses = addresses.to_vec();
        // No goodbye reaches a network that the phone has left.
        let old = (net.listening.take(), net.advert.take());
        drop(net);
        drop(old);
        for connection in lock(&self.connections).values() {
            if connection.air.has_left() {
                // Wakes the phone's own reader, and sends nothing.
                match connection.stream.shutdown(std::net::Shutdown::Read) {
                    Ok(()) | Err(_) => {}
                }
            }
        }
        lock(&self.hearts).clear();
        self.refresh()
    }
}

/// Resolves addresses, and replaces port 0 by a free port.
pub(super) fn resolved(addresses: &[String]) -> io::Result<Vec<SocketAddr>> {
    addresses
        .iter()
        .map(|address| fixed_port(resolve(address)?))
        .collect()
}
