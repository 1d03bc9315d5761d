//! Calls that are dropped while they wait: nothing is lost by it, and nothing is left behind.

mod channels;
mod endpoints;
mod streams;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use tokio::runtime::Handle;

use crate::poll_once;

/// Polls a new future each time, and gives it up if it has to wait.
async fn patiently<F: Future>(mut call: impl FnMut() -> F) -> F::Output {
    loop {
        if let Poll::Ready(result) = poll_once(pin!(call())) {
            return result;
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Count(std::sync::atomic::AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Has somebody wait, and give up.
fn wait_in_vain(call: impl Future) {
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    {
        let mut call = pin!(call);
        let polled = call.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "does not have to wait");
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1, "its waker is kept");
}

/// Drives a call until it is done, or given up.
async fn until<F: Future>(mut is_time: impl FnMut() -> bool, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    while !is_time() {
        if let Poll::Ready(result) = poll_once(call.as_mut()) {
            return Some(result);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Moments to give up at: before anything was done, and then later and later.
fn moments() -> impl Iterator<Item = usize> {
    (0..10).chain((0..).map(|doubled| 10 << doubled))
}

/// Tasks of this test's runtime.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
