//! The pair record: the keys and certificates with which a computer and a phone know each other.

use std::time::Duration;

use plist::{Dictionary, Value};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RsaKeySize, SubjectPublicKeyInfo,
};
use zeroize::Zeroizing;

use super::error::Error;
use crate::base::bounded_plist;
use crate::base::secret::{self, Secret};

/// Validity of the certificates: ten years, as in those of Apple's programs.
const VALID_DAYS: i64 = 3650;

/// Keys and identifiers shared by this computer and a phone. Private keys stay in [`Secret`] except
/// while they are used.
#[derive(Clone)]
pub struct PairRecord {
    /// The certificate for the phone's public key, PEM.
    pub device_certificate: Vec<u8>,
    /// The certificate of this computer, PEM.
    pub host_certificate: Vec<u8>,
    /// The certificate that signed both, PEM.
    pub root_certificate: Vec<u8>,
    /// The private key of this computer, PEM.
    pub host_private_key: Secret,
    /// The private key of the root certificate, PEM.
    pub root_private_key: Secret,
    /// The identifier of this pairing.
    pub host_id: String,
    /// The identifier of this computer.
    pub system_buid: String,
    /// The phone's Wi-Fi address at pairing, which identifies it on the network.
    pub wifi_mac_address: Option<String>,
    /// The key that opens the phone's files while it is locked; the phone provides it at pairing.
    pub escrow_bag: Option<Secret>,
}

impl PairRecord {
    /// Parses the property list in which usbmuxd and Apple's programs store the record.
    pub fn parse(record: &Secret) -> Result<PairRecord, Error> {
        let bad = |why: String| Error::BadRecord { why };
        let value = bounded_plist::parse(record.expose()).map_err(|e| bad(e.to_string()))?;
        let mut fields = value
            .into_dictionary()
            .ok_or_else(|| bad("it is not a dictionary".to_owned()))?;
        let mut data = |key: &str| match fields.remove(key) {
            Some(Value::Data(bytes)) => Some(bytes),
            _ => None,
        };
        let missing = |key: &str| bad(format!("it lacks {key}"));
        let record = PairRecord {
            device_certificate: data("DeviceCertificate")
                .ok_or_else(|| missing("DeviceCertificate"))?,
            host_certificate: data("HostCertificate").ok_or_else(|| missing("HostCertificate"))?,
            root_certificate: data("RootCertificate").ok_or_else(|| missing("RootCertificate"))?,
            host_private_key: Secret::new(
                data("HostPrivateKey").ok_or_else(|| missing("HostPrivateKey"))?,
            ),
            root_private_key: Secret::new(data("RootPrivateKey").unwrap_or_default()),
            escrow_bag: data("EscrowBag").map(Secret::new),
            host_id: text(&fields, "HostID").ok_or_else(|| missing("HostID"))?,
            system_buid: text(&fields, "SystemBUID").ok_or_else(|| missing("SystemBUID"))?,
            wifi_mac_address: text(&fields, "WiFiMACAddress"),
        };
        Ok(record)
    }

    /// Encodes the record as the property list that other programs read.
    pub fn to_plist(&self) -> Result<Secret, Error> {
        let mut fields = self.public_part();
        fields.insert(
            "HostPrivateKey".into(),
            Value::Data(self.host_private_key.expose().to_vec()),
        );
        fields.insert(
            "RootPrivateKey".into(),
            Value::Data(self.root_private_key.expose().to_vec()),
        );
        if let Some(bag) = &self.escrow_bag {
            fields.insert("EscrowBag".into(), Value::Data(bag.expose().to_vec()));
        }
        if let Some(address) = &self.wifi_mac_address {
            fields.insert("WiFiMACAddress".into(), address.as_str().into());
        }
        let mut bytes = Vec::with_capacity(64 << 10);
        let mut fields = Value::Dictionary(fields);
        let written = fields.to_writer_xml(&mut bytes);
        secret::wipe(&mut fields);
        written.map_err(|e| Error::BadRecord { why: e.to_string() })?;
        Ok(Secret::new(bytes))
    }

    /// Returns the fields that the phone receives, without private keys.
    pub(super) fn public_part(&self) -> Dictionary {
        let mut fields = Dictionary::new();
        fields.insert(
            "DeviceCertificate".into(),
            Value::Data(self.device_certificate.clone()),
        );
        fields.insert(
            "HostCertificate".into(),
            Value::Data(self.host_certificate.clone()),
        );
        fields.insert(
            "RootCertificate".into(),
            Value::Data(self.root_certificate.clone()),
        );
        fields.insert("HostID".into(), self.host_id.as_str().into());
        fields.insert("SystemBUID".into(), self.system_buid.as_str().into());
        fields
    }

