//! Clients with keys of each kind.

use std::time::Duration;

use conec_core::{
    Authorities, Ca, CloseReason, CoordinatorConfig, Endpoint, ErrorCode, Identity, Target, Trust,
};
use conec_tests::{
    keys,
    sim::{At, NodeId, World},
};

use crate::connecting::home;

fn add(world: &mut World, name: &str, identity: Identity) -> NodeId {
    let mut config = world.client_config(name);
    config.identity = identity;
    world.add_client_with(config)
}

fn connect(world: &mut World, coordinator: NodeId, name: &str, identity: Identity) -> NodeId {
    let client = add(world, name, identity);
    world.connect(client, coordinator);
    client
}

/// Opens a channel, on which a message and its answer pass, and both know who the other is.
fn talk(world: &mut World, from: NodeId, to: NodeId) -> [At; 2] {
    let (at_from, at_to) = world.open_channel(from, to);
    for (at, other) in [(at_from, to), (at_to, from)] {
        let peer = world.client(at.node).peer(at.channel).unwrap();
        assert_eq!(peer.id, world.client_id(other));
    }
    let ours = world.open_stream(at_from, b"");
    world.send(ours, "question");
    let theirs = world.accept_stream(at_to);
    assert_eq!(world.recv(theirs), "question");
    world.send(theirs, "answer");
    assert_eq!(world.recv(ours), "answer");
    [at_from, at_to]
}

#[test]
fn clients_with_keys_of_both_kinds_talk_to_each_other_whoever_begins() {
    let mut world = World::new(1);
    let coordinator = world.add_coordinator();
    let edwards = connect(&mut world, coordinator, "edwards", keys::identity(900));
    let nist = connect(&mut world, coordinator, "nist", keys::p256_identity(0));
    let other = connect(&mut world, coordinator, "other", keys::p256_identity(1));
    assert_eq!(world.client_id(nist), keys::p256_identity(0).id());
    for [from, to] in [
        [edwards, nist],
        [nist, edwards],
        [nist, other],
        [nist, nist],
    ] {
        talk(&mut world, from, to);
    }
    // Names are kept for keys, of whatever kind.
    let taker = add(&mut world, "nist", keys::identity(901));
    world.start_connecting(taker, coordinator);
    let taken = CloseReason::Remote(ErrorCode::NameInUse);
    assert_eq!(world.closed(home(taker)), taken);
}

#[test]
fn an_authority_vouches_for_clients_with_keys_of_each_kind() {
    const NOW: Duration = Duration::from_secs(1_800_000_000);
    let ca = Ca::generate().unwrap();
    let mut world = World::new(2);
    let certificate = ca.certify_coordinator([keys::HOST], Duration::ZERO, 2 * NOW);
    let mut config = CoordinatorConfig::new(certificate.unwrap());
    config.unix_time = NOW;
    config.authorities = Some(Authorities::new(ca.roots()));
    let coordinator = world.add_coordinator_with(config);
    let kinds = [
        ("alice", keys::identity(900)),
        ("bob", keys::p256_identity(0)),
        ("carol", keys::p256_identity(1)),
    ];
    let clients = kinds.map(|(name, identity)| {
        let mut config = world.client_config(name);
        let hour = Duration::from_secs(3600);
        let credential = ca.certify(&identity.public_key(), &name.parse().unwrap(), NOW, hour);
        config.identity = identity;
        config.name = None;
        config.trust = Trust::Roots(ca.roots());
        config.credential = Some(credential.unwrap());
        config.peers = Some(Authorities::new(ca.roots()));
        config.unix_time = NOW;
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        (client, name)
    });
    for (from, name) in clients {
        for (to, other) in clients.into_iter().filter(|&(it, _)| it != from) {
            let target = Target::Name(other.parse().unwrap());
            let at = world.request_channel(from, target);
            assert_eq!(world.opened(from), at);
            let at_other = world.opened(to);
            for (at, name) in [(at, other), (at_other, name)] {
                let peer = world.client(at.node).peer(at.channel).unwrap();
                assert_eq!(peer.certified.unwrap().name.as_str(), name);
            }
        }
    }
}
