//! Endpoints in somebody's event loop.

use std::{fmt, io, net::SocketAddr, time::Instant};

use conec_core::{ClientConfig, CoordinatorConfig, Endpoint, EndpointStats, Identity};
use conec_driver::{BindError, ConnectError, Pump, Socket, look_up_link};
use mio::{Registry, Token, event::Event};

use crate::socket::Watched;

/// A Client in an event loop.
pub type Client = Driver<conec_core::Client>;

/// A Coordinator in an event loop.
pub type Coordinator = Driver<conec_core::Coordinator>;

/// An endpoint with its socket, in somebody's event loop.
///
/// The loop calls [`ready`](Self::ready) with the events of the driver's token, and [`turn`](Self::turn) after it and
/// when the [`deadline`](Self::deadline) has come; then it takes the [events](Self::poll_event). The crate's page shows
/// the whole loop. Commands are given to the [endpoint](Self::endpoint_mut), from whichever place in the loop.
///
/// # Other threads
///
/// Other threads get their commands into the loop by a queue and a [`mio::Waker`]. That one is the loop's own, for
/// whatever else may wake it: a [`mio::Poll`] has room for just one.
///
/// ```no_run
/// # fn run(mut driver: conec_mio::Client, mut poll: mio::Poll) -> Result<(), Box<dyn std::error::Error>> {
/// use std::{sync::mpsc, thread, time::{Duration, Instant}};
/// use conec_mio::conec_core::{Client, Endpoint};
/// use mio::{Events, Token, Waker};
///
/// const WAKER: Token = Token(1);
/// let waker = Waker::new(poll.registry(), WAKER)?;
/// let (give, given) = mpsc::channel::<Box<dyn FnOnce(&mut Client) + Send>>();
/// thread::spawn(move || {
///     let close = |client: &mut Client| client.close(Instant::now(), Duration::from_secs(5));
///     give.send(Box::new(close)).expect("the loop is there");
///     waker.wake()
/// });
///
/// let mut events = Events::with_capacity(16);
/// while !driver.is_finished() {
///     let deadline = driver.deadline();
///     poll.poll(&mut events, deadline.map(|at| at.saturating_duration_since(Instant::now())))?;
///     for event in events.iter().filter(|event| event.token() != WAKER) {
///         driver.ready(event);
///     }
///     // Whatever has woken the loop: no command waits longer than for this.
///     for command in given.try_iter() {
///         command(driver.endpoint_mut());
///     }
///     driver.turn(Instant::now());
///     while let Some(event) = driver.poll_event() {
///         println!("{event:?}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// A driver that is dropped says goodbye to nobody; the others notice by their idle timeouts. [Close](Endpoint::close)
/// the endpoint first, and go on until the driver [is finished](Self::is_finished).
pub struct Driver<E: Endpoint> {
    watched: Watched,
    pump: Pump,
    endpoint: E,
}

impl Driver<conec_core::Client> {
    /// Connects to the Coordinator at whichever of these addresses leads to it first: they are raced, as
    /// [`conec_core::Client::connect`] has it.
    ///
    /// [`Connected`](conec_core::ClientEvent::Connected) follows, or the end of the
    /// [home channel](conec_core::ChannelId::HOME). The Coordinator's certificate is checked against `host_name`, unless
    /// its key is [pinned](conec_core::Trust::Pin). To resolve host names is left to the application, since that blocks.
    pub fn connect(
        host_name: &str,
        addresses: &[SocketAddr],
        mut config: ClientConfig,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, ConnectError> {
        look_up_link(&mut config, addresses);
        let seed = Identity::generate_seed().map_err(BindError::from)?;
        let mut client = conec_core::Client::new(config, seed).map_err(BindError::from)?;
        client.connect(Instant::now(), host_name, addresses)?;
        let driver = Socket::any().and_then(|socket| Self::new(client, socket, registry, token));
        Ok(driver.map_err(BindError::from)?)
    }
}

impl Driver<conec_core::Coordinator> {
    /// Takes Clients at this address, such as `[::]:4433`, which serves IPv4 as well where the system is able to. The
    /// configuration's [second port](CoordinatorConfig::second_port) is bound too, and watched under the same token.
    pub fn bind(
        address: SocketAddr,
        mut config: CoordinatorConfig,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, BindError> {
        let mut socket = Socket::bind(address)?;
        socket.prepare(&mut config)?;
        let coordinator = conec_core::Coordinator::new(config, Identity::generate_seed()?)?;
        Ok(Self::new(coordinator, socket, registry, token)?)
    }
}

impl<E: Endpoint> Driver<E> {
    /// Registers a socket of one's own under a token of the loop's choice, for an endpoint.
    pub fn new(endpoint: E, socket: Socket, registry: &Registry, token: Token) -> io::Result<Self> {
        let (sockets, udp) = socket.into_parts();
        Ok(Self {
            watched: Watched::new(sockets, registry, token)?,
            pump: Pump::new(udp),
            endpoint,
        })
    }

    /// Where the socket is bound: the port is the actual one.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.local_addr()
    }

    /// Takes note of what the loop says about the socket. A [`turn`](Self::turn) is to follow.
    pub fn ready(&mut self, event: &Event) {
        self.watched.ready(event);
    }

    /// Receives, does what is due, and sends: as much of it as is fair to others in the loop. What is left makes the
    /// [`deadline`](Self::deadline) pass at once. Harmless at any time; without anything to do, it makes no system call,
    /// but to yield to other threads while it [polls](Socket::set_busy_poll): then too the deadline has passed.
    pub fn turn(&mut self, now: Instant) {
        self.pump.turn(now, &mut self.watched, &mut self.endpoint);
        self.watched.watch(self.pump.is_blocked());
    }

    /// When the next [`turn`](Self::turn) is due, unless the socket is ready before. It may have passed: then it is due at
    /// once. To be asked right before waiting, as everything that is done to the endpoint can change it.
    pub fn deadline(&self) -> Option<Instant> {
        self.pump.due(self.endpoint.poll_timeout())
    }

    /// The next event of the endpoint. To be taken until there is none.
    pub fn poll_event(&mut self) -> Option<E::Event> {
        self.endpoint.poll_event()
    }

    /// The endpoint, to look at.
    pub fn endpoint(&self) -> &E {
        &self.endpoint
    }

    /// The endpoint, its channels and its streams, to use. What is done to it takes effect with the next
    /// [`turn`](Self::turn), which then is due at once.
    pub fn endpoint_mut(&mut self) -> &mut E {
        &mut self.endpoint
    }

    /// What was counted so far.
    pub fn stats(&self) -> EndpointStats {
        self.endpoint.stats()
    }

    /// Whether the endpoint was closed, or has ended, and nothing is left to do: the driver can be dropped.
    pub fn is_finished(&self) -> bool {
        self.endpoint.is_finished() && !self.pump.is_blocked()
    }
}

impl<E: Endpoint + fmt::Debug> fmt::Debug for Driver<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("endpoint", &self.endpoint)
            .field("pump", &self.pump)
            .finish()
    }
}
