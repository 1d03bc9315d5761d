//! Groups whose messages the Coordinator cannot read, forge, repeat or leave out unnoticed.

use bytes::Bytes;
use conec_core::{
    GroupItem, GroupKey, GroupStart, JoinConfig, KeyMatch, KeyNotUsed, Lossy, UnsealError,
};
use conec_tests::sim::{NodeId, World};

use super::{all, join, join_with, message, name, next, publish, resuming::two, secs};

fn key(byte: u8) -> GroupKey {
    GroupKey::from_bytes([byte; 32])
}

fn sealed(byte: u8) -> JoinConfig {
    JoinConfig::sealed(key(byte))
}

/// What the Coordinator's application sees of a group.
fn seen(world: &mut World, coordinator: NodeId) -> Vec<Bytes> {
    world.run_for(secs(1));
    let coordinator = world.coordinator(coordinator);
    let items = std::iter::from_fn(|| coordinator.group_recv(&name("room")));
    let payloads = items.filter_map(|item| match item {
        GroupItem::Message(message) => Some(message.payload),
        _ => None,
    });
    payloads.collect()
}

#[test]
fn members_with_the_key_understand_each_other_and_the_coordinator_does_not() {
    let mut world = World::new(1);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let [at_alice, at_bob] =
        [alice, bob].map(|node| join_with(&mut world, node, "room", sealed(1)).0);
    let queue = Lossy::default();
    world
        .coordinator(coordinator)
        .subscribe(&name("room"), queue)
        .unwrap();
    for number in 0..3 {
        publish(&mut world, alice, at_alice, b"between us");
        for (node, group) in [(alice, at_alice), (bob, at_bob)] {
            assert_eq!(
                message(&mut world, node, group),
                (number, "between us".into())
            );
        }
    }
    let seen = seen(&mut world, coordinator);
    assert_eq!(seen.len(), 3);
    for sealed in &seen {
        assert!(!sealed.windows(10).any(|it| it == b"between us"));
        assert!(sealed.len() <= 10 + 65);
    }
    assert_ne!(seen[0], seen[1]);
    // Both know that the other has the key, and that is no news.
    for (node, group) in [(alice, at_alice), (bob, at_bob)] {
        assert_eq!(all(&mut world, node, group), []);
        let max = world
            .client(node)
            .group(group)
            .info()
            .unwrap()
            .max_message_size;
        assert_eq!(max, (64 << 10) - 65);
    }
}

