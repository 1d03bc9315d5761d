//! The Coordinator and the Clients, from each start of theirs to its end or crash.

use std::{net::SocketAddr, time::Duration};

use conec_core::{
    ChannelId, ClientConfig, ClientEvent, ClientId, CoordinatorConfig, CoordinatorEvent,
    CoordinatorLimits, Endpoint, Policy,
};

use super::{COORDINATOR, PARTIES, Run, channels::End};
use crate::{
    keys,
    sim::{Event, LinkConfig, NodeId, World},
};

/// A party from one start on.
pub(super) struct Life {
    pub(super) party: usize,
    pub(super) phase: Phase,
    /// A Client's home channel.
    pub(super) home: Option<usize>,
    pub(super) lagging: bool,
    /// Offers that the application has not answered, oldest first.
    pub(super) offers: Vec<ChannelId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// It was told to end.
    Leaving,
    /// It has told that it has ended.
    Ended,
    Crashed,
}

/// A node for each party, on which nothing runs yet that matters.
pub(super) fn settle_down(world: &mut World) -> [NodeId; PARTIES] {
    [
        world.add_coordinator_with(coordinator_config()),
        world.add_client("a"),
        world.add_client("b"),
        world.add_client("c"),
    ]
}

impl Run {
    /// The number of a life that goes on: one whose endpoint can be used.
    pub(super) fn living(&self, life: usize) -> Option<NodeId> {
        let Life { party, phase, .. } = self.lives[life];
        (self.current[party] == life && phase != Phase::Crashed).then_some(self.nodes[party])
    }

    pub(super) fn party_life(&self, party: usize) -> &Life {
        &self.lives[self.current[party]]
    }

    pub(super) fn id_of(&self, party: usize) -> ClientId {
        keys::identity(party as u16).id()
    }

    /// Starts a party on its node, and connects it if it is a Client.
    pub(super) fn begin(&mut self, party: usize) {
        let (node, life) = (self.nodes[party], self.lives.len());
        self.current[party] = life;
        self.lives.push(Life {
            party,
            phase: Phase::Running,
            home: None,
            lagging: false,
            offers: Vec::new(),
        });
        self.world.crash(node);
        self.world.set_lagging(node, false);
        if party == COORDINATOR {
            return self.world.restart_coordinator(node, coordinator_config());
        }
        let config = client_config(&self.world, party, life);
        self.world.restart_client(node, config);
        let coordinator = self.current[COORDINATOR];
        let home = self.add_home(life, coordinator);
        self.lives[life].home = Some(home);
        self.world.start_connecting(node, self.nodes[COORDINATOR]);
        // Another life of the same Client may be taken over from, but not any number of times a minute.
        let before = self.lives.iter().filter(|life| life.party == party).count() - 1;
        let takeovers = CoordinatorLimits::default().takeovers_per_minute as usize;
        let refused = self.lives[coordinator].phase != Phase::Running || before > takeovers;
        if refused || self.lives[coordinator].lagging || self.cut[COORDINATOR] {
            self.disturb(life);
        }
    }

    pub(super) fn leave(&mut self, party: usize, patience: Duration) {
        let life = self.current[party % PARTIES];
        let Some(node) = self.living(life) else {
            return;
        };
        if self.lives[life].phase == Phase::Running {
            self.lives[life].phase = Phase::Leaving;
        }
        let now = self.world.now();
        if self.lives[life].party == COORDINATOR {
            self.world.coordinator(node).close(now, patience);
        } else {
            self.world.client(node).close(now, patience);
        }
        self.disturb(life);
    }

    pub(super) fn crash(&mut self, party: usize) {
        let life = self.current[party % PARTIES];
        self.take_events();
        if let Some(node) = self.living(life) {
            self.lives[life].phase = Phase::Crashed;
            self.world.crash(node);
            self.disturb(life);
        }
    }

    pub(super) fn restart(&mut self, party: usize) {
        if self.lives.len() < MAX_LIVES {
            self.crash(party);
            let party = party % PARTIES;
            self.set_cut(party, false);
            self.begin(party);
        }
    }

    /// Has the Clients that have given up connecting try again. Whether there are any.
    pub(super) fn retry(&mut self) -> bool {
        let gave_up = |&party: &usize| {
            let home = self.party_life(party).home;
            home.is_some_and(|home| self.channels[home].was_given_up())
        };
        let again: Vec<_> = (1..PARTIES).filter(gave_up).collect();
        for &party in &again {
            self.begin(party);
        }
        !again.is_empty()
    }

    pub(super) fn rebind(&mut self, party: usize) {
        let life = self.current[party];
        // While a channel is being set up nothing is sent for long, so a move can outlast the patience for it.
        self.take_events();
        self.disturb_unopened(life);
        self.move_away(party);
    }

    pub(super) fn lag(&mut self, party: usize, lagging: bool) {
        let life = self.current[party % PARTIES];
        if let Some(node) = self.living(life) {
            self.take_events();
            // Whatever its application would be asked may have to wait too long.
            self.disturb_unopened(life);
            self.lives[life].lagging = lagging;
            self.world.set_lagging(node, lagging);
        }
    }

    pub(super) fn cut(&mut self, party: usize, cut: bool) {
        self.set_cut(party % PARTIES, cut);
        if cut {
            self.disturb(self.current[party % PARTIES]);
        }
    }

