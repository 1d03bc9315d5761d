//! Large messages that come in turn, as memory is tight, from who cannot or does not want to send them quickly.

use bytes::Bytes;
use conec_core::{RecvEnd, testing::coordinator_entries};
use conec_tests::sim::LinkConfig;

use super::{
    streams::{honest_stream, send_parts},
    *,
};

/// So many Clients with a message of the largest size that is half sent.
fn stalled(scene: &mut Scene, first: u16, count: u16) -> Vec<RawConn> {
    let numbers = first..first + count;
    let conns = numbers.map(|number| {
        let dial = Dial::home(Key::Identity(number));
        let conn = scene.log_in_with(&dial, format!("mallory-{number}").as_bytes());
        send_parts(&conn, 1);
        conn
    });
    let conns = conns.collect();
    scene.world.run_for(secs(5));
    conns
}

/// What is sent at so many bits in a second takes longer than a turn, and those before and behind it take their time.
#[test]
fn who_is_slow_in_its_turn_gets_another_and_is_not_cut_off() {
    for (seed, rate) in [(16, 100_000), (17, 300_000), (18, 1_000_000)] {
        let mut scene = Scene::with(seed, |config| share_out(config, MEMORY));
        let mut others = stalled(&mut scene, 800, 8);
        let slow = scene.victim();
        others.extend(stalled(&mut scene, 900, 8));
        *scene.world.link(slow, scene.coordinator) = LinkConfig {
            rate: Some(rate / 8),
            queue: rate as usize / 8,
            ..LinkConfig::default()
        };
        let begin = scene.world.elapsed();
        let (ours, theirs) = honest_stream(&mut scene, slow);
        let message = Bytes::from_iter((0..1 << 20).map(|at: u32| (at / 1000) as u8));
        scene.world.send(ours, message.clone());
        scene.world.finish(ours);
        let got = loop {
            // Who has little to say never notices.
            let asked = scene.world.elapsed();
            scene.pair.talk(&mut scene.world);
            let took = scene.world.elapsed() - asked;
            assert!(took < secs(1), "{took:?}");
            if let Ok(got) = scene.world.try_recv(theirs) {
                break got;
            }
            scene.world.run_for(secs(1));
            let took = scene.world.elapsed() - begin;
            assert!(took < secs(200), "nothing came in {took:?}");
        };
        assert_eq!(got, message);
        assert_eq!(scene.world.recv_ended(theirs), RecvEnd::Finished);
        scene.world.run_for(secs(1));
        let ended = others.iter().filter(|conn| conn.end() == Some(LIMIT));
        let ended = ended.count() as u64;
        assert!(ended > 0);
        assert_eq!(scene.stats().channels_shed, ended);
        scene.pair.are_well(&mut scene.world);
    }
}

/// There are always others who wait for a turn: when one has let three go by and is cut off, the next comes.
#[test]
fn who_goes_on_sending_in_its_turn_is_not_taken_for_one_that_does_not() {
    let mut scene = Scene::with(19, |config| share_out(config, MEMORY));
    let mut others = stalled(&mut scene, 800, 8);
    let slow = scene.victim();
    *scene.world.link(slow, scene.coordinator) = LinkConfig {
        rate: Some(100_000 / 8),
        queue: 100_000 / 8,
        ..LinkConfig::default()
    };
    let begin = scene.world.elapsed();
    let (ours, theirs) = honest_stream(&mut scene, slow);
    scene.world.send(ours, vec![1; 1 << 20]);
    let got = loop {
        if let Ok(got) = scene.world.try_recv(theirs) {
            break got;
        }
        let there = others.iter().filter(|conn| conn.end().is_none());
        for _ in there.count()..8 {
            let number = 800 + others.len() as u16;
            others.extend(stalled(&mut scene, number, 1));
        }
        scene.world.run_for(secs(1));
        let took = scene.world.elapsed() - begin;
        assert!(took < secs(600), "nothing came in {took:?}");
    };
    assert_eq!(got.len(), 1 << 20);
    let ended = others.iter().filter(|conn| conn.end() == Some(LIMIT));
    assert_eq!(scene.stats().channels_shed, ended.count() as u64);
    scene.pair.are_well(&mut scene.world);
}

/// As long as it has not taken what is there it asks for no turn. But others do not keep it from what it waits for.
#[test]
fn who_reads_one_stream_after_the_other_does_not_wait_for_others_who_stall() {
    let mut scene = Scene::with(20, |config| share_out(config, MEMORY));
    let victim = scene.victim();
    let (first, read_first) = honest_stream(&mut scene, victim);
    let (second, read_second) = honest_stream(&mut scene, victim);
    scene.world.send(second, vec![2; 1 << 20]);
    scene.world.run_for(secs(1));
    let others = stalled(&mut scene, 800, 8);
    scene.world.send(first, vec![1; 1 << 20]);
    let got = scene.world.recv(read_first);
    assert_eq!(got, vec![1; 1 << 20]);
    assert_eq!(scene.world.recv(read_second), vec![2; 1 << 20]);
    let ended = others.iter().filter(|conn| conn.end() == Some(LIMIT));
    assert_eq!(scene.stats().channels_shed, ended.count() as u64);
    scene.pair.are_well(&mut scene.world);
}

