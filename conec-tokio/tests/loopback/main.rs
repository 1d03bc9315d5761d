//! The adapter over real sockets: what the core cannot be asked about, because it has neither sockets nor tasks.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for some events only"
)]

mod bytewise;
mod calls;
mod channels;
mod connecting;
mod credentials;
mod ending;
mod giving_up;
mod groups;
mod introducing;
mod known;
mod resuming;
mod rules;
mod streams;
#[cfg(all(feature = "postcard", feature = "serde_json"))]
mod typed;

use std::{
    future::Future,
    net::SocketAddr,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use conec_tokio::{
    ByteReader, ByteStream, ByteWriter, Certificate, Channel, Client, ClientConfig, Coordinator,
    CoordinatorConfig, Group, Identity, JoinConfig, Name, Offer, Receiver, Sender, Subscription,
    Trust,
};

/// Far more than anything here takes, unless it hangs.
const LIMIT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn handles_can_be_sent_and_shared() {
    fn is<T: Send + Sync + Unpin + 'static>() {}
    is::<Client>();
    is::<Coordinator>();
    is::<Channel>();
    is::<Offer>();
    is::<Sender>();
    is::<Receiver>();
    is::<ByteReader>();
    is::<ByteWriter>();
    is::<ByteStream>();
    #[cfg(feature = "postcard")]
    is::<conec_tokio::typed::TypedSender<u8, conec_tokio::typed::Postcard>>();
    #[cfg(feature = "postcard")]
    is::<conec_tokio::typed::TypedReceiver<u8, conec_tokio::typed::Postcard>>();
    is::<Group>();
    is::<Subscription>();
    fn future<T: Send>(_: &T) {}
    let _ = |client: &Client, group: &Group, subscription: &mut Subscription| {
        future(&client.join(name("room"), JoinConfig::default()));
        future(&group.publish("message"));
        future(&group.recv());
        future(&subscription.recv());
    };
    let _ = |client: &Client, channel: &Channel, sender: &mut Sender, receiver: &mut Receiver| {
        future(&client.accept());
        future(&client.open(client.id(), "label"));
        future(&client.introduce(client.id(), client.id(), "label"));
        future(&channel.open_bi("label"));
        future(&channel.call("label", Bytes::new()));
        future(&channel.close(PATIENCE));
        future(&sender.send(Bytes::new()));
        future(&receiver.recv());
    };
}

/// A Coordinator and two Clients with a channel between them.
struct World {
    coordinator: Coordinator,
    alice_client: Client,
    bob_client: Client,
    alice: Channel,
    bob: Channel,
}

impl World {
    async fn new() -> Self {
        let coordinator = coordinator().await;
        let alice_client = client(&coordinator, "alice").await;
        let bob_client = client(&coordinator, "bob").await;
        let (alice, bob) = pair_of(&alice_client, &bob_client).await;
        Self {
            coordinator,
            alice_client,
            bob_client,
            alice,
            bob,
        }
    }

    async fn uni(&self) -> (Sender, Receiver) {
        uni(&self.alice, &self.bob).await
    }

    async fn bi(&self) -> (Sender, Receiver, conec_tokio::IncomingStream) {
        let (sender, receiver) = self.alice.open_bi("bi").await.unwrap();
        (sender, receiver, self.bob.accept().await.unwrap())
    }
}

async fn uni(from: &Channel, to: &Channel) -> (Sender, Receiver) {
    let sender = from.open_uni("uni").await.unwrap();
    (sender, to.accept().await.unwrap().receiver)
}

async fn coordinator() -> Coordinator {
    let certificate = Certificate::self_signed(["localhost"]).unwrap();
    Coordinator::bind("127.0.0.1:0", CoordinatorConfig::new(certificate))
        .await
        .unwrap()
}

fn config(coordinator: &Coordinator, as_: &str) -> ClientConfig {
    let identity = Identity::generate().unwrap();
    let mut config = ClientConfig::new(identity, Trust::Pin(coordinator.pin()));
    config.name = Some(name(as_));
    config
}

async fn client(coordinator: &Coordinator, as_: &str) -> Client {
    let at: SocketAddr = coordinator.local_addr();
    Client::connect_to("localhost", &[at], config(coordinator, as_))
        .await
        .unwrap()
}

async fn offer(client: &Client) -> Offer {
    client.accept().await.unwrap()
}

async fn accept(client: &Client) -> Channel {
    offer(client).await.accept().await.unwrap()
}

async fn pair_of(a: &Client, b: &Client) -> (Channel, Channel) {
    let (opened, accepted) = tokio::join!(a.open(b.id(), "pair"), accept(b));
    (opened.unwrap(), accepted)
}

async fn round_trip(from: &Channel, to: &Channel) {
    let (mut sender, mut receiver) = from.open_bi("round trip").await.unwrap();
    sender.send("there".into()).await.unwrap();
    let mut stream = to.accept().await.unwrap();
    let there = stream.receiver.recv().await.unwrap().unwrap();
    assert_eq!(there, "there");
    let mut back = stream.sender.unwrap();
    back.send("and back".into()).await.unwrap();
    assert_eq!(receiver.recv().await, Ok(Some("and back".into())));
    sender.finish().unwrap();
    back.finish().unwrap();
    assert_eq!(receiver.recv().await, Ok(None));
    assert_eq!(stream.receiver.recv().await, Ok(None));
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// Messages that differ, mostly small ones.
fn message(at: usize) -> Bytes {
    let len = if at % 100 == 99 { 1100 } else { 20 + at % 7 };
    format!("{at:0len$}").into()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("hangs")
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
