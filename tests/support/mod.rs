//! A small, separate client for tests of the simulated phone. It uses only the framing from the
//! program's protocol code.

// The bench uses only a part of the client, and panics at unexpected results.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use idev_backup::transport::plist_stream::{self, Encoding};
use plist::{Dictionary, Value};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, PublicKeyData,
    RsaKeySize, SubjectPublicKeyInfo,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

pub trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}
pub type Stream = Box<dyn Duplex>;

pub fn dict<const N: usize>(entries: [(&str, Value); N]) -> Dictionary {
    let entries = entries.into_iter();
    entries.map(|(k, v)| (k.to_owned(), v)).collect()
}

/// A paired computer.
#[derive(Clone)]
pub struct Computer {
    address: String,
    device: u64,
    host_id: String,
    pub escrow_bag: Vec<u8>,
    tls: Arc<ClientConfig>,
}

pub fn open(address: &str) -> Stream {
    #[cfg(unix)]
    if let Some(path) = address.strip_prefix("UNIX:") {
        return Box::new(std::os::unix::net::UnixStream::connect(path).unwrap());
    }
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    Box::new(stream)
}

/// Sends a usbmux request.
pub fn mux_send(stream: &mut Stream, request: Dictionary) {
    let mut bytes = vec![0; 16];
    Value::Dictionary(request)
        .to_writer_xml(&mut bytes)
        .unwrap();
    let length = bytes.len() as u32;
    for (at, word) in [length, 1, 8, 7].into_iter().enumerate() {
        bytes[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    stream.write_all(&bytes).unwrap();
}

/// Reads a usbmux message, and returns its tag and body.
pub fn mux_receive(stream: &mut Stream) -> (u32, Dictionary) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_le_bytes(header[..4].try_into().unwrap());
    let tag = u32::from_le_bytes(header[12..].try_into().unwrap());
    let mut body = vec![0; length as usize - 16];
    stream.read_exact(&mut body).unwrap();
    let body = plist::from_bytes::<Value>(&body).unwrap();
    (tag, body.into_dictionary().unwrap())
}

pub fn mux(address: &str, request: Dictionary) -> Dictionary {
    let mut stream = open(address);
    mux_send(&mut stream, request);
    mux_receive(&mut stream).1
}

/// Prefix of the address of a phone on Wi-Fi.
const WIFI: &str = "WIFI:";

/// Connects to a port of a phone. The port is sent as Apple's clients send it: with its bytes
/// swapped, as a signed number. Over Wi-Fi it connects to the port of the phone's address.
pub fn connect(address: &str, device: u64, port: u16) -> Stream {
    if let Some(lockdown) = address.strip_prefix(WIFI) {
        let mut to: SocketAddr = lockdown.parse().unwrap();
        if port != 62_078 {
            to.set_port(port);
        }
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        return Box::new(stream);
    }
    let mut stream = open(address);
    let number = i64::from(port.swap_bytes() as i16);
    mux_send(
        &mut stream,
        dict([
            ("MessageType", "Connect".into()),
            ("DeviceID", device.into()),
            ("PortNumber", number.into()),
        ]),
    );
    let (_, reply) = mux_receive(&mut stream);
    assert_eq!(reply["Number"].as_unsigned_integer(), Some(0), "{reply:?}");
    stream
}

pub fn ask(stream: &mut Stream, request: Dictionary) -> Dictionary {
    plist_stream::write(stream, &Value::Dictionary(request), Encoding::Xml).unwrap();
    let reply = plist_stream::read(stream, 1 << 20).unwrap();
    reply.into_dictionary().unwrap()
}

pub fn get(stream: &mut Stream, domain: &str, key: &str) -> Dictionary {
    ask(
        stream,
        dict([
            ("Request", "GetValue".into()),
            ("Domain", domain.into()),
            ("Key", key.into()),
        ]),
    )
}

pub fn device_ids(address: &str) -> Vec<u64> {
    let list = mux(address, dict([("MessageType", "ListDevices".into())]));
    let list = list["DeviceList"].as_array().unwrap();
    let id = |d: &Value| d.as_dictionary().unwrap()["DeviceID"].as_unsigned_integer();
    list.iter().map(|d| id(d).unwrap()).collect()
}

/// Returns a request to pair, and the computer that it pairs.
pub fn pair_request(address: &str, device: u64) -> (Dictionary, Computer) {
    let mut lockdown = connect(address, device, 62_078);
    let pem = get(&mut lockdown, "", "DevicePublicKey")["Value"].clone();
    let device_key = spki_of_pkcs1(pem.as_data().unwrap());

    let key = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let (root_key, host_key) = (key(), key());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::from_params(&params, &root_key);
    let leaf = CertificateParams::default();
    let host = leaf.signed_by(&host_key, &issuer).unwrap();
    let on_phone = leaf.signed_by(&device_key, &issuer).unwrap();

    let host_id = uuid::Uuid::new_v4().to_string().to_uppercase();
    let pem = |certificate: &rcgen::Certificate| Value::Data(certificate.pem().into_bytes());
    let record = dict([
        ("DeviceCertificate", pem(&on_phone)),
        ("HostCertificate", pem(&host)),
        ("RootCertificate", pem(&root)),
        ("HostID", host_id.as_str().into()),
        ("SystemBUID", "BUID".into()),
    ]);
    let request = dict([
        ("Request", "Pair".into()),
        ("ProtocolVersion", "2".into()),
        ("PairRecord", Value::Dictionary(record)),
    ]);
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(host_key.serialize_der()));
    let tls = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .dangerous()
    .with_custom_certificate_verifier(Arc::new(Pinned(on_phone.der().to_vec())))
    .with_client_auth_cert(vec![host.der().clone()], private)
    .unwrap();
    let computer = Computer {
        address: address.to_owned(),
        device,
        host_id,
        escrow_bag: Vec::new(),
        tls: Arc::new(tls),
    };
    (request, computer)
}

