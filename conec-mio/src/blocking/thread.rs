//! The one thread behind an endpoint.

use std::{io, sync::Arc, time::Instant};

use conec_core::hub::Role;
use conec_udp::Socket;
use mio::{Events, Poll, Token, Waker};

use super::shared::{self, Shared};
use crate::port::Port;

/// Starts the thread. It ends with its endpoint, which is closed when nobody holds it any more.
pub(super) fn spawn<E>(shared: Arc<Shared<E>>, socket: Socket) -> io::Result<()>
where
    E: Role + Send + 'static,
{
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let driver = Driver {
        port: Port::new(socket, poll.registry(), SOCKET)?,
        poll,
        waker,
        _end: End(Arc::clone(&shared)),
        shared,
    };
    std::thread::Builder::new()
        .name("conec".into())
        .spawn(move || driver.run())?;
    Ok(())
}

struct Driver<E: Role> {
    port: Port,
    poll: Poll,
    waker: Arc<Waker>,
    shared: Arc<Shared<E>>,
    /// Dropped last: who waits for the end finds the socket closed.
    _end: End<E>,
}

/// However the thread ends: nobody waits in vain.
struct End<E: Role>(Arc<Shared<E>>);

impl<E: Role> Drop for End<E> {
    fn drop(&mut self) {
        self.0.with(|hub| hub.end());
    }
}

impl<E: Role> Driver<E> {
    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        loop {
            // From here on, whoever changes anything wakes us.
            let waker = shared::Waker::Driver(Arc::clone(&self.waker));
            self.shared.with(|hub| hub.set_driver(waker));
            self.port.turn(Instant::now(), &mut &*self.shared);
            let (finished, timeout) = self
                .shared
                .with(|hub| (hub.is_finished(), hub.endpoint().poll_timeout()));
            if finished && self.port.is_flushed() {
                return;
            }
            let due = self.port.due(timeout);
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
