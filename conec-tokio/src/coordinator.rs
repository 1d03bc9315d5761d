use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use conec_core::{
    AnswerError, ChannelId, ClientId, Code, CoordinatorConfig, CoordinatorEvent, Endpoint,
    EndpointStats, KeyPin, Name, OpenChannelError, PairId, Target,
    hub::{BindError, Hub},
};
use conec_driver::Socket;
use futures_core::Stream;
use tokio::net::ToSocketAddrs;

use crate::{
    Channel,
    driver::Driver,
    shared::{self, Handle, Shared, now, wait},
};

/// A Coordinator: the one server that all Clients connect to.
///
/// A cheap handle: clones are the same Coordinator. A Client is named by its home channel's id, as events tell it.
///
/// ```no_run
/// # #[cfg(feature = "self-signed")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use conec_tokio::*;
///
/// let mut config = CoordinatorConfig::new(Certificate::self_signed(["conec.example.org"])?);
/// config.admission = Policy::Ask;
/// let coordinator = Coordinator::bind("[::]:4433", config).await?;
/// println!("pin: {}", coordinator.pin());
/// while let Some(event) = coordinator.next_event().await {
///     match event {
///         CoordinatorEvent::ClientAsks { client, name, token, .. } if &token[..] == b"secret" => {
///             // Fails if the Client has given up meanwhile.
///             let _ = coordinator.admit(client, name);
///         }
///         CoordinatorEvent::ClientAsks { client, .. } => drop(coordinator.refuse(client, Code(403))),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// When the last handle is dropped, the Coordinator closes gracefully in the background, with a patience of 10 seconds,
/// and then its task ends. [`Channel`]s, [`Sender`](crate::Sender)s and [`Receiver`](crate::Receiver)s count as handles. A
/// program that is about to exit should call [`close`](Self::close) instead, which can be waited for.
pub struct Coordinator {
    shared: Arc<Shared<conec_core::Coordinator>>,
    handle: Handle,
    address: SocketAddr,
}

impl Coordinator {
    /// Takes Clients at this address, such as `"[::]:4433"`, which serves IPv4 as well where the system is able to.
    ///
    /// Must be called within a Tokio runtime.
    pub async fn bind(
        address: impl ToSocketAddrs,
        config: CoordinatorConfig,
    ) -> Result<Self, BindError> {
        let addresses = tokio::net::lookup_host(address).await?;
        Self::over(Socket::bind_any(addresses)?, config)
    }

    /// Takes Clients on a socket of one's own. The configuration's [second port](CoordinatorConfig::second_port) is bound
    /// beside it.
    ///
    /// Must be called within a Tokio runtime.
    pub fn over(mut socket: Socket, mut config: CoordinatorConfig) -> Result<Self, BindError> {
        let address = socket.local_addr()?;
        socket.bind_second(&mut config)?;
        let shared = Shared::new(Hub::coordinator(config)?);
        let handle = Handle::counted(shared.clone(), None);
        tokio::spawn(Driver::new(Arc::clone(&shared), socket)?);
        Ok(Self {
            shared,
            handle,
            address,
        })
    }

    /// Where it listens: the port is the actual one.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The hash of the Coordinator's key, for [`Trust::Pin`](conec_core::Trust::Pin).
    pub fn pin(&self) -> KeyPin {
        self.core(|core| core.pin())
    }

    /// The next event, or `None` once the Coordinator has ended. The only [`Channel`](CoordinatorEvent::Channel) event is
    /// [`Closed`](conec_core::ChannelEvent::Closed), which tells that a Client is gone.
    ///
    /// An application whose [policies](conec_core::Policy) leave no questions can ignore events: at most 65536 wait to
    /// be taken, then the oldest are dropped. One that keeps book by them and may lag behind that far looks at
    /// [`missed_events`](Self::missed_events).
    pub async fn next_event(&self) -> Option<CoordinatorEvent> {
        wait(&self.shared, |hub| hub.next_event()).await
    }

    /// The events, as [`next_event`](Self::next_event) gives them. Keeps the Coordinator from being closed.
    pub fn events(&self) -> impl Stream<Item = CoordinatorEvent> + Send + Unpin + use<> {
        let handle = self.handle.clone();
        shared::stream(&self.shared, move |hub| {
            let _keeps_open = &handle;
            hub.next_event()
        })
    }

