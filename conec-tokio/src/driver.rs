//! The one task behind an endpoint.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use conec_core::{ChannelEvent, ChannelId, Datagram, Endpoint, Transmit};
use tokio::time::Sleep;

use crate::{
    shared::{Channels, Shared, State, now},
    socket::Socket,
    table::Table,
};

/// What the driver needs of an endpoint.
pub(crate) trait Role: Channels {
    type Core: Endpoint;
    fn core(&mut self) -> &mut Self::Core;
    fn is_finished(&self) -> bool;
    /// Deals with an event, and passes on what concerns a channel's inside.
    fn handle_event(
        &mut self,
        table: &mut Table,
        event: <Self::Core as Endpoint>::Event,
    ) -> Option<(ChannelId, ChannelEvent)>;
}

/// Moves datagrams, time and events between the socket, the core and the handles.
pub(crate) struct Driver<R: Role> {
    socket: Socket,
    received: Vec<Datagram>,
    /// What the socket did not take yet.
    blocked: Option<Transmit>,
    timer: Pin<Box<Sleep>>,
    shared: Arc<Shared<R>>,
    /// Dropped last: who waits for the end finds the socket closed.
    _end: End<R>,
}

/// However the driver ends, be it with its runtime: nobody waits in vain.
struct End<R: Role>(Arc<Shared<R>>);

impl<R: Role> Drop for End<R> {
    fn drop(&mut self) {
        self.0.with(|state| state.table.end());
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

impl<R: Role> Driver<R> {
    pub(crate) fn new(shared: Arc<Shared<R>>, socket: Socket) -> Self {
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
        self.shared.with(|state| {
            // From here on, whoever changes anything wakes us.
            state.table.register_driver(cx.waker().clone());
            let (now, core) = (now(), state.role.core());
            for datagram in self.received.drain(..) {
                core.handle_datagram(now, datagram);
            }
            if core.poll_timeout().is_some_and(|at| at <= now) {
                core.handle_timeout(now);
            }
            drain_events(state);
        });
        busy |= self.transmit(cx);
        let (finished, timeout) = self.shared.with(|state| {
            // Sending makes room.
            drain_events(state);
            (state.role.is_finished(), state.role.core().poll_timeout())
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
                    .with(|state| state.role.core().poll_transmit(now(), max_segments))
            });
            let Some(transmit) = next else {
                return false;
            };
            match self.socket.poll_send(cx, &transmit) {
                Poll::Ready(Ok(())) => {}
                // As good as lost on the way: the system refuses probes for larger packets, for one.
                Poll::Ready(Err(error)) => {
                    tracing::trace!(%error, to = %transmit.destination, "sending failed");
                    self.shared.with(|state| state.table.send_errors += 1);
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

impl<R: Role> Future for Driver<R> {
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

fn drain_events<R: Role>(State { table, role }: &mut State<R>) {
    while let Some(event) = role.core().poll_event() {
        if let Some((id, event)) = role.handle_event(table, event) {
            table.handle_channel_event(role, id, event);
        }
    }
}

/// How often the driver goes around before others get to run, and how often it sends each time.
const TURNS: usize = 8;
const TRANSMITS: usize = 32;
