//! Channels: home channels, and those between Clients with what the Coordinator knows of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use conec_core::{
    Channel, ChannelEvent, ChannelId, ClientId, ClientLimits, CloseReason, Code, PairId,
    SendDatagramError,
};

use super::{
    COORDINATOR, Run,
    datagrams::{Datagrams, HEADER, datagram},
    parties::{ASKING, Phase},
};

/// A channel at one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) life: usize,
    pub(super) id: ChannelId,
}

pub(super) struct ChannelModel {
    /// Who has an end: of a home channel the Client and the Coordinator, else who began it and the other.
    pub(super) lives: [usize; 2],
    /// The Coordinator that has arranged it.
    coordinator: usize,
    /// The ends, as soon as something is known of them.
    pub(super) ends: [Option<End>; 2],
    pub(super) opened: [bool; 2],
    pub(super) closed: [Option<CloseReason>; 2],
    /// Somebody did something that may end it, or keep it from opening.
    pub(super) disturbed: bool,
    /// The network was not sound at some time before it opened.
    pub(super) shaken: bool,
    /// With what somebody has ended it.
    codes: Vec<Code>,
    since: Instant,
    /// From each end to the other.
    datagrams: [Datagrams; 2],
}

/// A peer channel as the Coordinator's application knows it.
pub(super) struct Pair {
    pub(super) channel: usize,
    pub(super) started: bool,
    pub(super) closed: bool,
}

impl ChannelModel {
    pub(super) fn is_home(&self) -> bool {
        self.lives[1] == self.coordinator
    }

    /// Those without which it cannot be.
    pub(super) fn all_lives(&self) -> [usize; 3] {
        let [first, second] = self.lives;
        [first, second, self.coordinator]
    }

    pub(super) fn concerns(&self, life: usize) -> bool {
        self.all_lives().contains(&life)
    }

    /// Notes that a home channel has reached a Coordinator: perhaps another than the one that was there when it set out.
    /// Whether it had reached none before.
    pub(super) fn reaches(&mut self, end: End) -> bool {
        self.coordinator = end.life;
        self.lives[1] = end.life;
        self.ends[1].replace(end).is_none()
    }

    /// Whether a Client has given up connecting.
    pub(super) fn was_given_up(&self) -> bool {
        let timed_out = self.closed[0] == Some(CloseReason::TimedOut);
        self.is_home() && timed_out && !self.opened[0]
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened == [true; 2] && self.closed == [None; 2]
    }
}

impl Run {
    pub(super) fn add_home(&mut self, client: usize, coordinator: usize) -> usize {
        let home = End {
            life: client,
            id: ChannelId::HOME,
        };
        self.add_channel([client, coordinator], [Some(home), None])
    }

    fn add_channel(&mut self, lives: [usize; 2], ends: [Option<End>; 2]) -> usize {
        // A home channel that is being ended ends this one too: in an earlier life of the party as well, if the
        // Coordinator has not heard of its end yet.
        let parties = lives.map(|life| self.lives[life].party);
        let earlier = self
            .lives
            .iter()
            .filter(|life| parties.contains(&life.party));
        let homes = earlier.filter_map(|life| life.home);
        let codes = homes.filter_map(|home| self.channels.get(home));
        let codes = codes.flat_map(|home| home.codes.clone()).collect();
        self.channels.push(ChannelModel {
            lives,
            coordinator: self.current[COORDINATOR],
            ends,
            opened: [false; 2],
            closed: [None; 2],
            disturbed: false,
            shaken: !self.sound,
            codes,
            since: self.world.now(),
            datagrams: Default::default(),
        });
        self.channels.len() - 1
    }

    pub(super) fn open_channel(&mut self, from: usize, to: usize) {
        self.take_events();
        let lives = [self.current[from], self.current[to]];
        let Some(node) = self.living(lives[0]) else {
            return;
        };
        if self.channels.len() >= MAX_CHANNELS {
            return;
        }
        let (now, id) = (self.world.now(), self.id_of(to));
        let label = label(self.channels.len());
        match self.world.client(node).open_channel(now, id, &label) {
            Ok(id) => {
                let life = lives[0];
                let index = self.add_channel(lives, [Some(End { life, id }), None]);
                self.channels[index].disturbed = !self.can_meet(lives);
            }
            Err(error) if self.is_online(lives[0]) => {
                self.fail(&format!("cannot ask for a channel: {error}"));
            }
            Err(_) => {}
        }
    }

