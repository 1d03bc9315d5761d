//! Nobody is woken for nothing.

use std::{collections::BTreeMap, time::Duration};

use conec_core::{ChannelId, ClientEvent, Code, Endpoint, Path, TimeoutCause};
use conec_tests::sim::{Wakeup, World};

/// A driver that looks at the time alone comes back for what waits.
#[test]
fn who_has_events_is_due_at_once() {
    let mut world = World::new(78);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "news");
    world.run_for(Duration::from_secs(2));
    let now = world.now();
    let client = world.client(bob);
    assert!(client.poll_timeout().is_some_and(|at| at > now));
    assert_eq!(client.poll_wakeup(), client.poll_timeout());
    let endpoint = world.coordinator(coordinator);
    assert!(endpoint.poll_timeout().is_some_and(|at| at > now));
    assert_eq!(endpoint.poll_wakeup(), endpoint.poll_timeout());
    let theirs = world.accept_stream(at_bob);
    world.recv(theirs);
    // What this brings about is told to the application of either role.
    for node in [alice, coordinator] {
        world.set_lagging(node, true);
    }
    let mut home = world.channel(alice, ChannelId::HOME).unwrap();
    home.abort(now, Code(1));
    world.run_for(Duration::from_secs(2));
    let now = world.now();
    let due = world.client(alice).poll_timeout_cause();
    assert!(
        due.is_some_and(|(at, cause)| at <= now && cause == TimeoutCause::Events),
        "{due:?}"
    );
    let due = world.coordinator(coordinator).poll_timeout_cause();
    assert!(
        due.is_some_and(|(at, cause)| at <= now && cause == TimeoutCause::Events),
        "{due:?}"
    );
    // Not who hands them out only when asked.
    let due = world.coordinator(coordinator).poll_wakeup();
    assert!(due.is_some_and(|at| at > now), "{due:?}");
}

/// It is not about any channel.
#[test]
fn a_client_with_news_of_its_own_is_due_at_once() {
    let mut world = World::new(79);
    let (_, [alice]) = world.with_clients(["alice"]);
    world.run_for(Duration::from_secs(1));
    world.set_lagging(alice, true);
    let address = (world.address(alice).ip(), 5000).into();
    world.rebind(alice, address);
    world.run_for(Duration::from_secs(60));
    let now = world.now();
    let (due, cause) = world.client(alice).poll_timeout_cause().unwrap();
    assert_eq!((due <= now, cause), (true, TimeoutCause::Events));
    let news = world.client(alice).poll_event();
    assert_eq!(news, Some(ClientEvent::AddressObserved { address }));
}

/// A Coordinator and its Clients, one channel that is proxied and one that is direct, and nothing to do: everyone who is
/// woken knows what for, and has something to say then.
#[test]
fn in_an_idle_world_nobody_is_woken_for_nothing() {
    let mut world = World::new(77);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let carol = world.add_proxied_client("carol");
    world.connect(carol, coordinator);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let (with_carol, _) = world.open_channel(alice, carol);
    world.wait_for("a direct path", Duration::from_secs(10), |world| {
        let mut paths = [at_alice, at_bob].into_iter().map(|at| {
            let channel = world.channel(at.node, at.channel).unwrap();
            channel.path()
        });
        paths
            .all(|path| matches!(path, Path::Direct(_)))
            .then_some(())
    });
    let proxied = world.channel(alice, with_carol.channel).unwrap().path();
    assert_eq!(proxied, Path::Proxied);
    // While the direct path is kept warm, while it is left, and when it has been for long.
    world.wakeups();
    world.run_for(Duration::from_secs(600));
    let wakeups = world.wakeups();
    let mut causes = BTreeMap::new();
    for wakeup in &wakeups {
        *causes.entry(wakeup.cause).or_insert(0) += 1;
    }
    assert!(wakeups.len() > 100, "{causes:?}");
    assert!(wakeups.iter().all(|it| it.cause.is_some()), "{causes:?}");
    // A while after a key update, which both ends make once or not at all in this time, the old keys are thrown away
    // (RFC 9001, 6.5). There is nothing to say about it.
    let quiet: Vec<_> = wakeups.iter().filter(|it| !it.said).collect();
    let few = |node| quiet.iter().filter(|it| it.node == node).count() <= 1;
    assert!(
        [coordinator, alice, bob, carol].into_iter().all(few),
        "{quiet:#?}"
    );
    let of_links = |it: &&Wakeup| it.cause == Some(TimeoutCause::Connection);
    assert!(quiet.iter().all(of_links), "{quiet:#?}");
}
