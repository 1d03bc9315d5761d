//! How threads wait for what the background thread and all handles share to change.

use std::{
    sync::Arc,
    task::Poll,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use conec_core::{
    Endpoint,
    hub::{self, Attempt, Ticket},
};
use conec_driver::handles::{self, Wake};

use super::TimedOut;

pub(super) type Shared<E = dyn Endpoint + Send> = handles::Shared<Waker, E>;
pub(super) type Handle = handles::Handle<Waker>;
pub(super) type Hub<E = dyn Endpoint + Send> = hub::Hub<Waker, E>;

/// What it takes to wake somebody.
pub(super) enum Waker {
    Handle(Thread),
    Driver(Arc<mio::Waker>),
}

impl Wake for Waker {
    fn wake(self) {
        match self {
            Self::Handle(thread) => thread.unpark(),
            // If it cannot be woken, it wakes by its timeouts.
            Self::Driver(waker) => drop(waker.wake()),
        }
    }

    fn now() -> Instant {
        Instant::now()
    }
}

/// Tries `f` until it has a result.
pub(super) fn wait<T, E: Endpoint + ?Sized>(
    shared: &Shared<E>,
    mut f: impl FnMut(&mut Hub<E>) -> Attempt<T>,
) -> T {
    loop {
        if let Ok(result) = wait_until(shared, None, &mut f) {
            return result;
        }
    }
}

/// Tries `f` until it has a result, or the time is over: then nothing has happened.
pub(super) fn wait_timeout<T, E: Endpoint + ?Sized>(
    shared: &Shared<E>,
    limit: Duration,
    f: impl FnMut(&mut Hub<E>) -> Attempt<T>,
) -> Result<T, TimedOut> {
    // A limit beyond what the clock can tell is none.
    wait_until(shared, Instant::now().checked_add(limit), f)
}

fn wait_until<T, E: Endpoint + ?Sized>(
    shared: &Shared<E>,
    end: Option<Instant>,
    mut f: impl FnMut(&mut Hub<E>) -> Attempt<T>,
) -> Result<T, TimedOut> {
    let mut ticket = Ticket::default();
    let waker = || Waker::Handle(thread::current());
    loop {
        if let Poll::Ready(result) = shared.with(|hub| hub.attempt(&mut ticket, waker, &mut f)) {
            return Ok(result);
        }
        match end.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => {
                shared.with(|hub| hub.leave(&mut ticket));
                return Err(TimedOut);
            }
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}
