//! Where Clients are, by proof.

use std::net::{IpAddr, SocketAddr};

use crate::{
    transport::Handshaken,
    wire::{AddressNonce, CoordinatorMessage},
};

/// Where a Client's packets come from and go to.
///
/// Anybody can send a packet with any source address, so a place comes of nothing but a proof that the Client hears what is
/// sent there: its handshake, or the echo of a [`Claim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    address: SocketAddr,
    local_ip: Option<IpAddr>,
}

/// An address that a Client seems to have moved to, and what it has to echo from there.
#[derive(Debug)]
pub(super) struct Claim {
    nonce: AddressNonce,
    address: SocketAddr,
    /// Its packets have come from elsewhere since.
    is_void: bool,
}

impl Place {
    /// Where the handshake has gone to and fro.
    pub(super) fn of_handshake(proven: &Handshaken) -> Self {
        Self {
            address: proven.remote(),
            local_ip: proven.local_ip(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of ours that the Client talks to.
    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        self.local_ip
    }

    #[cfg(test)]
    pub(super) fn test(address: SocketAddr, local_ip: IpAddr) -> Self {
        Self {
            address,
            local_ip: Some(local_ip),
        }
    }
}

impl Claim {
    /// The nonce must be unpredictable, and of no other claim.
    pub(super) fn new(nonce: AddressNonce, address: SocketAddr) -> Self {
        Self {
            nonce,
            address,
            is_void: false,
        }
    }

    /// What the Client is asked, at that address.
    pub(super) fn question(&self) -> CoordinatorMessage {
        CoordinatorMessage::ObservedAddress {
            nonce: self.nonce,
            address: self.address,
        }
    }

    /// The Client's packets come from elsewhere by now, so that its echo will prove nothing.
    pub(super) fn void(&mut self) {
        self.is_void = true;
    }

    /// Whether this is what is to be echoed.
    pub(super) fn is_of(&self, nonce: AddressNonce) -> bool {
        self.nonce == nonce
    }

    /// What becomes of a Client's place by its echo: `None` if that proves nothing, as where its packets have come from
    /// another address since.
    pub(super) fn proves(&self, seen_at: SocketAddr, before: Place) -> Option<Place> {
        let proves = !self.is_void && seen_at == self.address;
        proves.then_some(Place {
            address: self.address,
            ..before
        })
    }
}
