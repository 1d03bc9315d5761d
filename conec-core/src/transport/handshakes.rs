//! Newcomers: how many there may be before they have said who they are.

use std::{collections::BTreeMap, net::IpAddr};

/// The newcomers of an entity that accepts everyone.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    total: usize,
    by_network: BTreeMap<Network, usize>,
}

/// A part of the Internet that one attacker may well have all addresses of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network(IpAddr);

/// How many links an engine accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    /// Links in all.
    pub(crate) links: usize,
    /// Newcomers.
    pub(crate) handshakes: usize,
    /// Newcomers before further ones must prove their address.
    pub(crate) handshakes_before_retry: usize,
    /// Newcomers from one network with proven addresses.
    pub(crate) handshakes_per_network: usize,
}

/// What to do with a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    /// It has to prove first that it is where it seems to be (RFC 9000, 8.1.2).
    Retry,
    /// Not even an answer.
    Ignore,
}

impl Network {
    /// The /24 (IPv4) or /56 (IPv6) of an address.
    fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                [a, b, c, 0].into()
            }
            IpAddr::V6(ip) => (ip.to_bits() >> 72 << 72).to_be_bytes().into(),
        })
    }
}

impl Handshakes {
    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.total + self.by_network.len()
    }

    /// What to do with a newcomer from this address, which it may have proved to be its own.
    pub(super) fn judge(&self, ip: IpAddr, proven: bool, limits: &Admission) -> Verdict {
        if self.total >= limits.handshakes {
            return Verdict::Ignore;
        }
        if !proven {
            return if self.total >= limits.handshakes_before_retry {
                Verdict::Retry
            } else {
                Verdict::Accept
            };
        }
        let neighbours = self.by_network.get(&Network::of(ip)).copied();
        if neighbours.unwrap_or(0) >= limits.handshakes_per_network {
            Verdict::Ignore
        } else {
            Verdict::Accept
        }
    }

    /// Counts a newcomer, until [`end`](Self::end) is told what this gives.
    pub(super) fn begin(&mut self, ip: IpAddr) -> Network {
        let network = Network::of(ip);
        self.total += 1;
        *self.by_network.entry(network).or_default() += 1;
        network
    }

    /// A newcomer is one no more.
    pub(super) fn end(&mut self, network: Network) {
        self.total -= 1;
        if let Some(count) = self.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn neighbours_share_a_network() {
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.200", true),
            ("192.0.2.1", "::ffff:192.0.2.9", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("2001:db8:1:200::1", "2001:db8:1:2ff::2", true),
            ("2001:db8:1:200::1", "2001:db8:1:300::1", false),
        ] {
            assert_eq!(Network::of(ip(a)) == Network::of(ip(b)), same, "{a} {b}");
        }
    }

    #[test]
    fn a_network_leaves_room_for_others() {
        let limits = Admission {
            links: 100,
            handshakes: 6,
            handshakes_before_retry: 3,
            handshakes_per_network: 4,
        };
        let (crowded, elsewhere) = (ip("192.0.2.1"), ip("198.51.100.1"));
        let mut handshakes = Handshakes::default();
        let mut begun = Vec::new();
        for count in 0..4 {
            let expected = if count < 3 {
                Verdict::Accept
            } else {
                Verdict::Retry
            };
            assert_eq!(handshakes.judge(crowded, false, &limits), expected);
            assert_eq!(handshakes.judge(crowded, true, &limits), Verdict::Accept);
            begun.push(handshakes.begin(crowded));
        }
        let judge = |handshakes: &Handshakes, ip| handshakes.judge(ip, true, &limits);
        assert_eq!(judge(&handshakes, crowded), Verdict::Ignore);
        assert_eq!(judge(&handshakes, elsewhere), Verdict::Accept);
        begun.push(handshakes.begin(elsewhere));
        begun.push(handshakes.begin(elsewhere));
        assert_eq!(judge(&handshakes, elsewhere), Verdict::Ignore);
        begun
            .into_iter()
            .for_each(|network| handshakes.end(network));
        assert_eq!(judge(&handshakes, crowded), Verdict::Accept);
        assert!(handshakes.by_network.is_empty());
    }
}
