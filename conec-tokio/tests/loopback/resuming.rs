//! Clients that outlive their Coordinator.

use std::{
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use conec_driver::Lookup;
use conec_tokio::{
    Certificate, Client, ClientConfig, ClientState, Code, ConnectError, Coordinator,
    CoordinatorConfig, Identity, PathPolicy, Socket, Trust, drive,
};
use tokio::{runtime, sync::oneshot, time::sleep};

use crate::{message, pair_of, round_trip, uni};

/// A Coordinator that ends without a word: nobody is left to say one.
pub(crate) struct Mortal {
    pub(crate) address: SocketAddr,
    kill: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Mortal {
    pub(crate) async fn start(certificate: &Certificate, port: u16) -> Self {
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

    pub(crate) fn kill(self) {
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn client_config(certificate: &Certificate) -> ClientConfig {
    let identity = Identity::generate().unwrap();
    let mut config = ClientConfig::new(identity, Trust::Pin(certificate.pin()));
    config.paths.policy = PathPolicy::ProxiedOnly;
    config
}

async fn client(certificate: &Certificate, at: SocketAddr) -> Client {
    let config = client_config(certificate);
    Client::connect_to("localhost", &[at], config)
        .await
        .unwrap()
}

/// A Coordinator, what it takes to start another one, and two Clients.
pub(crate) async fn world() -> (Certificate, Mortal, [Client; 2]) {
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

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
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

#[tokio::test]
async fn who_knows_several_coordinators_goes_over_to_another_one() {
    within(async {
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let first = Mortal::start(&certificate, 0).await;
        let second = Mortal::start(&certificate, 0).await;
        let names = [first.address, second.address].map(|it| it.to_string());
        let names = [&names[0][..], &names[1], "nowhere.invalid:4433"];
        let connect = || Client::connect_to_any(&names, client_config(&certificate));
        let (alice, bob) = (connect().await.unwrap(), connect().await.unwrap());
        let (to_bob, to_alice) = pair_of(&alice, &bob).await;
        round_trip(&to_bob, &to_alice).await;
        first.kill();
        round_trip(&to_bob, &to_alice).await;
        alice.connected().await.unwrap();
        bob.connected().await.unwrap();
        second.kill();
    })
    .await;
}

#[tokio::test]
async fn a_coordinator_that_has_moved_is_found_where_its_name_leads() {
    within(async {
        let certificate = Certificate::self_signed(["conec.test"]).unwrap();
        let coordinator = Mortal::start(&certificate, 0).await;
        let at = Arc::new(Mutex::new(coordinator.address));
        let resolve = {
            let at = Arc::clone(&at);
            move |name: String| {
                assert_eq!(name, "conec.test:4433");
                ready(Ok([*at.lock().unwrap()].into_iter()))
            }
        };
        let lookup = Lookup::of(&["conec.test:4433"], resolve.clone())
            .await
            .unwrap();
        let (client, driver, sockets) = conec_driver::Client::start(
            Socket::any().unwrap(),
            &lookup.places(),
            client_config(&certificate),
            || tokio::time::Instant::now().into_std(),
        )
        .unwrap();
        tokio::spawn(drive(driver, sockets).unwrap());
        client.connected().await.unwrap();
        let keeping_up = tokio::spawn(lookup.keep_up(&client, resolve));

        let elsewhere = Mortal::start(&certificate, 0).await;
        coordinator.kill();
        *at.lock().unwrap() = elsewhere.address;
        let mut sender = client.home().open_uni("anybody?").await.unwrap();
        sender.send("hello".into()).await.unwrap();
        let state = client.state_other_than(ClientState::Connected).await;
        assert!(
            matches!(state, ClientState::Reconnecting { .. }),
            "{state:?}"
        );
        client.connected().await.unwrap();
        // Nothing of that outlives the Client.
        drop((sender, client));
        keeping_up.await.unwrap();
        elsewhere.kill();
    })
    .await;
}

#[tokio::test]
async fn names_of_which_none_is_found_are_an_error_at_once() {
    let certificate = Certificate::self_signed(["localhost"]).unwrap();
    for names in [
        &["nowhere.invalid:4433", "localhost"][..],
        &["nowhere.invalid:4433"],
        &[],
    ] {
        let connected = Client::connect_to_any(names, client_config(&certificate)).await;
        let error = connected.unwrap_err();
        match names.len() {
            0 => assert!(matches!(error, ConnectError::Address(_)), "{error:?}"),
            _ => assert!(matches!(error, ConnectError::Resolve { .. }), "{error:?}"),
        }
    }
}

/// A Client that ends as its Coordinators do.
async fn mortal_client(certificate: &Certificate, at: SocketAddr) -> (Client, oneshot::Sender<()>) {
    let (kill, killed) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let certificate = certificate.clone();
    thread::spawn(move || {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let client = client(&certificate, at).await;
            let _ = tell.send(client);
            let _ = killed.await;
        });
    });
    (told.await.unwrap(), kill)
}

#[tokio::test]
async fn a_client_that_was_killed_is_missed_soon() {
    within(async {
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let coordinator = Mortal::start(&certificate, 0).await;
        let alice = client(&certificate, coordinator.address).await;
        let (bob, kill) = mortal_client(&certificate, coordinator.address).await;
        let (to_bob, to_alice) = pair_of(&alice, &bob).await;
        round_trip(&to_bob, &to_alice).await;
        assert!(!to_bob.is_silent());
        to_bob.audible().await.unwrap();
        kill.send(()).unwrap();
        let mut sender = to_bob.open_uni("").await.unwrap();
        sender.send("anybody?".into()).await.unwrap();
        let missed = tokio::time::timeout(Duration::from_secs(3), to_bob.silent()).await;
        missed.expect("in time").unwrap();
        assert!(to_bob.is_silent());
        alice.abort(Code(0));
        assert!(to_bob.silent().await.is_err() && to_bob.audible().await.is_err());
        coordinator.kill();
    })
    .await;
}
