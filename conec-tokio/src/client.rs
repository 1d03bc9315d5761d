use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use conec_core::{
    ChannelEvent, ChannelId, ClientConfig, ClientEvent, ClientId, CloseReason, Code, EndpointStats,
    Identity, Name, OpenChannelError, PeerInfo, Target,
};
use futures_core::Stream;

use crate::{
    BindError, Channel, ConnectError, OpenError,
    driver::{Driver, Role},
    shared::{Channels, Shared, State, now, poll_ended},
    socket::Socket,
    table::{Entry, Interest, Table},
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
    shared: Arc<Shared<ClientRole>>,
    home: Channel,
}

impl Client {
    /// Connects to the Coordinator at `host:port`.
    ///
    /// The host is resolved, and all of its addresses are tried in turn. The Coordinator's certificate is checked against
    /// it, unless its key is [pinned](conec_core::Trust::Pin).
    ///
    /// Must be called within a Tokio runtime. Dropped before it is done, the attempt is given up.
    pub async fn connect(coordinator: &str, config: ClientConfig) -> Result<Self, ConnectError> {
        let resolve = |error| ConnectError::Resolve {
            host: coordinator.into(),
            error,
        };
        let (host, _) = coordinator.rsplit_once(':').ok_or_else(|| {
            let error = "write it as host:port";
            resolve(io::Error::new(io::ErrorKind::InvalidInput, error))
        })?;
        let addresses = tokio::net::lookup_host(coordinator)
            .await
            .map_err(resolve)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Self::connect_to(host, &addresses.collect::<Vec<_>>(), config).await
    }

    /// Connects to the Coordinator at one of these addresses, tried in this order, like [`connect`](Self::connect).
    pub async fn connect_to(
        host_name: &str,
        addresses: &[SocketAddr],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let seed = Identity::generate_seed().map_err(BindError::from)?;
        let mut core = conec_core::Client::new(config, seed).map_err(BindError::from)?;
        core.connect(now(), host_name, addresses)?;
        let socket = Socket::ephemeral().map_err(BindError::from)?;
        let shared = Shared::new(ClientRole {
            core,
            offers: VecDeque::new(),
        });
        let hub = Arc::clone(&shared);
        let home = shared.with(|state| {
            let entry = Entry::home(None);
            state.table.channels.insert(ChannelId::HOME, entry);
            Channel::new(hub, &mut state.table, ChannelId::HOME)
        });
        tokio::spawn(Driver::new(Arc::clone(&shared), socket));
        home.opened().await?;
        Ok(Self { shared, home })
    }

    /// This Client's identity.
    pub fn id(&self) -> ClientId {
        self.shared.with(|state| state.role.core.id())
    }

    /// The name that the Coordinator has granted, while connected.
    pub fn name(&self) -> Option<Name> {
        self.shared.with(|state| state.role.core.name().cloned())
    }

    /// Where this Client's packets come from, as the Coordinator sees it, while connected.
    pub fn observed_address(&self) -> Option<SocketAddr> {
        self.shared.with(|state| state.role.core.observed_address())
    }

    /// What was counted so far.
    pub fn stats(&self) -> EndpointStats {
        self.shared
            .with(|state| conec_core::Endpoint::stats(&state.role.core))
    }

    /// How often the operating system has refused to send. The datagrams count as lost on the way.
    pub fn send_errors(&self) -> u64 {
        self.shared.with(|state| state.table.send_errors)
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
        let channel = self.shared.command(|State { table, role }, now| {
            if table.ended {
                return Err(OpenChannelError::NotConnected.into());
            }
            let id = role.core.open_channel(now, target, label.as_ref())?;
            table.channels.insert(id, Entry::default());
            Ok::<_, OpenError>(self.channel(table, id))
        })?;
        channel.opened().await?;
        Ok(channel)
    }

    /// The next channel that another Client, or the Coordinator on its own account, offers. `None` once this Client has
    /// ended.
    pub async fn accept(&self) -> Option<Offer> {
        self.shared
            .wait(Interest::News, |state| self.poll_accept(state))
            .await
    }

    /// The channels that others offer, as [`accept`](Self::accept) gives them. Keeps the Client from being closed.
    pub fn incoming(&self) -> impl Stream<Item = Offer> + Send + Unpin + use<> {
        let client = self.clone();
        self.shared
            .stream(Interest::News, move |state| client.poll_accept(state))
    }

