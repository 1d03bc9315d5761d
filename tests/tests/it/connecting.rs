//! From a stranger to a connected Client.

use conec_tests::sim::World;

#[test]
fn two_clients_exchange_messages_through_the_coordinator() {
    let mut world = World::new(1);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let ours = world.open_stream(at_alice, b"greetings");
    world.send(ours, "hello");
    world.send(ours, "");
    world.send(ours, vec![7; 3_000_000]);
    let (theirs, label) = world.accept_labelled(at_bob);
    assert_eq!(label, "greetings");
    assert_eq!(world.recv(theirs), "hello");
    assert_eq!(world.recv(theirs), "");
    assert_eq!(world.recv(theirs), vec![7; 3_000_000]);
    world.send(theirs, "and back");
    assert_eq!(world.recv(ours), "and back");
}
