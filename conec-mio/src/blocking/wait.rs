//! How a thread waits.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::TimedOut;

/// Waits until a future is done.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Ok(output) = wait_until(future.as_mut(), None) {
            return output;
        }
    }
}

/// Waits until a future is done, or the time is over: then the future is dropped, and nothing has happened.
pub(super) fn wait_timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, TimedOut> {
    // A limit that the clock cannot express is none.
    wait_until(pin!(future), Instant::now().checked_add(limit))
}

fn wait_until<F: Future>(
    mut future: Pin<&mut F>,
    end: Option<Instant>,
) -> Result<F::Output, TimedOut> {
    thread_local! {
        static WAKER: Waker = waker();
    }
    // While a thread ends, its thread-local waker may be gone already.
    WAKER
        .try_with(|waker| park(future.as_mut(), waker, end))
        .unwrap_or_else(|_| park(future, &waker(), end))
}

fn park<F: Future>(
    mut future: Pin<&mut F>,
    waker: &Waker,
    end: Option<Instant>,
) -> Result<F::Output, TimedOut> {
    let mut cx = Context::from_waker(waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        match end.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return Err(TimedOut),
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Calls that wait for a future, each once without and once with a time limit: mostly methods of the same name in
/// `conec_driver`, which they refer to.
///
/// ```text
/// "Receiver": recv, recv_timeout [&mut self,] () -> Result<Option<Bytes>, RecvError> { self.0.recv() }
/// ```
macro_rules! waiting {
    ($handle:literal: $($name:ident, $timed:ident [$($self:tt)*]
        ($($args:tt)*) -> $output:ty { $future:expr })+) => { waiting! { $(
            #[doc = concat!("[`conec_driver::", $handle, "::", stringify!($name), "`], waited for.")]
            $name, $timed [$($self)*] ($($args)*) -> $output { $future }
        )+ }
    };
    ($($(#[$doc:meta])+ $name:ident, $timed:ident [$($self:tt)*]
        ($($arg:ident: $type:ty),*) -> $output:ty { $future:expr })+) => {$(
        $(#[$doc])+
        pub fn $name($($self)* $($arg: $type),*) -> $output {
            wait($future)
        }

        #[doc = concat!("Waits as [`", stringify!($name), "`](Self::", stringify!($name),
            ") does, no longer than the limit.")]
        pub fn $timed(
            $($self)* $($arg: $type,)* limit: Duration,
        ) -> Result<$output, TimedOut> {
            wait_timeout(limit, $future)
        }
    )+};
}

/// Has handles do what those of the same name in `conec_driver` do, where nothing is to be waited for.
macro_rules! derefs {
    ($($handle:ident),+) => {$(
        impl Deref for $handle {
            type Target = conec_driver::$handle;

            fn deref(&self) -> &conec_driver::$handle {
                &self.0
            }
        }
    )+};
}

pub(super) use derefs;
pub(super) use waiting;
