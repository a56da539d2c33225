//! Addresses of phones: those that a user gives, and those that a phone advertises.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::str::FromStr;

use super::LOCKDOWN_PORT;

/// Longest text of a given address: a host name has at most 253 characters, a port 5.
const TEXT_MAX: usize = 300;

/// Address of a phone that the user gives: `HOST`, `HOST:PORT`, `IPV6`, `[IPV6]:PORT`. A link-local
/// IPv6 address names its interface, as in `fe80::1%wlan0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// The error for text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it must be a host name or an IP address, with or without a port")]
pub struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Address, NotAnAddress> {
        let text = text.trim();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:%[]".contains(c);
        if text.is_empty() || text.len() > TEXT_MAX || !text.chars().all(is_plain) {
            return Err(NotAnAddress);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(NotAnAddress)?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err(NotAnAddress),
                }
            }
            // Several colons without brackets: an IPv6 address.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(NotAnAddress)?,
            None => LOCKDOWN_PORT,
        };
        let is_ipv6 = host.contains(':');
        let valid_ipv6 = || {
            let bare = host.split('%').next().unwrap_or_default();
            bare.parse::<Ipv6Addr>().is_ok()
        };
        let is_bad = host.is_empty()
            || host.contains(['[', ']'])
            || is_ipv6 && !valid_ipv6()
            || !is_ipv6 && host.contains('%');
        if is_bad {
            return Err(NotAnAddress);
        }
        Ok(Address {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        match (host.contains(':'), *port == LOCKDOWN_PORT) {
            (_, true) => f.write_str(host),
            (true, false) => write!(f, "[{host}]:{port}"),
            (false, false) => write!(f, "{host}:{port}"),
        }
    }
}

impl Address {
    /// Resolves the host. Asks the system's resolver, which may take seconds.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some((bare, scope)) = self.host.split_once('%') {
            let ip: Ipv6Addr = bare.parse().map_err(io::Error::other)?;
            let scope = interface_index(scope)?;
            return Ok(vec![SocketAddrV6::new(ip, self.port, 0, scope).into()]);
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs()?;
        Ok(found.take(super::ADDRESSES_MAX).collect())
    }
}

/// Returns the index of a network interface, given as its number or its name.
fn interface_index(scope: &str) -> io::Result<u32> {
    if let Ok(index) = scope.parse() {
        return Ok(index);
    }
    #[cfg(target_os = "linux")]
    {
        // The name must not leave the folder; `Address` admits no slash.
        let path = format!("/sys/class/net/{scope}/ifindex");
        let index = std::fs::read_to_string(path).ok();
        if let Some(index) = index.and_then(|text| text.trim().parse().ok()) {
            return Ok(index);
        }
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        // The system's resolver knows the names of interfaces.
        let found = (format!("fe80::1%{scope}"), 0).to_socket_addrs();
        for address in found.into_iter().flatten() {
            if let SocketAddr::V6(address) = address {
                return Ok(address.scope_id());
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("the network interface {scope:?} does not exist"),
    ))
}

/// Returns true if a phone can have this address. An advert may hold any, such as one of this
/// computer, to which we must not connect because of it. `loopback` permits those of a simulated
/// phone.
#[cfg(any(feature = "network", test))]
pub(crate) fn is_dialable(address: &SocketAddr, loopback: bool) -> bool {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() {
        return loopback;
    }
    let refused = ip.is_unspecified()
        || ip.is_multicast()
        || matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0);
    // A link-local address without its interface leads nowhere.
    let lacks_scope = matches!(address, SocketAddr::V6(v6)
        if v6.ip().is_unicast_link_local() && v6.scope_id() == 0);
    !refused && !lacks_scope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_known_forms() {
        for (text, host, port) in [
            ("192.168.1.20", "192.168.1.20", 62078),
            ("192.168.1.20:4000", "192.168.1.20", 4000),
            ("iphone.local", "iphone.local", 62078),
            ("Miras-iPhone.local:62078", "Miras-iPhone.local", 62078),
            ("fe80::1%wlan0", "fe80::1%wlan0", 62078),
            ("[fe80::1%3]:70", "fe80::1%3", 70),
            ("[2001:db8::7]", "2001:db8::7", 62078),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        let long = "x".repeat(400);
        for text in [
            "",
            " ",
            ":62078",
            "host:",
            "host:0",
            "host:70000",
            "host:1:2x",
            "[::1",
            "[::1]x",
            "[host",
            "a b",
            "../etc",
            "host/path",
            "fe80::1%wl/../0",
            "10.0.0.1%eth0",
            "ho\nst",
            "1:2:3",
            &long,
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text:?}");
        }
    }

    #[test]
    fn scoped_address_resolves_to_index() {
        let address: Address = "fe80::1%7".parse().unwrap();
        let resolved = address.resolve().unwrap();
        assert_eq!(resolved[0].to_string(), "[fe80::1%7]:62078");
        let unknown: Address = "fe80::1%no-such-interface".parse().unwrap();
        assert!(unknown.resolve().is_err());
    }

    #[test]
    fn only_addresses_of_others_are_dialled() {
        for (text, expected) in [
            ("10.0.0.7:1", true),
            ("169.254.3.4:1", true),
            ("[2001:db8::7]:1", true),
            ("[fe80::1%3]:1", true),
            ("[fe80::1]:1", false),
            ("127.0.0.1:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", false),
            ("0.1.2.3:1", false),
            ("[::]:1", false),
            ("224.0.0.251:1", false),
            ("[ff02::fb%3]:1", false),
            ("255.255.255.255:1", false),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(is_dialable(&address, false), expected, "{text}");
        }
        assert!(is_dialable(&"127.0.0.1:1".parse().unwrap(), true));
    }
}
