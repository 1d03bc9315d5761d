//! Clients.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use conec_core::{
    ChannelId, ClientConfig, ClientId, ClientState, CloseReason, Code, Endpoint, EndpointStats,
    Identity, IntroductionId, JoinConfig, KeyChange, KnownClients, Name, Nat, PathPolicy, Target,
};
use futures_core::Stream;

use crate::{
    BindError, Channel, ConnectError, Driver, Group, IntroductionError, JoinError, KnownError,
    KnownFile, Offer, OpenError, Socket, Sockets,
    known::Keeper,
    look_up_link,
    shared::{EndpointHandle, GroupHandle, Items, LOGS, Shared},
    socket::tell_time,
};

/// A Client: connected to one Coordinator, and through it to other Clients.
///
/// A cheap handle: clones are the same Client. Every waiting call can be dropped at any time; what it would have given
/// goes to the next call.
///
/// Adapters have a shorter way to one than [`start`](Self::start): they connect, and drive it.
///
/// # Dropping
///
/// When the last handle is dropped, the Client closes gracefully in the background, with a patience of 10 seconds, and
/// then its driver ends. [`Channel`]s, [`Sender`](crate::Sender)s, [`Receiver`](crate::Receiver)s, [`Offer`]s and
/// [`Group`]s count as handles. A program that is about to exit should call [`close`](Self::close) instead, which can be waited for.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared<conec_core::Client>>,
    /// The first home channel, which keeps the Client from being closed.
    first: Channel,
    /// Where names were loaded from a file.
    keeper: Option<Arc<Keeper>>,
}

impl Client {
    /// Begins to connect to the Coordinator, or one of [several](conec_core::Client::connect_to_any), at one of these addresses under
    /// these host names, tried in this order. It goes on as the driver is turned, and is over when [`connected`](Self::connected) is.
    ///
    /// The Coordinator's certificate is checked against the host name, unless its key is [pinned](conec_core::Trust::Pin).
    /// `clock` is the one whose time the driver is turned with.
    pub fn start(
        socket: Socket,
        coordinators: &[(&str, &[SocketAddr])],
        mut config: ClientConfig,
        clock: fn() -> Instant,
    ) -> Result<(Self, Driver<conec_core::Client>, Sockets), ConnectError> {
        let addresses: Vec<_> = coordinators.iter().flat_map(|it| it.1).copied().collect();
        look_up_link(&mut config, &addresses);
        tell_time(&mut config.unix_time);
        let seed = Identity::generate_seed().map_err(BindError::from)?;
        let known = config.known.as_ref().and_then(KnownClients::file);
        let known = known.map(KnownFile::new);
        let mut client = conec_core::Client::new(config, seed).map_err(BindError::from)?;
        let span = tracing::error_span!(target: LOGS, "client", id = ?client.id());
        span.in_scope(|| client.connect_to_any(clock(), coordinators))?;
        let shared = Shared::new(client, clock, span);
        let home = shared.with(|state| state.hold_home());
        let handle = Arc::new(EndpointHandle(shared.clone()));
        let first = Channel::new(shared.clone(), handle, home);
        let (driver, sockets) = Driver::new(socket, Arc::clone(&shared));
        let keeper = known.map(|file| Keeper::new(file, Arc::clone(&shared)));
        let this = Self {
            shared,
            first,
            keeper,
        };
        Ok((this, driver, sockets))
    }

