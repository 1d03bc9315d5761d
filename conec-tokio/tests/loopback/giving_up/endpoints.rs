//! Endpoints that somebody has given up, before they were there or until they are gone.

use std::{pin::pin, task::Poll};

use conec_tokio::{
    Certificate, ChannelEvent, Client, CloseReason, Coordinator, CoordinatorConfig,
    CoordinatorEvent, ErrorCode,
};
use futures_util::StreamExt;

use super::{patiently, tasks, wait_in_vain};
use crate::{PATIENCE, World, client, config, coordinator, poll_once, round_trip, within};

/// At each call of the socket: the task ends, and the Coordinator, which takes one newcomer at a time, has room for the
/// next at once, under the same name.
#[cfg(feature = "__testing")]
#[tokio::test]
async fn connecting_can_be_given_up_at_any_time() {
    use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering::Relaxed};

    use conec_core::Transmit;
    use conec_driver::Tap;
    use conec_tokio::Socket;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Tap for Calls {
        fn send(&self, _: &Transmit) -> Option<std::io::Result<()>> {
            self.0.fetch_add(1, Relaxed);
            None
        }

        fn recv(&self, _: &mut Vec<conec_core::Datagram>) -> Option<std::io::Result<()>> {
            self.0.fetch_add(1, Relaxed);
            None
        }
    }

    within(async {
        let mut config_ = CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap());
        config_.limits.handshakes = 1;
        // Who has proved to be there, and goes, makes room at once.
        config_.limits.handshakes_before_retry = 0;
        let coordinator = Coordinator::bind("127.0.0.1:0", config_).await.unwrap();
        let (at, before) = ([coordinator.local_addr()], tasks());
        let mut given_up = 0;
        for moment in 0.. {
            let calls = Arc::new(Calls::default());
            let socket = Socket::any().unwrap().tapped(Arc::clone(&calls));
            let config = config(&coordinator, "alice");
            let connecting = Client::connect_over(socket, "localhost", &at, config);
            let is_time = || calls.0.load(Relaxed) > moment;
            match super::until(is_time, connecting).await {
                None => given_up += 1,
                Some(connected) => {
                    connected.unwrap().close(PATIENCE).await;
                    break;
                }
            }
            while tasks() > before {
                tokio::task::yield_now().await;
            }
            // The socket is closed.
            assert_eq!(Arc::strong_count(&calls), 1);
        }
        assert!(given_up > 5, "{given_up}");
        assert_eq!(coordinator.stats().handshakes_refused, 0);
        while coordinator.clients() > 0 {
            coordinator.next_event().await.unwrap();
        }
    })
    .await;
}

/// While the host is being resolved, and before anything was done at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_nobody_waited_for_is_not_made() {
    within(async {
        let coordinator = coordinator().await;
        let before = tasks();
        let at = format!("localhost:{}", coordinator.local_addr().port());
        drop(Client::connect(&at, config(&coordinator, "alice")));
        // It is resolved meanwhile, or not.
        drop(poll_once(pin!(Client::connect(
            &at,
            config(&coordinator, "alice")
        ))));
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let bind = || Coordinator::bind(&at, CoordinatorConfig::new(certificate.clone()));
        drop(bind());
        drop(poll_once(pin!(bind())));
        while tasks() > before {
            tokio::task::yield_now().await;
        }
        let alice = client(&coordinator, "alice").await;
        coordinator.close(PATIENCE).await;
        bind().await.unwrap().close(PATIENCE).await;
        assert_eq!(alice.closed().await, CloseReason::Remote(ErrorCode::None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_coordinator_tells_is_not_lost() {
    within(async {
        const COUNT: usize = 10;
        let coordinator = coordinator().await;
        let coming = tokio::spawn({
            let coordinator = coordinator.clone();
            async move {
                for _ in 0..COUNT {
                    client(&coordinator, "alice").await.close(PATIENCE).await;
                }
            }
        });
        for at in 0..COUNT {
            // Some know of it by calls, some by a stream that is made anew for each.
            let next = || async {
                match at % 2 {
                    0 => coordinator.next_event().await,
                    _ => coordinator.events().next().await,
                }
            };
            let come = patiently(next).await.unwrap();
            let CoordinatorEvent::ClientConnected { client, .. } = come else {
                panic!("{come:?}");
            };
            let gone = patiently(next).await.unwrap();
            let CoordinatorEvent::Channel {
                channel,
                event: ChannelEvent::Closed { .. },
            } = gone
            else {
                panic!("{gone:?}");
            };
            assert_eq!(channel, client);
        }
        coming.await.unwrap();
        wait_in_vain(coordinator.next_event());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_an_endpoint_goes_on_when_nobody_waits() {
    within(async {
        let World {
            coordinator,
            alice_client,
            bob_client,
            alice,
            bob,
        } = World::new().await;
        let before = tasks();
        // What is open holds the end up.
        let mut sender = alice.open_uni("").await.unwrap();
        let mut receiver = bob.accept().await.unwrap().receiver;
        // Not even begun.
        drop(bob_client.close(PATIENCE));
        round_trip(&alice, &bob).await;
        wait_in_vain(bob_client.close(PATIENCE));
        wait_in_vain(bob_client.close(PATIENCE));
        sender.send("meanwhile".into()).await.unwrap();
        sender.finish().unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("meanwhile".into())));
        assert_eq!(receiver.recv().await, Ok(None));
        assert_eq!(bob_client.closed().await, CloseReason::Local);
        assert_eq!(alice.closed().await, CloseReason::Remote(ErrorCode::None));
        bob_client.close(PATIENCE).await;
        while tasks() == before {
            tokio::task::yield_now().await;
        }

        let home = coordinator.find(alice_client.id()).unwrap();
        let mut sender = alice_client.home().open_uni("").await.unwrap();
        let mut stream = coordinator.channel(home).unwrap().accept().await.unwrap();
        drop(coordinator.close(PATIENCE));
        assert_eq!(coordinator.find(alice_client.id()), Some(home));
        wait_in_vain(coordinator.close(PATIENCE));
        sender.send("meanwhile".into()).await.unwrap();
        sender.finish().unwrap();
        assert_eq!(stream.receiver.recv().await, Ok(Some("meanwhile".into())));
        assert_eq!(stream.receiver.recv().await, Ok(None));
        let reason = alice_client.closed().await;
        assert_eq!(reason, CloseReason::Remote(ErrorCode::None));
        coordinator.close(PATIENCE).await;
        while let Poll::Ready(event) = poll_once(pin!(coordinator.next_event())) {
            if event.is_none() {
                break;
            }
        }
        // All sockets are closed, though there are handles.
        while tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