    /// How many events were dropped because too many waited to be taken. What they told of must be asked for: whether a
    /// Client is there with [`find`](Self::find). Questions that were dropped are answered with no after
    /// [`answer_timeout`](conec_core::Limits::answer_timeout).
    pub fn missed_events(&self) -> u64 {
        self.shared.with(|hub| hub.missed_events())
    }

    /// Lets a Client in that [asked](CoordinatorEvent::ClientAsks), under a name of the application's choice.
    pub fn admit(&self, client: ChannelId, name: Option<Name>) -> Result<(), AnswerError> {
        self.command(|core| core.admit(now(), client, name))
    }

    /// Turns a Client away that [asked](CoordinatorEvent::ClientAsks); it learns the code.
    pub fn refuse(&self, client: ChannelId, code: Code) -> Result<(), AnswerError> {
        self.command(|core| core.refuse(now(), client, code))
    }

    /// Connects two Clients. Each is offered the channel and can reject it, `from` as its initiator.
    ///
    /// [`PairStarted`](CoordinatorEvent::PairStarted) or [`PairClosed`](CoordinatorEvent::PairClosed) follows.
    pub fn connect(
        &self,
        from: impl Into<Target>,
        to: impl Into<Target>,
        label: impl AsRef<[u8]>,
    ) -> Result<PairId, OpenChannelError> {
        self.command(|core| core.connect(now(), from, to, label.as_ref()))
    }

    /// Lets a Client have the channel that it [asked](CoordinatorEvent::PairAsks) for, if the other end wants it too.
    pub fn grant(&self, pair: PairId) -> Result<(), AnswerError> {
        self.command(|core| core.grant(now(), pair))
    }

    /// Denies a Client the channel that it [asked](CoordinatorEvent::PairAsks) for.
    pub fn deny(&self, pair: PairId) -> Result<(), AnswerError> {
        self.command(|core| core.deny(now(), pair))
    }

    /// Takes a channel from the two Clients that it connects; both learn the code.
    pub fn disconnect(&self, pair: PairId, code: Code) -> Result<(), AnswerError> {
        self.command(|core| core.disconnect(now(), pair, code))
    }

    /// The home channel of a connected Client, for streams between it and this application. Closing it disconnects the
    /// Client.
    pub fn channel(&self, client: ChannelId) -> Option<Channel> {
        let id = self.shared.with(|hub| hub.home_channel(client))?;
        Some(Channel::counted(self.shared.clone(), id))
    }

    /// The home channel's id of a connected Client.
    pub fn find(&self, target: impl Into<Target>) -> Option<ChannelId> {
        self.core(|core| core.find(target))
    }

    /// Who is connected on this home channel, and under which name.
    pub fn client(&self, client: ChannelId) -> Option<(ClientId, Option<Name>)> {
        self.core(|core| core.client(client).map(|(id, name)| (id, name.cloned())))
    }

    /// How many Clients are connected.
    pub fn clients(&self) -> usize {
        self.core(|core| core.clients())
    }

    /// Where a Client's packets come from: the last address that it has confirmed.
    pub fn address(&self, client: ChannelId) -> Option<SocketAddr> {
        self.core(|core| core.address(client))
    }

    /// What was counted so far.
    pub fn stats(&self) -> EndpointStats {
        self.core(Endpoint::stats)
    }

    /// Takes no more Clients, lets those that are there complete what is under way, disconnects them, after `patience` in
    /// any case, and waits for the end.
    ///
    /// Dropped early, the Coordinator is being closed nonetheless.
    pub async fn close(&self, patience: Duration) {
        self.shared.with(|hub| hub.close(now(), patience));
        wait(&self.shared, |hub| hub.ended()).await;
    }

    fn core<T>(&self, f: impl FnOnce(&conec_core::Coordinator) -> T) -> T {
        self.shared.with(|hub| f(hub.endpoint()))
    }

    fn command<T>(&self, f: impl FnOnce(&mut conec_core::Coordinator) -> T) -> T {
        self.shared.with(|hub| f(hub.command()))
    }
}

impl Clone for Coordinator {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            handle: self.handle.clone(),
            address: self.address,
        }
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Coordinator({})", self.address)
    }
}
