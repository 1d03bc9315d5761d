//! Clients for whom an authority vouches, over real sockets: what conec 0.2 had by TLS certificates.

use std::time::{Duration, SystemTime};

use conec_tokio::{
    Authorities, Ca, Client, ClientConfig, CloseReason, ConnectError, Coordinator,
    CoordinatorConfig, CredentialError, ErrorCode, Identity, OpenError, Trust,
};

use crate::{pair_of, round_trip};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

/// A Coordinator that an authority vouches for, and that lets in only whom it vouches for as well.
async fn coordinator(ca: &Ca) -> Coordinator {
    let certificate = ca.certify_coordinator(["localhost"], now(), YEAR).unwrap();
    let mut config = CoordinatorConfig::new(certificate);
    config.authorities = Some(Authorities::new(ca.roots()));
    Coordinator::bind("127.0.0.1:0", config).await.unwrap()
}

/// A Client that trusts the roots of one authority, and another, or the same, vouches for.
fn client(roots: &Ca, by: Option<&Ca>, name: &str) -> ClientConfig {
    let identity = Identity::generate().unwrap();
    let certify = |ca: &Ca| {
        let name = name.parse().unwrap();
        ca.certify(&identity.public_key(), &name, now(), YEAR)
            .unwrap()
    };
    let credential = by.map(certify);
    let mut config = ClientConfig::new(identity, Trust::Roots(roots.roots()));
    config.credential = credential;
    config.peers = Some(Authorities::new(roots.roots()));
    config
}

async fn connect(to: &Coordinator, config: ClientConfig) -> Result<Client, CloseReason> {
    match Client::connect_to("localhost", &[to.local_addr()], config).await {
        Ok(client) => Ok(client),
        Err(ConnectError::Closed(reason)) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn certified_clients_connect_and_talk_and_each_has_checked_the_other() {
    let ca = Ca::generate().unwrap();
    let coordinator = coordinator(&ca).await;
    let alice = connect(&coordinator, client(&ca, Some(&ca), "alice"));
    let alice = alice.await.unwrap();
    let bob = connect(&coordinator, client(&ca, Some(&ca), "bob"))
        .await
        .unwrap();
    assert_eq!(alice.name(), Some("alice".parse().unwrap()));
    let (to_bob, to_alice) = pair_of(&alice, &bob).await;
    round_trip(&to_bob, &to_alice).await;
    for (channel, name) in [(&to_bob, "bob"), (&to_alice, "alice")] {
        let certified = channel.peer().unwrap().certified.unwrap();
        assert_eq!(certified.name.as_str(), name);
    }
}

#[tokio::test]
async fn who_is_not_certified_or_by_somebody_else_is_refused() {
    let [ca, other] = [(); 2].map(|()| Ca::generate().unwrap());
    let coordinator = coordinator(&ca).await;
    for (by, code) in [
        (None, ErrorCode::CredentialMissing),
        (Some(&other), ErrorCode::Credential),
    ] {
        let refused = connect(&coordinator, client(&ca, by, "mallory")).await;
        assert_eq!(refused.err(), Some(CloseReason::Remote(code)));
    }
    assert_eq!(coordinator.clients(), 0);
}

#[tokio::test]
async fn clients_refuse_each_other_whatever_the_coordinator_takes() {
    let [ca, other] = [(); 2].map(|()| Ca::generate().unwrap());
    let certificate = ca.certify_coordinator(["localhost"], now(), YEAR).unwrap();
    let config = CoordinatorConfig::new(certificate);
    let coordinator = Coordinator::bind("127.0.0.1:0", config).await.unwrap();
    let alice = connect(&coordinator, client(&ca, Some(&ca), "alice"));
    let alice = alice.await.unwrap();
    let mut config = client(&ca, Some(&other), "mallory");
    config.auto_accept = true;
    let mallory = connect(&coordinator, config).await.unwrap();
    let refused = alice.open(mallory.id(), "").await;
    let reason = CloseReason::Credential(CredentialError::UnknownIssuer);
    assert_eq!(refused.err(), Some(OpenError::Closed(reason)));
}

#[tokio::test]
async fn a_coordinator_of_another_authority_is_not_trusted() {
    let [ca, other] = [(); 2].map(|()| Ca::generate().unwrap());
    let coordinator = coordinator(&ca).await;
    let refused = connect(&coordinator, client(&other, Some(&ca), "alice")).await;
    assert_eq!(refused.err(), Some(CloseReason::Identity));
}
