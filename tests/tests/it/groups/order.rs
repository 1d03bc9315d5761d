//! Everybody hears the same in the same order, from where it has joined.

use conec_core::{CoordinatorEvent, GroupItem, GroupStart, JoinConfig, Lossy};
use conec_tests::sim::{Event, World};

use super::{all, join, join_with, message, name, next, publish, secs};

#[test]
fn all_members_hear_what_one_publishes() {
    let mut world = World::new(1);
    let (_, nodes) = world.with_clients(["alice", "bob", "carol"]);
    let groups = nodes.map(|node| join(&mut world, node, "room"));
    publish(&mut world, nodes[0], groups[0], b"hello");
    let alice = world.client_id(nodes[0]);
    for (node, group) in nodes.into_iter().zip(groups) {
        let GroupItem::Message(heard) = next(&mut world, node, group) else {
            panic!("it is a message")
        };
        assert_eq!((heard.sequence, &heard.payload[..]), (0, &b"hello"[..]));
        assert_eq!(heard.sender, Some(alice));
        assert_eq!(heard.name, Some(name("alice")));
    }
}

#[test]
fn all_hear_many_in_one_order() {
    let mut world = World::new(2);
    let (_, nodes) = world.with_clients(["alice", "bob", "carol"]);
    let groups = nodes.map(|node| join(&mut world, node, "room"));
    for round in 0..50 {
        for (node, group) in nodes.into_iter().zip(groups) {
            publish(
                &mut world,
                node,
                group,
                format!("{node:?} {round}").as_bytes(),
            );
        }
        if round % 10 == 9 {
            world.run_for(secs(1));
        }
    }
    world.run_for(secs(2));
    let heard = [0, 1, 2].map(|at| all(&mut world, nodes[at], groups[at]));
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
    assert_eq!(heard[0].len(), 150);
    for node in nodes {
        let own = heard[0].iter().filter_map(|item| match item {
            GroupItem::Message(message) => {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                text.starts_with(&format!("{node:?} ")).then_some(text)
            }
            other => panic!("{other:?}"),
        });
        let expected = (0..50).map(|round| format!("{node:?} {round}"));
        assert!(
            own.eq(expected),
            "each one's in the order in which it has published"
        );
    }
}

#[test]
fn who_does_not_want_to_hear_its_own_hears_the_others() {
    let mut world = World::new(3);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let mut config = JoinConfig::default();
    config.hear_own = false;
    let (at_alice, _) = join_with(&mut world, alice, "room", config);
    let at_bob = join(&mut world, bob, "room");
    for round in 0..3 {
        publish(&mut world, alice, at_alice, b"alice's");
        assert_eq!(
            message(&mut world, bob, at_bob),
            (2 * round, "alice's".into())
        );
        publish(&mut world, bob, at_bob, b"bob's");
        assert_eq!(
            message(&mut world, alice, at_alice),
            (2 * round + 1, "bob's".into())
        );
        assert_eq!(
            message(&mut world, bob, at_bob),
            (2 * round + 1, "bob's".into())
        );
    }
    let info = world.client(alice).group(at_alice).info().unwrap();
    assert_eq!((info.unconfirmed, info.next), (0, 6));
}

#[test]
fn who_only_publishes_hears_nothing_and_knows_that_it_was_published() {
    let mut world = World::new(4);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let mut config = JoinConfig::default();
    config.hear = false;
    let (at_alice, _) = join_with(&mut world, alice, "room", config);
    let at_bob = join(&mut world, bob, "room");
    publish(&mut world, bob, at_bob, b"bob's");
    world.run_for(secs(1));
    for _ in 0..5 {
        publish(&mut world, alice, at_alice, b"alice's");
    }
    world.run_for(secs(1));
    assert_eq!(all(&mut world, alice, at_alice), []);
    let info = world.client(alice).group(at_alice).info().unwrap();
    assert_eq!((info.unconfirmed, info.next), (0, 6));
    assert_eq!((info.members, info.publishers), (2, 2));
    assert_eq!(all(&mut world, bob, at_bob).len(), 6);
}

