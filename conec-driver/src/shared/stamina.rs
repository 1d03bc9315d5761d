//! How long a task goes on that never has to wait.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll},
};

/// Has a task that calls again and again, and each time gets what it asks for at once, give way to others now and then.
///
/// Executors run a task until it waits. A sender whose messages another thread fetches need never wait, nor need a reader
/// of what that thread receives: others in the same thread, timers among them, would never have their turn.
///
/// Where several call at once by one handle, some calls may not be counted.
#[derive(Debug, Default)]
pub(crate) struct Stamina(AtomicU32);

impl Stamina {
    /// Whether to go on at once. If not, the task is woken when the others had their turn.
    #[inline]
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_left() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Goes on at once, or when the others had their turn.
    #[inline]
    pub(crate) async fn go_on(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Counts a call, unless there were so many that it has to wait. Then it begins anew.
    #[inline]
    fn is_left(&self) -> bool {
        // Two plain accesses: an addition that others see at once would cost more than a small message.
        let calls = self.0.load(Ordering::Relaxed);
        let is_left = calls < CALLS;
        self.0
            .store(if is_left { calls + 1 } else { 0 }, Ordering::Relaxed);
        is_left
    }
}

/// How many calls are done at once: small messages take some 500 µs together. With much fewer, small messages go out in
/// smaller batches, as each turn of the others sends what there is.
const CALLS: u32 = 10_000;
