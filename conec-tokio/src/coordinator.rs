use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{
    AnswerError, ChannelEvent, ChannelId, ClientId, Code, CoordinatorConfig, CoordinatorEvent,
    EndpointStats, Identity, KeyPin, Name, OpenChannelError, PairId, PeerInfo, Target,
};
use futures_core::Stream;
use tokio::net::ToSocketAddrs;

use crate::{
    BindError, Channel,
    driver::{Driver, Role},
    shared::{Channels, Handle, Shared, State, poll_ended},
    socket::Socket,
    table::{Entry, Interest, Table},
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
    shared: Arc<Shared<CoordinatorRole>>,
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
        let mut bound = Err(BindError::Io(std::io::ErrorKind::AddrNotAvailable.into()));
        for address in tokio::net::lookup_host(address).await? {
            bound = Socket::bind(address).map_err(BindError::from);
            if bound.is_ok() {
                break;
            }
        }
        let socket = bound?;
        let address = socket.local_addr()?;
        let core = conec_core::Coordinator::new(config, Identity::generate_seed()?)?;
        let shared = Shared::new(CoordinatorRole {
            core,
            events: VecDeque::new(),
        });
        let hub = Arc::clone(&shared);
        let handle = shared.with(|state| Handle::new(hub, &mut state.table, None));
        tokio::spawn(Driver::new(Arc::clone(&shared), socket));
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
    /// [`Closed`](ChannelEvent::Closed), which tells that a Client is gone.
    ///
    /// An application whose [policies](conec_core::Policy) leave no questions can ignore events: at most 65536 wait to
    /// be taken, then the oldest are dropped.
    pub async fn next_event(&self) -> Option<CoordinatorEvent> {
        self.shared.wait(Interest::News, poll_event).await
    }

    /// The events, as [`next_event`](Self::next_event) gives them. Keeps the Coordinator from being closed.
    pub fn events(&self) -> impl Stream<Item = CoordinatorEvent> + Send + Unpin + use<> {
        let handle = self.handle.clone();
        self.shared.stream(Interest::News, move |state| {
            let _keeps_open = &handle;
            poll_event(state)
        })
    }

    /// Lets a Client in that [asked](CoordinatorEvent::ClientAsks), under a name of the application's choice.
    pub fn admit(&self, client: ChannelId, name: Option<Name>) -> Result<(), AnswerError> {
        self.command(|core, now| core.admit(now, client, name))
    }

    /// Turns a Client away that [asked](CoordinatorEvent::ClientAsks); it learns the code.
    pub fn refuse(&self, client: ChannelId, code: Code) -> Result<(), AnswerError> {
        self.command(|core, now| core.refuse(now, client, code))
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
        self.command(|core, now| core.connect(now, from, to, label.as_ref()))
    }

    /// Lets a Client have the channel that it [asked](CoordinatorEvent::PairAsks) for, if the other end wants it too.
    pub fn grant(&self, pair: PairId) -> Result<(), AnswerError> {
        self.command(|core, now| core.grant(now, pair))
    }

    /// Denies a Client the channel that it [asked](CoordinatorEvent::PairAsks) for.
    pub fn deny(&self, pair: PairId) -> Result<(), AnswerError> {
        self.command(|core, now| core.deny(now, pair))
    }

    /// Takes a channel from the two Clients that it connects; both learn the code.
    pub fn disconnect(&self, pair: PairId, code: Code) -> Result<(), AnswerError> {
        self.command(|core, now| core.disconnect(now, pair, code))
    }

    /// The home channel of a connected Client, for streams between it and this application. Closing it disconnects the
    /// Client.
    pub fn channel(&self, client: ChannelId) -> Option<Channel> {
        self.shared.with(|State { table, .. }| {
            let there = table.channels.contains_key(&client);
            there.then(|| Channel::new(self.shared.clone(), table, client))
        })
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
        self.core(conec_core::Endpoint::stats)
    }

    /// How often the operating system has refused to send. The datagrams count as lost on the way.
    pub fn send_errors(&self) -> u64 {
        self.shared.with(|state| state.table.send_errors)
    }

    /// Takes no more Clients, lets those that are there complete what is under way, disconnects them, after `patience` in
    /// any case, and waits for the end.
    ///
    /// Dropped early, the Coordinator is being closed nonetheless.
    pub async fn close(&self, patience: Duration) {
        self.shared.command(|state, now| {
            state.role.core.close(now, patience);
            state.table.wake_all();
        });
        self.shared.wait(Interest::End, poll_ended).await;
    }

    fn core<T>(&self, f: impl FnOnce(&conec_core::Coordinator) -> T) -> T {
        self.shared.with(|state| f(&state.role.core))
    }

    fn command<T>(&self, f: impl FnOnce(&mut conec_core::Coordinator, Instant) -> T) -> T {
        self.shared
            .command(|state, now| f(&mut state.role.core, now))
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

/// The part of the shared state that only Coordinators have.
struct CoordinatorRole {
    core: conec_core::Coordinator,
    /// Events that the application has not taken yet.
    events: VecDeque<CoordinatorEvent>,
}

impl Channels for CoordinatorRole {
    fn channel(&mut self, id: ChannelId) -> Option<conec_core::Channel<'_>> {
        conec_core::Endpoint::channel(&mut self.core, id)
    }

    fn close(&mut self, now: Instant, patience: Duration) {
        self.core.close(now, patience);
    }
}

impl Role for CoordinatorRole {
    type Core = conec_core::Coordinator;

    fn core(&mut self) -> &mut conec_core::Coordinator {
        &mut self.core
    }

    fn is_finished(&self) -> bool {
        self.core.is_finished()
    }

    fn handle_event(
        &mut self,
        table: &mut Table,
        event: CoordinatorEvent,
    ) -> Option<(ChannelId, ChannelEvent)> {
        let inside = match &event {
            CoordinatorEvent::ClientConnected {
                client, id, name, ..
            } => {
                let peer = PeerInfo {
                    id: *id,
                    name: name.clone(),
                    label: Bytes::new(),
                };
                table.channels.insert(*client, Entry::home(Some(peer)));
                None
            }
            CoordinatorEvent::Channel { channel, event } => Some((*channel, event.clone())),
            CoordinatorEvent::ClientAsks { .. }
            | CoordinatorEvent::PairAsks { .. }
            | CoordinatorEvent::PairStarted { .. }
            | CoordinatorEvent::PairClosed { .. }
            | _ => None,
        };
        if matches!(inside, None | Some((_, ChannelEvent::Closed { .. }))) {
            if self.events.len() == MAX_EVENTS {
                self.events.pop_front();
            }
            self.events.push_back(event);
            table.wake(Interest::News);
        }
        inside
    }
}

fn poll_event(state: &mut State<CoordinatorRole>) -> Poll<Option<CoordinatorEvent>> {
    match state.role.events.pop_front() {
        Some(event) => Poll::Ready(Some(event)),
        None if state.table.ended => Poll::Ready(None),
        None => Poll::Pending,
    }
}

/// How many events may wait for the application.
const MAX_EVENTS: usize = 1 << 16;
