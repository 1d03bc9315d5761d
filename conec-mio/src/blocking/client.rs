use std::{
    fmt, iter,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::{Duration, Instant},
};

use conec_core::{
    ChannelId, ClientConfig, ClientId, CloseReason, Code, Endpoint, EndpointStats, Name, Nat,
    PathPolicy, PeerInfo, Target,
    hub::{BindError, ConnectError, Hub, OpenError, host_of},
};
use conec_udp::{Socket, look_up_link};

use super::{
    Channel, TimedOut,
    shared::{Shared, wait, wait_timeout},
    thread,
};

/// A Client: connected to one Coordinator, and through it to other Clients.
///
/// A cheap handle: clones are the same Client. One background thread has its socket.
///
/// ```no_run
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use conec_mio::blocking::*;
///
/// # let pin = "00".repeat(32).parse()?;
/// let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
/// config.name = Some("alice".parse()?);
/// let alice = Client::connect("conec.example.org:4433", config)?;
/// for offer in alice.incoming() {
///     let Some(peer) = offer.peer() else { continue };
///     if &peer.label[..] == b"chat" {
///         let channel = offer.accept()?;
///         // ...
///     } else {
///         offer.reject(Code(404));
///     }
/// }
/// println!("{}", alice.closed());
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// When the last handle is dropped, the Client closes gracefully in the background, with a patience of 10 seconds, and
/// then its thread ends. [`Channel`]s, [`Sender`](super::Sender)s, [`Receiver`](super::Receiver)s and [`Offer`]s count as
/// handles. A program that is about to exit should call [`close`](Self::close) instead, which waits for it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared<conec_core::Client>>,
    home: Channel,
}

impl Client {
    /// Connects to the Coordinator at `host:port`.
    ///
    /// The host is resolved, and all of its addresses are raced, as [`conec_core::Client::connect`] has it: every 250 ms
    /// another one is tried, and the first that is connected is taken. The Coordinator's certificate is checked against the
    /// host, unless its key is [pinned](conec_core::Trust::Pin).
    ///
    /// Fails with [`CloseReason::Unreachable`] as soon as the system says of all addresses that they cannot be reached;
    /// that nothing listens there is known within a second, on Linux and Android.
    ///
    /// Fails in any case within the handshake timeout of [`Limits`](conec_core::Limits), or where an address is connected and
    /// the Coordinator says nothing, within its handshake and hello timeouts more.
    pub fn connect(coordinator: &str, config: ClientConfig) -> Result<Self, ConnectError> {
        Self::connect_to(host_of(coordinator)?, &resolve(coordinator)?, config)
    }

    /// Connects as [`connect`](Self::connect) does.
    ///
    /// Fails with [`CloseReason::TimedOut`] if it is not connected within the limit. Resolving the host is not counted.
    pub fn connect_timeout(
        coordinator: &str,
        config: ClientConfig,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        let (host, addresses) = (host_of(coordinator)?, resolve(coordinator)?);
        let client = Self::begin(any_socket()?, host, &addresses, config)?;
        client.home.opened_timeout(limit)?;
        Ok(client)
    }

    /// Connects to the Coordinator at whichever of these addresses leads to it, the first preferred, like [`connect`](Self::connect).
    pub fn connect_to(
        host_name: &str,
        addresses: &[SocketAddr],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        Self::connect_over(any_socket()?, host_name, addresses, config)
    }

    /// Connects over a socket of one's own, like [`connect_to`](Self::connect_to).
    pub fn connect_over(
        socket: Socket,
        host_name: &str,
        addresses: &[SocketAddr],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let client = Self::begin(socket, host_name, addresses, config)?;
        client.home.opened()?;
        Ok(client)
    }

    /// This Client's identity.
    pub fn id(&self) -> ClientId {
        self.core(|core| core.id())
    }

    /// The name that the Coordinator has granted, while connected.
    pub fn name(&self) -> Option<Name> {
        self.core(|core| core.name().cloned())
    }

