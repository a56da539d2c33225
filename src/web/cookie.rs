//! The secrets of a running server: the start tokens or the password, the cookies, and the hidden
//! part of all addresses.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand};

use super::login::Login;

/// Name of the cookie.
const NAME: &str = "idev_backup_session";
/// Name of the cookie over TLS. Browsers take a cookie of this prefix only from this host, over TLS
/// and for all paths, so no other server can plant one
/// (<https://www.rfc-editor.org/rfc/rfc6265bis>, section 4.1.3.2).
const SECURE_NAME: &str = "__Host-idev_backup_session";
/// Time within which the browser that the program starts must have used its token.
const ONCE_MAX: Duration = Duration::from_secs(60);

/// The secrets of a server. They end with it.
pub(super) struct Secrets {
    /// The token of the printed address, which works until the server ends.
    token: String,
    /// The token for the browser that the program starts. It works once and for a short time: other
    /// users of the computer can see the arguments of a program.
    once: Mutex<Option<(String, Instant)>>,
    /// The cookie of browsers that had a token. Unused where the server asks for a password.
    cookie: String,
    /// The password and the sessions of a server that asks for it.
    login: Option<Login>,
    /// True if browsers reach the server over TLS.
    is_secure: bool,
    /// The first part of every path. Browsers send a cookie to all ports of a host, so a server of
    /// another program on another port would receive it; the path of the cookie prevents that. It
    /// is empty where the server asks for a password: then other programs with a port of the same
    /// host can receive the cookie, over TLS only those with a certificate that the browser takes.
    base: String,
    /// The key of the values that forms carry.
    forms: hmac::Key,
}

/// A browser that may see the pages.
#[derive(Debug, Clone)]
pub(super) struct Session {
    form: String,
}

impl Session {
    /// Returns the value that the forms of this session carry.
    pub(super) fn form_value(&self) -> &str {
        &self.form
    }

    /// Returns true if a form carries this session's value.
    pub(super) fn made(&self, value: &str) -> bool {
        same(value, &self.form)
    }
}

impl Secrets {
    /// Makes random secrets for a server that asks for a password. Its addresses have no hidden
    /// part, so that people can keep them.
    pub(super) fn with_login(
        login: Login,
        is_secure: bool,
    ) -> Result<Secrets, aws_lc_rs::error::Unspecified> {
        Ok(Secrets {
            login: Some(login),
            is_secure,
            base: String::new(),
            ..Secrets::new()?
        })
    }

    /// Makes random secrets.
    pub(super) fn new() -> Result<Secrets, aws_lc_rs::error::Unspecified> {
        Ok(Secrets {
            login: None,
            is_secure: false,
            token: random()?,
            once: Mutex::new(None),
            cookie: random()?,
            base: format!("/{}", &random()?[..16]),
            forms: hmac::Key::new(hmac::HMAC_SHA256, random()?.as_bytes()),
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
        if self.login.is_some() {
            return false;
        }
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

    /// Returns the password and its sessions, if the server asks for one.
    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Returns the cookie of a browser that gave a token.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Returns a cookie for a browser that gave the password.
    pub(super) fn new_cookie(&self) -> Result<String, aws_lc_rs::error::Unspecified> {
        random()
    }

    /// Returns the header that gives a cookie to a browser.
    pub(super) fn set_cookie(&self, value: &str) -> String {
        let (name, base) = (self.name(), &self.base);
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{name}={value}; Path={base}/; HttpOnly; SameSite=Strict{secure}")
    }

    /// Returns the header that takes the cookie from a browser.
    pub(super) fn no_cookie(&self) -> String {
        format!("{}; Max-Age=0", self.set_cookie(""))
    }

    fn name(&self) -> &'static str {
        if self.is_secure { SECURE_NAME } else { NAME }
    }

    /// Returns the value of our cookie in a header.
    pub(super) fn cookie_in<'a>(&self, header: &'a str) -> Option<&'a str> {
        let mut pairs = header
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let name = self.name();
        pairs
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Returns the session whose cookie is in a header.
    pub(super) fn session(&self, header: &str) -> Option<Session> {
        let value = self.cookie_in(header)?;
        let is_known = match &self.login {
            Some(login) => login.has(value),
            None => same(value, &self.cookie),
        };
        is_known.then(|| self.session_of(value))
    }

    fn session_of(&self, cookie: &str) -> Session {
        let tag = hmac::sign(&self.forms, cookie.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        Session {
            form: crate::store::sums::hex(&bytes),
        }
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
        let set = secrets.set_cookie(secrets.cookie());
        let pair = set.split(';').next().unwrap();
        let session = secrets.session(pair).unwrap();
        let again = secrets.session(&format!("a=b; {pair}")).unwrap();
        assert!(session.made(again.form_value()) && !session.made(""));
        assert!(!pair.contains(session.form_value()));
        let cut = &pair[..pair.len() - 1];
        assert!(secrets.session(cut).is_none() && secrets.session("").is_none());
        let other = Secrets::new().unwrap();
        assert!(other.session(pair).is_none() && !other.admits(&token));
        assert!(!other.session_of(pair).made(session.form_value()));
    }
}
