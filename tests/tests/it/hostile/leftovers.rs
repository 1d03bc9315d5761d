//! Channels that are over again and again, and leave something to an application that does not read.

use std::time::Instant;

use conec_core::{Channel, Code, RecvEnd, StreamId, testing::coordinator_entries};

use super::*;

/// Each leaves a channel that is over, which takes far more than its one byte: together no more than messages may.
#[test]
fn what_short_channels_leave_is_paid_for_as_what_it_takes() {
    let mut scene = Scene::with(70, |config| share_out(config, 128 << 10));
    scene.world.set_lagging(scene.coordinator, true);
    let mut told = come_and_go(&mut scene, 0, 1);
    let held = {
        let first = closed(&told)[0];
        let (stream, label) = left(&mut scene, first).unwrap().accept().unwrap();
        assert_eq!(label, "left");
        stream
    };
    for number in 1..60 {
        told.extend(come_and_go(&mut scene, number, 1));
    }
    let ended = closed(&told);
    assert_eq!(ended.len(), 60);
    let mut stay = ended.clone();
    stay.retain(|&id| left(&mut scene, id).is_some());
    assert!((10..40).contains(&stay.len()), "{} stay", stay.len());
    // The latest do, and who has a stream of another learns that it is gone.
    assert_eq!(stay.last(), ended.last());
    let end = RecvEnd::Closed(CloseReason::Overloaded);
    let lost = ChannelEvent::RecvEnded { stream: held, end };
    assert_eq!(told.iter().filter(|(_, event)| *event == lost).count(), 1);
    for id in stay {
        let mut channel = left(&mut scene, id).unwrap();
        let (stream, _) = channel.accept().unwrap();
        assert_eq!(channel.stream(stream).recv().unwrap(), "x");
    }
    poll(&mut scene);
    scene.world.set_lagging(scene.coordinator, false);
    scene.pair.talk(&mut scene.world);
}

/// One host comes and goes under many keys. What another has left before is more than each of them leaves, and stays.
#[test]
fn who_has_left_most_gives_up_its_own() {
    let mut scene = Scene::with(72, |config| share_out(config, 128 << 10));
    scene.world.set_lagging(scene.coordinator, true);
    let own = scene.world.address(scene.mallory);
    let others = ([198, 51, 100, 7], 4433).into();
    scene.world.rebind(scene.mallory, others);
    let honest = closed(&come_and_go(&mut scene, 0, 5))[0];
    scene.world.rebind(scene.mallory, own);
    let mut told = Vec::new();
    for number in 1..60 {
        told.extend(come_and_go(&mut scene, number, 1));
    }
    let ended = closed(&told);
    assert_eq!(ended.len(), 59);
    assert!(left(&mut scene, ended[0]).is_none(), "too little was left");
    let mut channel = left(&mut scene, honest).expect("it stays");
    let (stream, _) = channel.accept().unwrap();
    assert_eq!(channel.stream(stream).recv().unwrap(), "x");
    poll(&mut scene);
    scene.world.set_lagging(scene.coordinator, false);
    scene.pair.talk(&mut scene.world);
}

/// Mallory has channels with a Client again and again. What somebody else has left there before stays.
#[test]
fn a_peer_that_has_left_most_gives_up_its_own() {
    let mut scene = Scene::new(73);
    let mut config = scene.world.client_config("victim");
    share_out_channels(&mut config, 128 << 10);
    let victim = scene.world.add_client_with(config);
    scene.world.connect(victim, scene.coordinator);
    scene.world.set_lagging(victim, true);
    let [friend, mallory] = [667, 666].map(|key| {
        let home = scene.log_in_with(&Dial::home(Key::Identity(key)), b"");
        (key, home)
    });
    let honest = leave(&mut scene, &friend, victim, 5);
    let first = leave(&mut scene, &mallory, victim, 1);
    for _ in 1..60 {
        leave(&mut scene, &mallory, victim, 1);
    }
    let client = scene.world.client(victim);
    assert!(client.channel(first).is_none(), "too little was left");
    let mut channel = client.channel(honest).expect("it stays");
    let (stream, _) = channel.accept().unwrap();
    assert_eq!(channel.stream(stream).recv().unwrap(), "x");
    scene.all_is_well(&[]);
}

/// Messages that wait on channels that live are not read any more once memory is short. They do not take the place of what
/// another Client has left.
#[test]
fn what_was_left_stays_while_others_fill_the_memory() {
    let mut scene = Scene::with(74, |config| share_out(config, 128 << 10));
    scene.world.set_lagging(scene.coordinator, true);
    let honest = closed(&come_and_go(&mut scene, 0, 1))[0];
    let mallory = scene.log_in_with(&Dial::home(Key::Identity(701)), b"");
    while let Some(stream) = mallory.open_uni() {
        mallory.write(stream, message::preamble(b"fill"));
        for _ in 0..20 {
            mallory.write(stream, message::frame(&[0; 1000]));
        }
        scene.world.run_for(Duration::from_millis(100));
    }
    let told = poll(&mut scene);
    let filled = told.last().expect("streams").0;
    let mut channel = left(&mut scene, filled).unwrap();
    let mut unread = 0;
    each_stream(&mut channel, |channel, id| {
        while let Ok(message) = channel.stream(id).recv() {
            unread += message.len();
        }
    });
    assert!(unread > 80 << 10, "{unread} bytes waited");
    let mut channel = left(&mut scene, honest).expect("it stays");
    let (stream, _) = channel.accept().unwrap();
    assert_eq!(channel.stream(stream).recv().unwrap(), "x");
    poll(&mut scene);
    scene.world.set_lagging(scene.coordinator, false);
    scene.pair.talk(&mut scene.world);
}

