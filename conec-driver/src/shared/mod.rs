//! An endpoint behind a lock, which its driver shares with handles in other tasks or threads.

mod brief_lock;
mod channels;
mod groups;
mod outbox;
mod roles;
mod stamina;
mod state;
mod streams;
mod waiters;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use conec_core::{ChannelId, Endpoint};
use futures_core::Stream;
use tracing::Span;

pub(crate) use self::{
    groups::GroupHandle, outbox::Outbox, stamina::Stamina, state::State, waiters::Place,
};
use self::{state::PATIENCE, waiters::Subject};

/// Whose logs the spans of endpoints are about: who asks for the core's gets them as well.
pub(crate) const LOGS: &str = "conec_core";

/// An endpoint as its driver and all handles share it.
pub(crate) struct Shared<E: ?Sized = dyn Endpoint + Send> {
    /// What time it is: runtimes have clocks of their own.
    clock: fn() -> Instant,
    /// Names the endpoint in what the core logs.
    span: Span,
    state: Mutex<State<E>>,
}

impl<E: Endpoint> Shared<E> {
    pub(crate) fn new(endpoint: E, clock: fn() -> Instant, span: Span) -> Arc<Self> {
        let state = Mutex::new(State::new(endpoint));
        Arc::new(Self { clock, span, state })
    }
}

impl<E: Endpoint + ?Sized> Shared<E> {
    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Does something to the endpoint under the lock, and wakes whom it concerns after that.
    ///
    /// All others wait for the lock meanwhile: it should be one call into the core, and never a system call.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State<E>) -> T) -> T {
        // Poisoning is ignored: no panic leaves the state half changed.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entered = self.span.enter();
        let result = f(&mut state);
        let woken = state.waiters.take_woken();
        drop(state);
        drop(entered);
        woken.wake();
        result
    }

    /// Does something to the core, and has the driver take a turn.
    pub(crate) fn command<T>(&self, f: impl FnOnce(&mut E, Instant) -> T) -> T {
        let now = self.now();
        self.with(|state| state.command(|core| f(core, now)))
    }

    /// Tries `f` until it can be done. Dropped earlier, nothing has happened, and nobody is woken any more.
    pub(crate) async fn wait<T>(
        &self,
        mut f: impl FnMut(&mut State<E>) -> Result<T, Subject>,
    ) -> T {
        /// Gives up the place with the call.
        struct Call<'a, E: Endpoint + ?Sized>(&'a Shared<E>, Place);
        impl<E: Endpoint + ?Sized> Drop for Call<'_, E> {
            fn drop(&mut self) {
                self.0.leave(&mut self.1);
            }
        }
        let mut call = Call(self, Place::default());
        poll_fn(|cx| self.poll(cx, &mut call.1, &mut f)).await
    }

    /// Tries `f`, and has the task woken when it is worth another try. Whoever gives up before that has to
    /// [leave](Self::leave) the place.
    pub(crate) fn poll<T>(
        &self,
        cx: &Context<'_>,
        place: &mut Place,
        f: impl FnOnce(&mut State<E>) -> Result<T, Subject>,
    ) -> Poll<T> {
        self.with(|state| match f(state) {
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

    /// Nobody waits there any more.
    pub(crate) fn leave(&self, place: &mut Place) {
        if place.is_taken() {
            self.with(|state| state.waiters.leave(place));
        }
    }
}

/// Keeps an endpoint open: dropped with the last reference to it, it closes the endpoint.
pub(crate) struct EndpointHandle(pub(crate) Arc<Shared>);

impl Drop for EndpointHandle {
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.command(|endpoint, now| endpoint.close(now, PATIENCE));
    }
}

/// Keeps a channel open, and by it its endpoint. To be made for a channel that the state counts as held.
pub(crate) struct ChannelHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: ChannelId,
    /// Dropped after the channel was released.
    pub(crate) endpoint: Arc<EndpointHandle>,
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        let now = self.shared.now();
        self.shared
            .with(|state| state.release_channel(now, self.id));
    }
}

/// What is waited for again and again: what `next` gives, until it gives `None`.
pub(crate) struct Items<E: Endpoint + ?Sized, F> {
    shared: Arc<Shared<E>>,
    place: Place,
    next: F,
}

impl<E, T, F> Items<E, F>
where
    E: Endpoint + ?Sized,
    F: FnMut(&mut State<E>) -> Result<Option<T>, Subject>,
{
    pub(crate) fn new(shared: &Arc<Shared<E>>, next: F) -> Self {
        Self {
            shared: Arc::clone(shared),
            place: Place::default(),
            next,
        }
    }
}

impl<E, T, F> Stream for Items<E, F>
where
    E: Endpoint + ?Sized,
    F: FnMut(&mut State<E>) -> Result<Option<T>, Subject> + Unpin,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Self {
            shared,
            place,
            next,
        } = self.get_mut();
        shared.poll(cx, place, next)
    }
}

impl<E: Endpoint + ?Sized, F> Drop for Items<E, F> {
    fn drop(&mut self) {
        self.shared.leave(&mut self.place);
    }
}
