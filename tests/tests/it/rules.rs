//! Who may connect and who may reach whom, by rules: also when they change, and by invitations.

use std::time::Duration;

use conec_core::{
    ChannelId, ClientConfig, CloseReason, CoordinatorConfig, CoordinatorEvent, Endpoint, ErrorCode,
    Name, Path, Rules, Secret, Target,
};
use conec_tests::{
    keys,
    sim::{At, Event, NodeId, World},
};

use crate::connecting::home;

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn world(seed: u64, rules: &Rules) -> (World, NodeId) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.rules = Some(rules.clone());
    let coordinator = world.add_coordinator_with(config);
    (world, coordinator)
}

fn join<const N: usize>(world: &mut World, at: NodeId, names: [&str; N]) -> [NodeId; N] {
    names.map(|name| {
        let client = world.add_client(name);
        world.connect(client, at);
        client
    })
}

/// The same, with Clients that come back when they have lost their Coordinator.
fn join_for_long<const N: usize>(world: &mut World, at: NodeId, names: [&str; N]) -> [NodeId; N] {
    names.map(|name| {
        let mut config = world.client_config(name);
        config.reconnect = true;
        let client = world.add_client_with(config);
        world.connect(client, at);
        client
    })
}

/// Why a Client is not let in.
fn refused(world: &mut World, coordinator: NodeId, config: ClientConfig) -> CloseReason {
    let client = world.add_client_with(config);
    world.start_connecting(client, coordinator);
    world.closed(home(client))
}

/// How a channel to this Client ends for who asks for it, and after how long.
fn ends(world: &mut World, from: NodeId, to: &str) -> (CloseReason, Duration) {
    let begun = world.elapsed();
    let at = world.request_channel(from, Target::Name(name(to)));
    (world.closed(at), world.elapsed() - begun)
}

/// Who wants to be let in, and what it would be called.
fn asking_client(world: &mut World, coordinator: NodeId) -> (ChannelId, Option<Name>) {
    world.wait_for("a question", Duration::from_secs(9), |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::ClientAsks { client, name, .. }) => {
                Some((*client, name.clone()))
            }
            Event::Coordinator(_) | Event::Client(_) => None,
        })
    })
}

const REFUSED: CloseReason = CloseReason::Remote(ErrorCode::Refused);
const NOT_FOUND: CloseReason = CloseReason::Remote(ErrorCode::NotFound);

#[test]
fn they_say_who_is_let_in_and_what_it_is_called() {
    let rules = "connect deny name:mallory\nconnect allow name:printer-* as printer,office";
    let rules = format!("{rules}\nconnect allow name:alice\nreach allow any to any");
    let (mut world, coordinator) = world(1, &rules.parse().unwrap());
    let [printer, alice] = join(&mut world, coordinator, ["printer-7", "alice"]);
    assert_eq!(world.client(printer).name(), Some(&name("printer")));
    for by in ["printer", "office"] {
        let at = world.request_channel(alice, Target::Name(name(by)));
        assert_eq!(world.opened(alice), at);
        world.opened(printer);
    }
    assert_eq!(ends(&mut world, alice, "printer-7").0, NOT_FOUND);
    for nobody in ["mallory", "bob"] {
        let config = world.client_config(nobody);
        assert_eq!(refused(&mut world, coordinator, config), REFUSED);
    }
    // Each of the names is taken.
    let config = world.client_config("printer-8");
    let taken = CloseReason::Remote(ErrorCode::NameInUse);
    assert_eq!(refused(&mut world, coordinator, config), taken);
    let now = world.now();
    world.client(printer).close(now, Duration::from_secs(1));
    world.closed(home(printer));
    world.run_for(Duration::from_secs(1));
    join(&mut world, coordinator, ["printer-8"]);
}

/// Who may not reach somebody learns no more than that nobody is there, and that at the same time.
#[test]
fn they_say_who_reaches_whom_and_what_for() {
    let rules = "connect allow name:alice tag staff\nconnect allow name:bob tag staff,office
        connect allow any\nreach allow tag:staff to tag:office label te*\nreach allow any to name:guest
        reach deny any to any";
    let (mut world, coordinator) = world(2, &rules.parse().unwrap());
    let [alice, bob, guest] = join(&mut world, coordinator, ["alice", "bob", "guest"]);
    world.open_channel(alice, bob);
    world.open_channel(bob, guest);
    let nobody = ends(&mut world, guest, "nobody");
    assert_eq!(nobody.0, NOT_FOUND);
    for somebody in ["alice", "bob"] {
        assert_eq!(ends(&mut world, guest, somebody), nobody);
    }
    let now = world.now();
    let at = world.client(alice);
    let channel = at.open_channel(now, name("bob"), b"other").unwrap();
    let at = At {
        node: alice,
        channel,
    };
    assert_eq!(world.closed(at), NOT_FOUND);
}