    /// Where this Client's packets come from, as the Coordinator sees it, while connected.
    pub fn observed_address(&self) -> Option<SocketAddr> {
        self.core(|core| core.observed_address())
    }

    /// What this Client is behind, by what is known so far. Where the Coordinator has a second port, that takes a round
    /// trip after connecting, and after each change of the [observed address](Self::observed_address).
    pub fn nat(&self) -> Nat {
        self.core(|core| core.nat())
    }

    /// What was counted so far.
    pub fn stats(&self) -> EndpointStats {
        self.core(Endpoint::stats)
    }

    /// Says at which other addresses this Client can be reached, such as that of a port which a router forwards, instead of
    /// those that were said before. Other Clients with whom a direct path is looked for are told them first of all. At most
    /// 12 addresses of all kinds are told.
    ///
    /// The machine's own addresses, and the one that the Coordinator sees, need not be said.
    pub fn set_mapped_addresses(&self, addresses: &[SocketAddr]) {
        self.shared.with(|hub| {
            hub.command()
                .set_mapped_addresses(Instant::now(), addresses)
        });
    }

    /// The channel with the Coordinator. Its end is the end of this Client.
    pub fn home(&self) -> Channel {
        self.home.clone()
    }

    /// Opens a channel to another Client, by name or by id, under a label of at most 255 bytes.
    ///
    /// Waits until the other end has accepted. Fails within the timeouts of [`Limits`](conec_core::Limits).
    pub fn open(
        &self,
        target: impl Into<Target>,
        label: impl AsRef<[u8]>,
    ) -> Result<Channel, OpenError> {
        let channel = self.begin_open(target.into(), label.as_ref(), None)?;
        channel.opened()?;
        Ok(channel)
    }

    /// Opens a channel as [`open`](Self::open) does, with a policy for what this channel's packets may travel on instead
    /// of the Client's ([`PathConfig`](conec_core::PathConfig)).
    ///
    /// With [`DirectOnly`](PathPolicy::DirectOnly) it waits until there is a direct path, and fails with
    /// [`NoDirectPath`](CloseReason::NoDirectPath) if there is none in time.
    pub fn open_with(
        &self,
        target: impl Into<Target>,
        label: impl AsRef<[u8]>,
        policy: PathPolicy,
    ) -> Result<Channel, OpenError> {
        let channel = self.begin_open(target.into(), label.as_ref(), Some(policy))?;
        channel.opened()?;
        Ok(channel)
    }

    /// Opens a channel as [`open`](Self::open) does.
    ///
    /// Fails with [`CloseReason::TimedOut`] if it is not open within the limit, and is given up.
    pub fn open_timeout(
        &self,
        target: impl Into<Target>,
        label: impl AsRef<[u8]>,
        limit: Duration,
    ) -> Result<Channel, OpenError> {
        let channel = self.begin_open(target.into(), label.as_ref(), None)?;
        channel.opened_timeout(limit)?;
        Ok(channel)
    }

    /// Waits for the next channel that another Client, or the Coordinator on its own account, offers. `None` once this
    /// Client has ended.
    pub fn accept(&self) -> Option<Offer> {
        let offered = wait(&self.shared, |hub| hub.next_offer());
        self.offer(offered)
    }

    /// Waits as [`accept`](Self::accept) does, no longer than the limit.
    pub fn accept_timeout(&self, limit: Duration) -> Result<Option<Offer>, TimedOut> {
        let offered = wait_timeout(&self.shared, limit, |hub| hub.next_offer())?;
        Ok(self.offer(offered))
    }

    /// The channels that others offer, as [`accept`](Self::accept) gives them.
    pub fn incoming(&self) -> impl Iterator<Item = Offer> {
        iter::from_fn(|| self.accept())
    }

    /// Closes all channels gracefully, the one with the Coordinator last, and waits for the end. After `patience`
    /// everything ends in any case.
    pub fn close(&self, patience: Duration) {
        self.shared.with(|hub| hub.close(Instant::now(), patience));
        wait(&self.shared, |hub| hub.ended());
    }

