//! Who is in a group, who may be, and how that ends.

use std::time::Duration;

use conec_core::{
    Client, CoordinatorConfig, ErrorCode, GroupEnd, GroupItem, JoinConfig, JoinError, PublishError,
};
use conec_tests::{
    keys,
    sim::{NodeId, World},
};

use super::{all, begin_joining, ended, join, join_with, message, name, next, publish, secs};

#[test]
fn members_and_publishers_are_counted_and_a_group_goes_with_its_last() {
    let mut world = World::new(1);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let at_alice = join(&mut world, alice, "room");
    let mut config = JoinConfig::default();
    config.publish = false;
    let (at_bob, _) = join_with(&mut world, bob, "room", config);
    world.run_for(secs(1));
    let state = world
        .coordinator(coordinator)
        .group_state(&name("room"))
        .unwrap();
    assert_eq!((state.members, state.publishers), (2, 1));
    for (node, group) in [(alice, at_alice), (bob, at_bob)] {
        let info = world.client(node).group(group).info().unwrap();
        assert_eq!((info.members, info.publishers), (2, 1));
    }
    let refused = world.client(bob).group(at_bob).publish(b"no");
    assert_eq!(refused, Err(PublishError::NotPublisher));
    world.client(alice).group(at_alice).leave();
    assert_eq!(ended(&mut world, alice, at_alice), GroupEnd::Left);
    world.run_for(secs(1));
    let info = world.client(bob).group(at_bob).info().unwrap();
    assert_eq!((info.members, info.publishers), (1, 0));
    world.client(bob).group(at_bob).leave();
    world.run_for(secs(1));
    assert_eq!(
        world.coordinator(coordinator).group_state(&name("room")),
        None
    );
}

#[test]
fn who_leaves_in_mid_stream_has_published_what_it_has_and_the_others_go_on() {
    let mut world = World::new(2);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    for number in 0..100 {
        publish(&mut world, alice, at_alice, format!("{number}").as_bytes());
    }
    world.client(alice).group(at_alice).leave();
    let left = world.client(alice).group(at_alice).publish(b"no");
    assert_eq!(left, Err(PublishError::Ended));
    publish(&mut world, bob, at_bob, b"bob's");
    let mut heard = Vec::new();
    while heard.len() < 101 {
        heard.push(message(&mut world, bob, at_bob).1);
    }
    heard.retain(|it| it != "bob's");
    let expected = (0..100).map(|number| number.to_string());
    assert!(heard.into_iter().eq(expected));
}

#[test]
fn several_groups_are_apart() {
    let mut world = World::new(3);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let rooms = ["one", "other"];
    let at_alice = rooms.map(|room| join(&mut world, alice, room));
    let at_bob = rooms.map(|room| join(&mut world, bob, room));
    publish(&mut world, alice, at_alice[0], b"in one");
    publish(&mut world, alice, at_alice[1], b"in the other");
    assert_eq!(message(&mut world, bob, at_bob[0]), (0, "in one".into()));
    assert_eq!(
        message(&mut world, bob, at_bob[1]),
        (0, "in the other".into())
    );
    world.run_for(secs(1));
    assert_eq!(all(&mut world, bob, at_bob[0]), []);
}

#[test]
fn who_watches_is_told_who_is_there_who_comes_and_who_goes() {
    let mut world = World::new(4);
    let (_, [alice, bob, carol]) = world.with_clients(["alice", "bob", "carol"]);
    join(&mut world, alice, "room");
    let mut config = JoinConfig::default();
    config.watch = true;
    let (at_bob, _) = join_with(&mut world, bob, "room", config);
    world.run_for(secs(1));
    let names = |items: Vec<GroupItem>| {
        let names = items.into_iter().map(|item| match item {
            GroupItem::Arrived(member) => member.name.unwrap().to_string(),
            other => panic!("{other:?}"),
        });
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(all(&mut world, bob, at_bob)), ["alice", "bob"]);
    let at_carol = join(&mut world, carol, "room");
    world.run_for(secs(1));
    assert_eq!(names(all(&mut world, bob, at_bob)), ["carol"]);
    world.client(carol).group(at_carol).leave();
    let gone = next(&mut world, bob, at_bob);
    assert_eq!(gone, GroupItem::Left(world.client_id(carol)));
    assert_eq!(world.client(bob).group(at_bob).members().len(), 2);
    // One that vanishes is gone when its home channel is.
    world.crash(alice);
    let gone = next(&mut world, bob, at_bob);
    assert_eq!(gone, GroupItem::Left(world.client_id(alice)));
}

fn ruled(seed: u64, rules: &str) -> (World, NodeId, [NodeId; 2]) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.rules = Some(format!("connect allow any\n{rules}").parse().unwrap());
    let coordinator = world.add_coordinator_with(config);
    let clients = ["alice", "bob"].map(|name| {
        let client = world.add_client(name);
        world.connect(client, coordinator);
        client
    });
    (world, coordinator, clients)
}

#[test]
fn rules_say_who_may_join_publish_and_make_groups() {
    let rules = "
        join allow any group room.*
        publish allow name:alice group room.*
        create allow name:alice group room.*
    ";
    let (mut world, _, [alice, bob]) = ruled(5, rules);
    let refused = |world: &mut World, node, group: &str, publish| {
        let mut config = JoinConfig::default();
        config.publish = publish;
        let id = begin_joining(world, node, group, config);
        ended(world, node, id)
    };
    let not_found = GroupEnd::Refused(ErrorCode::NotFound);
    assert_eq!(refused(&mut world, bob, "room.1", false), not_found);
    assert_eq!(refused(&mut world, bob, "other", false), not_found);
    assert_eq!(refused(&mut world, alice, "other", true), not_found);
    let at_alice = join(&mut world, alice, "room.1");
    let forbidden = GroupEnd::Refused(ErrorCode::Refused);
    assert_eq!(refused(&mut world, bob, "room.1", true), forbidden);
    let mut config = JoinConfig::default();
    config.publish = false;
    let (at_bob, _) = join_with(&mut world, bob, "room.1", config);
    publish(&mut world, alice, at_alice, b"for all");
    assert_eq!(message(&mut world, bob, at_bob).1, "for all");
}

