//! What ends, and who hears of it.

use std::time::Duration;

use bytes::Bytes;
use conec_tokio::{
    Client, CloseReason, Coordinator, CoordinatorEvent, ErrorCode, OpenChannelError, OpenError,
    SendEnd, SendError,
};
use futures_util::StreamExt;

use crate::{PATIENCE, World, client, config, coordinator, name, pair_of, round_trip, uni, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_handle_closes_the_endpoint() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        let World {
            coordinator,
            alice_client,
            bob_client,
            alice,
            bob,
        } = world;
        drop((alice_client, alice));
        // A sender alone keeps the Client.
        sender.send("last".into()).await.unwrap();
        sender.finish().unwrap();
        assert_eq!(sender.finished().await, SendEnd::Finished);
        drop(sender);
        assert_eq!(receiver.recv().await, Ok(Some("last".into())));
        assert_eq!(receiver.recv().await, Ok(None));
        assert_eq!(bob.closed().await, CloseReason::Remote(ErrorCode::None));
        while coordinator.clients() > 1 {
            coordinator.next_event().await.unwrap();
        }
        drop((bob, receiver));
        // The Coordinator is held by events and home channels as well.
        let home = coordinator
            .channel(coordinator.find(bob_client.id()).unwrap())
            .unwrap();
        drop(coordinator);
        round_trip(&bob_client.home(), &home).await;
        drop(home);
        assert_eq!(
            bob_client.closed().await,
            CloseReason::Remote(ErrorCode::None)
        );
        assert!(bob_client.accept().await.is_none());
        assert!(bob_client.open(bob_client.id(), "").await.is_err());
        bob_client.close(PATIENCE).await;
    })
    .await;
}

/// Whoever waits for what comes next, or has an offer to answer, wants what it comes from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_what_comes_and_offers_keep_it_open() {
    within(async {
        let World {
            coordinator,
            alice_client,
            bob_client,
            alice,
            bob,
        } = World::new().await;
        let bobs_id = bob_client.id();
        let mut events = coordinator.events();
        let mut offers = bob_client.incoming();
        let mut streams = bob.incoming();
        drop((coordinator, bob_client, bob));

        let _kept = alice.open_uni("still there").await.unwrap();
        let stream = streams.next().await.unwrap();
        assert_eq!(&stream.label[..], b"still there");
        drop((stream, streams));
        assert_eq!(alice.closed().await, CloseReason::Remote(ErrorCode::None));

        let (opened, accepted) = tokio::join!(alice_client.open(bobs_id, ""), async {
            let offer = offers.next().await.unwrap();
            drop(offers);
            offer.accept().await.unwrap()
        });
        round_trip(&opened.unwrap(), &accepted).await;
        drop(accepted);
        while !matches!(events.next().await, Some(CoordinatorEvent::Channel { .. })) {}

        drop(events);
        let reason = alice_client.closed().await;
        assert_eq!(reason, CloseReason::Remote(ErrorCode::None));
    })
    .await;
}

/// Its task goes with the runtime that it was made in; handles can live elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_its_runtime_says_so() {
    within(async {
        let coordinator = coordinator().await;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let connect = {
            let coordinator = coordinator.clone();
            async move { client(&coordinator, "alice").await }
        };
        let alice = runtime.spawn(connect).await.unwrap();
        let mut sender = alice.home().open_uni("").await.unwrap();
        runtime.shutdown_background();
        assert_eq!(alice.closed().await, CloseReason::Local);
        let opened = alice.open(alice.id(), "").await;
        assert_eq!(
            opened.unwrap_err(),
            OpenError::Refused(OpenChannelError::NotConnected)
        );
        assert!(alice.accept().await.is_none());
        assert!(alice.home().open_uni("").await.is_err());
        let end = SendEnd::Closed(CloseReason::Local);
        assert_eq!(sender.send("x".into()).await, Err(SendError::Ended(end)));
        alice.close(PATIENCE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinators_death_is_noticed_by_all_who_wait() {
    within(async {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let coordinator = runtime.spawn(coordinator()).await.unwrap();
        let alice = fragile(&coordinator, "alice").await;
        let bob = fragile(&coordinator, "bob").await;
        let (a, b) = pair_of(&alice, &bob).await;
        let home = coordinator
            .channel(coordinator.find(alice.id()).unwrap())
            .unwrap();
        let mut to_alice = home.open_uni("").await.unwrap();
        let (mut sender, mut receiver) = uni(&a, &b).await;
        let waiting = tokio::spawn(async move {
            let full = async {
                while sender.send(Bytes::from(vec![0; 1 << 20])).await.is_ok() {}
                sender.finished().await
            };
            let (sent, stream, datagram, offer, closed, home) = tokio::join!(
                full,
                b.accept(),
                b.recv_datagram(),
                bob.accept(),
                a.closed(),
                bob.closed(),
            );
            assert!(matches!(sent, SendEnd::Closed(_)), "{sent}");
            assert!(stream.is_none() && datagram.is_none() && offer.is_none());
            for reason in [closed, home] {
                assert!(
                    matches!(reason, CloseReason::TimedOut | CloseReason::CoordinatorLost),
                    "{reason}"
                );
            }
            while let Ok(message) = receiver.recv().await {
                assert!(message.is_some());
            }
        });
        // No goodbye: its task is gone, and the socket with it.
        tokio::task::block_in_place(|| drop(runtime));
        // Whoever still holds it hears of it at once.
        assert_eq!(home.closed().await, CloseReason::Local);
        assert_eq!(
            to_alice.finished().await,
            SendEnd::Closed(CloseReason::Local)
        );
        assert_eq!(
            to_alice.send("anybody?".into()).await,
            Err(SendError::Ended(SendEnd::Closed(CloseReason::Local)))
        );
        assert!(home.open_uni("").await.is_err());
        assert!(home.accept().await.is_none());
        while coordinator.next_event().await.is_some() {}
        coordinator.close(PATIENCE).await;
        waiting.await.unwrap();
        assert!(matches!(
            alice.closed().await,
            CloseReason::TimedOut | CloseReason::Reset
        ));
        let refused = alice.open(name("bob"), "").await.unwrap_err();
        assert!(matches!(refused, OpenError::Refused(_)), "{refused}");
    })
    .await;
}

/// A Client that notices soon when nobody is there any more.
async fn fragile(coordinator: &Coordinator, as_: &str) -> Client {
    let mut config = config(coordinator, as_);
    config.reconnect = false;
    for channel in [&mut config.home, &mut config.peer] {
        channel.idle_timeout = Duration::from_secs(1);
        channel.keep_alive = Some(Duration::from_millis(300));
    }
    Client::connect_to("localhost", &[coordinator.local_addr()], config)
        .await
        .unwrap()
}
