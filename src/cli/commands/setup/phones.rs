//! The steps of `setup` that need a phone: pairing, encryption and the first backup.

use std::time::Duration;

use idev_backup::base::progress::Monitor;
use idev_backup::device::connector::Connector;
use idev_backup::device::trust::{self, Outcome};
use idev_backup::device::{self, listing};
use idev_backup::encryption::{self, Options, Report, Wish};
use idev_backup::store::Store;
use idev_backup::transport::Attached;

use super::Setup;
use crate::cli::args::ask::agrees;
use crate::cli::failure::Failure;
use crate::cli::hints;
use crate::cli::render::encryption::{room_for_a_full_one, tell};
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};

/// Longest wait for the owner to tap Trust.
const TRUST_WAIT: Duration = Duration::from_secs(120);

/// A phone that is connected.
pub struct Phone {
    pub attached: Attached,
    /// The phone's name, or its UDID if it does not tell.
    pub name: String,
    pub is_paired: bool,
}

/// The phones that are connected.
pub struct Phones {
    /// The connection; an error if none is possible.
    pub connector: Result<Connector, Failure>,
    pub found: Vec<Phone>,
}

impl Phones {
    /// Looks for phones; `wanted` selects one of them.
    pub fn look(connector: Result<Connector, Failure>, wanted: Option<&str>) -> Phones {
        let look = |connector: &Connector| match wanted {
            Some(_) => connector.phone(wanted).map(|phone| vec![phone]),
            None => connector.phones(),
        };
        let attached = connector.as_ref().map(look);
        // Without a connection no phone is found, which the summary says.
        let attached = attached.unwrap_or(Ok(Vec::new())).unwrap_or_default();
        let devices = connector
            .as_ref()
            .map(|connector| listing::devices(connector, |_| None));
        let devices = devices.unwrap_or(Ok(Vec::new())).unwrap_or_default();
        let found = attached.into_iter().map(|attached| {
            let udid = attached.udid.as_str();
            let device = devices.iter().find(|device| device.udid == udid);
            let facts = device.and_then(|device| device.facts.as_ref());
            Phone {
                name: facts.map_or(udid, |facts| &facts.name).to_owned(),
                is_paired: device.is_some_and(|device| device.paired),
                attached,
            }
        });
        let found = found.collect();
        Phones { connector, found }
    }
}

impl Setup {
    /// Pairs with a phone and offers the encryption of its backups. Returns true if the phone can
    /// be backed up. Only an interruption is an error; anything else is reported.
    pub(super) fn prepare(
        &self,
        connector: &Connector,
        phone: &Phone,
        store: &Store,
    ) -> Result<bool, Failure> {
        let show = Show::new(Style::People);
        let watch = show.watch(Some(phone.attached.udid.as_str()), None);
        match trust::pair(connector, &phone.attached, TRUST_WAIT, &watch) {
            Ok(Outcome::Paired) => {
                watch.finish();
                output::line(&format!("{} is now paired with this computer.", phone.name));
            }
            Ok(Outcome::Already) => watch.finish(),
            Err(e) => {
                watch.finish();
                return told(e.into(), connector).map(|()| false);
            }
        }
        match self.encrypt(connector, phone, store, &watch) {
            Ok(()) => {}
            Err(e) => told(e, connector)?,
        }
        Ok(true)
    }

    /// Offers to turn on the encryption of a phone's backups, if it is off.
    fn encrypt(
        &self,
        connector: &Connector,
        phone: &Phone,
        store: &Store,
        watch: &Watch<'_>,
    ) -> Result<(), Failure> {
        let (attached, options) = (&phone.attached, Options::default());
        let now = encryption::status(connector, attached, Some(store), &options, watch)?;
        if now.encrypted != Some(false) || !self.wants_encryption(&now)? {
            return Ok(());
        }
        watch.note(room_for_a_full_one(now.store.as_ref()));
        let question = format!("New backup password of {}", now.phone.name);
        let new = self.password.chosen(&question)?;
        let wish = Wish::On { new };
        let report = encryption::change(connector, attached, Some(store), &wish, &options, watch);
        watch.finish();
        tell(&report?, attached.udid.as_str(), Style::People);
        Ok(())
    }

    fn wants_encryption(&self, now: &Report) -> Result<bool, Failure> {
        if self.encrypt || self.yes {
            return Ok(self.encrypt);
        }
        let name = output::one_line(&now.phone.name);
        output::tell("");
        output::tell(&format!(
            "{name} does not encrypt its backups. Only encrypted backups hold saved passwords, \
            Health data, call history and Safari's history. The phone keeps the password, and \
            encrypts with it all backups on every computer."
        ));
        output::tell(
            "A lost backup password cannot be recovered, neither by this program nor by Apple. \
            Without it, encrypted backups cannot be read or restored. Write it down.",
        );
        agrees("Turn on backup encryption?", false)
    }
}

/// Reports a failed step. Returns an error if the user interrupted it.
fn told(e: Failure, connector: &Connector) -> Result<(), Failure> {
    let is_cancelled = matches!(
        e,
        Failure::Interrupted | Failure::Device(device::Error::Cancelled)
    );
    if is_cancelled || connector.token.cancelled() {
        return Err(Failure::Interrupted);
    }
    super::tell_problem(&e.to_string(), hints::of(&e));
    Ok(())
}
