//! The one task behind an endpoint, and what it shares with the handles.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::{Future, poll_fn},
    ops::RangeInclusive,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ChannelId, CloseReason, Datagram, Direction, Endpoint, PeerInfo, RecvEnd,
    SendEnd, StreamId, Transmit,
};
use futures_core::Stream;
use tokio::time::Sleep;

use crate::socket::Socket;

/// What handles need of an endpoint of either kind.
pub(crate) trait Channels: Send + 'static {
    fn channel(&mut self, id: ChannelId) -> Option<conec_core::Channel<'_>>;
    fn close(&mut self, now: Instant, patience: Duration);
}

/// What the driver needs of an endpoint.
pub(crate) trait Role: Channels {
    type Core: Endpoint;
    fn core(&mut self) -> &mut Self::Core;
    fn is_finished(&self) -> bool;
    /// Deals with an event, and passes on what concerns a channel's inside.
    fn handle_event(
        &mut self,
        table: &mut Table,
        event: <Self::Core as Endpoint>::Event,
    ) -> Option<(ChannelId, ChannelEvent)>;
}

/// An endpoint as the driver and all handles share it. The lock is held for one call into the core at a time, never
/// across a system call or an await.
pub(crate) struct Shared<R: ?Sized>(Mutex<State<R>>);

pub(crate) struct State<R: ?Sized> {
    pub(crate) table: Table,
    pub(crate) role: R,
}

/// What is known of the endpoint beyond the core: what events have told, and who waits for them.
#[derive(Default)]
pub(crate) struct Table {
    /// Whether the driver has ended.
    pub(crate) ended: bool,
    /// Transmits that the system refused.
    pub(crate) send_errors: u64,
    pub(crate) channels: BTreeMap<ChannelId, Entry>,
    /// The halves of streams that somebody holds or may yet accept, and how they ended.
    pub(crate) sends: BTreeMap<StreamId, Option<SendEnd>>,
    pub(crate) recvs: BTreeMap<StreamId, Option<RecvEnd>>,
    handles: usize,
    wakers: BTreeMap<Key, Waker>,
    next_ticket: u64,
    driver: Option<Waker>,
    /// To be woken as soon as the lock is released.
    woken: Vec<Waker>,
}

/// A channel, from when it is first heard of until it is over and nobody holds it.
#[derive(Default)]
pub(crate) struct Entry {
    home: bool,
    pub(crate) peer: Option<PeerInfo>,
    pub(crate) opened: bool,
    pub(crate) closed: Option<CloseReason>,
    /// Streams of the other side that were not accepted yet.
    pub(crate) streams: VecDeque<(StreamId, Bytes)>,
    handles: usize,
    /// Everybody has let go of it.
    dropped: bool,
}

impl Entry {
    pub(crate) fn new(peer: Option<PeerInfo>) -> Self {
        Self {
            peer,
            ..Self::default()
        }
    }

    /// A home channel: stays open when nobody holds it.
    pub(crate) fn home(peer: Option<PeerInfo>) -> Self {
        Self {
            home: true,
            ..Self::new(peer)
        }
    }
}

/// What a task can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interest {
    /// Offers at a Client, events at a Coordinator.
    News,
    /// The end of the driver.
    End,
    Channel(ChannelId, Topic),
    Send(StreamId),
    Recv(StreamId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Life,
    Streams,
    Available(Direction),
    DatagramsReadable,
    DatagramsWritable,
}

/// An interest and a number that tells those apart who share it.
type Key = (Interest, u64);

impl<R> Shared<R> {
    pub(crate) fn new(role: R) -> Arc<Self> {
        let table = Table::default();
        Arc::new(Self(Mutex::new(State { table, role })))
    }
}

impl<R: ?Sized> Shared<R> {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State<R>) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut state);
        let woken = std::mem::take(&mut state.table.woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Does something that gives the driver work.
    pub(crate) fn command<T>(&self, f: impl FnOnce(&mut State<R>, Instant) -> T) -> T {
        self.with(|state| {
            state.table.wake_driver();
            f(state, now())
        })
    }

    /// Tries `f`, and has the task woken for `key` if it is to be tried again.
    pub(crate) fn poll<T>(
        &self,
        cx: &Context<'_>,
        key: Key,
        f: impl FnOnce(&mut State<R>) -> Poll<T>,
    ) -> Poll<T> {
        let (polled, _replaced) = self.with(|state| {
            let polled = f(state);
            let replaced = match polled {
                Poll::Pending => state.table.wakers.insert(key, cx.waker().clone()),
                Poll::Ready(_) => state.table.wakers.remove(&key),
            };
            (polled, replaced)
        });
        polled
    }

    /// Tries `f` until it has a result. Dropped earlier, nothing has happened but what `f` did.
    pub(crate) async fn wait<T>(
        self: &Arc<Self>,
        interest: Interest,
        mut f: impl FnMut(&mut State<R>) -> Poll<T>,
    ) -> T {
        let waiter = Waiter::new(Arc::clone(self), interest);
        poll_fn(|cx| waiter.shared.poll(cx, waiter.key, &mut f)).await
    }

    /// What `f` gives, one after the other, until it gives `None`.
    pub(crate) fn stream<T, F>(self: &Arc<Self>, interest: Interest, f: F) -> Items<R, F>
    where
        F: FnMut(&mut State<R>) -> Poll<Option<T>>,
    {
        let waiter = Waiter::new(Arc::clone(self), interest);
        Items { waiter, next: f }
    }
}

