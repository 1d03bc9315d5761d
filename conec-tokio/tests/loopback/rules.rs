//! Whom a Coordinator lets in, over real sockets: an operator's day.

use std::time::Duration;

use conec_tokio::{
    Certificate, Client, ClientConfig, CloseReason, ConnectError, Coordinator, CoordinatorConfig,
    CoordinatorEvent, CoordinatorUrl, ErrorCode, Identity, Invitation, Rules, Trust,
};

use crate::{pair_of, round_trip};

const HOUR: Duration = Duration::from_secs(3600);
const REFUSED: CloseReason = CloseReason::Remote(ErrorCode::Refused);

async fn start(rules: Rules) -> Coordinator {
    let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap());
    config.rules = Some(rules);
    Coordinator::bind("127.0.0.1:0", config).await.unwrap()
}

/// Joins with what somebody was given: a word.
async fn join(text: &str, identity: &Identity) -> Result<Client, CloseReason> {
    let invitation: Invitation = text.parse().unwrap();
    let url = invitation.coordinator;
    let trust = Trust::Pin(url.pin().unwrap());
    let mut config = ClientConfig::new(identity.clone(), trust);
    config.token = invitation.token;
    let address = ([127, 0, 0, 1], url.port()).into();
    match Client::connect_to(url.host(), &[address], config).await {
        Ok(client) => Ok(client),
        Err(ConnectError::Closed(reason)) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn whom_an_operator_has_invited_joins_and_stays_until_forbidden() {
    let coordinator = start(Rules::nobody()).await;
    let [alice, bob] = [(); 2].map(|()| Identity::generate().unwrap());
    let invite = |name: &str| {
        let token = coordinator.invite([name.parse().unwrap()], [], HOUR);
        let (pin, port) = (coordinator.pin(), coordinator.local_addr().port());
        let url = CoordinatorUrl::new(Some(pin), "localhost", port).unwrap();
        Invitation::new(url, token).unwrap().to_text()
    };
    let for_alice = invite("alice");
    let at_alice = join(&for_alice, &alice).await.unwrap();
    assert_eq!(at_alice.name(), Some("alice".parse().unwrap()));
    assert_eq!(join(&for_alice, &bob).await.err(), Some(REFUSED));
    let at_bob = join(&invite("bob"), &bob).await.unwrap();
    let (to_bob, to_alice) = pair_of(&at_alice, &at_bob).await;
    round_trip(&to_bob, &to_alice).await;
    let listed = coordinator.list(None, 10);
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|it| it.channels == 1));
    assert_eq!(coordinator.pairs(None, 10).len(), 1);
    let home = coordinator.client_stats(listed[0].channel).unwrap();
    assert!(home.traffic.bytes_received > 1000 && home.mtu >= 1200);

    coordinator.forbid(bob.id());
    assert_eq!(at_bob.home().closed().await, REFUSED);
    assert_eq!(to_bob.closed().await, REFUSED);
    assert_eq!(join(&invite("bob"), &bob).await.err(), Some(REFUSED));
    // Who was invited is known by the key, here and after a restart.
    drop(at_alice);
    let stored = coordinator.rules().to_string();
    let coordinator = start(stored.parse().unwrap()).await;
    let config = ClientConfig::new(alice, Trust::Pin(coordinator.pin()));
    let addresses = [coordinator.local_addr()];
    let again = Client::connect_to("localhost", &addresses, config);
    assert_eq!(again.await.unwrap().name(), Some("alice".parse().unwrap()));
}

#[tokio::test]
async fn who_joins_is_told_to_the_operator() {
    let coordinator = start(Rules::nobody()).await;
    let identity = Identity::generate().unwrap();
    let token = coordinator.invite([], [], HOUR);
    let mut config = ClientConfig::new(identity.clone(), Trust::Pin(coordinator.pin()));
    config.token = token;
    let addresses = [coordinator.local_addr()];
    let client = Client::connect_to("localhost", &addresses, config);
    let (client, event) = tokio::join!(client, coordinator.next_event());
    client.unwrap();
    let Some(CoordinatorEvent::ClientJoined { id, .. }) = event else {
        panic!("{event:?}");
    };
    assert_eq!(id, identity.id());
}
