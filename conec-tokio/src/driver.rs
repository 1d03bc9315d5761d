//! The one task behind an endpoint.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use conec_core::{Endpoint, hub::Role};
use conec_udp::{Access, Pump, Socket};
use tokio::{net::UdpSocket, time::Instant, time::Sleep};

use crate::{
    shared::{Shared, now},
    socket::Watched,
};

/// Moves datagrams, time and events between the socket, the core and the handles.
pub(crate) struct Driver<E: Role> {
    socket: UdpSocket,
    /// Received from only.
    second: Option<UdpSocket>,
    pump: Pump,
    timer: Pin<Box<Sleep>>,
    shared: Arc<Shared<E>>,
    /// Dropped last: who waits for the end finds the socket closed.
    _end: End<E>,
}

/// However the driver ends, be it with its runtime: nobody waits in vain.
struct End<E: Role>(Arc<Shared<E>>);

impl<E: Role> Drop for End<E> {
    fn drop(&mut self) {
        self.0.with(|hub| {
            hub.end();
            // Nobody comes for these any more.
            self.0.collect(hub);
        });
    }
}

impl<E: Role> Driver<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>, mut socket: Socket) -> io::Result<Self> {
        let second = socket.take_second().map(UdpSocket::from_std).transpose()?;
        let (socket, udp) = socket.into_parts();
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            second,
            pump: Pump::new(udp),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            _end: End(Arc::clone(&shared)),
            shared,
        })
    }

    /// Whether the time has come. The timer is left alone where it will fire early enough: deadlines move with almost
    /// every packet, mostly away.
    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
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
        let Self {
            socket,
            second,
            pump,
            shared,
            ..
        } = &mut *self;
        // From here on, whoever changes anything wakes us.
        shared.with(|hub| {
            hub.set_driver(cx.waker().clone());
            shared.collect(hub);
        });
        let now = now();
        let second = second.as_ref();
        let mut watched = Watched { socket, second, cx };
        pump.turn(now, &mut watched, &mut Locked(shared));
        let (finished, timeout) =
            shared.with(|hub| (hub.is_finished(), hub.endpoint().poll_timeout()));
        if finished && !pump.is_blocked() {
            return Poll::Ready(());
        }
        let due = pump.due(timeout);
        if due.is_some_and(|at| at <= now || self.poll_timer(cx, at.into())) {
            // After others have run, the runtime's main task included, which a task that just wakes itself would run before:
            // who takes what has come finds it in the processor's cache, and the other side hears soon that it may send more.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }
}

struct Locked<'a, E: Role>(&'a Shared<E>);

impl<E: Role> Access for Locked<'_, E> {
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        self.0.with(|hub| f(hub.endpoint_mut()))
    }

    fn settle(&mut self) {
        self.0.with(|hub| hub.settle());
    }
}
