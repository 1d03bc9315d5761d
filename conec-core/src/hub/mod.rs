//! An endpoint that many handles share: what a driver needs beyond the state machine when its application holds handles
//! to channels and streams, and waits at each.
//!
//! A driver whose application reacts to events needs none of this. One with handles puts the endpoint into a [`Hub`],
//! and the hub behind its lock. Whoever drives the endpoint calls [`settle`](Hub::settle) after each input; whoever
//! holds a handle calls the hub's methods. Those that may have to wait give an [`Attempt`], which
//! [`attempt`](Hub::attempt) turns into a result or a place among those who wait. The hub wakes nobody by itself: it says
//! who is to be [woken](Hub::take_woken), and what that takes is the driver's own `W`: a task's waker, a thread.
//!
//! ```
//! # #[cfg(feature = "self-signed")] {
//! use std::{task::Poll, time::Instant};
//! use conec_core::{Certificate, CoordinatorConfig, CoordinatorEvent, hub::*};
//!
//! // Here, who waits is known by a number.
//! let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
//! let mut hub = Hub::<u32, _>::coordinator(config)?;
//! let mut ticket = Ticket::default();
//! assert_eq!(hub.attempt(&mut ticket, || 17, |hub| hub.next_event()), Poll::Pending);
//! assert!(hub.take_woken().into_iter().next().is_none());
//!
//! // The only handle is dropped, so the driver has something to do: to close the endpoint, and to end.
//! hub.set_driver(1);
//! hub.release(Instant::now(), None);
//! assert!(hub.take_woken().into_iter().eq([1]));
//! assert!(hub.is_finished());
//! hub.end();
//! assert!(hub.take_woken().into_iter().eq([17]));
//! assert_eq!(hub.attempt(&mut ticket, || 17, |hub| hub.next_event()), Poll::Ready(None));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Holding
//!
//! Every handle is counted. What the hub gives out (a channel that was opened, a stream that was accepted) is counted
//! already, once for each half of a stream; clones are counted with [`hold`](Hub::hold). A handle that is dropped is
//! [released](Hub::release); a half of a stream by [`release_sender`](Hub::release_sender) or
//! [`release_receiver`](Hub::release_receiver). A peer channel that nobody holds any more is closed gracefully, and so is
//! an endpoint.

mod channel;
mod client;
mod coordinator;
mod error;
mod stream;
#[cfg(all(test, feature = "self-signed"))]
mod tests;
mod waiters;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    task::Poll,
    time::{Duration, Instant},
};

use self::{
    channel::Entry, stream::Receiving, stream::Sending, waiters::Subject, waiters::Waiters,
};
pub use self::{
    client::host_of,
    error::{BindError, ConnectError, OpenError, SendError, TryRecvError},
    waiters::{Attempt, Interest, Ticket, Woken},
};
use crate::{ChannelId, CloseReason, CoordinatorEvent, Endpoint, StreamId};

/// An endpoint, what its events have told, who holds what, and who waits for what.
///
/// `W` is whatever it takes to wake somebody.
pub struct Hub<W, E: ?Sized = dyn Endpoint + Send> {
    waiters: Waiters<W>,
    /// Channels, from when they are first heard of until they are over and nobody holds them.
    channels: BTreeMap<ChannelId, Entry>,
    /// The halves of streams that somebody holds or may yet accept.
    sending: BTreeMap<StreamId, Sending>,
    receiving: BTreeMap<StreamId, Receiving>,
    handles: usize,
    /// Channels offered, or accepted automatically, that the application has not taken yet (Client only).
    offers: VecDeque<ChannelId>,
    /// Events that the application has not taken yet, and how many it never will (Coordinator only).
    events: VecDeque<CoordinatorEvent>,
    missed_events: u64,
    /// Nobody drives the endpoint any more.
    ended: bool,
    endpoint: E,
}

/// What a hub has to know of each kind of endpoint. Nothing to be called from outside.
pub trait Role: Endpoint + Sized {
    /// Takes note of an event.
    #[doc(hidden)]
    fn handle_event<W>(hub: &mut Hub<W, Self>, event: Self::Event);
}

