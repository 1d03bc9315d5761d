//! Who is slow delays nobody, and is told exactly what it has lost.

use std::time::Duration;

use conec_core::{
    ClientEvent, CoordinatorConfig, ErrorCode, GroupConfig, GroupEnd, GroupError, GroupEvent,
    GroupItem, JoinConfig, Lossy, PublishError, SlowMember,
};
use conec_tests::{
    keys,
    sim::{Event, NodeId, World},
};

use super::{all, ended, join, join_with, message, name, next, publish, secs};

/// How many messages were heard, and how many were said to be missing.
fn sum(items: &[GroupItem]) -> (u64, u64) {
    items
        .iter()
        .fold((0, 0), |(heard, missing), item| match item {
            GroupItem::Message(_) => (heard + 1, missing),
            GroupItem::Lagged(count) => (heard, missing + count),
            _ => (heard, missing),
        })
}

#[test]
fn an_application_that_never_reads_is_told_how_many_it_has_missed() {
    let mut world = World::new(1);
    let (_, [alice, bob, carol]) = world.with_clients(["alice", "bob", "carol"]);
    let [at_alice, at_bob, at_carol] = [alice, bob, carol].map(|it| join(&mut world, it, "room"));
    for number in 0..2000 {
        publish(&mut world, alice, at_alice, &[7; 1000]);
        all(&mut world, alice, at_alice);
        assert_eq!(message(&mut world, bob, at_bob).0, number);
    }
    world.run_for(secs(1));
    let items = all(&mut world, carol, at_carol);
    let (heard, missing) = sum(&items);
    assert_eq!(heard + missing, 2000);
    assert_eq!(heard, 256);
    assert_eq!(items[0], GroupItem::Lagged(missing));
    // And goes on with what comes next.
    publish(&mut world, alice, at_alice, b"next");
    assert_eq!(message(&mut world, carol, at_carol), (2000, "next".into()));
}

#[test]
fn a_slow_network_delays_nobody_else_and_the_loss_is_exact() {
    let mut world = World::new(2);
    let (coordinator, [alice, bob, carol]) = world.with_clients(["alice", "bob", "carol"]);
    let [at_alice, at_bob, at_carol] = [alice, bob, carol].map(|it| join(&mut world, it, "room"));
    world.link(coordinator, carol).rate = Some(5_000);
    let mut heard = Vec::new();
    for number in 0..2000 {
        publish(&mut world, alice, at_alice, &[7; 1000]);
        all(&mut world, alice, at_alice);
        assert_eq!(message(&mut world, bob, at_bob).0, number);
        heard.extend(all(&mut world, carol, at_carol));
    }
    assert!(world.elapsed() < secs(60), "{:?}", world.elapsed());
    world.link(coordinator, carol).rate = None;
    world.run_for(secs(30));
    heard.extend(all(&mut world, carol, at_carol));
    let (got, missing) = sum(&heard);
    assert_eq!(got + missing, 2000);
    assert!(missing > 1000, "{missing}");
    let numbers: Vec<_> = heard
        .iter()
        .filter_map(|item| match item {
            GroupItem::Message(message) => Some(message.sequence),
            _ => None,
        })
        .collect();
    assert!(numbers.is_sorted_by(|one, other| one < other));
    assert_eq!(numbers.last(), Some(&1999));
}

