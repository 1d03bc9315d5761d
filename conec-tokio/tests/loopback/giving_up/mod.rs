//! Calls that are dropped while they wait.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use conec_tokio::{CloseReason, ErrorCode};

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

/// Polls a new future each time, and gives it up if it has to wait.
async fn patiently<F: Future>(mut call: impl FnMut() -> F) -> F::Output {
    loop {
        if let Poll::Ready(result) = poll_once(pin!(call())) {
            return result;
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Count(std::sync::atomic::AtomicUsize);

impl Count {
    fn get(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}