impl Computer {
    /// Pairs with a phone whose owner taps "Trust" at once.
    pub fn pair(address: &str, device: u64) -> Computer {
        let (request, mut computer) = pair_request(address, device);
        let mut lockdown = connect(address, device, 62_078);
        let reply = ask(&mut lockdown, request);
        assert!(!reply.contains_key("Error"), "{reply:?}");
        computer.escrow_bag = reply["EscrowBag"].as_data().unwrap().to_vec();
        computer
    }

    /// Returns the same computer, which reaches the phone over Wi-Fi.
    pub fn on_wifi(&self, lockdown: SocketAddr) -> Computer {
        Computer {
            address: format!("{WIFI}{lockdown}"),
            ..self.clone()
        }
    }

    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    pub fn secure(&self, stream: Stream) -> Stream {
        let name = ServerName::try_from("phone").unwrap();
        let mut session = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        session.set_buffer_limit(Some(1 << 20));
        Box::new(StreamOwned::new(session, stream))
    }

    /// Connects to lockdown, and starts a session.
    pub fn session(&self) -> Stream {
        let mut lockdown = connect(&self.address, self.device, 62_078);
        let reply = ask(
            &mut lockdown,
            dict([
                ("Request", "StartSession".into()),
                ("HostID", self.host_id.as_str().into()),
                ("SystemBUID", "BUID".into()),
            ]),
        );
        assert_eq!(reply["EnableSessionSSL"].as_boolean(), Some(true));
        self.secure(lockdown)
    }

    pub fn service(&self, name: &str) -> Stream {
        let reply = ask(
            &mut self.session(),
            dict([
                ("Request", "StartService".into()),
                ("Service", name.into()),
                ("EscrowBag", Value::Data(self.escrow_bag.clone())),
            ]),
        );
        let port = reply["Port"].as_unsigned_integer().unwrap();
        self.secure(connect(&self.address, self.device, port as u16))
    }
}

/// Wraps `RSAPublicKey` as `SubjectPublicKeyInfo`.
fn spki_of_pkcs1(pem: &[u8]) -> SubjectPublicKeyInfo {
    // The PEM parser compares only the label, so with this label it accepts PKCS #1 content.
    let text = String::from_utf8(pem.to_vec()).unwrap();
    let text = text.replace("RSA PUBLIC KEY", "PUBLIC KEY");
    let inner = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).unwrap();
    let der = |tag: u8, body: &[u8]| {
        let mut out = vec![tag];
        match body.len() {
            n @ 0..=127 => out.push(n as u8),
            n => out.extend([0x82, (n >> 8) as u8, n as u8]),
        }
        out.extend(body);
        out
    };
    let rsa = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let mut bits = vec![0];
    bits.extend(inner.as_ref());
    let mut body = der(0x30, &rsa);
    body.extend(der(3, &bits));
    let key = SubjectPublicKeyInfo::from_der(&der(0x30, &body)).unwrap();
    assert_eq!(key.der_bytes(), inner.as_ref());
    key
}

