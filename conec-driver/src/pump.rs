//! The pump: moves datagrams and time between a socket and an endpoint.

use std::{
    io,
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use conec_core::{Datagram, Endpoint, Transmit};

use crate::{Rejected, Udp, busy_poll::BusyPoll, slots, unreachable};

/// Moves datagrams and time between a socket and an endpoint: all of a driver but waiting.
///
/// ```
/// use std::{thread, time::{Duration, Instant}};
/// use conec_core::*;
/// use conec_driver::{Pump, Socket};
///
/// let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
/// let mut coordinator = Coordinator::new(config, Identity::generate_seed()?)?;
/// let (mut sockets, udp) = Socket::bind(([127, 0, 0, 1], 0).into())?.into_parts();
/// let mut pump = Pump::new(udp);
///
/// coordinator.close(Instant::now(), Duration::from_secs(5));
/// while !coordinator.is_finished() {
///     pump.turn(Instant::now(), &mut sockets.socket, &mut coordinator);
///     while let Some(event) = coordinator.poll_event() {
///         println!("{event:?}");
///     }
///     // This one polls. A driver that can wait for the socket waits until it is ready, or this time has come.
///     let due = pump.due(coordinator.poll_timeout());
///     thread::sleep(Duration::from_millis(1));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pump {
    udp: Udp,
    received: Vec<Datagram>,
    rejected: Rejected,
    /// What the socket did not take yet.
    blocked: Option<Transmit>,
    /// How often receiving has failed in a row.
    failures: u32,
    /// When the last turn was, and whether it left something to receive.
    last: Option<Instant>,
    more: bool,
    busy: BusyPoll,
}

/// A socket in an event loop. After [`WouldBlock`](io::ErrorKind::WouldBlock) the loop has to turn the pump when the socket is
/// ready.
pub trait Io {
    /// Receives as [`Udp::recv`] does.
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()>;

    /// Sends as [`Udp::send`] does.
    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()>;

    /// Asks as [`Udp::recv_unreachable`] does, whether the socket is ready or not. Without it, that nobody listens at an
    /// address is found out by the timeouts.
    fn recv_unreachable(&mut self, udp: &mut Udp, wanted: bool, into: &mut Rejected) {
        let _ = (udp, wanted, into);
    }
}

/// For loops that poll the socket.
impl Io for UdpSocket {
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        udp.recv(&*self, into)
    }

    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()> {
        udp.send(&*self, transmit)
    }

    fn recv_unreachable(&mut self, udp: &mut Udp, wanted: bool, into: &mut Rejected) {
        udp.recv_unreachable(&*self, wanted, into);
    }
}

/// Where a driver finds its endpoint: in itself, or behind a lock.
pub trait Access {
    /// Does something to the endpoint.
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T;

    /// The same at the beginning of a turn.
    fn begin_turn<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        self.with(f)
    }

    /// The same, and takes note of what the endpoint then has to tell, if that is not left to the application.
    fn settle<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        self.with(f)
    }
}

impl<E: Endpoint> Access for E {
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        f(self)
    }
}

impl Pump {
    /// A pump that has moved nothing yet.
    pub fn new(udp: Udp) -> Self {
        Self {
            udp,
            received: Vec::new(),
            rejected: Rejected::new(),
            blocked: None,
            failures: 0,
            last: None,
            more: false,
            busy: BusyPoll::new(),
        }
    }

    /// Receives, does what is due, sends, and reports the machine's addresses when they are wanted: as much of it as
    /// is fair to others in the same loop.
    ///
    /// To be called when the socket is ready, and when it is [due](Self::due).
    ///
    /// While it [polls](crate::Socket::set_busy_poll), a turn that finds nothing to do yields the processor to other threads.
    ///
    /// Errors of the socket are counted in [`EndpointStats`](conec_core::EndpointStats) and otherwise as good as loss: a
    /// socket that fails for good is one that nothing arrives at, so that the endpoint ends by its timeouts.
    pub fn turn(&mut self, now: Instant, io: &mut impl Io, endpoint: &mut impl Access) {
        self.last = Some(now);
        let wants_unreachable = endpoint.begin_turn(|endpoint| {
            take_back(endpoint);
            endpoint.wants_unreachable()
        });
        if wants_unreachable || self.udp.learns_unreachable() {
            io.recv_unreachable(&mut self.udp, wants_unreachable, &mut self.rejected);
        }
        let errors = self.recv(io);
        let received = self.received_bytes();
        endpoint.settle(|endpoint| {
            for datagram in self.received.drain(..) {
                endpoint.handle_datagram(now, datagram);
            }
            for _ in 0..errors {
                endpoint.handle_socket_error();
            }
            for (destination, reason) in self.rejected.drain(..) {
                endpoint.handle_unreachable(now, destination, reason);
            }
            if endpoint.poll_timeout().is_some_and(|at| at <= now) {
                endpoint.handle_timeout(now);
            }
        });
        let sent = self.send(now, io, endpoint);
        // Sending may have made room, for which somebody waits.
        if endpoint.settle(|endpoint| endpoint.wants_host_addresses()) {
            self.report_addresses(now, endpoint);
        }
        let busy_poll = self.udp.busy_poll().unwrap_or(BUSY_POLL);
        self.busy.handle_turn(now, busy_poll, received, sent);
        if self.busy.is_active() && received + sent == 0 {
            // Whoever is to send what is waited for may have to run on this very processor.
            thread::yield_now();
        }
    }

