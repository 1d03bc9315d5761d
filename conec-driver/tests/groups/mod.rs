//! Groups by handles.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for some items only"
)]

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use conec_core::{
    CloseReason, ErrorCode, GroupConfig, GroupEnd, GroupItem, JoinConfig, Lossy, Name,
};
use conec_driver::{Client, Group, JoinError, PublishError, TryHearError, TryPublishError};
use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    PATIENCE,
    world::{Count, World, now_or_never, ready},
};

#[test]
fn all_who_wait_on_a_group_are_woken_and_each_item_goes_to_one() {
    let mut world = World::new();
    let (at_alice, at_bob) = both_join(&mut world);
    let other = at_bob.clone();
    let [first, second, done] = [Count::new(), Count::new(), Count::new()];
    let (mut hears, mut hears_too) = (pin!(at_bob.recv()), pin!(other.recv()));
    assert!(first.poll(hears.as_mut()).is_pending());
    assert!(second.poll(hears_too.as_mut()).is_pending());
    {
        // Who has given up is not woken.
        assert!(done.poll(pin!(at_bob.recv())).is_pending());
        assert!(done.is_forgotten());
    }
    ready(at_alice.publish("one")).unwrap();
    world.run();
    assert_eq!([first.get(), second.get(), done.get()], [1, 1, 0]);
    assert_eq!(text(ready(hears_too).unwrap()), "one");
    assert!(first.poll(hears.as_mut()).is_pending());
    ready(at_alice.publish("two")).unwrap();
    world.run();
    assert_eq!(first.get(), 2);
    assert_eq!(text(ready(hears).unwrap()), "two");
    assert_eq!(at_bob.try_recv(), Err(TryHearError::Blocked));
}

#[test]
fn who_gives_up_joining_is_no_member_and_can_join_again() {
    let mut world = World::new();
    let alice = world.alice();
    let coordinator = world.coordinator();
    for turns in [0, 1, 2, 3, 50] {
        {
            let mut joining = pin!(alice.join(name("room"), JoinConfig::default()));
            assert!(now_or_never(joining.as_mut()).is_none());
            for _ in 0..turns {
                world.step();
            }
        }
        world.run();
        assert_eq!(coordinator.group_state(&name("room")), None, "{turns}");
    }
    let group = join(&mut world, &alice, JoinConfig::default());
    // A second one is refused at once, and leaves the first alone.
    let again = ready(alice.join(name("room"), JoinConfig::default()));
    let already = JoinError::Refused(conec_core::JoinError::AlreadyMember);
    assert_eq!(again.err(), Some(already));
    assert!(group.info().is_member && !already.is_permanent());
}

#[test]
fn a_group_is_left_with_its_last_handle_which_keeps_the_client() {
    let mut world = World::new();
    let alice = world.alice();
    let group = join(&mut world, &alice, JoinConfig::default());
    let other = group.clone();
    world.alice.handle = None;
    drop((alice, group));
    world.run();
    assert!(other.info().is_member && !world.alice.is_over());
    // What was published arrives.
    let coordinator = world.coordinator();
    let mut heard = coordinator
        .subscribe(other.name(), Lossy::default())
        .unwrap();
    ready(other.publish("a last word")).unwrap();
    drop(other);
    world.run();
    assert_eq!(text(ready(heard.recv()).unwrap()), "a last word");
    assert_eq!(coordinator.group_state(&name("room")).unwrap().members, 0);
    drop(heard);
    assert_eq!(coordinator.group_state(&name("room")), None);
    assert!(world.alice.is_over());
}

#[test]
fn who_leaves_has_heard_what_was_there_and_then_the_end() {
    let mut world = World::new();
    let (at_alice, mut at_bob) = both_join(&mut world);
    ready(at_alice.publish("early")).unwrap();
    world.run();
    at_bob.leave();
    at_bob.leave();
    world.run();
    assert_eq!(text(ready(at_bob.recv()).unwrap()), "early");
    assert_eq!(ready(at_bob.recv()), Err(GroupEnd::Left));
    assert_eq!(next(&mut at_bob), Poll::Ready(Some(Err(GroupEnd::Left))));
    assert_eq!(next(&mut at_bob), Poll::Ready(None));
    let left = PublishError::Ended(GroupEnd::Left);
    assert_eq!(at_bob.try_publish("late"), Err(left.into()));
    assert_eq!(at_bob.info().end, Some(GroupEnd::Left));
    // And may come again, while somebody still has the former membership.
    let bob = world.bob();
    let again = join(&mut world, &bob, JoinConfig::default());
    assert_ne!(again.id(), at_bob.id());
    drop(at_bob);
    ready(again.publish("back")).unwrap();
    world.run();
    assert_eq!(text(ready(at_alice.recv()).unwrap()), "early");
    assert_eq!(text(ready(at_alice.recv()).unwrap()), "back");
}

