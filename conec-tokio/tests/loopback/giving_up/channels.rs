//! Channels that somebody has given up before they were open.

use std::time::Duration;

use conec_tokio::{
    Certificate, Client, CloseReason, Coordinator, CoordinatorConfig, CoordinatorEvent, ErrorCode,
    OpenError, PathPolicy,
};

use super::{moments, until, wait_in_vain};
use crate::{PATIENCE, client, offer, pair_of, round_trip, within};

/// The other end's part ends, and the Coordinator, which allows one channel at a time, has room for the next.
#[tokio::test]
async fn opening_can_be_given_up_at_any_time() {
    within(async {
        let (coordinator, alice, bob) = few_channels().await;
        let accepting = tokio::spawn({
            let bob = bob.clone();
            async move {
                let mut opened = 0;
                while let Some(offer) = bob.accept().await {
                    let Ok(channel) = offer.accept().await else {
                        continue;
                    };
                    opened += 1;
                    let reason = channel.closed().await;
                    assert!(matches!(reason, CloseReason::Remote(_)), "{reason}");
                }
                opened
            }
        });
        let full = OpenError::Closed(CloseReason::Remote(ErrorCode::Limit));
        let mut moments = moments();
        let mut moment = moments.next().unwrap();
        loop {
            let mut polls = 0..moment;
            let opening = alice.open(bob.id(), "");
            match until(|| polls.next().is_none(), opening).await {
                None => moment = moments.next().unwrap(),
                // It has not heard yet that the last one was given up.
                Some(Err(error)) => assert_eq!(error, full),
                Some(Ok(opened)) => {
                    assert_eq!(opened.close(PATIENCE).await, CloseReason::Local);
                    break;
                }
            }
        }
        wait_in_vain(alice.open(bob.id(), ""));
        wait_in_vain(alice.open_with(bob.id(), "", PathPolicy::ProxiedOnly));
        tokio::join!(alice.close(PATIENCE), bob.close(PATIENCE));
        assert!(accepting.await.unwrap() > 0);
        all_pairs_have_ended(&coordinator).await;
    })
    .await;
}

#[tokio::test]
async fn accepting_can_be_given_up_at_any_time() {
    within(async {
        let (coordinator, alice, bob) = few_channels().await;
        for moment in moments() {
            let mut polls = 0..moment;
            let opening = tokio::spawn({
                let (alice, bob) = (alice.clone(), bob.id());
                async move { alice.open(bob, "").await }
            });
            let accepting = offer(&bob).await.accept();
            let accepted = until(|| polls.next().is_none(), accepting).await;
            match (accepted, opening.await.unwrap()) {
                (Some(accepted), opened) => {
                    round_trip(&opened.unwrap(), &accepted.unwrap()).await;
                    break;
                }
                // It was open already.
                (None, Ok(opened)) => {
                    let reason = opened.closed().await;
                    assert_eq!(reason, CloseReason::Remote(ErrorCode::None));
                }
                (None, Err(_)) => {}
            }
        }
        tokio::join!(alice.close(PATIENCE), bob.close(PATIENCE));
        all_pairs_have_ended(&coordinator).await;
    })
    .await;
}

/// It is being closed nonetheless, and whoever waits for its end can give up as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_a_channel_goes_on_when_nobody_waits() {
    within(async {
        let (_coordinator, alice, bob) = few_channels().await;
        let (a, b) = pair_of(&alice, &bob).await;
        // Holds it up.
        let mut sender = a.open_uni("").await.unwrap();
        let mut receiver = b.accept().await.unwrap().receiver;
        // Not even begun.
        drop(a.close(PATIENCE));
        round_trip(&a, &b).await;
        wait_in_vain(a.close(PATIENCE));
        wait_in_vain(a.closed());
        wait_in_vain(b.close(PATIENCE));
        sender.send("last words".into()).await.unwrap();
        sender.finish().unwrap();
        assert_eq!(receiver.recv().await, Ok(Some("last words".into())));
        assert_eq!(receiver.recv().await, Ok(None));
        let first = a.closed().await;
        assert_eq!(a.close(PATIENCE).await, first);
        assert_eq!(first, CloseReason::Local);
        b.closed().await;
    })
    .await;
}

/// Two Clients of a Coordinator that allows each one channel.
async fn few_channels() -> (Coordinator, Client, Client) {
    let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap());
    config.limits.channels_per_client = 1;
    let coordinator = Coordinator::bind("127.0.0.1:0", config).await.unwrap();
    let alice = client(&coordinator, "alice").await;
    let bob = client(&coordinator, "bob").await;
    (coordinator, alice, bob)
}

async fn all_pairs_have_ended(coordinator: &Coordinator) {
    let (mut started, mut ended) = (Vec::new(), Vec::new());
    let soon = Duration::from_millis(100);
    while let Ok(event) = tokio::time::timeout(soon, coordinator.next_event()).await {
        match event.unwrap() {
            CoordinatorEvent::PairStarted { pair, .. } => started.push(pair),
            CoordinatorEvent::PairClosed { pair, .. } => ended.push(pair),
            _ => {}
        }
    }
    assert!(!started.is_empty());
    // Those that nobody has accepted end without having started.
    assert!(started.iter().all(|pair| ended.contains(pair)));
}
