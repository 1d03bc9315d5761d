//! The one task behind an endpoint.

use std::{
    future::Future,
    io,
    ops::ControlFlow,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use conec_core::Endpoint;
use conec_driver::{Driver, Socket, Sockets};
use tokio::{
    net::UdpSocket,
    runtime::{Handle, RuntimeFlavor},
    time::{Instant, Sleep},
};

use crate::socket::Watched;

/// Drives an endpoint of [`conec_driver`]'s until it has ended, for those who start one themselves.
///
/// Start one yourself to choose where it runs, or not to wait until it is connected. Its clock has to be the runtime's,
/// `|| tokio::time::Instant::now().into_std()`.
///
/// Must be called within a Tokio runtime.
pub fn drive<E: Endpoint + Unpin>(
    driver: Driver<E>,
    sockets: Sockets,
) -> io::Result<impl Future<Output = ()>> {
    Ok(Task {
        socket: UdpSocket::from_std(sockets.socket)?,
        second: sockets.second.map(UdpSocket::from_std).transpose()?,
        timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        driver,
    })
}

/// Turns a driver when its socket, its timer or its handles say so.
struct Task<E: Endpoint> {
    socket: UdpSocket,
    /// Received from only.
    second: Option<UdpSocket>,
    timer: Pin<Box<Sleep>>,
    /// Dropped last: whoever waits for the end finds the socket closed.
    driver: Driver<E>,
}

impl<E: Endpoint> Task<E> {
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

impl<E: Endpoint + Unpin> Future for Task<E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            socket,
            second,
            driver,
            ..
        } = &mut *self;
        let now = now();
        let (waker, second) = (cx.waker().clone(), second.as_ref());
        let mut watched = Watched { socket, second, cx };
        let ControlFlow::Continue(due) = driver.turn(now, &waker, &mut watched) else {
            return Poll::Ready(());
        };
        if due.is_some_and(|at| at <= now || self.poll_timer(cx, at.into())) {
            // Yield behind all other tasks, `block_on`'s included, so that readers run while the data is in cache, and the
            // other side hears soon that it may send more.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }
}

/// Turns [busy polling](Socket::set_busy_poll) off where it is of no use, unless it was set: the threads of a multi-thread
/// runtime have to wake each other all the same, and one that polls takes a processor from the others.
pub(crate) fn fit(mut socket: Socket) -> Socket {
    let flavor = Handle::current().runtime_flavor();
    if socket.busy_poll().is_none() && flavor != RuntimeFlavor::CurrentThread {
        socket.set_busy_poll(Duration::ZERO);
    }
    socket
}

/// The runtime's clock, which tests can stop.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
