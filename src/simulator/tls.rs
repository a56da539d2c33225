//! The phone's side of TLS: it has its own RSA key, presents the certificate of the pair record,
//! and accepts only paired computers as clients.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme, StreamOwned,
};

use super::socket::Socket;
use crate::trace::Tap;

/// The key pair that a phone keeps permanently.
#[derive(Debug)]
pub(super) struct DeviceKey {
    key: rcgen::KeyPair,
}

impl DeviceKey {
    /// Returns the key of the phone with this name. Each is generated only once per process, since
    /// that may take a second.
    pub(super) fn of(name: &str) -> io::Result<Arc<DeviceKey>> {
        static MADE: OnceLock<Mutex<HashMap<String, Arc<DeviceKey>>>> = OnceLock::new();
        let mut made = super::lock(MADE.get_or_init(Mutex::default));
        if let Some(key) = made.get(name) {
            return Ok(Arc::clone(key));
        }
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .map_err(io::Error::other)?;
        let key = Arc::new(DeviceKey { key });
        made.insert(name.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    /// Returns the `DevicePublicKey` that lockdown reports: PKCS#1 in PEM.
    pub(super) fn public_pem(&self) -> Vec<u8> {
        let body = BASE64_STANDARD.encode(self.key.public_key_raw());
        let mut pem = String::from("-----BEGIN RSA PUBLIC KEY-----\n");
        for line in body.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|b| char::from(*b)));
            pem.push('\n');
        }
        pem.push_str("-----END RSA PUBLIC KEY-----\n");
        pem.into_bytes()
    }
}

/// Returns the TLS configuration for a paired computer. It presents `device_pem`, and accepts
/// clients with `host_pem` or `root_pem`.
pub(super) fn server(
    key: &DeviceKey,
    device_pem: &[u8],
    host_pem: &[u8],
    root_pem: &[u8],
) -> io::Result<Arc<ServerConfig>> {
    let certificate = |pem: &[u8]| CertificateDer::from_pem_slice(pem).map_err(io::Error::other);
    let device = certificate(device_pem)?;
    let own_key = rcgen::PublicKeyData::subject_public_key_info(&key.key);
    if public_key(&device).map_err(io::Error::other)? != own_key {
        return Err(io::Error::other("the device certificate has another key"));
    }
    let mut admitted = Vec::new();
    for pem in [host_pem, root_pem] {
        admitted.push(public_key(&certificate(pem)?).map_err(io::Error::other)?);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = PairedOnly {
        admitted,
        provider: Arc::clone(&provider),
    };
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.key.serialize_der()));
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(AnyClock))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![device], private)
        .map_err(io::Error::other)?;
    // Phones do not resume sessions.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// The system clock, which may be set before 1970: rustls' own time provider panics then.
#[derive(Debug)]
struct AnyClock;

impl TimeProvider for AnyClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Some(UnixTime::since_unix_epoch(since.unwrap_or_default()))
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    Ok(parsed.subject_public_key_info().as_ref().to_vec())
}

#[derive(Debug)]
struct PairedOnly {
    admitted: Vec<Vec<u8>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for PairedOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.admitted.contains(&public_key(end_entity)?) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// A stream to a client, before or after TLS.
#[derive(Debug)]
pub(super) enum Link {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>, Option<Tap>),
}

impl Link {
    /// Performs the handshake.
    pub(super) fn secure(mut socket: Socket, config: &Arc<ServerConfig>) -> io::Result<Link> {
        let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let tap = socket.record(None);
        // Lets whole buffers of the backup service pass at once.
        session.set_buffer_limit(Some(1 << 20));
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        if session.wants_write() {
            session.complete_io(&mut socket)?;
        }
        Ok(Link::Tls(Box::new(StreamOwned::new(session, socket)), tap))
    }

    /// Returns the underlying socket.
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Link::Plain(socket) => socket,
            Link::Tls(stream, _) => &stream.sock,
        }
    }

    /// Closes the connection with a TLS close_notify. The client may have disconnected already.
    pub(super) fn close(mut self) {
        if let Link::Tls(stream, _) = &mut self {
            stream.conn.send_close_notify();
            match stream.flush() {
                Ok(()) | Err(_) => {}
            }
        }
        self.socket().cut();
    }
}

impl Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.read(buf),
            Link::Tls(stream, tap) => {
                let read = match stream.read(buf) {
                    // Not every client sends a close_notify.
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                    other => other,
                };
                match (tap, &read) {
                    (Some(tap), Ok(count)) => tap.read(&buf[..*count]),
                    (Some(tap), Err(e)) => tap.failed(e),
                    (None, _) => {}
                }
                read
            }
        }
    }
}

impl Write for Link {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(socket) => socket.write(buf),
            Link::Tls(stream, tap) => {
                let count = stream.write(buf)?;
                if let Some(tap) = tap {
                    tap.wrote(&buf[..count]);
                }
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(socket) => socket.flush(),
            Link::Tls(stream, _) => stream.flush(),
        }
    }
}
