//! TLS to the phone: we present our certificate from the pair record, and check the phone's
//! certificate against the public key in the record.
//!
//! No public authority signs a phone's certificate; at pairing the computer issues it for the
//! phone's own public key. So only that key identifies the phone.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::{Error, PairRecord};
use crate::base::cancel::CancelToken;
use crate::trace::Tap;
use crate::transport::{Dropped, Trouble, Wire};

/// Bytes read from the socket in one call. rustls alone would read 4 KiB at a time.
const READ_BYTES: usize = 256 << 10;

/// Key that the phone must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// The key in the pair record.
    PairRecord,
    /// Any key: the owner asked for it with `--any-certificate`.
    Anyone,
}

/// An encrypted stream.
pub(crate) struct Secure {
    stream: StreamOwned<ClientConnection, Buffered>,
    tap: Option<Tap>,
}

/// Performs the handshake.
pub(crate) fn secure(mut wire: Wire, record: &PairRecord, pin: Pin) -> Result<Secure, Error> {
    let connection =
        ClientConnection::new(Arc::new(configuration(record, pin)?), name()).map_err(tls)?;
    let tap = wire.take_tap();
    let mut stream = StreamOwned::new(
        connection,
        Buffered(BufReader::with_capacity(READ_BYTES, wire)),
    );
    while stream.conn.is_handshaking() {
        if let Err(e) = stream.conn.complete_io(&mut stream.sock) {
            return Err(explain(e));
        }
    }
    Ok(Secure { stream, tap })
}

impl Secure {
    /// Sets the cancellation token and the limit of silence, which differ from those of the
    /// handshake.
    pub(crate) fn set_patience(&mut self, token: &Arc<CancelToken>, silence_max: Duration) {
        let wire = self.stream.sock.0.get_mut();
        wire.set_patience(token.clone(), silence_max);
    }
}

fn explain(e: io::Error) -> Error {
    if crate::base::cancel::is_cancelled(&e) {
        return Error::Cancelled;
    }
    // Over USB and Wi-Fi the cause is known, so do not claim that the phone hung up.
    if e.get_ref()
        .is_some_and(|inner| inner.is::<Trouble>() || inner.is::<Dropped>())
    {
        return Error::wire("secure the connection to the phone", e);
    }
    match e
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::ApplicationVerificationFailure,
        )) => Error::OtherKey,
        Some(other) => tls(other.clone()),
        None if e.kind() == io::ErrorKind::UnexpectedEof => Error::Tls {
            why: "the phone hung up during the handshake".to_owned(),
        },
        None => Error::Tls { why: e.to_string() },
    }
}

fn tls(e: rustls::Error) -> Error {
    Error::Tls { why: e.to_string() }
}

/// Returns the server name that rustls requires. It is neither resolved nor sent, since phones have
/// no names.
fn name() -> ServerName<'static> {
    ServerName::IpAddress(rustls::pki_types::IpAddr::from(
        std::net::Ipv4Addr::LOCALHOST,
    ))
}

fn configuration(record: &PairRecord, pin: Pin) -> Result<ClientConfig, Error> {
    let bad = |what: &str| Error::BadRecord {
        why: format!("its {what} cannot be read"),
    };
    let host = CertificateDer::from_pem_slice(&record.host_certificate)
        .map_err(|_| bad("HostCertificate"))?;
    let key = PrivateKeyDer::from_pem_slice(record.host_private_key.expose())
        .map_err(|_| bad("HostPrivateKey"))?;
    let phone = CertificateDer::from_pem_slice(&record.device_certificate)
        .map_err(|_| bad("DeviceCertificate"))?;
    let pinned = match pin {
        Pin::Anyone => None,
        Pin::PairRecord => Some(public_key(&phone).ok_or_else(|| bad("DeviceCertificate"))?),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_details(provider.clone(), Arc::new(AnyClock))
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pinned, provider }))
        .with_client_auth_cert(vec![host], key)
        .map_err(|e| Error::BadRecord {
            why: format!("its certificate and key do not match: {e}"),
        })
}

/// Clock that accepts dates before 1970, for which rustls' own clock panics. The time does not
/// matter: we do not check a phone's certificate against it.
#[derive(Debug)]
struct AnyClock;

impl TimeProvider for AnyClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Some(UnixTime::since_unix_epoch(since.unwrap_or_default()))
    }
}

/// Returns a certificate's public key, as DER.
fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    Some(parsed.subject_public_key_info().to_vec())
}

/// Verifier that compares the key in the phone's certificate, and checks that the phone has the
/// private key.
#[derive(Debug)]
struct Pinned {
    pinned: Option<Vec<u8>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = public_key(end_entity);
        if self.pinned.is_none() || (shown.is_some() && shown == self.pinned) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Stream with buffered reads and unbuffered writes.
struct Buffered(BufReader<Wire>);

impl Read for Buffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Buffered {
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(pieces)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

impl Read for Secure {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.stream.read(buffer) {
            // Phones hang up without a closing alert; the caller knows whether more was expected.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        };
        match (&self.tap, &read) {
            (Some(tap), Ok(count)) => tap.read(&buffer[..*count]),
            (Some(tap), Err(e)) => tap.failed(e),
            (None, _) => {}
        }
        read
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        if let Some(tap) = &self.tap {
            tap.wrote(&bytes[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that an unplugged cable during the TLS handshake is reported as a connection error,
    /// not as a phone that hung up.
    #[test]
    fn unplugged_cable_is_a_wire_error() {
        let pulled = explain(io::Error::from(Trouble::Unplugged));
        assert!(matches!(pulled, Error::Wire { .. }), "{pulled:?}");
        let hung_up = explain(io::ErrorKind::UnexpectedEof.into());
        assert!(matches!(hung_up, Error::Tls { .. }), "{hung_up:?}");
    }
}
