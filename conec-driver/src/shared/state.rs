//! What is behind the lock: the endpoint, what its handles hold, and who waits.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use conec_core::{
    ChannelEvent, ChannelId, CloseReason, Endpoint, PeerInfo, RecvEnd, SendEnd, StreamId,
};

use super::{
    Outbox,
    waiters::{Subject, Topic, Waiters},
};

/// An endpoint, and what its handles have to know beyond it. Events of the core are not queued here: of what somebody holds,
/// only how it ended is remembered.
pub(crate) struct State<E: ?Sized> {
    pub(super) waiters: Waiters,
    /// Those with messages that the driver is to fetch.
    pub(super) outboxes: Vec<Arc<Outbox>>,
    /// Channels that somebody holds, or that are being closed as nobody does.
    pub(super) channels: BTreeMap<ChannelId, Held>,
    /// The halves of streams that somebody holds: how they have ended, if they have.
    pub(super) sending: BTreeMap<StreamId, Sending>,
    pub(super) receiving: BTreeMap<StreamId, Option<RecvEnd>>,
    /// The driver is gone.
    pub(super) ended: bool,
    pub(super) endpoint: E,
}

/// A channel that somebody holds, or that is being closed as nobody does.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Stays open when nobody holds it.
    pub(super) home: bool,
    pub(super) peer: Option<PeerInfo>,
    pub(super) opened: bool,
    pub(super) closed: Option<CloseReason>,
    pub(super) handles: usize,
}

/// The sending half of a stream.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) finished: bool,
    pub(super) end: Option<SendEnd>,
}

impl<E> State<E> {
    pub(super) fn new(endpoint: E) -> Self {
        Self {
            waiters: Waiters::default(),
            outboxes: Vec::new(),
            channels: BTreeMap::new(),
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            ended: false,
            endpoint,
        }
    }
}

// For the driver.
impl<E: Endpoint + ?Sized> State<E> {
    pub(crate) fn endpoint_mut(&mut self) -> &mut E {
        &mut self.endpoint
    }

    /// Fetches what waits for the driver. From here on, the next that gives it something to do wakes it.
    pub(crate) fn begin_turn(&mut self, driver: &Waker) {
        self.waiters.set_driver(driver);
        self.collect();
    }

    /// Takes note of what the endpoint has to tell. To be called after whatever was done to it.
    pub(crate) fn settle(&mut self) {
        while let Some((id, event)) = self.endpoint.poll_channel_event() {
            self.handle_channel_event(id, event);
        }
        while let Some((id, event)) = self.endpoint.poll_group_event() {
            self.handle_group_event(id, event);
        }
        // Both are asked: the second one says so only once.
        if self.endpoint.has_application_events() | self.endpoint.state_changed() {
            self.waiters.wake(Subject::Application);
        }
    }

    /// The driver is gone: all that wait are woken, and learn it.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        let reason = CloseReason::Local;
        for half in self.sending.values_mut() {
            half.end.get_or_insert(SendEnd::Closed(reason));
        }
        for (id, half) in &mut self.receiving {
            // What is left of a channel that was over before can be received all the same.
            let channel = self.channels.get(&id.channel());
            if channel.is_none_or(|it| it.closed.is_none()) {
                half.get_or_insert(RecvEnd::Closed(reason));
            }
        }
        for channel in self.channels.values_mut() {
            channel.closed.get_or_insert(reason);
        }
        self.waiters.wake_all();
        // No turn will do this any more.
        self.collect();
    }

    /// Hands over the messages of all who wait for that.
    fn collect(&mut self) {
        let mut outboxes = std::mem::take(&mut self.outboxes);
        for outbox in outboxes.drain(..) {
            // If the stream has ended, its `Sender` learns that by its next call.
            let _ = self.hand_over(&outbox);
        }
        // For its capacity.
        self.outboxes = outboxes;
    }

    fn handle_channel_event(&mut self, id: ChannelId, event: ChannelEvent) {
        let mut wake = |topic| self.waiters.wake(Subject::Channel(id, topic));
        match event {
            ChannelEvent::Opened => self.channel_opened(id),
            ChannelEvent::StreamsWaiting => self.streams_waiting(id),
            ChannelEvent::Readable { stream } => self.waiters.wake(Subject::Recv(stream)),
            ChannelEvent::Writable { stream } => self.waiters.wake(Subject::Send(stream)),
            ChannelEvent::SendEnded { stream, end } => self.end_sending(stream, end),
            ChannelEvent::RecvEnded { stream, end } => self.end_receiving(stream, end),
            ChannelEvent::StreamsAvailable { direction } => self.streams_available(id, direction),
            ChannelEvent::DatagramsReadable => wake(Topic::DatagramsReadable),
            ChannelEvent::DatagramsWritable => wake(Topic::DatagramsWritable),
            ChannelEvent::PathChanged { .. } => wake(Topic::Path),
            ChannelEvent::Silent | ChannelEvent::Audible => wake(Topic::Presence),
            // Calls that wait to open a stream fail now.
            ChannelEvent::Closing => self.waiters.wake_channel(id),
            ChannelEvent::Closed { reason } => self.channel_closed(id, reason),
            // Streams are accepted by `StreamsWaiting`; what a later version adds concerns no handle.
            ChannelEvent::StreamOpened { .. } | _ => {}
        }
    }
}

// For the handles.
impl<E: Endpoint + ?Sized> State<E> {
    /// The endpoint, to look at.
    pub(crate) fn endpoint(&self) -> &E {
        &self.endpoint
    }

    /// Does something to the endpoint that may need a turn of the driver, and takes note of what came of it.
    pub(crate) fn command<T>(&mut self, f: impl FnOnce(&mut E) -> T) -> T {
        self.waiters.wake_driver();
        let result = f(&mut self.endpoint);
        self.settle();
        result
    }

    /// Closes the endpoint gracefully, as [`Endpoint::close`] does.
    pub(crate) fn close(&mut self, now: Instant, patience: Duration) {
        self.command(|endpoint| endpoint.close(now, patience));
        // Calls that wait to open a stream fail now.
        self.waiters.wake_all();
    }

    /// Whether the driver is gone.
    pub(crate) fn ended(&self) -> Result<(), Subject> {
        self.ended.then_some(()).ok_or(Subject::End)
    }
}

/// How long what nobody holds any more may take to end gracefully.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
