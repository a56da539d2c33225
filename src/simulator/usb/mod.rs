//! The simulated phone as a real USB device for a virtual machine under QEMU: usbredir towards
//! QEMU, and the USB mux on top of it.
//!
//! [`Cable`] connects to the socket of QEMU's `-chardev socket,... -device usb-redir,...`; the
//! kernel of the guest then finds an iPhone on its bus. This module uses no code of `transport`, so
//! that a mistake there meets an independent implementation here.

mod device;
mod events;
mod misstep;
mod mux;
mod pipe;
mod redir;

pub use events::{Counts, UsbEvent};
pub use misstep::Misstep;
pub use redir::RedirError;

pub(super) use pipe::Pipe;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Phone;
use super::socket::Socket;
use crate::simulator::usb::device::{Device, MUX_IN, MUX_OUT, PACKET_BYTES};
use crate::simulator::usb::mux::{MESSAGE_BYTES_MAX, Mux};
use crate::simulator::usb::redir::{Control, Packet, Parser, Writer};

/// Size in bytes of one read from QEMU.
const READ_BYTES: usize = 256 << 10;
/// Limit on pending reads, above what any computer has in flight at once.
const WAITING_MAX: usize = 1024;

/// A phone on the USB of a virtual machine under QEMU. Dropping the cable unplugs the phone.
#[derive(Debug)]
pub struct Cable {
    link: Arc<Shared>,
    socket: Socket,
}

/// The link, and the condition variable that signals its changes.
#[derive(Debug)]
struct Shared {
    link: Mutex<Link>,
    changed: Condvar,
}

#[derive(Debug)]
struct Link {
    phone: Arc<Phone>,
    device: Device,
    mux: Mux,
    /// Packet writer, available once QEMU has said hello.
    writer: Option<Writer>,
    /// True if the owner has plugged the phone in. QEMU learns of it as soon as it can.
    plugged: bool,
    /// Pending reads of the mux's endpoint.
    reads: VecDeque<(u64, u32)>,
    /// Pending reads of other endpoints, which are never answered.
    idle_reads: Vec<(u64, u8)>,
    /// The message being sent, and how many of its bytes are sent.
    sending: Option<(Vec<u8>, usize)>,
    /// The message received so far; `None` while skipping the rest of a message that is too long.
    receiving: Option<Vec<u8>>,
    /// Bytes to send to QEMU.
    out: Vec<u8>,
    /// Unplugs the phone after this many more bytes to the computer.
    unplug_after: Option<u64>,
    over: bool,
    counts: Counts,
    events: Sender<UsbEvent>,
}

impl Cable {
    /// Plugs a phone into the virtual machine whose `usb-redir` listens on `UNIX:/path` or
    /// `host:port`. `version_max` is the highest mux version that the phone speaks: 2, or 1 as
    /// before iOS 7. The receiver returns the events of the cable.
    pub fn plug(
        address: &str,
        phone: &Arc<Phone>,
        version_max: u32,
    ) -> io::Result<(Cable, Receiver<UsbEvent>)> {
        let socket = Socket::connect(address)?;
        let (events, receiver) = mpsc::channel();
        let serial = phone.udid().as_str().replace('-', "");
        let mut out = Vec::new();
        Writer::hello(&mut out);
        let link = Arc::new(Shared {
            link: Mutex::new(Link {
                phone: Arc::clone(phone),
                device: Device::new(serial),
                mux: Mux::new(version_max.clamp(1, 2)),
                writer: None,
                plugged: true,
                reads: VecDeque::new(),
                idle_reads: Vec::new(),
                sending: None,
                receiving: Some(Vec::new()),
                out,
                unplug_after: None,
                over: false,
                counts: Counts::default(),
                events,
            }),
            changed: Condvar::new(),
        });
        let (reader, writer) = (socket.try_clone()?, socket.try_clone()?);
        let (reads, writes) = (Arc::clone(&link), Arc::clone(&link));
        let named = |name: &str| thread::Builder::new().name(name.into());
        named("sim-usb-in").spawn(move || reads.read(reader))?;
        named("sim-usb-out").spawn(move || writes.write(writer))?;
        Ok((Cable { link, socket }, receiver))
    }

