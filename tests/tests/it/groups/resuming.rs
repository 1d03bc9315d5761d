//! A member that has lost its Coordinator goes on where it was, or is told what it has missed.

use std::task::Poll;

use conec_core::{CoordinatorConfig, GroupEnd, GroupItem, GroupStart, JoinConfig, PublishError};
use conec_tests::{
    keys,
    sim::{NodeId, World},
};

use super::{all, ended, join, join_with, message, name, next, publish, secs};

/// Alice and Bob, who look for their Coordinator again.
pub(super) fn two(seed: u64) -> (World, NodeId, [NodeId; 2]) {
    let mut world = World::new(seed);
    let coordinator = world.add_coordinator();
    let clients = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        config.reconnect = true;
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    (world, coordinator, clients)
}

#[test]
fn after_an_outage_a_member_hears_what_is_kept_and_is_told_what_is_not() {
    let (mut world, _, [alice, bob]) = two(1);
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    publish(&mut world, alice, at_alice, b"0");
    assert_eq!(message(&mut world, bob, at_bob), (0, "0".into()));
    world.set_up(bob, false);
    for number in 1..=400 {
        publish(&mut world, alice, at_alice, number.to_string().as_bytes());
        all(&mut world, alice, at_alice);
        world.run_for(secs(1) / 4);
    }
    world.set_up(bob, true);
    let GroupItem::Joined(joined) = next(&mut world, bob, at_bob) else {
        panic!("it has joined again")
    };
    // Some were on the way to it when it was cut off.
    assert!(!joined.is_new_order && joined.missed > 0, "{joined:?}");
    assert_eq!(joined.next, 401 - 256);
    assert_eq!(joined.missed, joined.next - 1);
    for number in joined.next..=400 {
        assert_eq!(
            message(&mut world, bob, at_bob),
            (number, number.to_string())
        );
    }
}

#[test]
fn a_coordinator_that_was_started_anew_has_a_new_order() {
    let (mut world, coordinator, [alice, bob]) = two(2);
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    publish(&mut world, alice, at_alice, b"before");
    assert_eq!(message(&mut world, bob, at_bob), (0, "before".into()));
    let before = world.client(bob).group(at_bob).info().unwrap().incarnation;
    world.restart_coordinator(coordinator, CoordinatorConfig::new(keys::certificate()));
    for (node, group) in [(alice, at_alice), (bob, at_bob)] {
        loop {
            if let GroupItem::Joined(joined) = next(&mut world, node, group) {
                assert!(joined.is_new_order);
                assert_ne!(Some(joined.incarnation), before);
                break;
            }
        }
    }
    publish(&mut world, alice, at_alice, b"after");
    assert_eq!(message(&mut world, bob, at_bob), (0, "after".into()));
}

#[test]
fn what_was_published_into_an_outage_is_said_to_be_unsure() {
    let (mut world, _, [alice, bob]) = two(3);
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    world.set_up(alice, false);
    let mut published = 0;
    for _ in 0..5 {
        let taken = world
            .client(alice)
            .group(at_alice)
            .publish(b"into the dark");
        published += u64::from(taken.is_ok());
    }
    assert_eq!(published, 5);
    world.run_for(secs(60));
    let waiting = world.client(alice).group(at_alice).publish(b"not now");
    assert_eq!(waiting, Err(PublishError::Blocked));
    world.set_up(alice, true);
    let GroupItem::Joined(joined) = next(&mut world, alice, at_alice) else {
        panic!("it has joined again")
    };
    assert_eq!(joined.unsure, 5);
    publish(&mut world, alice, at_alice, b"again");
    loop {
        if message(&mut world, bob, at_bob).1 == "again" {
            break;
        }
    }
}

/// What becomes of it is told to nobody who has left, so that there is nothing to wait for.
#[test]
fn who_has_left_waits_for_no_numbers() {
    let (mut world, _, [alice, _]) = two(9);
    let at_alice = join(&mut world, alice, "room");
    world.set_up(alice, false);
    publish(&mut world, alice, at_alice, b"into the dark");
    let mut group = world.client(alice).group(at_alice);
    assert_eq!(group.poll_confirmed(), Poll::Pending);
    group.leave();
    let mut group = world.client(alice).group(at_alice);
    assert_eq!(group.poll_confirmed(), Poll::Ready(()));
}

