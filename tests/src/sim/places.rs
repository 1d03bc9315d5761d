//! Where things are in a world, and how they move.

use std::net::{IpAddr, SocketAddr};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    nat::{Nat, NatConfig},
    network::LinkConfig,
    node::NodeId,
    topology::{Family, Host, NatId, Net},
    world::World,
};

impl World {
    /// A box between the Internet and a network of its own.
    pub fn add_nat(&mut self, name: &str, config: NatConfig) -> NatId {
        self.add_nat_in(name, config, Net::Internet)
    }

    /// A box between another network and one of its own.
    pub fn add_nat_in(&mut self, name: &str, config: NatConfig, outside: impl Into<Net>) -> NatId {
        let rng = StdRng::from_seed(self.rng().random());
        let (translates, lan) = (config.translates, config.lan);
        let make = |outer_ip| Nat::new(config, outer_ip, rng);
        self.topology
            .add_nat(name, outside.into(), translates, lan, make)
    }

    /// Moves a node into another network. It gets new addresses there, and is reached at its old ones no more.
    pub fn put(&mut self, node: NodeId, net: impl Into<Net>) {
        self.topology.move_node(node, net.into());
        self.note_addresses(node);
        self.report_addresses(node);
    }

    /// Gives a node an IPv6 address too.
    pub fn add_ipv6(&mut self, node: NodeId) {
        self.topology.take_address(node, Family::V6);
        self.note_addresses(node);
        self.report_addresses(node);
    }

    /// Leaves a node no IPv4 address.
    pub fn drop_ipv4(&mut self, node: NodeId) {
        self.topology.drop_address(node, SocketAddr::is_ipv4);
        self.note_addresses(node);
        self.report_addresses(node);
    }

    /// Gives a node another address of the same family in its network, as if a box before it had forgotten it.
    pub fn rebind(&mut self, node: NodeId, address: SocketAddr) {
        self.topology.readdress(node, address);
        self.note_addresses(node);
    }

    /// A node's address in its network: the IPv4 one, if it has both.
    pub fn address(&self, node: NodeId) -> SocketAddr {
        self.host_addresses(node)[0]
    }

    /// All of a node's addresses in its network.
    pub fn host_addresses(&self, node: NodeId) -> &[SocketAddr] {
        self.topology.addresses(node)
    }

    /// The address of a box outside, if it translates.
    pub fn outer_ip(&mut self, nat: NatId) -> Option<IpAddr> {
        self.topology.nat(nat).outer_ip
    }

    /// Has a box let everybody in to a node inside, at this port of its own, and tells where that is.
    pub fn forward_port(&mut self, nat: NatId, port: u16, node: NodeId) -> SocketAddr {
        let inner = self.address(node);
        let nat = self.topology.nat(nat);
        let outer_ip = nat.outer_ip.expect("a box that translates");
        nat.forward(port, inner);
        (outer_ip, port).into()
    }

    /// How many mappings a box has.
    pub fn mappings(&mut self, nat: NatId) -> usize {
        let now = self.now();
        self.topology.nat(nat).mappings(now)
    }

    /// Has a box forget all its mappings.
    pub fn reboot(&mut self, nat: NatId) {
        self.note(nat, format_args!("reboots"));
        self.topology.nat(nat).reboot();
    }

    /// Reboots a box, which gets another address outside.
    pub fn renumber(&mut self, nat: NatId) {
        self.reboot(nat);
        self.topology.renumber(nat);
        let ip = self.outer_ip(nat);
        self.note(nat, format_args!("is now at {ip:?}"));
    }

    /// One direction between two hosts, to be changed: the part of the way in the network where they are nearest to
    /// each other. For a node and its box that is the cable between them; for two nodes behind different boxes, the
    /// Internet between the boxes.
    pub fn link(&mut self, from: impl Into<Host>, to: impl Into<Host>) -> &mut LinkConfig {
        let (net, from, to) = self.topology.common_net(from.into(), to.into());
        self.network.link(net, from, to)
    }

    /// Cuts a host off, or reconnects it.
    pub fn set_up(&mut self, host: impl Into<Host>, up: bool) {
        let host = host.into();
        self.note(
            host,
            format_args!("is {}", if up { "up" } else { "cut off" }),
        );
        self.network.set_up(host, up);
    }

    fn note_addresses(&mut self, node: NodeId) {
        let addresses = self.host_addresses(node).to_vec();
        self.note(node, format_args!("is now at {addresses:?}"));
    }
}
