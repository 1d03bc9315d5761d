//! Keys of one kind that are shown or used like those of another, or in another form than the one they have.

use conec_core::Identity;
use conec_tests::raw::Ecdsa;

use super::*;

/// What is not taken from a newcomer, and the TLS alert that it gets (RFC 8446, 6).
const REFUSED: [(Ecdsa, u64); 9] = [
    // decrypt_error: this is no signature by that key.
    (Ecdsa::Stolen, 51),
    (Ecdsa::CalledEd25519, 51),
    (Ecdsa::CalledP384, 51),
    (Ecdsa::SignedByEd25519, 51),
    (Ecdsa::ForIdentity(666), 51),
    (Ecdsa::OffCurve, 51),
    // bad_certificate.
    (Ecdsa::Compressed, 42),
    (Ecdsa::P384, 42),
    (Ecdsa::P384CalledP256, 42),
];

#[test]
fn a_key_gets_in_only_in_its_own_form_and_with_its_own_scheme() {
    for (seed, (key, alert)) in REFUSED.into_iter().enumerate() {
        let mut scene = Scene::new(seed as u64);
        let conn = scene.dial(&Dial::home(Key::Ecdsa(key)));
        let end = scene.until("refused", || conn.end());
        assert_eq!(end, End::Transport(0x100 + alert), "{key:?}");
        assert!(conn.next_control().is_none());
        scene.all_is_well(&[]);
    }
    let mut scene = Scene::new(99);
    scene.log_in_with(&Dial::home(Key::Ecdsa(Ecdsa::P256)), b"mallory");
    assert_eq!(scene.who_is("mallory"), keys::p256_identity(0).id());
    scene.all_is_well(&[]);
}

#[test]
fn an_end_with_the_right_key_that_it_does_not_sign_with_opens_nothing() {
    // Those that show the key that the Coordinator has told.
    let lies = [
        Ecdsa::Stolen,
        Ecdsa::CalledEd25519,
        Ecdsa::CalledP384,
        Ecdsa::SignedByEd25519,
    ];
    let mut scene = Scene::new(20);
    let victim = scene.victim();
    let home = scene.log_in_with(&Dial::home(Key::Ecdsa(Ecdsa::P256)), b"mallory");
    let mallory = keys::p256_identity(0);
    for key in lies {
        let conn = scene.call(&home, victim, key);
        let end = scene.until("refused", || conn.end());
        assert!(
            matches!(end, End::Transport(0x100..0x200)),
            "{key:?}: {end:?}"
        );
        let reason = opened_or_closed(&mut scene.world, victim).unwrap_err();
        let is_tls = matches!(reason, CloseReason::Identity | CloseReason::Transport(_));
        assert!(is_tls, "{key:?}: {reason:?}");

        let (at, _) = scene.be_called_by(&home, victim, &mallory, key);
        let reason = scene.world.closed(at);
        let is_tls = matches!(reason, CloseReason::Identity | CloseReason::Transport(_));
        assert!(is_tls, "{key:?}: {reason:?}");
        assert!(!has_opened(&mut scene.world, victim));
    }
    // With the key itself, it is only for the rest that is missing.
    let conn = scene.call(&home, victim, Ecdsa::P256);
    assert!(conn.is_connected());
    let (_, conn) = scene.be_called_by(&home, victim, &mallory, Ecdsa::P256);
    assert!(conn.expect("the victim calls").is_connected());
    scene.all_is_well(&[]);
}

impl Scene {
    fn who_is(&mut self, name: &str) -> ClientId {
        let coordinator = self.world.coordinator(self.coordinator);
        let channel = coordinator.find(Target::Name(name.parse().unwrap()));
        let peer = channel.and_then(|it| coordinator.peer(it));
        peer.expect("it is connected").id
    }

    /// Mallory asks for a channel to `victim`, and begins a handshake under a key.
    fn call(&mut self, home: &RawConn, victim: NodeId, key: Ecdsa) -> RawConn {
        let id = self.world.client_id(victim);
        home.control(&message::open_by_id(7, id, b"test"));
        let offer = self.until("offer", || home.next_offer());
        home.control(&message::accept(offer.own_route));
        self.until("start", || home.next_of_kind(4));
        let (now, via) = (self.world.now(), self.coordinator_address());
        let dial = Dial::peer(Key::Ecdsa(key));
        let conn = self.raw.connect_peer(now, &offer, via, &dial);
        self.until("connected or refused", || {
            (conn.is_connected() || conn.end().is_some()).then_some(())
        });
        conn
    }

    /// `victim` asks for a channel to Mallory, who accepts it under a key.
    fn be_called_by(
        &mut self,
        home: &RawConn,
        victim: NodeId,
        mallory: &Identity,
        key: Ecdsa,
    ) -> (At, Option<RawConn>) {
        let at = self.world.request_channel(victim, mallory.id().into());
        let offer = self.until("offer", || home.next_offer());
        let via = self.coordinator_address();
        let dial = Dial::peer(Key::Ecdsa(key));
        self.raw.await_peer(offer.own_route, via, &dial);
        home.control(&message::accept(offer.own_route));
        self.world.run_for(secs(1));
        (at, self.raw.accept())
    }
}
