//! What a Client can do to groups that it is in, is not in, or is in too often. Others hear each other as before.

use conec_core::{
    CoordinatorEvent, GroupConfig, GroupEnd, GroupId, GroupItem, JoinConfig, Lossy,
    testing::coordinator_entries,
};

use super::*;
use crate::groups::{all, ended, join, join_with, message as heard, name, next, publish};

/// Two honest members of a group, and Mallory.
struct Club {
    scene: Scene,
    members: [(NodeId, GroupId); 2],
    said: u64,
}

impl Club {
    fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    fn with(seed: u64, change: impl FnOnce(&mut CoordinatorConfig)) -> Self {
        let mut scene = Scene::with(seed, change);
        let members = ["carol", "dave"].map(|name| {
            let node = scene.world.add_client(name);
            scene.world.connect(node, scene.coordinator);
            (node, join(&mut scene.world, node, "room"))
        });
        Self {
            scene,
            members,
            said: 0,
        }
    }

    /// One says something that both hear, with all that was said before, without a gap. What others have said.
    fn talk(&mut self) -> Vec<String> {
        let begin = self.scene.world.elapsed();
        let [(node, group), _] = self.members;
        let said = format!("honest {}", self.said);
        publish(&mut self.scene.world, node, group, said.as_bytes());
        self.said += 1;
        let [one, other] = self.members.map(|(node, group)| {
            let mut others = Vec::new();
            loop {
                match heard(&mut self.scene.world, node, group) {
                    (number, text) if text == said => return (number, others),
                    (number, text) => others.push((number, text)),
                }
            }
        });
        assert_eq!(one, other);
        let took = self.scene.world.elapsed() - begin;
        assert!(took < Duration::from_millis(200), "it took {took:?}");
        self.scene.pair.talk(&mut self.scene.world);
        one.1.into_iter().map(|(_, text)| text).collect()
    }

    fn log_in(&mut self) -> RawConn {
        self.scene.log_in()
    }

    /// A membership's stream that begins with these messages.
    fn begin(&mut self, conn: &RawConn, group: &[u8], messages: &[Vec<u8>]) -> u64 {
        let stream = self.scene.until("a stream", || conn.open_bi());
        let messages = messages.iter().map(|it| message::frame(it));
        let bytes = [
            message::membership(group),
            messages.collect::<Vec<_>>().concat(),
        ];
        conn.write(stream, bytes.concat());
        stream
    }

    /// Mallory is a member, with these flags.
    fn join(&mut self, conn: &RawConn, group: &[u8], flags: u8) -> u64 {
        let stream = self.begin(conn, group, &[message::join(flags)]);
        self.scene.until("joined", || {
            (!conn.received(stream).bytes.is_empty()).then_some(())
        });
        stream
    }

    fn expect_code(&mut self, what: &str, conn: &RawConn, stream: u64, code: u64) {
        let stopped = self.scene.until("stopped", || conn.stopped(stream));
        assert_eq!(stopped, code, "{what}");
        let reset = self.scene.until("reset", || conn.received(stream).reset);
        assert_eq!(reset, code, "{what}");
        conn.reset(stream, code);
    }

    fn members_of(&mut self, group: &str) -> u64 {
        let coordinator = self.scene.world.coordinator(self.scene.coordinator);
        coordinator
            .group_state(&name(group))
            .map_or(0, |it| it.members)
    }
}