/// What is under way to them is in the Coordinator's memory. The more they are, the less each may have of it, and there is always some
/// for who acknowledges.
#[test]
fn many_members_that_acknowledge_nothing_delay_nobody_and_hear_later_what_they_have_missed() {
    const SIZE: usize = 16_000;
    const LIMIT: usize = 4 << 20;
    let mut world = World::new(12);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.member_memory = LIMIT;
    config.group.history = Lossy::new(4, 1 << 20);
    config.home.idle_timeout = secs(600);
    let coordinator = world.add_coordinator_with(config);
    let mut enter = |name: &str| {
        let mut config = world.client_config(name);
        config.home.idle_timeout = secs(600);
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        (client, join(&mut world, client, "room"))
    };
    let [(alice, at_alice), (bob, at_bob)] = ["alice", "bob"].map(&mut enter);
    let deaf: Vec<_> = (0..50)
        .map(|number| enter(&format!("deaf-{number}")))
        .collect();
    let mut published = 0;
    let mut say = |world: &mut World, size: usize| {
        publish(world, alice, at_alice, &vec![7; size]);
        all(world, alice, at_alice);
        let before = world.elapsed();
        assert_eq!(message(world, bob, at_bob).0, published);
        published += 1;
        world.elapsed() - before
    };
    let usual = (0..10).map(|_| say(&mut world, SIZE)).last().unwrap();
    let mut said = 10;
    let mut silent = Vec::new();
    for (number, &(client, at_client)) in deaf.iter().enumerate() {
        // Something is left for what is larger than what everybody may have.
        if number == 30 {
            let took = say(&mut world, 60_000);
            assert!(took <= usual * 4, "{took:?}");
            said += 1;
        }
        world.run_for(secs(1));
        all(&mut world, client, at_client);
        world.link(client, coordinator).up = false;
        silent.push((client, at_client, said));
        // As much as one may have by itself.
        for _ in 0..30 {
            let took = say(&mut world, SIZE);
            assert!(took <= usual * 2, "{took:?}");
            said += 1;
        }
    }
    for &(client, ..) in &silent {
        world.link(client, coordinator).up = true;
    }
    world.run_for(secs(120));
    let mut under_way = 0;
    for &(client, at_client, before) in &silent {
        let (heard, missing) = sum(&all(&mut world, client, at_client));
        assert_eq!(heard + missing, said - before);
        // Besides what is kept for everybody.
        under_way += heard as usize - 4;
    }
    let most = LIMIT + silent.len() * 2 * (16 << 10);
    assert!(under_way * SIZE > LIMIT / 2, "{under_way} messages");
    assert!(under_way * SIZE <= most, "{under_way} messages");
}

/// Members of some groups acknowledge nothing, and take what may be under way. A large message in another one waits no longer for that than
/// they are waited for, and then those give way that have most. The others of them get nothing of what is free then.
#[test]
fn members_that_are_stuck_give_way_to_who_waits_for_their_memory() {
    const LARGE: usize = 900_000;
    let mut world = World::new(14);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.member_memory = 4 << 20;
    config.group.max_message_size = LARGE;
    config.group.history = Lossy::new(4, 1 << 20);
    config.home.idle_timeout = secs(600);
    let coordinator = world.add_coordinator_with(config);
    let mut enter = |name: &str, groups: &[&str]| {
        let mut config = world.client_config(name);
        config.home.idle_timeout = secs(600);
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        let joined = groups.iter().map(|group| join(&mut world, client, group));
        (client, joined.collect::<Vec<_>>())
    };
    let attics = ["north", "south", "east", "west"];
    let (carol, at_carol) = enter("carol", &attics);
    let deaf: Vec<_> = (0..20)
        .map(|number| enter(&format!("deaf-{number}"), &attics))
        .collect();
    // They are the last to come.
    let [(alice, at_alice), (bob, at_bob)] = ["alice", "bob"].map(|it| enter(it, &["room"]));
    let say = |world: &mut World| {
        let before = world.elapsed();
        publish(world, alice, at_alice[0], &[7; LARGE]);
        message(world, bob, at_bob[0]);
        all(world, alice, at_alice[0]);
        world.elapsed() - before
    };
    let usual = say(&mut world);
    let set_up = |world: &mut World, up| {
        for &(client, _) in &deaf {
            world.link(client, coordinator).up = up;
            world.link(coordinator, client).up = up;
        }
    };
    set_up(&mut world, false);
    for _ in 0..30 {
        for &group in &at_carol {
            publish(&mut world, carol, group, &[7; 60_000]);
            all(&mut world, carol, group);
        }
    }
    let took = say(&mut world);
    assert!(took > secs(5) && took < secs(12), "{took:?}");
    // There is enough for a while.
    for _ in 0..10 {
        let took = say(&mut world);
        assert!(took <= usual * 2, "{took:?}");
    }
    set_up(&mut world, true);
    world.run_for(secs(120));
    for &group in &at_carol {
        publish(&mut world, carol, group, b"last");
    }
    world.run_for(secs(1));
    let mut gone = 0;
    for (client, joined) in deaf {
        let hears = |world: &mut World, group| {
            let items = all(world, client, group);
            matches!(items.last(), Some(GroupItem::Message(it)) if it.payload == "last")
        };
        if !joined.iter().all(|&group| hears(&mut world, group)) {
            gone += 1;
        }
    }
    // What they had is enough for a large message, and a few more.
    assert!((5..10).contains(&gone), "{gone}");
}

