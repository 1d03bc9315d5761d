//! What must be so when everything that can happen by itself has happened.

use std::time::Duration;

use conec_core::{Endpoint, Target};

use super::{
    COORDINATOR, PARTIES, Run,
    channels::ChannelModel,
    parties::{ASKING, Phase},
    streams::StreamModel,
};
use crate::sim::LinkConfig;

impl Run {
    /// Ends all faults, has every application do its part until nothing moves any more, and compares what there is with
    /// the model.
    pub(super) fn settle(&mut self) {
        self.set_network(&LinkConfig::default());
        for party in 0..PARTIES {
            self.cut(party, false);
            if self.party_life(party).lagging {
                self.lag(party, false);
            }
        }
        self.calm_down();
        if self.retry() {
            self.calm_down();
        }
        for index in 0..self.channels.len() {
            self.check_channel(index);
        }
        for (index, stream) in self.streams.iter().enumerate() {
            self.check_stream(index, stream);
        }
        self.check_pairs();
        self.check_online();
    }

    /// Has every application do its part until nothing moves any more.
    fn calm_down(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET_STEPS {
            quiet += 1;
            self.take_events();
            while self.answer_next(ASKING, None) {}
            for stream in 0..self.streams.len() {
                for side in 0..2 {
                    if self.recv(stream, side, usize::MAX) {
                        quiet = 0;
                    }
                }
            }
            for channel in 0..self.channels.len() {
                self.recv_datagrams(channel, 0);
                self.recv_datagrams(channel, 1);
            }
            self.world.run_for(STEP);
        }
        self.take_events();
    }

    /// Whether a channel is open, and nobody who has an end of it has crashed.
    fn stands(&self, index: usize) -> bool {
        let channel = &self.channels[index];
        let mut lives = channel.all_lives().into_iter();
        channel.is_open() && lives.all(|life| self.living(life).is_some())
    }

    /// A channel is open at both ends, or over at both.
    fn check_channel(&self, index: usize) {
        let channel = &self.channels[index];
        if !channel.disturbed && !channel.is_open() {
            self.fail(&format!("channel {index} did not open"));
        }
        let mut lives = channel.all_lives().into_iter();
        let mut pairs = self.pairs.values().filter(|pair| pair.channel == index);
        let over = channel.closed.iter().any(Option::is_some)
            || lives.any(|life| self.living(life).is_none())
            || pairs.any(|pair| pair.closed);
        let ends = channel.ends.iter().zip(channel.closed);
        let left = ends
            .filter_map(|(end, closed)| end.filter(|_| closed.is_none()))
            .any(|end| self.living(end.life).is_some());
        if over && left {
            self.fail(&format!(
                "channel {index} is over, and one end does not know"
            ));
        }
        if !over && !channel.is_open() {
            self.fail(&format!("channel {index} neither opened nor closed"));
        }
    }

    /// On an open channel, everything that was sent has arrived, and every end with it.
    fn check_stream(&self, index: usize, stream: &StreamModel) {
        if !self.stands(stream.channel) {
            return;
        }
        for flow in stream.flows.iter().flatten() {
            if !flow.is_complete(stream.halves[1].is_none()) {
                self.fail(&format!(
                    "stream {index} is not complete: {} of {} received, ends {:?} and {:?}",
                    flow.received,
                    flow.sent.len(),
                    flow.send_end,
                    flow.recv_end
                ));
            }
        }
    }

    /// The Coordinator's application knows of the same channels between Clients as the Clients do.
    fn check_pairs(&self) {
        let coordinator = self.current[COORDINATOR];
        if self.living(coordinator).is_none() {
            return;
        }
        for (&(life, id), pair) in &self.pairs {
            let known = pair.started && !pair.closed;
            if life == coordinator && known != self.stands(pair.channel) {
                self.fail(&format!("{id:?} is not what its ends are"));
            }
        }
    }

    /// Those are online who should be, at both sides and under the right address.
    pub(super) fn check_online(&mut self) {
        let coordinator = self.current[COORDINATOR];
        let mut online = 0;
        for party in 1..PARTIES {
            let life = self.current[party];
            let home = self.lives[life].home.filter(|&home| self.stands(home));
            let end = home.and_then(|home| self.channels[home].ends[1]);
            let Some(end) = end.filter(|end| end.life == coordinator) else {
                continue;
            };
            online += 1;
            let (node, at) = (self.nodes[party], self.nodes[COORDINATOR]);
            let (id, address) = (self.id_of(party), self.world.address(node));
            let client = self.world.client(node);
            let known = (client.is_connected(), client.observed_address());
            let coordinator = self.world.coordinator(at);
            let found = coordinator.find(Target::Id(id));
            let address_there = coordinator.address(end.id);
            if known != (true, Some(address))
                || (found, address_there) != (Some(end.id), Some(address))
            {
                self.fail(&format!(
                    "party {party} at {address}: {known:?}, but {found:?} at {address_there:?}"
                ));
            }
        }
        if self.lives[coordinator].phase == Phase::Running {
            let clients = self.world.coordinator(self.nodes[COORDINATOR]).clients();
            if clients != online {
                self.fail(&format!("{clients} clients instead of {online}"));
            }
        }
    }

    /// Everybody leaves: the Clients by themselves, or since their Coordinator does.
    pub(super) fn take_leave(&mut self) {
        let leaving = match self.channels.len() % 2 {
            0 => 1..PARTIES,
            _ => COORDINATOR..PARTIES,
        };
        for party in leaving {
            self.leave(party, PATIENCE);
        }
        self.world.run_for(Duration::from_secs(100));
        self.take_events();
    }

    pub(super) fn check_nothing_left(&mut self) {
        for party in 0..PARTIES {
            let Some(node) = self.living(self.current[party]) else {
                continue;
            };
            if party == COORDINATOR {
                self.world.check_coordinator_deserted(node);
            } else {
                self.world.check_client_ended(node);
            }
        }
        let coordinator = self.current[COORDINATOR];
        if let Some(node) = self.living(coordinator)
            && self.lives[coordinator].phase == Phase::Leaving
            && !self.world.coordinator(node).is_finished()
        {
            self.fail("the coordinator has not finished");
        }
        let left = |channel: &ChannelModel| {
            let mut ends = channel.ends.iter().zip(channel.closed);
            ends.any(|(end, closed)| {
                closed.is_none() && end.is_some_and(|end| self.living(end.life).is_some())
            })
        };
        if self.channels.iter().any(left) {
            self.fail("a channel has not ended");
        }
    }
}

const STEP: Duration = Duration::from_millis(500);
/// Longer than any timeout.
const QUIET_STEPS: u32 = 140;
const PATIENCE: Duration = Duration::from_secs(5);
