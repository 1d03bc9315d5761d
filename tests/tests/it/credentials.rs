//! Clients for whom an authority vouches, to their Coordinator and to each other.

use std::{cell::Cell, time::Duration};

use bytes::Bytes;
use conec_core::{
    Authorities, Ca, Certified, ClientConfig, CloseReason, CoordinatorConfig, CoordinatorEvent,
    CredentialError, Endpoint, ErrorCode, Identity, Policy, Target, Trust,
};
use conec_tests::{
    keys,
    sim::{At, Event, NodeId, World},
};

use crate::connecting::{home, wait_for_connected};

const NOW: Duration = Duration::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// An authority, and a Coordinator that lets in nobody else than for whom it vouches.
struct Scene {
    world: World,
    ca: Ca,
    coordinator: NodeId,
    /// How many Clients there are, or may be.
    identities: Cell<u16>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        Self::with(seed, |config, ca| {
            config.authorities = Some(Authorities::new(ca.roots()));
        })
    }

    fn with(seed: u64, change: impl FnOnce(&mut CoordinatorConfig, &Ca)) -> Self {
        let ca = Ca::generate().unwrap();
        let mut world = World::new(seed);
        let certificate = ca.certify_coordinator([keys::HOST], Duration::ZERO, 2 * NOW);
        let mut config = CoordinatorConfig::new(certificate.unwrap());
        config.unix_time = NOW;
        change(&mut config, &ca);
        let coordinator = world.add_coordinator_with(config);
        Self {
            world,
            ca,
            coordinator,
            identities: Cell::new(900),
        }
    }

    /// A Client with a credential of this authority's, which wants to see one of everybody else's.
    fn config(&self, name: &str, by: &Ca) -> ClientConfig {
        let mut config = self.world.client_config(name);
        self.identities.set(self.identities.get() + 1);
        config.identity = keys::identity(self.identities.get());
        config.name = None;
        config.trust = Trust::Roots(self.ca.roots());
        config.credential = Some(credential(by, &config.identity, name, NOW));
        config.peers = Some(Authorities::new(self.ca.roots()));
        config.unix_time = NOW;
        config
    }

    fn client(&mut self, name: &str) -> NodeId {
        let config = self.config(name, &self.ca);
        self.connect(config)
    }

    fn connect(&mut self, config: ClientConfig) -> NodeId {
        let client = self.world.add_client_with(config);
        self.world.connect(client, self.coordinator);
        client
    }

    /// Why a Client is not let in.
    fn refused(&mut self, config: ClientConfig) -> CloseReason {
        let client = self.world.add_client_with(config);
        self.world.start_connecting(client, self.coordinator);
        self.world.closed(home(client))
    }

    /// How the ends of a channel that is asked for by name end.
    fn ends(&mut self, from: NodeId, to: &str) -> CloseReason {
        let target = Target::Name(to.parse().unwrap());
        let at = self.world.request_channel(from, target);
        self.world.closed(at)
    }

    fn certified(&mut self, at: At) -> Option<Certified> {
        self.world.client(at.node).peer(at.channel)?.certified
    }
}

fn credential(by: &Ca, identity: &Identity, name: &str, from: Duration) -> conec_core::Credential {
    let name = name.parse().unwrap();
    by.certify(&identity.public_key(), &name, from, HOUR)
        .unwrap()
}

#[test]
fn who_is_vouched_for_connects_under_that_name_and_is_known_by_it_to_others() {
    let mut scene = Scene::new(1);
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let name = scene.world.client(alice).name().cloned();
    assert_eq!(name, Some("alice".parse().unwrap()));
    let id = scene.world.client_id(alice);
    let known = scene.world.coordinator(scene.coordinator).info(id).unwrap();
    assert_eq!(known.certified.map(|it| it.name), name);
    let bobs = Target::Name("bob".parse().unwrap());
    let at_alice = scene.world.request_channel(alice, bobs);
    assert_eq!(scene.world.opened(alice), at_alice);
    let at_bob = scene.world.opened(bob);
    for (at, name) in [(at_alice, "bob"), (at_bob, "alice")] {
        let certified = scene.certified(at).expect("it was checked");
        assert_eq!(certified.name.as_str(), name);
    }
    let stream = scene.world.open_stream(at_alice, b"");
    scene.world.send(stream, "hello");
    let theirs = scene.world.accept_stream(at_bob);
    assert_eq!(scene.world.recv(theirs), "hello");
}

