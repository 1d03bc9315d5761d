//! The one thread behind an endpoint.

use std::{io, ops::ControlFlow, sync::Arc, task, time::Instant};

use conec_core::Endpoint;
use conec_driver::{Driver, Sockets};
use mio::{Events, Poll, Token};

use crate::socket::Watched;

/// Drives an endpoint of [`conec_driver`]'s in a thread that ends with it, for those who start one themselves.
///
/// Start one yourself to wait for nothing, or for something else. Its clock has to be [`Instant::now`].
pub fn drive<E>(driver: Driver<E>, sockets: Sockets) -> io::Result<()>
where
    E: Endpoint + Send + 'static,
{
    let poll = Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), WAKER)?;
    let thread = Thread {
        watched: Watched::new(sockets, poll.registry(), SOCKET)?,
        poll,
        waker: task::Waker::from(Arc::new(Waker(waker))),
        driver,
    };
    std::thread::Builder::new()
        .name("conec".into())
        .spawn(move || thread.run())?;
    Ok(())
}

struct Thread<E: Endpoint> {
    watched: Watched,
    poll: Poll,
    waker: task::Waker,
    /// Dropped last: whoever waits for the end finds the socket closed.
    driver: Driver<E>,
}

impl<E: Endpoint> Thread<E> {
    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        loop {
            let now = Instant::now();
            let turn = self.driver.turn(now, &self.waker, &mut self.watched);
            let ControlFlow::Continue(due) = turn else {
                return;
            };
            self.watched.watch(self.driver.is_blocked());
            let wait = due.map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for event in events.iter().filter(|event| event.token() == SOCKET) {
                self.watched.ready(event);
            }
        }
    }
}

/// Wakes the thread from its poll.
struct Waker(mio::Waker);

impl task::Wake for Waker {
    fn wake(self: Arc<Self>) {
        // If it cannot be woken, it wakes by its timeouts.
        let _ = self.0.wake();
    }
}

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
