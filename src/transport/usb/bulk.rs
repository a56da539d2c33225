//! Several asynchronous bulk transfers at once. This is the only module with `unsafe`: rusb's own
//! calls wait for one transfer each, and threads that each wait for one transfer could not tell in
//! which order the transfers ended.
//!
//! The invariants, and how each is upheld:
//! * *libusb owns a transfer that is under way.* [`Transfer`] touches neither its fields nor its
//!   buffer until the callback has set `done`. The buffer and the flag are on the heap, so they do
//!   not move when the `Transfer` moves.
//! * *The callback only sets a flag*, and cannot panic. Its store (release) and our load (acquire)
//!   make the bytes visible, whichever thread handles libusb's events.
//! * *No transfer outlives its device handle*, and none is freed while under way: [`Bulk::drop`]
//!   cancels all transfers, waits for each, and closes the handle last. If libusb does not return a
//!   transfer in time, the memory and the handle are leaked.

#![allow(
    unsafe_code,
    reason = "libusb's asynchronous transfers; the module's documentation says what must hold"
)]

use std::collections::VecDeque;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libusb1_sys as sys;
use libusb1_sys::constants::{
    LIBUSB_SUCCESS, LIBUSB_TRANSFER_CANCELLED, LIBUSB_TRANSFER_COMPLETED,
    LIBUSB_TRANSFER_NO_DEVICE, LIBUSB_TRANSFER_OVERFLOW, LIBUSB_TRANSFER_STALL,
    LIBUSB_TRANSFER_TYPE_BULK,
};
use rusb::{Context, DeviceHandle, UsbContext};

/// Longest wait for cancelled transfers to be returned.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);

/// A phone's endpoints, with transfers under way on both.
pub(crate) struct Bulk {
    handle: ManuallyDrop<DeviceHandle<Context>>,
    to_phone: u8,
    /// Transfers in the order of submission, which is also the order of the bytes.
    incoming: VecDeque<Transfer>,
    outgoing: VecDeque<Transfer>,
}

impl Bulk {
    /// Starts `count` transfers of `bytes` each from the phone. The caller has already claimed the
    /// interface.
    pub(crate) fn start(
        handle: DeviceHandle<Context>,
        from_phone: u8,
        to_phone: u8,
        count: usize,
        bytes: usize,
    ) -> rusb::Result<Bulk> {
        let mut bulk = Bulk {
            handle: ManuallyDrop::new(handle),
            to_phone,
            incoming: VecDeque::with_capacity(count),
            outgoing: VecDeque::new(),
        };
        for _ in 0..count {
            let transfer = Transfer::submitted(&bulk.handle, from_phone, vec![0; bytes])?;
            bulk.incoming.push_back(transfer);
        }
        Ok(bulk)
    }

    /// Returns the number of transfers to the phone that are under way.
    pub(crate) fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// Starts sending `bytes`.
    pub(crate) fn send(&mut self, bytes: Vec<u8>) -> rusb::Result<()> {
        let transfer = Transfer::submitted(&self.handle, self.to_phone, bytes)?;
        self.outgoing.push_back(transfer);
        Ok(())
    }

