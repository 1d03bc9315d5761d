//! What is sent and received by calls that are dropped.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use conec_tokio::{CloseReason, ErrorCode, SendEnd};
use futures_util::{SinkExt, StreamExt};

use super::{Count, patiently, wait_in_vain};
use crate::{PATIENCE, World, message, poll_once, round_trip, within};

/// Every waiting call is given up again and again, at each point where it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_a_call_loses_nothing() {
    within(async {
        const COUNT: usize = 3000;
        let world = World::new().await;
        let mut sender = patiently(|| world.alice.open_uni("")).await.unwrap();
        let writer = tokio::spawn(async move {
            for at in 0..COUNT {
                let mut tries = 0;
                while poll_once(pin!(sender.send(message(at)))).is_pending() {
                    tries += 1;
                    // Let others work, and be woken for what nobody waits for.
                    tokio::task::yield_now().await;
                    assert!(tries < 10_000_000);
                }
            }
            sender.finish().unwrap();
            while poll_once(pin!(sender.finished())).is_pending() {
                tokio::task::yield_now().await;
            }
        });
        let mut stream = patiently(|| world.bob.accept()).await.unwrap();
        for at in 0..COUNT {
            let received = loop {
                if let Poll::Ready(received) = poll_once(pin!(stream.receiver.recv())) {
                    break received;
                }
                tokio::task::yield_now().await;
            };
            assert!(received == Ok(Some(message(at))), "{at}");
        }
        assert_eq!(stream.receiver.recv().await, Ok(None));
        writer.await.unwrap();
        for at in 0..100 {
            let datagram = message(at).slice(..20);
            // Loss is allowed, even here.
            loop {
                patiently(|| world.alice.send_datagram(datagram.clone()))
                    .await
                    .unwrap();
                let arrives = patiently(|| world.bob.recv_datagram());
                match tokio::time::timeout(Duration::from_millis(100), arrives).await {
                    // One that was late is there twice.
                    Ok(received) if received != Some(datagram.clone()) => {}
                    Ok(_) => break,
                    Err(_) => {}
                }
            }
        }
        // Opening a channel must not be given up, but the other side's part can.
        let opening = tokio::spawn({
            let client = world.alice_client.clone();
            let bob = world.bob_client.id();
            async move { client.open(bob, "").await }
        });
        let offer = patiently(|| world.bob_client.accept()).await.unwrap();
        let accepted = offer.accept().await.unwrap();
        let opened = opening.await.unwrap().unwrap();
        round_trip(&opened, &accepted).await;
        assert!(poll_once(pin!(opened.closed())).is_pending());
        // Given up or not, it is being closed; now and then it already is.
        let _ = poll_once(pin!(opened.close(PATIENCE)));
        assert_eq!(
            accepted.closed().await,
            CloseReason::Remote(ErrorCode::None)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_call_is_woken_where_it_waits_now() {
    within(async {
        let world = World::new().await;
        let (mut sender, mut receiver) = world.uni().await;
        let count = Arc::new(Count::default());
        {
            let waker = Waker::from(Arc::clone(&count));
            let mut recv = pin!(receiver.recv());
            let first = recv.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(first.is_pending());
            // Handed from one task to another, like in a `FuturesUnordered` that moves.
            sender.send("moved".into()).await.unwrap();
            assert_eq!(recv.await, Ok(Some("moved".into())));
        }
        let before = count.get();
        sender.send("again".into()).await.unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("again".into())));
        assert_eq!(count.get(), before, "woken after giving up");
    })
    .await;
}

/// The same by the traits of streams and sinks, which are made anew for each try where that is possible.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_up_on_streams_and_sinks_loses_nothing() {
    within(async {
        const COUNT: usize = 500;
        let piece = |at: usize| Bytes::from(vec![at as u8; 10_000 + at]);
        let world = World::new().await;
        let (alice, bob) = (&world.alice, &world.bob);
        let (mut sender, mut back) = patiently(|| alice.open_bi("")).await.unwrap();
        let mut waited = 0;
        let write = async {
            for at in 0..COUNT {
                while poll_once(pin!(sender.feed(piece(at)))).is_pending() {
                    waited += 1;
                    tokio::task::yield_now().await;
                }
                while poll_once(pin!(SinkExt::<Bytes>::flush(&mut sender))).is_pending() {
                    tokio::task::yield_now().await;
                }
            }
            // Finished by the first of these, and waited for by the last.
            loop {
                if let Poll::Ready(closed) = poll_once(pin!(SinkExt::<Bytes>::close(&mut sender))) {
                    break closed.unwrap();
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(sender.finished().await, SendEnd::Finished);
        };
        let read = async {
            let mut stream = patiently(|| async { bob.incoming().next().await })
                .await
                .unwrap();
            let mut at = 0;
            loop {
                match poll_once(pin!(stream.receiver.next())) {
                    Poll::Ready(Some(received)) => {
                        assert!(received == Ok(piece(at)), "{at}");
                        at += 1;
                    }
                    Poll::Ready(None) => break,
                    Poll::Pending => tokio::task::yield_now().await,
                }
            }
            assert_eq!(at, COUNT);
            stream.sender.unwrap().finish().unwrap();
            stream.receiver
        };
        let (_, mut receiver) = tokio::join!(write, read);
        assert!(waited > 0, "always room");
        assert_eq!(back.next().await, None);
        assert_eq!(receiver.next().await, None);
    })
    .await;
}

/// Whoever has given up is not woken any more, nor is anything kept of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_call_that_was_given_up() {
    within(async {
        let world = World::new().await;
        let World {
            coordinator,
            bob_client,
            alice,
            bob,
            ..
        } = &world;
        wait_in_vain(bob_client.accept());
        wait_in_vain(async { bob_client.incoming().next().await });
        wait_in_vain(bob_client.closed());
        wait_in_vain(bob.accept());
        wait_in_vain(async { bob.incoming().next().await });
        wait_in_vain(bob.recv_datagram());
        wait_in_vain(bob.closed());
        wait_in_vain(bob.path_other_than(bob.path()));
        while let Poll::Ready(event) = poll_once(pin!(coordinator.next_event())) {
            assert!(event.is_some());
        }
        wait_in_vain(coordinator.next_event());
        wait_in_vain(async { coordinator.events().next().await });

        let (mut sender, mut receiver) = world.uni().await;
        wait_in_vain(receiver.recv());
        wait_in_vain(sender.finished());
        while let Poll::Ready(sent) = poll_once(pin!(sender.send(vec![0; 100_000].into()))) {
            sent.unwrap();
            // Until nothing is taken for a while: packets and credit are under way.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        wait_in_vain(sender.send("more".into()));
        let mut held = Vec::new();
        while let Poll::Ready(opened) = poll_once(pin!(alice.open_uni("held"))) {
            held.push(opened.unwrap());
        }
        wait_in_vain(alice.open_uni("one more"));
    })
    .await;
}