/// Accepts only this certificate.
#[derive(Debug)]
struct Pinned(Vec<u8>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = algorithms.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = algorithms.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Sends a DeviceLink message.
pub fn say(stream: &mut Stream, parts: Vec<Value>) -> io::Result<()> {
    plist_stream::write(stream, &Value::Array(parts), Encoding::Binary)
        .map_err(|e| io::Error::other(e.to_string()))
}

/// Reads a DeviceLink message.
pub fn hear(stream: &mut Stream) -> io::Result<Vec<Value>> {
    let message = plist_stream::read(stream, 64 << 20);
    let message = message.map_err(|e| io::Error::other(e.to_string()))?;
    Ok(message.into_array().unwrap())
}

pub fn answer(stream: &mut Stream, code: i64, text: &str, payload: Value) -> io::Result<()> {
    say(
        stream,
        vec![
            "DLMessageStatusResponse".into(),
            code.into(),
            text.into(),
            payload,
        ],
    )
}

/// Starts mobilebackup2 and agrees on versions.
pub fn greet(computer: &Computer) -> io::Result<Stream> {
    let mut stream = computer.service("com.apple.mobilebackup2");
    let exchange = hear(&mut stream)?;
    assert_eq!(exchange[0].as_string(), Some("DLMessageVersionExchange"));
    let version = exchange[1].clone();
    say(
        &mut stream,
        vec![
            "DLMessageVersionExchange".into(),
            "DLVersionsOk".into(),
            version,
        ],
    )?;
    assert_eq!(
        hear(&mut stream)?[0].as_string(),
        Some("DLMessageDeviceReady")
    );
    let versions = Value::Array(vec![2.0.into(), 2.1.into()]);
    process(
        &mut stream,
        dict([
            ("MessageName", "Hello".into()),
            ("SupportedProtocolVersions", versions),
        ]),
    )?;
    let hello = hear(&mut stream)?;
    let hello = hello[1].as_dictionary().unwrap();
    assert_eq!(hello["ErrorCode"].as_unsigned_integer(), Some(0));
    assert_eq!(hello["ProtocolVersion"].as_real(), Some(2.1));
    Ok(stream)
}

/// Starts mobilebackup2 and asks for a backup.
pub fn begin_backup(computer: &Computer, udid: &str, full: bool) -> io::Result<Stream> {
    let mut stream = greet(computer)?;
    process(
        &mut stream,
        dict([
            ("MessageName", "Backup".into()),
            ("TargetIdentifier", udid.into()),
            (
                "Options",
                Value::Dictionary(dict([("ForceFullBackup", full.into())])),
            ),
        ]),
    )?;
    Ok(stream)
}

pub fn process(stream: &mut Stream, message: Dictionary) -> io::Result<()> {
    say(
        stream,
        vec!["DLMessageProcessMessage".into(), Value::Dictionary(message)],
    )
}

pub fn number(stream: &mut Stream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Receives the files of an upload, and returns their number. Calls `keep` with a file's path on
/// the computer and each piece of its bytes, then with `None` and the code of the end or error.
pub fn receive_files(
    stream: &mut Stream,
    buffer: &mut Vec<u8>,
    mut keep: impl FnMut(&str, Option<&[u8]>, u8),
) -> io::Result<u64> {
    let mut count = 0;
    loop {
        let length = number(stream)?;
        if length == 0 {
            return Ok(count);
        }
        buffer.resize(length as usize, 0);
        stream.read_exact(buffer)?;
        let length = number(stream)?;
        if length > 4096 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        buffer.resize(length as usize, 0);
        stream.read_exact(buffer)?;
        let path = String::from_utf8(buffer.clone()).unwrap();
        count += 1;
        loop {
            let length = number(stream)? as usize;
            if !(1..=32_769).contains(&length) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            buffer.resize(length, 0);
            stream.read_exact(buffer)?;
            match buffer[0] {
                0x0c => keep(&path, Some(&buffer[1..]), 0x0c),
                code => {
                    keep(&path, None, code);
                    break;
                }
            }
        }
    }
}