#[test]
fn when_they_change_what_stands_ends_that_may_not_be() {
    let (mut world, coordinator) = world(3, &Rules::everybody());
    let names = ["alice", "bob", "carol", "mallory"];
    let [alice, bob, carol, mallory] = join(&mut world, coordinator, names);
    let (alices, bobs) = world.open_channel(alice, bob);
    let (mallorys, _) = world.open_channel(mallory, carol);
    let (carols, _) = world.open_channel(carol, bob);
    let stream = world.open_stream(carols, b"");
    let rules = "connect deny name:mallory\nconnect allow any\nreach deny name:alice to any
        reach allow any to any";
    let now = world.now();
    world
        .coordinator(coordinator)
        .set_rules(now, rules.parse().unwrap());
    for at in [alices, bobs] {
        assert_eq!(world.closed(at), REFUSED);
    }
    assert_eq!(world.closed(home(mallory)), REFUSED);
    world.closed(mallorys);
    assert_eq!(ends(&mut world, alice, "bob").0, NOT_FOUND);
    // Neither channel can be claimed, here or elsewhere.
    assert_eq!(world.coordinator(coordinator).revocations().count(), 2);
    // The others have noticed nothing.
    world.send(stream, "hello");
    assert!(world.client(carol).is_connected());
}

#[test]
fn who_is_forbidden_is_gone_until_that_is_taken_back() {
    let (mut world, coordinator) = world(4, &Rules::everybody());
    let [alice, bob] = join(&mut world, coordinator, ["alice", "bob"]);
    let mut config = world.client_config("mallory");
    // It is told that it is for good.
    config.reconnect = true;
    let mallory = world.add_client_with(config.clone());
    world.connect(mallory, coordinator);
    let (_, at_bob) = world.open_channel(mallory, bob);
    let (now, id) = (world.now(), world.client_id(mallory));
    world.coordinator(coordinator).forbid(now, id);
    assert_eq!(world.closed(home(mallory)), REFUSED);
    assert_eq!(world.closed(at_bob), REFUSED);
    assert_eq!(refused(&mut world, coordinator, config.clone()), REFUSED);
    world.open_channel(alice, bob);
    assert!(world.coordinator(coordinator).permit(id));
    assert!(!world.coordinator(coordinator).permit(id));
    let mallory = world.add_client_with(config);
    world.connect(mallory, coordinator);
    let rules = world.coordinator(coordinator).rules().clone();
    assert_eq!(rules, Rules::everybody());
}

/// Who was let in for the name that it wanted to have stays, whatever it is called now.
#[test]
fn when_they_change_what_a_client_wanted_to_be_called_counts() {
    let rules = "connect allow name:printer-* as printer tag old\nreach allow any to any";
    let (mut world, coordinator) = world(11, &rules.parse().unwrap());
    let [printer] = join(&mut world, coordinator, ["printer-7"]);
    let (now, rules) = (world.now(), rules.replace("old", "new"));
    world
        .coordinator(coordinator)
        .set_rules(now, rules.parse().unwrap());
    world.run_for(Duration::from_secs(1));
    assert!(world.client(printer).is_connected());
    let info = world.coordinator(coordinator).info(name("printer"));
    assert!(info.unwrap().tags.contains(&name("new")));
}

/// A Client that was away when rules changed claims a channel that may not be any more.
#[test]
fn what_was_away_is_judged_when_it_is_back() {
    let (mut world, coordinator) = world(5, &Rules::everybody());
    let [alice, bob] = join_for_long(&mut world, coordinator, ["alice", "bob"]);
    let (alices, bobs) = world.open_channel(alice, bob);
    world.set_up(alice, false);
    // Its home channel has ended, its channel to the other has not.
    world.run_for(Duration::from_secs(50));
    assert_eq!(world.coordinator(coordinator).clients(), 1);
    let now = world.now();
    let rules = "connect allow any\nreach deny any to any".parse().unwrap();
    world.coordinator(coordinator).set_rules(now, rules);
    assert_eq!(world.coordinator(coordinator).pairs(None, 9).len(), 1);
    world.set_up(alice, true);
    for at in [alices, bobs] {
        let reason = world.closed(at);
        assert_eq!(reason, CloseReason::Remote(ErrorCode::NotResumed));
    }
    assert!(world.client(alice).is_connected());
}

