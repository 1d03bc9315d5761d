//! What Client and Coordinator have in common: channels on their links, time, and the order in which things are dealt with.
//!
//! A [`Host`] is driven by the [`Role`] that has it. What happens on links and channels is dealt with here, but for what only
//! the role understands, which it is given as a [`HostEvent`].

mod leftovers;
mod memory;
mod sharing;
mod table;

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tracing::{Span, field, span::EnteredSpan};

use self::{
    leftovers::Leftovers,
    memory::Memory,
    table::{Entry, Table, mark},
};
pub(crate) use self::{
    leftovers::{Account, Party},
    table::Hosted,
};
use crate::{
    Channel, ChannelEvent, ChannelId, CloseReason, EndpointStats, TimeoutCause, Transmit,
    Violation,
    buffers::{Batch, Buffers},
    channel::{ChannelCore, Notice},
    memory::Shares,
    transport::{Arrival, EngineId, Link, LinkChange, LinkEvent, Received, Transport},
    util::{Deadlines, WallClock, share},
};

/// The channels of an entity, and what it takes to run them. `R` is what the entity knows of each besides.
pub(crate) struct Host<R> {
    clock: WallClock,
    pub(crate) transport: Transport,
    pub(crate) stats: EndpointStats,
    table: Table<R>,
    leftovers: Leftovers,
    timers: Deadlines<(ChannelId, Timer)>,
    buffers: Buffers,
    /// By how many bytes all receive windows together may grow, and by how many they have grown.
    windows: u64,
    granted: u64,
    memory: Memory,
    next_id: u64,
    rng: StdRng,
    /// The latest time seen.
    now: Option<Instant>,
    /// Whose [span](Self::span) has been entered.
    current: Option<ChannelId>,
}

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The link has something to do.
    Link,
    /// The channel must have been set up.
    Setup,
    /// Its turn to fill memory has to be looked at.
    Turn,
}

/// What a role has to react to.
#[derive(Debug)]
pub(crate) enum HostEvent {
    /// Something happened to a link, which may be without a channel.
    Link(LinkChange),
    /// A channel has something to deal with.
    Notice(Notice),
    /// A channel was not set up in time.
    Overdue,
}

/// What a host does for.
pub(crate) trait Role {
    /// What is known of each channel.
    type Channel: Account;

    fn host(&self) -> &Host<Self::Channel>;

    fn host_mut(&mut self) -> &mut Host<Self::Channel>;

    /// Deals with something that happened.
    fn react(&mut self, now: Instant, id: ChannelId, event: HostEvent);

    /// Nothing is left to react to.
    fn settled(&mut self, _now: Instant) {}

    /// When the first of what the role itself waits for is due.
    fn next_due(&self) -> Option<(Instant, TimeoutCause)>;

    /// Whether the role itself has something to send or to do.
    fn has_output(&self) -> bool;

    /// When to wake up, and what for, as long as nothing waits for the application.
    fn wakeup(&self) -> Option<(Instant, TimeoutCause)> {
        match self.host().now {
            Some(now) if self.has_output() || self.host().has_output() => {
                Some((now, TimeoutCause::Output))
            }
            Some(_) | None => earliest([self.host().next_due(), self.next_due()]),
        }
    }

    /// Reacts to what happened until nothing is left to react to.
    fn settle(&mut self, now: Instant) {
        self.react_to_all(now);
        self.settled(now);
    }

    /// The same, where more of what happened is about to be told, or something is to be sent, before it has to be settled.
    fn react_to_all(&mut self, now: Instant) {
        while let Some((id, event)) = self.host_mut().poll(now) {
            self.within(id, |it| it.react(now, id, event));
        }
    }

    /// Does something for a channel, in its [span](Host::span).
    fn within<T>(&mut self, id: ChannelId, act: impl FnOnce(&mut Self) -> T) -> T {
        let (_entered, before) = self.host_mut().enter(id);
        let result = act(self);
        self.host_mut().current = before;
        result
    }