    pub(super) fn set_network(&mut self, config: &LinkConfig) {
        self.world.network.set_all(config);
        self.sound = *config == LinkConfig::default();
        for channel in &mut self.channels {
            channel.shaken |= !self.sound && channel.opened != [true; 2];
        }
    }

    pub(super) fn set_cut(&mut self, party: usize, cut: bool) {
        self.cut[party] = cut;
        self.world.set_up(self.nodes[party], !cut);
    }

    /// Something may end all channels of a life.
    pub(super) fn disturb(&mut self, life: usize) {
        for channel in &mut self.channels {
            channel.disturbed |= channel.concerns(life);
        }
    }

    fn disturb_unopened(&mut self, life: usize) {
        for channel in &mut self.channels {
            channel.disturbed |= channel.concerns(life) && channel.opened != [true; 2];
        }
    }

    fn move_away(&mut self, party: usize) {
        let node = self.nodes[party];
        let address = self.world.address(node);
        let port = 6000 + address.port() % 20_000;
        let address = SocketAddr::new(address.ip(), port + 1);
        self.world.rebind(node, address);
    }

    /// Compares what the endpoints tell with what the model allows.
    pub(super) fn take_events(&mut self) {
        for party in 0..PARTIES {
            let life = self.current[party];
            while let Some(node) = self.living(life)
                && let Some(event) = self.world.next_event(node)
            {
                if self.lives[life].phase == Phase::Ended {
                    self.fail(&format!("an event after the end: {event:?}"));
                }
                match event {
                    Event::Client(event) => self.client_event(life, event),
                    Event::Coordinator(event) => self.coordinator_event(life, event),
                }
            }
        }
    }

    fn client_event(&mut self, life: usize, event: ClientEvent) {
        match event {
            ClientEvent::Connected { name, .. } => {
                let expected = NAMES[self.lives[life].party];
                if name.as_ref().is_none_or(|name| name.as_str() != expected) {
                    self.fail(&format!("{expected} is called {name:?}"));
                }
            }
            ClientEvent::AddressObserved { .. } | ClientEvent::Throttled { .. } => {}
            ClientEvent::Offered {
                channel,
                peer,
                label,
                ..
            } => self.offered(life, channel, peer, &label),
            ClientEvent::Channel { channel, event } => self.channel_event(life, channel, event),
            event @ (ClientEvent::Reconnecting { .. }
            | ClientEvent::Introduced { .. }
            | ClientEvent::IntroductionFailed { .. }
            | _) => self.fail(&format!("an event that the model does not know: {event:?}")),
        }
    }

    fn coordinator_event(&mut self, life: usize, event: CoordinatorEvent) {
        match event {
            CoordinatorEvent::ClientAsks {
                client,
                id,
                name,
                token,
                certified: _,
            } => {
                let asking = token.as_ref().try_into().map(u32::from_be_bytes);
                let asking = asking.map_or(usize::MAX, |life| life as usize);
                let Some(of) = self.lives.get(asking).map(|life| (life.party, life.home)) else {
                    self.fail("nobody has this token");
                };
                let (party, Some(home)) = of else {
                    self.fail("not a client's token");
                };
                let named = name.as_ref().is_some_and(|it| it.as_str() == NAMES[party]);
                if id != self.id_of(party) || !named {
                    self.fail(&format!("party {party} is taken for {id}, {name:?}"));
                }
                let end = End { life, id: client };
                if !self.channels[home].reaches(end) {
                    self.fail("a client asks twice");
                }
                let (now, node) = (self.world.now(), self.nodes[COORDINATOR]);
                // It may be gone already.
                let _ = self.world.coordinator(node).admit(now, client, name);
            }
            CoordinatorEvent::ClientConnected { client, id, .. } => {
                let end = End { life, id: client };
                let party = self
                    .find_end(end)
                    .map(|(index, _)| self.lives[self.channels[index].lives[0]].party);
                if party.is_none_or(|party| self.id_of(party) != id) {
                    self.fail(&format!("{id} is connected, who did not ask"));
                }
            }
            CoordinatorEvent::PairAsks {
                pair,
                from,
                to,
                label,
            } => self.pair_asks(life, pair, [from, to], &label),
            CoordinatorEvent::PairStarted { pair, from, to } => {
                self.pair_started(life, pair, [from, to]);
            }
            CoordinatorEvent::PairClosed { pair, reason } => self.pair_closed(life, pair, reason),
            CoordinatorEvent::Channel { channel, event } => {
                self.channel_event(life, channel, event);
            }
            event @ (CoordinatorEvent::IntroductionAsks { .. }
            | CoordinatorEvent::PairResumed { .. }
            | _) => self.fail(&format!("an event that the model does not know: {event:?}")),
        }
    }
}

fn coordinator_config() -> CoordinatorConfig {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Ask;
    config.channels = Policy::Ask;
    config.reset_key = Some([7; 32].into());
    config
}

/// The party's settings in a life, which its token names. Every other Client asks its application about offers.
fn client_config(world: &World, party: usize, life: usize) -> ClientConfig {
    let mut config = world.client_config(NAMES[party]);
    config.identity = keys::identity(party as u16);
    config.token = (life as u32).to_be_bytes()[..].into();
    config.auto_accept = party != ASKING;
    config
}

/// The Client whose application is asked about offers.
pub(super) const ASKING: usize = 2;
const NAMES: [&str; PARTIES] = ["coordinator", "a", "b", "c"];
const MAX_LIVES: usize = 16;
