//! NAT boxes and firewalls, in the terms of RFC 4787.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand::{Rng, rngs::StdRng};

use super::network::Packet;

/// How a box treats what passes it. IPv4 addresses are translated if `translates` says so; IPv6 addresses never are,
/// and are only filtered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatConfig {
    /// Whether inner IPv4 addresses are private, and hidden behind the one of the box. A firewall does not.
    pub translates: bool,
    /// When a new outer endpoint is made for an inner one (RFC 4787, 4.1).
    pub mapping: Dependence,
    /// From whom packets are let in, by what has gone out on the same mapping (RFC 4787, 5).
    pub filtering: Dependence,
    /// Which outer port is chosen.
    pub ports: Ports,
    /// How long a mapping lasts that nothing uses, and how long a filter remembers whom something was sent to.
    pub idle_expiry: Duration,
    /// How long a mapping lasts at most, however much it is used.
    pub lifetime: Option<Duration>,
    /// Whether what comes in keeps a mapping alive, too.
    pub inbound_refreshes: bool,
    /// What becomes of packets from inside to an outer endpoint of the box.
    pub hairpin: Hairpin,
    /// How many mappings there may be.
    pub table_size: usize,
    /// How many mappings each inner address may have.
    pub quota: usize,
    /// For how long a packet that nobody asked for spoils its way: what goes out to its source in that time gets another
    /// outer port, as connection tracking sees to.
    pub early_inbound_spoils: Option<Duration>,
    /// The only address that may be talked to, if there is such a rule.
    pub only_to: Option<IpAddr>,
    /// The first address inside, if it matters. Networks behind different boxes may use the same addresses.
    pub lan: Option<Ipv4Addr>,
}

/// On how much of the remote endpoint something depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependence {
    /// On nothing.
    EndpointIndependent,
    /// On the remote address.
    AddressDependent,
    /// On the remote address and port.
    AddressAndPortDependent,
}

/// How outer ports are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Always the inner one. Where several inner endpoints share it, the filter tells for whom a packet is.
    Preserve,
    /// The inner one where it is free, else any.
    PreserveUnlessConflict,
    /// One after the other.
    Sequential,
    /// Any.
    Random,
}

/// What becomes of packets from inside to an outer endpoint of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hairpin {
    /// They are dropped.
    None,
    /// They are delivered, and come from the sender's inner endpoint.
    InternalSource,
    /// They are delivered, and come from the sender's outer endpoint.
    ExternalSource,
}

impl NatConfig {
    /// A box that translates, with ports at random, and nothing unusual about it.
    pub fn new(mapping: Dependence, filtering: Dependence) -> Self {
        Self {
            translates: true,
            mapping,
            filtering,
            ports: Ports::Random,
            idle_expiry: Duration::from_secs(120),
            lifetime: None,
            inbound_refreshes: true,
            hairpin: Hairpin::None,
            table_size: usize::MAX,
            quota: usize::MAX,
            early_inbound_spoils: None,
            only_to: None,
            lan: None,
        }
    }

    /// What most homes have: one outer endpoint for each inner one, and nobody is let in who was not written to.
    pub fn home() -> Self {
        Self {
            ports: Ports::PreserveUnlessConflict,
            ..Self::new(
                Dependence::EndpointIndependent,
                Dependence::AddressAndPortDependent,
            )
        }
    }

    /// A box that lets everybody in.
    pub fn full_cone() -> Self {
        Self::new(
            Dependence::EndpointIndependent,
            Dependence::EndpointIndependent,
        )
    }

    /// A box that lets every port in of an address that was written to.
    pub fn address_restricted() -> Self {
        Self::new(
            Dependence::EndpointIndependent,
            Dependence::AddressDependent,
        )
    }

    /// A box that lets only those in that were written to.
    pub fn port_restricted() -> Self {
        Self::new(
            Dependence::EndpointIndependent,
            Dependence::AddressAndPortDependent,
        )
    }

    /// A box with a new outer endpoint for each remote one, at random.
    pub fn symmetric() -> Self {
        Self::new(
            Dependence::AddressAndPortDependent,
            Dependence::AddressAndPortDependent,
        )
    }

    /// What providers put in front of many homes: mappings do not live long, and each home gets only so many.
    pub fn carrier_grade() -> Self {
        Self {
            idle_expiry: Duration::from_secs(30),
            lifetime: Some(Duration::from_secs(60)),
            hairpin: Hairpin::ExternalSource,
            quota: 64,
            lan: Some(Ipv4Addr::new(100, 64, 0, 0)),
            ..Self::port_restricted()
        }
    }

    /// Not a NAT: inner addresses are public, but only those are let in that were written to.
    pub fn firewall() -> Self {
        Self {
            translates: false,
            ..Self::port_restricted()
        }
    }

    /// A network that lets UDP out to this address alone.
    pub fn only_to(address: IpAddr) -> Self {
        Self {
            only_to: Some(address),
            ..Self::port_restricted()
        }
    }
}

