//! Addresses and networks in the notation of administrators: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::base::ConfigError;

/// All addresses with the same first bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network(IpNet);

impl Network {
    /// Returns whether the network contains an address. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        // The parser of `ipnet` needs a slash, and has one error for all faults.
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| "it is not an IP address")?;
        let network = match prefix {
            None => IpNet::from(written),
            Some(digits) => Some(digits)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| IpNet::new(written, digits.parse().ok()?).ok())
                .ok_or("the number after the slash is not a prefix length")?,
        };
        let network = match (network, written.to_canonical()) {
            (IpNet::V6(mapped), IpAddr::V4(first)) if mapped.prefix_len() >= MAPPED => {
                IpNet::V4(Ipv4Net::new_assert(first, mapped.prefix_len() - MAPPED))
            }
            _ => network,
        };
        if network != network.trunc() {
            return Err("the address has bits after the prefix");
        }
        Ok(Self(network))
    }
}

impl FromStr for Network {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text.trim())
            .map_err(|why| ConfigError::Network { text: text.chars().take(80).collect(), why })
    }
}

/// Bits before the IPv4 address in an IPv4-mapped IPv6 address.
const MAPPED: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().expect("a network").contains(address.parse().expect("an address"))
    }

    #[test]
    fn networks_hold_what_begins_alike() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            (" 127.0.0.0/8 ", "127.9.9.9", "128.0.0.0"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(!contains("10.0.0.0/8", "::10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for bad in [
            "",
            "x",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "2001:db8::1/64",
            "::/129",
            "10.0.0/8",
            "1.2.3.4/8/8",
            "localhost",
            "::ffff:10.0.0.1/104",
            "[::1]",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }
}