    /// Plugs the phone in again.
    pub fn plug_again(&self) {
        self.with(Link::plug_again);
    }

    /// Pulls the cable. The phone keeps its state.
    pub fn unplug(&self) {
        self.with(Link::unplug);
    }

    /// Pulls the cable after this many more bytes to the computer.
    pub fn unplug_after(&self, bytes: u64) {
        self.with(|link| link.unplug_after = Some(bytes));
    }

    /// Returns the traffic counts since the last call, and resets them.
    pub fn counts(&self) -> Counts {
        self.with(|link| std::mem::take(&mut link.counts))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Link) -> T) -> T {
        let mut link = self.link.lock();
        let done = act(&mut link);
        drop(link);
        self.link.changed.notify_all();
        done
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.with(Link::end);
        self.socket.cut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Link> {
        super::lock(&self.link)
    }

    fn wait<'a>(
        &self,
        link: MutexGuard<'a, Link>,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, Link> {
        match limit {
            None => self
                .changed
                .wait(link)
                .unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.changed.wait_timeout(link, limit);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Processes packets from QEMU until it disconnects.
    fn read(self: &Arc<Self>, mut socket: Socket) {
        let mut parser = Parser::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = match socket.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            parser.push(&buffer[..count]);
            let mut link = self.lock();
            let mut opened = Vec::new();
            let taken = loop {
                match parser.take() {
                    Ok(Some((id, packet))) => {
                        if let Packet::Hello(_) = packet {
                            link.writer = Some(parser.writer());
                        }
                        opened.extend(link.take(id, packet));
                    }
                    Ok(None) => break Ok(()),
                    Err(e) => break Err(e),
                }
            };
            link.pump();
            if let Err(e) = taken {
                link.tell(UsbEvent::Nonsense(e));
                break;
            }
            let phone = Arc::clone(&link.phone);
            drop(link);
            self.changed.notify_all();
            for (id, port) in opened {
                self.serve(&phone, id, port);
            }
        }
        let mut link = self.lock();
        link.end();
        link.tell(UsbEvent::Over);
        drop(link);
        self.changed.notify_all();
    }

    /// Sends pending bytes to QEMU.
    fn write(&self, mut socket: Socket) {
        let mut link = self.lock();
        loop {
            let bytes = std::mem::take(&mut link.out);
            if bytes.is_empty() {
                if link.over {
                    return;
                }
                link = self.wait(link, None);
                continue;
            }
            drop(link);
            let written = socket.write_all(&bytes);
            link = self.lock();
            if written.is_err() {
                // The reader notices the same end, and reports it.
                link.end();
                return;
            }
        }
    }

    /// Unplugs the phone and plugs it in again, as a reboot after a restore does.
    fn restart(&self, phone: &Phone) {
        self.lock().unplug();
        self.changed.notify_all();
        thread::sleep(phone.config.restart);
        phone.restart();
        let mut link = self.lock();
        link.plug_again();
        drop(link);
        self.changed.notify_all();
    }

    /// Starts a thread on which the phone serves a new connection.
    fn serve(self: &Arc<Self>, phone: &Arc<Phone>, id: u64, port: u16) {
        let socket = Socket::over_usb(Pipe::new(Arc::clone(self), id));
        let (phone, cable) = (Arc::clone(phone), Arc::clone(self));
        let name = phone.service_on(port);
        let spawned = thread::Builder::new()
            .name(format!("sim-{name}"))
            .spawn(move || {
                phone.serve(port, socket);
                if phone.is_to_restart() {
                    cable.restart(&phone);
                }
            });
        // If no thread could start, the connection ends again, since the closure owned its handle.
        drop(spawned);
    }
}

impl Link {
    fn tell(&mut self, event: UsbEvent) {
        if let UsbEvent::Misstep(_) = event {
            self.counts.missteps += 1;
        }
        // The receiver of events may be gone.
        drop(self.events.send(event));
    }