#[test]
fn what_is_malformed_or_comes_at_the_wrong_time_ends_that_membership_alone() {
    let mut club = Club::new(1);
    let conn = club.log_in();
    let join = message::join(7);
    let with = |more: &[u8]| [&join[..], more].concat();
    let cases = [
        ("a message before", vec![message::publish(b"early")]),
        ("a proof before", vec![message::proof(b"early")]),
        ("nothing", vec![vec![]]),
        ("an unknown type", vec![vec![8]]),
        ("a second join", vec![join.clone(), join.clone()]),
        (
            "an unknown type later",
            vec![join.clone(), vec![0x3e, 1, 2]],
        ),
        (
            "a proof too large",
            vec![join.clone(), message::proof(&[7; 65])],
        ),
        ("no part", vec![message::join(0)]),
        ("no part but to watch", vec![message::join(8)]),
        ("unknown flags", vec![message::join(16 + 7)]),
        ("unknown slowness", vec![message::join_from(7, 3, &[0])]),
        ("an unknown start", vec![message::join_from(7, 0, &[3])]),
        (
            "a start without an order",
            vec![message::join_from(7, 0, &[2])],
        ),
        ("more than a join", vec![with(&[0])]),
        ("half a join", vec![join[..2].to_vec()]),
        (
            "a message of who only hears",
            vec![message::join(6), message::publish(b"no")],
        ),
    ];
    for (what, messages) in cases {
        let stream = club.begin(&conn, b"room", &messages);
        club.expect_code(what, &conn, stream, 1);
        assert_eq!(club.talk(), [""; 0], "{what}");
        assert_eq!(club.members_of("room"), 2, "{what}");
    }
    for label in [&b""[..], b"NO NAME", b"\xff\xfe", &[b'a'; 255]] {
        let stream = club.begin(&conn, label, std::slice::from_ref(&join));
        club.expect_code("no name", &conn, stream, 1);
    }
    // And then she may be a member as anybody.
    let stream = club.join(&conn, b"room", 7);
    conn.write(stream, message::frame(&message::publish(b"hello")));
    club.scene.world.run_for(secs(1));
    assert_eq!(club.talk(), ["hello"]);
    assert_eq!(conn.end(), None);
    club.scene.all_is_well(&[]);
}

/// So many that to skip each from within the one before would take more memory than there is for that.
#[test]
fn what_is_not_known_may_be_skipped_however_often_it_comes() {
    let mut club = Club::new(2);
    let conn = club.log_in();
    let stream = club.begin(&conn, b"room", &[]);
    for _ in 0..20 {
        conn.write(stream, [1, 0x11].repeat(20_000));
    }
    conn.write(stream, message::frame(&message::join(7)));
    conn.write(stream, [1, 0x11].repeat(20_000));
    conn.write(stream, message::frame(&message::publish(b"at last")));
    club.scene.world.run_for(secs(5));
    assert_eq!(club.talk(), ["at last"]);
    club.scene.all_is_well(&[]);
}

#[test]
fn a_message_too_large_ends_its_membership_and_is_not_published() {
    let mut club = Club::new(3);
    let conn = club.log_in();
    for len in [(64 << 10) + 1, 1 << 20, 1 << 25] {
        let stream = club.join(&conn, b"room", 1);
        conn.write(stream, message::frame(&message::publish(b"small")));
        let large = message::publish(&vec![7; len]);
        conn.write(stream, message::frame(&large));
        club.expect_code("too large", &conn, stream, 14);
        assert_eq!(club.talk(), ["small"]);
        assert_eq!(club.members_of("room"), 2);
    }
    club.scene.all_is_well(&[]);
}

#[test]
fn who_is_a_member_becomes_one_again_only_when_that_is_over() {
    let mut club = Club::new(4);
    let conn = club.log_in();
    let first = club.join(&conn, b"room", 7);
    let second = club.begin(
        &conn,
        b"room",
        &[message::join(7), message::publish(b"twice")],
    );
    conn.write(first, message::frame(&message::publish(b"once")));
    club.scene.world.run_for(secs(1));
    assert_eq!(club.talk(), ["once"]);
    assert_eq!(club.members_of("room"), 3);
    assert!(conn.received(second).bytes.is_empty());
    conn.finish(first);
    club.scene.world.run_for(secs(1));
    assert_eq!(club.talk(), ["twice"]);
    assert_eq!(club.members_of("room"), 3);
    // What is left was left: what comes after that is nobody's.
    conn.finish(second);
    conn.finish(second);
    club.scene.world.run_for(secs(1));
    assert_eq!(club.members_of("room"), 2);
    club.scene.all_is_well(&[]);
}