    /// Ends all channels at once and tells the other sides this code.
    pub fn abort(&self, code: Code) {
        self.shared
            .with(|hub| hub.command().abort(Instant::now(), code));
    }

    /// Waits for the end of this Client, which is that of its home channel.
    pub fn closed(&self) -> CloseReason {
        self.home.closed()
    }

    /// A Client that is not connected yet.
    fn begin(
        socket: Socket,
        host_name: &str,
        addresses: &[SocketAddr],
        mut config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        look_up_link(&mut config, addresses);
        let hub = Hub::client(Instant::now(), host_name, addresses, config)?;
        let shared = Shared::new(hub);
        let home = Channel::counted(shared.clone(), ChannelId::HOME);
        thread::spawn(Arc::clone(&shared), socket).map_err(BindError::from)?;
        Ok(Self { shared, home })
    }

    /// A channel that is not open yet.
    fn begin_open(
        &self,
        target: Target,
        label: &[u8],
        policy: Option<PathPolicy>,
    ) -> Result<Channel, OpenError> {
        let opened = self
            .shared
            .with(|hub| hub.open_channel(Instant::now(), target, label, policy));
        Ok(Channel::counted(self.shared.clone(), opened?))
    }

    fn offer(&self, offered: Option<ChannelId>) -> Option<Offer> {
        Some(Offer {
            channel: Channel::counted(self.shared.clone(), offered?),
            shared: Arc::clone(&self.shared),
        })
    }

    fn core<T>(&self, f: impl FnOnce(&conec_core::Client) -> T) -> T {
        self.shared.with(|hub| f(hub.endpoint()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.id())
    }
}

/// A channel that somebody wants with this Client.
///
/// With [`auto_accept`](ClientConfig::auto_accept) offers come when their channels are open already, so that
/// [`accept`](Self::accept) is immediate, and rejecting is closing.
///
/// # Dropping
///
/// Dropping an offer rejects it. An offer that is left alone is rejected by itself after
/// [`answer_timeout`](conec_core::Limits::answer_timeout).
#[must_use = "dropping an offer rejects it"]
pub struct Offer {
    channel: Channel,
    shared: Arc<Shared<conec_core::Client>>,
}

impl Offer {
    /// Who wants it, be it still there or not. The channel opens only if the other end proves to be that Client. `None` if
    /// the offer was gone before it could be looked at.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.channel.peer()
    }

    /// Accepts the channel, and waits until it is open.
    ///
    /// Fails if the other end has given up, does not prove its identity, or the offer has expired.
    pub fn accept(self) -> Result<Channel, CloseReason> {
        self.answer(None)
    }

    /// Accepts the channel as [`accept`](Self::accept) does, with a policy for what its packets may travel on instead of
    /// the Client's ([`PathConfig`](conec_core::PathConfig)). Where the channel was accepted automatically, it has the
    /// Client's already.
    pub fn accept_with(self, policy: PathPolicy) -> Result<Channel, CloseReason> {
        self.answer(Some(policy))
    }

    /// Rejects the channel; the other end learns the code.
    pub fn reject(self, code: Code) {
        self.shared
            .with(|hub| hub.reject_offer(Instant::now(), self.channel.id(), code));
    }

    fn answer(self, policy: Option<PathPolicy>) -> Result<Channel, CloseReason> {
        self.shared
            .with(|hub| hub.accept_offer(Instant::now(), self.channel.id(), policy));
        self.channel.opened()?;
        Ok(self.channel)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({:?})", self.channel.id())
    }
}

fn resolve(coordinator: &str) -> Result<Vec<SocketAddr>, ConnectError> {
    match coordinator.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(ConnectError::Resolve {
            host: coordinator.into(),
            error,
        }),
    }
}

fn any_socket() -> Result<Socket, BindError> {
    Ok(Socket::any()?)
}