#[test]
fn rules_that_change_count_for_members() {
    let all_may = "join allow any\npublish allow any\ncreate allow any";
    let (mut world, coordinator, [alice, bob]) = ruled(6, all_may);
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    let rules = "connect allow any\njoin allow any\npublish allow name:alice";
    let now = world.now();
    world
        .coordinator(coordinator)
        .set_rules(now, rules.parse().unwrap());
    let end = ended(&mut world, bob, at_bob);
    assert_eq!(end, GroupEnd::Refused(ErrorCode::Refused));
    publish(&mut world, alice, at_alice, b"still");
    assert_eq!(message(&mut world, alice, at_alice).1, "still");
}

#[test]
fn what_cannot_be_is_said_at_once_and_changes_nothing() {
    let mut world = World::new(7);
    let (_, [alice]) = world.with_clients(["alice"]);
    let at_alice = join(&mut world, alice, "room");
    let now = world.now();
    let mut deaf = JoinConfig::default();
    (deaf.publish, deaf.hear) = (false, false);
    let client = world.client(alice);
    let again = client.join(now, name("room"), JoinConfig::default());
    assert_eq!(again, Err(JoinError::AlreadyMember));
    assert_eq!(
        client.join(now, name("other"), deaf),
        Err(JoinError::NoPart)
    );
    let too_large = client.group(at_alice).publish(&[0; (64 << 10) + 1]);
    assert_eq!(too_large, Err(PublishError::TooLarge { max: 64 << 10 }));
    let many = (0..100)
        .map(|number| client.join(now, name(&format!("room-{number}")), JoinConfig::default()));
    assert_eq!(many.filter(Result::is_ok).count(), 15);
    publish(&mut world, alice, at_alice, &[0; 64 << 10]);
    assert_eq!(message(&mut world, alice, at_alice).1.len(), 64 << 10);
}

/// The others are told only of how many there are in the end, which is as many as before.
#[test]
fn who_joins_when_another_leaves_knows_how_many_there_are() {
    let mut world = World::new(11);
    let (_, nodes) = world.with_clients(["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = nodes;
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    world.run_for(secs(1));
    // This is told at once, and what comes after that a little later.
    join(&mut world, dave, "room");
    let at_carol = begin_joining(&mut world, carol, "room", JoinConfig::default());
    world.run_for(Duration::from_millis(1));
    world.client(bob).group(at_bob).leave();
    world.run_for(secs(1));
    for (node, group) in [(alice, at_alice), (carol, at_carol)] {
        let info = world.client(node).group(group).info().unwrap();
        assert_eq!((info.members, info.publishers), (3, 3), "{node:?}");
    }
}

/// What it has published before it has left is published still, and then it is a member again.
#[test]
fn who_leaves_may_join_again_at_once() {
    let mut world = World::new(12);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let [mut at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    for round in 0..10 {
        for number in 0..round {
            let text = format!("{round} {number}");
            publish(&mut world, alice, at_alice, text.as_bytes());
        }
        world.client(alice).group(at_alice).leave();
        at_alice = join(&mut world, alice, "room");
        publish(&mut world, alice, at_alice, b"again");
        for number in 0..round {
            let expected = format!("{round} {number}");
            assert_eq!(message(&mut world, bob, at_bob).1, expected);
        }
        assert_eq!(message(&mut world, bob, at_bob).1, "again");
    }
}

/// Each membership waits for the end of the former one in its own group. In one of these, much is to be published before.
#[test]
fn who_leaves_two_groups_may_join_both_again_at_once() {
    let mut world = World::new(13);
    let (_, [alice]) = world.with_clients(["alice"]);
    let rooms = ["large", "small"];
    let former = rooms.map(|room| join(&mut world, alice, room));
    for _ in 0..20 {
        publish(&mut world, alice, former[0], &[1; 20_000]);
    }
    let anew: Vec<_> = std::iter::zip(rooms, former)
        .map(|(room, group)| {
            world.client(alice).group(group).leave();
            begin_joining(&mut world, alice, room, JoinConfig::default())
        })
        .collect();
    for group in anew {
        let item = next(&mut world, alice, group);
        assert!(matches!(item, GroupItem::Joined(_)), "{item:?}");
    }
}

/// How many memberships there is room for, with so much memory for them.
fn memberships(world: &World, memory: usize) -> usize {
    let mut config = world.client_config("alice");
    config.limits.group_memory = memory;
    let mut client = Client::new(config, [7; 32]).unwrap();
    let now = world.now();
    let mut join =
        |number: usize| client.join(now, name(&format!("room-{number}")), JoinConfig::default());
    (0..4)
        .map(&mut join)
        .take_while(|joined| joined.is_ok())
        .count()
}

#[test]
fn memberships_may_use_up_the_memory_that_there_is_for_them() {
    let world = World::new(9);
    let (mut too_little, mut enough) = (0, 64 << 20);
    while enough - too_little > 1 {
        let middle = usize::midpoint(too_little, enough);
        match memberships(&world, middle) {
            0 => too_little = middle,
            _ => enough = middle,
        }
    }
    assert_eq!(memberships(&world, 2 * enough - 1), 1);
    assert_eq!(memberships(&world, 2 * enough), 2);
}
