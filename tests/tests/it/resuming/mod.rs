//! Channels between Clients that outlive the Coordinator, and the way to it.

mod draining;
mod former;
mod many;
mod random;
mod several;
mod silence;

use std::{net::SocketAddr, time::Duration};

use conec_core::{
    ChannelEvent, ClientConfig, ClientEvent, ClientState, CloseReason, Code, CoordinatorConfig,
    CoordinatorEvent, Endpoint, ErrorCode, PairId, PathPolicy, Policy,
};
use conec_tests::{
    keys,
    sim::{At, Event, NodeId, World},
};

use crate::direct::flow::{Flow, run};

/// Of a Coordinator whose resets are known after a restart, as those of adapters are.
fn coordinator_config() -> CoordinatorConfig {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.reset_key = Some(config.certificate.derive_key("resets"));
    config
}

/// A Client that outlives its home channel, and what it takes to start it anew.
fn lasting_client(world: &mut World, name: &str, direct: bool) -> (NodeId, ClientConfig) {
    let mut config = world.client_config(name);
    config.reconnect = true;
    if !direct {
        config.paths.policy = PathPolicy::ProxiedOnly;
    }
    (world.add_client_with(config.clone()), config)
}

/// Two Clients that keep their channel, with something under way in either direction.
struct Story {
    world: World,
    coordinator: NodeId,
    config: CoordinatorConfig,
    clients: [(NodeId, ClientConfig); 2],
    ends: [At; 2],
    flows: Vec<Flow>,
}

impl Story {
    fn new(seed: u64, direct: bool) -> Self {
        Self::with(seed, direct, |_| {})
    }

    fn with(seed: u64, direct: bool, change: impl FnOnce(&mut CoordinatorConfig)) -> Self {
        let mut world = World::new(seed);
        let mut config = coordinator_config();
        change(&mut config);
        let coordinator = world.add_coordinator_with(config.clone());
        let clients = ["alice", "bob"].map(|name| {
            let (client, config) = lasting_client(&mut world, name, direct);
            world.connect(client, coordinator);
            (client, config)
        });
        let mut this = Self {
            world,
            coordinator,
            config,
            ends: [At {
                node: coordinator,
                channel: conec_core::ChannelId::HOME,
            }; 2],
            clients,
            flows: Vec::new(),
        };
        let [alice, bob] = this.nodes();
        let id = this.world.client_id(bob);
        let at_alice = this.world.request_channel(alice, id.into());
        if this.config.channels == Policy::Ask {
            this.grant();
        }
        this.wait("opened", |it| {
            it.world
                .channel(alice, at_alice.channel)?
                .is_open()
                .then_some(())
        });
        let at_bob = this.world.opened(bob);
        this.ends = [at_alice, at_bob];
        for (from, to) in [(at_alice, at_bob), (at_bob, at_alice)] {
            let flow = Flow::paced(&mut this.world, from, to, 100, PACE);
            this.flows.push(flow);
        }
        this.pass(5);
        this
    }

    fn nodes(&self) -> [NodeId; 2] {
        self.clients.each_ref().map(|&(node, _)| node)
    }