    /// Processes a packet. Returns the connection that it opened, if any, and the port.
    fn take(&mut self, id: u64, packet: Packet) -> Option<(u64, u16)> {
        let writer = self.writer?;
        match packet {
            Packet::Hello(_) => self.announce(),
            Packet::Reset => {
                self.fresh();
                self.tell(UsbEvent::Reset);
            }
            Packet::SetConfiguration(number) => {
                let status = if self.device.configure(number) {
                    redir::OK
                } else {
                    redir::INVALID
                };
                self.drop_transfers();
                self.mux.restart();
                self.lay_out(writer);
                let number = self.device.configuration();
                writer.configuration(&mut self.out, id, status, number);
                self.tell(UsbEvent::Configured(number));
            }
            Packet::GetConfiguration => {
                let number = self.device.configuration();
                writer.configuration(&mut self.out, id, redir::OK, number);
            }
            Packet::SetAlternate {
                interface,
                alternate,
            } => {
                let status = if self.device.set_alternate(interface, alternate) {
                    redir::OK
                } else {
                    redir::INVALID
                };
                self.lay_out(writer);
                writer.alternate(&mut self.out, id, status, [interface, alternate]);
            }
            Packet::GetAlternate { interface } => {
                let (status, alternate) = match self.device.alternate(interface) {
                    Some(alternate) => (redir::OK, alternate),
                    None => (redir::INVALID, 0),
                };
                writer.alternate(&mut self.out, id, status, [interface, alternate]);
            }
            Packet::StartInterrupt(endpoint) | Packet::StopInterrupt(endpoint) => {
                writer.interrupt(&mut self.out, id, redir::OK, endpoint);
            }
            Packet::Cancel => self.cancel(id),
            Packet::Control(asked) => self.control(writer, id, &asked),
            Packet::Bulk {
                endpoint,
                length,
                data,
            } => return self.bulk(writer, id, endpoint, length, &data),
            Packet::Other(_) => {}
        }
        None
    }

    fn control(&mut self, writer: Writer, id: u64, asked: &Control) {
        let answer = self.device.control(asked);
        let taken = match asked.request_type & 0x80 {
            0 => asked.length,
            _ => answer.data.len() as u16,
        };
        writer.control(&mut self.out, id, asked, answer.status, &answer.data, taken);
    }

    fn bulk(
        &mut self,
        writer: Writer,
        id: u64,
        endpoint: u8,
        length: u32,
        data: &[u8],
    ) -> Option<(u64, u16)> {
        let mux = self.device.has_mux();
        match endpoint {
            MUX_IN if mux && self.reads.len() < WAITING_MAX => {
                self.reads.push_back((id, length));
                self.pump();
                // The remaining reads wait for data from the phone.
                let waiting = self.reads.len();
                self.counts.reads_waiting_max = self.counts.reads_waiting_max.max(waiting);
                None
            }
            MUX_OUT if mux => {
                self.counts.transfers_out += 1;
                self.counts.bytes_out += data.len() as u64;
                let taken = data.len() as u32;
                writer.bulk(&mut self.out, id, endpoint, redir::OK, &[], taken);
                self.assemble(data)
            }
            MUX_IN | MUX_OUT => {
                writer.bulk(&mut self.out, id, endpoint, redir::STALL, &[], 0);
                None
            }
            // The camera and the network adapter send nothing, and accept everything.
            0x80.. if self.idle_reads.len() < WAITING_MAX => {
                self.idle_reads.push((id, endpoint));
                None
            }
            _ => {
                let taken = data.len() as u32;
                writer.bulk(&mut self.out, id, endpoint, redir::OK, &[], taken);
                None
            }
        }
    }

    /// Assembles transfers into messages. Each message ends with a short packet.
    fn assemble(&mut self, data: &[u8]) -> Option<(u64, u16)> {
        let last = !data.len().is_multiple_of(PACKET_BYTES) || data.is_empty();
        if let Some(message) = &mut self.receiving {
            message.extend_from_slice(data);
            let bytes = message.len();
            if bytes > MESSAGE_BYTES_MAX {
                self.receiving = None;
                self.tell(UsbEvent::Misstep(Misstep::MessageTooLong { bytes }));
            }
        }
        if !last {
            return None;
        }
        let message = self.receiving.replace(Vec::new())?;
        if message.is_empty() {
            self.tell(UsbEvent::Misstep(Misstep::EmptyMessage));
            return None;
        }
        let phone = Arc::clone(&self.phone);
        let mut opened = None;
        for event in self.mux.receive(&message, |port| phone.listens_on(port)) {
            match event {
                mux::Event::Agreed(version) => {
                    self.sending = None;
                    self.tell(UsbEvent::Agreed(version));
                }
                mux::Event::Backup { id, port } => {
                    self.tell(UsbEvent::Backup(phone.service_on(port)));
                    opened = Some((id, port));
                }
                mux::Event::Misstep(misstep) => self.tell(UsbEvent::Misstep(misstep)),
            }
        }
        opened
    }