    /// Waits until the Client is connected, for the first time or [again](ClientConfig::reconnect), or will not be.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        Ok(self.shared.wait(|state| state.connected()).await?)
    }

    /// How this Client and its Coordinator stand to each other.
    pub fn state(&self) -> ClientState {
        self.core(|core| core.state())
    }

    /// Waits until this Client and its Coordinator stand to each other in another way than this, and gives that. What comes and goes
    /// before this is asked again is not seen.
    ///
    /// ```no_run
    /// # use conec_driver::{Client, api::ClientState};
    /// # async fn run(client: Client) {
    /// let mut state = client.state();
    /// while !matches!(state, ClientState::Ended { .. }) {
    ///     state = client.state_other_than(state).await;
    ///     println!("{state:?}");
    /// }
    /// # }
    /// ```
    pub async fn state_other_than(&self, known: ClientState) -> ClientState {
        self.shared
            .wait(|state| state.state_other_than(known))
            .await
    }

    /// From now on, looks for the Coordinator at these addresses under these host names, instead of those that were given before:
    /// for one that has moved, or for several that have the same [ticket key](conec_core::CoordinatorConfig::ticket_key).
    ///
    /// Where a Client was connected by names, adapters do that by themselves: they look the names up anew whenever it
    /// [reconnects](ClientConfig::reconnect), and what is set here lasts until then.
    pub fn set_coordinators(&self, places: &[(&str, &[SocketAddr])]) -> Result<(), ConnectError> {
        let set = self
            .shared
            .command(|core, now| core.set_coordinators(now, places));
        Ok(set?)
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

    /// What it is a handle to, without keeping that open.
    #[cfg(feature = "metrics")]
    pub(crate) fn weak(&self) -> std::sync::Weak<Shared<conec_core::Client>> {
        Arc::downgrade(&self.shared)
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
            .command(|core, now| core.set_mapped_addresses(now, addresses));
    }

    /// The channel with the Coordinator: the one that there is, or is to be. Its end is the end of this Client, or, if it
    /// [reconnects](ClientConfig::reconnect), of the streams on it; then there is another one, which this gives.
    pub fn home(&self) -> Channel {
        let home = self.shared.with(|state| state.hold_home());
        self.first.sibling(home)
    }

    /// Opens a channel to another Client, by name or by id, under a label of at most 255 bytes.
    ///
    /// Waits until the other end has accepted. Dropped before, the channel is given up.
    ///
    /// By a name that is [known](ClientConfig::known) to belong to another key than the Coordinator says, it fails with
    /// [`KeyChanged`](OpenError::KeyChanged).
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

    /// Has the Coordinator connect two others, or a third and this Client, under a label of at most 255 bytes: it offers them a
    /// channel, to `from` as who has opened it.
    ///
    /// Waits until both have accepted. The channel is theirs, and stays when this Client goes; who has introduced them they learn from
    /// [`PeerInfo::introducer`](conec_core::PeerInfo::introducer). Fails with [`NotFound`](conec_core::ErrorCode::NotFound) where one of them
    /// is not there, and where it may not be: a Coordinator lets nobody introduce others, unless its [`Rules`](conec_core::Rules) say so.
    ///
    /// Dropped before, it goes its way and nobody hears what has become of it; it is not even asked for where it still waits for its turn,
    /// as [channels](conec_core::Client::open_channel) do.
    ///
    /// ```no_run
    /// # use conec_driver::{Client, api::*};
    /// # async fn run(lobby: Client, alice: Name, bob: Name) {
    /// match lobby.introduce(alice, bob, "chat").await {
    ///     Ok(()) => println!("they talk"),
    ///     Err(IntroductionError::Failed(CloseReason::Application(code))) => println!("one does not want to: {code}"),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # }
    /// ```
    pub async fn introduce(
        &self,
        from: impl Into<Target>,
        to: impl Into<Target>,
        label: impl AsRef<[u8]>,
    ) -> Result<(), IntroductionError> {
        let (now, label) = (self.shared.now(), label.as_ref());
        let (from, to) = (from.into(), to.into());
        let asked = self
            .shared
            .with(|state| state.introduce(now, from, to, label));
        let awaited = Awaited(&self.shared, asked?);
        Ok(self
            .shared
            .wait(|state| state.introduced(awaited.1))
            .await?)
    }

    /// Becomes a member of the group of this name at the Coordinator, which is made where there is none, if this Client may: publishes there
    /// and hears what is published, as the [configuration](JoinConfig) says.
    ///
    /// Waits until it is a member, and so until the Client is connected. Fails if the Coordinator does not let it in, as its
    /// [`Rules`](conec_core::Rules) say, and if the Client is a member already: then use clones of that [`Group`]. Dropped before, the group
    /// is left.
    ///
    /// ```no_run
    /// # use conec_driver::{Client, api::*};
    /// # async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let group = client.join("lobby".parse()?, JoinConfig::default()).await?;
    /// group.publish("hello").await?;
    /// loop {
    ///     match group.recv().await? {
    ///         GroupItem::Joined(joined) if joined.is_new_order => println!("not all may have been heard"),
    ///         GroupItem::Message(message) => println!("{}: {:?}", message.sequence, message.payload),
    ///         GroupItem::Lagged(missing) => println!("{missing} messages are missing here"),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn join(&self, group: Name, config: JoinConfig) -> Result<Group, JoinError> {
        let now = self.shared.now();
        let name = group.clone();
        let id = self.shared.with(|state| state.join(now, group, config))?;
        // From here on it is left with the last handle.
        let handle = GroupHandle {
            shared: Arc::clone(&self.shared),
            id,
            name,
            _keeps_open: self.first.endpoint(),
        };
        let joined = self.shared.wait(|state| state.joined(id)).await;
        joined.map_err(JoinError::Ended)?;
        Ok(Group::new(Arc::new(handle)))
    }

    /// The next channel that another Client, or the Coordinator on its own account, offers. `None` once this Client has
    /// ended.
    pub async fn accept(&self) -> Option<Offer> {
        let next = self.shared.wait(|state| state.next_offer()).await;
        next.map(|id| self.offer(id))
    }

    /// The channels that others offer, as [`accept`](Self::accept) gives them. Keeps the Client from being closed.
    pub fn incoming(&self) -> impl Stream<Item = Offer> + Send + Unpin + use<> {
        let client = self.clone();
        Items::new(&self.shared, move |state| {
            let next = state.next_offer();
            // The closure keeps all of the Client, and so keeps it open.
            next.map(|offer| offer.map(|id| client.offer(id)))
        })
    }

    /// Whose which name is, as far as this Client [knows](ClientConfig::known), and has learned, by now.
    pub fn known(&self) -> Option<KnownClients> {
        self.core(|core| core.known().cloned())
    }

    /// From now on, a name belongs to this key, whichever it belonged to before; that is given. For names that were told by
    /// another way, and for those whose Clients have made a new key.
    ///
    /// Where names were [loaded](crate::KnownFile) from a file, it is stored there first, for which this waits. Fails if it
    /// cannot be, and where the Client remembers no names.
    pub fn set_known(&self, name: Name, id: ClientId) -> Result<Option<ClientId>, KnownError> {
        if self.core(|core| core.known().is_none()) {
            return Err(KnownError::Unused);
        }
        if let Some(keeper) = &self.keeper {
            keeper.file.set(&name, id)?;
        }
        Ok(self.with_known(|known| known.insert(name, id)))
    }

    /// Forgets whose a name is: who comes under it next is learned anew. Gives whose it was. Likewise in the file, first.
    pub fn forget_known(&self, name: &Name) -> Result<Option<ClientId>, KnownError> {
        if let Some(keeper) = &self.keeper {
            keeper.file.forget(name)?;
        }
        Ok(self.with_known(|known| known.forget(name)))
    }

    /// Waits until the Coordinator gives a name to somebody else than it is [known](ClientConfig::known) to belong to, be it in
    /// an offer, which was rejected, or in answer to [`open`](Self::open), which then fails too. `None` once this Client has
    /// ended.
    pub async fn key_changed(&self) -> Option<KeyChange> {
        self.shared.wait(|state| state.next_key_change()).await
    }

    /// Closes all channels gracefully, the one with the Coordinator last, and waits for the end. After `patience`
    /// everything ends in any case.
    ///
    /// Dropped early, the Client is being closed nonetheless.
    pub async fn close(&self, patience: Duration) {
        let now = self.shared.now();
        self.shared.with(|state| state.close(now, patience));
        self.shared.wait(|state| state.ended()).await;
    }

    /// Ends all channels at once and tells the other sides this code.
    pub fn abort(&self, code: Code) {
        self.shared.command(|core, now| core.abort(now, code));
    }

    /// Waits for the end of this Client, which is that of its last home channel.
    pub async fn closed(&self) -> CloseReason {
        self.shared.wait(|state| state.client_ended()).await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<conec_core::Client>> {
        &self.shared
    }

    async fn open_channel(
        &self,
        target: Target,
        label: &[u8],
        policy: Option<PathPolicy>,
    ) -> Result<Channel, OpenError> {
        let now = self.shared.now();
        let name = match &target {
            Target::Name(name) => Some(name.clone()),
            Target::Id(_) | _ => None,
        };
        let opened = self
            .shared
            .with(|state| state.open_channel(now, target, label, policy));
        let channel = self.first.sibling(opened?);
        match (channel.opened().await, name) {
            (Err(reason @ CloseReason::KeyChanged), Some(name)) => {
                let change = self.core(|core| core.known()?.key_change(&name));
                // The application may have changed its mind meanwhile.
                return Err(change.map_or(OpenError::Closed(reason), OpenError::KeyChanged));
            }
            (opened, name) => {
                opened?;
                if let Some(keeper) = &self.keeper {
                    keeper.keep(name.and_then(|_| channel.peer())).await?;
                }
            }
        }
        Ok(channel)
    }

    fn with_known<T>(&self, f: impl FnOnce(&mut KnownClients) -> Option<T>) -> Option<T> {
        self.shared
            .with(|state| state.endpoint_mut().known_mut().and_then(f))
    }

    fn offer(&self, id: ChannelId) -> Offer {
        Offer {
            channel: self.first.sibling(id),
            shared: Arc::clone(&self.shared),
            keeper: self.keeper.clone(),
        }
    }

    fn core<T>(&self, f: impl FnOnce(&conec_core::Client) -> T) -> T {
        self.shared.with(|state| f(state.endpoint()))
    }
}

/// An introduction of which somebody wants to know what becomes of it.
struct Awaited<'a>(&'a Shared<conec_core::Client>, IntroductionId);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.ignore_introduction(self.1));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use conec_core::{KeyPin, Trust};
    use tracing::Span;

    use super::*;

    #[test]
    fn what_the_core_logs_names_the_client() {
        let logs = tracing_subscriber::registry();
        tracing::subscriber::with_default(logs, || {
            let trust = Trust::Pin(KeyPin::from_bytes([0; 32]));
            let config = ClientConfig::new(Identity::generate().unwrap(), trust);
            let address = ([127, 0, 0, 1], 9).into();
            let places: &[(&str, &[SocketAddr])] = &[("localhost", &[address])];
            let socket = Socket::any().unwrap();
            let (client, _driver, _sockets) =
                Client::start(socket, places, config, Instant::now).unwrap();
            let name = || Span::current().metadata().map(|span| span.name());
            assert_eq!(client.shared.with(|_| name()), Some("client"));
            assert_eq!(name(), None);
        });
    }
}
