//! Where backup passwords come from, as the jobs see it.

use super::Error;
use crate::secret::Secret;

/// Knows the password of a backup, or asks for it. Asked only where one is needed.
pub trait Passwords {
    /// The password of the backup that is called `of` in words.
    fn backup_password(&self, of: &str) -> Result<Secret, Error>;
}

/// Nobody knows one.
pub struct NoPasswords;

impl Passwords for NoPasswords {
    fn backup_password(&self, of: &str) -> Result<Secret, Error> {
        Err(Error::NoPassword {
            why: format!("{of} is encrypted, and no password was given"),
        })
    }
}

/// This one.
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