/// A place among those who wait, given up when dropped.
struct Waiter<R: ?Sized> {
    shared: Arc<Shared<R>>,
    key: Key,
}

impl<R: ?Sized> Waiter<R> {
    fn new(shared: Arc<Shared<R>>, interest: Interest) -> Self {
        let ticket = shared.with(|state| {
            // 0 is for those who cannot be two.
            state.table.next_ticket += 1;
            state.table.next_ticket
        });
        let key = (interest, ticket);
        Self { shared, key }
    }
}

impl<R: ?Sized> Drop for Waiter<R> {
    fn drop(&mut self) {
        let _waker = self
            .shared
            .with(|state| state.table.wakers.remove(&self.key));
    }
}

pub(crate) struct Items<R: ?Sized, F> {
    waiter: Waiter<R>,
    next: F,
}

impl<R, T, F> Stream for Items<R, F>
where
    R: ?Sized,
    F: FnMut(&mut State<R>) -> Poll<Option<T>> + Unpin,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { waiter, next } = self.get_mut();
        waiter.shared.poll(cx, waiter.key, next)
    }
}

/// Keeps an endpoint, and a channel if it is about one, from being closed.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared<dyn Channels>>,
    channel: Option<ChannelId>,
}

impl Handle {
    pub(crate) fn new(
        shared: Arc<Shared<dyn Channels>>,
        table: &mut Table,
        channel: Option<ChannelId>,
    ) -> Self {
        table.hold(channel);
        Self { shared, channel }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        let (shared, channel) = (Arc::clone(&self.shared), self.channel);
        self.shared
            .with(|state| Self::new(shared, &mut state.table, channel))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with(|State { table, role }| {
            table.handles -= 1;
            if let Some(id) = self.channel {
                table.release(role, id);
            }
            if table.handles == 0 {
                role.close(now(), PATIENCE);
                table.wake_driver();
            }
        });
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.channel {
            Some(channel) => channel.fmt(f),
            None => f.write_str("Handle"),
        }
    }
}

impl Table {
    pub(crate) fn wake_driver(&mut self) {
        self.woken.extend(self.driver.take());
    }

    pub(crate) fn wake(&mut self, interest: Interest) {
        self.wake_range((interest, 0)..=(interest, u64::MAX));
    }

    pub(crate) fn wake_channel(&mut self, id: ChannelId) {
        let first = Interest::Channel(id, Topic::Life);
        let last = Interest::Channel(id, Topic::DatagramsWritable);
        self.wake_range((first, 0)..=(last, u64::MAX));
    }

    fn wake_range(&mut self, range: RangeInclusive<Key>) {
        while let Some((&key, _)) = self.wakers.range(range.clone()).next() {
            self.woken.extend(self.wakers.remove(&key));
        }
    }

    /// For changes that concern everybody, or nearly.
    pub(crate) fn wake_all(&mut self) {
        let wakers = std::mem::take(&mut self.wakers);
        self.woken.extend(wakers.into_values());
    }

    /// Forgets who waited for a half of a stream, for the caller to drop outside of the lock.
    #[must_use = "dropping a waker can run anything"]
    pub(crate) fn forget_waker(&mut self, interest: Interest) -> Option<Waker> {
        self.wakers.remove(&(interest, 0))
    }

    /// How a channel ended, if it has.
    pub(crate) fn closed(&self, id: ChannelId) -> Option<CloseReason> {
        match self.channels.get(&id) {
            Some(entry) => entry.closed,
            None => Some(CloseReason::Local),
        }
    }

    /// Ready once a channel is open, or over.
    pub(crate) fn poll_opened(&self, id: ChannelId) -> Poll<Result<(), CloseReason>> {
        match (self.closed(id), self.channels.get(&id)) {
            (Some(reason), _) => Poll::Ready(Err(reason)),
            (None, Some(entry)) if entry.opened => Poll::Ready(Ok(())),
            (None, _) => Poll::Pending,
        }
    }

