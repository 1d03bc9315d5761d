//! Groups: many publish, many hear, and all in one order.

use std::{pin::pin, time::Duration};

use conec_tokio::{
    Certificate, Client, Coordinator, CoordinatorConfig, ErrorCode, Group, GroupConfig, GroupEnd,
    GroupItem, GroupMessage, GroupStart, JoinConfig, JoinError, Joined, Lossy, PublishError,
    SlowMember,
};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};

use crate::{
    client, config, coordinator, message, name, poll_once,
    resuming::{self, Mortal, world},
    within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hear_what_one_publishes() {
    within(async {
        let (_coordinator, [alice, bob, carol]) = three().await;
        let groups = [
            join(&alice, "room").await,
            join(&bob, "room").await,
            join(&carol, "room").await,
        ];
        let mut sink = groups[0].clone();
        let mut messages = stream::iter((0..100).map(|number| Ok(message(number))));
        sink.send_all(&mut messages).await.unwrap();
        for group in &groups {
            for number in 0..100 {
                let heard = heard(group).await;
                assert_eq!(
                    (heard.sequence, &heard.payload),
                    (number, &message(number as usize))
                );
                assert_eq!(heard.sender, Some(alice.id()));
                assert_eq!(heard.name, Some(name("alice")));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_publish_all_hear_in_the_same_order() {
    within(async {
        const EACH: usize = 200;
        let (coordinator, clients) = three().await;
        let mut config = GroupConfig::default();
        config.history = Lossy::new(10_000, 4 << 20);
        coordinator
            .make_lasting_group(name("room"), config)
            .unwrap();
        let mut lossless = Vec::new();
        for client in &clients {
            let mut config = JoinConfig::default();
            config.queue = Lossy::new(10_000, 4 << 20);
            lossless.push(join_with(client, "room", config).await.0);
        }
        for group in &lossless {
            let group = group.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    group.publish(message(number)).await.unwrap();
                }
            });
        }
        let mut orders = Vec::new();
        for group in &lossless {
            let order = group.clone().take(3 * EACH);
            orders.push(order.try_collect::<Vec<_>>().await.unwrap());
        }
        assert_eq!(orders[0], orders[1]);
        assert_eq!(orders[0], orders[2]);
        for client in &clients {
            let own = orders[0].iter().filter_map(|item| match item {
                GroupItem::Message(it) if it.sender == Some(client.id()) => Some(&it.payload),
                _ => None,
            });
            assert!(own.cloned().eq((0..EACH).map(message)));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_told_how_many_it_has_missed_and_delays_nobody() {
    within(async {
        const ALL: u64 = 2000;
        let (_coordinator, [alice, bob, carol]) = three().await;
        let (at_alice, at_bob) = (join(&alice, "room").await, join(&bob, "room").await);
        let mut latest = JoinConfig::default();
        latest.slow = SlowMember::LatestOnly;
        let (at_carol, _) = join_with(&carol, "room", latest).await;
        for number in 0..ALL {
            at_alice.publish(message(number as usize)).await.unwrap();
            assert_eq!(next(&at_alice).await, number + 1);
        }
        // Those have not read, and get the newest: some of them, and one.
        let (mut seen, mut heard) = (0, 0);
        while seen < ALL {
            seen = next(&at_bob).await.max(seen);
            heard += 1;
        }
        assert!(heard <= 256 + 2, "{heard}");
        let mut seen = 0;
        while seen < ALL {
            seen = next(&at_carol).await.max(seen);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_group_that_pushes_back_nobody_misses_anything() {
    within(async {
        const ALL: u64 = 500;
        // What is under way, at either side, is not much.
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let mut small = CoordinatorConfig::new(certificate);
        small.home.max_receive_window = 128 << 10;
        let coordinator = Coordinator::bind("127.0.0.1:0", small).await.unwrap();
        let alice = client(&coordinator, "alice").await;
        let mut small = config(&coordinator, "bob");
        small.home.max_receive_window = 128 << 10;
        let at = coordinator.local_addr();
        let bob = Client::connect_to("localhost", &[at], small).await.unwrap();
        let mut config = GroupConfig::default();
        config.push_back = Some(Duration::from_secs(5));
        config.history = Lossy::new(20, 1 << 20);
        coordinator.make_lasting_group(name("log"), config).unwrap();
        let at_bob = join(&bob, "log").await;
        let mut deaf = JoinConfig::default();
        deaf.hear = false;
        let (at_alice, _) = join_with(&alice, "log", deaf).await;
        let publishing = tokio::spawn(async move {
            for _ in 0..ALL {
                at_alice.publish([7; 20_000]).await.unwrap();
            }
            at_alice
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!publishing.is_finished(), "it waits for who is slow");
        for number in 0..ALL {
            assert_eq!(heard(&at_bob).await.sequence, number);
        }
        publishing.await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_counted_and_named_in_each_of_several_groups() {
    within(async {
        let (coordinator, [alice, bob, carol]) = three().await;
        let mut watch = JoinConfig::default();
        watch.watch = true;
        let (at_alice, _) = join_with(&alice, "one", watch).await;
        let other = join(&alice, "other").await;
        let mut deaf = JoinConfig::default();
        (deaf.publish, deaf.hear) = (false, true);
        let (at_bob, _) = join_with(&bob, "one", deaf).await;
        let elsewhere = join(&carol, "other").await;
        let mut names = Vec::new();
        while names.len() < 2 {
            match at_alice.recv().await.unwrap() {
                GroupItem::Arrived(member) => names.push(member.name.unwrap().to_string()),
                item => panic!("{item:?}"),
            }
        }
        names.sort();
        assert_eq!(names, ["alice", "bob"]);
        let info = at_alice.info();
        assert_eq!((info.members, info.publishers), (2, 1));
        assert_eq!(at_alice.members().len(), 2);
        assert_eq!(at_bob.publish("no").await, Err(PublishError::NotPublisher));
        // Each goes to its own.
        at_alice.publish("in one").await.unwrap();
        other.publish("in the other").await.unwrap();
        assert_eq!(heard(&at_bob).await.payload, "in one");
        assert_eq!(heard(&elsewhere).await.payload, "in the other");
        drop(at_bob);
        assert_eq!(heard(&at_alice).await.payload, "in one");
        let left = at_alice.recv().await;
        assert_eq!(left, Ok(GroupItem::Left(bob.id())));
        assert_eq!(coordinator.groups(None, 9).len(), 2);
        assert_eq!(coordinator.group_state(&name("one")).unwrap().members, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_in_mid_stream_has_published_all_and_the_others_go_on() {
    within(async {
        let (coordinator, [alice, bob, _]) = three().await;
        let (at_alice, at_bob) = (join(&alice, "room").await, join(&bob, "room").await);
        let mut above = coordinator
            .subscribe(&name("room"), Lossy::default())
            .unwrap();
        for number in 0..100 {
            at_alice.publish(message(number)).await.unwrap();
        }
        drop(at_alice);
        at_bob.publish("bob's").await.unwrap();
        let mut got = Vec::new();
        while got.len() < 101 {
            got.push(heard(&at_bob).await.payload);
        }
        for expected in &got {
            let Some(GroupItem::Message(heard)) = above.recv().await else {
                panic!("the application hears the same");
            };
            assert_eq!(&heard.payload, expected);
        }
        got.retain(|it| it != "bob's");
        assert!(got.into_iter().eq((0..100).map(message)));
        assert_eq!(coordinator.publish(&name("room"), "bye"), Ok(101));
        assert_eq!(heard(&at_bob).await.sender, None);
        coordinator.end_group(&name("room")).unwrap();
        let gone = GroupEnd::Refused(ErrorCode::NotFound);
        assert_eq!(at_bob.recv().await, Err(gone));
        assert_eq!(above.recv().await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_again_at_a_coordinator_that_was_started_anew() {
    resuming::within(async {
        let (certificate, coordinator, [alice, bob]) = world().await;
        let (at_alice, first) = join_with(&alice, "room", JoinConfig::default()).await;
        let at_bob = join(&bob, "room").await;
        assert!(!first.is_new_order);
        at_alice.publish("before").await.unwrap();
        assert_eq!(heard(&at_bob).await.payload, "before");
        assert_eq!(heard(&at_alice).await.payload, "before");
        let port = coordinator.address.port();
        coordinator.kill();
        // Nobody is there any more to say where in the order this is.
        let unsure = u64::from(at_alice.try_publish("lost").is_ok());
        let coordinator = Mortal::start(&certificate, port).await;
        for (group, unsure) in [(&at_alice, unsure), (&at_bob, 0)] {
            let again = joined(group).await;
            assert!(again.is_new_order && again.incarnation != first.incarnation);
            assert_eq!((again.missed, again.unsure), (0, unsure));
        }
        at_bob.publish("after").await.unwrap();
        assert_eq!(heard(&at_bob).await.payload, "after");
        assert_eq!(heard(&at_alice).await.sequence, 0);
        coordinator.kill();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_publishes_can_wait_until_all_of_it_is_in_the_order() {
    resuming::within(async {
        let (certificate, coordinator, [alice, bob]) = world().await;
        let mut silent = JoinConfig::default();
        silent.hear = false;
        let (at_alice, joined_first) = join_with(&alice, "room", silent).await;
        assert_eq!((joined_first.next, joined_first.end), (0, 0));
        // Nothing is to be waited for.
        at_alice.confirmed().await.unwrap();
        for number in 0..100 {
            at_alice.publish(message(number)).await.unwrap();
        }
        at_alice.confirmed().await.unwrap();
        assert_eq!(at_alice.info().unconfirmed, 0);
        let mut late = JoinConfig::default();
        late.start = GroupStart::Oldest;
        let (at_bob, joined_late) = join_with(&bob, "room", late).await;
        assert_eq!((joined_late.next, joined_late.end), (0, 100));
        for number in 0..100 {
            assert_eq!(heard(&at_bob).await.payload, message(number));
        }
        // The Coordinator is lost meanwhile: how much of it may be, is there to be heard then.
        let port = coordinator.address.port();
        coordinator.kill();
        let unsure = u64::from(at_alice.try_publish("lost").is_ok());
        let coordinator = Mortal::start(&certificate, port).await;
        at_alice.confirmed().await.unwrap();
        if unsure > 0 {
            let Ok(GroupItem::Joined(again)) = at_alice.try_recv() else {
                panic!("it has joined again by now");
            };
            assert_eq!(again.unsure, unsure);
        }
        let waiting = async {
            at_alice.publish("last").await.unwrap();
            at_alice.leave();
            at_alice.confirmed().await
        };
        assert_eq!(waiting.await, Err(GroupEnd::Left));
        coordinator.kill();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_join_learns_it_and_who_is_asked_about_waits() {
    within(async {
        let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap());
        let rules = "connect allow any\njoin allow name:alice\njoin ask name:bob\npublish allow any\ncreate allow any";
        config.rules = Some(rules.parse().unwrap());
        let coordinator = Coordinator::bind("127.0.0.1:0", config).await.unwrap();
        let alice = client(&coordinator, "alice").await;
        let bob = client(&coordinator, "bob").await;
        let carol = client(&coordinator, "carol").await;
        let at_alice = join(&alice, "room").await;
        let not_found = JoinError::Ended(GroupEnd::Refused(ErrorCode::NotFound));
        let refused = carol.join(name("room"), JoinConfig::default()).await;
        assert_eq!(refused.err(), Some(not_found));
        let asking = bob.join(name("room"), JoinConfig::default());
        let answering = async {
            loop {
                if let conec_tokio::CoordinatorEvent::MemberAsks { request, id, .. } =
                    coordinator.next_event().await.unwrap()
                {
                    assert_eq!(id, bob.id());
                    break coordinator.grant_membership(request);
                }
            }
        };
        let (joined, answered) = tokio::join!(asking, answering);
        answered.unwrap();
        joined.unwrap().publish("thanks").await.unwrap();
        assert_eq!(heard(&at_alice).await.payload, "thanks");
        // Given up while it is asked about.
        {
            let giving_up = pin!(bob.join(name("other"), JoinConfig::default()));
            assert!(poll_once(giving_up).is_pending());
        }
        bob.close(crate::PATIENCE).await;
    })
    .await;
}

async fn three() -> (Coordinator, [Client; 3]) {
    let coordinator = coordinator().await;
    let clients = [
        client(&coordinator, "alice").await,
        client(&coordinator, "bob").await,
        client(&coordinator, "carol").await,
    ];
    (coordinator, clients)
}

async fn join(client: &Client, group: &str) -> Group {
    join_with(client, group, JoinConfig::default()).await.0
}

async fn join_with(client: &Client, group: &str, config: JoinConfig) -> (Group, Joined) {
    let group = client.join(name(group), config).await.unwrap();
    let joined = joined(&group).await;
    (group, joined)
}

async fn joined(group: &Group) -> Joined {
    match group.recv().await.unwrap() {
        GroupItem::Joined(joined) => joined,
        other => panic!("{other:?} before it has joined"),
    }
}

async fn heard(group: &Group) -> GroupMessage {
    match group.recv().await.unwrap() {
        GroupItem::Message(message) => message,
        other => panic!("{other:?} is no message"),
    }
}

/// Up to which number it has heard, or heard that it has not, after what comes next.
async fn next(group: &Group) -> u64 {
    match group.recv().await.unwrap() {
        GroupItem::Message(message) => message.sequence + 1,
        GroupItem::Lagged(_) => 0,
        other => panic!("{other:?} is no message"),
    }
}
