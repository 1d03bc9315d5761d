//! The one thread behind an endpoint.

use std::{io, ops::ControlFlow, sync::Arc, time::Instant};

use conec_core::hub::Role;
use conec_driver::{Socket, handles::Driven};
use mio::{Events, Poll, Token};

use super::shared::{Shared, Waker};
use crate::port::Port;

/// Starts the thread. It ends with its endpoint, which is closed when nobody holds it any more.
pub(super) fn spawn<E>(shared: Arc<Shared<E>>, socket: Socket) -> io::Result<()>
where
    E: Role + Send + 'static,
{
    let driven = Driven::new(shared);
    let poll = Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), WAKER)?;
    let driver = Driver {
        port: Port::new(socket, poll.registry(), SOCKET)?,
        poll,
        waker: Arc::new(waker),
        driven,
    };
    std::thread::Builder::new()
        .name("conec".into())
        .spawn(move || driver.run())?;
    Ok(())
}

struct Driver<E: Role> {
    port: Port,
    poll: Poll,
    waker: Arc<mio::Waker>,
    /// Dropped last: who waits for the end finds the socket closed.
    driven: Driven<Waker, E>,
}

impl<E: Role> Driver<E> {
    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        loop {
            let waker = Arc::clone(&self.waker);
            self.driven.begin_turn(Waker::Driver(waker));
            self.port.turn(Instant::now(), &mut self.driven);
            let ControlFlow::Continue(due) = self.driven.next_turn(self.port.pump()) else {
                return;
            };
            let wait = due.map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for event in events.iter().filter(|event| event.token() == SOCKET) {
                self.port.ready(event);
            }
        }
    }
}

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