/// Rules are for Clients: whom the application connects is connected, and stays so when one was away, or rules change.
#[test]
fn they_are_not_for_what_the_application_arranges() {
    let rules: Rules = "connect allow any".parse().unwrap();
    let (mut world, coordinator) = world(12, &rules);
    let [alice, bob] = join_for_long(&mut world, coordinator, ["alice", "bob"]);
    let now = world.now();
    world
        .coordinator(coordinator)
        .connect(now, name("alice"), name("bob"), b"")
        .unwrap();
    let (at_alice, at_bob) = (world.opened(alice), world.opened(bob));
    world.set_up(alice, false);
    world.run_for(Duration::from_secs(50));
    assert_eq!(world.coordinator(coordinator).clients(), 1);
    world.set_up(alice, true);
    world.run_for(Duration::from_secs(15));
    let now = world.now();
    world.coordinator(coordinator).set_rules(now, rules);
    let stream = world.open_stream(at_alice, b"");
    world.send(stream, "hello");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "hello");
    assert_eq!(ends(&mut world, alice, "bob").0, NOT_FOUND);
}

/// Whom an operator has invited is let in once by the token, and then by its key.
#[test]
fn an_invitation_is_used_once() {
    let (mut world, coordinator) = world(6, &Rules::nobody());
    let invite = |world: &mut World, valid| {
        let now = world.now();
        let coordinator = world.coordinator(coordinator);
        coordinator.invite(now, [name("printer")], [name("office")], valid)
    };
    let with = |world: &World, wanted: &str, token: &Secret<_>| {
        let mut config = world.client_config(wanted);
        config.token = token.clone();
        config
    };
    let token = invite(&mut world, Duration::from_secs(3600));
    let late = invite(&mut world, Duration::from_secs(60));
    let config = world.client_config("mallory");
    assert_eq!(refused(&mut world, coordinator, config), REFUSED);
    let config = with(&world, "whatever", &token);
    let printer = world.add_client_with(config.clone());
    world.connect(printer, coordinator);
    assert_eq!(world.client(printer).name(), Some(&name("printer")));
    let joined = world.take_event(coordinator, |event| match event {
        Event::Coordinator(CoordinatorEvent::ClientJoined { id, .. }) => Some(*id),
        Event::Coordinator(_) | Event::Client(_) => None,
    });
    assert_eq!(joined, Some(world.client_id(printer)));
    let stolen = with(&world, "mallory", &token);
    assert_eq!(refused(&mut world, coordinator, stolen), REFUSED);
    world.run_for(Duration::from_secs(60));
    let late = with(&world, "mallory", &late);
    assert_eq!(refused(&mut world, coordinator, late), REFUSED);
    // What is stored of it lets the printer in at a Coordinator that is started anew.
    let stored = world.coordinator(coordinator).rules().to_string();
    let mut anew = CoordinatorConfig::new(keys::certificate());
    anew.rules = Some(stored.parse().unwrap());
    world.restart_coordinator(coordinator, anew);
    let mut own = config;
    own.token = Secret::default();
    let printer = world.add_client_with(own);
    world.connect(printer, coordinator);
    assert_eq!(world.client(printer).name(), Some(&name("printer")));
}

/// Of two that come with the same token, and are both let in by the application, one is.
#[test]
fn an_invitation_is_one_clients_however_many_are_fast() {
    let (mut world, coordinator) = world(7, &Rules::nobody());
    let now = world.now();
    let valid = Duration::from_secs(3600);
    let token = world.coordinator(coordinator).invite(now, [], [], valid);
    let rules = world.coordinator(coordinator).rules().to_string();
    let asking = rules.replace("connect allow token:", "connect ask token:");
    let now = world.now();
    world
        .coordinator(coordinator)
        .set_rules(now, asking.parse().unwrap());
    let clients = ["alice", "bob"].map(|wanted| {
        let mut config = world.client_config(wanted);
        config.token = token.clone();
        let client = world.add_client_with(config);
        world.start_connecting(client, coordinator);
        (client, asking_client(&mut world, coordinator).0)
    });
    for (_, asking) in clients {
        let now = world.now();
        let coordinator = world.coordinator(coordinator);
        coordinator.admit(now, asking, None).unwrap();
    }
    let [(alice, _), (bob, _)] = clients;
    assert_eq!(world.closed(home(bob)), REFUSED);
    assert!(world.client(alice).is_connected());
}

