//! Decides whose phone an advert may be of. The answer is a hint for the order of attempts: anybody
//! can advertise anything, and only the TLS session with the pinned key proves which phone answers.

use super::advert::{Advert, Mac};
use crate::base::udid::Udid;

/// Facts of a pair record by which an advert may be recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPhone {
    /// The phone of the record.
    pub udid: Udid,
    /// The phone's Wi-Fi address at pairing. Records of some programs lack it.
    pub mac: Option<Mac>,
    /// The HostID of the record.
    pub host_id: String,
}

/// Phones that an advert may be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The Wi-Fi address, or a tag, names these.
    Named(Vec<&'a KnownPhone>),
    /// Nothing tells: each record has to be offered.
    Unknown,
    /// The phone names the computers that it is paired with, and this one is not among them.
    Other,
}

impl Advert {
    /// Returns the phones that the advert may be of. Phones that share a HostID all match a tag.
    pub fn owner<'a>(&self, known: &'a [KnownPhone]) -> Owner<'a> {
        let by_mac = |phone: &&KnownPhone| phone.mac == Some(self.mac);
        let by_tag = |phone: &&KnownPhone| self.names(&phone.host_id);
        let mut named: Vec<&KnownPhone> = known.iter().filter(by_mac).collect();
        for phone in known.iter().filter(by_tag) {
            if !named.contains(&phone) {
                named.push(phone);
            }
        }
        match (
            named.is_empty(),
            self.identifier.is_some() && !self.tags.is_empty(),
        ) {
            (false, _) => Owner::Named(named),
            (true, true) => Owner::Other,
            (true, false) => Owner::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "11111111-2222-3333-4444-555555555555";
    const IDENTIFIER: &[u8] = b"2BE6E510-0325-4365-923E-B14C6F57DB3A";

    fn phone(udid: &str, mac: Option<&str>, host_id: &str) -> KnownPhone {
        KnownPhone {
            udid: udid.parse().unwrap(),
            mac: mac.map(|mac| mac.parse().unwrap()),
            host_id: host_id.to_owned(),
        }
    }

    fn advert(mac: &str, tag: Option<&'static str>) -> Advert {
        let mut pairs = vec![("identifier", Some(IDENTIFIER))];
        pairs.extend(tag.map(|tag| ("authTag", Some(tag.as_bytes()))));
        Advert::parse(&format!("{mac}@fe80::1"), pairs).unwrap()
    }

    #[test]
    fn mac_and_tag_name_phones() {
        let known = [
            phone(
                "00008130-001A2B3C4D5E6F70",
                Some("aa:bb:cc:00:11:22"),
                "another",
            ),
            phone("00008130-000000000000002E", None, HOST),
            phone("00008130-000000000000002F", None, HOST),
        ];
        let named = |advert: &Advert| match advert.owner(&known) {
            Owner::Named(phones) => phones.iter().map(|p| p.udid.to_string()).collect(),
            other => vec![format!("{other:?}")],
        };
        let by_mac = advert("AA:BB:CC:00:11:22", None);
        assert_eq!(named(&by_mac), ["00008130-001A2B3C4D5E6F70"]);
        let by_tag = advert("02:00:00:00:00:01", Some("DNKInlok1wk="));
        let expected = ["00008130-000000000000002E", "00008130-000000000000002F"];
        assert_eq!(named(&by_tag), expected);
        // A phone that claims the address of one record and the tag of another.
        let both = advert("aa:bb:cc:00:11:22", Some("DNKInlok1wk="));
        assert_eq!(named(&both).len(), 3);
        let other = advert("02:00:00:00:00:01", Some("wZ1elcCN5RA="));
        assert_eq!(other.owner(&known), Owner::Other);
        let unknown = advert("02:00:00:00:00:01", None);
        assert_eq!(unknown.owner(&known), Owner::Unknown);
    }
}