    fn hold(&mut self, channel: Option<ChannelId>) {
        self.handles += 1;
        if let Some(entry) = channel.and_then(|id| self.channels.get_mut(&id)) {
            entry.handles += 1;
        }
    }

    fn release(&mut self, role: &mut dyn Channels, id: ChannelId) {
        let Some(entry) = self.channels.get_mut(&id) else {
            return;
        };
        entry.handles -= 1;
        if entry.handles > 0 {
            return;
        }
        if entry.closed.is_some() {
            self.channels.remove(&id);
        } else if !entry.home {
            entry.dropped = true;
            // Nobody will ever accept these, and they must not hold up the end.
            for (stream, _) in std::mem::take(&mut entry.streams) {
                self.discard(role, stream);
            }
            if let Some(mut channel) = role.channel(id) {
                channel.close(now(), PATIENCE);
            }
            self.wake_driver();
        }
    }

    fn handle_channel_event(
        &mut self,
        role: &mut dyn Channels,
        id: ChannelId,
        event: ChannelEvent,
    ) {
        match event {
            ChannelEvent::Opened => {
                if let Some(entry) = self.channels.get_mut(&id) {
                    entry.opened = true;
                }
                self.wake(Interest::Channel(id, Topic::Life));
            }
            ChannelEvent::StreamOpened { stream, label } => match self.channels.get_mut(&id) {
                Some(entry) if !entry.dropped => {
                    entry.streams.push_back((stream, label));
                    if stream.direction() == Direction::Bi {
                        self.sends.insert(stream, None);
                    }
                    self.recvs.insert(stream, None);
                    self.wake(Interest::Channel(id, Topic::Streams));
                }
                Some(_) | None => self.discard(role, stream),
            },
            ChannelEvent::Readable { stream } => self.wake(Interest::Recv(stream)),
            ChannelEvent::Writable { stream } => self.wake(Interest::Send(stream)),
            ChannelEvent::SendEnded { stream, end } => {
                if let Some(slot) = self.sends.get_mut(&stream) {
                    *slot = Some(end);
                }
                self.wake(Interest::Send(stream));
            }
            ChannelEvent::RecvEnded { stream, end } => {
                if let Some(slot) = self.recvs.get_mut(&stream) {
                    *slot = Some(end);
                }
                self.wake(Interest::Recv(stream));
                self.drop_if_pointless(role, stream, end);
            }
            ChannelEvent::StreamsAvailable { direction } => {
                self.wake(Interest::Channel(id, Topic::Available(direction)));
            }
            ChannelEvent::DatagramsReadable => {
                self.wake(Interest::Channel(id, Topic::DatagramsReadable));
            }
            ChannelEvent::DatagramsWritable => {
                self.wake(Interest::Channel(id, Topic::DatagramsWritable));
            }
            // Who waits to open a stream waits in vain.
            ChannelEvent::Closing => self.wake_channel(id),
            ChannelEvent::Closed { reason } => self.end_channel(id, reason),
            // What this adapter does not know of.
            _ => {}
        }
    }

    fn end_channel(&mut self, id: ChannelId, reason: CloseReason) {
        if let Some(entry) = self.channels.get_mut(&id) {
            entry.closed = Some(reason);
            for (stream, _) in std::mem::take(&mut entry.streams) {
                self.sends.remove(&stream);
                self.recvs.remove(&stream);
            }
            if entry.handles == 0 {
                self.channels.remove(&id);
            }
        }
        self.wake_channel(id);
    }

    /// A stream that ended before anybody accepted it is of no use, except as a signal if it ended regularly. The
    /// other side can make any number of these, as it costs no credit.
    fn drop_if_pointless(&mut self, role: &mut dyn Channels, stream: StreamId, end: RecvEnd) {
        let Some(entry) = self.channels.get_mut(&stream.channel()) else {
            return;
        };
        let signal = end == RecvEnd::Finished && entry.streams.len() <= MAX_SIGNALS;
        if signal || end == RecvEnd::Finished && stream.direction() == Direction::Bi {
            return;
        }
        if let Some(at) = entry.streams.iter().position(|&(id, _)| id == stream) {
            entry.streams.remove(at);
            self.discard(role, stream);
        }
    }

    /// Lets go of a stream that nobody has accepted.
    fn discard(&mut self, role: &mut dyn Channels, id: StreamId) {
        self.sends.remove(&id);
        self.recvs.remove(&id);
        if let Some(mut channel) = role.channel(id.channel()) {
            let mut stream = channel.stream(id);
            // Either half may have ended or never been.
            let _ = stream.abandon_send();
            let _ = stream.abandon_recv();
        }
    }