// For who drives the endpoint.
impl<W, E: Role> Hub<W, E> {
    /// An endpoint that is held once.
    pub(crate) fn new(endpoint: E) -> Self {
        Self {
            waiters: Waiters::default(),
            channels: BTreeMap::new(),
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            handles: 1,
            offers: VecDeque::new(),
            events: VecDeque::new(),
            missed_events: 0,
            ended: false,
            endpoint,
        }
    }

    /// Takes note of what the endpoint has to tell. To be called after whatever was done to it.
    pub fn settle(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            E::handle_event(self, event);
        }
    }

    /// Whether the endpoint has ended and there is nothing left to do for its driver.
    pub fn is_finished(&self) -> bool {
        self.endpoint.is_finished()
    }
}

impl<W, E: Endpoint + ?Sized> Hub<W, E> {
    /// The endpoint, to look at.
    pub fn endpoint(&self) -> &E {
        &self.endpoint
    }

    /// The endpoint, to drive it.
    pub fn endpoint_mut(&mut self) -> &mut E {
        &mut self.endpoint
    }

    /// The endpoint, to command it: its driver is woken.
    pub fn command(&mut self) -> &mut E {
        self.waiters.wake_driver();
        &mut self.endpoint
    }

    /// Has the driver woken, once, when a handle gives it something to do.
    pub fn set_driver(&mut self, waiter: W) {
        self.waiters.set_driver(waiter);
    }

    /// Nobody drives the endpoint any more: whoever waits is told so.
    pub fn end(&mut self) {
        self.ended = true;
        for channel in self.channels.values_mut() {
            channel.end(CloseReason::Local);
        }
        for half in self.sending.values_mut() {
            half.end(crate::SendEnd::Closed(CloseReason::Local));
        }
        for half in self.receiving.values_mut() {
            half.end(crate::RecvEnd::Closed(CloseReason::Local));
        }
        self.waiters.wake_all();
    }

    /// Those who are to be woken, as soon as the hub's lock is released.
    pub fn take_woken(&mut self) -> Woken<W> {
        self.waiters.take_woken()
    }
}

// For who waits.
impl<W, E: Endpoint + ?Sized> Hub<W, E> {
    /// Tries something. Where it cannot be done yet, has `waiter` woken once when it is worth another try.
    ///
    /// The ticket is what this caller has waited with before, so that nobody waits twice.
    pub fn attempt<T>(
        &mut self,
        ticket: &mut Ticket,
        waiter: impl FnOnce() -> W,
        f: impl FnOnce(&mut Self) -> Attempt<T>,
    ) -> Poll<T> {
        match f(self) {
            Attempt::Done(result) => {
                self.leave(ticket);
                Poll::Ready(result)
            }
            Attempt::Wait(interest) => {
                self.waiters.enter(ticket, interest, waiter());
                Poll::Pending
            }
        }
    }

    /// Waits no longer.
    pub fn leave(&mut self, ticket: &mut Ticket) {
        self.waiters.leave(ticket);
    }

    /// Closes the endpoint gracefully, as [`Endpoint::close`] does.
    pub fn close(&mut self, now: Instant, patience: Duration) {
        self.command().close(now, patience);
        // Who waits to open a stream waits in vain.
        self.waiters.wake_all();
    }

    /// Waits until nobody drives the endpoint any more.
    pub fn ended(&self) -> Attempt<()> {
        if self.ended {
            Attempt::Done(())
        } else {
            Subject::End.wait()
        }
    }
}

// For who holds handles.
impl<W, E: Endpoint + ?Sized> Hub<W, E> {
    /// Counts another handle to the endpoint, or to a channel of it.
    pub fn hold(&mut self, channel: Option<ChannelId>) {
        self.handles += 1;
        if let Some(entry) = channel.and_then(|id| self.channels.get_mut(&id)) {
            entry.hold();
        }
    }

    /// A handle is gone. With the last one, what it was about is closed, with a patience of 10 seconds.
    pub fn release(&mut self, now: Instant, channel: Option<ChannelId>) {
        if let Some(id) = channel {
            self.release_channel(now, id);
        }
        self.handles = self.handles.saturating_sub(1);
        if self.handles == 0 {
            self.command().close(now, PATIENCE);
        }
    }
}

impl<W, E: ?Sized> fmt::Debug for Hub<W, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("channels", &self.channels)
            .field("handles", &self.handles)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// How long what nobody holds any more may take to end gracefully.
const PATIENCE: Duration = Duration::from_secs(10);