    /// Closes all channels gracefully, the one with the Coordinator last, and waits for the end. After `patience`
    /// everything ends in any case.
    ///
    /// Dropped early, the Client is being closed nonetheless.
    pub async fn close(&self, patience: Duration) {
        self.shared.command(|state, now| {
            state.role.core.close(now, patience);
            state.table.wake_all();
        });
        self.shared.wait(Interest::End, poll_ended).await;
    }

    /// Ends all channels at once and tells the other sides this code.
    pub fn abort(&self, code: Code) {
        self.shared
            .command(|state, now| state.role.core.abort(now, code));
    }

    /// Waits for the end of this Client, which is that of its home channel.
    pub async fn closed(&self) -> CloseReason {
        self.home.closed().await
    }

    fn poll_accept(&self, State { table, role }: &mut State<ClientRole>) -> Poll<Option<Offer>> {
        if let Some(id) = role.offers.pop_front() {
            return Poll::Ready(Some(Offer {
                channel: self.channel(table, id),
                shared: Arc::clone(&self.shared),
            }));
        }
        match table.closed(ChannelId::HOME) {
            Some(_) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn channel(&self, table: &mut Table, id: ChannelId) -> Channel {
        Channel::new(self.shared.clone(), table, id)
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
    shared: Arc<Shared<ClientRole>>,
}

impl Offer {
    /// Who wants it. The channel opens only if the other end proves to be that Client. `None` once the offer has expired.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.channel.peer()
    }

    /// Accepts the channel, and waits until it is open.
    ///
    /// Fails if the other end has given up, does not prove its identity, or the offer has expired. Dropped before it is
    /// done, the channel is closed.
    pub async fn accept(self) -> Result<Channel, CloseReason> {
        self.shared.command(|state, now| {
            // An offer that needs no answer, or is too late for one, shows what has become of it.
            let _ = state.role.core.accept(now, self.channel.id());
        });
        self.channel.opened().await?;
        Ok(self.channel)
    }

    /// Rejects the channel; the other end learns the code.
    pub fn reject(self, code: Code) {
        let id = self.channel.id();
        let rejected = self
            .shared
            .command(|state, now| state.role.core.reject(now, id, code));
        if rejected.is_err() {
            self.channel.abort(code);
        }
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({:?})", self.channel.id())
    }
}

/// The part of the shared state that only Clients have.
struct ClientRole {
    core: conec_core::Client,
    /// Channels offered, or accepted automatically, that the application has not taken yet.
    offers: VecDeque<ChannelId>,
}

impl Channels for ClientRole {
    fn channel(&mut self, id: ChannelId) -> Option<conec_core::Channel<'_>> {
        conec_core::Endpoint::channel(&mut self.core, id)
    }

    fn close(&mut self, now: Instant, patience: Duration) {
        self.core.close(now, patience);
    }
}

impl Role for ClientRole {
    type Core = conec_core::Client;

    fn core(&mut self) -> &mut conec_core::Client {
        &mut self.core
    }

    fn is_finished(&self) -> bool {
        self.core.is_finished()
    }

    fn handle_event(
        &mut self,
        table: &mut Table,
        event: ClientEvent,
    ) -> Option<(ChannelId, ChannelEvent)> {
        match event {
            ClientEvent::Offered { channel, .. } => self.offered(table, channel),
            ClientEvent::Channel { channel, event } => {
                if event == ChannelEvent::Opened {
                    match table.channels.get_mut(&channel) {
                        Some(entry) => entry.peer = self.core.peer(channel),
                        // Accepted automatically.
                        None => self.offered(table, channel),
                    }
                } else if let ChannelEvent::Closed { .. } = event {
                    self.offers.retain(|&offer| offer != channel);
                    table.wake(Interest::News);
                }
                return Some((channel, event));
            }
            // Waited for by way of the home channel, and asked for when needed.
            ClientEvent::Connected { .. } | ClientEvent::AddressObserved { .. } => {}
            // What this adapter does not know of.
            _ => {}
        }
        None
    }
}

impl ClientRole {
    fn offered(&mut self, table: &mut Table, id: ChannelId) {
        table.channels.insert(id, Entry::new(self.core.peer(id)));
        self.offers.push_back(id);
        table.wake(Interest::News);
    }
}