    /// Nothing will ever happen again.
    fn end(&mut self) {
        self.ended = true;
        let reason = CloseReason::Local;
        for slot in self.sends.values_mut() {
            slot.get_or_insert(SendEnd::Closed(reason));
        }
        for slot in self.recvs.values_mut() {
            slot.get_or_insert(RecvEnd::Closed(reason));
        }
        for entry in self.channels.values_mut() {
            entry.closed.get_or_insert(reason);
        }
        self.wake_all();
    }
}

/// Moves datagrams, time and events between the socket, the core and the handles.
pub(crate) struct Driver<R: Role> {
    shared: Arc<Shared<R>>,
    socket: Socket,
    received: Vec<Datagram>,
    /// What the socket did not take yet.
    blocked: Option<Transmit>,
    timer: Pin<Box<Sleep>>,
}

/// How a turn of the driver left things.
enum Turn {
    /// There is more to do.
    Busy,
    /// The task will be woken.
    Idle,
    Finished,
}

impl<R: Role> Driver<R> {
    pub(crate) fn new(shared: Arc<Shared<R>>, socket: Socket) -> Self {
        Self {
            shared,
            socket,
            received: Vec::new(),
            blocked: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut busy = self.socket.poll_recv(cx, &mut self.received).is_ready();
        self.shared.with(|state| {
            // From here on, whoever changes anything wakes us.
            state.table.driver = Some(cx.waker().clone());
            let (now, core) = (now(), state.role.core());
            for datagram in self.received.drain(..) {
                core.handle_datagram(now, datagram);
            }
            if core.poll_timeout().is_some_and(|at| at <= now) {
                core.handle_timeout(now);
            }
            drain_events(state);
        });
        busy |= self.transmit(cx);
        let (finished, timeout) = self.shared.with(|state| {
            // Sending makes room.
            drain_events(state);
            (state.role.is_finished(), state.role.core().poll_timeout())
        });
        match timeout {
            _ if finished && self.blocked.is_none() => return Turn::Finished,
            // A blocked socket has us woken. Until then the core wants to be heard all the time.
            Some(at) if at <= now() => busy |= self.blocked.is_none(),
            Some(at) => busy |= self.poll_timer(cx, at),
            None => {}
        }
        if busy { Turn::Busy } else { Turn::Idle }
    }

    /// Sends as much as is fair; whether there may be more.
    fn transmit(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..TRANSMITS {
            let max_segments = self.socket.max_segments();
            let next = self.blocked.take().or_else(|| {
                self.shared
                    .with(|state| state.role.core().poll_transmit(now(), max_segments))
            });
            let Some(transmit) = next else {
                return false;
            };
            match self.socket.poll_send(cx, &transmit) {
                Poll::Ready(Ok(())) => {}
                // As good as lost on the way: the system refuses probes for larger packets, for one.
                Poll::Ready(Err(error)) => {
                    tracing::trace!(%error, to = %transmit.destination, "sending failed");
                    self.shared.with(|state| state.table.send_errors += 1);
                }
                Poll::Pending => {
                    self.blocked = Some(transmit);
                    return false;
                }
            }
        }
        true
    }

    /// Whether the time has come. The timer is left alone where it will fire early enough: deadlines move with almost
    /// every packet, mostly away.
    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        let at = tokio::time::Instant::from_std(at);
        if self.timer.deadline() > at {
            self.timer.as_mut().reset(at);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() == at {
                return true;
            }
            self.timer.as_mut().reset(at);
        }
        false
    }
}

impl<R: Role> Future for Driver<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Turn::Busy => {}
                Turn::Idle => return Poll::Pending,
                Turn::Finished => return Poll::Ready(()),
            }
        }
        // Others want to run as well.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// However the driver ends, be it with its runtime: nobody waits in vain.
impl<R: Role> Drop for Driver<R> {
    fn drop(&mut self) {
        self.shared.with(|state| state.table.end());
    }
}

fn drain_events<R: Role>(State { table, role }: &mut State<R>) {
    while let Some(event) = role.core().poll_event() {
        if let Some((id, event)) = role.handle_event(table, event) {
            table.handle_channel_event(role, id, event);
        }
    }
}

pub(crate) fn poll_ended<R: ?Sized>(state: &mut State<R>) -> Poll<()> {
    if state.table.ended {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

/// The runtime's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How long what was dropped may take to end gracefully.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How often the driver goes around before others get to run, and how often it sends each time.
const TURNS: usize = 8;
const TRANSMITS: usize = 32;
/// How many empty streams may wait to be accepted.
const MAX_SIGNALS: usize = 1024;
