//! Finds out which phones of ours are on the network, by offering each its pair record.
//!
//! An advert is only a hint. Before a phone has proved by TLS that it has the pinned key, it is
//! asked nothing but its lockdown's type, and told nothing but the HostID.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::connector::Connector;
use super::tls::Pin;
use super::{Error, Lockdown, PairRecord, Session};
use crate::base::udid::Udid;
use crate::transport::network::{KnownPhone, Network, Owner, Sighting};
use crate::transport::{AnyStream, Attached};

/// Longest wait for adverts: phones answer within a quarter of a second, and one that wakes up for
/// it within two.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Time for which a phone that proved to be at an address is taken to be there still.
const TRUSTED_FOR: Duration = Duration::from_secs(60);
/// Longest wait for each answer of a phone that is offered a record.
const OFFER_SILENCE_MAX: Duration = Duration::from_secs(8);
/// Number of addresses that are tried in one look, whatever is advertised.
const OFFERS_MAX: usize = 64;

/// A phone that was seen but is not usable now, if it is known which, and the reason.
pub(crate) type Troubled = (Option<Udid>, Error);

/// Phones on the network.
#[derive(Debug, Default)]
pub(crate) struct Nearby {
    /// The phones of ours that proved to be there.
    pub(crate) phones: Vec<Attached>,
    /// The phones that were seen but are not usable now, each with the reason: phones whose advert
    /// names one of ours, and what answers, or does not, at an address that the user gave.
    pub(crate) troubled: Vec<Troubled>,
    /// Number of phones that are advertised and are not ours.
    pub(crate) others: usize,
}

/// Looks for those `known` phones that are on the network.
pub(crate) fn look(connector: &Connector, network: &Network, known: &[KnownPhone]) -> Nearby {
    let mut nearby = Nearby::default();
    if known.is_empty() {
        return nearby;
    }
    let mut offers = Offers {
        connector,
        network,
        records: BTreeMap::new(),
        left: OFFERS_MAX,
    };
    offers.meet(&network.given_sightings(), known, &mut nearby);
    let is_missing = |phone: &&KnownPhone| !nearby.phones.iter().any(|p| p.udid == phone.udid);
    // Whoever gave the address of the only phone need not wait for adverts.
    let missing: Vec<&KnownPhone> = known.iter().filter(is_missing).collect();
    if !missing.is_empty() {
        let all_named = |seen: &[Sighting]| {
            missing.iter().all(|phone| {
                let is_it =
                    |owner: Owner<'_>| matches!(owner, Owner::Named(p) if p.contains(phone));
                seen.iter().any(|sighting| is_it(sighting.owner(known)))
            })
        };
        let mut seen = network.heard(known, LOOK_MAX, all_named);
        // Those that name a phone of ours first: they need the fewest attempts.
        seen.sort_by_key(|sighting| !matches!(sighting.owner(known), Owner::Named(_)));
        offers.meet(&seen, known, &mut nearby);
    }
    let found = &nearby.phones;
    let is_found = |udid: &Udid| found.iter().any(|phone| phone.udid == *udid);
    for phone in known.iter().filter(|phone| !is_found(&phone.udid)) {
        network.miss(&phone.udid);
    }
    nearby
        .troubled
        .retain(|(udid, _)| !udid.as_ref().is_some_and(is_found));
    nearby
}

struct Offers<'a> {
    connector: &'a Connector,
    network: &'a Network,
    records: BTreeMap<Udid, Option<PairRecord>>,
    left: usize,
}

impl Offers<'_> {
    /// Finds out which of the `known` phones the sightings are, and adds them to `nearby`.
    fn meet(&mut self, seen: &[Sighting], known: &[KnownPhone], nearby: &mut Nearby) {
        for sighting in seen {
            let owner = sighting.owner(known);
            let is_named = matches!(owner, Owner::Named(_));
            let mut candidates: Vec<&KnownPhone> = match owner {
                Owner::Named(phones) => phones,
                Owner::Unknown => known.iter().collect(),
                Owner::Other => Vec::new(),
            };
            candidates.retain(|phone| !nearby.phones.iter().any(|p| p.udid == phone.udid));
            let network = self.network;
            let was =
                |phone: &&KnownPhone| network.placed(&phone.udid, &sighting.addresses, TRUSTED_FOR);
            if let Some(phone) = candidates.iter().find_map(was) {
                nearby.phones.push(phone);
                continue;
            }
            if candidates.is_empty() {
                nearby.others += usize::from(!is_named && sighting.advert.is_some());
                continue;
            }
            match self.make(&sighting.addresses, &candidates) {
                Ok(phone) => nearby.phones.push(phone),
                Err(Some(error)) if is_named || sighting.advert.is_none() => {
                    let only = match candidates[..] {
                        [phone] => Some(phone.udid.clone()),
                        _ => None,
                    };
                    nearby.troubled.push((only, error));
                }
                Err(_) => nearby.others += usize::from(!is_named),
            }
        }
    }

    /// Offers the records of `candidates` at each address until one is accepted. Otherwise returns
    /// the most telling error: that of a phone that knows this computer, else the first.
    fn make(
        &mut self,
        addresses: &[SocketAddr],
        candidates: &[&KnownPhone],
    ) -> Result<Attached, Option<Error>> {
        let (mut telling, mut first) = (None, None);
        for address in addresses {
            for phone in candidates {
                if self.left == 0 || self.connector.token.cancelled() {
                    return Err(telling.or(first));
                }
                self.left -= 1;
                let Some(record) = self.record(&phone.udid) else {
                    continue;
                };
                match offer(self.connector, self.network, *address, &phone.udid, &record) {
                    Ok(_) => return Ok(self.network.place(&phone.udid, *address)),
                    // Nothing answers here, so other records need not be tried.
                    Err(e @ Error::Transport(_)) => {
                        first.get_or_insert(e);
                        break;
                    }
                    Err(e) if e.is_lockdown("InvalidHostID") => {
                        first.get_or_insert(e);
                    }
                    Err(e) => telling = Some(e),
                }
            }
        }
        Err(telling.or(first))
    }

    fn record(&mut self, udid: &Udid) -> Option<PairRecord> {
        let load = || self.connector.records.load(udid).ok();
        self.records
            .entry(udid.clone())
            .or_insert_with(load)
            .clone()
    }
}

/// Offers a record to what answers at an address. Returns the encrypted lockdown of the phone,
/// which has proved to be the one of the record.
fn offer(
    connector: &Connector,
    network: &Network,
    address: SocketAddr,
    udid: &Udid,
    record: &PairRecord,
) -> Result<Lockdown<AnyStream>, Error> {
    let wire = network.dial(address, "lockdown", Some(udid.as_str()))?;
    let wire = wire.with_patience(connector.token.clone(), OFFER_SILENCE_MAX);
    let mut lockdown = Session::start(Lockdown::over(wire)?, record, Pin::PairRecord)?;
    prove(&mut lockdown, udid)?;
    Ok(lockdown)
}

/// Checks that a phone is the one whose pair record it accepted: a record may be stored under
/// another phone's name.
fn prove(lockdown: &mut Lockdown<AnyStream>, udid: &Udid) -> Result<(), Error> {
    let says = lockdown.text("UniqueDeviceID")?;
    if says
        .as_deref()
        .is_some_and(|says| says.eq_ignore_ascii_case(udid.as_str()))
    {
        return Ok(());
    }
    Err(Error::OtherPhone {
        udid: udid.to_string(),
        says: says.unwrap_or_default(),
    })
}
