//! What the driver and all handles share, and how tasks wait for it to change.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use conec_core::{
    ChannelId, Endpoint,
    hub::{Attempt, Hub, SendError, Ticket},
};
use futures_core::Stream;

use crate::outbox::Outbox;

/// An endpoint as the driver and all handles share it. The lock is held for one call into the core at a time, never
/// across a system call or an await.
pub(crate) struct Shared<E: ?Sized = dyn Endpoint + Send> {
    /// Those with messages that the driver is to come for. Locked within the other lock, if both are.
    outboxes: Mutex<Vec<Arc<Outbox>>>,
    hub: Mutex<Hub<Waker, E>>,
}

impl<E> Shared<E> {
    pub(crate) fn new(hub: Hub<Waker, E>) -> Arc<Self> {
        let outboxes = Mutex::default();
        Arc::new(Self {
            outboxes,
            hub: Mutex::new(hub),
        })
    }
}

impl<E: Endpoint + ?Sized> Shared<E> {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Hub<Waker, E>) -> T) -> T {
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut hub);
        let woken = hub.take_woken();
        drop(hub);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Has the driver come for a message, once there is room for it.
    pub(crate) fn send(
        &self,
        hub: &mut Hub<Waker, E>,
        outbox: &Arc<Outbox>,
        message: &Bytes,
    ) -> Attempt<Result<(), SendError>> {
        match outbox.ready(hub) {
            Attempt::Done(Ok(())) => Attempt::Done(self.send_unasked(hub, outbox, message)),
            refused @ (Attempt::Done(Err(_)) | Attempt::Wait(_)) => refused,
        }
    }

    /// Has the driver come for a message.
    pub(crate) fn send_unasked(
        &self,
        hub: &mut Hub<Waker, E>,
        outbox: &Arc<Outbox>,
        message: &Bytes,
    ) -> Result<(), SendError> {
        outbox.begin(hub, message)?;
        self.outboxes().push(Arc::clone(outbox));
        // Whatever is done to it, the driver is woken.
        hub.command();
        Ok(())
    }

    /// Hands over the messages of all who wait for that.
    pub(crate) fn collect(&self, hub: &mut Hub<Waker, E>) {
        for outbox in std::mem::take(&mut *self.outboxes()) {
            // If it has ended, who holds it is told.
            let _ = outbox.hand_over(hub);
        }
    }

    fn outboxes(&self) -> MutexGuard<'_, Vec<Arc<Outbox>>> {
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries `f` until it has a result. Dropped earlier, nothing has happened.
    pub(crate) async fn wait<T>(
        self: &Arc<Self>,
        f: impl FnMut(&mut Hub<Waker, E>) -> Attempt<T>,
    ) -> T {
        Waiter::new(Arc::clone(self)).wait(f).await
    }

    /// What `f` gives, one after the other, until it gives `None`.
    pub(crate) fn stream<T, F>(self: &Arc<Self>, f: F) -> Items<E, F>
    where
        F: FnMut(&mut Hub<Waker, E>) -> Attempt<Option<T>>,
    {
        let waiter = Waiter::new(Arc::clone(self));
        Items { waiter, next: f }
    }
}

/// A place among those who wait, for as long as somebody does.
pub(crate) struct Waiter<E: Endpoint + ?Sized = dyn Endpoint + Send> {
    pub(crate) shared: Arc<Shared<E>>,
    ticket: Ticket,
}

impl<E: Endpoint + ?Sized> Waiter<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>) -> Self {
        let ticket = Ticket::default();
        Self { shared, ticket }
    }

    /// Tries `f` until it has a result. Dropped earlier, nothing has happened, and nobody is woken any more.
    pub(crate) async fn wait<T>(
        &mut self,
        mut f: impl FnMut(&mut Hub<Waker, E>) -> Attempt<T>,
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

    /// Tries `f`, and has the task woken if it is to be tried again.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        f: impl FnOnce(&mut Hub<Waker, E>) -> Attempt<T>,
    ) -> Poll<T> {
        let Self { shared, ticket } = self;
        shared.with(|hub| hub.attempt(ticket, || cx.waker().clone(), f))
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
    F: FnMut(&mut Hub<Waker, E>) -> Attempt<Option<T>> + Unpin,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { waiter, next } = self.get_mut();
        waiter.poll(cx, next)
    }
}

/// What channels and streams see: an endpoint of either kind.
pub(crate) type AnyHub = Hub<Waker, dyn Endpoint + Send>;

/// Keeps an endpoint, and a channel if it is about one, from being closed.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    channel: Option<ChannelId>,
}

impl Handle {
    /// A handle that the hub has counted.
    pub(crate) fn counted(shared: Arc<Shared>, channel: Option<ChannelId>) -> Self {
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
        self.shared.with(|hub| hub.release(now(), self.channel));
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

/// The runtime's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