    /// Handles libusb's events until something happens or `patience` has passed, then passes the
    /// received bytes to `take`, in order.
    pub(crate) fn wait<E: From<rusb::Error>>(
        &mut self,
        patience: Duration,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.handle.context().handle_events(Some(patience)) {
            Ok(()) | Err(rusb::Error::Interrupted) => {}
            Err(e) => return Err(e.into()),
        }
        while let Some(first) = self.outgoing.front() {
            match first.ended() {
                None => break,
                Some(sent) if sent?.len() < first.buffer.len() => {
                    return Err(rusb::Error::Io.into());
                }
                Some(_) => {}
            }
            self.outgoing.pop_front();
        }
        // Take each transfer at most once, so that a phone that never pauses does not keep us here.
        for _ in 0..self.incoming.len() {
            let Some(mut first) = self.incoming.pop_front() else {
                break;
            };
            match first.ended() {
                None => {
                    self.incoming.push_front(first);
                    break;
                }
                Some(Ok(bytes)) => {
                    take(bytes)?;
                    first.submit()?;
                    self.incoming.push_back(first);
                }
                Some(Err(e)) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        let all = self.incoming.iter().chain(&self.outgoing);
        all.for_each(Transfer::cancel);
        let until = Instant::now() + CANCEL_WITHIN;
        let is_done = |bulk: &Bulk| {
            let mut all = bulk.incoming.iter().chain(&bulk.outgoing);
            all.all(|transfer| !transfer.is_under_way())
        };
        while !is_done(self) && Instant::now() < until {
            // Ignore errors here and keep trying until the time is up.
            if self
                .handle
                .context()
                .handle_events(Some(Duration::from_millis(100)))
                .is_err()
            {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        if is_done(self) {
            self.incoming.clear();
            self.outgoing.clear();
            // SAFETY: the handle is dropped only here and not used afterwards. All of its transfers
            // have been freed.
            unsafe { ManuallyDrop::drop(&mut self.handle) }
        } else {
            std::mem::forget(std::mem::take(&mut self.incoming));
            std::mem::forget(std::mem::take(&mut self.outgoing));
        }
    }
}

/// A libusb transfer with the memory it uses.
struct Transfer {
    raw: NonNull<sys::libusb_transfer>,
    buffer: Vec<u8>,
    done: Arc<AtomicBool>,
}

// SAFETY: libusb's transfers are not bound to a thread, and all access goes through the one owner.
unsafe impl Send for Transfer {}

impl Transfer {
    /// Creates a transfer on an endpoint and submits it. The handle must outlive the transfer;
    /// `Bulk` ensures that.
    fn submitted(
        handle: &DeviceHandle<Context>,
        endpoint: u8,
        buffer: Vec<u8>,
    ) -> rusb::Result<Transfer> {
        let length = c_int::try_from(buffer.len()).map_err(|_| rusb::Error::InvalidParam)?;
        // SAFETY: the call takes no pointers; it returns a transfer that we own, or null.
        let raw =
            NonNull::new(unsafe { sys::libusb_alloc_transfer(0) }).ok_or(rusb::Error::NoMem)?;
        let mut transfer = Transfer {
            raw,
            buffer,
            done: Arc::new(AtomicBool::new(true)),
        };
        // SAFETY: `raw` is a transfer that libusb made and that is not under way, so its fields are
        // ours to set. The buffer has `length` bytes and the flag lives as long as the transfer;
        // neither moves.
        unsafe {
            let fields = raw.as_ptr();
            (*fields).dev_handle = handle.as_raw();
            (*fields).endpoint = endpoint;
            (*fields).transfer_type = LIBUSB_TRANSFER_TYPE_BULK;
            (*fields).timeout = 0;
            (*fields).buffer = transfer.buffer.as_mut_ptr();
            (*fields).length = length;
            (*fields).user_data = Arc::as_ptr(&transfer.done).cast_mut().cast();
            (*fields).callback = done;
        }
        transfer.submit()?;
        Ok(transfer)
    }

    fn submit(&mut self) -> rusb::Result<()> {
        self.done.store(false, Ordering::Relaxed);
        // SAFETY: all of its fields are set, and the transfer is not under way: it is new, or
        // `ended` has returned its result.
        match unsafe { sys::libusb_submit_transfer(self.raw.as_ptr()) } {
            LIBUSB_SUCCESS => Ok(()),
            code => {
                self.done.store(true, Ordering::Relaxed);
                Err(error(code))
            }
        }
    }

    fn is_under_way(&self) -> bool {
        !self.done.load(Ordering::Acquire)
    }

    /// Returns the result of the transfer, or `None` while it is under way. For a transfer from the
    /// phone, the result is the received bytes.
    fn ended(&self) -> Option<rusb::Result<&[u8]>> {
        if self.is_under_way() {
            return None;
        }
        // SAFETY: the transfer is not under way, so libusb does not write its fields.
        let (status, count) = unsafe {
            let fields = self.raw.as_ptr();
            ((*fields).status, (*fields).actual_length)
        };
        Some(match status {
            LIBUSB_TRANSFER_COMPLETED => {
                let count = usize::try_from(count).unwrap_or(0).min(self.buffer.len());
                Ok(&self.buffer[..count])
            }
            LIBUSB_TRANSFER_NO_DEVICE => Err(rusb::Error::NoDevice),
            LIBUSB_TRANSFER_OVERFLOW => Err(rusb::Error::Overflow),
            LIBUSB_TRANSFER_STALL => Err(rusb::Error::Pipe),
            LIBUSB_TRANSFER_CANCELLED => Err(rusb::Error::Interrupted),
            _ => Err(rusb::Error::Io),
        })
    }

    fn cancel(&self) {
        if self.is_under_way() {
            // SAFETY: the transfer is allocated. If it has just ended, libusb refuses to cancel it,
            // which does no harm.
            unsafe {
                sys::libusb_cancel_transfer(self.raw.as_ptr());
            }
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        debug_assert!(!self.is_under_way());
        if !self.is_under_way() {
            // SAFETY: libusb allocated it, it is not in use any more, and it is freed once. The
            // buffer stays ours (no FREE_BUFFER).
            unsafe { sys::libusb_free_transfer(self.raw.as_ptr()) }
        }
    }
}

extern "system" fn done(transfer: *mut sys::libusb_transfer) {
    // SAFETY: libusb calls this once for each submission, with the transfer that was submitted. Its
    // `user_data` is the flag of a `Transfer`, which still exists, since none is dropped while
    // under way.
    unsafe {
        let flag = (*transfer).user_data.cast::<AtomicBool>();
        (*flag).store(true, Ordering::Release);
    }
}

fn error(code: c_int) -> rusb::Error {
    use libusb1_sys::constants as c;
    match code {
        c::LIBUSB_ERROR_NO_DEVICE => rusb::Error::NoDevice,
        c::LIBUSB_ERROR_NO_MEM => rusb::Error::NoMem,
        c::LIBUSB_ERROR_BUSY => rusb::Error::Busy,
        c::LIBUSB_ERROR_NOT_SUPPORTED => rusb::Error::NotSupported,
        c::LIBUSB_ERROR_INVALID_PARAM => rusb::Error::InvalidParam,
        c::LIBUSB_ERROR_NOT_FOUND => rusb::Error::NotFound,
        c::LIBUSB_ERROR_IO => rusb::Error::Io,
        _ => rusb::Error::Other,
    }
}
