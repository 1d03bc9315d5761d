//! How long a task goes on that never has to wait.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

/// Has a task that calls again and again, and each time gets what it asks for at once, give way to others now and then.
///
/// Executors run a task until it waits. A sender whose messages another thread fetches need never wait, nor need a reader
/// of what that thread receives: others in the same thread, timers among them, would never have their turn.
#[derive(Debug, Default)]
pub(crate) struct Stamina(u32);

impl Stamina {
    /// Whether to go on at once. If not, the task is woken when the others had their turn.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.is_left() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Goes on at once, or when the others had their turn.
    #[inline]
    pub(crate) async fn go_on(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Counts a call, unless there were so many that it has to wait. Then it begins anew.
    #[inline]
    fn is_left(&mut self) -> bool {
        self.0 += 1;
        if self.0 > CALLS {
            self.0 = 0;
        }
        self.0 > 0
    }
}

/// How many calls are done at once: small messages take some 500 µs together. With much fewer, small messages go out in
/// smaller batches, as each turn of the others sends what there is.
const CALLS: u32 = 10_000;
