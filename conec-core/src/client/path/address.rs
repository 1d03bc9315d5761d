//! Which addresses are told to other ends, and which of those that they tell are probed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{PathConfig, PrivateAddresses, util::is_private_v4, wire::MAX_CANDIDATES};

/// Where a Client is in the network, as far as it knows. All addresses are [canonical].
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Its own addresses, as the driver reports them.
    pub(super) hosts: Vec<SocketAddr>,
    /// Addresses at which the user says that it can be reached.
    pub(super) mapped: Vec<SocketAddr>,
    /// Where its packets come from, as the Coordinator sees it.
    pub(super) observed: Option<SocketAddr>,
    pub(super) coordinator: Option<SocketAddr>,
}

impl Surroundings {
    /// What to tell an end, the most promising first.
    pub(super) fn candidates(&self, config: &PathConfig, neighbour: bool) -> Vec<SocketAddr> {
        let mut candidates = Vec::new();
        let all = self.mapped.iter().chain(&self.observed).chain(&self.hosts);
        let tellable = |address: SocketAddr| {
            address.port() != 0
                && match scope(address.ip()) {
                    Scope::Public => true,
                    Scope::Private => allows_private(config, neighbour),
                    Scope::Loopback => config.loopback,
                    Scope::Unusable => false,
                }
        };
        for address in all.copied().filter(|&it| tellable(it)) {
            if candidates.len() < MAX_CANDIDATES && !candidates.contains(&address) {
                candidates.push(address);
            }
        }
        candidates
    }

    /// Whether an address may be probed at which the other end says that it is, or from which it was heard.
    pub(super) fn may_probe(
        &self,
        config: &PathConfig,
        neighbour: bool,
        address: SocketAddr,
    ) -> bool {
        self.may_answer(config, address)
            && match scope(address.ip()) {
                Scope::Private => allows_private(config, neighbour),
                Scope::Public | Scope::Loopback => true,
                Scope::Unusable => false,
            }
    }

    /// Whether the other end is answered at an address that it was heard from.
    pub(super) fn may_answer(&self, config: &PathConfig, address: SocketAddr) -> bool {
        let allowed = match scope(address.ip()) {
            Scope::Public => true,
            Scope::Private => config.private != PrivateAddresses::Never,
            Scope::Loopback => config.loopback,
            Scope::Unusable => false,
        };
        // Below are the services that answer strangers (DNS, NTP, ...), and no Client's port.
        allowed
            && address.port() >= MIN_PORT
            && self.coordinator != Some(address)
            && !self.is_own(address)
            && self.reaches(address)
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        let mut own = self.hosts.iter().chain(&self.observed).chain(&self.mapped);
        own.any(|&own| own == address)
    }

    /// Whether this Client has an address of that family that leads anywhere, or at least as far.
    fn reaches(&self, address: SocketAddr) -> bool {
        let mut own = self.hosts.iter().chain(&self.observed);
        own.any(|own| {
            own.is_ipv4() == address.is_ipv4()
                && match scope(own.ip()) {
                    Scope::Public | Scope::Private => true,
                    Scope::Loopback => scope(address.ip()) == Scope::Loopback,
                    Scope::Unusable => false,
                }
        })
    }
}

/// The address without what means nothing to others. IPv4 addresses may be hidden in IPv6 ones.
pub(in crate::client) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Where an address means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Public,
    Private,
    Loopback,
    /// Nowhere, to more than one host, or only on one of several links.
    Unusable,
}