    /// Answers pending reads while there are messages to send.
    fn pump(&mut self) {
        let Some(writer) = self.writer else { return };
        while let Some((id, length)) = self.reads.front().copied() {
            if self.sending.is_none() {
                self.sending = self.mux.next_message().map(|message| (message, 0));
            }
            let Some((message, at)) = &mut self.sending else {
                return;
            };
            let left = message.len() - *at;
            let count = left.min(length as usize);
            self.reads.pop_front();
            if left > count && count % PACKET_BYTES != 0 {
                writer.bulk(&mut self.out, id, MUX_IN, redir::BABBLE, &[], 0);
                self.tell(UsbEvent::Misstep(Misstep::Babble { length }));
                continue;
            }
            let part = &message[*at..*at + count];
            writer.bulk(&mut self.out, id, MUX_IN, redir::OK, part, count as u32);
            *at += count;
            // A message that fills its last read exactly, with only full packets, ends with a
            // zero-length packet in the next read.
            let whole = count == length as usize && count % PACKET_BYTES == 0;
            if *at == message.len() && !whole {
                self.sending = None;
            }
            self.counts.transfers_in += 1;
            self.counts.bytes_in += count as u64;
            if let Some(left) = &mut self.unplug_after {
                *left = left.saturating_sub(count as u64);
                if *left == 0 {
                    self.unplug();
                    return;
                }
            }
        }
    }

    /// Cancels a transfer. Does nothing if it has been answered already.
    fn cancel(&mut self, id: u64) {
        let Some(writer) = self.writer else { return };
        let mut endpoint = None;
        self.reads.retain(|(of, _)| {
            let stays = *of != id;
            if !stays {
                endpoint = Some(MUX_IN);
            }
            stays
        });
        self.idle_reads.retain(|(of, end)| {
            let stays = *of != id;
            if !stays {
                endpoint = Some(*end);
            }
            stays
        });
        if let Some(endpoint) = endpoint {
            writer.bulk(&mut self.out, id, endpoint, redir::CANCELLED, &[], 0);
        }
    }

    /// Cancels all pending transfers.
    fn drop_transfers(&mut self) {
        let reads = self.reads.drain(..).map(|(id, _)| (id, MUX_IN));
        let all: Vec<(u64, u8)> = reads.chain(self.idle_reads.drain(..)).collect();
        for (id, endpoint) in all {
            if let Some(writer) = self.writer {
                writer.bulk(&mut self.out, id, endpoint, redir::CANCELLED, &[], 0);
            }
        }
        self.sending = None;
        self.receiving = Some(Vec::new());
    }

    /// Resets the device and ends every connection.
    fn fresh(&mut self) {
        self.drop_transfers();
        self.device.configure(0);
        self.mux.restart();
    }

    fn lay_out(&mut self, writer: Writer) {
        let (interfaces, ends) = (self.device.interfaces(), self.device.endpoints());
        writer.layout(&mut self.out, &interfaces, &ends);
    }

    fn announce(&mut self) {
        let Some(writer) = self.writer else { return };
        if self.plugged && !self.over {
            self.lay_out(writer);
            let out = &mut self.out;
            writer.connect(out, device::VENDOR, device::PRODUCT, device::VERSION);
            self.tell(UsbEvent::Plugged);
        }
    }

    fn plug_again(&mut self) {
        self.plugged = true;
        self.announce();
    }

    fn unplug(&mut self) {
        self.unplug_after = None;
        if !std::mem::take(&mut self.plugged) {
            return;
        }
        self.fresh();
        if let Some(writer) = self.writer {
            writer.disconnect(&mut self.out);
        }
        self.tell(UsbEvent::Unplugged);
    }

    fn end(&mut self) {
        self.plugged = false;
        self.over = true;
        self.fresh();
        self.out.clear();
    }
}
