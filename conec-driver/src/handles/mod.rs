//! An endpoint behind a lock, which its driver shares with handles in other tasks or threads.
//!
//! It is what an adapter with handles needs beyond a [`Hub`], apart from waiting: that takes a future in one adapter, and
//! a parked thread in another. How those who wait are woken is told by [`Wake`].
//!
//! ```
//! use std::{ops::ControlFlow, sync::Arc, task::Poll, thread, time::{Duration, Instant}};
//! use conec_core::{Certificate, CoordinatorConfig, hub::{Hub, Ticket}};
//! use conec_driver::{Pump, Socket, handles::{Driven, Handle, Shared, Wake}};
//!
//! struct Parked(thread::Thread);
//! impl Wake for Parked {
//!     fn wake(self) {
//!         self.0.unpark();
//!     }
//!     fn now() -> Instant {
//!         Instant::now()
//!     }
//! }
//!
//! let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
//! let shared = Shared::new(Hub::<Parked, _>::coordinator(config)?);
//! let handle = Handle::counted(shared.clone(), None);
//!
//! let (mut socket, udp) = Socket::bind(([127, 0, 0, 1], 0).into())?.into_parts();
//! let (mut pump, mut driven) = (Pump::new(udp), Driven::new(Arc::clone(&shared)));
//! let driver = thread::spawn(move || loop {
//!     driven.begin_turn(Parked(thread::current()));
//!     pump.turn(Instant::now(), &mut socket, &mut driven);
//!     match driven.next_turn(&pump) {
//!         // A driver that can wait for the socket waits for it, until this time.
//!         ControlFlow::Continue(_due) => thread::park_timeout(Duration::from_millis(1)),
//!         ControlFlow::Break(()) => break,
//!     }
//! });
//!
//! // With the last handle, the endpoint ends, and with it its driver, and all waiting.
//! drop(handle);
//! driver.join().unwrap();
//! let mut ticket = Ticket::default();
//! let event = shared.with(|hub| {
//!     hub.attempt(&mut ticket, || Parked(thread::current()), |hub| hub.next_event())
//! });
//! assert_eq!(event, Poll::Ready(None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod brief_lock;
mod driven;
mod outbox;
mod stream;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use conec_core::{
    ChannelId, Endpoint,
    hub::{Attempt, Hub, SendError},
};

use self::outbox::Outbox;
pub use self::{
    driven::Driven,
    stream::{RecvHalf, SendHalf},
};

/// Somebody who waits: a task, or a thread.
pub trait Wake {
    /// Has it look again. What it waited for may have happened.
    fn wake(self);

    /// What time it is there: runtimes have clocks of their own.
    fn now() -> Instant;
}

/// An endpoint as its driver and all handles share it.
pub struct Shared<W, E: ?Sized = dyn Endpoint + Send> {
    /// Those with messages that the driver is to come for. Locked within the other lock, if both are.
    outboxes: Mutex<Vec<Arc<Outbox>>>,
    hub: Mutex<Hub<W, E>>,
}

impl<W, E> Shared<W, E> {
    /// To be shared from now on.
    pub fn new(hub: Hub<W, E>) -> Arc<Self> {
        Arc::new(Self {
            outboxes: Mutex::default(),
            hub: Mutex::new(hub),
        })
    }
}

impl<W: Wake, E: Endpoint + ?Sized> Shared<W, E> {
    /// Does something to the hub, and wakes whom it concerns.
    ///
    /// Everybody else waits for that: it should be one call into the core, and never a system call.
    pub fn with<T>(&self, f: impl FnOnce(&mut Hub<W, E>) -> T) -> T {
        let mut hub = lock(&self.hub);
        let result = f(&mut hub);
        let woken = hub.take_woken();
        drop(hub);
        woken.into_iter().for_each(W::wake);
        result
    }

    /// Has the driver come for a message, once there is room for it.
    fn send(
        &self,
        hub: &mut Hub<W, E>,
        outbox: &Arc<Outbox>,
        message: &Bytes,
    ) -> Attempt<Result<(), SendError>> {
        match outbox.ready(hub) {
            Attempt::Done(Ok(())) => Attempt::Done(self.send_unasked(hub, outbox, message)),
            refused @ (Attempt::Done(Err(_)) | Attempt::Wait(_)) => refused,
        }
    }

    /// Has the driver come for a message.
    fn send_unasked(
        &self,
        hub: &mut Hub<W, E>,
        outbox: &Arc<Outbox>,
        message: &Bytes,
    ) -> Result<(), SendError> {
        outbox.begin(hub, message)?;
        lock(&self.outboxes).push(Arc::clone(outbox));
        // Whatever is done to it, the driver is woken.
        hub.command();
        Ok(())
    }

    /// Hands over the messages of all who wait for that.
    fn collect(&self, hub: &mut Hub<W, E>) {
        for outbox in std::mem::take(&mut *lock(&self.outboxes)) {
            // If it has ended, who holds it is told.
            let _ = outbox.hand_over(hub);
        }
    }
}

/// Keeps an endpoint, and a channel if it is about one, from being closed.
pub struct Handle<W: Wake> {
    shared: Arc<Shared<W>>,
    channel: Option<ChannelId>,
}

impl<W: Wake> Handle<W> {
    /// A handle that the hub has counted.
    pub fn counted(shared: Arc<Shared<W>>, channel: Option<ChannelId>) -> Self {
        Self { shared, channel }
    }

    /// The endpoint.
    pub fn shared(&self) -> &Arc<Shared<W>> {
        &self.shared
    }
}

impl<W: Wake> Clone for Handle<W> {
    fn clone(&self) -> Self {
        self.shared.with(|hub| hub.hold(self.channel));
        Self::counted(Arc::clone(&self.shared), self.channel)
    }
}

impl<W: Wake> Drop for Handle<W> {
    fn drop(&mut self) {
        self.shared.with(|hub| hub.release(W::now(), self.channel));
    }
}

impl<W: Wake> fmt::Debug for Handle<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.channel {
            Some(channel) => channel.fmt(f),
            None => f.write_str("Handle"),
        }
    }
}

/// Whoever panicked with the lock has left a hub that is whole.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
