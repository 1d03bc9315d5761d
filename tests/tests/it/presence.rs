//! Who may not know of a Client or a name learns nothing of it: not by the answer, nor by when it comes.

use std::time::Duration;

use conec_core::{
    CloseReason, Code, CoordinatorConfig, CoordinatorEvent, ErrorCode, Policy, Target,
};
use conec_tests::{
    keys,
    sim::{At, Event, NodeId, World},
};

use crate::connecting::home;

fn asking(seed: u64, change: impl FnOnce(&mut CoordinatorConfig)) -> (World, NodeId) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    change(&mut config);
    let coordinator = world.add_coordinator_with(config);
    (world, coordinator)
}

/// How a request ends, and how long that takes. The application takes its time to say no.
fn refused(
    world: &mut World,
    coordinator: NodeId,
    at: At,
    patience: Duration,
) -> (CloseReason, Duration) {
    let begin = world.elapsed();
    let reason = world.wait_for("refused", Duration::from_secs(60), |world| {
        let asks = world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::PairAsks { pair, .. }) => Some(*pair),
            Event::Client(_) | Event::Coordinator(_) => None,
        });
        if let Some(pair) = asks {
            world.run_for(patience);
            let now = world.now();
            world.coordinator(coordinator).deny(now, pair).unwrap();
        }
        world.take_event(at.node, |event| match event.channel() {
            Some((channel, conec_core::ChannelEvent::Closed { reason }))
                if channel == at.channel =>
            {
                Some(*reason)
            }
            Some(_) | None => None,
        })
    });
    (reason, world.elapsed() - begin)
}

#[test]
fn who_may_not_reach_a_client_does_not_learn_whether_it_is_there() {
    for patience in [0, 1, 300, 500, 900] {
        let (mut world, coordinator) = asking(1, |config| config.channels = Policy::Ask);
        let [alice, bob] = ["alice", "bob"].map(|name| world.add_client(name));
        world.connect(alice, coordinator);
        world.connect(bob, coordinator);
        let present = world.client_id(bob);
        let absent = keys::identity(999).id();
        let patience = Duration::from_millis(patience);
        let mut answers = Vec::new();
        for target in [
            Target::Id(present),
            Target::Id(absent),
            Target::Name("bob".parse().unwrap()),
            Target::Name("eve".parse().unwrap()),
        ] {
            let at = world.request_channel(alice, target);
            answers.push(refused(&mut world, coordinator, at, patience));
        }
        println!("{answers:?}");
        let (reason, time) = answers[0];
        assert_eq!(reason, CloseReason::Remote(ErrorCode::NotFound));
        for (reason, took) in &answers[1..] {
            assert_eq!(*reason, CloseReason::Remote(ErrorCode::NotFound));
            let difference = took.abs_diff(time);
            assert!(difference < Duration::from_millis(1), "{answers:?}");
        }
    }
}

/// A Client that can take no more channels looks like one that is not there, unless one may reach it.
#[test]
fn who_may_not_reach_a_client_does_not_learn_that_it_is_full() {
    let (mut world, coordinator) = asking(2, |config| {
        config.channels = Policy::Ask;
        config.limits.channels_per_client = 1;
    });
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.add_client(name));
    for client in [alice, bob, carol] {
        world.connect(client, coordinator);
    }
    let (now, ids) = (world.now(), [bob, carol].map(|it| world.client_id(it)));
    world
        .coordinator(coordinator)
        .connect(now, ids[1], ids[0], b"")
        .unwrap();
    world.opened(bob);
    let mut answers = Vec::new();
    for target in [ids[0], keys::identity(999).id()] {
        let at = world.request_channel(alice, Target::Id(target));
        answers.push(refused(
            &mut world,
            coordinator,
            at,
            Duration::from_millis(200),
        ));
    }
    assert_eq!(answers[0].0, CloseReason::Remote(ErrorCode::NotFound));
    assert_eq!(answers[0].0, answers[1].0);
    assert!(
        answers[0].1.abs_diff(answers[1].1) < Duration::from_millis(1),
        "{answers:?}"
    );
}

/// A stranger asks for a name: what it hears is the application's word, whoever has that name.
#[test]
fn who_is_not_let_in_does_not_learn_which_names_are_held() {
    for policy in [Policy::Ask, Policy::Deny] {
        let (mut world, coordinator) = asking(3, |config| config.admission = policy);
        let mut ends = Vec::new();
        if policy == Policy::Ask {
            let ann = world.add_client("ann");
            world.start_connecting(ann, coordinator);
            answer(&mut world, coordinator, true);
            world.run_for(Duration::from_secs(1));
            assert!(world.client(ann).is_connected());
        }
        for name in ["ann", "nobody"] {
            let stranger = world.add_client(name);
            world.start_connecting(stranger, coordinator);
            let begin = world.elapsed();
            if policy == Policy::Ask {
                answer(&mut world, coordinator, false);
            }
            ends.push((world.closed(home(stranger)), world.elapsed() - begin));
        }
        println!("{ends:?}");
        assert_eq!(ends[0], ends[1]);
    }
}

/// The application lets the next that asks in, under the name it would like, or refuses it.
fn answer(world: &mut World, coordinator: NodeId, admit: bool) {
    let (client, name) = world.wait_for("asked", Duration::from_secs(10), |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::ClientAsks { client, name, .. }) => {
                Some((*client, name.clone()))
            }
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    });
    let now = world.now();
    let application = world.coordinator(coordinator);
    match admit {
        true => application.admit(now, client, name).unwrap(),
        false => application.refuse(now, client, Code(9)).unwrap(),
    }
}
