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

fn each_stream(channel: &mut Channel<'_>, act: impl Fn(&mut Channel<'_>, StreamId)) {
    while let Some((stream, _)) = channel.accept() {
        act(channel, stream);
    }
}
