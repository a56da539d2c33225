//! The socket type of the simulation: TCP on all systems, a Unix socket where available, or a
//! connection over USB or Wi-Fi.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use super::usb::Pipe;
use super::wifi::Radio;
use crate::trace::Tap;

#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};

/// A connected socket. Its tap records the traffic as long as it is not encrypted.
#[derive(Debug)]
pub(super) struct Socket {
    kind: Kind,
    tap: Option<Tap>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Usb(Pipe),
    Air(Radio),
}

/// Calls the same method on any kind of socket.
macro_rules! either {
    ($socket:expr, $s:ident => $call:expr) => {
        match $socket {
            Kind::Tcp($s) => $call,
            #[cfg(unix)]
            Kind::Unix($s) => $call,
            Kind::Usb($s) => $call,
            Kind::Air($s) => $call,
        }
    };
}

impl Socket {
    fn of(kind: Kind) -> Socket {
        Socket { kind, tap: None }
    }

    /// Connects to `UNIX:/path` or `host:port`.
    pub(super) fn connect(address: &str) -> io::Result<Socket> {
        if let Some(path) = address.strip_prefix("UNIX:") {
            #[cfg(unix)]
            return Ok(Socket::of(Kind::Unix(UnixStream::connect(path)?)));
            #[cfg(not(unix))]
            return Err(no_unix_sockets(path));
        }
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Socket::of(Kind::Tcp(socket)))
    }

    /// Wraps a connection over USB.
    pub(super) fn over_usb(pipe: Pipe) -> Socket {
        Socket::of(Kind::Usb(pipe))
    }

    /// Wraps a connection over Wi-Fi.
    pub(super) fn over_air(radio: Radio) -> Socket {
        Socket::of(Kind::Air(radio))
    }

    /// Returns a second handle to the connection, which records to the same channel.
    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let kind = match &self.kind {
            Kind::Tcp(s) => s.try_clone().map(Kind::Tcp),
            #[cfg(unix)]
            Kind::Unix(s) => s.try_clone().map(Kind::Unix),
            Kind::Usb(s) => Ok(Kind::Usb(s.clone())),
            Kind::Air(s) => s.try_clone().map(Kind::Air),
        };
        Ok(Socket {
            kind: kind?,
            tap: self.tap.clone(),
        })
    }

    /// Starts or stops recording. Returns the previous tap.
    pub(super) fn record(&mut self, tap: Option<Tap>) -> Option<Tap> {
        std::mem::replace(&mut self.tap, tap)
    }

    /// Ends the connection for both sides. It is not an error if the connection has ended already.
    pub(super) fn cut(&self) {
        let cut = match &self.kind {
            Kind::Tcp(s) => s.shutdown(Shutdown::Both),
            #[cfg(unix)]
            Kind::Unix(s) => s.shutdown(Shutdown::Both),
            Kind::Usb(s) => {
                s.cut();
                Ok(())
            }
            Kind::Air(s) => s.cut(),
        };
        match cut {
            Ok(()) | Err(_) => {}
        }
    }

    /// Sets the longest time that a read may wait; `None` means forever.
    pub(super) fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match &self.kind {
            Kind::Tcp(s) => s.set_read_timeout(limit),
            #[cfg(unix)]
            Kind::Unix(s) => s.set_read_timeout(limit),
            Kind::Usb(s) => {
                s.set_read_timeout(limit);
                Ok(())
            }
            Kind::Air(s) => s.set_read_timeout(limit),
        }
    }

    fn wrote(&self, count: usize, mut parts: &[&[u8]]) -> usize {
        let Some(tap) = &self.tap else { return count };
        let mut left = count;
        while let [part, rest @ ..] = parts {
            let passed = left.min(part.len());
            tap.wrote(&part[..passed]);
            (left, parts) = (left - passed, rest);
        }
        count
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = either!(&mut self.kind, s => s.read(buf));
        match (&self.tap, &read) {
            (Some(tap), Ok(count)) => tap.read(&buf[..*count]),
            (Some(tap), Err(e)) => tap.failed(e),
            (None, _) => {}
        }
        read
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = either!(&mut self.kind, s => s.write(buf))?;
        Ok(self.wrote(count, &[buf]))
    }

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let count = either!(&mut self.kind, s => s.write_vectored(bufs))?;
        let parts: Vec<&[u8]> = bufs.iter().map(|buf| &**buf).collect();
        Ok(self.wrote(count, &parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(&mut self.kind, s => s.flush())
    }
}

/// A listening socket. Dropping it removes its file.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, std::path::PathBuf),
}

impl Listener {
    /// Listens on `UNIX:/path` or `host:port` (port 0: any free one).
    pub(super) fn bind(address: &str) -> io::Result<Listener> {
        if let Some(path) = address.strip_prefix("UNIX:") {
            #[cfg(unix)]
            {
                clear(std::path::Path::new(path))?;
                return Ok(Listener::Unix(UnixListener::bind(path)?, path.into()));
            }
            #[cfg(not(unix))]
            return Err(no_unix_sockets(path));
        }
        Ok(Listener::Tcp(TcpListener::bind(address)?))
    }

    /// Returns the address in the form of `USBMUXD_SOCKET_ADDRESS`.
    pub(super) fn address(&self) -> io::Result<String> {
        match self {
            Listener::Tcp(l) => l.local_addr().map(|a| a.to_string()),
            #[cfg(unix)]
            Listener::Unix(_, path) => Ok(format!("UNIX:{}", path.display())),
        }
    }

    /// Waits for a client.
    pub(super) fn accept(&self) -> io::Result<Socket> {
        match self {
            Listener::Tcp(l) => {
                let (socket, _) = l.accept()?;
                socket.set_nodelay(true)?;
                Ok(Socket::of(Kind::Tcp(socket)))
            }
            #[cfg(unix)]
            Listener::Unix(l, _) => Ok(Socket::of(Kind::Unix(l.accept()?.0))),
        }
    }

    /// Connects once to wake a thread that waits in `accept`.
    pub(super) fn wake(address: &str) {
        #[cfg(unix)]
        if let Some(path) = address.strip_prefix("UNIX:") {
            drop(UnixStream::connect(path));
            return;
        }
        drop(TcpStream::connect(address));
    }
}

#[cfg(not(unix))]
fn no_unix_sockets(path: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{path}: there are no Unix sockets here, use host:port"),
    )
}

/// Removes the socket of a daemon that no longer runs, so that a new one can listen. Never removes
/// anything else.
#[cfg(unix)]
fn clear(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let in_the_way = |why| Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(meta) if !meta.file_type().is_socket() => {
            in_the_way("something that is no socket is there")
        }
        Ok(_) if UnixStream::connect(path).is_ok() => in_the_way("a program listens there already"),
        Ok(_) => std::fs::remove_file(path),
    }
}

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            match std::fs::remove_file(path) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}
