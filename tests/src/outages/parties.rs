//! The Coordinators and the Clients, and what they tell.

use std::time::Duration;

use conec_core::{
    ClientConfig, ClientEvent, ClientId, ClientState, CoordinatorConfig, CoordinatorEvent,
    PathPolicy, Policy,
};
use rand::Rng;

use super::{CLIENTS, Run, blows::Plan};
use crate::{
    keys,
    sim::{Event, NatConfig, NatId, NodeId, World},
};

/// A Client, and how it is started.
pub(super) struct Client {
    pub(super) node: NodeId,
    pub(super) config: ClientConfig,
    /// What it is behind.
    pub(super) nat: Option<NatId>,
    /// Whether it is running.
    pub(super) is_up: bool,
    /// Whether it has been connected since it was started last.
    pub(super) has_connected: bool,
    /// Whether it was told to end.
    pub(super) leaves: bool,
    /// How many times it was started. Each time it begins with the other Coordinator.
    pub(super) starts: usize,
}

/// Both places for a Coordinator.
pub(super) struct Coordinators {
    pub(super) config: CoordinatorConfig,
    pub(super) places: [Place; 2],
    /// Where the one is that the Clients belong to, or is to be.
    pub(super) present: usize,
}

/// Where a Coordinator may be.
pub(super) struct Place {
    pub(super) node: NodeId,
    pub(super) is_up: bool,
    /// How many times it was started or killed.
    pub(super) life: usize,
}

impl Coordinators {
    pub(super) fn present(&self) -> &Place {
        &self.places[self.present]
    }
}

impl Run {
    /// A Coordinator, and three Clients that are about to connect. The seed says whether they are behind NATs, whether they look for
    /// direct paths, and whether the Coordinator's application is asked about channels.
    pub(super) fn settle_down(seed: u64) -> Self {
        let mut world = World::new(seed);
        let [direct, nats, asks] = std::array::from_fn(|_| world.rng().random_bool(0.5));
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.reset_key = Some(config.certificate.derive_key("resets"));
        config.limits.takeovers_per_minute = 1000;
        if asks {
            config.channels = Policy::Ask;
        }
        let places = [true, false].map(|is_up| {
            let node = world.add_coordinator_with(config.clone());
            if !is_up {
                world.crash(node);
            }
            Place {
                node,
                is_up,
                life: 0,
            }
        });
        let clients = NAMES.map(|name| add_client(&mut world, name, direct, nats));
        let mut run = Self {
            world,
            coordinators: Coordinators {
                config,
                places,
                present: 0,
            },
            clients,
            channels: Vec::new(),
            streams: Vec::new(),
            plans: Vec::new(),
            trouble: None,
        };
        for client in 0..CLIENTS {
            run.connect(client);
        }
        run
    }

    /// Starts to connect a Client, which knows both places.
    pub(super) fn connect(&mut self, client: usize) {
        let node = self.clients[client].node;
        let starts = &mut self.clients[client].starts;
        *starts += 1;
        let first = (*starts - 1) % 2;
        let nodes = [first, 1 - first].map(|at| self.coordinators.places[at].node);
        let addresses = nodes.map(|node| self.world.address(node));
        let now = self.world.now();
        let connects = self.world.client(node).connect(now, keys::HOST, &addresses);
        connects.expect("it was not told to before");
    }

    pub(super) fn id_of(&self, client: usize) -> ClientId {
        self.clients[client].config.identity.id()
    }

    /// Compares what the endpoints tell with what the model allows.
    pub(super) fn take_events(&mut self) {
        for place in 0..self.coordinators.places.len() {
            let node = self.coordinators.places[place].node;
            while self.coordinators.places[place].is_up
                && let Some(Event::Coordinator(event)) = self.world.next_event(node)
            {
                self.coordinator_event(node, event);
            }
        }
        for client in 0..CLIENTS {
            let node = self.clients[client].node;
            while self.clients[client].is_up
                && let Some(Event::Client(event)) = self.world.next_event(node)
            {
                self.client_event(client, event);
            }
            self.check_life(client);
        }
    }

    /// A Client that was connected once goes on looking for its Coordinator. One that does not get so far is tried again.
    fn check_life(&mut self, client: usize) {
        let Client {
            node,
            is_up,
            has_connected,
            leaves,
            ..
        } = self.clients[client];
        if !is_up || leaves {
            return;
        }
        if let ClientState::Ended { reason } = self.world.client(node).state() {
            if has_connected {
                self.fail(&format!("client {client} has given up: {reason}"));
            }
            self.kill_client(client);
            self.plan(SECOND_TRY, Plan::StartClient(client));
        }
    }

    fn client_event(&mut self, client: usize, event: ClientEvent) {
        match event {
            ClientEvent::Connected { name, .. } => {
                let expected = NAMES[client];
                if name.as_ref().is_none_or(|name| name.as_str() != expected) {
                    self.fail(&format!("{expected} is called {name:?}"));
                }
                self.clients[client].has_connected = true;
            }
            ClientEvent::Reconnecting { .. }
            | ClientEvent::Draining
            | ClientEvent::AddressObserved { .. } => {}
            ClientEvent::Channel { channel, event } => self.channel_event(client, channel, event),
            event @ (ClientEvent::Offered { .. }
            | ClientEvent::Throttled { .. }
            | ClientEvent::Introduced { .. }
            | ClientEvent::IntroductionFailed { .. }
            | _) => self.fail(&format!("what nobody has caused: {event:?}")),
        }
    }

    fn coordinator_event(&mut self, node: NodeId, event: CoordinatorEvent) {
        match event {
            CoordinatorEvent::PairAsks { pair, .. } => {
                let now = self.world.now();
                // It may be over already.
                let _ = self.world.coordinator(node).grant(now, pair);
            }
            CoordinatorEvent::ClientConnected { .. }
            | CoordinatorEvent::PairStarted { .. }
            | CoordinatorEvent::PairResumed { .. }
            | CoordinatorEvent::PairClosed { .. }
            | CoordinatorEvent::Channel { .. } => {}
            event @ (CoordinatorEvent::ClientAsks { .. }
            | CoordinatorEvent::IntroductionAsks { .. }
            | _) => self.fail(&format!("what nobody has caused: {event:?}")),
        }
    }
}

fn add_client(world: &mut World, name: &str, direct: bool, nats: bool) -> Client {
    let mut config = world.client_config(name);
    config.reconnect = true;
    if !direct {
        config.paths.policy = PathPolicy::ProxiedOnly;
    }
    let node = world.add_client_with(config.clone());
    let nat = nats.then(|| world.add_nat(name, NatConfig::home()));
    if let Some(nat) = nat {
        world.put(node, nat);
    }
    Client {
        node,
        config,
        nat,
        is_up: true,
        has_connected: false,
        leaves: false,
        starts: 0,
    }
}

const NAMES: [&str; CLIENTS] = ["alice", "bob", "carol"];
/// How long a Client that could not connect rests.
const SECOND_TRY: Duration = Duration::from_millis(500);
