//! Who is where: networks, the boxes between them, and addresses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{nat::Nat, node::NodeId};

/// A NAT box or firewall in a [`World`](super::World).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(pub(super) usize);

/// A network. Addresses mean something within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Net {
    /// The public network.
    Internet,
    /// What is inside a box.
    Behind(NatId),
}

/// What sends and receives packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A node.
    Node(NodeId),
    /// A box.
    Nat(NatId),
}

impl From<NatId> for Net {
    fn from(nat: NatId) -> Self {
        Self::Behind(nat)
    }
}

impl From<NodeId> for Host {
    fn from(node: NodeId) -> Self {
        Self::Node(node)
    }
}

impl From<NatId> for Host {
    fn from(nat: NatId) -> Self {
        Self::Nat(nat)
    }
}

/// All places.
#[derive(Debug, Default)]
pub(super) struct Topology {
    nodes: Vec<Place>,
    nats: Vec<NatPlace>,
    /// Who gets what is sent to an address.
    owners: BTreeMap<(Net, IpAddr), Host>,
    /// How many public addresses were given out, of each family.
    public_v4: u32,
    public_v6: u16,
}

#[derive(Debug)]
struct Place {
    net: Net,
    /// At most one of each family, IPv4 first.
    addresses: Vec<SocketAddr>,
}

#[derive(Debug)]
struct NatPlace {
    name: String,
    nat: Nat,
    outside: Net,
    /// The last private address that was given out inside.
    last_inner: u32,
}

impl Topology {
    /// A node with an IPv4 address on the Internet.
    pub(super) fn add_node(&mut self) -> NodeId {
        let node = NodeId(self.nodes.len());
        self.nodes.push(Place {
            net: Net::Internet,
            addresses: Vec::new(),
        });
        self.take_address(node, Family::V4);
        node
    }

    /// A box on its way out to this network. `make` gets the address that it has there, if it translates.
    pub(super) fn add_nat(
        &mut self,
        name: &str,
        outside: Net,
        translates: bool,
        lan: Option<Ipv4Addr>,
        make: impl FnOnce(Option<IpAddr>) -> Nat,
    ) -> NatId {
        let id = NatId(self.nats.len());
        let lan = lan.unwrap_or_else(|| Ipv4Addr::new(192, 168, id.0 as u8, 0));
        let outer_ip = translates.then(|| self.allot(outside, Family::V4));
        self.nats.push(NatPlace {
            name: name.to_owned(),
            nat: make(outer_ip),
            outside,
            // The first is the box itself.
            last_inner: u32::from(lan) + 1,
        });
        if let Some(ip) = outer_ip {
            self.register(outside, ip, id.into());
        }
        id
    }

    pub(super) fn nat(&mut self, id: NatId) -> &mut Nat {
        &mut self.nats[id.0].nat
    }

    pub(super) fn nat_name(&self, id: NatId) -> &str {
        &self.nats[id.0].name
    }

    pub(super) fn outside(&self, id: NatId) -> Net {
        self.nats[id.0].outside
    }

    pub(super) fn net(&self, node: NodeId) -> Net {
        self.nodes[node.0].net
    }

    pub(super) fn addresses(&self, node: NodeId) -> &[SocketAddr] {
        &self.nodes[node.0].addresses
    }

    /// From which of its addresses a node sends to another.
    pub(super) fn source(&self, node: NodeId, to: SocketAddr) -> Option<SocketAddr> {
        let mut addresses = self.nodes[node.0].addresses.iter();
        addresses
            .find(|address| address.is_ipv4() == to.is_ipv4())
            .copied()
    }

    /// Who gets what is sent to an address in a network: its owner there, else whoever leads out.
    pub(super) fn next_hop(&self, net: Net, to: IpAddr) -> Option<Host> {
        let owner = self.owners.get(&(net, to)).copied();
        owner.or_else(|| match net {
            Net::Internet => None,
            Net::Behind(nat) => Some(nat.into()),
        })
    }

    /// Who has an address in a network.
    pub(super) fn owner(&self, net: Net, ip: IpAddr) -> Option<Host> {
        self.owners.get(&(net, ip)).copied()
    }

