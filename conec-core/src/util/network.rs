//! Parts of the Internet that one attacker may well have all addresses of.

use std::{collections::BTreeMap, net::IpAddr};

/// The /24 (IPv4) or /56 (IPv6) of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                [a, b, c, 0].into()
            }
            IpAddr::V6(ip) => (ip.to_bits() >> 72 << 72).to_be_bytes().into(),
        })
    }
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
    fn neighbours_share_a_network() {
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
}