/// There is memory for one of them at a time. Who goes on is not interrupted, so that the first is there before the second has its
/// turn.
#[test]
fn of_two_that_take_their_time_one_is_whole_before_the_other_goes_on() {
    let mut scene = Scene::with(23, |config| {
        config.home.receive_window = 32 << 10;
        config.home.max_receive_window = 32 << 10;
        share_out(config, 1 << 20);
    });
    let victim = scene.victim();
    for _ in 0..10 {
        let (unread, _) = honest_stream(&mut scene, victim);
        scene.world.send(unread, vec![0; 60_000]);
    }
    scene.world.run_for(secs(5));
    let streams = ["one", "two"].map(|name| {
        let slow = scene.world.add_client(name);
        scene.world.connect(slow, scene.coordinator);
        let (ours, theirs) = honest_stream(&mut scene, slow);
        *scene.world.link(slow, scene.coordinator) = LinkConfig {
            rate: Some(25_000),
            queue: 25_000,
            ..LinkConfig::default()
        };
        scene.world.send(ours, vec![1; 250_000]);
        theirs
    });
    let begin = scene.world.elapsed();
    let mut arrived = streams.map(|_| None);
    while arrived.iter().any(Option::is_none) {
        scene.world.run_for(Duration::from_millis(100));
        let took = scene.world.elapsed() - begin;
        assert!(took < secs(60), "{arrived:?} in {took:?}");
        for (theirs, arrived) in streams.into_iter().zip(&mut arrived) {
            if scene.world.try_recv(theirs).is_ok() {
                *arrived = Some(took);
            }
        }
    }
    let [one, two] = arrived.map(Option::unwrap);
    assert!(one.abs_diff(two) > secs(6), "{one:?} {two:?}");
    assert_eq!(scene.stats().channels_shed, 0);
    scene.pair.are_well(&mut scene.world);
}

/// Several large ones side by side are what turns are there to prevent.
#[test]
fn the_message_that_has_the_turn_keeps_it_while_the_application_only_looks() {
    let mut scene = Scene::with(21, |config| {
        // Nothing holds up the sender.
        config.home.receive_window = 1 << 20;
        share_out(config, 1 << 20);
    });
    let victim = scene.victim();
    for _ in 0..10 {
        let (unread, _) = honest_stream(&mut scene, victim);
        scene.world.send(unread, vec![0; 60_000]);
    }
    let conn = scene.log_in();
    let at = scene.session();
    let [near, far] = [100_000, 80_000].map(|part| {
        let stream = conn.open_uni().unwrap();
        conn.write(stream, message::preamble(b"large"));
        conn.write(stream, message::varint(200_000));
        conn.write(stream, vec![1; part]);
        (stream, scene.world.accept_stream(at))
    });
    scene.world.run_for(secs(2));
    let kept = coordinator_entries(scene.world.coordinator(scene.coordinator));
    for _ in 0..3 {
        let mut channel = scene.world.channel(at.node, at.channel).unwrap();
        assert!(channel.stats().is_some());
        scene.world.run_for(Duration::from_millis(100));
    }
    let after = coordinator_entries(scene.world.coordinator(scene.coordinator));
    assert!(after < kept + 10_000, "{kept} bytes were kept, {after} are");
    conn.write(near.0, vec![1; 100_000]);
    scene.world.wait_for("the first", secs(2), |world| {
        world.take_event(at.node, |event| match event.channel() {
            Some((_, ChannelEvent::Readable { stream })) if *stream == near.1.stream => Some(()),
            Some(_) | None => None,
        })
    });
    assert_eq!(scene.world.recv(near.1).len(), 200_000);
    conn.write(far.0, vec![1; 120_000]);
    assert_eq!(scene.world.recv(far.1).len(), 200_000);
    scene.all_is_well(&[]);
}

/// What is missing may be behind streams that were not accepted.
#[test]
fn nobody_is_cut_off_while_the_application_leaves_its_streams_untaken() {
    let mut scene = Scene::with(22, |config| share_out(config, MEMORY));
    let conn = scene.log_in();
    let at = scene.session();
    let large = conn.open_uni().unwrap();
    conn.write(large, message::preamble(b"large"));
    conn.write(large, message::varint(1 << 20));
    conn.write(large, vec![1; (1 << 20) - 1]);
    scene.world.run_for(secs(5));
    scene.world.set_lagging(scene.coordinator, true);
    for _ in 0..300 {
        if let Some(stream) = conn.open_uni() {
            conn.write(stream, message::preamble(b"more"));
            conn.finish(stream);
        }
        scene.world.run_for(Duration::from_millis(20));
    }
    let others = stalled(&mut scene, 800, 8);
    scene.world.run_for(secs(100));
    assert_eq!(conn.end(), None);
    assert!(others.iter().all(|conn| conn.end().is_none()));
    scene.world.set_lagging(scene.coordinator, false);
    let stream = scene.world.accept_stream(at);
    conn.write(large, vec![1]);
    assert_eq!(scene.world.recv(stream).len(), 1 << 20);
    scene.pair.are_well(&mut scene.world);
}

/// For messages of the Coordinator's: eight of the largest size.
const MEMORY: usize = 8 << 20;