#[test]
fn who_has_another_key_or_none_is_known_for_that_and_not_understood() {
    let mut world = World::new(2);
    let (_, [alice, bob, carol]) = world.with_clients(["alice", "bob", "carol"]);
    let (at_alice, _) = join_with(&mut world, alice, "room", sealed(1));
    let (at_bob, _) = join_with(&mut world, bob, "room", sealed(2));
    let at_carol = join(&mut world, carol, "room");
    world.run_for(secs(1));
    let keys = |world: &mut World, node, group| {
        let mut keys: Vec<_> = all(world, node, group)
            .into_iter()
            .map(|item| match item {
                GroupItem::Arrived(member) => {
                    (member.name.unwrap().to_string(), member.key.unwrap())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        keys.sort_by(|one, other| one.0.cmp(&other.0));
        keys
    };
    let expected = |other: &str| {
        vec![
            (other.to_owned(), KeyMatch::Different),
            ("carol".to_owned(), KeyMatch::Unsealed),
        ]
    };
    assert_eq!(keys(&mut world, alice, at_alice), expected("bob"));
    assert_eq!(keys(&mut world, bob, at_bob), expected("alice"));
    publish(&mut world, bob, at_bob, b"bob's");
    publish(&mut world, carol, at_carol, b"carol's");
    world.run_for(secs(1));
    let problems: Vec<_> = all(&mut world, alice, at_alice)
        .into_iter()
        .map(|item| match item {
            GroupItem::Unopened {
                sequence,
                sender,
                problem,
            } => (sequence, sender.unwrap(), problem),
            other => panic!("{other:?}"),
        })
        .collect();
    let ids = [bob, carol].map(|node| world.client_id(node));
    assert_eq!(problems.len(), 2);
    for (of, problem) in [
        (ids[0], UnsealError::OtherKey),
        (ids[1], UnsealError::Malformed),
    ] {
        assert!(
            problems.iter().any(|it| it.1 == of && it.2 == problem),
            "{problems:?}"
        );
    }
    assert_eq!(
        world.client(alice).group(at_alice).info().unwrap().unopened,
        2
    );
}

#[test]
fn a_key_is_changed_while_the_group_lives() {
    let mut world = World::new(3);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let [at_alice, at_bob] =
        [alice, bob].map(|node| join_with(&mut world, node, "room", sealed(1)).0);
    world.client(bob).group(at_bob).set_key(key(2)).unwrap();
    publish(&mut world, bob, at_bob, b"too early");
    let sender = Some(world.client_id(bob));
    // Alice is told that Bob has another key, and does not understand.
    world.run_for(secs(1));
    let items = all(&mut world, alice, at_alice);
    assert!(
        items.iter().any(
            |item| matches!(item, GroupItem::Arrived(it) if it.key == Some(KeyMatch::Different))
        )
    );
    let problem = UnsealError::OtherKey;
    assert!(items.contains(&GroupItem::Unopened {
        sequence: 0,
        sender,
        problem
    }));
    // Bob still understands what is sealed with the former key.
    publish(&mut world, alice, at_alice, b"with the former");
    assert_eq!(message(&mut world, bob, at_bob).1, "too early");
    assert_eq!(message(&mut world, bob, at_bob).1, "with the former");
    world.client(alice).group(at_alice).set_key(key(2)).unwrap();
    publish(&mut world, bob, at_bob, b"now");
    let (mut texts, mut withheld) = (Vec::new(), 0);
    world.run_for(secs(1));
    for item in all(&mut world, alice, at_alice) {
        match item {
            GroupItem::Message(message) => texts.push(message.payload),
            GroupItem::Arrived(_) | GroupItem::Left(_) => {}
            // What did not open counts as missing.
            GroupItem::Withheld { count, .. } => withheld += count,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(texts, [&b"with the former"[..], b"now"]);
    let info = world.client(alice).group(at_alice).info().unwrap();
    assert!(withheld > 0 && info.withheld == withheld, "{withheld}");
    world.client(bob).group(at_bob).forget_former_keys();
    publish(&mut world, alice, at_alice, b"both with the new one");
    while message(&mut world, bob, at_bob).1 != "both with the new one" {}
    // Without any, none can be set.
    let plain = join(&mut world, alice, "plain");
    assert_eq!(
        world.client(alice).group(plain).set_key(key(3)),
        Err(KeyNotUsed)
    );
}

#[test]
fn who_is_back_after_an_outage_opens_what_it_has_missed_and_nothing_twice() {
    let (mut world, _, [alice, bob]) = two(4);
    let [at_alice, at_bob] =
        [alice, bob].map(|node| join_with(&mut world, node, "room", sealed(1)).0);
    let mut expected = 0;
    for round in 0..4 {
        for number in 0..20 {
            publish(
                &mut world,
                alice,
                at_alice,
                format!("{round} {number}").as_bytes(),
            );
            all(&mut world, alice, at_alice);
        }
        if round % 2 == 0 {
            world.set_up(bob, false);
            world.run_for(secs(60));
            world.set_up(bob, true);
        }
        world.run_for(secs(60));
        for item in all(&mut world, bob, at_bob) {
            match item {
                GroupItem::Message(message) => {
                    assert_eq!(message.sequence, expected);
                    expected += 1;
                }
                GroupItem::Joined(joined) => {
                    assert_eq!(
                        (joined.next, joined.missed, joined.is_new_order),
                        (expected, 0, false)
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(expected, 80);
    let info = world.client(bob).group(at_bob).info().unwrap();
    assert_eq!((info.unopened, info.withheld), (0, 0));
}

#[test]
fn who_leaves_and_joins_again_is_believed_though_it_hears_from_the_beginning() {
    let mut world = World::new(5);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, _) = join_with(&mut world, alice, "room", sealed(1));
    let (at_bob, _) = join_with(&mut world, bob, "room", sealed(1));
    for round in 0..3 {
        publish(&mut world, bob, at_bob, b"before");
        let again = {
            world.client(alice).group(at_alice).leave();
            world.run_for(secs(1));
            let mut config = sealed(1);
            config.start = GroupStart::Oldest;
            join_with(&mut world, alice, "room", config).0
        };
        publish(&mut world, alice, again, b"alice's");
        loop {
            let (_, text) = message(&mut world, bob, at_bob);
            if text == "alice's" {
                break;
            }
        }
        // All that was said before opens as well, hers too.
        world.run_for(secs(1));
        let heard = all(&mut world, alice, again);
        let opened = heard
            .iter()
            .filter(|item| matches!(item, GroupItem::Message(_)));
        assert_eq!(opened.count(), heard.len(), "{heard:?}");
        assert!(heard.len() > round);
        world.client(alice).group(again).leave();
        world.run_for(secs(1));
    }
}

#[test]
fn what_a_sealed_member_is_told_by_the_coordinators_application_is_not_taken_for_a_members() {
    let mut world = World::new(6);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    let (at_alice, _) = join_with(&mut world, alice, "room", sealed(1));
    let now = world.now();
    world
        .coordinator(coordinator)
        .publish(now, &name("room"), "believe me".into())
        .unwrap();
    let unopened = GroupItem::Unopened {
        sequence: 0,
        sender: None,
        problem: UnsealError::Malformed,
    };
    assert_eq!(next(&mut world, alice, at_alice), unopened);
}