#[test]
fn the_application_is_asked_about_a_member_again_only_when_that_is_over() {
    let rules = "connect allow any\nreach allow any to any\njoin allow name:carol\njoin allow name:dave\njoin ask any\npublish allow any\ncreate allow any";
    let mut club = Club::with(6, |config| config.rules = Some(rules.parse().unwrap()));
    let conn = club.log_in();
    let asked = |club: &mut Club| {
        club.scene.world.run_for(secs(1));
        let coordinator = club.scene.coordinator;
        club.scene
            .world
            .take_event(coordinator, |event| match event {
                Event::Coordinator(CoordinatorEvent::MemberAsks { request, .. }) => Some(*request),
                Event::Client(_) | Event::Coordinator(_) => None,
            })
    };
    let first = club.begin(&conn, b"room", &[message::join(7)]);
    let request = asked(&mut club).expect("she asks");
    let now = club.scene.world.now();
    let coordinator = club.scene.world.coordinator(club.scene.coordinator);
    coordinator.grant_membership(now, request).unwrap();
    club.scene.until("joined", || {
        (!conn.received(first).bytes.is_empty()).then_some(())
    });
    let second = club.begin(&conn, b"room", &[message::join(7)]);
    assert_eq!(asked(&mut club), None);
    conn.finish(first);
    let again = asked(&mut club).expect("she asks again");
    assert_ne!(again, request);
    let now = club.scene.world.now();
    let coordinator = club.scene.world.coordinator(club.scene.coordinator);
    coordinator.deny_membership(now, again).unwrap();
    club.expect_code("denied", &conn, second, 7);
    assert_eq!(club.members_of("room"), 2);
    club.scene.all_is_well(&[]);
}

#[test]
fn streams_that_begin_as_memberships_and_never_join_are_hers_alone() {
    // As much is kept of what was said, however much that is.
    let mut club = Club::with(5, |config| config.group.history = Lossy::latest());
    club.talk();
    let before = coordinator_entries(club.scene.world.coordinator(club.scene.coordinator));
    let conn = club.log_in();
    let mut opened = 0;
    while let Some(stream) = conn.open_bi() {
        let group = format!("group-{opened}");
        conn.write(stream, message::membership(group.as_bytes()));
        opened += 1;
        club.scene.world.run_for(Duration::from_millis(10));
    }
    assert!(opened > 4);
    assert_eq!(club.talk(), [""; 0]);
    let coordinator = club.scene.world.coordinator(club.scene.coordinator);
    assert_eq!(coordinator.groups(None, 100), [name("room")]);
    let now = club.scene.world.now();
    conn.close(now, 0);
    club.scene.world.run_for(secs(5));
    let after = coordinator_entries(club.scene.world.coordinator(club.scene.coordinator));
    // What is still known of her for a while: her name.
    assert!(after <= before + 4, "{after} after {before}");
    assert_eq!(club.talk(), [""; 0]);
}

#[test]
fn who_comes_and_goes_without_end_leaves_no_gap() {
    let mut club = Club::new(6);
    let conn = club.log_in();
    let mut heard = Vec::new();
    for round in 0..200 {
        let text = format!("storm {round}");
        let publish = message::publish(text.as_bytes());
        let stream = club.begin(&conn, b"room", &[message::join(15), publish]);
        match round % 3 {
            0 => conn.finish(stream),
            1 => {
                conn.finish(stream);
                conn.stop(stream, 13);
            }
            _ => {
                club.scene.world.run_for(Duration::from_millis(30));
                conn.reset(stream, 13);
            }
        }
        club.scene.world.run_for(Duration::from_millis(30));
        heard.extend(club.talk());
    }
    club.scene.world.run_for(secs(1));
    heard.extend(club.talk());
    let expected: Vec<_> = (0..200).map(|round| format!("storm {round}")).collect();
    assert_eq!(heard, expected);
    assert_eq!(club.members_of("room"), 2);
    club.scene.all_is_well(&[]);
}