#[test]
fn who_does_not_look_for_its_coordinator_again_is_a_member_no_more() {
    let (mut world, _, [alice, bob]) = two(4);
    let mut config = world.client_config("carol");
    config.reconnect = false;
    let carol = world.add_client_with(config);
    let coordinator = world.add_coordinator();
    world.connect(carol, coordinator);
    let group = join(&mut world, carol, "room");
    world.crash(coordinator);
    let end = ended(&mut world, carol, group);
    assert!(matches!(end, GroupEnd::Closed(_)), "{end:?}");
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    publish(&mut world, alice, at_alice, b"others go on");
    assert_eq!(message(&mut world, bob, at_bob).1, "others go on");
}

#[test]
fn a_group_that_lasts_keeps_its_order_while_nobody_is_there() {
    let (mut world, coordinator, [alice, bob]) = two(5);
    world
        .coordinator(coordinator)
        .make_lasting_group(name("log"), conec_core::GroupConfig::default())
        .unwrap();
    let at_alice = join(&mut world, alice, "log");
    publish(&mut world, alice, at_alice, b"first");
    message(&mut world, alice, at_alice);
    world.client(alice).group(at_alice).leave();
    assert_eq!(ended(&mut world, alice, at_alice), GroupEnd::Left);
    world.run_for(secs(5));
    let mut config = JoinConfig::default();
    config.start = GroupStart::Oldest;
    let (at_bob, joined) = join_with(&mut world, bob, "log", config);
    assert_eq!((joined.next, joined.missed), (0, 0));
    assert_eq!(message(&mut world, bob, at_bob), (0, "first".into()));
}

#[test]
fn clients_that_close_leave_their_groups_first_and_nothing_is_left() {
    use conec_core::Endpoint;
    let (mut world, coordinator, clients) = two(6);
    for node in clients {
        join(&mut world, node, "room");
        let own = format!("room-{}", world.client_id(node).short());
        join(&mut world, node, &own);
    }
    for node in clients {
        let now = world.now();
        world.client(node).close(now, secs(20));
    }
    world.run_for(secs(15));
    for node in clients {
        while world.next_event(node).is_some() {}
        world.check_client_ended(node);
    }
    while world.next_event(coordinator).is_some() {}
    world.check_coordinator_deserted(coordinator);
}

#[test]
fn a_coordinator_that_closes_does_not_wait_for_groups() {
    use conec_core::Endpoint;
    let (mut world, coordinator, clients) = two(7);
    for node in clients {
        join(&mut world, node, "room");
    }
    let now = world.now();
    world.coordinator(coordinator).close(now, secs(60));
    world.run_for(secs(5));
    while world.next_event(coordinator).is_some() {}
    assert!(world.coordinator(coordinator).is_finished());
}

/// It hears what it has published as a member before, while nothing is known of what it has published since.
#[test]
fn what_was_published_in_a_former_membership_does_not_count_for_this_one() {
    let (mut world, _, [alice, bob]) = two(11);
    let [at_alice, _] = [alice, bob].map(|node| join(&mut world, node, "room"));
    for _ in 0..3 {
        publish(&mut world, alice, at_alice, &[7; 30_000]);
    }
    world.client(alice).group(at_alice).leave();
    ended(&mut world, alice, at_alice);
    world.run_for(secs(1));
    let mut config = JoinConfig::default();
    config.start = GroupStart::Oldest;
    let (group, _) = join_with(&mut world, alice, "room", config);
    publish(&mut world, alice, group, b"new");
    for (number, unconfirmed) in [(0, Some(1)), (1, Some(1)), (2, None), (3, Some(0))] {
        assert_eq!(message(&mut world, alice, group).0, number);
        let info = world.client(alice).group(group).info().unwrap();
        // The last two may have come together.
        let expected = unconfirmed.unwrap_or(info.unconfirmed);
        assert_eq!(info.unconfirmed, expected, "after {number}");
    }
}
