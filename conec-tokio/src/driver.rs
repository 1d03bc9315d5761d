//! The one task behind an endpoint.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use conec_core::{Datagram, Transmit, hub::Role};
use tokio::time::Sleep;

use crate::{
    shared::{Shared, now},
    socket::Socket,
};

/// Moves datagrams, time and events between the socket, the core and the handles.
pub(crate) struct Driver<E: Role> {
    socket: Socket,
    received: Vec<Datagram>,
    /// What the socket did not take yet.
    blocked: Option<Transmit>,
    timer: Pin<Box<Sleep>>,
    shared: Arc<Shared<E>>,
    /// Dropped last: who waits for the end finds the socket closed.
    _end: End<E>,
}

/// However the driver ends, be it with its runtime: nobody waits in vain.
struct End<E: Role>(Arc<Shared<E>>);

impl<E: Role> Drop for End<E> {
    fn drop(&mut self) {
        self.0.with(|hub| hub.end());
    }
}

/// How a turn of the driver left things.
enum Turn {
    /// There is more to do.
    Busy,
    /// The task will be woken.
    Idle,
    Finished,
}

impl<E: Role> Driver<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>, socket: Socket) -> Self {
        Self {
            socket,
            received: Vec::new(),
            blocked: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            _end: End(Arc::clone(&shared)),
            shared,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut busy = self.socket.poll_recv(cx, &mut self.received).is_ready();
        self.shared.with(|hub| {
            // From here on, whoever changes anything wakes us.
            hub.set_driver(cx.waker().clone());
            let (now, endpoint) = (now(), hub.endpoint_mut());
            for datagram in self.received.drain(..) {
                endpoint.handle_datagram(now, datagram);
            }
            if endpoint.poll_timeout().is_some_and(|at| at <= now) {
                endpoint.handle_timeout(now);
            }
            hub.settle();
        });
        busy |= self.transmit(cx);
        let (finished, timeout) = self.shared.with(|hub| {
            // Sending makes room.
            hub.settle();
            (hub.is_finished(), hub.endpoint().poll_timeout())
        });
        match timeout {
            _ if finished && self.blocked.is_none() => return Turn::Finished,
            // A blocked socket has us woken. Until then the core wants to be heard all the time.
            Some(at) if at <= now() => busy |= self.blocked.is_none(),
            Some(at) => busy |= self.poll_timer(cx, at),
            None => {}
        }
        if busy { Turn::Busy } else { Turn::Idle }
    }

    /// Sends as much as is fair; whether there may be more.
    fn transmit(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..TRANSMITS {
            let max_segments = self.socket.max_segments();
            let next = self.blocked.take().or_else(|| {
                self.shared
                    .with(|hub| hub.endpoint_mut().poll_transmit(now(), max_segments))
            });
            let Some(transmit) = next else {
                return false;
            };
            match self.socket.poll_send(cx, &transmit) {
                Poll::Ready(Ok(())) => {}
                // As good as lost on the way: the system refuses probes for larger packets, for one.
                Poll::Ready(Err(error)) => {
                    tracing::trace!(%error, to = %transmit.destination, "sending failed");
                    self.shared
                        .with(|hub| hub.endpoint_mut().handle_socket_error());
                }
                Poll::Pending => {
                    self.blocked = Some(transmit);
                    return false;
                }
            }
        }
        true
    }

    /// Whether the time has come. The timer is left alone where it will fire early enough: deadlines move with almost
    /// every packet, mostly away.
    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        let at = tokio::time::Instant::from_std(at);
        if self.timer.deadline() > at {
            self.timer.as_mut().reset(at);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() == at {
                return true;
            }
            self.timer.as_mut().reset(at);
        }
        false
    }
}

impl<E: Role> Future for Driver<E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Turn::Busy => {}
                Turn::Idle => return Poll::Pending,
                Turn::Finished => return Poll::Ready(()),
            }
        }
        // Others want to run as well.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How often the driver goes around before others get to run, and how often it sends each time.
const TURNS: usize = 8;
const TRANSMITS: usize = 32;
