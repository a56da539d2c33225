//! A connection to a service, encrypted or not.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use super::tls::Secure;
use crate::base::cancel::CancelToken;
use crate::transport::Wire;

/// A connection to a service of a phone.
pub(crate) enum ServiceStream {
    /// The service uses TLS.
    Secure(Box<Secure>),
    /// The service uses the connection as it is.
    Plain(Wire),
}

impl ServiceStream {
    /// Sets the cancellation token and the limit of silence.
    pub(crate) fn set_patience(&mut self, token: &Arc<CancelToken>, silence_max: Duration) {
        match self {
            ServiceStream::Secure(secure) => secure.set_patience(token, silence_max),
            ServiceStream::Plain(wire) => wire.set_patience(token.clone(), silence_max),
        }
    }
}

impl Read for ServiceStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            ServiceStream::Secure(secure) => secure.read(buffer),
            ServiceStream::Plain(wire) => wire.read(buffer),
        }
    }
}

impl Write for ServiceStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            ServiceStream::Secure(secure) => secure.write(bytes),
            ServiceStream::Plain(wire) => wire.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            ServiceStream::Secure(secure) => secure.write_vectored(pieces),
            ServiceStream::Plain(wire) => wire.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            ServiceStream::Secure(secure) => secure.flush(),
            ServiceStream::Plain(wire) => wire.flush(),
        }
    }
}
