//! What addresses have in common: parts of the Internet that one attacker may well have all of, and private networks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The /24 (IPv4) or /56 (IPv6) of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(u64);

impl Network {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => 1 << 63 | u64::from(ip.to_bits() >> 8),
            IpAddr::V6(ip) => (ip.to_bits() >> 72) as u64,
        })
    }
}

/// Whether hosts that are seen at these addresses are in one private network: behind one public address, or in it together
/// with who sees them.
pub(crate) fn are_neighbours(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let subnet = |ip: Ipv4Addr| ip.to_bits() >> 8;
            one == other || is_private_v4(one) && subnet(one) == subnet(other)
        }
        // Customers of one hoster may share a /64, and so does all of IPv4 where that is translated.
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let subnet = |ip: Ipv6Addr| ip.to_bits() >> 64;
            one == other || one.is_unique_local() && subnet(one) == subnet(other)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Whether an address means something only within a private network: RFC 1918, and what carriers use behind their NATs
/// (RFC 6598).
pub(crate) fn is_private_v4(ip: Ipv4Addr) -> bool {
    ip.is_private() || matches!(ip.octets(), [100, 64..128, ..])
}

/// How many there are of each network.
#[derive(Debug, Default)]
pub(crate) struct ByNetwork(BTreeMap<Network, usize>);

impl ByNetwork {
    pub(crate) fn count(&self, network: Network) -> usize {
        self.0.get(&network).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, network: Network) {
        *self.0.entry(network).or_default() += 1;
    }

    /// Takes one out that was added.
    pub(crate) fn remove(&mut self, network: Network) {
        if let Some(count) = self.0.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&network);
            }
        }
    }

    /// How many networks there are.
    #[cfg(any(test, feature = "__testing"))]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_subnet_share_a_network() {
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.200", true),
            ("192.0.2.1", "::ffff:192.0.2.9", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("2001:db8:1:200::1", "2001:db8:1:2ff::2", true),
            ("2001:db8:1:200::1", "2001:db8:1:300::1", false),
        ] {
            let [one, other] = [a, b].map(|ip| Network::of(ip.parse().expect("an address")));
            assert_eq!(one == other, same, "{a} {b}");
        }
    }

    #[test]
    fn neighbours_share_a_public_address_or_the_subnet_of_who_sees_them() {
        for (a, b, expected) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.168.1.2", "192.168.1.3", true),
            ("192.168.1.2", "192.168.2.2", false),
            ("10.0.0.1", "::ffff:10.0.0.2", true),
            ("172.31.0.1", "172.31.0.2", true),
            ("172.32.0.1", "172.32.0.2", false),
            ("100.64.0.1", "100.64.0.2", true),
            ("100.128.0.1", "100.128.0.2", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::2", false),
            ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2", false),
            ("fd00::1", "fd00::2", true),
            ("fd00::1", "fd00:0:0:1::1", false),
            ("192.0.2.1", "2001:db8::1", false),
        ] {
            let [one, other] = [a, b].map(|ip| ip.parse().expect("an address"));
            assert_eq!(are_neighbours(one, other), expected, "{a} {b}");
            assert_eq!(are_neighbours(other, one), expected, "{b} {a}");
        }
    }
}