fn scope(ip: IpAddr) -> Scope {
    match ip {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    match ip.octets() {
        [127, ..] => Scope::Loopback,
        // "This network", link-local, multicast, reserved and broadcast (RFC 6890).
        [0, ..] | [169, 254, ..] | [224..=255, ..] => Scope::Unusable,
        _ if is_private_v4(ip) => Scope::Private,
        _ => Scope::Public,
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Loopback,
        // IPv4 addresses in other clothes: unspecified and compatible, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] | [0x2002, ..] => Scope::Unusable,
        // Link-local, site-local and multicast.
        [0xfe80..=0xfeff, ..] | [0xff00..=0xffff, ..] => Scope::Unusable,
        // RFC 4193.
        [0xfc00..=0xfdff, ..] => Scope::Private,
        _ => Scope::Public,
    }
}

fn allows_private(config: &PathConfig, neighbour: bool) -> bool {
    match config.private {
        PrivateAddresses::Never => false,
        PrivateAddresses::SameNetwork => neighbour,
        PrivateAddresses::Always => true,
    }
}

const MIN_PORT: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn home() -> Surroundings {
        Surroundings {
            hosts: vec![
                address("192.168.1.7:5000"),
                address("[2001:db8::7]:5000"),
                address("[fd00::7]:5000"),
                address("127.0.0.1:5000"),
                address("[fe80::7]:5000"),
            ],
            mapped: vec![address("198.51.100.1:6000")],
            observed: Some(address("198.51.100.1:40000")),
            coordinator: Some(address("203.0.113.1:4433")),
        }
    }

    #[test]
    fn what_could_hit_bystanders_is_never_probed() {
        let config = PathConfig {
            private: PrivateAddresses::Always,
            ..PathConfig::default()
        };
        let here = home();
        for bad in [
            "0.0.0.0:5000",
            "0.1.2.3:5000",
            "127.0.0.1:5000",
            "169.254.1.1:5000",
            "224.0.0.1:5000",
            "239.255.255.250:5000",
            "240.0.0.1:5000",
            "255.255.255.255:5000",
            "192.0.2.1:0",
            "192.0.2.1:53",
            "192.0.2.1:1023",
            "[::]:5000",
            "[::1]:5000",
            "[::192.0.2.1]:5000",
            "[::ffff:127.0.0.1]:5000",
            "[::ffff:169.254.1.1]:5000",
            "[64:ff9b::192.0.2.1]:5000",
            "[2002:c000:201::1]:5000",
            "[fe80::1]:5000",
            "[fec0::1]:5000",
            "[ff02::1]:5000",
            // The Coordinator, and the Client itself.
            "203.0.113.1:4433",
            "198.51.100.1:40000",
            "198.51.100.1:6000",
            "192.168.1.7:5000",
        ] {
            assert!(
                !here.may_probe(&config, true, canonical(address(bad))),
                "{bad}"
            );
        }
        for good in [
            "192.0.2.1:1024",
            "203.0.113.1:4434",
            "198.51.100.1:40001",
            "[2001:db8::8]:5000",
            "10.0.0.1:5000",
            "[fd00:1::1]:5000",
        ] {
            assert!(here.may_probe(&config, false, address(good)), "{good}");
        }
    }

    #[test]
    fn private_addresses_are_for_neighbours() {
        let config = PathConfig::default();
        let here = home();
        let told = here.candidates(&config, false);
        assert_eq!(
            told,
            [
                address("198.51.100.1:6000"),
                address("198.51.100.1:40000"),
                address("[2001:db8::7]:5000"),
            ]
        );
        assert_eq!(here.candidates(&config, true).len(), 5);
        // On the same link as this Client, or not.
        for private in ["192.168.1.8:5000", "192.168.2.8:5000", "[fd00::8]:5000"] {
            assert!(!here.may_probe(&config, false, address(private)));
            assert!(here.may_probe(&config, true, address(private)));
            assert!(here.may_answer(&config, address(private)));
        }
        let never = PathConfig {
            private: PrivateAddresses::Never,
            ..PathConfig::default()
        };
        assert_eq!(here.candidates(&never, true).len(), 3);
        assert!(!here.may_probe(&never, true, address("192.168.1.8:5000")));
    }

    #[test]
    fn a_family_without_an_own_address_is_not_tried() {
        let config = PathConfig::default();
        let here = Surroundings {
            observed: Some(address("198.51.100.1:40000")),
            ..Surroundings::default()
        };
        assert!(here.may_probe(&config, false, address("192.0.2.1:5000")));
        let there = address("[2001:db8::8]:5000");
        assert!(!here.may_probe(&config, false, there));
        // Every machine has these, wherever it is.
        let here = Surroundings {
            hosts: vec![address("[::1]:5000"), address("[fe80::7]:5000")],
            ..here
        };
        assert!(!here.may_probe(&config, false, there));
        let config = PathConfig {
            loopback: true,
            ..config
        };
        assert!(!here.may_probe(&config, false, there));
        assert!(here.may_probe(&config, false, address("[::1]:5001")));
    }

    #[test]
    fn no_more_candidates_are_told_than_there_may_be() {
        let mut here = home();
        here.hosts = (1..100)
            .map(|port| SocketAddr::from(([192, 0, 2, 1], 2000 + port)))
            .collect();
        let told = here.candidates(&PathConfig::default(), true);
        assert_eq!(told.len(), MAX_CANDIDATES);
    }
}
