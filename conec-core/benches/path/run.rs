//! Connections with their loads, side by side on one network.

use std::time::{Duration, Instant};

use crate::{
    connection::{Connection, End, Engine},
    link::Path,
    load::{Kind, Load},
    network::{Counts, Network},
};

/// A connection to measure, and what is done with it.
pub(crate) struct Plan<'a> {
    pub(crate) engine: Engine,
    pub(crate) load: &'a [(End, Kind)],
    /// How long after the others it begins.
    pub(crate) after: Duration,
}

/// What was seen of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Megabits per second that arrived at the far end.
    pub(crate) rate: f64,
    /// Bytes that have arrived at the far end in all.
    pub(crate) received: u64,
    /// Which part of the packets towards the far end was dropped on the way.
    pub(crate) dropped: f64,
    /// What became of those that had come to the last hop.
    pub(crate) last_hop: Counts,
    /// How long small messages took.
    pub(crate) latencies: Vec<Duration>,
    /// When and why the connection ended, if it did.
    pub(crate) death: Option<(Duration, String)>,
}

impl Seen {
    /// How many bytes of a packet are not the application's.
    pub(crate) fn headers(&self) -> f64 {
        let Counts {
            arrived,
            bytes_arrived,
            ..
        } = self.last_hop;
        (bytes_arrived as f64 - self.received as f64) / arrived.max(1) as f64
    }

    /// Which part of the bytes that arrived was there already, where a packet has so many that are not the application's.
    pub(crate) fn wasted(&self, headers: f64) -> f64 {
        let bytes = self.last_hop.bytes_arrived as f64;
        let packets = self.last_hop.arrived as f64;
        let wasted = (bytes - self.received as f64 - headers * packets) / bytes.max(1.0);
        wasted.max(0.0)
    }
}

/// Runs them for a time of which the beginning is not counted.
pub(crate) fn run(
    path: Path,
    plans: &[Plan<'_>],
    uncounted: Duration,
    time: Duration,
    seed: u64,
) -> Vec<Seen> {
    let start = Instant::now();
    let mut network = Network::new(start, path, seed);
    let connections = plans.iter().enumerate();
    let mut connections = connections
        .map(|(world, plan)| plan.engine.connect(world as u8, start))
        .collect::<Vec<_>>();
    while !connections
        .iter_mut()
        .all(|connection| connection.is_ready())
    {
        assert!(network.now < start + SETUP, "everyone can connect");
        for connection in &mut connections {
            connection.turn(network.now);
        }
        let nodes = connections
            .iter_mut()
            .flat_map(|connection| connection.nodes());
        network.turn(&mut nodes.collect::<Vec<_>>(), None);
    }
    network.begin();
    let began = network.now;
    let until = began + time;
    let mut flows = connections
        .into_iter()
        .zip(plans)
        .enumerate()
        .map(|(index, (mut connection, plan))| {
            let seed = seed * 100 + index as u64;
            let from = began + plan.after;
            let load = Load::begin(&mut *connection, plan.load, from, until, seed);
            Flow {
                connection,
                load,
                counted: [0; 2],
                death: None,
            }
        })
        .collect::<Vec<_>>();
    go(&mut network, &mut flows, began + uncounted);
    for flow in &mut flows {
        flow.counted[0] = flow.load.received(End::Far);
    }
    go(&mut network, &mut flows, until);
    for flow in &mut flows {
        flow.counted[1] = flow.load.received(End::Far);
    }
    // What is under way arrives, so that what was sent for nothing can be told from it.
    let patience = network.now + DRAIN;
    while network.now < patience
        && !flows
            .iter()
            .all(|flow| flow.death.is_some() || flow.load.is_over(network.now))
    {
        step(&mut network, &mut flows, patience);
    }
    flows
        .iter()
        .map(|flow| flow.seen(&network, time - uncounted))
        .collect()
}

struct Flow {
    connection: Box<dyn Connection>,
    load: Load,
    /// What had arrived at the far end when counting began, and when it ended.
    counted: [u64; 2],
    death: Option<(Duration, String)>,
}

impl Flow {
    fn turn(&mut self, now: Instant) {
        if self.death.is_some() || self.load.is_over(now) {
            return;
        }
        self.connection.turn(now);
        self.load.turn(now, &mut *self.connection);
        let end = self.connection.end();
        self.death = end.map(|reason| (now.saturating_duration_since(self.load.began()), reason));
    }

    fn seen(&self, network: &Network, counted: Duration) -> Seen {
        let seconds = counted.as_secs_f64();
        let [before, after] = self.counted;
        let way = self.connection.way();
        let hops = way.windows(2).map(|ends| network.counts(ends[0], ends[1]));
        let hops = hops.collect::<Vec<_>>();
        let dropped = hops.iter().map(|hop| hop.dropped).sum::<u64>();
        let sent = hops.first().map_or(0, |hop| hop.sent);
        Seen {
            rate: (after - before) as f64 * 8.0 / 1e6 / seconds,
            received: self.load.received(End::Far),
            dropped: dropped as f64 / sent.max(1) as f64,
            last_hop: hops.last().copied().unwrap_or_default(),
            latencies: self.load.latencies(network.now),
            death: self.death.clone(),
        }
    }
}

/// Everything happens until then.
fn go(network: &mut Network, flows: &mut [Flow], until: Instant) {
    while network.now < until && !flows.iter().all(|flow| flow.death.is_some()) {
        step(network, flows, until);
    }
    network.now = network.now.max(until);
}

fn step(network: &mut Network, flows: &mut [Flow], until: Instant) {
    for flow in flows.iter_mut() {
        flow.turn(network.now);
    }
    let wakes = flows.iter().filter_map(|flow| flow.load.wakes());
    let until = wakes.chain([until]).min();
    let nodes = flows
        .iter_mut()
        .filter(|flow| flow.death.is_none())
        .flat_map(|flow| flow.connection.nodes());
    network.turn(&mut nodes.collect::<Vec<_>>(), until);
}

/// How long everyone may take to connect.
const SETUP: Duration = Duration::from_secs(60);
/// How long what was sent may take to arrive: some megabytes, on the slowest of paths.
const DRAIN: Duration = Duration::from_secs(600);