#[test]
fn nothing_stays_of_a_channel_that_is_over_once_nobody_wants_what_is_left() {
    let mut scene = Scene::new(71);
    scene.world.set_lagging(scene.coordinator, true);
    poll(&mut scene);
    scene.world.run_for(secs(20));
    let before = coordinator_entries(scene.world.coordinator(scene.coordinator));
    let give_up: [fn(&mut Channel<'_>, Instant); 4] = [
        |channel, _| {
            each_stream(
                channel,
                |channel, id| {
                    while channel.stream(id).recv().is_ok() {}
                },
            );
        },
        |channel, _| {
            each_stream(channel, |channel, id| {
                channel.stream(id).stop(Code(1)).unwrap()
            })
        },
        // As drivers do where nobody holds the channel any more.
        |channel, _| {
            each_stream(channel, |channel, id| {
                channel.stream(id).abandon_recv().unwrap();
            });
        },
        |channel, now| channel.abort(now, Code(1)),
    ];
    for (number, give_up) in give_up.into_iter().enumerate() {
        let told = come_and_go(&mut scene, number as u16, 10);
        let now = scene.world.now();
        let mut channel = left(&mut scene, closed(&told)[0]).unwrap();
        give_up(&mut channel, now);
        poll(&mut scene);
        assert!(left(&mut scene, closed(&told)[0]).is_none(), "{number}");
        scene.world.run_for(secs(20));
        let coordinator = scene.world.coordinator(scene.coordinator);
        assert_eq!(coordinator_entries(coordinator), before, "{number}");
    }
}

/// A Client that is let in, opens streams with one message each, and leaves. Gives what the Coordinator's driver is told.
fn come_and_go(scene: &mut Scene, number: u16, streams: usize) -> Vec<(ChannelId, ChannelEvent)> {
    let conn = scene.shake_hands_with(&Dial::home(Key::Identity(700 + number)));
    conn.control(&message::hello(b"", b""));
    scene.until("welcome", || conn.next_of_kind(0));
    for _ in 0..streams {
        let stream = conn.open_uni().unwrap();
        conn.write(stream, message::preamble(b"left"));
        conn.write(stream, message::frame(b"x"));
    }
    scene.world.run_for(Duration::from_millis(100));
    conn.close(scene.world.now(), 0);
    scene.world.run_for(Duration::from_millis(100));
    poll(scene)
}

/// Who has this key, and this home channel, has a channel with a Client, opens streams with one message each, and ends it.
fn leave(
    scene: &mut Scene,
    (key, home): &(u16, RawConn),
    victim: NodeId,
    streams: usize,
) -> ChannelId {
    let id = scene.world.client_id(victim);
    home.control(&message::open_by_id(7, id, b"test"));
    let offer = scene.until("offer", || home.next_offer());
    home.control(&message::accept(offer.own_route));
    scene.until("start", || home.next_of_kind(4));
    let (now, via) = (scene.world.now(), scene.coordinator_address());
    let dial = Dial::peer(Key::Identity(*key));
    let conn = scene.raw.connect_peer(now, &offer, via, &dial);
    scene.until("connected", || conn.is_connected().then_some(()));
    let from = keys::identity(*key).id();
    conn.control(&message::bind(offer.channel, from, id, b"test"));
    scene.until("bound", || conn.next_of_kind(2));
    for _ in 0..streams {
        let stream = conn.open_uni().unwrap();
        conn.write(stream, message::preamble(b"left"));
        conn.write(stream, message::frame(b"x"));
    }
    scene.world.run_for(Duration::from_millis(100));
    conn.close(scene.world.now(), 0);
    scene.world.run_for(Duration::from_millis(100));
    let client = scene.world.client(victim);
    let told: Vec<_> = std::iter::from_fn(|| client.poll_channel_event()).collect();
    while client.poll_offer().is_some() {}
    closed(&told)[0]
}

/// What a driver is told that takes streams by itself, as the application asks for them.
fn poll(scene: &mut Scene) -> Vec<(ChannelId, ChannelEvent)> {
    let coordinator = scene.world.coordinator(scene.coordinator);
    let told = std::iter::from_fn(|| coordinator.poll_channel_event()).collect();
    while coordinator.poll_application_event().is_some() {}
    told
}

fn closed(told: &[(ChannelId, ChannelEvent)]) -> Vec<ChannelId> {
    let ended = told
        .iter()
        .filter(|(_, event)| matches!(event, ChannelEvent::Closed { .. }));
    ended.map(|&(id, _)| id).collect()
}

fn left(scene: &mut Scene, id: ChannelId) -> Option<Channel<'_>> {
    scene.world.coordinator(scene.coordinator).channel(id)
}

fn each_stream(channel: &mut Channel<'_>, mut act: impl FnMut(&mut Channel<'_>, StreamId)) {
    while let Some((stream, _)) = channel.accept() {
        act(channel, stream);
    }
}
