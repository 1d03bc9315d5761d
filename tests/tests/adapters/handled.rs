//! Endpoints with handles, driven by a task of tokio's or by a thread: what is the same with both is tested with both.

use std::net::SocketAddr;

use conec_core::{
    Certificate, ChannelEvent, ChannelId, ClientConfig, CloseReason, ConfigError,
    CoordinatorConfig, CoordinatorEvent, ErrorCode, Identity, RecvEnd, SendEnd, Trust,
};
use conec_driver::{
    BindError, Channel, Client, ConnectError, Coordinator, OpenError, Receiver, Sender, Socket,
};
use conec_mio::blocking;

use crate::{Kind, PATIENCE, client_config, coordinator_config, coordinators::runtime, within};

/// Those that have handles.
const HANDLED: [Kind; 2] = [Kind::Tokio, Kind::Blocking];

#[test]
fn a_client_is_who_it_says() {
    each(|kind| async move {
        let coordinator = bind_any(kind).await;
        let mut config = client_config(coordinator.pin());
        config.name = Some("alice".parse().unwrap());
        let (id, name) = (config.identity.id(), config.name.clone());
        let at = format!("localhost:{}", coordinator.local_addr().port());
        let alice = connect(kind, &at, config).await.unwrap();
        assert_eq!((alice.id(), alice.name()), (id, name.clone()));
        assert!(alice.observed_address().unwrap().ip().is_loopback());
        assert_eq!(alice.home().peer(), None);
        assert!(alice.home().rtt().is_some());

        let event = coordinator.next_event().await.unwrap();
        let CoordinatorEvent::ClientConnected {
            client,
            id: connected,
            name: granted,
            address,
        } = event
        else {
            panic!("{event:?}");
        };
        assert_eq!((connected, &granted), (id, &name));
        assert_eq!(Some(address), alice.observed_address());
        assert_eq!(coordinator.find(id), Some(client));
        assert_eq!(coordinator.find(name.unwrap()), Some(client));
        assert_eq!(coordinator.clients(), 1);
        let home = coordinator.channel(client).unwrap();
        assert_eq!(home.peer().unwrap().id, id);
        let mut to_alice = home.open_uni("a word").await.unwrap();
        to_alice.send("with you".into()).await.unwrap();
        let mut stream = alice.home().accept().await.unwrap();
        assert_eq!(stream.receiver.recv().await, Ok(Some("with you".into())));
        to_alice.finish().unwrap();
        assert_eq!(stream.receiver.recv().await, Ok(None));
        drop((to_alice, home));

        alice.close(PATIENCE).await;
        assert_eq!(alice.closed().await, CloseReason::Local);
        let gone = coordinator.next_event().await;
        assert!(is_end_of(client, &gone), "{gone:?}");
        assert_eq!(coordinator.clients(), 0);
        assert!(coordinator.channel(client).is_none());

        // The other way round.
        let bob = join(kind, &coordinator).await;
        let event = coordinator.next_event().await;
        let Some(CoordinatorEvent::ClientConnected { client, .. }) = event else {
            panic!("{event:?}");
        };
        coordinator.close(PATIENCE).await;
        assert_eq!(bob.closed().await, CloseReason::Remote(ErrorCode::None));
        assert!(bob.accept().await.is_none());
        let gone = coordinator.next_event().await;
        assert!(is_end_of(client, &gone), "{gone:?}");
        assert_eq!(coordinator.next_event().await, None);
    });
}

