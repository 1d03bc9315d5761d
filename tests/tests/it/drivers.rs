//! What those drivers are told that take the events of channels and groups by themselves.

use conec_core::{Client, Endpoint, GroupEnd, GroupEvent, GroupItem, Lossy};
use conec_tests::sim::World;

use crate::groups::{join, name, publish, secs};

#[test]
fn that_a_clients_state_is_another_is_said_once() {
    let mut world = World::new(1);
    let coordinator = world.add_coordinator();
    let mut client = Client::new(world.client_config("alice"), [7; 32]).unwrap();
    assert!(!client.state_changed());
    let (now, address) = (world.now(), world.address(coordinator));
    client.connect(now, "localhost", &[address]).unwrap();
    assert!(client.state_changed());
    assert!(!client.state_changed());
    client.close(now, secs(1));
    assert!(client.state_changed());
    assert!(!client.state_changed());
}

#[test]
fn a_subscription_of_the_coordinators_application_is_readable() {
    let mut world = World::new(2);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    join(&mut world, alice, "room");
    let (room, now) = (name("room"), world.now());
    let coordinator = world.coordinator(coordinator);
    let subscription = coordinator.subscribe(&room, Lossy::default()).unwrap();
    assert_eq!(coordinator.poll_group_event(), None);
    coordinator.publish(now, &room, "news".into()).unwrap();
    assert!(coordinator.has_application_events());
    let readable = Some((subscription, GroupEvent::Readable));
    assert_eq!(coordinator.poll_group_event(), readable);
    assert_eq!(coordinator.poll_group_event(), None);
    assert!(coordinator.group_recv(&room).is_some());
}

/// What was heard can be received until the driver forgets the membership.
#[test]
fn a_membership_that_is_over_is_there_until_it_is_forgotten() {
    let mut world = World::new(3);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let [at_alice, at_bob] = [alice, bob].map(|it| join(&mut world, it, "room"));
    for text in ["one", "two"] {
        publish(&mut world, alice, at_alice, text.as_bytes());
    }
    world.run_for(secs(1));
    let client = world.client(bob);
    client.group(at_bob).leave();
    let mut told = Vec::new();
    while let Some((group, event)) = client.poll_group_event() {
        assert_eq!(group, at_bob);
        told.push(event);
    }
    assert_eq!(told.last(), Some(&GroupEvent::Ended(GroupEnd::Left)));
    let heard = client.group(at_bob).recv();
    assert!(matches!(heard, Some(GroupItem::Message(it)) if it.payload == "one"));
    client.group(at_bob).forget();
    assert_eq!(client.group(at_bob).recv(), None);
    assert_eq!(client.poll_group_event(), None);
}