/// Her messages are small, and she has many that hear them.
#[test]
fn a_flood_to_many_is_charged_to_who_publishes_it() {
    let mut club = Club::with(7, |config| config.limits.publish_rate = Some(1_000_000));
    let mut crowd = Vec::new();
    for number in 0..10 {
        let node = club.scene.world.add_client(&format!("fan-{number}"));
        club.scene.world.connect(node, club.scene.coordinator);
        crowd.push((node, join(&mut club.scene.world, node, "crowd")));
    }
    let conn = club.log_in();
    let stream = club.join(&conn, b"crowd", 1);
    let flood: Vec<u8> = message::frame(&message::publish(b"x")).repeat(20_000);
    conn.write(stream, flood);
    let begin = club.scene.world.elapsed();
    for _ in 0..20 {
        club.scene.world.run_for(Duration::from_millis(50));
        assert_eq!(club.talk(), [""; 0]);
    }
    let passed = (club.scene.world.elapsed() - begin).as_secs_f64();
    let coordinator = club.scene.world.coordinator(club.scene.coordinator);
    let published = coordinator.group_state(&name("crowd")).unwrap().next;
    // As if each had 256 bytes, for each of ten.
    let most = 1_000_000.0 * passed / 2560.0;
    assert!(published as f64 <= most + 10.0, "{published} of {most}");
    assert!(published as f64 > most / 2.0, "{published} of {most}");
    for (node, group) in crowd {
        let items = all(&mut club.scene.world, node, group);
        let lagged = items.iter().any(|it| matches!(it, GroupItem::Lagged(_)));
        assert!(lagged || items.len() as u64 >= published.saturating_sub(20));
    }
    club.scene.all_is_well(&[]);
}

#[test]
fn who_leaves_and_comes_back_owes_what_it_owed() {
    let mut club = Club::with(8, |config| config.limits.publish_rate = Some(65_536));
    let conn = club.log_in();
    let large = vec![b'x'; 64 << 10];
    for _ in 0..10 {
        // Each takes two seconds.
        let publish = message::publish(&large);
        let stream = club.begin(&conn, b"room", &[message::join(1), publish]);
        club.scene.world.run_for(Duration::from_millis(300));
        conn.finish(stream);
        conn.reset(stream, 13);
        club.scene.world.run_for(Duration::from_millis(100));
    }
    let coordinator = club.scene.world.coordinator(club.scene.coordinator);
    let published = coordinator.group_state(&name("room")).unwrap().next;
    assert!((1..=3).contains(&published), "{published}");
    let now = club.scene.world.now();
    conn.close(now, 0);
    for (node, _) in club.members {
        club.scene.world.client(node).close(now, secs(1));
    }
    club.scene.world.run_for(secs(10));
    club.scene.pair.are_well(&mut club.scene.world);
}

#[test]
fn who_never_reads_holds_up_nobody() {
    let mut club = Club::new(9);
    let mut dial = Dial::home(MALLORY);
    dial.stream_window = 1000;
    dial.window = 5000;
    let conn = club.scene.log_in_with(&dial, b"mallory");
    let stream = club.join(&conn, b"room", 7 + 8);
    conn.set_reading(false);
    let before = coordinator_entries(club.scene.world.coordinator(club.scene.coordinator));
    for round in 0..600 {
        assert_eq!(club.talk(), [""; 0], "round {round}");
    }
    let after = coordinator_entries(club.scene.world.coordinator(club.scene.coordinator));
    // What the group keeps for her, and for who joins.
    assert!(after < before + (400 << 10), "{after} after {before}");
    assert_eq!(conn.stopped(stream), None);
    assert_eq!(club.members_of("room"), 3);
    club.scene.all_is_well(&[]);
}