    pub(super) fn connect(&mut self, from: usize, to: usize) {
        self.take_events();
        let lives = [self.current[from], self.current[to]];
        let coordinator = self.current[COORDINATOR];
        let Some(node) = self.living(coordinator) else {
            return;
        };
        if self.channels.len() >= MAX_CHANNELS {
            return;
        }
        let [from, to] = [from, to].map(|party| self.id_of(party));
        let (now, label) = (self.world.now(), label(self.channels.len()));
        let connected = self.world.coordinator(node).connect(now, from, to, &label);
        match connected {
            Ok(pair) => {
                let channel = self.add_channel(lives, [None; 2]);
                self.channels[channel].disturbed = !self.can_meet(lives);
                self.add_pair(coordinator, pair, channel);
            }
            Err(error) if self.can_meet(lives) => {
                self.fail(&format!("cannot connect two clients: {error}"));
            }
            Err(_) => {}
        }
    }

    /// Whether a life's home channel stands, and nothing is about to end it.
    fn is_online(&self, life: usize) -> bool {
        let home = self.lives[life].home.map(|home| &self.channels[home]);
        home.is_some_and(|home| home.is_open() && !home.disturbed)
    }

    /// Whether nothing is in the way of a channel between these.
    fn can_meet(&self, lives: [usize; 2]) -> bool {
        let coordinator = self.party_life(COORDINATOR);
        coordinator.phase == Phase::Running
            && !coordinator.lagging
            && lives
                .iter()
                .all(|&life| self.is_online(life) && !self.lives[life].lagging)
    }

    fn add_pair(&mut self, coordinator: usize, id: PairId, channel: usize) {
        let pair = Pair {
            channel,
            started: false,
            closed: false,
        };
        if self.pairs.insert((coordinator, id), pair).is_some() {
            self.fail("two pairs have the same number");
        }
    }

    /// A Client was offered a channel.
    pub(super) fn offered(&mut self, life: usize, id: ChannelId, peer: ClientId, label: &Bytes) {
        let end = End { life, id };
        let (index, side) = self.meet(end, label);
        let other = self.channels[index].lives[1 - side];
        if peer != self.id_of(self.lives[other].party) || self.lives[life].party != ASKING {
            self.fail(&format!("an offer of channel {index} with {peer}"));
        }
        self.lives[life].offers.push(id);
    }

    /// A Client's application accepts the oldest offer, or rejects it with a code. Whether there was one.
    pub(super) fn answer_next(&mut self, party: usize, rejection: Option<Code>) -> bool {
        self.take_events();
        let life = self.current[party];
        let Some(node) = self.living(life) else {
            return false;
        };
        if self.lives[life].offers.is_empty() {
            return false;
        }
        let id = self.lives[life].offers.remove(0);
        let now = self.world.now();
        let client = self.world.client(node);
        let answered = match rejection {
            None => client.accept(now, id),
            Some(code) => client.reject(now, id, code),
        };
        let Some((index, side)) = self.find_end(End { life, id }) else {
            self.fail("an offer of an unknown channel");
        };
        let lagging = self.lives[life].lagging;
        let channel = &mut self.channels[index];
        let late = now - channel.since > IN_TIME;
        // It may be over, of which an application that lags behind has not heard.
        let known = channel.closed[side].is_some() || lagging && channel.disturbed;
        channel.disturbed |= rejection.is_some() || late;
        channel.codes.extend(rejection);
        if answered.is_err() && !known && !late {
            self.fail("an offer cannot be answered");
        }
        true
    }

    pub(super) fn pair_asks(
        &mut self,
        coordinator: usize,
        pair: PairId,
        ids: [ClientId; 2],
        label: &Bytes,
    ) {
        let channel = self.labelled(label);
        self.check_ids(channel, ids);
        self.add_pair(coordinator, pair, channel);
        let deny = std::mem::take(&mut self.denying);
        self.channels[channel].disturbed |= deny;
        let (now, node) = (self.world.now(), self.nodes[COORDINATOR]);
        let coordinator = self.world.coordinator(node);
        // It may be over already.
        let _ = match deny {
            true => coordinator.deny(now, pair),
            false => coordinator.grant(now, pair),
        };
    }

    pub(super) fn pair_started(&mut self, coordinator: usize, id: PairId, ids: [ClientId; 2]) {
        let Some(pair) = self.pairs.get_mut(&(coordinator, id)) else {
            self.fail("an unknown pair has started");
        };
        let channel = pair.channel;
        if pair.closed || std::mem::replace(&mut pair.started, true) {
            self.fail("a pair starts twice, or after its end");
        }
        self.check_ids(channel, ids);
    }

