//! Access to the system's credential store: Secret Service on Linux, Keychain on macOS, Credential
//! Manager on Windows. Needs the feature `keyring`, and is used only if the user asks for it.

use idev_backup::base::secret::Secret;

use crate::cli::failure::Failure;

/// Default name of a password.
pub const NAME: &str = "backup";

pub use store::{forget, recall, remember};

#[cfg(feature = "keyring")]
mod store {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::{Failure, Secret};
    #[cfg(target_os = "macos")]
    use apple_native_keyring_store::keychain::Store;
    #[cfg(target_os = "linux")]
    use dbus_secret_service_keyring_store::Store;
    use keyring_core::api::CredentialStoreApi;
    use keyring_core::{Entry, Error as Trouble};
    #[cfg(windows)]
    use windows_native_keyring_store::Store;
    use zeroize::Zeroizing;

    /// Time that the user has to unlock the store. Without a limit, a job at night would wait
    /// forever.
    const UNLOCKING_MAX: Duration = Duration::from_secs(120);

    /// Service name of all our passwords in the store.
    const SERVICE: &str = "idev-backup";

    /// Runs an action on an entry. If it takes too long, gives up waiting: the thread ends with the
    /// program.
    fn with_entry<T: Send + 'static>(
        name: &str,
        act: impl FnOnce(Entry) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (done, ended) = channel();
        let name = name.to_owned();
        std::thread::spawn(move || {
            let entry = Store::new().and_then(|store| store.build(SERVICE, &name, None));
            // The receiver may have given up.
            drop(done.send(entry.and_then(act)));
        });
        let late = |_| Trouble::NoStorageAccess("it was not unlocked within 2 minutes".into());
        ended.recv_timeout(UNLOCKING_MAX).map_err(late)?
    }

    /// Returns the password of this name.
    pub fn recall(name: &str) -> Result<Secret, Failure> {
        let found = with_entry(name, |entry| entry.get_password());
        found
            .map(|password| Secret::new(password.into_bytes()))
            .map_err(|e| Failure::NoPassword {
                why: match e {
                    Trouble::NoEntry => format!(
                        "the credential store has no password {name:?} of idev-backup (save it \
                        with `encryption remember`)"
                    ),
                    e => cannot_be_used(&e),
                },
            })
    }

    /// Stores a password under a name, and replaces an existing one.
    pub fn remember(name: &str, password: &Secret) -> Result<(), Failure> {
        let no_text = |_| Failure::Command {
            what: "the credential store keeps only text, and the password is not text".to_owned(),
            hint: "keep it in a file that only you can read, for --password-file".to_owned(),
        };
        let text = std::str::from_utf8(password.expose()).map_err(no_text)?;
        let text = Zeroizing::new(text.to_owned());
        let kept = with_entry(name, move |entry| entry.set_password(&text));
        kept.map_err(|e| unusable(&e))
    }

    /// Removes the password of this name. Returns true if it existed.
    pub fn forget(name: &str) -> Result<bool, Failure> {
        match with_entry(name, |entry| entry.delete_credential()) {
            Ok(()) => Ok(true),
            Err(Trouble::NoEntry) => Ok(false),
            Err(e) => Err(unusable(&e)),
        }
    }

    fn cannot_be_used(why: &Trouble) -> String {
        format!("the system's credential store cannot be used: {why}")
    }

    fn unusable(why: &Trouble) -> Failure {
        Failure::Command {
            what: cannot_be_used(why),
            hint: "unlock it, or use --password-file or --password-command; on Linux, cron and \
                ssh often cannot reach it"
                .to_owned(),
        }
    }
}

#[cfg(not(feature = "keyring"))]
mod store {
    use super::{Failure, Secret};

    fn absent() -> Failure {
        Failure::Command {
            what: "this idev-backup was built without the system's credential store".to_owned(),
            hint: "build it with `cargo build --release --features keyring`, or use \
                --password-command with the system's own tool"
                .to_owned(),
        }
    }

    pub fn recall(_: &str) -> Result<Secret, Failure> {
        Err(absent())
    }

    pub fn remember(_: &str, _: &Secret) -> Result<(), Failure> {
        Err(absent())
    }

    pub fn forget(_: &str) -> Result<bool, Failure> {
        Err(absent())
    }
}
