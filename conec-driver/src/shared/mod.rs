//! An endpoint behind a lock, which its driver shares with handles in other tasks or threads.

mod brief_lock;
mod channels;
mod held;
mod outbox;
mod roles;
mod state;
mod streams;
mod waiters;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use conec_core::{ChannelId, Endpoint};
use futures_core::Stream;

use self::waiters::{Place, Subject};
pub(crate) use self::{outbox::Outbox, state::State};

/// An endpoint as its driver and all handles share it.
pub(crate) struct Shared<E: ?Sized = dyn Endpoint + Send> {
    /// What time it is: runtimes have clocks of their own.
    clock: fn() -> Instant,
    state: Mutex<State<E>>,
}

impl<E: Endpoint> Shared<E> {
    /// An endpoint that is held once.
    pub(crate) fn new(endpoint: E, clock: fn() -> Instant) -> Arc<Self> {
        let state = Mutex::new(State::new(endpoint));
        Arc::new(Self { clock, state })
    }
}

impl<E: Endpoint + ?Sized> Shared<E> {
    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Does something to the endpoint, and wakes whom it concerns.
    ///
    /// Everybody else waits for that: it should be one call into the core, and never a system call.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State<E>) -> T) -> T {
        // Whoever panicked with the lock has left a state that is whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut state);
        let woken = state.waiters.take_woken();
        drop(state);
        woken.wake();
        result
    }

    /// Does something to the core, and sees to it that the driver has a turn.
    pub(crate) fn command<T>(&self, f: impl FnOnce(&mut E, Instant) -> T) -> T {
        let now = self.now();
        self.with(|state| state.command(|core| f(core, now)))
    }

    /// Tries `f` until it can be done. Dropped earlier, nothing has happened.
    pub(crate) async fn wait<T>(
        self: &Arc<Self>,
        f: impl FnMut(&mut State<E>) -> Result<T, Subject>,
    ) -> T {
        Waiter::new(Arc::clone(self)).wait(f).await
    }

    /// What `f` gives, one after the other, until it gives `None`.
    pub(crate) fn stream<T, F>(self: &Arc<Self>, next: F) -> Items<E, F>
    where
        F: FnMut(&mut State<E>) -> Result<Option<T>, Subject>,
    {
        let waiter = Waiter::new(Arc::clone(self));
        Items { waiter, next }
    }
}

/// Keeps an endpoint, and a channel if it is about one, from being closed.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    channel: Option<ChannelId>,
}

impl Handle {
    /// A handle that was counted already.
    pub(crate) fn counted(shared: Arc<Shared>, channel: Option<ChannelId>) -> Self {
        Self { shared, channel }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.shared.with(|state| state.hold(self.channel));
        Self::counted(Arc::clone(&self.shared), self.channel)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let now = self.shared.now();
        self.shared.with(|state| state.release(now, self.channel));
    }
}

/// A place among those who wait, for as long as somebody does.
pub(crate) struct Waiter<E: Endpoint + ?Sized = dyn Endpoint + Send> {
    pub(crate) shared: Arc<Shared<E>>,
    place: Place,
}

impl<E: Endpoint + ?Sized> Waiter<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>) -> Self {
        let place = Place::default();
        Self { shared, place }
    }

    /// Tries `f` until it can be done. Dropped earlier, nothing has happened, and nobody is woken any more.
    pub(crate) async fn wait<T>(
        &mut self,
        mut f: impl FnMut(&mut State<E>) -> Result<T, Subject>,
    ) -> T {
        /// Gives up the place with the call.
        struct Call<'a, E: Endpoint + ?Sized>(&'a mut Waiter<E>);
        impl<E: Endpoint + ?Sized> Drop for Call<'_, E> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        let call = Call(self);
        poll_fn(|cx| call.0.poll(cx, &mut f)).await
    }

    /// Tries `f`, and has the task woken when it is worth another try.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        f: impl FnOnce(&mut State<E>) -> Result<T, Subject>,
    ) -> Poll<T> {
        let Self { shared, place } = self;
        shared.with(|state| match f(state) {
            Ok(done) => {
                state.waiters.leave(place);
                Poll::Ready(done)
            }
            Err(subject) => {
                state.waiters.enter(place, subject, cx.waker());
                Poll::Pending
            }
        })
    }

    fn leave(&mut self) {
        if self.place.is_taken() {
            self.shared
                .with(|state| state.waiters.leave(&mut self.place));
        }
    }
}

impl<E: Endpoint + ?Sized> Drop for Waiter<E> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What is waited for again and again.
pub(crate) struct Items<E: Endpoint + ?Sized, F> {
    waiter: Waiter<E>,
    next: F,
}

impl<E, T, F> Stream for Items<E, F>
where
    E: Endpoint + ?Sized,
    F: FnMut(&mut State<E>) -> Result<Option<T>, Subject> + Unpin,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { waiter, next } = self.get_mut();
        waiter.poll(cx, next)
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
