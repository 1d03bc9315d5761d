//! Hole punching by strangers who know nothing but how to say ping: who meets whom, before conec's own way of doing it
//! comes into play.

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conec_tests::sim::{
    Access, Dependence,
    Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent},
    Hairpin, LinkConfig, NatConfig, NodeId, Stranger, World,
};

use super::secs;

/// Tells everybody where they are seen.
#[derive(Default)]
struct Mirror(VecDeque<(SocketAddr, Vec<u8>)>);

impl Stranger for Mirror {
    fn handle_datagram(&mut self, _: Instant, source: SocketAddr, _: BytesMut) {
        let answer = source.to_string().into_bytes();
        self.0.push_back((source, answer));
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_transmit(&mut self, _: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.0.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }
}

/// Sends pings where the other may be, answers pings, and pings back where they come from.
#[derive(Clone)]
struct Puncher {
    node: NodeId,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    mirror: Option<SocketAddr>,
    /// Where the mirror sees this one.
    observed: Option<SocketAddr>,
    candidates: Vec<SocketAddr>,
    /// When pings go out, the next first.
    rounds: VecDeque<Instant>,
    /// Where each ping went.
    pings: Vec<SocketAddr>,
    /// Whence pongs came to pings that went there: these ways work, there and back.
    proven: BTreeSet<SocketAddr>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl State {
    fn ping(&mut self, to: SocketAddr) {
        let number = self.pings.len();
        self.pings.push(to);
        self.out.push_back((to, format!("ping {number}").into()));
    }
}

struct PuncherEnd(Rc<RefCell<State>>);

impl Stranger for PuncherEnd {
    fn handle_datagram(&mut self, _: Instant, source: SocketAddr, payload: BytesMut) {
        let mut state = self.0.borrow_mut();
        let text = std::str::from_utf8(&payload).unwrap();
        if Some(source) == state.mirror {
            state.observed = Some(text.parse().unwrap());
        } else if let Some(number) = text.strip_prefix("ping ") {
            state
                .out
                .push_back((source, format!("pong {number}").into()));
            if !state.proven.contains(&source) {
                state.ping(source);
            }
        } else if let Some(number) = text.strip_prefix("pong ") {
            // From elsewhere, it shows no way back.
            let number: usize = number.parse().unwrap();
            if state.pings.get(number) == Some(&source) {
                state.proven.insert(source);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let mut state = self.0.borrow_mut();
        while state.rounds.front().is_some_and(|&at| at <= now) {
            state.rounds.pop_front();
            for candidate in state.candidates.clone() {
                state.ping(candidate);
            }
        }
    }

    fn poll_transmit(&mut self, _: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.0.borrow_mut().out.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.0.borrow().rounds.front().copied()
    }
}

impl Puncher {
    fn new(world: &mut World) -> Self {
        let state = Rc::default();
        let node = world.add_stranger(PuncherEnd(Rc::clone(&state)));
        Self { node, state }
    }

    /// Where the mirror sees this one.
    fn observed(&self, world: &mut World, mirror: NodeId) -> SocketAddr {
        let mirror = world.address(mirror);
        self.state.borrow_mut().mirror = Some(mirror);
        for _ in 0..20 {
            self.state
                .borrow_mut()
                .out
                .push_back((mirror, b"who?".to_vec()));
            world.run_for(Duration::from_millis(500));
            if let Some(observed) = self.state.borrow_mut().observed.take() {
                return observed;
            }
        }
        world.fail("the mirror does not answer");
    }

    fn punch(&self, now: Instant, candidates: &[SocketAddr]) {
        let mut state = self.state.borrow_mut();
        state.candidates = candidates.to_vec();
        state.rounds = ROUNDS
            .iter()
            .map(|&at| now + Duration::from_millis(at))
            .collect();
    }

    fn proven(&self) -> bool {
        !self.state.borrow().proven.is_empty()
    }
}

/// Two strangers and a mirror.
fn strangers(world: &mut World) -> (NodeId, Puncher, Puncher) {
    let mirror = world.add_stranger(Mirror::default());
    (mirror, Puncher::new(world), Puncher::new(world))
}

/// Has both try, the second one later, and tells whether both have found a way.
fn meet(
    world: &mut World,
    mirror: NodeId,
    first: &Puncher,
    second: &Puncher,
    later: Duration,
) -> bool {
    let (of_first, of_second) = (
        first.observed(world, mirror),
        second.observed(world, mirror),
    );
    first.punch(world.now(), &[of_second]);
    world.run_for(later);
    second.punch(world.now(), &[of_first]);
    world.run_for(secs(6));
    let met = first.proven();
    assert_eq!(met, second.proven(), "one alone cannot have a way");
    met
}

#[test]
fn those_meet_who_are_said_to() {
    let mut seed = 0;
    for one in Access::ALL {
        for other in Access::ALL {
            for later in [0, 1, 300] {
                for lossy in [false, true] {
                    seed += 1;
                    let mut world = World::new(seed);
                    if lossy {
                        world.network.set_all(&LinkConfig {
                            loss: 0.1,
                            jitter: Duration::from_millis(10),
                            ..LinkConfig::default()
                        });
                    }
                    let (mirror, first, second) = strangers(&mut world);
                    world.put_behind(first.node, one, mirror);
                    world.put_behind(second.node, other, mirror);
                    let later = Duration::from_millis(later);
                    let met = meet(&mut world, mirror, &first, &second, later);
                    assert_eq!(met, one.can_meet(other), "{one:?} and {other:?}, {later:?}");
                    assert_eq!(one.can_meet(other), other.can_meet(one));
                }
            }
        }
    }
}

#[test]
fn of_all_boxes_those_let_meet_that_follow_the_rule() {
    let all = [
        EndpointIndependent,
        AddressDependent,
        AddressAndPortDependent,
    ];
    let boxes: Vec<_> = all
        .into_iter()
        .flat_map(|mapping| all.map(|filtering| (mapping, filtering)))
        .collect();
    // With a mapping for each remote endpoint, one is not where the other looks. It is found out if the other lets every
    // port in. Two such boxes need one that keeps its port for the address, and one that lets everybody in.
    let can_meet = |one: (Dependence, Dependence), other: (Dependence, Dependence)| {
        let stays = |side: (Dependence, Dependence)| side.0 == EndpointIndependent;
        let lets_ports_in = |side: (Dependence, Dependence)| side.1 != AddressAndPortDependent;
        match (stays(one), stays(other)) {
            (true, true) => true,
            (true, false) => lets_ports_in(one),
            (false, true) => lets_ports_in(other),
            (false, false) => {
                let sides = [one, other];
                sides.iter().any(|side| side.0 == AddressDependent)
                    && sides.into_iter().all(lets_ports_in)
                    && sides.iter().any(|side| side.1 == EndpointIndependent)
            }
        }
    };
    for &one in &boxes {
        for &other in &boxes {
            let mut world = World::new(7);
            let (mirror, first, second) = strangers(&mut world);
            for (stranger, (mapping, filtering)) in [(&first, one), (&second, other)] {
                let nat = world.add_nat("nat", NatConfig::new(mapping, filtering));
                world.put(stranger.node, nat);
            }
            let met = meet(&mut world, mirror, &first, &second, secs(0));
            assert_eq!(met, can_meet(one, other), "{one:?} and {other:?}");
        }
    }
}

#[test]
fn sequential_ports_are_as_bad_as_random_ones_to_those_who_do_not_guess() {
    let mut world = World::new(1);
    let (mirror, first, second) = strangers(&mut world);
    let config = NatConfig {
        ports: conec_tests::sim::Ports::Sequential,
        ..NatConfig::symmetric()
    };
    let nat = world.add_nat("sequential", config);
    world.put(first.node, nat);
    world.put_behind(second.node, Access::PortRestricted, mirror);
    let observed = first.observed(&mut world, mirror);
    assert!(!meet(&mut world, mirror, &first, &second, secs(0)));
    // Who guesses the next one gets through.
    let mut guess = observed;
    guess.set_port(observed.port() + 1);
    second.punch(world.now(), &[guess]);
    first.punch(world.now(), &[second.observed(&mut world, mirror)]);
    world.run_for(secs(6));
    assert!(first.proven() && second.proven());
}

#[test]
fn two_homes_of_one_provider_meet_only_if_it_turns_packets_around() {
    for hairpin in [
        Hairpin::None,
        Hairpin::InternalSource,
        Hairpin::ExternalSource,
    ] {
        let mut world = World::new(2);
        let (mirror, first, second) = strangers(&mut world);
        let config = NatConfig {
            hairpin,
            ..NatConfig::carrier_grade()
        };
        let provider = world.add_nat("provider", config);
        for stranger in [&first, &second] {
            let home = world.add_nat_in("home", NatConfig::home(), provider);
            world.put(stranger.node, home);
        }
        let met = meet(&mut world, mirror, &first, &second, secs(0));
        // A packet that comes from an inner address passes no filter of the home that it comes to, nor does the answer.
        assert_eq!(met, hairpin == Hairpin::ExternalSource, "{hairpin:?}");
    }
}

#[test]
fn of_two_boxes_in_a_row_the_worse_one_counts() {
    for (outer, inner, met) in [
        (NatConfig::full_cone(), NatConfig::home(), true),
        (NatConfig::carrier_grade(), NatConfig::full_cone(), true),
        (NatConfig::symmetric(), NatConfig::full_cone(), false),
        (NatConfig::full_cone(), NatConfig::symmetric(), false),
    ] {
        let mut world = World::new(3);
        let (mirror, first, second) = strangers(&mut world);
        let outer = world.add_nat("outer", outer);
        let inner = world.add_nat_in("inner", inner, outer);
        world.put(first.node, inner);
        world.put_behind(second.node, Access::PortRestricted, mirror);
        assert_eq!(meet(&mut world, mirror, &first, &second, secs(0)), met);
    }
}

#[test]
fn neighbours_meet_by_their_own_addresses_or_by_a_hairpin() {
    for (isolated, hairpin, host_candidates, met) in [
        (false, Hairpin::None, true, true),
        (false, Hairpin::None, false, false),
        (false, Hairpin::ExternalSource, false, true),
        (true, Hairpin::None, true, false),
        (true, Hairpin::ExternalSource, true, true),
    ] {
        let mut world = World::new(4);
        let (mirror, first, second) = strangers(&mut world);
        let config = NatConfig {
            hairpin,
            ..NatConfig::home()
        };
        let home = world.add_nat("home", config);
        for node in [first.node, second.node] {
            world.put(node, home);
        }
        if isolated {
            world.link(first.node, second.node).up = false;
            world.link(second.node, first.node).up = false;
        }
        for (one, other) in [(&first, &second), (&second, &first)] {
            let mut candidates = vec![other.observed(&mut world, mirror)];
            if host_candidates {
                candidates.push(world.address(other.node));
            }
            one.punch(world.now(), &candidates);
        }
        world.run_for(secs(6));
        assert_eq!((first.proven(), second.proven()), (met, met));
    }
}

#[test]
fn an_early_ping_spoils_the_way_through_a_box_that_tracks_connections() {
    for (other, spoils, met) in [
        (Access::PortRestricted, false, true),
        (Access::PortRestricted, true, false),
        // Where the port does not matter, the detour is no harm.
        (Access::AddressRestricted, true, true),
        (Access::FullCone, true, true),
    ] {
        let mut world = World::new(5);
        let (mirror, first, second) = strangers(&mut world);
        let config = NatConfig {
            early_inbound_spoils: spoils.then_some(secs(30)),
            ..NatConfig::home()
        };
        let home = world.add_nat("home", config);
        world.put(second.node, home);
        world.put_behind(first.node, other, mirror);
        // The first one's ping is there before the second one says anything.
        let later = Duration::from_millis(100);
        assert_eq!(
            meet(&mut world, mirror, &first, &second, later),
            met,
            "{other:?}"
        );
    }
}

#[test]
fn those_with_ipv6_meet_through_firewalls_whatever_translates_their_ipv4() {
    let mut world = World::new(6);
    let (mirror, first, second) = strangers(&mut world);
    for node in [first.node, second.node] {
        world.put_behind(node, Access::Symmetric, mirror);
        world.add_ipv6(node);
    }
    let [of_first, of_second] =
        [&first, &second].map(|puncher| world.host_addresses(puncher.node)[1]);
    first.punch(world.now(), &[of_second]);
    second.punch(world.now(), &[of_first]);
    world.run_for(secs(6));
    assert!(first.proven() && second.proven());
}

#[test]
fn two_runs_of_one_seed_are_the_same_behind_boxes_too() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.network.set_all(&LinkConfig::rough());
        let (mirror, first, second) = strangers(&mut world);
        world.put_behind(first.node, Access::Symmetric, mirror);
        world.put_behind(second.node, Access::FullCone, mirror);
        meet(&mut world, mirror, &first, &second, secs(0));
        (world.trace().hash(), world.trace().to_string())
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    let ((one, text), (other, _)) = (run(1), run(2));
    assert_ne!(one, other);
    assert!(text.contains("maps"), "what boxes do can be read: {text}");
}

/// When pings go out, in milliseconds.
const ROUNDS: [u64; 8] = [0, 50, 100, 200, 400, 800, 1500, 3000];