#[test]
fn publishing_waits_for_room_and_everybody_who_waits_goes_on() {
    let mut world = World::new();
    let (at_alice, at_bob) = both_join(&mut world);
    let mut sent = 0;
    while at_alice.try_publish([7; 10_000]).is_ok() {
        sent += 1;
    }
    assert!(sent > 10);
    let mut sink = at_alice.clone();
    let [waits, given_up, sinks] = [Count::new(), Count::new(), Count::new()];
    let mut publishing = pin!(at_alice.publish("waited"));
    assert!(waits.poll(publishing.as_mut()).is_pending());
    assert!(given_up.poll(pin!(at_alice.publish("never"))).is_pending());
    let mut flushing = Box::pin(poll_sink(&mut sink, |it, cx| it.poll_ready(cx)));
    assert!(sinks.poll(flushing.as_mut()).is_pending());
    assert!(given_up.is_forgotten());
    world.run();
    assert_eq!((waits.get(), sinks.get()), (1, 1));
    ready(publishing).unwrap();
    ready(flushing).unwrap();
    // There was room when it was asked, and then another has taken it: that is kept.
    while at_alice.try_publish([7; 10_000]).is_ok() {
        sent += 1;
    }
    assert_eq!(Pin::new(&mut sink).start_send(Bytes::from("kept")), Ok(()));
    let flush = |sink: &mut Group| now_or_never(poll_sink(sink, |it, cx| it.poll_flush(cx)));
    assert_eq!(flush(&mut sink), None);
    world.run();
    assert_eq!(flush(&mut sink), Some(Ok(())));
    world.run();
    let mut heard = Vec::new();
    let mut missing = 0;
    while let Ok(item) = at_bob.try_recv() {
        match item {
            GroupItem::Message(message) => heard.push(message.payload),
            GroupItem::Lagged(count) => missing += count,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard.len() as u64 + missing, sent + 2);
    let words: Vec<_> = heard.into_iter().filter(|it| it.len() < 100).collect();
    assert_eq!(words.last().unwrap(), "kept");
    let late = TryPublishError::Failed(PublishError::TooLarge { max: 65536 });
    assert_eq!(at_bob.try_publish(vec![0; 65537]), Err(late));
}

/// What the application receives lets more come, of which the driver has to tell the Coordinator.
#[test]
fn in_a_group_that_pushes_back_a_slow_reader_misses_nothing() {
    let mut world = World::new();
    let coordinator = world.coordinator();
    let mut config = GroupConfig::default();
    config.push_back = Some(PATIENCE);
    config.history = Lossy::new(20, 1 << 20);
    coordinator
        .make_lasting_group(name("room"), config)
        .unwrap();
    let (alice, bob) = (world.alice(), world.bob());
    let mut small = JoinConfig::default();
    small.queue = Lossy::new(20, 1 << 20);
    let at_bob = join(&mut world, &bob, small);
    let mut deaf = JoinConfig::default();
    deaf.hear = false;
    let at_alice = join(&mut world, &alice, deaf);
    let (mut sent, mut heard) = (0_u64, 0);
    while sent < 3000 {
        match at_alice.try_publish([1; 5000]) {
            Ok(()) => sent += 1,
            Err(TryPublishError::Blocked) => {
                for _ in 0..10 {
                    if let Ok(item) = at_bob.try_recv() {
                        assert_eq!(number(item), heard);
                        heard += 1;
                    }
                }
                world.step();
            }
            Err(TryPublishError::Failed(error)) => panic!("{error}"),
        }
    }
    while heard < sent {
        if let Ok(item) = at_bob.try_recv() {
            assert_eq!(number(item), heard);
            heard += 1;
        }
        world.step();
    }
}

#[test]
fn who_is_not_let_in_learns_why_and_waits_for_no_driver_that_is_gone() {
    let mut world = World::new();
    let (alice, coordinator) = (world.alice(), world.coordinator());
    coordinator.set_rules("connect allow any".parse().unwrap());
    let joining = alice.join(name("room"), JoinConfig::default());
    let mut joining = pin!(joining);
    assert!(now_or_never(joining.as_mut()).is_none());
    world.run();
    let refused = ready(joining).err();
    let not_found = GroupEnd::Refused(ErrorCode::NotFound);
    assert_eq!(refused, Some(JoinError::Ended(not_found)));

    let rules = "connect allow any\njoin allow any\npublish allow any\ncreate allow any";
    coordinator.set_rules(rules.parse().unwrap());
    let group = join(&mut world, &alice, JoinConfig::default());
    let count = Count::new();
    let mut hears = pin!(group.recv());
    assert!(count.poll(hears.as_mut()).is_pending());
    world.alice.driver = None;
    assert_eq!(count.get(), 1);
    let closed = GroupEnd::Closed(CloseReason::Local);
    assert_eq!(ready(hears), Err(closed));
    let ended = PublishError::Ended(closed);
    assert_eq!(ready(group.publish("late")), Err(ended));
    let again = ready(alice.join(name("other"), JoinConfig::default()));
    let not_connected = JoinError::Refused(conec_core::JoinError::NotConnected);
    assert_eq!(again.err(), Some(not_connected));
}

#[test]
fn the_coordinators_application_hears_publishes_and_ends() {
    let mut world = World::new();
    let coordinator = world.coordinator();
    let room = name("room");
    let nothing = coordinator.subscribe(&room, Lossy::default());
    assert_eq!(nothing.err(), Some(conec_core::GroupError::NotFound));
    let (at_alice, at_bob) = both_join(&mut world);
    let mut former = coordinator.subscribe(&room, Lossy::default()).unwrap();
    let count = Count::new();
    {
        let mut hears = pin!(former.recv());
        assert!(count.poll(hears.as_mut()).is_pending());
        ready(at_alice.publish("one")).unwrap();
        world.run();
        assert_eq!(count.get(), 1);
        assert_eq!(text(ready(hears).unwrap()), "one");
    }
    // Events are for others.
    while let Some(event) = now_or_never(coordinator.next_event()) {
        let event = event.unwrap();
        let about = format!("{event:?}");
        assert!(!about.contains("GroupReadable"), "{about}");
    }
    let mut later = {
        let mut hears = pin!(former.recv());
        assert!(count.poll(hears.as_mut()).is_pending());
        let later = coordinator.subscribe(&room, Lossy::default()).unwrap();
        assert_eq!(ready(hears), None);
        later
    };
    // It is over already, and takes nothing from the other.
    drop(former);
    assert_eq!(coordinator.publish(&room, "from above"), Ok(1));
    world.run();
    assert_eq!(text(ready(later.recv()).unwrap()), "from above");
    for group in [&at_alice, &at_bob] {
        assert_eq!(text(ready(group.recv()).unwrap()), "one");
        assert_eq!(text(ready(group.recv()).unwrap()), "from above");
    }
    assert_eq!(coordinator.group_members(&room, None, 9).len(), 2);
    assert_eq!(coordinator.groups(None, 9), std::slice::from_ref(&room));
    assert!(coordinator.remove_member(&room, world.bob().id()));
    world.run();
    let gone = GroupEnd::Refused(ErrorCode::NotFound);
    assert_eq!(ready(at_bob.recv()), Err(gone));

    let count = Count::new();
    {
        let mut hears = pin!(later.recv());
        assert!(count.poll(hears.as_mut()).is_pending());
        coordinator.end_group(&room).unwrap();
        assert_eq!(count.get(), 1);
        assert_eq!(ready(hears), None);
    }
    world.run();
    assert_eq!(ready(at_alice.recv()), Err(gone));
    // Of another group of that name it hears nothing.
    let alice = world.alice();
    let _again = join(&mut world, &alice, JoinConfig::default());
    assert_eq!(ready(later.recv()), None);
}

fn both_join(world: &mut World) -> (Group, Group) {
    let (alice, bob) = (world.alice(), world.bob());
    let at_alice = join(world, &alice, JoinConfig::default());
    let at_bob = join(world, &bob, JoinConfig::default());
    (at_alice, at_bob)
}

/// A group that somebody has joined, and has heard so.
fn join(world: &mut World, client: &Client, config: JoinConfig) -> Group {
    let hears = config.hear;
    let mut joining = pin!(client.join(name("room"), config));
    assert!(now_or_never(joining.as_mut()).is_none());
    world.run();
    let group = ready(joining).unwrap();
    let first = ready(group.recv()).unwrap();
    assert!(matches!(first, GroupItem::Joined(_)), "{first:?}");
    assert!(hears || group.try_recv() == Err(TryHearError::Blocked));
    group
}

fn text(item: GroupItem) -> String {
    let GroupItem::Message(message) = item else {
        panic!("{item:?} is no message");
    };
    String::from_utf8_lossy(&message.payload).into_owned()
}

fn number(item: GroupItem) -> u64 {
    let GroupItem::Message(message) = item else {
        panic!("{item:?} is no message");
    };
    message.sequence
}

fn next(group: &mut Group) -> Poll<Option<Result<GroupItem, GroupEnd>>> {
    Pin::new(group).poll_next(&mut Context::from_waker(Waker::noop()))
}

async fn poll_sink<T>(
    sink: &mut Group,
    mut poll: impl FnMut(Pin<&mut Group>, &mut Context<'_>) -> Poll<T>,
) -> T {
    std::future::poll_fn(|cx| poll(Pin::new(&mut *sink), cx)).await
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}