    /// Does what is to be done before events are given.
    fn settle_output(&mut self) {
        if let Some(now) = self.host().now
            && self.host().is_unsettled()
        {
            self.settle(now);
        }
    }

    /// Does something, and what comes of it.
    fn command<T>(&mut self, now: Instant, act: impl FnOnce(&mut Self, Instant) -> T) -> T {
        let now = self.host_mut().advance(now);
        let result = act(self, now);
        self.settle(now);
        result
    }

    /// The driver's turn begins. Whether the machine must have slept since it was last seen up, as what was due has waited
    /// for so long.
    fn begin_turn(&mut self, now: Instant) -> (Instant, bool) {
        let due = earliest([self.host().next_due(), self.next_due()]).map(|(at, _)| at);
        let up = self.host().now;
        let now = self.host_mut().advance(now);
        let waits_since = due.map(|due| up.map_or(due, |up| up.max(due)));
        let overslept = waits_since.is_some_and(|since| now >= since + OVERSLEPT);
        if overslept {
            self.host_mut().wake(now);
        }
        (now, overslept)
    }
}

impl<R: Account> Host<R> {
    pub(crate) fn new(seed: [u8; 32], shares: Shares, unix_time: Duration) -> Self {
        let mut rng = StdRng::from_seed(seed);
        Self {
            clock: WallClock::new(unix_time),
            transport: Transport::new(rng.random()),
            stats: EndpointStats::default(),
            table: Table::new(),
            leftovers: Leftovers::default(),
            timers: Deadlines::new(),
            buffers: Buffers::default(),
            windows: shares.windows,
            granted: 0,
            memory: Memory::new(shares.messages),
            next_id: 1,
            rng,
            now: None,
            current: None,
        }
    }

    /// An id that was never given before, and is not [`ChannelId::HOME`].
    pub(crate) fn fresh_id(&mut self) -> ChannelId {
        let id = ChannelId(self.next_id);
        self.next_id += 1;
        id
    }

    /// A random number.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng.random()
    }

    /// The latest time seen, if any was.
    pub(crate) fn now(&self) -> Option<Instant> {
        self.now
    }

    /// Takes note of the time, which does not run backwards.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        let latest = self.now.map_or(now, |latest| latest.max(now));
        // It begins to run with the first time that is heard of.
        self.clock.read(latest);
        *self.now.insert(latest)
    }

    /// The time since 1970, by which credentials expire.
    pub(crate) fn unix_time(&mut self, now: Instant) -> Duration {
        self.clock.read(now)
    }

    /// What was counted so far.
    pub(crate) fn stats(&self) -> EndpointStats {
        let counts = self.transport.counts();
        EndpointStats {
            datagrams_dropped: self.stats.datagrams_dropped + counts.dropped,
            handshakes_refused: self.stats.handshakes_refused + counts.refused,
            ..self.stats
        }
    }

    /// How many things are kept, and how many bytes of messages.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        self.table.entries()
            + self.leftovers.entries()
            + self.timers.entries()
            + self.memory.entries()
            + self.transport.entries()
    }
}

// Channels.
impl<R: Account> Host<R> {
    pub(crate) fn insert(&mut self, id: ChannelId, core: ChannelCore, role: R) {
        self.table.insert_channel(id, core, role);
    }

    pub(crate) fn get(&self, id: ChannelId) -> Option<&Hosted<R>> {
        self.table.channel(id)
    }

    /// A channel, which is then looked after.
    pub(crate) fn get_mut(&mut self, id: ChannelId) -> Option<&mut Hosted<R>> {
        self.table.touch(id)?.channel.as_mut()
    }

    /// A channel with its link, both of which are then looked after.
    pub(crate) fn linked(&mut self, id: ChannelId) -> Option<(&mut Hosted<R>, &mut Link)> {
        let entry = self.table.touch(id)?;
        Some((entry.channel.as_mut()?, entry.link.as_deref_mut()?))
    }

