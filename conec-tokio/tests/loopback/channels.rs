//! Channels come about, or do not.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use conec_tokio::{
    Certificate, Client, CloseReason, Code, ConnectError, Coordinator, CoordinatorConfig,
    CoordinatorEvent, ErrorCode, OpenError, Policy, SendDatagramError,
};
use futures_util::StreamExt;

use crate::{
    PATIENCE, World, accept, client, config, coordinator, message, name, offer, pair_of, poll_once,
    round_trip, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_open_by_name_and_by_id() {
    within(async {
        let coordinator = coordinator().await;
        let (alice, bob) = (
            client(&coordinator, "alice").await,
            client(&coordinator, "bob").await,
        );
        for by_id in [false, true] {
            let target = if by_id {
                bob.id().into()
            } else {
                conec_tokio::Target::from(name("bob"))
            };
            let (opened, accepted) = tokio::join!(alice.open(target, "for a chat"), accept(&bob));
            let (opened, accepted) = (opened.unwrap(), accepted);
            assert_eq!(opened.peer().unwrap().id, bob.id());
            let peer = accepted.peer().unwrap();
            assert_eq!(peer.id, alice.id());
            assert_eq!(peer.name, Some(name("alice")));
            assert_eq!(&peer.label[..], b"for a chat");
            assert!(opened.rtt().is_some());
        }
        let unknown = alice.open(name("carol"), "").await.unwrap_err();
        assert_eq!(
            unknown,
            OpenError::Closed(CloseReason::Remote(ErrorCode::NotFound))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_are_rejected_by_word_and_by_dropping_them() {
    within(async {
        let coordinator = coordinator().await;
        let (alice, bob) = (
            client(&coordinator, "alice").await,
            client(&coordinator, "bob").await,
        );
        let (opened, ()) = tokio::join!(alice.open(bob.id(), ""), async {
            offer(&bob).await.reject(Code(7));
        });
        assert_eq!(
            opened.unwrap_err(),
            OpenError::Closed(CloseReason::Application(Code(7)))
        );
        let (opened, ()) = tokio::join!(alice.open(bob.id(), ""), async {
            drop(offer(&bob).await);
        });
        assert!(
            matches!(opened, Err(OpenError::Closed(CloseReason::Remote(_)))),
            "{opened:?}"
        );
        // And the other way round: an offer that was given up is gone, or says so.
        {
            let mut opening = pin!(alice.open(bob.id(), ""));
            assert!(poll_once(opening.as_mut()).is_pending());
            let offer = tokio::select! {
                _ = opening => unreachable!("nobody has accepted"),
                offer = offer(&bob) => offer,
            };
            assert_eq!(offer.peer().unwrap().id, alice.id());
            // Alice's call is dropped here, with the offer at hand.
            drop(tokio::spawn(async move { drop(offer.accept().await) }));
        }
        let (_, _) = pair_of(&alice, &bob).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_is_left_alone_expires() {
    within(async {
        let coordinator = coordinator().await;
        let alice = client(&coordinator, "alice").await;
        let mut config = config(&coordinator, "bob");
        config.limits.answer_timeout = Duration::from_millis(100);
        let at = coordinator.local_addr().to_string();
        let bob = Client::connect(&at, config).await.unwrap();
        let (opened, offer) = tokio::join!(alice.open(bob.id(), ""), offer(&bob));
        let refused = opened.unwrap_err();
        assert!(matches!(refused, OpenError::Closed(_)), "{refused}");
        assert_eq!(offer.peer().unwrap().id, alice.id());
        assert!(offer.accept().await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_can_be_accepted_automatically() {
    within(async {
        let coordinator = coordinator().await;
        let alice = client(&coordinator, "alice").await;
        let mut config = config(&coordinator, "bob");
        config.auto_accept = true;
        let at = coordinator.local_addr().to_string();
        let bob = Client::connect(&at, config).await.unwrap();
        let opened = alice.open(bob.id(), "at once").await.unwrap();
        let offer = offer(&bob).await;
        assert_eq!(&offer.peer().unwrap().label[..], b"at once");
        let accepted = offer.accept().await.unwrap();
        round_trip(&opened, &accepted).await;
        let opened = alice.open(bob.id(), "not wanted").await.unwrap();
        self::offer(&bob).await.reject(Code(5));
        assert_eq!(opened.closed().await, CloseReason::Application(Code(5)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinator_connects_clients_and_decides() {
    within(async {
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let mut asking = CoordinatorConfig::new(certificate);
        asking.admission = Policy::Ask;
        asking.channels = Policy::Ask;
        let coordinator = Coordinator::bind("127.0.0.1:0", asking).await.unwrap();
        let at = coordinator.local_addr().to_string();
        let judge = tokio::spawn({
            let coordinator = coordinator.clone();
            async move {
                let mut events = coordinator.events();
                let mut started = 0;
                while let Some(event) = events.next().await {
                    match event {
                        CoordinatorEvent::ClientAsks {
                            client,
                            name: Some(name),
                            token,
                            ..
                        } => match token.as_ref() {
                            b"secret" => coordinator.admit(client, Some(name)).unwrap(),
                            _ => coordinator.refuse(client, Code(1)).unwrap(),
                        },
                        CoordinatorEvent::PairAsks { pair, label, .. } => match &label[..] {
                            b"please" => coordinator.grant(pair).unwrap(),
                            _ => coordinator.deny(pair).unwrap(),
                        },
                        CoordinatorEvent::PairStarted { pair, .. } => {
                            started += 1;
                            if started == 2 {
                                coordinator.disconnect(pair, Code(2)).unwrap();
                            }
                        }
                        _ => {}
                    }
                }
            }
        });
        let join = |who: &str, token: &'static str| {
            let mut config = config(&coordinator, who);
            config.token = token.into();
            let at = at.clone();
            async move { Client::connect(&at, config).await }
        };
        let refused = join("mallory", "guess").await.unwrap_err();
        assert!(
            matches!(
                refused,
                ConnectError::Closed(CloseReason::Application(Code(1)))
            ),
            "{refused}"
        );
        let alice = join("alice", "secret").await.unwrap();
        let bob = join("bob", "secret").await.unwrap();
        let denied = alice.open(bob.id(), "now!").await.unwrap_err();
        assert_eq!(
            denied,
            OpenError::Closed(CloseReason::Remote(ErrorCode::NotFound))
        );
        let (opened, accepted) = tokio::join!(alice.open(bob.id(), "please"), accept(&bob));
        round_trip(&opened.unwrap(), &accepted).await;
        // On the Coordinator's own account: both are offered the channel. It takes it from them again.
        coordinator
            .connect(alice.id(), name("bob"), "introduction")
            .unwrap();
        let (a, b) = tokio::join!(offer(&alice), offer(&bob));
        assert_eq!(a.peer().unwrap().id, bob.id());
        let (a, b) = tokio::join!(a.accept(), b.accept());
        for end in [a, b] {
            let reason = match end {
                Ok(channel) => channel.closed().await,
                Err(reason) => reason,
            };
            assert_eq!(reason, CloseReason::Application(Code(2)));
        }
        tokio::join!(alice.close(PATIENCE), bob.close(PATIENCE));
        coordinator.close(PATIENCE).await;
        judge.await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_run_between_client_and_coordinator() {
    within(async {
        let coordinator = coordinator().await;
        let alice = client(&coordinator, "alice").await;
        let home = coordinator.find(name("alice")).unwrap();
        let at_coordinator = coordinator.channel(home).unwrap();
        round_trip(&alice.home(), &at_coordinator).await;
        round_trip(&at_coordinator, &alice.home()).await;
        // Letting go of a home channel does not end it; aborting does.
        drop((at_coordinator, alice.home()));
        let at_coordinator = coordinator.channel(home).unwrap();
        round_trip(&at_coordinator, &alice.home()).await;
        at_coordinator.abort(Code(9));
        assert_eq!(alice.closed().await, CloseReason::Application(Code(9)));
        assert_eq!(at_coordinator.closed().await, CloseReason::Local);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_arrive_whole_or_not_at_all() {
    within(async {
        let world = World::new().await;
        let mut got = 0;
        // Loss is allowed, even here.
        for at in 0..100 {
            world.alice.send_datagram(message(at)).await.unwrap();
            let wait = tokio::time::timeout(Duration::from_millis(100), world.bob.recv_datagram());
            if let Ok(datagram) = wait.await {
                assert!(datagram == Some(message(at)));
                got += 1;
            }
        }
        assert!(got > 90);
        let max = world.alice.max_datagram_size();
        let result = world
            .alice
            .send_datagram(Bytes::from(vec![0; max + 500]))
            .await;
        assert!(
            matches!(result, Err(SendDatagramError::TooLarge { .. })),
            "{result:?}"
        );
        // More than the buffer holds: waits, never fails.
        for at in 0..2000 {
            world.alice.send_datagram(message(at)).await.unwrap();
        }
        world.alice.abort(Code(1));
        assert_eq!(world.bob.closed().await, CloseReason::Application(Code(1)));
        let closed = world.alice.send_datagram(message(0)).await;
        assert_eq!(closed, Err(SendDatagramError::Closed));
    })
    .await;
}