    fn wait<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begin = self.world.elapsed();
        loop {
            if let Some(result) = done(self) {
                return result;
            }
            assert!(
                self.world.elapsed() < begin + secs(120),
                "waited for {what}"
            );
            run(&mut self.world, &mut self.flows, Duration::from_millis(10));
        }
    }

    fn pass(&mut self, seconds: u64) {
        run(&mut self.world, &mut self.flows, secs(seconds));
    }

    /// What the Coordinator is asked about the pair.
    fn grant(&mut self) {
        let pair = self.asked();
        let now = self.world.now();
        let granted = self.world.coordinator(self.coordinator).grant(now, pair);
        granted.expect("it was asked");
    }

    /// Takes the next event of the Coordinator that is such.
    fn coordinator_event<T>(&mut self, such: impl Fn(&CoordinatorEvent) -> Option<T>) -> Option<T> {
        self.world
            .take_event(self.coordinator, |event| match event {
                Event::Coordinator(event) => such(event),
                Event::Client(_) => None,
            })
    }

    /// The pair that the application is asked about.
    fn asked(&mut self) -> PairId {
        self.wait("asked", |it| {
            it.coordinator_event(|event| {
                if let CoordinatorEvent::PairAsks { pair, .. } = event {
                    return Some(*pair);
                }
                None
            })
        })
    }

    /// Whether the Coordinator says that the channel goes on.
    fn resumed(&mut self) -> Option<()> {
        let is_resumed = |event: &_| matches!(event, CoordinatorEvent::PairResumed { .. });
        self.coordinator_event(|event| is_resumed(event).then_some(()))
    }

    fn restart(&mut self) {
        let config = self.config.clone();
        self.world.restart_coordinator(self.coordinator, config);
    }

    /// Nothing was lost, doubled or reordered, and goes on within so long; and both ends know nothing but this channel.
    fn goes_on_within(&mut self, time: Duration) {
        let since = self.world.elapsed();
        run(&mut self.world, &mut self.flows, time + PACE * 2);
        for flow in &self.flows {
            let first = flow.arrivals.iter().find(|&&at| at > since);
            let pause = first.map(|&at| at - since);
            assert!(
                pause.is_some_and(|it| it <= time),
                "goes on after {pause:?}"
            );
        }
        self.pass(40);
        let end = self.world.elapsed();
        for flow in &mut self.flows {
            assert!(*flow.arrivals.last().unwrap() + PACE * 4 > end);
            flow.drain(&mut self.world);
        }
        for end in self.ends {
            assert_eq!(self.end_of(end), None);
        }
        assert_eq!(self.world.coordinator(self.coordinator).clients(), 2);
    }

    /// Another Coordinator with the same key, which the Clients know of as well.
    fn add_coordinator(&mut self) -> NodeId {
        let other = self.world.add_coordinator_with(self.config.clone());
        let places = [self.coordinator, other].map(|it| self.world.address(it));
        self.tell_places(&places);
        other
    }

    /// Tells the Clients where to look for a Coordinator.
    fn tell_places(&mut self, places: &[SocketAddr]) {
        let now = self.world.now();
        for node in self.nodes() {
            let client = self.world.client(node);
            client
                .set_coordinators(now, &[(keys::HOST, places)])
                .unwrap();
        }
    }

    fn state(&mut self, node: NodeId) -> ClientState {
        self.world.client(node).state()
    }

    /// Waits until a peer channel is over at an end.
    fn closed(&mut self, at: At) -> CloseReason {
        self.wait("closed", |it| it.end_of(at))
    }

    fn end_of(&mut self, at: At) -> Option<CloseReason> {
        self.world.take_event(at.node, |event| {
            if let (channel, ChannelEvent::Closed { reason }) = event.channel()?
                && channel == at.channel
            {
                return Some(*reason);
            }
            None
        })
    }
}

#[test]
fn a_channel_outlives_a_coordinator_that_is_killed_and_started_anew() {
    for (seed, direct) in [(1, false), (2, true), (3, false), (4, true)] {
        for away in [0, 1, 5, 20] {
            let mut story = Story::new(seed, direct);
            story.world.crash(story.coordinator);
            story.pass(away);
            story.restart();
            // Nobody has to find out by waiting, where something is under way.
            story.goes_on_within(secs(if away < 5 { 5 } else { 12 }));
            let resumed = story.resumed();
            assert!(resumed.is_some(), "seed {seed}, {away} s");
        }
    }
}

#[test]
fn a_channel_goes_over_to_another_coordinator_with_the_same_key() {
    for direct in [false, true] {
        let mut story = Story::new(7, direct);
        let other = story.world.add_coordinator_with(story.config.clone());
        let address = story.world.address(other);
        story.tell_places(&[address]);
        story.world.crash(story.coordinator);
        story.coordinator = other;
        story.goes_on_within(secs(8));
    }
}

#[test]
fn a_client_that_loses_the_network_finds_its_channels_as_they_were() {
    for (seed, direct) in [(8, false), (9, true)] {
        for away in [2, 10, 25] {
            let mut story = Story::new(seed, direct);
            let [alice, _] = story.nodes();
            story.world.set_up(alice, false);
            story.pass(away);
            story.world.set_up(alice, true);
            story.goes_on_within(secs(12));
        }
    }
}

#[test]
fn that_nothing_is_heard_is_noticed_in_three_seconds_and_told() {
    let mut story = Story::new(10, false);
    let [alice, bob] = story.nodes();
    for node in [alice, bob] {
        assert_eq!(story.state(node), ClientState::Connected);
    }
    story.world.crash(story.coordinator);
    let begin = story.world.elapsed();
    for node in [alice, bob] {
        story.wait("reconnecting", |it| {
            it.world.take_event(node, |event| {
                matches!(event, Event::Client(ClientEvent::Reconnecting { .. })).then_some(())
            })
        });
        let took = story.world.elapsed() - begin;
        assert!(took <= secs(3), "{took:?}");
        assert!(matches!(
            story.state(node),
            ClientState::Reconnecting { .. }
        ));
    }
    story.restart();
    for node in [alice, bob] {
        story.wait("connected", |it| {
            let is_connected = it.state(node) == ClientState::Connected;
            is_connected.then_some(())
        });
    }
    story.goes_on_within(secs(3));
}

