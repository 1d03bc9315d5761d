use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use conec_core::{
    ChannelId, ClientConfig, ClientId, CloseReason, Code, Endpoint, EndpointStats, Name, Nat,
    PathPolicy, PeerInfo, Target,
    hub::{BindError, ConnectError, Hub, OpenError, host_of},
};
use conec_udp::{Socket, look_up_link};
use futures_core::Stream;

use crate::{
    Channel,
    driver::Driver,
    shared::{self, Shared, now, wait},
};

/// A Client: connected to one Coordinator, and through it to other Clients.
///
/// A cheap handle: clones are the same Client. Every waiting call can be dropped at any time; what it would have given
/// goes to the next call.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use conec_tokio::*;
///
/// # let pin = "00".repeat(32).parse()?;
/// let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
/// config.name = Some("alice".parse()?);
/// let alice = Client::connect("conec.example.org:4433", config).await?;
/// while let Some(offer) = alice.accept().await {
///     let Some(peer) = offer.peer() else { continue };
///     if &peer.label[..] == b"chat" {
///         let channel = offer.accept().await?;
///         // ...
///     } else {
///         offer.reject(Code(404));
///     }
/// }
/// println!("{}", alice.closed().await);
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// When the last handle is dropped, the Client closes gracefully in the background, with a patience of 10 seconds, and
/// then its task ends. [`Channel`]s, [`Sender`](crate::Sender)s, [`Receiver`](crate::Receiver)s and [`Offer`]s count as
/// handles. A program that is about to exit should call [`close`](Self::close) instead, which can be waited for.
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
    /// Must be called within a Tokio runtime. Dropped before it is done, the attempt is given up.
    pub async fn connect(coordinator: &str, config: ClientConfig) -> Result<Self, ConnectError> {
        let host = host_of(coordinator)?;
        let addresses = tokio::net::lookup_host(coordinator)
            .await
            .map_err(|error| ConnectError::Resolve {
                host: coordinator.into(),
                error,
            })?;
        Self::connect_to(host, &addresses.collect::<Vec<_>>(), config).await
    }

    /// Connects to the Coordinator at whichever of these addresses leads to it, the first preferred, like [`connect`](Self::connect).
    pub async fn connect_to(
        host_name: &str,
        addresses: &[SocketAddr],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let socket = Socket::any().map_err(BindError::from)?;
        Self::connect_over(socket, host_name, addresses, config).await
    }

    /// Connects over a socket of one's own, like [`connect_to`](Self::connect_to).
    pub async fn connect_over(
        socket: Socket,
        host_name: &str,
        addresses: &[SocketAddr],
        mut config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        look_up_link(&mut config, addresses);
        let hub = Hub::client(now(), host_name, addresses, config)?;
        let shared = Shared::new(hub);
        let home = Channel::counted(shared.clone(), ChannelId::HOME);
        let driver = Driver::new(Arc::clone(&shared), socket).map_err(BindError::from)?;
        tokio::spawn(driver);
        home.opened().await?;
        Ok(Self { shared, home })
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
        self.shared
            .with(|hub| hub.command().set_mapped_addresses(now(), addresses));
    }

    /// The channel with the Coordinator. Its end is the end of this Client.
    pub fn home(&self) -> Channel {
        self.home.clone()
    }

    /// Opens a channel to another Client, by name or by id, under a label of at most 255 bytes.
    ///
    /// Waits until the other end has accepted. Dropped before, the channel is given up.
    pub async fn open(
        &self,
        target: impl Into<Target>,
        label: impl AsRef<[u8]>,
    ) -> Result<Channel, OpenError> {
        self.open_channel(target.into(), label.as_ref(), None).await
    }

    /// Opens a channel as [`open`](Self::open) does, with a policy for what this channel's packets may travel on instead
    /// of the Client's ([`PathConfig`](conec_core::PathConfig)).
    ///
    /// With [`DirectOnly`](PathPolicy::DirectOnly) it waits until there is a direct path, and fails with
    /// [`NoDirectPath`](CloseReason::NoDirectPath) if there is none in time.
    pub async fn open_with(
        &self,
        target: impl Into<Target>,
        label: impl AsRef<[u8]>,
        policy: PathPolicy,
    ) -> Result<Channel, OpenError> {
        let policy = Some(policy);
        self.open_channel(target.into(), label.as_ref(), policy)
            .await
    }

    /// The next channel that another Client, or the Coordinator on its own account, offers. `None` once this Client has
    /// ended.
    pub async fn accept(&self) -> Option<Offer> {
        let next = wait(&self.shared, |hub| hub.next_offer()).await;
        next.map(|id| self.offer(id))
    }

    /// The channels that others offer, as [`accept`](Self::accept) gives them. Keeps the Client from being closed.
    pub fn incoming(&self) -> impl Stream<Item = Offer> + Send + Unpin + use<> {
        let client = self.clone();
        shared::stream(&self.shared, move |hub| {
            let next = hub.next_offer();
            // The closure keeps all of the Client, and so keeps it open.
            next.map(|offer| offer.map(|id| client.offer(id)))
        })
    }

    /// Closes all channels gracefully, the one with the Coordinator last, and waits for the end. After `patience`
    /// everything ends in any case.
    ///
    /// Dropped early, the Client is being closed nonetheless.
    pub async fn close(&self, patience: Duration) {
        self.shared.with(|hub| hub.close(now(), patience));
        wait(&self.shared, |hub| hub.ended()).await;
    }

    /// Ends all channels at once and tells the other sides this code.
    pub fn abort(&self, code: Code) {
        self.shared.with(|hub| hub.command().abort(now(), code));
    }

    /// Waits for the end of this Client, which is that of its home channel.
    pub async fn closed(&self) -> CloseReason {
        self.home.closed().await
    }

    async fn open_channel(
        &self,
        target: Target,
        label: &[u8],
        policy: Option<PathPolicy>,
    ) -> Result<Channel, OpenError> {
        let opened = self
            .shared
            .with(|hub| hub.open_channel(now(), target, label, policy));
        let channel = Channel::counted(self.shared.clone(), opened?);
        channel.opened().await?;
        Ok(channel)
    }

    /// An offer whose channel the hub has counted as held.
    fn offer(&self, id: ChannelId) -> Offer {
        Offer {
            channel: Channel::counted(self.shared.clone(), id),
            shared: Arc::clone(&self.shared),
        }
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
    /// Fails if the other end has given up, does not prove its identity, or the offer has expired. Dropped before it is
    /// done, the channel is closed.
    pub async fn accept(self) -> Result<Channel, CloseReason> {
        self.answer(None).await
    }

    /// Accepts the channel as [`accept`](Self::accept) does, with a policy for what its packets may travel on instead of
    /// the Client's ([`PathConfig`](conec_core::PathConfig)). Where the channel was accepted automatically, it has the
    /// Client's already.
    pub async fn accept_with(self, policy: PathPolicy) -> Result<Channel, CloseReason> {
        self.answer(Some(policy)).await
    }

    /// Rejects the channel; the other end learns the code.
    pub fn reject(self, code: Code) {
        self.shared
            .with(|hub| hub.reject_offer(now(), self.channel.id(), code));
    }

    async fn answer(self, policy: Option<PathPolicy>) -> Result<Channel, CloseReason> {
        self.shared
            .with(|hub| hub.accept_offer(now(), self.channel.id(), policy));
        self.channel.opened().await?;
        Ok(self.channel)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({:?})", self.channel.id())
    }
}