#[test]
fn who_wants_only_the_latest_gets_that() {
    let mut world = World::new(3);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let at_alice = join(&mut world, alice, "room");
    let mut config = JoinConfig::default();
    config.slow = SlowMember::LatestOnly;
    let (at_bob, _) = join_with(&mut world, bob, "room", config);
    for number in 0..50 {
        publish(&mut world, alice, at_alice, format!("{number}").as_bytes());
    }
    world.run_for(secs(1));
    assert_eq!(next(&mut world, bob, at_bob), GroupItem::Lagged(49));
    assert_eq!(message(&mut world, bob, at_bob), (49, "49".into()));
    assert_eq!(all(&mut world, bob, at_bob), []);
}

#[test]
fn who_would_rather_leave_than_lose_leaves() {
    let mut world = World::new(4);
    let (coordinator, [alice, bob, carol]) = world.with_clients(["alice", "bob", "carol"]);
    let at_alice = join(&mut world, alice, "room");
    let leaving = || {
        let mut config = JoinConfig::default();
        config.slow = SlowMember::Leave;
        config.queue = Lossy::new(10_000, 16 << 20);
        config
    };
    // Its application does not receive.
    let mut config = leaving();
    config.queue = Lossy::new(100, 1 << 20);
    let (at_bob, _) = join_with(&mut world, bob, "room", config);
    // Its network is slow.
    let (at_carol, _) = join_with(&mut world, carol, "room", leaving());
    world.link(coordinator, carol).rate = Some(10_000);
    for _ in 0..1500 {
        publish(&mut world, alice, at_alice, &[7; 1000]);
        all(&mut world, alice, at_alice);
    }
    assert_eq!(ended(&mut world, bob, at_bob), GroupEnd::TooSlow);
    world.link(coordinator, carol).rate = None;
    let too_slow = GroupEnd::Refused(ErrorCode::TooSlow);
    assert_eq!(ended(&mut world, carol, at_carol), too_slow);
    publish(&mut world, alice, at_alice, b"alone");
}

#[test]
fn a_group_that_pushes_back_loses_nothing_and_waits_for_the_slowest() {
    let mut world = World::new(5);
    let coordinator = world.add_coordinator();
    let mut config = GroupConfig::default();
    config.push_back = Some(secs(20));
    config.history = Lossy::new(50, 1 << 20);
    world
        .coordinator(coordinator)
        .make_lasting_group(name("log"), config)
        .unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        config.home.max_receive_window = 128 << 10;
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    let mut config = JoinConfig::default();
    config.hear = false;
    let (at_alice, _) = join_with(&mut world, alice, "log", config);
    let at_bob = join(&mut world, bob, "log");
    let (mut sent, mut heard, mut held_up) = (0, 0, 0);
    // Bob receives now and then.
    for _ in 0..200 {
        while world
            .client(alice)
            .group(at_alice)
            .publish(&[1; 10_000])
            .is_ok()
        {
            sent += 1;
        }
        world.run_for(Duration::from_millis(100));
        held_up += u32::from(world.client(bob).group(at_bob).is_held_up());
        while let Some(item) = world.client(bob).group(at_bob).recv() {
            assert!(
                matches!(item, GroupItem::Message(ref it) if it.sequence == heard),
                "{item:?}"
            );
            heard += 1;
        }
    }
    while heard < sent {
        assert_eq!(message(&mut world, bob, at_bob).0, heard);
        heard += 1;
    }
    assert!(held_up > 0 && !world.client(bob).group(at_bob).is_held_up());
    assert!(sent > 100, "{sent}");
    // One that takes nothing is sent away, and then the others go on.
    let too_slow = GroupEnd::Refused(ErrorCode::TooSlow);
    let begun = world.elapsed();
    while world.client(bob).group(at_bob).info().is_some() {
        match world.client(alice).group(at_alice).publish(&[1; 60_000]) {
            Ok(()) | Err(PublishError::Blocked) => {}
            Err(error) => panic!("{error}"),
        }
        world.run_for(Duration::from_millis(100));
        assert!(world.elapsed() < begun + secs(100), "it waits for ever");
    }
    assert!(world.elapsed() > begun + secs(20), "it had its time");
    assert_eq!(ended(&mut world, bob, at_bob), too_slow);
    publish(&mut world, alice, at_alice, b"alone");
}

