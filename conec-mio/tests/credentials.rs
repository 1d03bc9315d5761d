//! Clients for whom an authority vouches, in threads.

#![cfg(feature = "self-signed")]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{
    thread,
    time::{Duration, SystemTime},
};

use conec_mio::blocking::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
}

fn connect(
    to: &Coordinator,
    roots: &Ca,
    by: Option<&Ca>,
    name: &str,
) -> Result<Client, CloseReason> {
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
    match Client::connect_to("localhost", &[to.local_addr()], config) {
        Ok(client) => Ok(client),
        Err(ConnectError::Closed(reason)) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_small_team_with_an_authority_of_its_own_talks_and_nobody_else_does() {
    let [ca, other] = [(); 2].map(|()| Ca::generate().unwrap());
    let certificate = ca.certify_coordinator(["localhost"], now(), YEAR).unwrap();
    let mut config = CoordinatorConfig::new(certificate);
    config.authorities = Some(Authorities::new(ca.roots()));
    let coordinator = Coordinator::bind("127.0.0.1:0", config).unwrap();
    let alice = connect(&coordinator, &ca, Some(&ca), "alice").unwrap();
    let bob = connect(&coordinator, &ca, Some(&ca), "bob").unwrap();
    for (roots, by, reason) in [
        (&ca, None, CloseReason::Remote(ErrorCode::CredentialMissing)),
        (
            &ca,
            Some(&other),
            CloseReason::Remote(ErrorCode::Credential),
        ),
        (&other, Some(&ca), CloseReason::Identity),
    ] {
        let refused = connect(&coordinator, roots, by, "mallory");
        assert_eq!(refused.err(), Some(reason));
    }
    let listening = thread::spawn(move || {
        let channel = bob.accept().unwrap().accept().unwrap();
        let name = channel.peer().unwrap().certified.unwrap().name;
        let message = channel.accept().unwrap().receiver.recv();
        (name, message)
    });
    let bobs: Name = "bob".parse().unwrap();
    let channel = alice.open(bobs.clone(), "").unwrap();
    assert_eq!(channel.peer().unwrap().certified.unwrap().name, bobs);
    let mut sender = channel.open_uni("").unwrap();
    sender.send("hello".into()).unwrap();
    let (name, message) = listening.join().unwrap();
    assert_eq!(
        (name.as_str(), message),
        ("alice", Ok(Some("hello".into())))
    );
}
