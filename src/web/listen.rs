//! Addresses and names of a server, and the protection of its connections.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::password::PasswordHash;
use super::tls::Certificate;

/// Address, names and protection of a server.
pub struct Listen {
    /// The address on which the server listens.
    pub address: SocketAddr,
    /// Names under which browsers know it, beside its addresses.
    pub names: Vec<String>,
    /// The password that it asks for.
    pub password: Option<PasswordHash>,
    /// The protection of the connections.
    pub protection: Protection,
}

/// Protection of the connections to a server.
pub enum Protection {
    /// Nothing: the server is reached from this computer only.
    Nothing,
    /// TLS of the server itself.
    Tls(Certificate),
    /// A proxy with one of these addresses, which speaks TLS to the browsers.
    Proxy(Vec<IpAddr>),
}

/// The reasons that a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Other computers would reach pages that ask for no password.
    #[error("other computers reach {0}, and no password protects the pages")]
    NoPassword(SocketAddr),
    /// Other computers would reach the pages without encryption.
    #[error("other computers reach {0}, and the connection is not encrypted")]
    NotEncrypted(SocketAddr),
    /// A proxy is named, and no name under which browsers know it.
    #[error("behind a proxy, the server must know the name that browsers use")]
    NoName,
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate {certificate} with the key {key}: {why}")]
    Certificate {
        /// File with the certificates.
        certificate: String,
        /// File with the key.
        key: String,
        /// The reason that they cannot be used.
        why: String,
    },
    /// The system does not let the server listen.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address that the user chose.
        address: SocketAddr,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
}

impl Listen {
    /// Returns an error if others could see the pages.
    pub(super) fn check(&self) -> Result<(), ListenError> {
        let is_own = self.address.ip().is_loopback();
        let is_proxied = matches!(self.protection, Protection::Proxy(_));
        if self.password.is_none() && (!is_own || is_proxied) {
            return Err(ListenError::NoPassword(self.address));
        }
        if !is_own && matches!(self.protection, Protection::Nothing) {
            return Err(ListenError::NotEncrypted(self.address));
        }
        if is_proxied && self.names.is_empty() {
            return Err(ListenError::NoName);
        }
        Ok(())
    }
}

/// The rules for the names by which browsers address a server.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Names and ports that are right as they are.
    whole: Vec<String>,
    /// Names that are right with any port, those that the user gave first.
    names: Vec<String>,
    /// Number of names that the user gave.
    given: usize,
    /// True if any address is right: a page elsewhere cannot have a number as its own name.
    addresses: bool,
    /// The scheme of all addresses.
    scheme: &'static str,
}

impl Hosts {
    /// Returns the names of a server that only this computer reaches.
    pub(super) fn own(port: u16) -> Hosts {
        Hosts {
            whole: vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")],
            names: Vec::new(),
            given: 0,
            addresses: false,
            scheme: "http",
        }
    }

    /// Returns the names of a server that others may reach.
    pub(super) fn of(listen: &Listen) -> Hosts {
        let proxied = matches!(listen.protection, Protection::Proxy(_));
        let mut names: Vec<String> = listen
            .names
            .iter()
            .map(|n| n.to_ascii_lowercase())
            .collect();
        let given = names.len();
        if !proxied {
            names.push("localhost".to_owned());
        }
        Hosts {
            whole: Vec::new(),
            names,
            given,
            addresses: !proxied,
            scheme: match listen.protection {
                Protection::Nothing => "http",
                _ => "https",
            },
        }
    }

    /// Returns the scheme of the addresses that browsers see.
    pub(super) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns the names that the user gave.
    pub(super) fn given(&self) -> &[String] {
        &self.names[..self.given]
    }

    /// Returns true if a Host header names this server.
    pub(super) fn has(&self, host: &str) -> bool {
        if self.whole.iter().any(|whole| whole == host) {
            return true;
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (host, None),
        };
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return false;
        }
        let number = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let is_address = match number {
            Some(number) => number.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.parse::<std::net::Ipv4Addr>().is_ok(),
        };
        let name = name.to_ascii_lowercase();
        (self.addresses && is_address) || self.names.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str, password: bool, protection: Protection, name: &str) -> Listen {
        let zeros = "0".repeat(64);
        let hash = format!("pbkdf2-sha256$1${zeros}${zeros}");
        Listen {
            address: address.parse().unwrap(),
            names: name.split_whitespace().map(str::to_owned).collect(),
            password: password.then(|| hash.parse().unwrap()),
            protection,
        }
    }

    #[test]
    fn open_servers_are_refused() {
        let proxy = || Protection::Proxy(vec!["127.0.0.1".parse().unwrap()]);
        for (address, password, protection, name, error) in [
            ("127.0.0.1:0", false, Protection::Nothing, "", None),
            ("[::1]:0", true, Protection::Nothing, "", None),
            (
                "0.0.0.0:0",
                false,
                Protection::Nothing,
                "",
                Some("no password"),
            ),
            (
                "0.0.0.0:0",
                true,
                Protection::Nothing,
                "",
                Some("not encrypted"),
            ),
            (
                "[::]:0",
                true,
                Protection::Nothing,
                "",
                Some("not encrypted"),
            ),
            (
                "192.0.2.1:0",
                true,
                Protection::Nothing,
                "a",
                Some("not encrypted"),
            ),
            ("127.0.0.1:0", false, proxy(), "a", Some("no password")),
            ("127.0.0.1:0", true, proxy(), "", Some("name that browsers")),
            ("0.0.0.0:0", true, proxy(), "a", None),
        ] {
            let checked = listen(address, password, protection, name).check();
            let text = checked.err().map(|e| e.to_string());
            match error {
                None => assert_eq!(text, None, "{address}"),
                Some(words) => assert!(text.unwrap().contains(words), "{address}"),
            }
        }
    }

    #[test]
    fn hosts_are_compared_with_names() {
        let open = Hosts::own(8080);
        let near = Hosts::of(&listen("0.0.0.0:1", true, Protection::Nothing, "Nas.local"));
        let proxy = Protection::Proxy(Vec::new());
        let far = Hosts::of(&listen("0.0.0.0:1", true, proxy, "backups.example"));
        for (host, of_open, of_near, of_far) in [
            ("127.0.0.1:8080", true, true, false),
            ("localhost:8080", true, true, false),
            ("localhost:8081", false, true, false),
            ("127.0.0.1", false, true, false),
            ("192.168.1.5:8443", false, true, false),
            ("[fd00::1]:8443", false, true, false),
            ("[fd00::1]", false, true, false),
            ("nas.local:8443", false, true, false),
            ("NAS.LOCAL", false, true, false),
            ("backups.example", false, false, true),
            ("backups.example:444", false, false, true),
            ("evil.example:8080", false, false, false),
            ("nas.local.evil.example", false, false, false),
            ("nas.local:x", false, false, false),
            ("1.2.3.4.evil.example", false, false, false),
            ("", false, false, false),
            (":8080", false, false, false),
            ("[::1", false, false, false),
            ("nas.local@evil.example", false, false, false),
        ] {
            assert_eq!(open.has(host), of_open, "{host}");
            assert_eq!(near.has(host), of_near, "{host}");
            assert_eq!(far.has(host), of_far, "{host}");
        }
    }
}
