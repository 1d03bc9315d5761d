//! Groups for plain threads.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for some items only"
)]

use std::{thread, time::Duration};

use conec_mio::blocking::*;

/// Longer than anything takes that happens at all.
const LONG: Duration = Duration::from_secs(10);
/// Long enough to see that something does not happen.
const SHORT: Duration = Duration::from_millis(50);

#[test]
fn many_threads_publish_and_all_hear_one_order() {
    const EACH: usize = 300;
    let coordinator =
        coordinator("connect allow any\njoin allow any\npublish allow any\ncreate allow any");
    let mut config = GroupConfig::default();
    config.history = Lossy::new(10_000, 4 << 20);
    coordinator
        .make_lasting_group("room".parse().unwrap(), config)
        .unwrap();
    let groups = ["alice", "bob", "carol"].map(|name| {
        let mut config = JoinConfig::default();
        config.queue = Lossy::new(10_000, 4 << 20);
        join(&client(&coordinator, name), "room", config)
    });
    let orders = thread::scope(|scope| {
        let threads = groups.each_ref().map(|group| {
            let publishes = group.clone();
            scope.spawn(move || {
                for number in 0..EACH {
                    publishes.publish(number.to_string()).unwrap();
                }
            });
            let hears = group.clone();
            scope.spawn(move || hears.take(3 * EACH).map(Result::unwrap).collect::<Vec<_>>())
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0], orders[2]);
    let messages = orders[0].iter();
    assert!(
        messages
            .clone()
            .all(|it| matches!(it, GroupItem::Message(_)))
    );
}

#[test]
fn a_reader_that_is_away_is_told_what_it_has_missed() {
    const ALL: u64 = 1000;
    let coordinator =
        coordinator("connect allow any\njoin allow any\npublish allow any\ncreate allow any");
    let alice = join(
        &client(&coordinator, "alice"),
        "room",
        JoinConfig::default(),
    );
    let bob = join(&client(&coordinator, "bob"), "room", JoinConfig::default());
    for number in 0..ALL {
        alice.publish(number.to_string()).unwrap();
        let heard = alice.recv().unwrap();
        assert!(matches!(heard, GroupItem::Message(it) if it.sequence == number));
    }
    let (mut heard, mut missing) = (0, 0);
    while heard + missing < ALL {
        match bob.recv_timeout(LONG).unwrap().unwrap() {
            GroupItem::Message(message) => {
                assert_eq!(message.sequence, heard + missing);
                heard += 1;
            }
            GroupItem::Lagged(count) => missing += count,
            other => panic!("{other:?}"),
        }
    }
    assert!(missing > 0);
}

#[test]
fn no_call_waits_longer_than_its_limit_and_what_it_would_have_given_comes() {
    let coordinator =
        coordinator("connect allow any\njoin ask any\npublish allow any\ncreate allow any");
    let alice = client(&coordinator, "alice");
    let room: Name = "room".parse().unwrap();
    let late = alice.join_timeout(room.clone(), JoinConfig::default(), SHORT);
    assert_eq!(late.err(), Some(TimedOut));
    let answers = coordinator.clone();
    thread::spawn(move || {
        for event in answers.events() {
            if let CoordinatorEvent::MemberAsks { request, group, .. } = event {
                let answered = match group.as_str() {
                    "room" => answers.grant_membership(request),
                    _ => answers.deny_membership(request),
                };
                // Who has given up needs none.
                assert!(answered.is_ok() || group.as_str() == "room");
            }
        }
    });
    let group = join(&alice, "room", JoinConfig::default());
    assert_eq!(group.recv_timeout(SHORT), Err(TimedOut));
    assert_eq!(group.publish_timeout("hello", LONG), Ok(Ok(())));
    let heard = group.recv_timeout(LONG).unwrap().unwrap();
    assert!(matches!(heard, GroupItem::Message(_)), "{heard:?}");
    let not_found = JoinError::Ended(GroupEnd::Refused(ErrorCode::NotFound));
    let denied = alice.join("other".parse().unwrap(), JoinConfig::default());
    assert_eq!(denied.err(), Some(not_found));

    let mut above = coordinator.subscribe(&room, Lossy::default()).unwrap();
    assert_eq!(above.recv_timeout(SHORT), Err(TimedOut));
    assert_eq!(coordinator.publish(&room, "from above"), Ok(1));
    assert!(matches!(above.next(), Some(GroupItem::Message(it)) if it.sender.is_none()));
    let mut items = group.clone();
    assert!(matches!(items.next(), Some(Ok(GroupItem::Message(_)))));
    coordinator.end_group(&room).unwrap();
    assert_eq!(above.recv(), None);
    let end = GroupEnd::Refused(ErrorCode::NotFound);
    assert_eq!(items.next(), Some(Err(end)));
    assert_eq!(items.next(), None);
    assert_eq!(group.publish("late"), Err(PublishError::Ended(end)));
}

fn coordinator(rules: &str) -> Coordinator {
    let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap());
    config.rules = Some(rules.parse().unwrap());
    Coordinator::bind("127.0.0.1:0", config).unwrap()
}

fn client(coordinator: &Coordinator, name: &str) -> Client {
    let trust = Trust::Pin(coordinator.pin());
    let mut config = ClientConfig::new(Identity::generate().unwrap(), trust);
    config.name = Some(name.parse().unwrap());
    Client::connect(&coordinator.local_addr().to_string(), config).unwrap()
}

/// A group that has been joined, and it was heard.
fn join(client: &Client, group: &str, config: JoinConfig) -> Group {
    let group = client.join(group.parse().unwrap(), config).unwrap();
    let first = group.recv_timeout(LONG).unwrap().unwrap();
    assert!(matches!(first, GroupItem::Joined(_)), "{first:?}");
    group
}