#[test]
fn an_operator_sees_who_is_there_page_by_page() {
    let rules = "connect allow name:a* as first,second tag some\nconnect allow any
        reach allow any to any";
    let (mut world, coordinator) = world(8, &rules.parse().unwrap());
    let began = world.now();
    let [alice, bob, _carol] = join(&mut world, coordinator, ["alice", "bob", "carol"]);
    world.open_channel(alice, bob);
    world.open_channel(bob, alice);
    let info = world.coordinator(coordinator).info(name("second")).unwrap();
    assert_eq!(info.id, world.client_id(alice));
    assert_eq!(info.names, [name("first"), name("second")]);
    assert!(info.tags.contains(&name("some")));
    assert_eq!(info.channels, 2);
    assert!(info.since > began && info.since < world.now());
    assert_eq!(info.address, world.address(alice));
    let coordinator = world.coordinator(coordinator);
    assert_eq!(coordinator.find(info.id), Some(info.channel));
    let (mut after, mut found) = (None, Vec::new());
    while let [one] = coordinator.list(after, 1).as_slice() {
        after = Some(one.id);
        found.push(one.clone());
    }
    assert_eq!(found, coordinator.list(None, 100));
    assert_eq!(found.len(), 3);
    let pairs = coordinator.pairs(None, 100);
    assert_eq!(pairs.len(), 2);
    assert!(
        pairs
            .iter()
            .all(|it| it.started && it.complete && it.label == "test")
    );
    assert_eq!(coordinator.pairs(Some(pairs[0].pair), 100), pairs[1..]);
    assert_eq!([pairs[0].from, pairs[0].to], [pairs[1].to, pairs[1].from]);
}

/// Those see on which path a channel is whose Clients say so. What is forwarded is seen in any case.
#[test]
fn an_operator_sees_paths_where_clients_agree() {
    let (mut world, coordinator) = world(10, &Rules::everybody());
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        config.paths.report = name == "alice";
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    let (at_alice, _) = world.open_channel(alice, bob);
    world.wait_for("a direct path", Duration::from_secs(10), |world| {
        let channel = world.channel(alice, at_alice.channel)?;
        matches!(channel.path(), Path::Direct(_)).then_some(())
    });
    world.run_for(Duration::from_secs(1));
    let [pair] = &world.coordinator(coordinator).pairs(None, 9)[..] else {
        panic!("there is one")
    };
    assert_eq!(pair.direct, [Some(true), None]);
    assert!(pair.packets > 4 && pair.bytes > 4800, "the handshake");
    let (now, address) = (pair.packets, world.address(coordinator));
    for client in [alice, bob] {
        // From now on, the way between them is closed.
        let others = [alice, bob].into_iter().find(|&it| it != client).unwrap();
        world.link(client, others).loss = 1.0;
    }
    let stream = world.open_stream(at_alice, b"");
    world.send(stream, "hello");
    world.run_for(Duration::from_secs(20));
    let pair = world.coordinator(coordinator).pairs(None, 9).remove(0);
    assert_eq!(pair.direct, [Some(false), None], "by way of {address}");
    assert!(pair.packets > now);
}

/// Rules that ask leave it to the application, which hears what they would call the Client.
#[test]
fn rules_can_ask() {
    let rules = "connect ask any as printer,office tag some\nreach ask any to any";
    let (mut world, coordinator) = world(9, &rules.parse().unwrap());
    let clients = ["alice", "bob"].map(|wanted| {
        let client = world.add_client(wanted);
        world.start_connecting(client, coordinator);
        let (asking, asked) = asking_client(&mut world, coordinator);
        assert_eq!(asked, Some(name("printer")));
        let now = world.now();
        let given = Some(name(wanted));
        world
            .coordinator(coordinator)
            .admit(now, asking, given)
            .unwrap();
        client
    });
    // The other name is the first one's.
    let taken = CloseReason::Remote(ErrorCode::NameInUse);
    assert_eq!(world.closed(home(clients[1])), taken);
    let info = world.coordinator(coordinator).info(name("alice")).unwrap();
    assert_eq!(info.names, [name("alice"), name("office")]);
    assert!(info.tags.contains(&name("some")));
}

/// Each refusal takes its second. Who has left by then is not told, nor is the next that comes under its key: both count from one.
#[test]
fn who_comes_back_at_once_hears_nothing_of_what_was_refused_before() {
    let rules = "connect allow any\nreach ask any to any";
    let (mut world, coordinator) = world(40, &rules.parse().unwrap());
    let [bob] = join(&mut world, coordinator, ["bob"]);
    let config = world.client_config("alice");
    let alice = world.add_client_with(config.clone());
    world.connect(alice, coordinator);
    world.request_channel(alice, Target::Name(name("nobody")));
    world.run_for(Duration::from_millis(200));
    let now = world.now();
    world.client(alice).close(now, Duration::ZERO);
    world.run_for(Duration::from_millis(200));
    world.restart_client(alice, config);
    world.connect(alice, coordinator);
    let at = world.request_channel(alice, Target::Name(name("bob")));
    world.run_for(Duration::from_secs(2));
    let asked = world.take_event(coordinator, |event| match event {
        Event::Coordinator(CoordinatorEvent::PairAsks { pair, .. }) => Some(*pair),
        Event::Coordinator(_) | Event::Client(_) => None,
    });
    let now = world.now();
    world
        .coordinator(coordinator)
        .grant(now, asked.unwrap())
        .unwrap();
    assert_eq!(world.opened(alice), at);
    world.opened(bob);
}