    /// How many channels there are.
    pub(crate) fn len(&self) -> usize {
        self.table.channels
    }

    pub(crate) fn ids(&self) -> Vec<ChannelId> {
        self.iter().map(|(id, _)| id).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelId, &Hosted<R>)> {
        let entries = self.table.entries.iter();
        entries.filter_map(|(&id, entry)| Some((id, entry.channel.as_ref()?)))
    }

    /// Access to a channel for the application.
    pub(crate) fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        let span = self.span(id);
        if self.table.channel(id).is_none() {
            let core = self.leftovers.channel(id)?;
            let link = None;
            return Some(Channel { core, link, span });
        }
        let entry = self.table.touch(id)?;
        entry.accessed = true;
        let core = &mut entry.channel.as_mut()?.core;
        core.set_reading(self.memory.reading(id));
        Some(Channel {
            core,
            link: entry.link.as_deref_mut(),
            span,
        })
    }

    /// Sets until when a channel must have been set up.
    pub(crate) fn set_deadline(&mut self, id: ChannelId, deadline: Option<Instant>) {
        self.timers.set((id, Timer::Setup), deadline);
    }

    /// Sends a control message, if the channel has a link.
    pub(crate) fn send_control(&mut self, id: ChannelId, payload: Bytes) {
        if let Some((channel, link)) = self.linked(id) {
            channel.core.send_control(link, payload);
        }
    }

    /// Closes a channel whose other side broke the protocol.
    pub(crate) fn violate(&mut self, now: Instant, id: ChannelId, violation: Violation) {
        let _entered = self.span(id).entered();
        self.stats.violations += 1;
        if let Some((channel, link)) = self.linked(id) {
            channel.core.violate(link, now, violation);
        }
    }

    /// Ends a channel, whatever becomes of its link.
    pub(crate) fn abandon(&mut self, id: ChannelId, reason: CloseReason) {
        let _entered = self.span(id).entered();
        if let Some(entry) = self.table.touch(id)
            && let Some(channel) = &mut entry.channel
        {
            channel.core.abandon(entry.link.as_deref_mut(), reason);
        }
    }

    /// Forgets a channel whose events are of no interest.
    pub(crate) fn remove(&mut self, id: ChannelId) {
        self.set_deadline(id, None);
        self.forget_memory(id);
        self.table.remove_channel(id);
    }

    /// Forgets a channel whose end was told, but for what is left to be received.
    fn retire(&mut self, id: ChannelId) {
        self.set_deadline(id, None);
        self.forget_memory(id);
        if let Some(channel) = self.table.remove_channel(id) {
            self.leftovers.add(id, channel.role.party(), channel.core);
            self.forget_leftovers();
        }
    }

    /// Keeps a channel's events back until the application [has heard](Self::let_through) of it.
    pub(crate) fn hold_back(&mut self, id: ChannelId) {
        if let Some(channel) = self.get_mut(id) {
            channel.unheard = true;
        }
    }

    pub(crate) fn let_through(&mut self, id: ChannelId) {
        if let Some(entry) = self.table.entries.get_mut(&id)
            && let Some(channel) = &mut entry.channel
        {
            channel.unheard = false;
            mark(id, &mut entry.eventful, &mut self.table.eventful);
        }
    }

    /// The next event of any channel, by `poll`. A channel is forgotten with its last.
    pub(crate) fn poll_event(
        &mut self,
        poll: fn(&mut ChannelCore) -> Option<ChannelEvent>,
    ) -> Option<(ChannelId, ChannelEvent)> {
        if let Some(event) = self.leftovers.poll_event() {
            return Some(event);
        }
        let table = &mut self.table;
        while let Some(&id) = table.eventful.front() {
            let entry = table.entries.get_mut(&id);
            let event = entry.and_then(|entry| {
                let channel = entry.channel.as_mut().filter(|it| !it.unheard);
                let event = channel.and_then(|channel| {
                    let event = poll(&mut channel.core);
                    channel.weigh(&mut table.memory);
                    event
                });
                entry.eventful = event.is_some();
                event
            });
            let Some(event) = event else {
                table.eventful.pop_front();
                continue;
            };
            // A channel with many events must not keep the others' waiting.
            table.eventful.rotate_left(1);
            let is_short = self.memory.is_short();
            if table
                .channel(id)
                .is_some_and(|it| is_short || it.core.is_deferring())
                && let Some(entry) = table.touch(id)
            {
                entry.accessed = true;
            }
            if matches!(event, ChannelEvent::Closed { .. }) {
                self.retire(id);
            }
            return Some((id, event));
        }
        None
    }

    /// Whether events wait.
    pub(crate) fn is_eventful(&self) -> bool {
        let mut channels = self.table.eventful.iter();
        self.leftovers.is_eventful()
            || channels.any(|&id| {
                self.table
                    .channel(id)
                    .is_some_and(|it| it.core.has_events())
            })
    }
}