    pub(super) fn pair_closed(&mut self, coordinator: usize, id: PairId, reason: CloseReason) {
        let Some(pair) = self.pairs.get_mut(&(coordinator, id)) else {
            self.fail("an unknown pair is closed");
        };
        let channel = pair.channel;
        if std::mem::replace(&mut pair.closed, true) || !self.may_end(channel) {
            self.fail(&format!("a pair closed by itself, or twice: {reason}"));
        }
    }

    fn check_ids(&self, channel: usize, ids: [ClientId; 2]) {
        let lives = self.channels[channel].lives;
        if ids != lives.map(|life| self.id_of(self.lives[life].party)) {
            self.fail(&format!("channel {channel} is taken for one of {ids:?}"));
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nothing else may be told of a channel that nobody knows"
    )]
    pub(super) fn channel_event(&mut self, life: usize, id: ChannelId, event: ChannelEvent) {
        let end = End { life, id };
        let Some((index, side)) = self.find_end(end) else {
            match event {
                ChannelEvent::Opened => {
                    let opened = self
                        .world
                        .opened_with(self.nodes[self.lives[life].party], id);
                    let Some(label) = opened.map(|peer| peer.label.clone()) else {
                        self.fail("an unknown channel opened");
                    };
                    self.meet(end, &label);
                    return self.channel_event(life, id, ChannelEvent::Opened);
                }
                // One that was accepted and never opened: its end is all that is told of it.
                ChannelEvent::Closed { .. } if self.lives[life].party != ASKING => return,
                event => self.fail(&format!("an event of an unknown channel: {event:?}")),
            }
        };
        match event {
            ChannelEvent::Opened => {
                let twice = std::mem::replace(&mut self.channels[index].opened[side], true);
                if twice || self.channels[index].closed[side].is_some() {
                    self.fail("a channel opened twice, or after its end");
                }
            }
            ChannelEvent::Closed { reason } => self.closed(index, side, reason),
            ChannelEvent::StreamOpened { stream, label } => {
                self.stream_opened(life, index, stream, &label);
            }
            ChannelEvent::SendEnded { stream, end } => self.send_ended(life, stream, end),
            ChannelEvent::RecvEnded { stream, end } => self.recv_ended(life, stream, end),
            ChannelEvent::Readable { stream } => self.readable(life, stream),
            ChannelEvent::Writable { stream } => self.writable(life, stream),
            ChannelEvent::StreamsAvailable { .. }
            | ChannelEvent::DatagramsReadable
            | ChannelEvent::DatagramsWritable
            | ChannelEvent::PathChanged { .. }
            | ChannelEvent::Silent
            | ChannelEvent::Audible
            | ChannelEvent::Closing => {}
            event => self.fail(&format!("an event that the model does not know: {event:?}")),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other reason is somebody's fault, and nobody is at fault here"
    )]
    fn closed(&mut self, index: usize, side: usize, reason: CloseReason) {
        let may_end = self.may_end(index);
        let channel = &mut self.channels[index];
        let twice = channel.closed[side].replace(reason).is_some();
        let plausible = match reason {
            CloseReason::Application(code) => channel.codes.contains(&code),
            CloseReason::Local | CloseReason::Remote(_) | CloseReason::TimedOut => true,
            CloseReason::CoordinatorLost => !channel.is_home(),
            // QUIC does not tell the code of an end during the handshake (RFC 9000, 10.2.3).
            CloseReason::Transport(APPLICATION_ERROR) => !channel.opened[side],
            // Of a Coordinator that has started anew.
            CloseReason::Reset => channel.is_home() && side == 0,
            _ => false,
        };
        if twice || !may_end || !plausible {
            self.fail(&format!(
                "channel {index} closed so, by itself, or twice: {reason}"
            ));
        }
        let Some(end) = self.channels[index].ends[side] else {
            return;
        };
        self.lives[end.life].offers.retain(|&id| id != end.id);
        self.check_halves_ended(index, end);
        if end.id == ChannelId::HOME {
            self.lives[end.life].phase = Phase::Ended;
            let outlives = |channel: &ChannelModel| {
                let sides = channel.ends.iter().zip(channel.closed);
                sides
                    .filter(|(of, _)| of.is_some_and(|of| of.life == end.life))
                    .any(|(_, closed)| closed.is_none())
            };
            if self.channels.iter().any(outlives) {
                self.fail("a channel outlives its client's home channel");
            }
        }
    }

    /// Whether a channel may end. From now on it may, whatever comes.
    fn may_end(&mut self, index: usize) -> bool {
        let waiting = |end: &End| self.lives[end.life].offers.contains(&end.id);
        let unanswered = self.channels[index].ends.iter().flatten().any(waiting);
        let channel = &mut self.channels[index];
        let waited = self.world.now() - channel.since;
        // Handshakes have a deadline, and a few packets lost in a row take them beyond it.
        let patience = ClientLimits::default().handshake_timeout;
        let gives_up = channel.is_home() && channel.shaken && waited >= patience;
        channel.disturbed |= unanswered && waited > IN_TIME;
        channel.disturbed |= gives_up && channel.opened != [true; 2];
        channel.disturbed
    }

