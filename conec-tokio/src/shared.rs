//! How tasks wait for what the driver and all handles share to change.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use conec_core::{
    Endpoint,
    hub::{self, Attempt, Ticket},
};
use conec_driver::handles::{self, Wake};
use futures_core::Stream;

pub(crate) type Shared<E = dyn Endpoint + Send> = handles::Shared<Task, E>;
pub(crate) type Handle = handles::Handle<Task>;
pub(crate) type Hub<E = dyn Endpoint + Send> = hub::Hub<Task, E>;

/// A task that waits.
pub(crate) struct Task(Waker);

impl Task {
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        Self(cx.waker().clone())
    }
}

impl Wake for Task {
    fn wake(self) {
        self.0.wake();
    }

    fn now() -> Instant {
        now()
    }
}

/// The runtime's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Tries `f` until it has a result. Dropped earlier, nothing has happened.
pub(crate) async fn wait<T, E: Endpoint + ?Sized>(
    shared: &Arc<Shared<E>>,
    f: impl FnMut(&mut Hub<E>) -> Attempt<T>,
) -> T {
    Waiter::new(Arc::clone(shared)).wait(f).await
}

/// What `f` gives, one after the other, until it gives `None`.
pub(crate) fn stream<T, E, F>(shared: &Arc<Shared<E>>, f: F) -> Items<E, F>
where
    E: Endpoint + ?Sized,
    F: FnMut(&mut Hub<E>) -> Attempt<Option<T>>,
{
    let waiter = Waiter::new(Arc::clone(shared));
    Items { waiter, next: f }
}

/// A place among those who wait, for as long as somebody does.
pub(crate) struct Waiter<E: Endpoint + ?Sized = dyn Endpoint + Send> {
    shared: Arc<Shared<E>>,
    ticket: Ticket,
}

impl<E: Endpoint + ?Sized> Waiter<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>) -> Self {
        let ticket = Ticket::default();
        Self { shared, ticket }
    }

    /// Tries `f` until it has a result. Dropped earlier, nothing has happened, and nobody is woken any more.
    pub(crate) async fn wait<T>(&mut self, mut f: impl FnMut(&mut Hub<E>) -> Attempt<T>) -> T {
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

    /// Tries `f`, and has the task woken if it is to be tried again.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        f: impl FnOnce(&mut Hub<E>) -> Attempt<T>,
    ) -> Poll<T> {
        let Self { shared, ticket } = self;
        shared.with(|hub| hub.attempt(ticket, || Task::of(cx), f))
    }

    fn leave(&mut self) {
        if self.ticket.is_waiting() {
            self.shared.with(|hub| hub.leave(&mut self.ticket));
        }
    }
}

impl<E: Endpoint + ?Sized> Drop for Waiter<E> {
    fn drop(&mut self) {
        self.leave();
    }
}

pub(crate) struct Items<E: Endpoint + ?Sized, F> {
    waiter: Waiter<E>,
    next: F,
}

impl<E, T, F> Stream for Items<E, F>
where
    E: Endpoint + ?Sized,
    F: FnMut(&mut Hub<E>) -> Attempt<Option<T>> + Unpin,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { waiter, next } = self.get_mut();
        waiter.poll(cx, next)
    }
}