// Links.
impl<R: Account> Host<R> {
    /// A link, which is then looked after.
    pub(crate) fn link(&mut self, id: ChannelId) -> Option<&mut Link> {
        self.table.touch(id)?.link.as_deref_mut()
    }

    /// A link, only to look at.
    pub(crate) fn peek(&self, id: ChannelId) -> Option<&Link> {
        self.table.link(id)
    }

    pub(crate) fn add_link(&mut self, id: ChannelId, link: Box<Link>) {
        self.table.insert_link(id, link);
    }

    /// Gives a link another channel's id, under which no link is.
    pub(crate) fn rename_link(&mut self, from: ChannelId, to: ChannelId) {
        self.timers.set((from, Timer::Link), None);
        if let Some(link) = self.table.remove_link(from) {
            self.transport.assign(&link, to);
            self.table.insert_link(to, link);
        }
    }

    /// The other side of an accepted link was let in.
    pub(crate) fn admitted(&mut self, now: Instant, id: ChannelId) {
        let entry = self.table.entries.get_mut(&id);
        if let Some(link) = entry.and_then(|it| it.link.as_mut()) {
            self.transport.admitted(now, link);
        }
    }

    /// Forgets a link without a word to the other side.
    pub(crate) fn discard(&mut self, id: ChannelId) {
        self.timers.set((id, Timer::Link), None);
        if let Some(mut link) = self.table.remove_link(id) {
            self.transport.forget(&mut link);
            self.granted -= link.extra_window();
        }
    }

    /// Gives the first packet of a batch to an engine.
    #[inline]
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        engine: EngineId,
        arrival: &Arrival,
        batch: &mut Batch,
    ) {
        let (table, transport) = (&mut self.table, &mut self.transport);
        let received = transport.handle_packet(now, engine, arrival, batch, |id| {
            table.touch(id)?.link.as_deref_mut()
        });
        self.take_in(received);
    }

    /// Serves one of the newcomers that wait. Whether there was one to serve in this turn.
    pub(crate) fn serve_newcomer(&mut self, now: Instant) -> bool {
        let (table, transport) = (&mut self.table, &mut self.transport);
        let served = transport.serve_newcomer(now, |id| table.touch(id)?.link.as_deref_mut());
        let is_served = served.is_some();
        served
            .into_iter()
            .for_each(|received| self.take_in(received));
        is_served
    }

    /// Deals with what came of a packet.
    fn take_in(&mut self, received: Received) {
        match received {
            Received::Nothing => {}
            Received::Accepted(link, Some(id)) => self.add_link(id, link),
            Received::Accepted(link, None) => {
                let id = self.fresh_id();
                self.transport.assign(&link, id);
                self.add_link(id, link);
            }
            Received::Failed(id, reason) => self.abandon(id, reason),
        }
    }

    /// Begins with a received batch of packets.
    pub(crate) fn batch(&mut self, payload: BytesMut, segment_size: usize) -> Batch {
        self.buffers.batch(payload, segment_size)
    }

    pub(crate) fn take_buffer(&mut self) -> Option<BytesMut> {
        self.buffers.take()
    }

    /// Whether nothing is left, not even a link that is saying goodbye.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.entries.is_empty()
    }
}

