//! Clients with keys of each kind, here and elsewhere.

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use conec_core::{
    Authorities, Ca, ChannelEvent, CloseReason, CoordinatorConfig, Endpoint, ErrorCode, Identity,
    Signer, Target, Trust,
    rustls::{
        SignatureScheme,
        crypto::ring::sign::any_supported_type,
        pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer},
        sign::SigningKey,
    },
};
use conec_tests::{
    bystanders::Bystanders,
    keys,
    sim::{At, NodeId, World},
};

use crate::connecting::{home, wait_for_connected};

/// Who keeps an identity's key, and signs with it unless it is told to do otherwise.
struct Agent {
    public_key: SubjectPublicKeyInfoDer<'static>,
    key: Arc<dyn SigningKey>,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

/// What an agent does when it is asked.
#[derive(Clone, Copy)]
enum Mood {
    Signs,
    Fails,
    SignsSomethingElse,
}

impl Agent {
    fn with_key_of(identity: &Identity) -> Arc<Self> {
        let key = identity.to_pkcs8().unwrap();
        let key = PrivateKeyDer::Pkcs8(key.as_ref().to_vec().into());
        Arc::new(Self {
            public_key: identity.public_key(),
            key: any_supported_type(&key).unwrap(),
            mood: Mutex::new(Mood::Signs),
            asked: AtomicUsize::new(0),
        })
    }

    fn identity(self: &Arc<Self>) -> Identity {
        Identity::from_signer(self.clone()).unwrap()
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often it was asked since this was asked last.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl Signer for Agent {
    fn public_key(&self) -> SubjectPublicKeyInfoDer<'static> {
        self.public_key.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let message = match *self.mood.lock().unwrap() {
            Mood::Signs => message,
            Mood::Fails => return Err("the card is not there".into()),
            Mood::SignsSomethingElse => b"something else",
        };
        let signer = self.key.choose_scheme(&[
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ]);
        Ok(signer.ok_or("no scheme")?.sign(message)?)
    }
}

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

/// How a channel that does not open has ended at who was asked.
fn turned_down(world: &mut World, node: NodeId) -> CloseReason {
    world.wait_for("an end", Duration::from_secs(60), |world| {
        world.take_event(node, |event| match event.channel() {
            Some((_, ChannelEvent::Closed { reason })) => Some(*reason),
            Some(_) | None => None,
        })
    })
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
        (
            "carol",
            Agent::with_key_of(&keys::p256_identity(1)).identity(),
        ),
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

#[test]
fn a_signer_is_asked_once_for_each_handshake() {
    for identity in [keys::identity(900), keys::p256_identity(0)] {
        let agent = Agent::with_key_of(&identity);
        let mut world = World::new(3);
        let coordinator = world.add_coordinator();
        let alice = connect(&mut world, coordinator, "alice", agent.identity());
        assert_eq!(world.client_id(alice), identity.id());
        assert_eq!(agent.asked(), 1);
        let bob = connect(&mut world, coordinator, "bob", keys::p256_identity(1));
        for [from, to] in [[alice, bob], [bob, alice]] {
            talk(&mut world, from, to);
            assert_eq!(agent.asked(), 1);
        }
        world.run_for(Duration::from_secs(120));
        assert_eq!(agent.asked(), 0);
    }
}

#[test]
fn a_client_whose_signer_fails_is_told_so_and_nobody_else_is_disturbed() {
    for mood in [Mood::Fails, Mood::SignsSomethingElse] {
        let agent = Agent::with_key_of(&keys::p256_identity(0));
        let mut world = World::new(4);
        let coordinator = world.add_coordinator();
        let mut pair = Bystanders::meet(&mut world, coordinator);
        agent.set(mood);
        let alice = add(&mut world, "alice", agent.identity());
        world.start_connecting(alice, coordinator);
        let reason = world.closed(home(alice));
        assert_eq!(reason, CloseReason::Signer);
        assert!(!reason.is_permanent());
        assert_eq!(agent.asked(), 1);
        world.run_for(Duration::from_secs(15));
        assert_eq!(world.coordinator(coordinator).clients(), 2);
        world.check_client_ended(alice);
        pair.are_well(&mut world);
        // It may be there again.
        agent.set(Mood::Signs);
        connect(&mut world, coordinator, "alice", agent.identity());
        pair.are_well(&mut world);
    }
}

#[test]
fn a_channel_whose_end_does_not_sign_does_not_open_and_the_others_go_on() {
    let mut world = World::new(5);
    let coordinator = world.add_coordinator();
    let mut pair = Bystanders::meet(&mut world, coordinator);
    let agent = Agent::with_key_of(&keys::p256_identity(0));
    let alice = connect(&mut world, coordinator, "alice", agent.identity());
    let bob = connect(&mut world, coordinator, "bob", keys::identity(900));
    let [at_alice, at_bob] = talk(&mut world, alice, bob);
    for mood in [Mood::Fails, Mood::SignsSomethingElse] {
        for [from, to] in [[alice, bob], [bob, alice]] {
            agent.set(mood);
            let at = world.request_channel(from, world.client_id(to).into());
            let ends = [world.closed(at), turned_down(&mut world, to)];
            // Bob hears of it from the Coordinator, or as internal_error, and may try again.
            let (own, other) = match from == alice {
                true => (ends[0], CloseReason::Remote(ErrorCode::PeerGone)),
                false => (ends[1], CloseReason::Transport(0x150)),
            };
            assert_eq!(own, CloseReason::Signer);
            assert!(ends.contains(&other) && !other.is_permanent(), "{ends:?}");
            agent.set(Mood::Signs);
            talk(&mut world, from, to);
        }
    }
    // Nothing has happened to the first channel, nor to others.
    let stream = world.open_stream(at_alice, b"");
    world.send(stream, "still here");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "still here");
    pair.are_well(&mut world);
}

#[test]
fn a_signer_that_fails_is_not_asked_again_for_each_address() {
    let mut world = World::new(6);
    let nodes = [world.add_coordinator(), world.add_coordinator()];
    let addresses = nodes.map(|node| world.address(node));
    let agent = Agent::with_key_of(&keys::p256_identity(0));
    agent.set(Mood::Fails);
    let alice = add(&mut world, "alice", agent.identity());
    let now = world.now();
    let begun = world.client(alice).connect(now, keys::HOST, &addresses);
    begun.unwrap();
    assert_eq!(world.closed(home(alice)), CloseReason::Signer);
    world.run_for(Duration::from_secs(15));
    assert_eq!(agent.asked(), 1);
    world.check_client_ended(alice);
}

#[test]
fn a_client_that_looks_for_its_coordinator_again_waits_for_its_signer() {
    let mut world = World::new(7);
    let coordinator = world.add_coordinator();
    let agent = Agent::with_key_of(&keys::p256_identity(0));
    let mut config = world.client_config("alice");
    config.identity = agent.identity();
    config.reconnect = true;
    let alice = world.add_client_with(config);
    world.connect(alice, coordinator);
    world.crash(coordinator);
    world.run_for(Duration::from_secs(40));
    agent.set(Mood::Fails);
    world.restart_coordinator(coordinator, CoordinatorConfig::new(keys::certificate()));
    world.run_for(Duration::from_secs(60));
    // With pauses between its attempts.
    let asked = agent.asked();
    assert!((2..20).contains(&asked), "{asked} times");
    assert!(!world.client(alice).is_connected());
    agent.set(Mood::Signs);
    wait_for_connected(&mut world, alice);
}
