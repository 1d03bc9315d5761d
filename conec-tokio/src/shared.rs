//! What the driver and all handles share, and how tasks wait for it to change.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use conec_core::ChannelId;
use futures_core::Stream;

use crate::table::{Interest, Key, Table};

/// What handles need of an endpoint of either kind.
pub(crate) trait Channels: Send + 'static {
    fn channel(&mut self, id: ChannelId) -> Option<conec_core::Channel<'_>>;
    fn close(&mut self, now: Instant, patience: Duration);
}

/// An endpoint as the driver and all handles share it. The lock is held for one call into the core at a time, never
/// across a system call or an await.
pub(crate) struct Shared<R: ?Sized>(Mutex<State<R>>);

pub(crate) struct State<R: ?Sized> {
    pub(crate) table: Table,
    pub(crate) role: R,
}

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
        let woken = state.table.take_woken();
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
                Poll::Pending => state.table.register(key, cx.waker().clone()),
                Poll::Ready(_) => state.table.unregister(key),
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
        let key = (interest, shared.with(|state| state.table.ticket()));
        Self { shared, key }
    }
}

impl<R: ?Sized> Drop for Waiter<R> {
    fn drop(&mut self) {
        let _waker = self.shared.with(|state| state.table.unregister(self.key));
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
        self.shared
            .with(|State { table, role }| table.release(role, self.channel));
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
