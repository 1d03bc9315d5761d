//! What the background thread and all handles share, and how threads wait for it to change.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use conec_core::{
    ChannelId, Endpoint,
    hub::{Attempt, Hub, Role, Ticket},
};
use conec_udp::Access;

use super::TimedOut;

/// An endpoint as its thread and all handles share it. The lock is held for one call into the core at a time, never
/// across a system call.
pub(super) struct Shared<E: ?Sized = dyn Endpoint + Send>(Mutex<Hub<Waker, E>>);

/// What it takes to wake somebody.
pub(super) enum Waker {
    Handle(Thread),
    Driver(Arc<mio::Waker>),
}

impl Waker {
    fn wake(self) {
        match self {
            Self::Handle(thread) => thread.unpark(),
            // If it cannot be woken, it wakes by its timeouts.
            Self::Driver(waker) => drop(waker.wake()),
        }
    }
}

impl<E> Shared<E> {
    pub(super) fn new(hub: Hub<Waker, E>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(hub)))
    }
}

impl<E: Endpoint + ?Sized> Shared<E> {
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Hub<Waker, E>) -> T) -> T {
        let mut hub = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut hub);
        let woken = hub.take_woken();
        drop(hub);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Tries `f` until it has a result.
    pub(super) fn wait<T>(&self, mut f: impl FnMut(&mut Hub<Waker, E>) -> Attempt<T>) -> T {
        loop {
            if let Ok(result) = self.wait_until(None, &mut f) {
                return result;
            }
        }
    }

    /// Tries `f` until it has a result, or the time is over: then nothing has happened.
    pub(super) fn wait_timeout<T>(
        &self,
        limit: Duration,
        f: impl FnMut(&mut Hub<Waker, E>) -> Attempt<T>,
    ) -> Result<T, TimedOut> {
        // A limit beyond what the clock can tell is none.
        self.wait_until(Instant::now().checked_add(limit), f)
    }

    fn wait_until<T>(
        &self,
        end: Option<Instant>,
        mut f: impl FnMut(&mut Hub<Waker, E>) -> Attempt<T>,
    ) -> Result<T, TimedOut> {
        let mut ticket = Ticket::default();
        let waker = || Waker::Handle(thread::current());
        loop {
            if let Poll::Ready(result) = self.with(|hub| hub.attempt(&mut ticket, waker, &mut f)) {
                return Ok(result);
            }
            match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => {
                    self.with(|hub| hub.leave(&mut ticket));
                    return Err(TimedOut);
                }
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

/// For the background thread.
impl<E: Role> Access for &Shared<E> {
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        Shared::with(self, |hub| f(hub.endpoint_mut()))
    }

    fn settle(&mut self) {
        Shared::with(self, |hub| hub.settle());
    }
}

/// Keeps an endpoint, and a channel if it is about one, from being closed.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    channel: Option<ChannelId>,
}

impl Handle {
    /// A handle that the hub has counted.
    pub(super) fn counted(shared: Arc<Shared>, channel: Option<ChannelId>) -> Self {
        Self { shared, channel }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.shared.with(|hub| hub.hold(self.channel));
        Self::counted(Arc::clone(&self.shared), self.channel)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared
            .with(|hub| hub.release(Instant::now(), self.channel));
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