#[test]
fn connecting_fails_for_a_reason() {
    each(|kind| async move {
        let coordinator = bind_any(kind).await;
        let at = coordinator.local_addr().to_string();
        let mut config = client_config(coordinator.pin());
        config.name = Some("alice".parse().unwrap());
        let _alice = connect(kind, &at, config.clone()).await.unwrap();
        config.identity = Identity::generate().unwrap();
        let taken = connect(kind, &at, config).await.unwrap_err();
        let in_use = CloseReason::Remote(ErrorCode::NameInUse);
        assert!(matches!(taken, ConnectError::Closed(reason) if reason == in_use));

        let another = Certificate::self_signed(["localhost"]).unwrap();
        let identity = Identity::generate().unwrap();
        let mut config = ClientConfig::new(identity, Trust::Pin(another.pin()));
        let stranger = connect(kind, &at, config.clone()).await.unwrap_err();
        let expected = CloseReason::Identity;
        assert!(matches!(stranger, ConnectError::Closed(reason) if reason == expected));
        for nonsense in ["localhost", "localhost:port", "no.such.host.invalid:1"] {
            let unresolved = connect(kind, nonsense, config.clone()).await.unwrap_err();
            assert!(matches!(unresolved, ConnectError::Resolve { .. }));
        }
        let nowhere = connect_over(kind, Socket::any().unwrap(), &[], config.clone()).await;
        let nowhere = nowhere.unwrap_err();
        assert!(matches!(nowhere, ConnectError::Address(_)), "{nowhere}");
        config.token = vec![0; 5000].into();
        let invalid = connect(kind, &at, config).await.unwrap_err();
        let range = matches!(
            invalid,
            ConnectError::Bind(BindError::Config(ConfigError::OutOfRange(..)))
        );
        assert!(range, "{invalid}");
        let occupied = match kind {
            Kind::Tokio => conec_tokio::Coordinator::bind(&at, coordinator_config())
                .await
                .map(drop),
            _ => blocking::Coordinator::bind(&at, coordinator_config()).map(drop),
        };
        assert!(matches!(occupied, Err(BindError::Io(_))), "{occupied:?}");
    });
}

#[test]
fn a_closed_coordinator_has_freed_its_port() {
    each(|kind| async move {
        let mut coordinator = bind_any(kind).await;
        for _ in 0..20 {
            let client = join(kind, &coordinator).await;
            let address = coordinator.local_addr();
            coordinator.close(PATIENCE).await;
            assert_eq!(client.closed().await, CloseReason::Remote(ErrorCode::None));
            let socket = Socket::bind(address).unwrap();
            coordinator = bind(kind, socket, coordinator_config()).await.unwrap();
        }
    });
}

#[test]
fn dropping_says_what_it_must() {
    each(|kind| async move {
        let world = World::new(kind).await;
        let dropped = ErrorCode::Dropped;
        // A sender that was not finished is no clean end.
        let (mut sender, mut receiver) = world.uni().await;
        sender.send("half of it".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("half of it".into())));
        drop(sender);
        assert_eq!(receiver.recv().await, Err(RecvEnd::Refused(dropped).into()));
        // One that was, is.
        let (mut sender, mut receiver) = world.uni().await;
        sender.send("all of it".into()).await.unwrap();
        sender.finish().unwrap();
        drop(sender);
        assert_eq!(receiver.recv().await, Ok(Some("all of it".into())));
        assert_eq!(receiver.recv().await, Ok(None));
        // A receiver stops the sender.
        let (mut sender, receiver) = world.uni().await;
        drop(receiver);
        assert_eq!(sender.finished().await, SendEnd::Refused(dropped));
        drop(sender);
        // An offer is rejected.
        let (opened, ()) = tokio::join!(world.alice.open(world.bob.id(), ""), async {
            drop(world.bob.accept().await.unwrap());
        });
        let refused = opened.unwrap_err();
        assert!(matches!(refused, OpenError::Closed(CloseReason::Remote(_))));

        // Halves keep their channel, with or without a handle to it.
        let (mut sender, mut receiver) = world.uni().await;
        let (second, at_bob) = pair(&world.alice, &world.bob).await;
        let mut kept = second.open_uni("kept").await.unwrap();
        drop(second);
        kept.send("still open".into()).await.unwrap();
        let mut stream = at_bob.accept().await.unwrap();
        assert_eq!(stream.receiver.recv().await, Ok(Some("still open".into())));
        // The last one that is dropped closes it, gracefully: what was finished arrives.
        kept.send("goodbye".into()).await.unwrap();
        kept.finish().unwrap();
        drop(kept);
        assert_eq!(stream.receiver.recv().await, Ok(Some("goodbye".into())));
        assert_eq!(stream.receiver.recv().await, Ok(None));
        let closed = CloseReason::Remote(ErrorCode::None);
        assert_eq!(at_bob.closed().await, closed);
        assert!(at_bob.accept().await.is_none());
        assert_eq!(at_bob.recv_datagram().await, None);
        // The others were not affected.
        sender.send("fine".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("fine".into())));
        round_trip(&world.a, &world.b).await;

        // A Client, and a Coordinator.
        let home = world.coordinator.find(world.alice.id()).unwrap();
        let home = world.coordinator.channel(home).unwrap();
        drop((sender, world.a, world.alice));
        assert_eq!(home.closed().await, closed);
        drop((world.coordinator, home));
        assert_eq!(world.bob.closed().await, closed);
    });
}

