//! Whatever befalls Coordinators and networks, channels between Clients that live go on, and nothing is lost.

use conec_tests::sim::{Clock, NatConfig};
use proptest::prelude::*;

use super::*;
use crate::model::cases;

#[derive(Debug, Clone, Copy)]
enum Blow {
    /// The Coordinator is killed, and started anew after so long.
    Restart(Duration),
    /// Another Coordinator takes over, and the first one is gone for good. The Clients know where it is from before.
    TakeOver,
    /// A Client, or the Coordinator, is cut off from the network for so long.
    Cut(usize, Duration),
    /// The Coordinator stands still for so long, and then goes on.
    Stop(Duration),
    /// A Client gets another address.
    Move(usize),
    /// A Client is killed and started anew. It has left its channels, and opens others.
    Rebirth(usize),
}

struct Trial {
    world: World,
    config: CoordinatorConfig,
    coordinator: NodeId,
    clients: Vec<(NodeId, ClientConfig)>,
    flows: Vec<(NodeId, NodeId, Vec<Flow>)>,
    moves: u8,
    nats: bool,
}

impl Trial {
    fn new(seed: u64, direct: bool, nats: bool) -> Self {
        let mut world = World::new(seed);
        let config = coordinator_config();
        let coordinator = world.add_coordinator_with(config.clone());
        let clients = ["alice", "bob", "carol"].map(|name| {
            let (client, config) = lasting_client(&mut world, name, direct);
            if nats {
                let nat = world.add_nat(name, NatConfig::home());
                world.put(client, nat);
            }
            world.connect(client, coordinator);
            (client, config)
        });
        let mut this = Self {
            world,
            config,
            coordinator,
            clients: clients.to_vec(),
            flows: Vec::new(),
            moves: 0,
            nats,
        };
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            this.open(this.clients[one].0, this.clients[other].0);
        }
        this
    }

    fn open(&mut self, from: NodeId, to: NodeId) {
        // What was opened before is of no interest.
        for node in [from, to] {
            while self.world.next_event(node).is_some() {}
        }
        let (here, there): (At, At) = self.world.open_channel(from, to);
        let world = &mut self.world;
        let ways = [(here, there), (there, here)];
        let flows = ways.map(|(from, to)| Flow::paced(world, from, to, 100, PACE));
        self.flows.push((from, to, flows.into()));
    }

    fn pass(&mut self, time: Duration) {
        let mut flows: Vec<_> = self
            .flows
            .iter_mut()
            .flat_map(|it| it.2.drain(..))
            .collect();
        run(&mut self.world, &mut flows, time);
        for (_, _, own) in self.flows.iter_mut().rev() {
            *own = flows.split_off(flows.len() - 2);
        }
    }

    fn suffer(&mut self, blow: Blow) {
        let nodes: Vec<_> = self.clients.iter().map(|it| it.0).collect();
        match blow {
            Blow::Restart(time) => {
                self.world.crash(self.coordinator);
                self.pass(time);
                let config = self.config.clone();
                self.world.restart_coordinator(self.coordinator, config);
            }
            Blow::TakeOver => {
                let former = self.coordinator;
                self.coordinator = self.world.add_coordinator_with(self.config.clone());
                let address = self.world.address(self.coordinator);
                let now = self.world.now();
                for node in nodes {
                    let client = self.world.client(node);
                    client
                        .set_coordinators(now, &[(keys::HOST, &[address])])
                        .unwrap();
                }
                self.world.crash(former);
            }
            Blow::Cut(who, time) => {
                let node = nodes.get(who).copied().unwrap_or(self.coordinator);
                self.world.set_up(node, false);
                self.pass(time);
                self.world.set_up(node, true);
            }
            Blow::Stop(time) => {
                self.world.sleep(self.coordinator, Clock::Runs, ROOM);
                self.pass(time);
                self.world.wake(self.coordinator);
            }
            Blow::Move(who) => {
                self.moves += 1;
                let address = ([198, 51, 100, self.moves], 4433).into();
                // Behind a NAT it is the NAT's that counts.
                if !self.nats {
                    self.world.rebind(nodes[who], address);
                }
            }
            Blow::Rebirth(who) => {
                let (node, config) = self.clients[who].clone();
                self.world.crash(node);
                self.flows
                    .retain(|&(from, to, _)| from != node && to != node);
                self.world.restart_client(node, config);
                self.world.connect(node, self.coordinator);
                for other in nodes.into_iter().filter(|&it| it != node) {
                    self.open(node, other);
                }
            }
        }
    }

    /// Within so long, everything goes on.
    fn recovers(&mut self, from: Blow) {
        self.pass(RECOVERY);
        let now = self.world.elapsed();
        for (one, other, flows) in &self.flows {
            for flow in flows {
                let last = *flow.arrivals.last().unwrap();
                assert!(
                    last + Duration::from_secs(2) >= now,
                    "{from:?}: nothing from {one:?} and {other:?} since {last:?}, and it is {now:?}"
                );
            }
        }
    }
}

fn blow() -> impl Strategy<Value = Blow> {
    let time = |most: u64| (0..most).prop_map(Duration::from_millis);
    prop_oneof![
        3 => time(10_000).prop_map(Blow::Restart),
        1 => Just(Blow::TakeOver),
        3 => (0..4_usize, time(20_000)).prop_map(|(who, time)| Blow::Cut(who, time)),
        1 => time(20_000).prop_map(Blow::Stop),
        1 => (0..3_usize).prop_map(Blow::Move),
        1 => (0..3_usize).prop_map(Blow::Rebirth),
    ]
}

proptest! {
    #![proptest_config(cases(30))]

    #[test]
    fn channels_outlive_whatever_befalls_coordinators_and_networks(
        seed in any::<u64>(),
        direct in any::<bool>(),
        nats in any::<bool>(),
        blows in prop::collection::vec(blow(), 1..6),
    ) {
        let mut trial = Trial::new(seed, direct, nats);
        for blow in blows {
            trial.suffer(blow);
            trial.recovers(blow);
        }
        let flows = trial.flows.iter_mut().flat_map(|it| &mut it.2);
        for flow in flows {
            flow.drain(&mut trial.world);
        }
    }
}

/// The longest pause between attempts, and what it takes to notice, to connect and to claim.
const RECOVERY: Duration = Duration::from_secs(20);
/// What the system keeps for a process that stands still, in bytes.
const ROOM: usize = 200_000;