#[test]
fn who_only_receives_misses_its_coordinator_as_soon() {
    for seed in 50..60 {
        let mut story = Story::new(seed, false);
        let flow = story.flows.remove(0);
        story.flows = vec![flow];
        story.pass(20);
        story.world.crash(story.coordinator);
        story.pass(1);
        story.restart();
        story.goes_on_within(secs(4));
    }
}

#[test]
fn what_is_asked_for_meanwhile_is_had_later() {
    let mut story = Story::new(11, false);
    let [alice, bob] = story.nodes();
    let id = story.world.client_id(bob);
    story.world.crash(story.coordinator);
    story.pass(4);
    let at = story.world.request_channel(alice, id.into());
    story.pass(4);
    story.restart();
    story.wait("open", |it| {
        it.world.channel(alice, at.channel)?.is_open().then_some(())
    });
    story.goes_on_within(secs(5));
}

#[test]
fn the_streams_of_a_home_channel_end_with_it_and_the_next_one_has_others() {
    let mut story = Story::new(12, false);
    let [alice, _] = story.nodes();
    let former = story.world.client(alice).home();
    let at = At {
        node: alice,
        channel: former,
    };
    let stream = story.world.open_stream(at, b"");
    story.world.crash(story.coordinator);
    story.pass(2);
    story.restart();
    story.goes_on_within(secs(8));
    // The Coordinator knows nothing of it, and says so.
    assert_eq!(story.closed(at), CloseReason::Reset);
    story.world.recv_ended(stream);
    let present = story.world.client(alice).home();
    assert_ne!(present, former);
    let at = At {
        node: alice,
        channel: present,
    };
    let stream = story.world.open_stream(at, b"again");
    story.world.send(stream, "hello");
    let id = story.world.client_id(alice);
    let channel = story.world.coordinator(story.coordinator).find(id).unwrap();
    let there = story.world.accept_stream(At {
        node: story.coordinator,
        channel,
    });
    assert_eq!(story.world.recv(there), "hello");
}

#[test]
fn a_client_that_is_started_anew_has_left_its_channels() {
    let mut story = Story::new(13, false);
    let (alice, config) = story.clients[0].clone();
    story.world.crash(alice);
    story.flows.clear();
    story.world.restart_client(alice, config);
    let begin = story.world.elapsed();
    story.world.start_connecting(alice, story.coordinator);
    let reason = story.closed(story.ends[1]);
    assert_eq!(reason, CloseReason::Remote(ErrorCode::PeerGone));
    assert!(story.world.elapsed() <= begin + secs(1));
}

#[test]
fn who_does_not_come_back_in_time_is_gone() {
    let mut story = Story::new(14, false);
    let (alice, _) = story.clients[0];
    story.flows.clear();
    story.world.crash(alice);
    let reason = story.closed(story.ends[1]);
    assert_eq!(reason, CloseReason::Remote(ErrorCode::PeerGone));
}

#[test]
fn a_claim_that_the_other_end_does_not_meet_is_over_after_a_while() {
    for direct in [false, true] {
        let mut story = Story::new(15, direct);
        let [_, bob] = story.nodes();
        story.world.crash(story.coordinator);
        story.world.crash(bob);
        story.flows.clear();
        story.pass(1);
        story.restart();
        let begin = story.world.elapsed();
        let reason = story.closed(story.ends[0]);
        assert_eq!(reason, CloseReason::Remote(ErrorCode::PeerGone));
        let took = story.world.elapsed() - begin;
        assert!(took > secs(25) && took < secs(50), "{took:?}");
    }
}

#[test]
fn the_application_is_asked_again_and_may_say_no() {
    for grants in [true, false] {
        let mut story = Story::with(16, false, |config| config.channels = Policy::Ask);
        story.world.crash(story.coordinator);
        story.restart();
        if grants {
            story.grant();
            story.goes_on_within(secs(3));
            continue;
        }
        let coordinator = story.coordinator;
        let pair = story.asked();
        let now = story.world.now();
        story
            .world
            .coordinator(coordinator)
            .deny(now, pair)
            .unwrap();
        for end in story.ends {
            let reason = story.closed(end);
            assert_eq!(reason, CloseReason::Remote(ErrorCode::NotFound));
        }
    }
}