    /// The network in which packets between two hosts pass from one side to the other, and between which hosts there.
    pub(super) fn common_net(&self, from: Host, to: Host) -> (Net, Host, Host) {
        let others = self.way_out(to);
        self.way_out(from)
            .into_iter()
            .find_map(|(net, from)| {
                let &(_, to) = others.iter().find(|(other, _)| *other == net)?;
                Some((net, from, to))
            })
            .expect("all ways lead to the Internet")
    }

    /// Moves a node into another network, where it gets new addresses of the families that it had.
    pub(super) fn move_node(&mut self, node: NodeId, net: Net) {
        let left = std::mem::take(&mut self.nodes[node.0].addresses);
        let old = std::mem::replace(&mut self.nodes[node.0].net, net);
        for address in left {
            self.unregister(old, address.ip());
            let family = match address {
                SocketAddr::V4(_) => Family::V4,
                SocketAddr::V6(_) => Family::V6,
            };
            self.take_address(node, family);
        }
    }

    /// Gives a node an address of a family that it has none of.
    pub(super) fn take_address(&mut self, node: NodeId, family: Family) {
        let net = self.nodes[node.0].net;
        let address = SocketAddr::new(self.allot(net, family), PORT);
        self.nodes[node.0].addresses.push(address);
        self.nodes[node.0].addresses.sort_unstable();
        self.register(net, address.ip(), node.into());
    }

    /// Replaces a node's address of this family.
    pub(super) fn readdress(&mut self, node: NodeId, address: SocketAddr) {
        self.drop_address(node, |old| old.is_ipv4() == address.is_ipv4());
        self.nodes[node.0].addresses.push(address);
        self.nodes[node.0].addresses.sort_unstable();
        self.register(self.nodes[node.0].net, address.ip(), node.into());
    }

    /// Takes a node's address of one family away.
    pub(super) fn drop_address(&mut self, node: NodeId, which: impl Fn(&SocketAddr) -> bool) {
        let place = &mut self.nodes[node.0];
        let net = place.net;
        if let Some(at) = place.addresses.iter().position(which) {
            let old = place.addresses.remove(at);
            self.unregister(net, old.ip());
        }
    }

    /// Gives a box another address outside.
    pub(super) fn renumber(&mut self, id: NatId) {
        let outside = self.outside(id);
        if let Some(old) = self.nat(id).outer_ip {
            self.unregister(outside, old);
            let new = self.allot(outside, Family::V4);
            self.nat(id).outer_ip = Some(new);
            self.register(outside, new, id.into());
        }
    }

    fn way_out(&self, host: Host) -> Vec<(Net, Host)> {
        let (mut net, mut host) = match host {
            Host::Node(node) => (self.net(node), host),
            Host::Nat(nat) => (nat.into(), host),
        };
        let mut way = vec![(net, host)];
        while let Net::Behind(nat) = net {
            (net, host) = (self.outside(nat), nat.into());
            way.push((net, host));
        }
        way
    }

    /// Makes an address known in a network, and outside of it where it is not translated.
    fn register(&mut self, net: Net, ip: IpAddr, host: Host) {
        self.owners.insert((net, ip), host);
        if let Net::Behind(nat) = net
            && !self.nat(nat).translates(ip)
        {
            self.register(self.outside(nat), ip, nat.into());
        }
    }

    fn unregister(&mut self, net: Net, ip: IpAddr) {
        self.owners.remove(&(net, ip));
        if let Net::Behind(nat) = net
            && !self.nat(nat).translates(ip)
        {
            self.unregister(self.outside(nat), ip);
        }
    }

    fn allot(&mut self, net: Net, family: Family) -> IpAddr {
        match (net, family) {
            (_, Family::V6) => {
                self.public_v6 += 1;
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, self.public_v6).into()
            }
            (Net::Internet, Family::V4) => {
                self.public_v4 += 1;
                Ipv4Addr::from(FIRST_PUBLIC + self.public_v4).into()
            }
            (Net::Behind(nat), Family::V4) if !self.nat(nat).config.translates => {
                self.allot(self.outside(nat), family)
            }
            (Net::Behind(nat), Family::V4) => {
                let last = &mut self.nats[nat.0].last_inner;
                *last += 1;
                Ipv4Addr::from(*last).into()
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Family {
    V4,
    V6,
}

/// 203.0.113.0.
const FIRST_PUBLIC: u32 = 0xcb00_7100;
const PORT: u16 = 4433;
