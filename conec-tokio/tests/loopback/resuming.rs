//! Clients that outlive their Coordinator.

use std::{net::SocketAddr, thread, time::Duration};

use conec_tokio::{
    Certificate, Client, ClientConfig, ClientState, Code, Coordinator, CoordinatorConfig, Identity,
    PathPolicy, Trust,
};
use tokio::{runtime, sync::oneshot, time::sleep};

use crate::{message, pair_of, round_trip, uni};

/// A Coordinator that ends without a word: nobody is left to say one.
struct Mortal {
    address: SocketAddr,
    kill: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Mortal {
    async fn start(certificate: &Certificate, port: u16) -> Self {
        let (kill, killed) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let config = CoordinatorConfig::new(certificate.clone());
        let thread = thread::spawn(move || {
            let mut builder = runtime::Builder::new_current_thread();
            builder.enable_all().build().unwrap().block_on(async {
                let at = format!("127.0.0.1:{port}");
                let coordinator = Coordinator::bind(&at, config).await.unwrap();
                tell.send(coordinator.local_addr()).unwrap();
                killed.await.unwrap();
            });
        });
        Self {
            address: told.await.unwrap(),
            kill,
            thread,
        }
    }

    fn kill(self) {
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

async fn client(certificate: &Certificate, at: SocketAddr) -> Client {
    let identity = Identity::generate().unwrap();
    let mut config = ClientConfig::new(identity, Trust::Pin(certificate.pin()));
    config.reconnect = true;
    config.paths.policy = PathPolicy::ProxiedOnly;
    Client::connect_to("localhost", &[at], config)
        .await
        .unwrap()
}

/// A Coordinator, what it takes to start another one, and two Clients.
async fn world() -> (Certificate, Mortal, [Client; 2]) {
    let certificate = Certificate::self_signed(["localhost"]).unwrap();
    let coordinator = Mortal::start(&certificate, 0).await;
    let at = coordinator.address;
    let clients = [
        client(&certificate, at).await,
        client(&certificate, at).await,
    ];
    (certificate, coordinator, clients)
}

/// Says something to the Coordinator, and waits until it is missed.
async fn is_missed(client: &Client) {
    let mut sender = client.home().open_uni("anybody?").await.unwrap();
    sender.send("hello".into()).await.unwrap();
    while !matches!(client.state(), ClientState::Reconnecting { .. }) {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("hangs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_goes_on_when_the_coordinator_is_killed_and_started_anew() {
    within(async {
        let (certificate, coordinator, [alice, bob]) = world().await;
        let at = coordinator.address;
        assert_eq!(alice.state(), ClientState::Connected);
        let (to_bob, to_alice) = pair_of(&alice, &bob).await;
        let (mut sender, mut receiver) = uni(&to_bob, &to_alice).await;
        let sending = tokio::spawn(async move {
            for number in 0..200 {
                sender.send(message(number)).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
            sender.finish().unwrap();
        });
        for number in 0..50 {
            assert_eq!(receiver.recv().await, Ok(Some(message(number))));
        }
        let former = alice.home();
        coordinator.kill();
        sleep(Duration::from_millis(500)).await;
        let coordinator = Mortal::start(&certificate, at.port()).await;
        for number in 50..200 {
            assert_eq!(receiver.recv().await, Ok(Some(message(number))));
        }
        assert_eq!(receiver.recv().await, Ok(None));
        sending.await.unwrap();
        // Whoever waits for a home channel has the present one.
        alice.connected().await.unwrap();
        bob.connected().await.unwrap();
        former.closed().await;
        assert!(former.open_uni("").await.is_err());
        assert_ne!(alice.home().id(), former.id());
        alice.home().open_uni("").await.unwrap();
        round_trip(&to_bob, &to_alice).await;
        let (again, accepted) = pair_of(&alice, &bob).await;
        round_trip(&again, &accepted).await;
        coordinator.kill();
    })
    .await;
}

#[tokio::test]
async fn who_looks_for_a_coordinator_can_open_channels_and_end() {
    within(async {
        let (certificate, coordinator, [alice, bob]) = world().await;
        let at = coordinator.address;
        coordinator.kill();
        is_missed(&alice).await;
        let (alices, own_id) = (alice.clone(), alice.id());
        let opening = tokio::spawn(async move { alices.open(own_id, "to oneself").await });
        let coordinator = Mortal::start(&certificate, at.port()).await;
        let accepted = alice.accept().await.unwrap().accept().await.unwrap();
        let opened = opening.await.unwrap().unwrap();
        round_trip(&opened, &accepted).await;
        bob.connected().await.unwrap();
        coordinator.kill();
        is_missed(&bob).await;
        let reason = conec_tokio::CloseReason::Local;
        bob.abort(Code(1));
        assert_eq!(bob.closed().await, reason);
        assert_eq!(bob.state(), ClientState::Ended { reason });
        assert!(bob.accept().await.is_none());
        assert!(bob.connected().await.is_err());
        alice.close(Duration::from_secs(1)).await;
    })
    .await;
}
