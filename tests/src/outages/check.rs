//! What must be so some time after the last blow.

use std::time::Duration;

use conec_core::{ChannelId, ClientState, Endpoint, Target};

use super::{CLIENTS, Run};
use crate::sim::NodeId;

impl Run {
    /// Lets all blows end, and waits until all has recovered and nothing is undecided.
    pub(super) fn settle(&mut self) {
        while let Some(at) = self.next_plan() {
            self.pass_until(at);
            self.go_on_with_plans();
        }
        self.take_events();
        self.probe();
        let since = self.world.now();
        let mut well = 0;
        loop {
            self.pass(STEP);
            let took = self.world.now() - since;
            // What was on the way when everything seemed well gets there.
            if well < 2 {
                match self.trouble_left() {
                    None => well += 1,
                    Some(trouble) if took > RECOVERY => self.fail(&trouble),
                    Some(_) => well = 0,
                }
                continue;
            }
            self.trouble = None;
            match self.undecided() {
                None => break,
                Some(what) if took > DECISION => self.fail(&what),
                Some(_) => {}
            }
        }
        for channel in &mut self.channels {
            channel.calm_down();
        }
        for index in 0..self.channels.len() {
            self.check_ended_complete(index);
        }
    }

    /// Sends something on each channel, so that it is seen to go on.
    fn probe(&mut self) {
        for index in 0..self.channels.len() {
            for side in 0..2 {
                if self.channels[index].is_open() {
                    self.send_alone((index, side));
                }
            }
        }
    }

    /// What has not recovered of Clients, and of channels that stand.
    fn trouble_left(&mut self) -> Option<String> {
        for client in 0..CLIENTS {
            if !self.is_online(client) {
                return Some(format!("client {client} is not connected"));
            }
        }
        let standing = (0..self.channels.len()).filter(|&index| {
            let channel = &self.channels[index];
            channel.stands && channel.is_open()
        });
        let mut missing = standing.filter_map(|index| self.missing_on(index));
        missing.next()
    }

    /// Whether a Client is connected to the present Coordinator, that knows where it is, and neither waits for a sign of life.
    fn is_online(&mut self, client: usize) -> bool {
        let node = self.clients[client].node;
        if !self.clients[client].is_up || !self.clients[client].has_connected {
            return false;
        }
        let it = self.world.client(node);
        let (state, home, observed) = (it.state(), it.home(), it.observed_address());
        let there = self.coordinators.present().node;
        let id = self.id_of(client);
        let coordinator = self.world.coordinator(there);
        let found = coordinator.find(Target::Id(id));
        let known = found.and_then(|session| coordinator.address(session));
        let is_there = match self.clients[client].nat {
            Some(nat) => known.map(|it| it.ip()) == self.world.outer_ip(nat),
            None => known == Some(self.world.address(node)),
        };
        state == ClientState::Connected
            && known == observed
            && is_there
            && self.is_answered(node, home)
            && found.is_some_and(|session| self.is_answered(there, session))
    }

    /// Whether all that was sent on a channel has arrived, as far as its sender knows.
    fn is_answered(&mut self, node: NodeId, channel: ChannelId) -> bool {
        let channel = self.world.channel(node, channel);
        let stats = channel.and_then(|mut channel| channel.stats());
        stats.is_some_and(|stats| stats.bytes_in_flight == 0)
    }

    /// What neither goes on nor has ended.
    fn undecided(&self) -> Option<String> {
        for (index, channel) in self.channels.iter().enumerate() {
            if channel.is_open() {
                if let Some(missing) = self.missing_on(index) {
                    return Some(missing);
                }
            } else if channel.is_left(0) || channel.is_left(1) {
                let (opened, closed) = (channel.opened, channel.closed);
                return Some(format!(
                    "channel {index} neither goes on nor is over: {opened:?}, {closed:?}"
                ));
            }
        }
        None
    }

    /// Patience pays: what was closed with enough of it has lost nothing.
    fn check_ended_complete(&self, index: usize) {
        let channel = &self.channels[index];
        if channel.ends_complete()
            && let Some(missing) = self.missing_on(index)
        {
            self.fail(&format!("closed with patience, but {missing}"));
        }
    }

    /// Everybody leaves, and nothing is left.
    pub(super) fn take_leave(&mut self) {
        for client in 0..CLIENTS {
            for index in 0..self.channels.len() {
                for side in 0..2 {
                    if self.channels[index].clients[side] == client {
                        self.close_channel((index, side), PATIENCE);
                    }
                }
            }
            let (now, node) = (self.world.now(), self.clients[client].node);
            self.clients[client].leaves = true;
            self.world.client(node).close(now, PATIENCE);
        }
        self.pass(LONG_AFTER);
        for client in 0..CLIENTS {
            self.world.check_client_ended(self.clients[client].node);
        }
        for place in 0..self.coordinators.places.len() {
            if self.coordinators.places[place].is_up {
                let node = self.coordinators.places[place].node;
                self.world.check_coordinator_deserted(node);
            }
        }
        let is_left = |it: &super::ChannelModel| it.is_left(0) || it.is_left(1);
        if self.channels.iter().any(is_left) {
            self.fail("a channel has not ended");
        }
    }
}

/// What it takes to notice, the longest pause between attempts, to connect and to claim.
pub(super) const RECOVERY: Duration = Duration::from_secs(20);
/// What is not claimed, or not answered, is given up by then.
const DECISION: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);
const LONG_AFTER: Duration = Duration::from_secs(100);
