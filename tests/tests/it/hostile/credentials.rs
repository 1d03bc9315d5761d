//! What is shown for a credential, and is none, or at the wrong time.

use conec_core::{Authorities, Ca, CredentialError, Identity, PathPolicy};

use super::{
    peers::{bind, initiate},
    *,
};

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A chain for somebody, as it is on the wire.
fn chain(ca: &Ca, identity: &Identity, from: Duration) -> Vec<u8> {
    let name = "mallory".parse().unwrap();
    let hour = Duration::from_secs(3600);
    let credential = ca
        .certify(&identity.public_key(), &name, from, hour)
        .unwrap();
    let certificates = credential.chain().iter();
    certificates.flat_map(|it| message::frame(it)).collect()
}

/// What is shown, which is no good credential of Mallory's, and what it is.
fn bad_chains(ca: &Ca) -> Vec<(Vec<u8>, CredentialError)> {
    let mallory = keys::identity(666);
    let good = chain(ca, &mallory, NOW);
    let another = chain(ca, &keys::identity(667), NOW);
    vec![
        (Vec::new(), CredentialError::Malformed),
        (b"\x05hello".to_vec(), CredentialError::Malformed),
        (good[..good.len() / 2].to_vec(), CredentialError::Malformed),
        (good.repeat(5), CredentialError::TooDeep),
        (
            [good.clone(), message::frame(&[0; 6900])].concat(),
            CredentialError::TooLarge,
        ),
        (another, CredentialError::OtherKey),
        (
            chain(ca, &mallory, NOW + Duration::from_secs(7200)),
            CredentialError::NotYetValid,
        ),
        (
            chain(ca, &mallory, Duration::ZERO),
            CredentialError::Expired,
        ),
        (
            chain(&Ca::generate().unwrap(), &mallory, NOW),
            CredentialError::UnknownIssuer,
        ),
    ]
}

fn code(error: CredentialError) -> End {
    let is_dated = [CredentialError::NotYetValid, CredentialError::Expired].contains(&error);
    End::Application(if is_dated { 21 } else { 19 })
}

/// A Coordinator that lets in who has no credential, and nobody with a bad one.
fn scene(seed: u64, ca: &Ca) -> Scene {
    Scene::with(seed, |config| {
        config.authorities = Some(Authorities::new(ca.roots()).optional());
        config.unix_time = NOW;
    })
}

#[test]
fn who_shows_what_is_no_good_credential_is_not_let_in() {
    let ca = Ca::generate().unwrap();
    let mut scene = scene(50, &ca);
    for (chain, error) in bad_chains(&ca) {
        let conn = scene.shake_hands();
        conn.control(&message::credential(&chain));
        conn.control(&message::hello(b"mallory", b""));
        scene.expect_end(&conn, code(error));
    }
    let conn = scene.shake_hands();
    conn.control(&message::credential(&chain(&ca, &keys::identity(666), NOW)));
    conn.control(&message::hello(b"", b""));
    let welcome = scene.until("welcome", || conn.next_of_kind(0));
    assert_eq!(welcome[1..9], *b"\x07mallory");
}

#[test]
fn who_shows_credentials_without_end_or_too_late_breaks_the_protocol() {
    let ca = Ca::generate().unwrap();
    let mut scene = scene(51, &ca);
    let good = message::credential(&chain(&ca, &keys::identity(666), NOW));
    let conn = scene.shake_hands();
    conn.control(&good);
    conn.control(&good);
    scene.expect_end(&conn, PROTOCOL);
    let conn = scene.log_in();
    conn.control(&good);
    scene.expect_end(&conn, PROTOCOL);
    // Where nobody looks at them, they take no more than other words of a newcomer.
    let mut scene = Scene::new(52);
    let conn = scene.shake_hands();
    for _ in 0..100 {
        conn.control(&good);
    }
    scene.pair.talk(&mut scene.world);
    let end = scene.until("the end", || conn.end());
    assert!(matches!(end, End::Application(2 | 11)), "{end:?}");
    scene.all_is_well(&[]);
}

#[test]
fn an_end_that_shows_what_is_no_good_credential_is_not_talked_to() {
    let ca = Ca::generate().unwrap();
    let mut scene = Scene::new(53);
    let mut config = scene.world.client_config("victim");
    config.peers = Some(Authorities::new(ca.roots()));
    config.unix_time = NOW;
    config.paths.policy = PathPolicy::ProxiedOnly;
    let victim = scene.world.add_client_with(config);
    scene.world.connect(victim, scene.coordinator);
    let home = scene.log_in();
    for (chain, error) in bad_chains(&ca) {
        let (_, conn) = initiate(&mut scene, &home, victim);
        conn.control(&message::peer_credential(&chain));
        let end = opened_or_closed(&mut scene.world, victim);
        assert_eq!(end, Err(CloseReason::Credential(error)));
        assert_eq!(scene.until("the end", || conn.end()), code(error));
    }
    let good = chain(&ca, &keys::identity(666), NOW);
    let (offer, conn) = initiate(&mut scene, &home, victim);
    conn.control(&message::peer_credential(&good));
    let at = bind(&mut scene, &offer, &conn, victim);
    let peer = scene.world.client(victim).peer(at.channel).unwrap();
    assert_eq!(peer.certified.unwrap().name.as_str(), "mallory");
    // Too late.
    conn.control(&message::peer_credential(&good));
    assert_eq!(scene.until("the end", || conn.end()), PROTOCOL);
    scene.pair.talk(&mut scene.world);
}
