//! The Coordinator and the Clients, and what they tell.

use std::time::Duration;

use conec_core::{
    ClientConfig, ClientEvent, ClientId, ClientState, CoordinatorConfig, CoordinatorEvent,
    GroupConfig, Lossy, PathPolicy, Policy,
};
use rand::Rng;

use super::{
    CLIENTS, Run,
    blows::Plan,
    order::{Group, PATIENCE},
};
use crate::{
    keys,
    sim::{Event, NodeId, World},
};

/// A Client, and how it is started.
pub(super) struct Client {
    pub(super) node: NodeId,
    pub(super) name: &'static str,
    pub(super) config: ClientConfig,
    /// Whether it is running.
    pub(super) is_up: bool,
    /// How many times it was started.
    pub(super) life: usize,
    /// Whether it has been connected since it was started last.
    pub(super) has_connected: bool,
    /// Whether it was told to end.
    pub(super) leaves: bool,
}

/// The Coordinator, and how it is started.
pub(super) struct Coordinator {
    pub(super) node: NodeId,
    pub(super) config: CoordinatorConfig,
    pub(super) is_up: bool,
    /// How many times it was started or killed.
    pub(super) life: usize,
}

impl Run {
    /// A Coordinator with three groups, and Clients that are about to connect. The seed says how the groups are, and whether the
    /// Coordinator's application is asked about members.
    pub(super) fn settle_down(seed: u64) -> Self {
        let mut world = World::new(seed);
        let asks = world.rng().random_bool(0.5);
        let kept = match world.rng().random_range(0..3) {
            0 => Lossy::new(4, 10_000),
            1 => Lossy::new(32, 64_000),
            _ => Lossy::default(),
        };
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.reset_key = Some(config.certificate.derive_key("resets"));
        config.limits.takeovers_per_minute = 1000;
        config.group.history = kept;
        if asks {
            config.groups = Policy::Ask;
        }
        let node = world.add_coordinator_with(config.clone());
        let (mut log, mut state) = (GroupConfig::default(), GroupConfig::default());
        log.history = Lossy::new(8, 20_000);
        log.push_back = Some(PATIENCE);
        state.history = Lossy::latest();
        state.max_message_size = 2000;
        let groups = [
            Group::new("room", config.group, !asks),
            Group::new("log", log, true),
            Group::new("state", state, true),
        ];
        let clients = NAMES.map(|name| add_client(&mut world, name));
        let mut run = Self {
            world,
            coordinator: Coordinator {
                node,
                config,
                is_up: true,
                life: 0,
            },
            clients,
            groups,
            orders: Vec::new(),
            seats: Vec::new(),
            plans: Vec::new(),
            trouble: false,
        };
        run.make_groups();
        for client in 0..CLIENTS {
            run.connect(client);
        }
        run
    }

    pub(super) fn connect(&mut self, client: usize) {
        let node = self.clients[client].node;
        let (now, address) = (self.world.now(), self.world.address(self.coordinator.node));
        let connects = self.world.client(node).connect(now, keys::HOST, &[address]);
        connects.expect("it was not told to before");
    }

    pub(super) fn id_of(&self, client: usize) -> ClientId {
        self.clients[client].config.identity.id()
    }

    /// Compares what the endpoints tell with what the model allows. What a member hears, the Coordinator's application has heard
    /// before.
    pub(super) fn take_events(&mut self) {
        self.take_coordinator_events();
        for client in 0..CLIENTS {
            let node = self.clients[client].node;
            while self.clients[client].is_up
                && let Some(Event::Client(event)) = self.world.next_event(node)
            {
                self.client_event(client, event);
            }
            self.check_life(client);
        }
        for seat in 0..self.seats.len() {
            if !self.seats[seat].deaf {
                self.receive(seat, usize::MAX);
            }
        }
    }

    pub(super) fn take_coordinator_events(&mut self) {
        let node = self.coordinator.node;
        while self.coordinator.is_up
            && let Some(Event::Coordinator(event)) = self.world.next_event(node)
        {
            self.coordinator_event(node, event);
        }
        self.listen();
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
            ClientEvent::Connected { .. } => self.clients[client].has_connected = true,
            ClientEvent::Group { group, event } => self.group_event(client, group, event),
            ClientEvent::Reconnecting { .. }
            | ClientEvent::Draining
            | ClientEvent::AddressObserved { .. }
            | ClientEvent::Channel { .. } => {}
            event @ (ClientEvent::Throttled { .. }
            | ClientEvent::Offered { .. }
            | ClientEvent::Learned { .. }
            | ClientEvent::NotLearned { .. }
            | ClientEvent::KeyChanged { .. }
            | ClientEvent::Introduced { .. }
            | ClientEvent::IntroductionFailed { .. }
            | _) => self.fail(&format!("what nobody has caused: {event:?}")),
        }
    }

    fn coordinator_event(&mut self, node: NodeId, event: CoordinatorEvent) {
        match event {
            CoordinatorEvent::MemberAsks { request, group, .. } => {
                let now = self.world.now();
                let coordinator = self.world.coordinator(node);
                // It may be over already.
                let _ = coordinator.grant_membership(now, request);
                let known = self.groups.iter().position(|it| it.name == group);
                self.follow(known.expect("one of ours"));
            }
            CoordinatorEvent::GroupReadable { group } => {
                let known = self.groups.iter_mut().find(|it| it.name == group);
                known.expect("one of ours").is_readable = true;
            }
            CoordinatorEvent::ClientConnected { .. } | CoordinatorEvent::Channel { .. } => {}
            event @ (CoordinatorEvent::ClientAsks { .. }
            | CoordinatorEvent::ClientJoined { .. }
            | CoordinatorEvent::PairAsks { .. }
            | CoordinatorEvent::IntroductionAsks { .. }
            | CoordinatorEvent::PairStarted { .. }
            | CoordinatorEvent::PairResumed { .. }
            | CoordinatorEvent::PairClosed { .. }
            | _) => self.fail(&format!("what nobody has caused: {event:?}")),
        }
    }
}

fn add_client(world: &mut World, name: &'static str) -> Client {
    let mut config = world.client_config(name);
    config.reconnect = true;
    config.paths.policy = PathPolicy::ProxiedOnly;
    if name == NAMES[0] {
        // Others wait for it sooner.
        config.home.max_receive_window = 128 << 10;
    }
    Client {
        node: world.add_client_with(config.clone()),
        name,
        config,
        is_up: true,
        life: 0,
        has_connected: false,
        leaves: false,
    }
}

const NAMES: [&str; CLIENTS] = ["alice", "bob", "carol", "dave"];
/// How long a Client that could not connect rests.
const SECOND_TRY: Duration = Duration::from_millis(500);
