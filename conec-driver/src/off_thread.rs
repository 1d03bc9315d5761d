//! Waiting for what blocks, without blocking.

use std::{
    future::poll_fn,
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    thread,
};

/// Does something in a thread of its own, and waits for it. Dropped early, it is done all the same.
///
/// For what is done seldom: whatever executor there is, its threads are not held up by a disk.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let slot = Arc::new(Mutex::new(Slot::default()));
    let finish = Finish {
        slot: Arc::clone(&slot),
        result: None,
    };
    thread::Builder::new()
        .name("conec-file".into())
        .spawn(move || finish.with(work))?;
    poll_fn(|cx| {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

struct Slot<T> {
    outcome: Option<io::Result<T>>,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            outcome: None,
            waker: None,
        }
    }
}

/// Tells the result when the thread ends, however it does.
struct Finish<T> {
    slot: Arc<Mutex<Slot<T>>>,
    result: Option<T>,
}

impl<T> Finish<T> {
    fn with(mut self, work: impl FnOnce() -> T) {
        self.result = Some(work());
    }
}

impl<T> Drop for Finish<T> {
    fn drop(&mut self) {
        let result = self.result.take();
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.outcome = Some(result.ok_or_else(|| io::Error::other("the thread has panicked")));
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_gets_the_result_or_hears_that_there_is_none() {
        let this = thread::current().id();
        let other = pollster::block_on(off_thread(|| thread::current().id()));
        assert_ne!(other.unwrap(), this);
        let failed = pollster::block_on(off_thread(|| panic!("as it is meant to")));
        let failed: io::Result<()> = failed;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
    }
}