/// A box at work.
#[derive(Debug)]
pub(super) struct Nat {
    pub(super) config: NatConfig,
    /// Its address outside, if it translates.
    pub(super) outer_ip: Option<IpAddr>,
    mappings: Vec<Mapping>,
    /// Outer ports that somebody set up to lead to an inner endpoint.
    forwards: BTreeMap<u16, SocketAddr>,
    /// Packets that nobody asked for: where to, and where from, and until when they matter.
    spoilt: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    /// The last port of a sequence.
    last_port: u16,
    rng: StdRng,
}

#[derive(Debug)]
struct Mapping {
    inner: SocketAddr,
    outer: SocketAddr,
    scope: Scope,
    made: Instant,
    used: Instant,
    /// Whom something was sent to by way of this mapping, and when that was last of use.
    contacts: BTreeMap<SocketAddr, Instant>,
}

/// Which remote endpoints a mapping is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Address(IpAddr),
    Endpoint(SocketAddr),
}

/// What becomes of a packet from inside.
#[derive(Debug)]
pub(super) enum Outbound {
    /// It goes out, on a new mapping or on one that was there.
    Out {
        packet: Packet,
        new: bool,
    },
    /// It goes back inside.
    Back(Packet),
    Dropped(&'static str),
}

impl Nat {
    pub(super) fn new(config: NatConfig, outer_ip: Option<IpAddr>, mut rng: StdRng) -> Self {
        Self {
            config,
            outer_ip,
            mappings: Vec::new(),
            forwards: BTreeMap::new(),
            spoilt: BTreeMap::new(),
            last_port: rng.random_range(FIRST_PORT..50_000),
            rng,
        }
    }

    pub(super) fn translates(&self, ip: IpAddr) -> bool {
        self.config.translates && ip.is_ipv4()
    }

    /// Lets everybody in to an inner endpoint at this port.
    pub(super) fn forward(&mut self, port: u16, inner: SocketAddr) {
        self.forwards.insert(port, inner);
    }

    /// Forgets all that it has learnt.
    pub(super) fn reboot(&mut self) {
        self.mappings.clear();
        self.spoilt.clear();
    }

    /// How many mappings there are.
    pub(super) fn mappings(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.mappings.len()
    }

    pub(super) fn outbound(&mut self, now: Instant, mut packet: Packet) -> Outbound {
        self.expire(now);
        let (inner, remote) = (packet.source, packet.destination);
        if self.config.only_to.is_some_and(|only| only != remote.ip()) {
            return Outbound::Dropped("is not allowed out");
        }
        let (index, new) = match self.find_outbound(inner, remote) {
            Some(index) => (index, false),
            None => match self.map(now, inner, remote) {
                Ok(index) => (index, true),
                Err(why) => return Outbound::Dropped(why),
            },
        };
        let mapping = &mut self.mappings[index];
        mapping.used = now;
        mapping.contacts.insert(remote, now);
        packet.source = mapping.outer;
        if self.outer_ip == Some(remote.ip()) {
            return self.hairpin(now, packet, inner);
        }
        Outbound::Out { packet, new }
    }

    /// What gets in.
    pub(super) fn inbound(&mut self, now: Instant, mut packet: Packet) -> Option<Packet> {
        self.expire(now);
        let (remote, outer) = (packet.source, packet.destination);
        let index = self
            .find_inbound(remote, outer)
            .or_else(|| self.map_forwarded(now, remote, outer));
        let Some(index) = index else {
            if let Some(time) = self.config.early_inbound_spoils {
                self.spoilt.insert((outer, remote), now + time);
            }
            return None;
        };
        let mapping = &mut self.mappings[index];
        if self.config.inbound_refreshes {
            mapping.used = now;
            if let Some(contact) = mapping.contacts.get_mut(&remote) {
                *contact = now;
            }
        }
        packet.destination = mapping.inner;
        Some(packet)
    }

    fn hairpin(&mut self, now: Instant, packet: Packet, inner: SocketAddr) -> Outbound {
        if self.config.hairpin == Hairpin::None {
            return Outbound::Dropped("is not turned around");
        }
        match self.inbound(now, packet) {
            Some(mut packet) => {
                if self.config.hairpin == Hairpin::InternalSource {
                    packet.source = inner;
                }
                Outbound::Back(packet)
            }
            None => Outbound::Dropped("is not let in"),
        }
    }

    fn find_outbound(&self, inner: SocketAddr, remote: SocketAddr) -> Option<usize> {
        let find = |scope| {
            self.mappings
                .iter()
                .position(|mapping| mapping.inner == inner && mapping.scope == scope)
        };
        // One that was made for this way alone comes first.
        find(Scope::Endpoint(remote)).or_else(|| {
            let index = find(self.scope(remote))?;
            let mapping = &self.mappings[index];
            let spoilt = self.spoilt.contains_key(&(mapping.outer, remote))
                && !mapping.contacts.contains_key(&remote);
            (!spoilt).then_some(index)
        })
    }