/// It is the application that is held up, and nobody else publishes.
#[test]
fn who_takes_nothing_of_what_the_application_publishes_is_sent_away_in_time() {
    let mut world = World::new(11);
    let (coordinator, [bob]) = world.with_clients(["bob"]);
    let mut config = GroupConfig::default();
    config.push_back = Some(secs(5));
    config.history = Lossy::new(5, 1 << 20);
    let made = world.coordinator(coordinator);
    made.make_lasting_group(name("news"), config).unwrap();
    join(&mut world, bob, "news");
    let (mut published, mut blocked_at, mut waited) = (0, None, Duration::ZERO);
    while end_of(&mut world, bob) != Some(GroupEnd::Refused(ErrorCode::TooSlow)) {
        let now = world.now();
        let news = vec![7; 10_000].into();
        match world
            .coordinator(coordinator)
            .publish(now, &name("news"), news)
        {
            Ok(number) => {
                assert_eq!(number, published);
                published += 1;
                let since = blocked_at.take().unwrap_or_else(|| world.elapsed());
                waited = waited.max(world.elapsed() - since);
            }
            Err(GroupError::Blocked) => {
                blocked_at.get_or_insert_with(|| world.elapsed());
            }
            Err(error) => panic!("{error}"),
        }
        world.run_for(Duration::from_millis(20));
        assert!(world.elapsed() < secs(100), "it waits for ever");
    }
    let since = blocked_at.unwrap_or_else(|| world.elapsed());
    let waited = waited.max(world.elapsed() - since);
    assert!(waited >= secs(5) && waited < secs(6), "{waited:?}");
    let now = world.now();
    let coordinator = world.coordinator(coordinator);
    let next = coordinator.publish(now, &name("news"), "next".into());
    assert_eq!(next, Ok(published));
}

fn end_of(world: &mut World, node: NodeId) -> Option<GroupEnd> {
    world.take_event(node, |event| match event {
        Event::Client(ClientEvent::Group {
            event: GroupEvent::Ended(end),
            ..
        }) => Some(*end),
        Event::Client(_) | Event::Coordinator(_) => None,
    })
}

/// Nobody is slow: there was no time to hear anything.
#[test]
fn many_at_once_reach_who_is_not_slow_though_few_are_kept() {
    let mut world = World::new(12);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.group.history = Lossy::new(4, 1000);
    let coordinator = world.add_coordinator_with(config);
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let client = world.add_client(name);
        world.connect(client, coordinator);
        client
    });
    let [at_alice, at_bob] = [alice, bob].map(|node| join(&mut world, node, "room"));
    for number in 0..50_u64 {
        let size = 10 * (number as usize % 7);
        publish(&mut world, alice, at_alice, &vec![7; size]);
    }
    for number in 0..50 {
        assert_eq!(message(&mut world, bob, at_bob).0, number);
    }
}