#[test]
fn who_joins_later_can_hear_what_is_kept() {
    let mut world = World::new(5);
    let (_, [alice, bob, carol, dave]) = world.with_clients(["alice", "bob", "carol", "dave"]);
    let at_alice = join(&mut world, alice, "room");
    for number in 0..300 {
        publish(&mut world, alice, at_alice, format!("{number}").as_bytes());
        all(&mut world, alice, at_alice);
    }
    world.run_for(secs(1));
    let incarnation = world
        .client(alice)
        .group(at_alice)
        .info()
        .unwrap()
        .incarnation
        .unwrap();
    let start = |start| {
        let mut config = JoinConfig::default();
        config.start = start;
        config
    };
    let (_, joined) = join_with(&mut world, bob, "room", start(GroupStart::Next));
    assert_eq!((joined.next, joined.missed), (300, 0));
    let (at_carol, joined) = join_with(&mut world, carol, "room", start(GroupStart::Oldest));
    assert_eq!((joined.next, joined.missed), (44, 0));
    for number in 44..300 {
        let heard = message(&mut world, carol, at_carol);
        assert_eq!(heard, (number, number.to_string()));
    }
    let at = GroupStart::At {
        incarnation,
        sequence: 20,
    };
    let (at_dave, joined) = join_with(&mut world, dave, "room", start(at));
    assert_eq!((joined.next, joined.missed), (44, 24));
    assert_eq!(message(&mut world, dave, at_dave).0, 44);
}

#[test]
fn the_application_hears_a_group_once_it_has_subscribed() {
    let mut world = World::new(6);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    let at_alice = join(&mut world, alice, "room");
    publish(&mut world, alice, at_alice, b"unheard");
    world.run_for(secs(1));
    let room = name("room");
    let heard = |world: &mut World| {
        let coordinator = world.coordinator(coordinator);
        std::iter::from_fn(|| coordinator.group_recv(&name("room"))).count()
    };
    let told = |world: &mut World| {
        let mut times = 0;
        while let Some(()) = world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::GroupReadable { group }) => {
                assert_eq!(*group, name("room"));
                Some(())
            }
            Event::Client(_) | Event::Coordinator(_) => None,
        }) {
            times += 1;
        }
        times
    };
    assert_eq!(world.coordinator(coordinator).subscription(&room), None);
    let queue = Lossy::default();
    let first = world.coordinator(coordinator).subscribe(&room, queue);
    for _ in 0..3 {
        publish(&mut world, alice, at_alice, b"heard");
        world.run_for(secs(1));
    }
    // Once, until all was received.
    assert_eq!((told(&mut world), heard(&mut world)), (1, 3));
    publish(&mut world, alice, at_alice, b"of the former subscription");
    world.run_for(secs(1));
    let again = world.coordinator(coordinator).subscribe(&room, queue);
    assert_ne!(first, again);
    told(&mut world);
    publish(&mut world, alice, at_alice, b"heard");
    world.run_for(secs(1));
    assert_eq!((told(&mut world), heard(&mut world)), (1, 1));
    // It keeps the group, which is gone without it.
    world.client(alice).group(at_alice).leave();
    world.run_for(secs(1));
    let coordinator = world.coordinator(coordinator);
    assert_eq!(coordinator.subscription(&room), again.ok());
    coordinator.unsubscribe(&room);
    assert_eq!(coordinator.group_state(&room), None);
}

#[test]
fn who_begins_with_a_number_that_there_is_not_yet_begins_with_the_next() {
    let mut world = World::new(11);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, joined) = join_with(&mut world, alice, "room", JoinConfig::default());
    publish(&mut world, alice, at_alice, b"0");
    assert_eq!(message(&mut world, alice, at_alice).0, 0);
    let mut config = JoinConfig::default();
    config.start = GroupStart::At {
        incarnation: joined.incarnation,
        sequence: u64::MAX,
    };
    let (at_bob, joined) = join_with(&mut world, bob, "room", config);
    assert_eq!((joined.next, joined.missed), (1, 0));
    publish(&mut world, alice, at_alice, b"1");
    assert_eq!(message(&mut world, bob, at_bob), (1, "1".into()));
}

#[test]
fn who_listens_anew_is_told_anew_that_there_is_something() {
    let mut world = World::new(12);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    let at_alice = join(&mut world, alice, "room");
    for text in ["before", "after"] {
        let all = Lossy::default();
        let room = world.coordinator(coordinator).subscribe(&name("room"), all);
        room.unwrap();
        publish(&mut world, alice, at_alice, text.as_bytes());
        world.wait_for("something to hear", secs(5), |world| {
            world.take_event(coordinator, |event| match event {
                Event::Coordinator(CoordinatorEvent::GroupReadable { .. }) => Some(()),
                Event::Client(_) | Event::Coordinator(_) => None,
            })
        });
    }
    let item = world.coordinator(coordinator).group_recv(&name("room"));
    assert!(matches!(item, Some(GroupItem::Message(it)) if it.payload == "after"));
}