    /// For whom a packet is, if anybody may have it.
    fn find_inbound(&self, remote: SocketAddr, outer: SocketAddr) -> Option<usize> {
        let lets_in = |mapping: &Mapping| match self.config.filtering {
            Dependence::EndpointIndependent => true,
            Dependence::AddressDependent => {
                let mut contacts = mapping.contacts.keys();
                contacts.any(|contact| contact.ip() == remote.ip())
            }
            Dependence::AddressAndPortDependent => mapping.contacts.contains_key(&remote),
        };
        self.mappings
            .iter()
            .enumerate()
            .filter(|(_, mapping)| mapping.outer == outer && lets_in(mapping))
            .max_by_key(|(_, mapping)| (mapping.contacts.get(&remote), mapping.used))
            .map(|(index, _)| index)
    }

    fn map(
        &mut self,
        now: Instant,
        inner: SocketAddr,
        remote: SocketAddr,
    ) -> Result<usize, &'static str> {
        let of_host = |mapping: &&Mapping| mapping.inner.ip() == inner.ip();
        if self.mappings.len() >= self.config.table_size {
            return Err("finds the table full");
        }
        if self.mappings.iter().filter(of_host).count() >= self.config.quota {
            return Err("exceeds its quota");
        }
        let general = self.scope(remote);
        // Where there is one already, this way was spoilt.
        let taken = self
            .mappings
            .iter()
            .any(|mapping| mapping.inner == inner && mapping.scope == general);
        let scope = if taken {
            Scope::Endpoint(remote)
        } else {
            general
        };
        let outer = if self.translates(inner.ip()) {
            let ip = self.outer_ip.ok_or("has no way out")?;
            let port = self.choose_port(ip, inner, remote, scope);
            SocketAddr::new(ip, port.ok_or("finds no free port")?)
        } else {
            inner
        };
        self.mappings.push(Mapping {
            inner,
            outer,
            scope,
            made: now,
            used: now,
            contacts: BTreeMap::new(),
        });
        Ok(self.mappings.len() - 1)
    }

    /// A mapping for answers to what comes to a port that is forwarded.
    fn map_forwarded(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        outer: SocketAddr,
    ) -> Option<usize> {
        let inner = *self.forwards.get(&outer.port())?;
        (self.outer_ip == Some(outer.ip())).then(|| {
            self.mappings.push(Mapping {
                inner,
                outer,
                scope: Scope::Endpoint(remote),
                made: now,
                used: now,
                contacts: BTreeMap::from([(remote, now)]),
            });
            self.mappings.len() - 1
        })
    }

    fn choose_port(
        &mut self,
        ip: IpAddr,
        inner: SocketAddr,
        remote: SocketAddr,
        scope: Scope,
    ) -> Option<u16> {
        let preserved = inner.port();
        let is_free = |port: u16| {
            let outer = SocketAddr::new(ip, port);
            let mut others = self.mappings.iter();
            !self.spoilt.contains_key(&(outer, remote))
                && !self.forwards.contains_key(&port)
                && !others.any(|mapping| mapping.outer == outer && mapping.scope.overlaps(scope))
        };
        match self.config.ports {
            Ports::Preserve => return Some(preserved),
            Ports::PreserveUnlessConflict if is_free(preserved) => return Some(preserved),
            Ports::Sequential => {
                let mut next = self.last_port;
                for _ in FIRST_PORT..u16::MAX {
                    next = next.checked_add(1).unwrap_or(FIRST_PORT);
                    if is_free(next) {
                        self.last_port = next;
                        return Some(next);
                    }
                }
                return None;
            }
            Ports::PreserveUnlessConflict | Ports::Random => {}
        }
        (0..TRIES)
            .map(|_| self.rng.random_range(FIRST_PORT..=u16::MAX))
            .find(|&port| is_free(port))
    }

    fn scope(&self, remote: SocketAddr) -> Scope {
        match self.config.mapping {
            Dependence::EndpointIndependent => Scope::All,
            Dependence::AddressDependent => Scope::Address(remote.ip()),
            Dependence::AddressAndPortDependent => Scope::Endpoint(remote),
        }
    }

    fn expire(&mut self, now: Instant) {
        let NatConfig {
            idle_expiry,
            lifetime,
            ..
        } = self.config;
        self.mappings.retain_mut(|mapping| {
            mapping.contacts.retain(|_, used| now - *used < idle_expiry);
            now - mapping.used < idle_expiry
                && lifetime.is_none_or(|lifetime| now - mapping.made < lifetime)
        });
        self.spoilt.retain(|_, until| now < *until);
    }
}

impl Scope {
    fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::Address(one), Self::Address(other)) => one == other,
            (Self::Address(address), Self::Endpoint(endpoint))
            | (Self::Endpoint(endpoint), Self::Address(address)) => endpoint.ip() == address,
            (Self::Endpoint(one), Self::Endpoint(other)) => one == other,
        }
    }
}

const FIRST_PORT: u16 = 1024;
/// How many ports are tried at random before there is said to be none.
const TRIES: usize = 1000;
