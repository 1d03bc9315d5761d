//! A Coordinator that its Clients have left for another one, and that goes on as if they had not; or one that sends them where
//! they should not go.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use conec_core::{Drain, PathPolicy, Trust};
use conec_tests::{
    raw::ticket,
    sim::{Packet, Tap},
};
use rustls::RootCertStore;

use super::*;
use crate::direct::flow::{Flow, run};

/// Two Clients of Mallory's, and an honest Coordinator that they can go over to.
struct Story {
    den: Den,
    clients: [NodeId; 2],
    conns: [RawConn; 2],
    flows: Vec<Flow>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let scene = Scene::with(seed, |config| *config = honest());
        let mut den = Den::beside(scene);
        let [(alice, at_alice), (bob, at_bob)] = ["alice", "bob"].map(|name| {
            den.welcome_with(name, |config| {
                config.reconnect = true;
                config.paths.policy = PathPolicy::ProxiedOnly;
            })
        });
        Self {
            den,
            clients: [alice, bob],
            conns: [at_alice, at_bob],
            flows: Vec::new(),
        }
    }

    /// The Clients have a channel by way of Mallory, and may claim it elsewhere.
    fn open(&mut self) {
        let [alice, bob] = self.clients;
        let ids = self.clients.map(|client| self.den.id(client));
        let [at_alice, at_bob] = self.conns.clone();
        let (ours, request) = self.den.ask(alice, &at_alice, ids[1]);
        let peers = [ids[1], ids[0]];
        self.den.arrange(&Arranged {
            ends: [&at_alice, &at_bob],
            request,
            routes: ROUTES,
            peers,
        });
        assert_eq!(self.den.scene.world.opened(alice), ours);
        let theirs = self.den.scene.world.opened(bob);
        let end = Offer {
            request: None,
            role: 0,
            own_route: ROUTES[0],
            peer_route: ROUTES[1],
            channel: 7,
            peer: ids[1],
            peer_name: Vec::new(),
            label: b"test".to_vec(),
        };
        let ends = [end.clone(), end.mirrored(ids[0])];
        for ((conn, id), end) in self.conns.iter().zip(ids).zip(&ends) {
            let ticket = ticket::seal(&KEY, 0, id, end);
            conn.control(&message::ticket(end.own_route, &ticket));
        }
        self.flow(ours, theirs);
    }

    /// Something is under way in either direction from now on.
    fn flow(&mut self, ours: At, theirs: At) {
        let world = &mut self.den.scene.world;
        let pace = Duration::from_millis(50);
        self.flows = [(ours, theirs), (theirs, ours)]
            .map(|(from, to)| Flow::paced(world, from, to, 100, pace))
            .into();
    }

    fn pass(&mut self, time: Duration) {
        run(&mut self.den.scene.world, &mut self.flows, time);
    }

    /// A Client is told to go over to the honest Coordinator, and does.
    fn send_away(&mut self, who: usize) {
        let to = (keys::HOST, self.den.scene.coordinator_address());
        self.conns[who].control(&message::draining(0, &[to]));
        let id = self.den.id(self.clients[who]);
        for _ in 0..100 {
            self.pass(Duration::from_millis(10));
            if self.honest_coordinator().find(id).is_some() {
                return;
            }
        }
        panic!("it does not go");
    }

    fn mallory(&self) -> SocketAddr {
        self.den.scene.world.address(self.den.scene.mallory)
    }

    fn honest_coordinator(&mut self) -> &mut conec_core::Coordinator {
        let coordinator = self.den.scene.coordinator;
        self.den.scene.world.coordinator(coordinator)
    }

    /// Everything has arrived, in order, and without a pause of this length since then.
    fn has_arrived(&mut self, since: Duration, pause: Duration) {
        for flow in &mut self.flows {
            flow.drain(&mut self.den.scene.world);
            let longest = flow.longest_pause(since);
            assert!(longest < pause, "{longest:?}");
        }
    }
}

fn honest() -> CoordinatorConfig {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.ticket_key = Some(KEY.into());
    config
}

#[test]
fn what_a_former_coordinator_says_to_who_has_left_it_has_no_effect() {
    let mut story = Story::new(60);
    story.open();
    story.pass(secs(1));
    let begin = story.den.scene.world.elapsed();
    let mallory = story.mallory();
    let lie = |conn: &RawConn, route: Route| {
        conn.control(&message::resumed(route));
        conn.control(&message::ticket(route, b"no ticket"));
        conn.control(&message::channel_closed(route, 8));
        conn.control(&message::draining(0, &[(keys::HOST, mallory)]));
        conn.control(&message::neighbour(route, true));
        conn.control(&message::start(route));
        conn.control(&message::welcome(b"", mallory));
    };
    // It does not hear that it is left: nothing of what Clients say to it, but what it forwards.
    let raw = story.den.scene.raw.clone();
    raw.filter_incoming(|packet| route_of(packet).is_some());
    let tap = Tap::default();
    story.den.scene.world.network.tap = Some(tap.clone());
    // Alice has left, Bob has not.
    story.send_away(0);
    let left = tap.len();
    let [at_alice, at_bob] = story.conns.clone();
    for _ in 0..5 {
        lie(&at_alice, ROUTES[0]);
        story.pass(Duration::from_millis(100));
    }
    story.send_away(1);
    for _ in 0..100 {
        lie(&at_alice, ROUTES[0]);
        lie(&at_bob, ROUTES[1]);
        story.pass(Duration::from_millis(100));
    }
    // It was heard, and in vain.
    let place = story.den.scene.world.address(story.clients[0]);
    let is_said = |packet: &Packet| {
        let is_forwarded = route_of(&packet.payload).is_some();
        packet.source == mallory && packet.destination == place && !is_forwarded
    };
    let after = (left..tap.len()).filter_map(|index| tap.get(index));
    let said = after.filter(is_said).count();
    assert!(said > 10, "{said}");
    story.has_arrived(begin, Duration::from_millis(500));
    assert_eq!(story.honest_coordinator().stats().tickets_refused, 0);
    story.den.scene.all_is_well(&[]);

    // What counts is the tickets of the present one: with those, the channel outlives that too.
    let (coordinator, world) = (story.den.scene.coordinator, &mut story.den.scene.world);
    world.crash(coordinator);
    world.restart_coordinator(coordinator, honest());
    for flow in &mut story.flows {
        flow.resume(&story.den.scene.world);
    }
    story.pass(secs(10));
    let now = story.den.scene.world.elapsed();
    story.has_arrived(now - secs(3), secs(1));
}