#[test]
fn what_the_application_has_taken_away_does_not_come_back() {
    let mut story = Story::new(17, true);
    let coordinator = story.coordinator;
    let pair = story.wait("started", |it| {
        it.coordinator_event(|event| {
            if let CoordinatorEvent::PairStarted { pair, .. } = event {
                return Some(*pair);
            }
            None
        })
    });
    // The Clients do not hear of it.
    for node in story.nodes() {
        story.world.set_up(node, false);
    }
    let now = story.world.now();
    let gone = story
        .world
        .coordinator(coordinator)
        .disconnect(now, pair, Code(5));
    gone.expect("it stands");
    let revocations: Vec<_> = story.world.coordinator(coordinator).revocations().collect();
    assert_eq!(revocations.len(), 1);
    story.world.crash(coordinator);
    story.config.revocations = revocations;
    story.restart();
    for node in story.nodes() {
        story.world.set_up(node, true);
    }
    for end in story.ends {
        let reason = story.closed(end);
        assert_eq!(reason, CloseReason::Remote(ErrorCode::NotResumed));
    }
    let refused = story.world.coordinator(coordinator).stats().tickets_refused;
    assert_eq!(refused, 2);
}

/// Nobody waits for the other to claim it too.
#[test]
fn where_rules_allow_no_channels_none_is_resumed() {
    let mut story = Story::new(37, false);
    story.world.crash(story.coordinator);
    story.config.rules = Some("connect allow any".parse().unwrap());
    story.restart();
    for end in story.ends {
        let reason = story.closed(end);
        assert_eq!(reason, CloseReason::Remote(ErrorCode::NotResumed));
    }
    let coordinator = story.coordinator;
    let refused = story.world.coordinator(coordinator).stats().tickets_refused;
    assert_eq!(refused, 2);
}

#[test]
fn tickets_are_renewed_and_expire() {
    for (restart_at, late, resumes) in [(5, 0, true), (3600 * 3, 0, true), (5, 3 * 3600, false)] {
        let mut story = Story::new(18, false);
        story.flows.clear();
        story.world.run_for(secs(restart_at));
        story.world.crash(story.coordinator);
        story.config.unix_time = secs(restart_at + late);
        story.restart();
        if resumes {
            story.wait("resumed", Story::resumed);
        } else {
            for end in story.ends {
                let reason = story.closed(end);
                assert_eq!(reason, CloseReason::Remote(ErrorCode::NotResumed));
            }
        }
    }
}

#[test]
fn who_is_refused_for_good_or_closed_ends_with_all_channels() {
    let mut story = Story::new(19, false);
    let [alice, bob] = story.nodes();
    story.world.crash(story.coordinator);
    story.config.admission = Policy::Deny;
    story.restart();
    story.flows.clear();
    for (node, end) in [(alice, story.ends[0]), (bob, story.ends[1])] {
        assert_eq!(story.closed(end), CloseReason::CoordinatorLost);
        let home = At {
            node,
            channel: story.world.client(node).home(),
        };
        assert_eq!(story.closed(home), CloseReason::Remote(ErrorCode::Refused));
        let reason = CloseReason::Remote(ErrorCode::Refused);
        assert_eq!(story.state(node), ClientState::Ended { reason });
        story.wait("finished", |it| {
            it.world.client(node).is_finished().then_some(())
        });
    }
}

#[test]
fn a_client_that_looks_for_its_coordinator_can_be_closed() {
    // Nothing is heard, it is looked for while there is still a home channel, and when there is none any more.
    let times = [0, 1, 2, 3, 5, 50];
    for (away, abort) in times.iter().flat_map(|&away| [(away, false), (away, true)]) {
        let mut story = Story::new(20, true);
        let [alice, _] = story.nodes();
        // It is to be missed.
        let home = At {
            node: alice,
            channel: story.world.client(alice).home(),
        };
        let stream = story.world.open_stream(home, b"");
        story.world.send(stream, "hello");
        story.flows.clear();
        story.world.crash(story.coordinator);
        story.pass(away);
        let now = story.world.now();
        let client = story.world.client(alice);
        match abort {
            true => client.abort(now, Code(3)),
            false => client.close(now, secs(20)),
        }
        // Whoever comes now comes too late, also where nothing is known there of the former home channel.
        story.config.reset_key = None;
        story.restart();
        story.wait("finished", |it| {
            it.world.client(alice).is_finished().then_some(())
        });
        let ClientState::Ended { reason } = story.state(alice) else {
            panic!("{:?}", story.state(alice));
        };
        // A Coordinator that knows nothing of it may be first to say so.
        let is_told = !abort && reason == CloseReason::Reset;
        assert!(is_told || reason == CloseReason::Local, "{reason:?}");
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const PACE: Duration = Duration::from_millis(200);