    /// When the next turn is due, unless the socket is ready before; a time that has passed says at once.
    ///
    /// `timeout` is the endpoint's [`poll_timeout`](Endpoint::poll_timeout), after events were taken from it and commands
    /// given to it.
    pub fn due(&self, timeout: Option<Instant>) -> Option<Instant> {
        let Some(last) = self.last.filter(|_| !self.more) else {
            // At once.
            return self.last.or(timeout);
        };
        let retry = Some(last + RETRY);
        if self.is_blocked() {
            // The endpoint's timeout has passed for as long as there is something to send: that is no reason to turn.
            timeout.filter(|&at| at > last).or(retry).min(retry)
        } else if self.failures >= MAX_FAILURES {
            timeout.or(retry).min(retry)
        } else if self.busy.is_active() {
            Some(last)
        } else if self.udp.learns_unreachable() {
            // Not all event loops notice it by themselves.
            let look = Some(last + LOOK);
            timeout.or(look).min(look)
        } else {
            timeout
        }
    }

    /// Whether something waits that the socket has not taken yet.
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    fn report_addresses(&self, now: Instant, endpoint: &mut impl Access) {
        match self.udp.host_addresses() {
            Ok(addresses) => {
                endpoint.settle(|endpoint| endpoint.handle_host_addresses(now, &addresses));
            }
            // It goes on with those that it knows of, and will ask again.
            Err(error) => tracing::debug!(%error, "the machine's addresses are not to be had"),
        }
    }

    /// Receives until nothing more is there, or others want to be served; how often it failed.
    fn recv(&mut self, io: &mut impl Io) -> u32 {
        let mut errors = 0;
        self.more = false;
        for _ in 0..RECVS {
            if self.received_bytes() >= RECV_BYTES {
                break;
            }
            match io.recv(&mut self.udp, &mut self.received) {
                Ok(()) => self.failures = 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.failures = 0;
                    return errors;
                }
                // Some systems report here that an earlier datagram was rejected at its destination.
                Err(error) => {
                    tracing::trace!(%error, "receiving failed");
                    errors += 1;
                    self.failures = self.failures.saturating_add(1);
                    if self.failures >= MAX_FAILURES {
                        return errors;
                    }
                }
            }
        }
        self.more = true;
        errors
    }

    fn received_bytes(&self) -> usize {
        let sizes = self.received.iter().map(|datagram| datagram.payload.len());
        sizes.sum()
    }

    /// Sends as much as is fair; how many bytes.
    fn send(&mut self, now: Instant, io: &mut impl Io, endpoint: &mut impl Access) -> usize {
        let mut sent = 0;
        for _ in 0..SENDS {
            let max_segments = self.udp.max_segments();
            let next = self
                .blocked
                .take()
                .or_else(|| endpoint.with(|endpoint| endpoint.poll_transmit(now, max_segments)));
            let Some(transmit) = next else {
                return sent;
            };
            match io.send(&self.udp, &transmit) {
                Ok(()) => sent += transmit.payload.len(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(transmit);
                    return sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.blocked = Some(transmit);
                }
                Err(error) => {
                    tracing::trace!(%error, to = %transmit.destination, "sending failed");
                    let reason = unreachable::of_send_error(&error);
                    endpoint.with(|endpoint| {
                        endpoint.handle_socket_error();
                        if let Some(reason) = reason {
                            endpoint.handle_unreachable(now, transmit.destination, reason);
                        }
                    });
                }
            }
        }
        sent
    }
}

/// Takes buffers back from an endpoint that received datagrams were given to, to receive into again.
fn take_back(endpoint: &mut dyn Endpoint) {
    let Some(first) = endpoint.take_buffer() else {
        return;
    };
    slots::with(|slots| {
        slots.add_spare(first);
        while slots.has_room_for_spare()
            && let Some(buffer) = endpoint.take_buffer()
        {
            slots.add_spare(buffer);
        }
    });
}

/// How often one turn receives and sends.
const RECVS: usize = 4;
/// After so much has been received in a turn it is dealt with, as long as it is in the processor's cache; and the other
/// side hears of it before it has to stop.
const RECV_BYTES: usize = 256 << 10;
const SENDS: usize = 16;
/// After so many failures in a row, the socket is tried again in this interval, as is one that does not become ready.
const MAX_FAILURES: u32 = 16;
const RETRY: Duration = Duration::from_millis(20);
/// For how long it polls, unless that was set.
const BUSY_POLL: Duration = Duration::from_micros(150);
/// How often the system is asked at least for what it learns by ICMP, while that is wanted.
const LOOK: Duration = Duration::from_millis(50);