/// It forwards nothing in order, everything twice, and again what is long over.
#[test]
fn packets_that_a_former_coordinator_keeps_and_sends_again_are_no_news() {
    let mut story = Story::new(61);
    story.open();
    let raw = story.den.scene.raw.clone();
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keeper = Rc::clone(&kept);
    raw.filter_incoming(move |packet| {
        let is_routed = route_of(packet).is_some();
        if is_routed {
            keeper.borrow_mut().push(packet.to_vec());
        }
        !is_routed
    });
    let mut old = Vec::new();
    let mut forward = |story: &mut Story| {
        story.pass(Duration::from_millis(20));
        let mut latest: Vec<Vec<u8>> = kept.take();
        latest.reverse();
        let places = story.clients.map(|it| story.den.scene.world.address(it));
        let again = old.iter().rev().step_by(7).take(20).cloned();
        for packet in latest.iter().chain(&latest).cloned().chain(again) {
            let whose = ROUTES.iter().position(|&it| route_of(&packet) == Some(it));
            raw.send_to(places[whose.expect("of the channel")], &packet);
        }
        old.extend(latest);
    };
    let mut after = Duration::ZERO;
    for round in 0..300 {
        forward(&mut story);
        match round {
            50 => story.send_away(0),
            100 => story.send_away(1),
            150 => after = story.den.scene.world.elapsed(),
            _ => {}
        }
    }
    assert!(old.len() > 100, "{}", old.len());
    story.has_arrived(after, Duration::from_millis(500));
    story.den.scene.all_is_well(&[]);
}

#[test]
fn who_has_gone_over_sends_nothing_by_way_of_its_former_coordinator_later() {
    let mut story = Story::new(62);
    story.send_away(0);
    story.send_away(1);
    let [alice, bob] = story.clients;
    let world = &mut story.den.scene.world;
    let id = world.client_id(bob);
    let ours = world.request_channel(alice, Target::Id(id));
    // Of their present home channels they are told as well.
    while world.opened(alice) != ours {}
    let home = world.client(bob).home();
    let theirs = std::iter::repeat_with(|| world.opened(bob)).find(|at| at.channel != home);
    let theirs = theirs.expect("without end");
    story.flow(ours, theirs);
    story.pass(secs(1));
    let tap = Tap::default();
    let (coordinator, world) = (story.den.scene.coordinator, &mut story.den.scene.world);
    world.network.tap = Some(tap.clone());
    world.crash(coordinator);
    world.restart_coordinator(coordinator, honest());
    story.pass(secs(10));
    let now = story.den.scene.world.elapsed();
    story.has_arrived(now - secs(3), secs(1));
    let mallory = story.mallory();
    let strays = tap.count(|it| it.destination == mallory && route_of(&it.payload).is_some());
    assert_eq!(strays, 0);
}

/// As everywhere where many trust the same roots: who has a name gets a certificate for it.
#[test]
fn nobody_is_sent_to_who_is_vouched_for_under_another_name() {
    let mut world = World::new(63);
    let (own, roots) = keys::certificate_with(1);
    let (others, more_roots) = keys::certificate_for("other.test", 2);
    let mut trusted = RootCertStore::clone(&roots);
    trusted.roots.extend(more_roots.roots.iter().cloned());
    let of = |certificate| CoordinatorConfig::new(certificate);
    let [former, next, stranger] = [own.clone(), own.clone(), others]
        .map(|certificate| world.add_coordinator_with(of(certificate)));
    let mut config = world.client_config("alice");
    config.trust = Trust::Roots(Arc::new(trusted));
    config.reconnect = true;
    let alice = world.add_client_with(config);
    world.connect(alice, former);
    let mut drain = Drain::default();
    drain.spread = Duration::ZERO;
    drain.alternatives = vec![("other.test".into(), world.address(stranger))];
    let now = world.now();
    world.coordinator(former).drain(now, &drain);
    let there = |world: &mut World| {
        world.run_for(secs(10));
        [former, next, stranger].map(|it| world.coordinator(it).clients())
    };
    // It knows no other place than where it was.
    assert_eq!(there(&mut world), [0, 0, 0]);
    world.crash(former);
    world.restart_coordinator(former, of(own));
    assert_eq!(there(&mut world), [1, 0, 0]);
    let next_is = world.address(next);
    drain.alternatives.push((keys::HOST.into(), next_is));
    let now = world.now();
    world.coordinator(former).drain(now, &drain);
    assert_eq!(there(&mut world), [0, 1, 0]);
}

const KEY: [u8; 32] = [5; 32];
