//! Two Clients with a channel, each talking to the other and to the Coordinator, whatever befalls them.

use std::time::Duration;

use conec_tests::sim::{At, NatConfig, NodeId, World};
use rand::Rng;

use crate::{
    connecting::home,
    direct::flow::{Flow, run},
};

pub(crate) struct Talk {
    pub(crate) world: World,
    pub(crate) coordinator: NodeId,
    pub(crate) ends: [At; 2],
    flows: Vec<Flow>,
    /// What it is about, for who reads of a failure.
    case: String,
}

impl Talk {
    /// A message every 200 ms each way. With an odd seed, the Clients are behind NATs.
    pub(crate) fn new(seed: u64, direct: bool) -> Self {
        let mut world = World::new(seed);
        let coordinator = world.add_coordinator();
        let clients = ["alice", "bob"].map(|name| {
            let client = match direct {
                true => world.add_client(name),
                false => world.add_proxied_client(name),
            };
            if seed % 2 == 1 {
                let nat = world.add_nat(name, NatConfig::home());
                world.put(client, nat);
            }
            world.connect(client, coordinator);
            client
        });
        let (at_alice, at_bob) = world.open_channel(clients[0], clients[1]);
        let mut ways = vec![(at_alice, at_bob), (at_bob, at_alice)];
        for client in clients {
            let id = world.client_id(client);
            let there = At {
                node: coordinator,
                channel: world.coordinator(coordinator).find(id).unwrap(),
            };
            ways.extend([(home(client), there), (there, home(client))]);
        }
        let mut flows = Vec::new();
        for (from, to) in ways {
            flows.push(Flow::paced(&mut world, from, to, 100, PACE));
        }
        Self {
            world,
            coordinator,
            ends: [at_alice, at_bob],
            flows,
            case: format!("seed {seed}, direct {direct}"),
        }
    }

    /// Adds to what is said of it where it fails.
    pub(crate) fn is_about(&mut self, case: &str) {
        self.case = format!("{}, {case}", self.case);
    }

    /// Lets time pass, with or without a word.
    pub(crate) fn pass(&mut self, time: Duration, talking: bool) {
        if talking {
            for flow in &mut self.flows {
                flow.resume(&self.world);
            }
            run(&mut self.world, &mut self.flows, time);
        } else {
            self.world.run_for(time);
        }
    }

    /// The same, for up to so long: keep-alives are not far, or are.
    pub(crate) fn pass_up_to(&mut self, time: Duration, talking: bool) {
        let millis = self.world.rng().random_range(0..time.as_millis() as u64);
        self.pass(Duration::from_millis(millis), talking);
    }

    /// All is well again from now on: within two seconds, what is under way arrives, without another word. Then everyone is
    /// heard by everyone, and stays so.
    pub(crate) fn goes_on(&mut self) {
        let since = self.world.elapsed();
        for (number, flow) in self.flows.iter_mut().enumerate() {
            flow.drain(&mut self.world);
            let took = self.world.elapsed() - since;
            let case = &self.case;
            assert!(
                took <= Duration::from_secs(2),
                "{case}: flow {number} has arrived after {took:?}"
            );
        }
        let since = self.world.elapsed();
        self.pass(Duration::from_secs(40), true);
        let (end, case) = (self.world.elapsed(), &self.case);
        for (number, flow) in self.flows.iter().enumerate() {
            let first = flow.arrivals.iter().find(|&&at| at > since);
            let pause = first.map(|&at| at - since);
            assert!(
                pause.is_some_and(|pause| pause <= Duration::from_secs(2)),
                "{case}: flow {number} goes on after {pause:?}"
            );
            let last = flow.arrivals.last().unwrap();
            assert!(*last + 4 * PACE > end, "{case}: flow {number} has ended");
        }
        for flow in &mut self.flows {
            flow.drain(&mut self.world);
        }
        let clients = self.world.coordinator(self.coordinator).clients();
        assert_eq!(clients, 2, "{case}");
    }
}

const PACE: Duration = Duration::from_millis(200);
