//! It says that somebody has a name which belongs to somebody else, to a Client that remembers.

use conec_core::{KnownClients, Name};

use super::*;

fn bob() -> Name {
    "bob".parse().unwrap()
}

/// What is known by Alice.
fn known(den: &mut Den, alice: NodeId) -> &mut KnownClients {
    den.scene.world.client(alice).known_mut().unwrap()
}

#[test]
fn of_two_that_bear_a_new_name_at_once_the_second_is_not_talked_to() {
    for alice_asks in [true, false] {
        let mut den = Den::new(30);
        let (alice, at_alice) = den.welcome_with("alice", |config| {
            config.known = Some(KnownClients::new());
            config.auto_accept = false;
        });
        let others = ["one", "other"].map(|name| den.welcome(name));
        let alice_id = den.id(alice);
        let mut starts = Vec::new();
        for (number, (other, conn)) in (1..).zip(&others) {
            let alices = Offer {
                request: alice_asks.then(|| {
                    den.scene.world.request_channel(alice, Target::Name(bob()));
                    let asked = den.scene.until("a request", || at_alice.next_of_kind(2));
                    message::read_request(&asked).unwrap()
                }),
                role: u8::from(!alice_asks),
                own_route: [0x80, 0, 0, 0, number, 1],
                peer_route: [0x80, 0, 0, 0, number, 2],
                channel: number.into(),
                peer: den.id(*other),
                peer_name: b"bob".to_vec(),
                label: b"test".to_vec(),
            };
            let theirs = Offer {
                request: None,
                peer_name: b"alice".to_vec(),
                ..alices.mirrored(alice_id)
            };
            for (conn, offer) in [(&at_alice, &alices), (conn, &theirs)] {
                den.scene.raw.forward(offer.own_route, conn.remote());
                conn.control(&message::offer(offer));
            }
            if !alice_asks {
                let offered = den.scene.world.wait_for("an offer", secs(5), |world| {
                    world.take_event(alice, |event| match event {
                        Event::Client(ClientEvent::Offered { channel, .. }) => Some(*channel),
                        Event::Client(_) | Event::Coordinator(_) => None,
                    })
                });
                let now = den.scene.world.now();
                den.scene.world.client(alice).accept(now, offered).unwrap();
            }
            for conn in [&at_alice, conn] {
                den.scene.until("accepted", || conn.next_of_kind(4));
            }
            let (initiator, offer) = match alice_asks {
                true => (&at_alice, alices),
                false => (conn, theirs),
            };
            starts.push((initiator, offer.own_route));
        }
        assert!(known(&mut den, alice).is_empty());
        for (conn, route) in starts {
            conn.control(&message::start(route));
        }
        let ends = [(); 2].map(|()| opened_or_closed(&mut den.scene.world, alice));
        let refused = ends
            .iter()
            .filter(|&end| *end == Err(CloseReason::KeyChanged));
        assert_eq!((refused.count(), ends.iter().flatten().count()), (1, 1));
        let opened = *ends.iter().flatten().next().unwrap();
        let peer = den.scene.world.client(alice).peer(opened.channel).unwrap();
        assert_eq!(known(&mut den, alice).get(&bob()), Some(peer.id));
        let change = known(&mut den, alice).key_change(&bob()).unwrap();
        let [one, other] = [0, 1].map(|at| den.scene.world.client_id(others[at].0));
        let both = [(one, other), (other, one)];
        assert!(both.contains(&(change.known, change.found)));
        den.scene.all_is_well(&[]);
    }
}

#[test]
fn names_that_nobody_has_asked_for_fill_nothing() {
    let mut den = Den::new(31);
    let bobs = keys::identity(2).id();
    let (alice, conn) = den.welcome_with("alice", |config| {
        config.known = Some(KnownClients::from_iter([(bob(), bobs)]));
        config.limits.known_names = 100;
        config.auto_accept = false;
    });
    den.scene.world.set_lagging(alice, true);
    let at = |number: u32| {
        let [.., high, low] = number.to_be_bytes();
        [0x80, 0, 0, high, low, 1]
    };
    for number in 0..1000 {
        let mut offer = stray_offer(0, mallory_id());
        offer.own_route = at(number);
        offer.peer_name = match number % 2 {
            0 => b"bob".to_vec(),
            _ => format!("name-{number}").into_bytes(),
        };
        conn.control(&message::offer(&offer));
    }
    den.scene.world.run_for(secs(2));
    let mut codes = Vec::new();
    while let Some(answer) = conn.next_of_kind(6) {
        codes.extend(answer.last().copied());
    }
    assert_eq!(codes.iter().filter(|&&code| code == 22).count(), 500);
    let known = known(&mut den, alice);
    assert_eq!((known.len(), known.get(&bob())), (1, Some(bobs)));
    // The application has not been there, and hears of it once.
    den.scene.world.set_lagging(alice, false);
    let mut told = 0;
    while let Some(change) = den.scene.world.take_event(alice, |event| match event {
        Event::Client(ClientEvent::KeyChanged { change, .. }) => Some(change.clone()),
        Event::Client(_) | Event::Coordinator(_) => None,
    }) {
        assert_eq!((change.known, change.found), (bobs, mallory_id()));
        told += 1;
    }
    assert_eq!(told, 1);
    den.scene.all_is_well(&[]);
}