#[test]
fn who_stops_reading_where_others_wait_for_it_is_sent_away_in_time() {
    let mut club = Club::new(10);
    let mut config = GroupConfig::default();
    config.push_back = Some(secs(3));
    config.history = Lossy::new(20, 20_000);
    let coordinator = club.scene.world.coordinator(club.scene.coordinator);
    coordinator.make_lasting_group(name("log"), config).unwrap();
    let [(carol, _), (dave, _)] = club.members;
    let [at_carol, at_dave] = [carol, dave].map(|it| join(&mut club.scene.world, it, "log"));
    let mut dial = Dial::home(MALLORY);
    dial.stream_window = 1000;
    let conn = club.scene.log_in_with(&dial, b"mallory");
    let stream = club.join(&conn, b"log", 3);
    conn.set_reading(false);
    let begin = club.scene.world.elapsed();
    for number in 0..300 {
        publish(&mut club.scene.world, carol, at_carol, &[7; 1000]);
        for (node, group) in [(carol, at_carol), (dave, at_dave)] {
            assert_eq!(heard(&mut club.scene.world, node, group).0, number);
        }
        if number % 20 == 0 {
            // Nobody waits but in that group.
            assert_eq!(club.talk(), [""; 0]);
        }
    }
    let took = club.scene.world.elapsed() - begin;
    assert!(took > secs(3) && took < secs(30), "{took:?}");
    assert_eq!(club.members_of("log"), 2);
    assert_eq!(club.scene.until("stopped", || conn.stopped(stream)), 23);
    club.scene.all_is_well(&[]);
}

#[test]
fn nothing_is_heard_of_a_message_whose_end_never_came() {
    let mut club = Club::new(11);
    for round in 0..4 {
        let conn = club.log_in();
        let stream = club.join(&conn, b"room", 1);
        conn.write(stream, message::frame(&message::publish(b"whole")));
        let half = message::frame(&message::publish(&[b'x'; 5000]));
        conn.write(stream, half[..4000].to_vec());
        club.scene.world.run_for(secs(1));
        match round {
            0 => conn.finish(stream),
            1 => conn.reset(stream, 13),
            2 => conn.vanish(),
            _ => {
                let now = club.scene.world.now();
                conn.close(now, 0);
            }
        }
        club.scene.world.run_for(secs(100));
        assert_eq!(club.talk(), ["whole"]);
        assert_eq!(club.members_of("room"), 2);
        if conn.end().is_none() {
            let now = club.scene.world.now();
            conn.close(now, 0);
            club.scene.world.run_for(secs(5));
        }
    }
}

/// Only Coordinators have groups.
#[test]
fn a_peer_that_is_asked_for_a_membership_refuses_and_goes_on() {
    let mut scene = Scene::new(12);
    let (at, conn) = peers::open(&mut scene);
    let stream = conn.open_bi().unwrap();
    let join = message::frame(&message::join(7));
    conn.write(stream, [message::membership(b"room"), join].concat());
    assert_eq!(scene.until("stopped", || conn.stopped(stream)), 1);
    scene.until("reset", || conn.received(stream).reset);
    scene.pair.talk(&mut scene.world);
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"data"));
    conn.write(stream, message::frame(b"as before"));
    let (half, _) = scene.world.accept_labelled(at);
    assert_eq!(scene.world.recv(half), "as before");
    scene.all_is_well(&[]);
}

/// Whom the application removes cannot go on with what it has.
#[test]
fn who_was_sent_out_publishes_nothing_more() {
    let mut club = Club::new(13);
    let conn = club.log_in();
    let stream = club.join(&conn, b"room", 3);
    let now = club.scene.world.now();
    let coordinator = club.scene.world.coordinator(club.scene.coordinator);
    assert!(coordinator.remove_member(now, &name("room"), mallory_id()));
    conn.write(stream, message::frame(&message::publish(b"late")));
    club.expect_code("removed", &conn, stream, 7);
    assert_eq!(club.talk(), [""; 0]);
    let mut config = JoinConfig::default();
    config.watch = true;
    // Nobody is told that she is there.
    let victim = club.scene.victim();
    let (group, _) = join_with(&mut club.scene.world, victim, "room", config);
    for _ in 0..3 {
        let item = next(&mut club.scene.world, victim, group);
        assert!(matches!(item, GroupItem::Arrived(it) if it.id != mallory_id()));
    }
    club.scene.world.client(victim).group(group).leave();
    assert_eq!(ended(&mut club.scene.world, victim, group), GroupEnd::Left);
    club.scene.all_is_well(&[]);
}