#[test]
fn who_is_not_vouched_for_is_refused_and_told_why() {
    let mut scene = Scene::new(2);
    let bystander = scene.client("bystander");
    let stranger = Ca::generate().unwrap();
    let none = {
        let mut config = scene.config("mallory", &scene.ca);
        config.credential = None;
        config
    };
    let dated = |from| {
        let mut config = scene.config("mallory", &scene.ca);
        config.credential = Some(credential(&scene.ca, &config.identity, "mallory", from));
        config
    };
    for (config, code) in [
        (none, ErrorCode::CredentialMissing),
        (scene.config("mallory", &stranger), ErrorCode::Credential),
        (dated(NOW - 2 * HOUR), ErrorCode::CredentialExpired),
        (dated(NOW + HOUR), ErrorCode::CredentialExpired),
    ] {
        assert_eq!(scene.refused(config), CloseReason::Remote(code));
    }
    assert_eq!(scene.world.coordinator(scene.coordinator).clients(), 1);
    assert_eq!(
        scene
            .world
            .coordinator(scene.coordinator)
            .stats()
            .clients_refused,
        4
    );
    assert!(scene.world.client(bystander).is_connected());
}

#[test]
fn time_goes_on_where_nobody_looks_at_the_clock() {
    let mut scene = Scene::with(9, |config, ca| {
        config.authorities = Some(Authorities::new(ca.roots()).optional());
    });
    let mut bare = scene.config("bystander", &scene.ca);
    bare.credential = None;
    scene.connect(bare);
    scene.world.run_for(3 * HOUR);
    let mut old = scene.config("old", &scene.ca);
    let mut fresh = scene.config("fresh", &scene.ca);
    fresh.credential = Some(credential(
        &scene.ca,
        &fresh.identity,
        "fresh",
        NOW + 3 * HOUR,
    ));
    old.credential = Some(credential(&scene.ca, &old.identity, "old", NOW));
    scene.connect(fresh);
    let expired = CloseReason::Remote(ErrorCode::CredentialExpired);
    assert_eq!(scene.refused(old), expired);
}

#[test]
fn who_has_the_name_of_another_needs_the_same_key() {
    let mut scene = Scene::new(3);
    scene.client("alice");
    let other = scene.config("alice", &scene.ca);
    assert_eq!(
        scene.refused(other),
        CloseReason::Remote(ErrorCode::NameInUse)
    );
}

#[test]
fn clients_check_each_other_whatever_their_coordinator_takes() {
    // It asks nobody for anything, and believes what Clients call themselves.
    let mut scene = Scene::with(4, |_, _| {});
    let stranger = Ca::generate().unwrap();
    let alice = scene.client("alice");
    let named = |scene: &Scene, name: &str, by: &Ca| {
        let mut config = scene.config(name, by);
        config.name = Some(name.parse().unwrap());
        // It would talk to anybody.
        config.peers = None;
        config
    };
    let bare = {
        let mut config = named(&scene, "bare", &scene.ca);
        config.credential = None;
        config
    };
    let posing = {
        let mut config = named(&scene, "posing", &scene.ca);
        config.credential = Some(credential(&scene.ca, &config.identity, "other", NOW));
        config
    };
    let late = {
        let mut config = named(&scene, "late", &scene.ca);
        config.credential = Some(credential(
            &scene.ca,
            &config.identity,
            "late",
            NOW - 2 * HOUR,
        ));
        config
    };
    for (config, error, code) in [
        (bare, CredentialError::Missing, ErrorCode::CredentialMissing),
        (posing, CredentialError::BadName, ErrorCode::Credential),
        (late, CredentialError::Expired, ErrorCode::CredentialExpired),
        (
            named(&scene, "strange", &stranger),
            CredentialError::UnknownIssuer,
            ErrorCode::Credential,
        ),
    ] {
        let name = config.name.clone().unwrap().to_string();
        let other = scene.connect(config);
        assert_eq!(
            scene.ends(alice, &name),
            CloseReason::Credential(error),
            "{name}"
        );
        // Who wants to talk to Alice is told as much; by its id, who poses as another is who it is.
        let target = Target::Id(scene.world.client_id(alice));
        let at = scene.world.request_channel(other, target);
        if error == CredentialError::BadName {
            let certified = scene.world.opened(alice);
            let certified = scene.certified(certified).expect("it was checked");
            assert_eq!(certified.name.as_str(), "other");
            continue;
        }
        assert_eq!(scene.world.closed(at), CloseReason::Remote(code), "{name}");
    }
    let good = named(&scene, "bob", &scene.ca);
    let bob = scene.connect(good);
    let target = Target::Name("bob".parse().unwrap());
    let at = scene.world.request_channel(alice, target);
    assert_eq!(scene.world.opened(alice), at);
    assert!(scene.certified(at).is_some());
    let at_bob = scene.world.opened(bob);
    assert_eq!(scene.certified(at_bob), None, "Bob does not ask");
}

