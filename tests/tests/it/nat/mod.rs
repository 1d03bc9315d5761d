//! NATs and firewalls: that the simulator's behave as they are said to, and how conec fares behind them.

mod boxes;
mod clients;
mod kinds;
mod meeting;

use std::{net::SocketAddr, time::Duration};

use conec_tests::sim::{NatConfig, NatId, Net, Socket, World};

/// A socket in a network.
fn socket(world: &mut World, net: impl Into<Net>) -> Socket {
    let socket = world.add_socket();
    world.put(socket.node, net);
    socket
}

/// A box, and a socket behind it.
fn behind(world: &mut World, config: NatConfig) -> (NatId, Socket) {
    let nat = world.add_nat("nat", config);
    (nat, socket(world, nat))
}

/// Sends a datagram from one socket, and tells from where it came to the other, if it did.
fn seen(world: &mut World, from: &Socket, to: &Socket, address: SocketAddr) -> Option<SocketAddr> {
    from.send(address, "hello");
    world.run_for(Duration::from_millis(500));
    let received = world.next_received(to)?;
    assert_eq!(received.payload, b"hello");
    assert_eq!(world.next_received(to), None, "one datagram, not two");
    Some(received.source)
}

/// The same, to where the other socket really is.
fn seen_at(world: &mut World, from: &Socket, to: &Socket) -> Option<SocketAddr> {
    let address = world.address(to.node);
    seen(world, from, to, address)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