    /// Does something with a channel that may end it, with a code or without.
    pub(super) fn on_channel(
        &mut self,
        channel: u8,
        side: u8,
        code: Option<Code>,
        act: impl FnOnce(&mut Channel<'_>, Instant),
    ) {
        let (index, side) = (
            usize::from(channel) % self.channels.len(),
            usize::from(side % 2),
        );
        let now = self.world.now();
        let Some(end) = self.channels[index].ends[side] else {
            return;
        };
        let node = self.living(end.life);
        if let Some(mut channel) = node.and_then(|node| self.world.channel(node, end.id)) {
            act(&mut channel, now);
            // With a home channel everything of that Client ends.
            let home = self.channels[index].is_home();
            let client = self.channels[index].lives[0];
            for (other, channel) in self.channels.iter_mut().enumerate() {
                if other == index || home && channel.concerns(client) {
                    channel.disturbed = true;
                    channel.codes.extend(code);
                }
            }
        }
    }

    pub(super) fn send_datagram(&mut self, channel: usize, side: u8, size: u8) {
        let (index, side) = (channel % self.channels.len(), usize::from(side % 2));
        let Some(end) = self.channels[index].ends[side] else {
            return;
        };
        let number = self.channels[index].datagrams[side].sent;
        let datagram = datagram((index, side), number, 5 * usize::from(size));
        let node = self.living(end.life);
        let Some(mut channel) = node.and_then(|node| self.world.channel(node, end.id)) else {
            return;
        };
        match channel.send_datagram(datagram) {
            Ok(()) => self.channels[index].datagrams[side].sent += 1,
            Err(SendDatagramError::TooLarge { max }) if max < HEADER + 5 * usize::from(size) => {}
            Err(SendDatagramError::Blocked | SendDatagramError::Closed) => {}
            Err(error) => self.fail(&format!("cannot send a datagram: {error}")),
        }
    }

    /// Takes the datagrams that have arrived at an end. Each was sent at the other, and comes once.
    pub(super) fn recv_datagrams(&mut self, index: usize, side: usize) {
        let Some(end) = self.channels[index].ends[side] else {
            return;
        };
        let node = self.living(end.life);
        let Some(mut channel) = node.and_then(|node| self.world.channel(node, end.id)) else {
            return;
        };
        let received: Vec<_> = std::iter::from_fn(|| channel.recv_datagram()).collect();
        let flow = &mut self.channels[index].datagrams[1 - side];
        for bytes in received {
            if !flow.receive((index, 1 - side), &bytes) {
                self.fail("a datagram that was not sent, or comes twice");
            }
        }
    }

    /// Which channel, and which of its ends, this is.
    pub(super) fn find_end(&self, end: End) -> Option<(usize, usize)> {
        let channels = self.channels.iter().enumerate();
        channels.rev().find_map(|(index, channel)| {
            let side = channel.ends.iter().position(|&of| of == Some(end))?;
            Some((index, side))
        })
    }

    /// Notes the end of a channel that is known by its label so far.
    fn meet(&mut self, end: End, label: &Bytes) -> (usize, usize) {
        let index = self.labelled(label);
        // Perhaps the Client has started anew since it was asked for.
        let party = self.lives[end.life].party;
        let free = |&side: &usize| {
            let channel = &self.channels[index];
            channel.ends[side].is_none() && self.lives[channel.lives[side]].party == party
        };
        let Some(side) = [0, 1].into_iter().find(free) else {
            self.fail(&format!("channel {index} has no such end"));
        };
        let channel = &mut self.channels[index];
        channel.lives[side] = end.life;
        channel.ends[side] = Some(end);
        (index, side)
    }

    fn labelled(&self, label: &Bytes) -> usize {
        let number = label[..].try_into().map(u32::from_be_bytes);
        let index = number.map_or(usize::MAX, |number| number as usize);
        if self.channels.get(index).is_none_or(ChannelModel::is_home) {
            self.fail("a channel of an unknown label");
        }
        index
    }
}

fn label(index: usize) -> [u8; 4] {
    (index as u32).to_be_bytes()
}

/// Whoever is asked for an answer and gives it within this time is in time, whatever the network does.
const IN_TIME: Duration = Duration::from_secs(20);
const APPLICATION_ERROR: u64 = 0x0c;
/// Home channels included.
const MAX_CHANNELS: usize = 28;
