//! The secrets of a running server: the start tokens, the cookie, and the hidden part of all
//! addresses.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;

/// Name of the cookie.
const NAME: &str = "idev_backup_session";
/// Time within which the browser that the program starts must have used its token.
const ONCE_MAX: Duration = Duration::from_secs(60);

/// The secrets of a server. They end with it.
pub(super) struct Secrets {
    /// The token of the printed address, which works until the server ends.
    token: String,
    /// The token for the browser that the program starts. It works once and for a short time: other
    /// users of the computer can see the arguments of a program.
    once: Mutex<Option<(String, Instant)>>,
    cookie: String,
    /// The first part of every path. Browsers send a cookie to all ports of a host, so a server of
    /// another program on another port would receive it; the path of the cookie prevents that.
    base: String,
}

impl Secrets {
    /// Makes random secrets.
    pub(super) fn new() -> Result<Secrets, aws_lc_rs::error::Unspecified> {
        Ok(Secrets {
            token: random()?,
            once: Mutex::new(None),
            cookie: random()?,
            base: format!("/{}", &random()?[..16]),
        })
    }

    /// Returns the first part of every path, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Returns the token that works until the server ends.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Makes a token that works once, within a minute.
    pub(super) fn make_once(&self) -> Result<String, aws_lc_rs::error::Unspecified> {
        let token = random()?;
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        *once = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    /// Returns true if the token is valid. A token that works once is then used up.
    pub(super) fn admits(&self, token: &str) -> bool {
        if same(token, &self.token) {
            return true;
        }
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        match &*once {
            Some((known, made)) if same(token, known) => {
                let is_fresh = made.elapsed() <= ONCE_MAX;
                *once = None;
                is_fresh
            }
            _ => false,
        }
    }

    /// Returns the header that gives the cookie to a browser.
    pub(super) fn set_cookie(&self) -> String {
        let (value, base) = (&self.cookie, &self.base);
        format!("{NAME}={value}; Path={base}/; HttpOnly; SameSite=Strict")
    }

    /// Returns true if a cookie header has our cookie.
    pub(super) fn is_in(&self, header: &str) -> bool {
        header
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == NAME && same(value, &self.cookie))
    }
}

fn random() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)?;
    Ok(crate::store::sums::hex(&bytes))
}

/// Compares in a time that does not depend on the contents.
fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_cookies_are_compared() {
        let secrets = Secrets::new().unwrap();
        let once = secrets.make_once().unwrap();
        assert!(secrets.admits(&once) && !secrets.admits(&once));
        let token = secrets.token().to_owned();
        assert!(secrets.admits(&token) && secrets.admits(&token));
        assert!(!secrets.admits("") && !secrets.admits(&token[1..]));
        let set = secrets.set_cookie();
        let pair = set.split(';').next().unwrap();
        assert!(secrets.is_in(pair) && secrets.is_in(&format!("a=b; {pair}")));
        assert!(!secrets.is_in(&pair[..pair.len() - 1]) && !secrets.is_in(""));
        let other = Secrets::new().unwrap();
        assert!(!other.is_in(pair) && !other.admits(&token));
    }
}
