//! The usual ways of being connected, and which of them get along.

use super::{nat::NatConfig, node::NodeId, topology::Net, world::World};

/// How a host is connected to the Internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// With an address of its own.
    Public,
    /// With an address of its own, behind a [firewall](NatConfig::firewall).
    Firewall,
    /// Behind a [full-cone NAT](NatConfig::full_cone).
    FullCone,
    /// Behind an [address-restricted NAT](NatConfig::address_restricted).
    AddressRestricted,
    /// Behind a [port-restricted NAT](NatConfig::port_restricted).
    PortRestricted,
    /// Behind a [symmetric NAT](NatConfig::symmetric) that chooses ports at random.
    Symmetric,
    /// In a network that lets UDP out to [nobody but the Coordinator](NatConfig::only_to).
    OnlyCoordinator,
}

impl Access {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Public,
        Self::Firewall,
        Self::FullCone,
        Self::AddressRestricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::OnlyCoordinator,
    ];

    /// Whether two hosts that are connected so find a direct path, if both try, know what address the Coordinator sees
    /// the other at, and guess no ports.
    pub fn can_meet(self, other: Self) -> bool {
        let column = match other {
            Self::Public => 0,
            Self::Firewall => 1,
            Self::FullCone => 2,
            Self::AddressRestricted => 3,
            Self::PortRestricted => 4,
            Self::Symmetric => 5,
            Self::OnlyCoordinator => 6,
        };
        let row = match self {
            Self::Public => b"DDDDDD-",
            Self::Firewall => b"DDDDD--",
            Self::FullCone => b"DDDDDD-",
            Self::AddressRestricted => b"DDDDDD-",
            Self::PortRestricted => b"DDDDD--",
            Self::Symmetric => b"D-DD---",
            Self::OnlyCoordinator => b"-------",
        };
        row[column] == b'D'
    }
}

impl World {
    /// Moves a node to where it is connected so, alone behind a box of its own.
    pub fn put_behind(&mut self, node: NodeId, access: Access, coordinator: NodeId) {
        let config = match access {
            Access::Public => return self.put(node, Net::Internet),
            Access::Firewall => NatConfig::firewall(),
            Access::FullCone => NatConfig::full_cone(),
            Access::AddressRestricted => NatConfig::address_restricted(),
            Access::PortRestricted => NatConfig::port_restricted(),
            Access::Symmetric => NatConfig::symmetric(),
            Access::OnlyCoordinator => NatConfig::only_to(self.address(coordinator).ip()),
        };
        let nat = self.add_nat(&format!("{access:?}"), config);
        self.put(node, nat);
    }
}