// What is logged.
impl<R: Account> Host<R> {
    /// Names a channel in what is logged inside, and who is at its other end. Where that is done already, it is nothing.
    pub(crate) fn span(&self, id: ChannelId) -> Span {
        if self.current == Some(id) {
            return Span::none();
        }
        let peer = || self.get(id).and_then(|it| it.role.peer());
        tracing::debug_span!("channel", ?id, peer = peer().map(field::debug))
    }

    /// Enters a channel's span. Who leaves it sets back what is current to what is given.
    fn enter(&mut self, id: ChannelId) -> (EnteredSpan, Option<ChannelId>) {
        (self.span(id).entered(), self.current.replace(id))
    }
}

// What is next.
impl<R: Account> Host<R> {
    /// Lets due timers fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.transport.open_lobby();
        while let Some((id, timer)) = self.timers.pop_due(now) {
            let Some(entry) = self.table.touch(id) else {
                continue;
            };
            match (timer, &mut entry.link) {
                (Timer::Link, Some(link)) => {
                    entry.timer = None;
                    link.handle_timeout(now);
                }
                (Timer::Link, None) => {}
                (Timer::Setup, _) => entry.overdue = true,
                (Timer::Turn, _) => self.look_at_turn(now, id),
            }
        }
    }

    /// When something is due, and what.
    pub(crate) fn next_due(&self) -> Option<(Instant, TimeoutCause)> {
        let newcomers = self.now.filter(|_| self.transport.has_newcomers());
        let timer = self.timers.first().map(|(at, (_, timer))| match timer {
            Timer::Link | Timer::Turn => (at, TimeoutCause::Connection),
            Timer::Setup => (at, TimeoutCause::Setup),
        });
        earliest([newcomers.map(|now| (now, TimeoutCause::Connection)), timer])
    }

    /// The next thing to react to. What comes of it may lead to others.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(ChannelId, HostEvent)> {
        loop {
            while let Some(&id) = self.table.touched.front() {
                let (_entered, before) = self.enter(id);
                let event = self.look_after(now, id);
                self.current = before;
                if let Some(event) = event {
                    return Some((id, event));
                }
                self.table.touched.pop_front();
            }
            // What is left of channels that are over may have been taken.
            if !self.is_unbalanced() {
                return None;
            }
            self.balance(now);
        }
    }

    /// Whether something may be there to react to.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.table.touched.is_empty() || self.is_unbalanced()
    }

    /// The next datagrams to send, and the channel that sends them; `None` for answers to strangers.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: NonZeroUsize,
    ) -> Option<(Option<ChannelId>, Transmit)> {
        if let Some(response) = self.transport.poll_response() {
            return Some((None, response));
        }
        while let Some(id) = self.table.line.pop_front() {
            let table = &mut self.table;
            let Some(entry) = table.entries.get_mut(&id) else {
                continue;
            };
            entry.in_line = false;
            let Some(link) = &mut entry.link else {
                continue;
            };
            let more = share(link.extra_window(), self.granted, self.windows);
            let granted = link.grow_window(more);
            self.granted += granted;
            let transmit = self.transport.poll_transmit(now, link, max_segments);
            if link.has_events() || link.is_drained() {
                mark(id, &mut entry.touched, &mut table.touched);
            }
            if let Some(transmit) = transmit {
                // To the back: everyone gets a turn.
                mark(id, &mut entry.in_line, &mut table.line);
                if granted > 0 {
                    let _entered = self.span(id).entered();
                    tracing::debug!(granted, "the receive window grows");
                }
                return Some((Some(id), transmit));
            }
            set_timer(&mut self.timers, id, entry);
        }
        None
    }

    /// Whether there may be something to send, or to react to.
    pub(crate) fn has_output(&self) -> bool {
        !self.table.line.is_empty() || self.is_unsettled() || self.transport.has_responses()
    }

    /// This machine was asleep: all links show that they are still there, before their timers say otherwise.
    fn wake(&mut self, now: Instant) {
        tracing::debug!(entries = self.table.entries.len(), "the machine has slept");
        let ids: Vec<_> = self.table.entries.keys().copied().collect();
        for id in ids {
            if let Some(link) = self.link(id) {
                link.wake(now);
            }
        }
    }

    /// Deals with what happened to an entry, until there is something that its role has to deal with.
    fn look_after(&mut self, now: Instant, id: ChannelId) -> Option<HostEvent> {
        loop {
            let Entry {
                channel,
                link,
                accessed,
                overdue,
                ..
            } = &mut **self.table.entries.get_mut(&id)?;
            if std::mem::take(overdue) {
                return Some(HostEvent::Overdue);
            }
            if let Some(channel) = channel {
                channel.core.set_reading(self.memory.reading(id));
                // What the application did through handles has consequences too.
                if std::mem::take(accessed)
                    && let Some(link) = link
                {
                    channel.core.resume(link, now);
                }
                if let Some(notice) = channel.core.poll_notice(link.as_deref_mut(), now) {
                    return Some(HostEvent::Notice(notice));
                }
            }
            let next = link.as_mut().and_then(|link| {
                let event = self.transport.next_event(link)?;
                Some((link, event))
            });
            let Some((link, event)) = next else {
                break;
            };
            if let LinkEvent::Change(change) = event {
                if let LinkChange::Closed(reason) = change {
                    if let Some(channel) = channel {
                        channel.core.take_leftovers(link, reason);
                    }
                    link.forget_incoming();
                }
                return Some(HostEvent::Link(change));
            }
            if let Some(channel) = channel {
                channel.core.handle_link_event(link, now, event);
                channel.weigh(&mut self.table.memory);
                self.share_memory(now, id);
            }
        }
        self.rest(now, id);
        None
    }

    /// Nothing is left to deal with at an entry for now.
    fn rest(&mut self, now: Instant, id: ChannelId) {
        let table = &mut self.table;
        let Some(entry) = table.entries.get_mut(&id) else {
            return;
        };
        entry.touched = false;
        let mut goes_on = false;
        if let Some(channel) = &mut entry.channel {
            goes_on = channel.core.reads_on();
            channel.weigh(&mut table.memory);
            if channel.core.has_events() && !channel.unheard {
                mark(id, &mut entry.eventful, &mut table.eventful);
            }
        }
        if let Some(link) = &mut entry.link {
            if link.is_drained() {
                self.discard(id);
            } else {
                link.use_memory_well();
                // What was done may be worth a packet.
                mark(id, &mut entry.in_line, &mut table.line);
                set_timer(&mut self.timers, id, entry);
            }
        }
        self.share_memory(now, id);
        if goes_on {
            self.go_on(id);
        }
    }
}

/// The first of what is due.
pub(crate) fn earliest<const N: usize>(
    due: [Option<(Instant, TimeoutCause)>; N],
) -> Option<(Instant, TimeoutCause)> {
    due.into_iter().flatten().min()
}

fn set_timer<R>(timers: &mut Deadlines<(ChannelId, Timer)>, id: ChannelId, entry: &mut Entry<R>) {
    let next = entry.link.as_mut().and_then(|link| link.poll_timeout());
    if std::mem::replace(&mut entry.timer, next) != next {
        timers.set((id, Timer::Link), next);
    }
}

/// A busy machine is late by less.
const OVERSLEPT: Duration = Duration::from_secs(2);