    /// Creates keys and certificates for a phone's public key.
    pub(super) fn issue(device_public_key: &[u8], system_buid: &str) -> Result<PairRecord, Error> {
        let failed =
            |e: rcgen::Error| Error::strange("issue certificates for the phone", e.to_string());
        let new_key =
            || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(failed);
        let (root_key, host_key) = (new_key()?, new_key()?);
        let device_key =
            SubjectPublicKeyInfo::from_der(&subject_public_key_info(device_public_key)?)
                .map_err(|_| Error::strange("pair", "the phone's public key is invalid"))?;

        let root_params = params(IsCa::Ca(BasicConstraints::Unconstrained), &[]);
        let root = root_params.self_signed(&root_key).map_err(failed)?;
        let root_pem = Zeroizing::new(root_key.serialize_pem());
        let issuer = Issuer::new(root_params, root_key);
        let usages = [
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        let end = || params(IsCa::ExplicitNoCa, &usages);
        let host = end().signed_by(&host_key, &issuer).map_err(failed)?;
        let device = end().signed_by(&device_key, &issuer).map_err(failed)?;
        Ok(PairRecord {
            device_certificate: device.pem().into_bytes(),
            host_certificate: host.pem().into_bytes(),
            root_certificate: root.pem().into_bytes(),
            host_private_key: Secret::new(host_key.serialize_pem().into_bytes()),
            root_private_key: Secret::new(root_pem.as_bytes().to_vec()),
            host_id: uuid::Uuid::new_v4().to_string().to_uppercase(),
            system_buid: system_buid.to_owned(),
            wifi_mac_address: None,
            escrow_bag: None,
        })
    }
}

fn text(fields: &Dictionary, key: &str) -> Option<String> {
    fields
        .get(key)
        .and_then(Value::as_string)
        .map(str::to_owned)
}

/// Returns the parameters of a certificate: RSA-2048, empty name, version 3, ten years, SHA-256,
/// since current systems reject SHA-1 (libimobiledevice #1606).
fn params(is_ca: IsCa, usages: &[KeyUsagePurpose]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = is_ca;
    params.key_usages = usages.to_vec();
    // A certificate cannot hold a year before 1950 or after 9999.
    let now = bounded_plist::writable(std::time::SystemTime::now());
    params.not_before = now.into();
    params.not_after = (now + Duration::from_secs(VALID_DAYS as u64 * 86_400)).into();
    params
}

/// Converts the phone's public key to the form of certificates. The phone sends it as PKCS#1 (`RSA
/// PUBLIC KEY`), which certificates wrap (RFC 5280, RFC 8017):
///
/// ```text
/// SEQUENCE { SEQUENCE { OID rsaEncryption, NULL }, BIT STRING { 0, PKCS#1 bytes } }
/// ```
fn subject_public_key_info(pem: &[u8]) -> Result<Vec<u8>, Error> {
    const RSA_ENCRYPTION: [u8; 15] = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    ];
    let no_key = || Error::strange("pair", "the phone's public key cannot be read");
    let pem = pem::parse(pem).map_err(|_| no_key())?;
    match pem.tag() {
        "PUBLIC KEY" => Ok(pem.into_contents()),
        "RSA PUBLIC KEY" if pem.contents().len() < 0x1000 => {
            let mut bits = vec![0];
            bits.extend(pem.contents());
            let mut inner = RSA_ENCRYPTION.to_vec();
            inner.extend(der(0x03, &bits));
            Ok(der(0x30, &inner))
        }
        _ => Err(no_key()),
    }
}

/// Encodes one DER element: tag, length, contents (shorter than 64 KiB).
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let [high, low] = (contents.len() as u16).to_be_bytes();
    let mut element = match contents.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    element.extend(contents);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pair_record_round_trips() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let spki = key.public_key_pem();
        let record = PairRecord::issue(spki.as_bytes(), "BUID").unwrap();
        let again = PairRecord::parse(&record.to_plist().unwrap()).unwrap();
        assert_eq!(again.device_certificate, record.device_certificate);
        assert_eq!(again.host_id, record.host_id);
        assert!(again.host_private_key == record.host_private_key);
    }

    #[test]
    fn damaged_pair_record_names_missing_field() {
        let record = Secret::new(
            b"<plist><dict><key>HostID</key><string>x</string></dict></plist>".to_vec(),
        );
        let why = PairRecord::parse(&record).err().unwrap().to_string();
        assert!(why.contains("DeviceCertificate"), "{why}");
        assert!(PairRecord::parse(&Secret::new(b"\0\0".to_vec())).is_err());
    }
}