#[test]
fn who_need_not_be_vouched_for_may_be() {
    let mut scene = Scene::with(5, |config, ca| {
        config.authorities = Some(Authorities::new(ca.roots()).optional());
    });
    let stranger = Ca::generate().unwrap();
    let bare = {
        let mut config = scene.config("bare", &scene.ca);
        config.credential = None;
        config.name = Some("bare".parse().unwrap());
        config
    };
    let bare = scene.connect(bare);
    assert!(scene.world.client(bare).is_connected());
    let bad = scene.config("mallory", &stranger);
    assert_eq!(
        scene.refused(bad),
        CloseReason::Remote(ErrorCode::Credential)
    );
}

#[test]
fn the_application_hears_what_was_proved() {
    let mut scene = Scene::with(6, |config, ca| {
        config.authorities = Some(Authorities::new(ca.roots()));
        config.admission = Policy::Ask;
    });
    let mut config = scene.config("alice", &scene.ca);
    config.name = Some("somebody-else".parse().unwrap());
    let client = scene.world.add_client_with(config);
    let coordinator = scene.coordinator;
    scene.world.start_connecting(client, coordinator);
    let asked = scene.world.wait_for("asked", HOUR, |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::ClientAsks {
                client,
                name,
                certified,
                ..
            }) => Some((*client, name.clone(), certified.clone())),
            Event::Coordinator(_) | Event::Client(_) => None,
        })
    });
    let (session, name, certified) = asked;
    assert_eq!(name, Some("alice".parse().unwrap()));
    assert_eq!(certified.map(|it| it.name), name);
    let now = scene.world.now();
    let admitted = Some("alice-2".parse().unwrap());
    scene
        .world
        .coordinator(coordinator)
        .admit(now, session, admitted.clone())
        .unwrap();
    wait_for_connected(&mut scene.world, client);
    assert_eq!(scene.world.client(client).name().cloned(), admitted);
}

#[test]
fn a_credential_for_another_key_is_a_mistake_that_is_told_at_once() {
    let scene = Scene::new(7);
    let mut config = scene.config("alice", &scene.ca);
    config.credential = Some(credential(&scene.ca, &keys::identity(999), "alice", NOW));
    let refused = conec_core::Client::new(config, [0; 32]);
    let error = refused.map(drop).unwrap_err();
    assert_eq!(error, CredentialError::OtherKey.into());
}

#[test]
fn who_does_not_ask_for_credentials_does_not_look_at_them() {
    let mut scene = Scene::with(8, |_, _| {});
    let stranger = Ca::generate().unwrap();
    let mut configs = ["alice", "bob"].map(|name| {
        let mut config = scene.config(name, &stranger);
        config.name = Some(name.parse().unwrap());
        config.peers = None;
        config
    });
    // The largest there can be.
    let mut chain = configs[0].credential.take().unwrap().chain().to_vec();
    chain.push(Bytes::from(vec![7; 6500]).to_vec().into());
    configs[0].credential = Some(conec_core::Credential::new(chain).unwrap());
    let [alice, bob] = configs.map(|config| scene.connect(config));
    let (at_alice, at_bob) = scene.world.open_channel(alice, bob);
    for at in [at_alice, at_bob] {
        assert_eq!(scene.certified(at), None);
    }
}