/// A Coordinator and two Clients with a channel between them.
struct World {
    coordinator: Coordinator,
    alice: Client,
    bob: Client,
    a: Channel,
    b: Channel,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let coordinator = bind_any(kind).await;
        let alice = join(kind, &coordinator).await;
        let bob = join(kind, &coordinator).await;
        let (a, b) = pair(&alice, &bob).await;
        Self {
            coordinator,
            alice,
            bob,
            a,
            b,
        }
    }

    async fn uni(&self) -> (Sender, Receiver) {
        let sender = self.a.open_uni("").await.unwrap();
        (sender, self.b.accept().await.unwrap().receiver)
    }
}

async fn pair(alice: &Client, bob: &Client) -> (Channel, Channel) {
    let accepting = async { bob.accept().await.unwrap().accept().await };
    let (a, b) = tokio::join!(alice.open(bob.id(), ""), accepting);
    (a.unwrap(), b.unwrap())
}

async fn round_trip(from: &Channel, to: &Channel) {
    let (mut sender, mut receiver) = from.open_bi("").await.unwrap();
    sender.send("there".into()).await.unwrap();
    let mut stream = to.accept().await.unwrap();
    assert_eq!(stream.receiver.recv().await, Ok(Some("there".into())));
    let mut back = stream.sender.unwrap();
    back.send("and back".into()).await.unwrap();
    assert_eq!(receiver.recv().await, Ok(Some("and back".into())));
}

fn is_end_of(client: ChannelId, event: &Option<CoordinatorEvent>) -> bool {
    let closed = |event: &_| matches!(event, ChannelEvent::Closed { .. });
    matches!(event, Some(CoordinatorEvent::Channel { channel, event })
        if *channel == client && closed(event))
}

/// Runs a test with each of them, and fails instead of hanging.
pub(crate) fn each<F: Future<Output = ()>>(test: impl Fn(Kind) -> F + Copy + Send + 'static) {
    for kind in HANDLED {
        within(move || runtime().block_on(test(kind)));
    }
}

pub(crate) async fn bind(
    kind: Kind,
    socket: Socket,
    config: CoordinatorConfig,
) -> Result<Coordinator, BindError> {
    Ok(match kind {
        Kind::Tokio => (*conec_tokio::Coordinator::over(socket, config)?).clone(),
        Kind::Blocking => (*blocking::Coordinator::over(socket, config)?).clone(),
        Kind::Mio | Kind::Custom => unreachable!("{kind:?} has no handles"),
    })
}

pub(crate) async fn connect_over(
    kind: Kind,
    socket: Socket,
    to: &[SocketAddr],
    config: ClientConfig,
) -> Result<Client, ConnectError> {
    let host = "localhost";
    Ok(match kind {
        Kind::Tokio => {
            let connecting = conec_tokio::Client::connect_over(socket, host, to, config);
            (*connecting.await?).clone()
        }
        Kind::Blocking => (*blocking::Client::connect_over(socket, host, to, config)?).clone(),
        Kind::Mio | Kind::Custom => unreachable!("{kind:?} has no handles"),
    })
}

async fn connect(kind: Kind, to: &str, config: ClientConfig) -> Result<Client, ConnectError> {
    Ok(match kind {
        Kind::Tokio => (*conec_tokio::Client::connect(to, config).await?).clone(),
        Kind::Blocking => (*blocking::Client::connect(to, config)?).clone(),
        Kind::Mio | Kind::Custom => unreachable!("{kind:?} has no handles"),
    })
}

pub(crate) async fn bind_any(kind: Kind) -> Coordinator {
    let socket = Socket::bind(([127, 0, 0, 1], 0).into()).unwrap();
    bind(kind, socket, coordinator_config()).await.unwrap()
}

async fn join(kind: Kind, coordinator: &Coordinator) -> Client {
    let (to, config) = ([coordinator.local_addr()], client_config(coordinator.pin()));
    let socket = Socket::any().unwrap();
    connect_over(kind, socket, &to, config).await.unwrap()
}
