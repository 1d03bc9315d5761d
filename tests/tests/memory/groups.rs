//! What groups keep, and who is in them.

use std::time::Duration;

use conec_core::{CoordinatorConfig, Direction, GroupConfig, GroupKey, JoinConfig, Lossy, Name};
use conec_tests::{keys, sim::World};

use crate::{held, is_tight};

const CLIENTS: usize = 8;
const GROUPS: usize = 16;

/// Messages of all sizes that are kept fill what they may take, and no more.
pub(crate) fn what_groups_keep_fills_what_it_may_take() {
    let empty = with_messages(0, 1);
    for (what, size, count) in [
        ("tiny messages that groups keep", 1, 40_000),
        ("messages that groups keep", 1000, 8_000),
        ("large messages that groups keep", 60_000, 150),
    ] {
        is_tight(what, with_messages(count, size) - empty, MEMORY);
    }
}

const MEMORY: usize = 4 << 20;

fn with_messages(count: usize, size: usize) -> usize {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.group_memory = MEMORY;
    let mut world = World::new(31);
    let coordinator = world.add_coordinator_with(config.clone());
    let names = ["one", "two", "three"].map(|name| name.parse::<Name>().expect("a name"));
    for name in &names {
        let mut group = GroupConfig::default();
        group.history = Lossy::new(usize::MAX, usize::MAX);
        let coordinator = world.coordinator(coordinator);
        coordinator
            .make_lasting_group(name.clone(), group)
            .expect("none of that name");
    }
    for number in 0..count {
        let (now, name) = (world.now(), &names[number % 3]);
        let message = vec![7; size].into();
        let coordinator = world.coordinator(coordinator);
        coordinator.publish(now, name, message).expect("it fits");
    }
    held(&mut world, coordinator, config)
}

/// Groups of one member each, with the longest names, where all watch and seal: beside what their streams take.
pub(crate) fn memberships_take_what_is_reckoned() {
    let members = with_streams(true) - with_streams(false);
    let each = members / (CLIENTS * GROUPS);
    // 3 KiB for a group, and 1 KiB for a member.
    is_tight("a group and its member", each, 4 << 10);
}

/// Home channels with streams that are memberships, or are not.
fn with_streams(are_memberships: bool) -> usize {
    let config = CoordinatorConfig::new(keys::certificate());
    let mut world = World::new(32);
    let coordinator = world.add_coordinator_with(config.clone());
    for number in 0..CLIENTS {
        let client = world.add_client(&format!("{number:n>64}"));
        world.connect(client, coordinator);
        let (now, home) = (world.now(), world.client(client).home());
        for group in 0..GROUPS {
            let name = format!("{number:n>32}{group:g>32}");
            if are_memberships {
                let mut config = JoinConfig::sealed(GroupKey::from_bytes([1; 32]));
                config.watch = true;
                let client = world.client(client);
                let name = name.parse().expect("a name");
                client.join(now, name, config).expect("not in it yet");
            } else {
                let mut home = world.channel(client, home).expect("connected");
                let stream = home
                    .open(Direction::Bi, name.as_bytes())
                    .expect("there is room");
                home.stream(stream)
                    .send("as much".into())
                    .expect("there is room");
            }
            world.run_for(Duration::from_millis(20));
        }
    }
    world.run_for(Duration::from_secs(1));
    if are_memberships {
        let groups = world.coordinator(coordinator).groups(None, usize::MAX);
        assert_eq!(groups.len(), CLIENTS * GROUPS);
    } else {
        while let Some(event) = world.next_event(coordinator) {
            drop(event);
        }
        world.run_for(Duration::from_secs(1));
    }
    held(&mut world, coordinator, config)
}

/// Members that acknowledge nothing any more, each from another message on: what is under way to them stays in bounds, whatever the size of
/// messages.
pub(crate) fn what_members_do_not_acknowledge_fills_what_it_may_take() {
    const DEAF: usize = 24;
    for size in [5000, 20_000] {
        let [quiet, loud] =
            [0, (768 << 10) / size].map(|messages| with_deaf_members(DEAF, messages, size));
        let reckoned = 2 * (MEMORY + DEAF * (16 << 10));
        is_tight("what is under way to members", loud - quiet, reckoned);
    }
}

fn with_deaf_members(members: usize, messages: usize, size: usize) -> usize {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.member_memory = MEMORY;
    config.home.idle_timeout = Duration::from_secs(3600);
    config.home.keep_alive = Some(Duration::from_secs(600));
    let mut world = World::new(33);
    let coordinator = world.add_coordinator_with(config.clone());
    let name: Name = "room".parse().expect("a name");
    let mut group = GroupConfig::default();
    group.history = Lossy::new(usize::MAX, MEMORY / 8);
    let here = world.coordinator(coordinator);
    here.make_lasting_group(name.clone(), group)
        .expect("none of that name");
    let clients = (0..members).map(|number| {
        let mut config = world.client_config(&format!("{number}"));
        config.home.idle_timeout = Duration::from_secs(3600);
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        let now = world.now();
        let joined = world
            .client(client)
            .join(now, name.clone(), JoinConfig::default());
        joined.expect("not in it yet");
        world.run_for(Duration::from_secs(1));
        client
    });
    for client in clients.collect::<Vec<_>>() {
        world.link(client, coordinator).loss = 1.0;
        for _ in 0..messages {
            let (now, here) = (world.now(), world.coordinator(coordinator));
            here.publish(now, &name, vec![7; size].into())
                .expect("it fits");
            world.run_for(Duration::from_millis(1));
        }
        world.run_for(Duration::from_secs(1));
    }
    held(&mut world, coordinator, config)
}
