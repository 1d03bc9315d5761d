//! The one task behind an endpoint.

use std::{
    future::Future,
    io,
    ops::ControlFlow,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use conec_core::hub::Role;
use conec_driver::{Pump, Socket, handles::Driven};
use tokio::{net::UdpSocket, time::Instant, time::Sleep};

use crate::{
    shared::{Shared, Task, now},
    socket::Watched,
};

/// Moves datagrams, time and events between the socket, the core and the handles.
pub(crate) struct Driver<E: Role> {
    socket: UdpSocket,
    /// Received from only.
    second: Option<UdpSocket>,
    pump: Pump,
    timer: Pin<Box<Sleep>>,
    /// Dropped last: who waits for the end finds the socket closed.
    driven: Driven<Task, E>,
}

impl<E: Role> Driver<E> {
    pub(crate) fn new(shared: Arc<Shared<E>>, mut socket: Socket) -> io::Result<Self> {
        let driven = Driven::new(shared);
        let second = socket.take_second().map(UdpSocket::from_std).transpose()?;
        let (socket, udp) = socket.into_parts();
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            second,
            pump: Pump::new(udp),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            driven,
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
            driven,
            ..
        } = &mut *self;
        driven.begin_turn(Task::of(cx));
        let now = now();
        let second = second.as_ref();
        pump.turn(now, &mut Watched { socket, second, cx }, driven);
        let ControlFlow::Continue(due) = driven.next_turn(pump) else {
            return Poll::Ready(());
        };
        if due.is_some_and(|at| at <= now || self.poll_timer(cx, at.into())) {
            // After others have run, the runtime's main task included, which a task that just wakes itself would run before:
            // who takes what has come finds it in the processor's cache, and the other side hears soon that it may send more.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }
}
