//! A Client that has others connected to each other.

use std::pin::pin;

use conec_tokio::{
    Certificate, Client, CloseReason, Code, Coordinator, CoordinatorConfig, ErrorCode,
    IntroduceError, IntroductionError,
};

use crate::{PATIENCE, accept, client, name, offer, poll_once, round_trip, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_others_talk_and_the_one_that_introduced_them_may_go() {
    within(async {
        let [lobby, alice, bob] = lobby_and_others().await;
        let introducing = lobby.introduce(alice.id(), name("bob"), "chat");
        let (introduced, a, b) = tokio::join!(introducing, accept(&alice), accept(&bob));
        introduced.unwrap();
        for (channel, other) in [(&a, &bob), (&b, &alice)] {
            let peer = channel.peer().unwrap();
            assert_eq!((peer.id, &peer.label[..]), (other.id(), &b"chat"[..]));
            assert_eq!(peer.introducer, Some(lobby.id()));
        }
        round_trip(&a, &b).await;
        lobby.close(PATIENCE).await;
        round_trip(&b, &a).await;
        let closed = lobby.introduce(alice.id(), bob.id(), "chat").await;
        let not_connected = IntroductionError::Refused(IntroduceError::NotConnected);
        assert_eq!(closed, Err(not_connected));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_introduces_in_vain_learns_why() {
    within(async {
        let [lobby, alice, bob] = lobby_and_others().await;
        let not_found = IntroductionError::Failed(CloseReason::Remote(ErrorCode::NotFound));
        let nobody = lobby.introduce(alice.id(), name("nobody"), "").await;
        assert_eq!(nobody, Err(not_found));
        // Who may not introduce others learns as much.
        let unwanted = alice.introduce(lobby.id(), bob.id(), "").await;
        assert_eq!(unwanted, Err(not_found));
        let (rejected, ()) = tokio::join!(lobby.introduce(alice.id(), bob.id(), ""), async {
            offer(&bob).await.reject(Code(7));
        });
        let reason = CloseReason::Application(Code(7));
        assert_eq!(rejected, Err(IntroductionError::Failed(reason)));
        let long = lobby.introduce(alice.id(), bob.id(), [0; 256]).await;
        let too_long = IntroductionError::Refused(IntroduceError::LabelTooLong);
        assert_eq!(long, Err(too_long));
        assert!(too_long.is_permanent() && !not_found.is_permanent());
    })
    .await;
}

/// It goes its way, and others that are waited for are not mixed up with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_introduction_that_nobody_waits_for_comes_about() {
    within(async {
        let [lobby, alice, bob] = lobby_and_others().await;
        {
            let given_up = pin!(lobby.introduce(alice.id(), bob.id(), "first"));
            assert!(poll_once(given_up).is_pending());
        }
        let introducing = lobby.introduce(alice.id(), bob.id(), "second");
        let both = |client: &Client| {
            let client = client.clone();
            async move { [accept(&client).await, accept(&client).await] }
        };
        let (introduced, a, b) = tokio::join!(introducing, both(&alice), both(&bob));
        introduced.unwrap();
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.peer().unwrap().label, b.peer().unwrap().label);
            round_trip(a, b).await;
        }
    })
    .await;
}

async fn lobby_and_others() -> [Client; 3] {
    let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap());
    let rules = "connect allow any\nreach allow any to any\nintroduce allow name:lobby";
    config.rules = Some(rules.parse().unwrap());
    let coordinator = Coordinator::bind("127.0.0.1:0", config).await.unwrap();
    let clients = [
        client(&coordinator, "lobby").await,
        client(&coordinator, "alice").await,
        client(&coordinator, "bob").await,
    ];
    // It stays without a handle.
    tokio::spawn(async move {
        while let Some(event) = coordinator.next_event().await {
            drop(event);
        }
    });
    clients
}
