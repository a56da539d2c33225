//! Provides backup passwords to the jobs.

use crate::base::secret::Secret;
use crate::reader::Error;

/// A source of backup passwords. Called only if a password is needed.
pub trait Passwords {
    /// Returns the password of a backup, described by `of` for use in messages.
    fn backup_password(&self, of: &str) -> Result<Secret, Error>;

    /// Returns another password, because the last one did not open the backup; `None` if there is
    /// no other.
    fn another(&self, of: &str) -> Result<Option<Secret>, Error> {
        let _unused = of;
        Ok(None)
    }
}

/// A source without any password.
pub struct NoPasswords;

impl Passwords for NoPasswords {
    fn backup_password(&self, of: &str) -> Result<Secret, Error> {
        Err(Error::NoPassword {
            why: format!("{of} is encrypted, but no password was given"),
        })
    }
}

/// A source with one known password.
#[derive(Clone)]
pub struct Known(pub Secret);

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known(..)")
    }
}

impl Passwords for Known {
    fn backup_password(&self, _: &str) -> Result<Secret, Error> {
        Ok(self.0.clone())
    }
}
