//! Data streams that are not what they should be, from a Client to the Coordinator's application, and between peers.

use conec_core::{Lossy, RecvEnd, RecvError, testing::coordinator_entries};
use rand::{Rng, RngCore};

use super::*;

/// A stream with its preamble, and the other side's half.
fn announced(scene: &mut Scene, conn: &RawConn, at: At) -> (u64, Half) {
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"data"));
    let (half, label) = scene.world.accept_labelled(at);
    assert_eq!(label, "data");
    (stream, half)
}

/// Whether the channel works as before.
fn still_works(scene: &mut Scene, conn: &RawConn, at: At) {
    let (stream, half) = announced(scene, conn, at);
    conn.write(stream, message::frame(b"as before"));
    assert_eq!(scene.world.recv(half), "as before");
    conn.finish(stream);
    assert_eq!(scene.world.recv_ended(half), RecvEnd::Finished);
    assert_eq!(conn.end(), None);
    scene.pair.talk(&mut scene.world);
}

/// Runs a story on a home channel, and on a peer channel.
fn everywhere(story: impl Fn(&mut Scene, &RawConn, At)) {
    let mut scene = Scene::new(1);
    let conn = scene.log_in();
    let at = scene.session();
    story(&mut scene, &conn, at);
    still_works(&mut scene, &conn, at);
    scene.all_is_well(&[]);

    let mut scene = Scene::new(2);
    let (at, conn) = peers::open(&mut scene);
    story(&mut scene, &conn, at);
    still_works(&mut scene, &conn, at);
    scene.all_is_well(&[]);
}

fn streams_opened(scene: &mut Scene, at: At) -> usize {
    count_events(&mut scene.world, at.node, |event| {
        matches!(event, ChannelEvent::StreamOpened { .. })
    })
}

#[test]
fn a_stream_of_an_unknown_kind_is_refused_alone() {
    everywhere(|scene, conn, at| {
        for kind in [0, 3, 0x40, 0xff] {
            let stream = conn.open_bi().unwrap();
            conn.write(stream, vec![kind, 0]);
            let code = scene.until("stopped", || conn.stopped(stream));
            assert_eq!(code, 1);
            scene.until("reset", || conn.received(stream).reset);
            assert_eq!(conn.received(stream).reset, Some(13));
        }
        assert_eq!(streams_opened(scene, at), 0);
    });
}

#[test]
fn a_stream_that_ends_in_its_preamble_is_never_announced() {
    everywhere(|scene, conn, at| {
        for bytes in [&b""[..], b"\x01", b"\x01\x05", b"\x01\x05abcd"] {
            for bi in [true, false] {
                let stream = match bi {
                    true => conn.open_bi(),
                    false => conn.open_uni(),
                }
                .unwrap();
                conn.write(stream, bytes);
                conn.finish(stream);
                if bi {
                    scene.until("reset", || conn.received(stream).reset);
                }
            }
            scene.world.run_for(secs(1));
        }
        assert_eq!(streams_opened(scene, at), 0);
    });
}

#[test]
fn a_stream_that_ends_in_a_message_gives_no_part_of_it() {
    everywhere(|scene, conn, at| {
        for tail in [&b"\x40"[..], b"\x05", b"\x05hell", b"\xc0\0\0"] {
            let (stream, half) = announced(scene, conn, at);
            conn.write(stream, message::frame(b"whole"));
            conn.write(stream, tail);
            conn.finish(stream);
            assert_eq!(scene.world.recv(half), "whole");
            assert_eq!(scene.world.recv_ended(half), RecvEnd::Truncated);
            assert_eq!(scene.world.try_recv(half), Err(RecvError::Ended));
        }
    });
}

#[test]
fn a_stream_that_ends_in_a_message_ends_for_a_lossy_reader_after_what_it_has_lost() {
    everywhere(|scene, conn, at| {
        let (stream, half) = announced(scene, conn, at);
        let mut channel = scene.world.channel(at.node, at.channel).unwrap();
        let mut reader = channel.stream(half.stream);
        reader.set_lossy(Some(Lossy::latest())).unwrap();
        for message in [&b"old"[..], b"new"] {
            conn.write(stream, message::frame(message));
        }
        conn.write(stream, &b"\x05hell"[..]);
        conn.finish(stream);
        scene.world.run_for(secs(1));
        assert_eq!(scene.world.try_recv(half), Err(RecvError::Lagged(1)));
        assert_eq!(scene.world.try_recv(half), Ok("new".into()));
        assert_eq!(scene.world.recv_ended(half), RecvEnd::Truncated);
    });
}

#[test]
fn a_message_too_large_ends_its_stream_alone() {
    everywhere(|scene, conn, at| {
        // One more than peers allow, which is more than Coordinators do, and as much as can be said.
        for len in [(16 << 20) + 1, (1 << 62) - 1] {
            let (stream, half) = announced(scene, conn, at);
            conn.write(stream, message::frame(b"small"));
            conn.write(stream, message::varint(len));
            conn.write(stream, vec![0; 5000]);
            assert_eq!(scene.world.recv(half), "small");
            assert_eq!(scene.world.recv_ended(half), RecvEnd::TooLarge);
            assert_eq!(scene.until("stopped", || conn.stopped(stream)), 14);
        }
    });
}

#[test]
fn parts_of_messages_that_may_be_read_at_once_are_not_all_read() {
    let mut scene = Scene::with(4, |config| {
        // All of them can be under way.
        config.home.receive_window = 2 << 20;
        share_out(config, 1 << 20);
    });
    let conn = scene.log_in();
    // An honest Client has messages under way as well.
    let victim = scene.victim();
    let home = At {
        node: victim,
        channel: ChannelId::HOME,
    };
    let honest = [(); 2].map(|()| {
        let stream = scene.world.open(home, Direction::Uni, b"honest");
        scene.world.send(stream, vec![1; 250_000]);
        stream
    });
    scene.world.run_for(secs(1));
    for _ in 0..8 {
        let stream = conn.open_uni().unwrap();
        conn.write(stream, message::preamble(b""));
        conn.write(stream, message::varint(200_000));
        conn.write(stream, vec![0; 150_000]);
    }
    scene.world.run_for(secs(1));
    for stream in honest {
        scene.world.finish(stream);
    }
    let session = scene.world.client(victim).id();
    let session = scene.world.coordinator(scene.coordinator).find(session);
    let at = At {
        node: scene.coordinator,
        channel: session.unwrap(),
    };
    let mut streams = honest.map(|_| scene.world.accept_stream(at)).to_vec();
    while !streams.is_empty() {
        // In the order in which they come.
        let (at, got) = scene.world.wait_for("a message", secs(10), |world| {
            let mut streams = streams.iter().enumerate();
            streams.find_map(|(at, &stream)| Some((at, world.try_recv(stream).ok()?)))
        });
        assert_eq!(got.len(), 250_000);
        let stream = streams.remove(at);
        assert_eq!(scene.world.recv_ended(stream), RecvEnd::Finished);
    }
    // Now there is room for some of them.
    scene.world.run_for(secs(1));
    let kept = coordinator_entries(scene.world.coordinator(scene.coordinator));
    assert!((400_000..1 << 20).contains(&kept), "{kept} bytes are kept");
    scene.all_is_well(&[]);
}

/// A stream from an honest Client to the Coordinator.
pub(super) fn honest_stream(scene: &mut Scene, client: NodeId) -> (Half, Half) {
    let home = crate::connecting::home(client);
    let ours = scene.world.open(home, Direction::Uni, b"honest");
    let id = scene.world.client_id(client);
    let channel = scene.world.coordinator(scene.coordinator).find(id).unwrap();
    let theirs = scene.world.accept_stream(At {
        node: scene.coordinator,
        channel,
    });
    (ours, theirs)
}

/// How long an honest Client takes to send large messages to the Coordinator, which reads them at once.
fn upload(scene: &mut Scene, victim: NodeId, messages: usize) -> Duration {
    upload_of(scene, victim, messages, 1 << 20)
}

fn upload_of(scene: &mut Scene, victim: NodeId, messages: usize, size: usize) -> Duration {
    let (ours, theirs) = honest_stream(scene, victim);
    let begin = scene.world.elapsed();
    for _ in 0..messages {
        scene.world.send(ours, vec![1; size]);
        assert_eq!(scene.world.recv(theirs).len(), size);
    }
    let took = scene.world.elapsed() - begin;
    scene.world.finish(ours);
    took
}

/// Has part of a message of the largest size sent on so many streams.
pub(super) fn send_parts(conn: &RawConn, streams: usize) {
    for _ in 0..streams {
        let stream = conn.open_uni().unwrap();
        conn.write(stream, message::preamble(b""));
        conn.write(stream, message::varint(1 << 20));
        conn.write(stream, vec![0; (1 << 20) - 1]);
    }
}

#[test]
fn while_parts_of_many_large_messages_wait_others_are_as_fast_as_ever() {
    let mut scene = Scene::with(14, |config| share_out(config, 8 << 20));
    let victim = scene.victim();
    upload(&mut scene, victim, 20);
    let quiet = upload(&mut scene, victim, 20);
    let conn = scene.log_in();
    send_parts(&conn, 16);
    let busy = upload(&mut scene, victim, 20);
    assert!(busy <= quiet * 11 / 10, "{busy:?} instead of {quiet:?}");
    assert_eq!(conn.end(), None, "it takes what it may");
    scene.all_is_well(&[]);
}

/// Each of them has no more under way than who is honest could have.
#[test]
fn who_has_a_turn_and_does_not_use_it_goes() {
    let mut scene = Scene::with(15, |config| share_out(config, 8 << 20));
    let victim = scene.victim();
    let conns: Vec<_> = (0..12)
        .map(|number| {
            let dial = Dial::home(Key::Identity(700 + number));
            let conn = scene.log_in_with(&dial, format!("mallory-{number}").as_bytes());
            send_parts(&conn, 1);
            conn
        })
        .collect();
    scene.world.run_for(secs(1));
    let took = upload(&mut scene, victim, 20);
    assert!(took < secs(60), "{took:?}");
    let ended = conns
        .iter()
        .filter(|conn| conn.end() == Some(LIMIT))
        .count() as u64;
    assert!(ended > 0);
    assert_eq!(scene.stats().channels_shed, ended);
    scene.pair.are_well(&mut scene.world);
}

#[test]
fn an_announced_message_that_never_comes_holds_up_nothing_else() {
    everywhere(|scene, conn, at| {
        let (stream, half) = announced(scene, conn, at);
        conn.write(stream, message::varint(1 << 20));
        scene.world.run_for(secs(20));
        assert_eq!(scene.world.try_recv(half), Err(RecvError::Blocked));
        still_works(scene, conn, at);
        conn.write(stream, vec![7; 1 << 20]);
        assert_eq!(scene.world.recv(half).len(), 1 << 20);
        conn.finish(stream);
    });
}

#[test]
fn empty_messages_arrive_each_however_many() {
    everywhere(|scene, conn, at| {
        let (stream, half) = announced(scene, conn, at);
        conn.write(stream, vec![0; 50_000]);
        conn.write(stream, message::frame(b"the last"));
        conn.finish(stream);
        // A reader that takes its time is told of what is there now and then, not fifty thousand times.
        scene.world.run_for(secs(2));
        let readable = count_events(&mut scene.world, at.node, |event| {
            matches!(event, ChannelEvent::Readable { .. })
        });
        assert!(readable <= 50, "{readable} events");
        for _ in 0..50_000 {
            assert_eq!(scene.world.recv(half), "");
        }
        assert_eq!(scene.world.recv(half), "the last");
        assert_eq!(scene.world.recv_ended(half), RecvEnd::Finished);
    });
}

#[test]
fn a_stream_in_single_bytes_gives_whole_messages() {
    everywhere(|scene, conn, at| {
        let (stream, half) = announced(scene, conn, at);
        for byte in message::frame(b"byte by byte") {
            conn.write(stream, vec![byte]);
            scene.world.run_for(Duration::from_millis(50));
        }
        assert_eq!(scene.world.recv(half), "byte by byte");
        conn.finish(stream);
    });
}

#[test]
fn fragments_with_gaps_come_together() {
    everywhere(|scene, conn, at| {
        let (stream, half) = announced(scene, conn, at);
        let mut count = 0;
        // Every other packet is lost.
        scene.raw.filter_outgoing(move |_| {
            count += 1;
            count % 2 == 0
        });
        let message: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        conn.write(stream, message::frame(&message));
        assert_eq!(scene.world.recv(half), message);
        scene.raw.stop_filtering();
        conn.finish(stream);
    });
}

/// Mallory, whose every second packet of so many is lost. Each has one byte of a message.
fn send_in_single_bytes(scene: &mut Scene) -> (RawConn, Vec<u8>) {
    let dial = Dial {
        initial_window: 64 << 20,
        ..Dial::home(MALLORY)
    };
    let conn = scene.log_in_with(&dial, b"mallory");
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"bytes"));
    scene.world.run_for(secs(1));
    let mut count = 0;
    scene.raw.filter_outgoing(move |_| {
        count += 1;
        count % 2 == 0
    });
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| (n / 7) as u8).collect();
    for byte in message::frame(&bytes) {
        conn.write(stream, vec![byte]);
        scene.world.run_for(Duration::from_nanos(200));
    }
    // And nothing more comes.
    scene.raw.filter_outgoing(|_| false);
    (conn, bytes)
}

#[test]
fn ten_thousand_gaps_are_no_end_but_of_patience() {
    let mut scene = Scene::new(12);
    let (conn, bytes) = send_in_single_bytes(&mut scene);
    scene.world.run_for(secs(5));
    let at = scene.session();
    let half = scene.world.accept_stream(at);
    assert_eq!(scene.world.try_recv(half), Err(RecvError::Blocked));
    scene.pair.talk(&mut scene.world);
    scene.raw.stop_filtering();
    assert!(scene.world.recv(half) == bytes);
    still_works(&mut scene, &conn, at);
    scene.all_is_well(&[]);
}

#[test]
fn gaps_are_paid_for_by_who_makes_them() {
    let mut scene = Scene::with(13, |config| share_out(config, 1 << 20));
    let (conn, _) = send_in_single_bytes(&mut scene);
    scene.expect_end(&conn, LIMIT);
    assert_eq!(scene.stats().channels_shed, 1);
    scene.all_is_well(&[CloseReason::Overloaded]);
}

#[test]
fn streams_without_a_preamble_take_only_their_slots() {
    everywhere(|scene, conn, at| {
        // The highest first: it opens all below it.
        let mut idle = Vec::new();
        while let Some(stream) = conn.open_uni() {
            idle.push(stream);
            assert!(idle.len() <= 64, "more than allowed");
        }
        conn.write(*idle.last().unwrap(), &b"\x01"[..]);
        scene.world.run_for(secs(5));
        assert!(conn.open_uni().is_none());
        assert_eq!(streams_opened(scene, at), 0);
        scene.pair.talk(&mut scene.world);
        for stream in idle {
            conn.reset(stream, 0);
        }
        scene.world.run_for(secs(1));
    });
}

/// The engine counts the streams that it may send on from when they are accepted, and the core reset a stopped one
/// before: the acknowledgement of the reset then made the count overflow.
#[test]
fn a_stream_that_is_stopped_before_it_is_accepted_is_reset_when_it_is() {
    let mut scene = Scene::with(3, |config| config.home.stream_rate = Some(1));
    let conn = scene.log_in();
    let at = scene.session();
    let streams: Vec<_> = (0..3).map(|_| conn.open_bi().unwrap()).collect();
    for &stream in &streams {
        conn.write(stream, message::preamble(b"stopped"));
        conn.stop(stream, 7);
    }
    scene.world.run_for(secs(10));
    assert_eq!(streams_opened(&mut scene, at), 3);
    let ended = count_events(&mut scene.world, at.node, |event| {
        matches!(event, ChannelEvent::SendEnded { .. })
    });
    assert_eq!(ended, 3);
    scene.all_is_well(&[]);
}

#[test]
fn opening_and_resetting_ten_thousand_streams_disturbs_nobody() {
    let mut scene = Scene::with(3, |config| {
        config.home.uni_streams = 500;
        config.home.bi_streams = 500;
    });
    let conn = scene.log_in();
    let at = scene.session();
    let mut opened = 0;
    while opened < 10_000 {
        let mut any = false;
        for _ in 0..250 {
            let (Some(bi), Some(uni)) = (conn.open_bi(), conn.open_uni()) else {
                break;
            };
            any = true;
            opened += 2;
            conn.write(bi, message::preamble(b"gone"));
            conn.reset(bi, opened);
            conn.stop(bi, 1);
            conn.write(uni, message::preamble(b"gone"));
            conn.reset(uni, opened);
        }
        scene
            .world
            .run_for(Duration::from_millis(if any { 50 } else { 200 }));
        if opened % 1000 == 0 {
            scene.pair.talk(&mut scene.world);
        }
    }
    scene.world.run_for(secs(2));
    // As many ends as beginnings, and nothing that never began.
    let opened = streams_opened(&mut scene, at);
    let ended = count_events(&mut scene.world, at.node, |event| {
        matches!(event, ChannelEvent::RecvEnded { .. })
    });
    assert_eq!(opened, ended);
    still_works(&mut scene, &conn, at);
    scene.all_is_well(&[]);
}

/// They use up no credit, and wait to be accepted after they have ended.
#[test]
fn bidirectional_streams_that_are_over_at_once_wait_in_a_bounded_number_of_places() {
    everywhere(|scene, conn, at| {
        scene.world.set_lagging(at.node, true);
        let mut opened = 0;
        for _ in 0..600 {
            while let Some(stream) = conn.open_bi() {
                conn.write(stream, message::preamble(b"over"));
                conn.finish(stream);
                conn.stop(stream, 13);
                opened += 1;
            }
            scene.world.run_for(Duration::from_millis(100));
        }
        // Four for each stream that is allowed, and as many as were allowed when these waited.
        let allowed = if at.node == scene.coordinator {
            33
        } else {
            129
        };
        let most = 5 * allowed;
        assert!((32..=most).contains(&opened), "{opened} of at most {most}");
        scene.pair.talk(&mut scene.world);
        scene.world.set_lagging(at.node, false);
        scene.world.run_for(secs(1));
        assert_eq!(streams_opened(scene, at), opened);
    });
}

#[test]
fn infrastructure_codes_on_a_stream_are_not_taken_for_the_applications() {
    everywhere(|scene, conn, at| {
        for (code, end) in [
            (0, RecvEnd::Refused(conec_core::ErrorCode::None)),
            (8, RecvEnd::Refused(conec_core::ErrorCode::PeerGone)),
            (999, RecvEnd::Refused(conec_core::ErrorCode::Unknown)),
            ((1 << 32) + 5, RecvEnd::Reset(conec_core::Code(5))),
            (
                (1 << 62) - 1,
                RecvEnd::Refused(conec_core::ErrorCode::Unknown),
            ),
        ] {
            let (stream, half) = announced(scene, conn, at);
            conn.reset(stream, code);
            assert_eq!(scene.world.recv_ended(half), end);
        }
    });
}

#[test]
fn random_bytes_on_streams_give_messages_or_an_end() {
    everywhere(|scene, conn, at| {
        for round in 0..100 {
            let stream = match round % 2 {
                0 => conn.open_bi(),
                _ => conn.open_uni(),
            };
            let stream = stream.unwrap();
            let len = scene.world.rng().random_range(0..4000);
            let mut bytes = vec![0; len];
            scene.world.rng().fill_bytes(&mut bytes);
            if round % 4 < 2 {
                conn.write(stream, message::preamble(b"r"));
            }
            conn.write(stream, bytes);
            match round % 3 {
                0 => conn.finish(stream),
                1 => conn.reset(stream, round),
                _ => {
                    scene.world.run_for(Duration::from_millis(100));
                    conn.reset(stream, round);
                }
            }
            if round % 2 == 0 {
                conn.stop(stream, round);
            }
            scene.world.run_for(Duration::from_millis(100));
            // The application takes what it is given, and ends its own halves.
            while let Some(half) = scene
                .world
                .take_event(at.node, |event| match event.channel() {
                    Some((_, ChannelEvent::StreamOpened { stream, .. })) => Some(Half {
                        node: at.node,
                        stream: *stream,
                    }),
                    Some(_) | None => None,
                })
            {
                while scene.world.try_recv(half).is_ok() {}
                if let Some(mut channel) = scene.world.channel(at.node, at.channel) {
                    let _ = channel.stream(half.stream).abandon_send();
                    let _ = channel.stream(half.stream).abandon_recv();
                }
            }
        }
        assert_eq!(conn.end(), None);
    });
}

#[test]
fn unread_datagrams_take_a_bounded_buffer() {
    everywhere(|scene, conn, at| {
        for _ in 0..20 {
            for _ in 0..100 {
                conn.send_datagram(vec![9; 1000]);
            }
            scene.world.run_for(Duration::from_millis(100));
        }
        let mut channel = scene.world.channel(at.node, at.channel).unwrap();
        let mut kept = 0;
        while let Some(datagram) = channel.recv_datagram() {
            assert_eq!(datagram.len(), 1000);
            kept += datagram.len();
        }
        assert!(kept > 0 && kept <= 256 << 10, "{kept}");
    });
}

#[test]
fn unread_streams_of_a_client_stop_it_and_not_the_others() {
    let mut scene = Scene::new(4);
    let conn = scene.log_in();
    let at = scene.session();
    let streams: Vec<_> = (0..16).map(|_| announced(&mut scene, &conn, at)).collect();
    for &(stream, _) in &streams {
        conn.write(stream, vec![0; 3 << 20]);
    }
    scene.world.run_for(secs(5));
    assert!(!conn.is_flushed());
    scene.pair.talk(&mut scene.world);
    // Nobody reads, and the application is done with it.
    let now = scene.world.now();
    let mut channel = scene.world.channel(at.node, at.channel).unwrap();
    channel.abort(now, conec_core::Code(3));
    let end = scene.until("the end", || conn.end());
    assert_eq!(end, End::Application((1 << 32) + 3));
    for (_, half) in streams {
        assert_eq!(
            scene.world.recv_ended(half),
            RecvEnd::Closed(CloseReason::Local)
        );
    }
    scene.all_is_well(&[CloseReason::Local]);
}

/// How many bytes a stream takes that nobody reads.
fn fill(scene: &mut Scene, conn: &RawConn) -> usize {
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"unread"));
    const PIECE: usize = 10_000;
    let mut pieces = 0;
    while conn.is_flushed() {
        assert_eq!(conn.stopped(stream), None);
        conn.write(stream, message::frame(&[0; PIECE]));
        scene.world.run_for(Duration::from_millis(100));
        pieces += 1;
    }
    pieces * PIECE
}

/// Nobody asks for them. They may get lost anyway.
#[test]
fn datagrams_that_nobody_receives_give_way_where_memory_is_short() {
    const MEMORY: usize = 1 << 20;
    let mut scene = Scene::with(22, |config| share_out(config, MEMORY));
    let conns = [0, 1, 2, 3, 4, 5, 6, 7].map(|number| {
        let dial = Dial::home(Key::Identity(700 + number));
        scene.log_in_with(&dial, format!("mallory-{number}").as_bytes())
    });
    for _ in 0..300 {
        for conn in &conns {
            conn.send_datagram(vec![4; 1000]);
        }
        scene.world.run_for(Duration::from_millis(10));
        let kept = coordinator_entries(scene.world.coordinator(scene.coordinator));
        assert!(kept < MEMORY * 3 / 4, "{kept} bytes are kept");
    }
    let victim = scene.victim();
    upload_of(&mut scene, victim, 20, 200_000);
    assert!(conns.iter().all(|conn| conn.end().is_none()));
    scene.all_is_well(&[]);
}

/// They came while there was plenty, and nothing comes any more. It is others that take the memory then.
#[test]
fn datagrams_that_have_waited_for_long_give_way_too() {
    let mut scene = Scene::with(23, |config| share_out(config, 1 << 20));
    let conn = scene.log_in();
    let at = scene.session();
    for _ in 0..300 {
        conn.send_datagram(vec![4; 1000]);
        scene.world.run_for(Duration::from_millis(10));
    }
    scene.world.run_for(secs(10));
    let victim = scene.victim();
    let streams = [(); 8].map(|()| honest_stream(&mut scene, victim));
    for (ours, _) in streams {
        scene.world.send(ours, vec![1; 60_000]);
    }
    scene.world.run_for(secs(5));
    let mut session = scene.world.channel(at.node, at.channel).unwrap();
    let left = std::iter::from_fn(|| session.recv_datagram()).count();
    assert!((1..=16).contains(&left), "{left} are left");
    for (_, theirs) in streams {
        assert_eq!(scene.world.recv(theirs).len(), 60_000);
    }
    scene.all_is_well(&[]);
}

/// One channel gets a third of what there is, and the next a third of what is left. Strangers take none of it.
#[test]
fn receive_windows_grow_out_of_one_store() {
    let mut scene = Scene::with(11, |config| share_out(config, 4 << 20));
    // Who was not let in has no stream to fill.
    let stranger = scene.shake_hands();
    assert_eq!(stranger.open_uni(), None);
    scene.expect_end(&stranger, HELLO_TIMEOUT);

    let greedy = scene.log_in();
    let taken = fill(&mut scene, &greedy);
    assert!((800_000..1_200_000).contains(&taken), "{taken}");

    let late = scene.log_in_with(&Dial::home(Key::Identity(667)), b"late");
    let taken = fill(&mut scene, &late);
    assert!((500_000..900_000).contains(&taken), "{taken}");
    scene.pair.talk(&mut scene.world);

    greedy.close(scene.world.now(), 0);
    scene.until("there is room again", || late.is_flushed().then_some(()));
    let more = fill(&mut scene, &late);
    assert!((200_000..500_000).contains(&more), "{more}");
}

/// Who was not let in may send so little that it could fill a small window, and say that it is held up by that.
#[test]
fn the_windows_of_strangers_do_not_grow() {
    const WINDOW: u32 = 8000;
    const STRANGERS: usize = 20;
    let mut scene = Scene::with(21, |config| {
        config.home.receive_window = WINDOW;
        share_out(config, 256 << 10);
        config.limits.hello_timeout = secs(600);
    });
    let strangers = [(); STRANGERS].map(|()| scene.shake_hands());
    for stranger in &strangers {
        stranger.control_bytes([&message::varint(8192)[..], &[1; 8191]].concat());
        scene.world.run_for(Duration::from_millis(200));
        // Acknowledging this, the Coordinator takes stock of what has come.
        stranger.send_datagram(vec![4; 100]);
        scene.world.run_for(Duration::from_millis(200));
    }
    assert!(strangers.iter().all(|stranger| stranger.end().is_none()));
    // All that there is, is there for who comes later, which is less than all of them would have got.
    let conn = scene.log_in();
    let taken = fill(&mut scene, &conn);
    assert!(taken > 40_000, "{taken}");
    scene.all_is_well(&[]);
}

/// QUIC's window of a connection is for all its streams: what nobody reads holds up that channel's own control messages,
/// and nothing else, until somebody does.
#[test]
fn streams_that_nobody_reads_hold_up_only_their_own_channel() {
    let mut scene = Scene::new(5);
    let conn = scene.log_in();
    let at = scene.session();
    // More than a channel's window can become.
    for _ in 0..16 {
        let stream = conn.open_uni().unwrap();
        conn.write(stream, message::preamble(b"unread"));
        for _ in 0..40 {
            conn.write(stream, message::frame(&[0; 65_000]));
        }
        conn.finish(stream);
    }
    scene.world.run_for(secs(5));
    conn.control(&message::open_by_name(1, b"nobody", b""));
    scene.world.run_for(secs(5));
    assert_eq!(conn.next_of_kind(8), None, "is this no limit any more?");
    scene.pair.talk(&mut scene.world);

    for _ in 0..16 {
        let half = scene.world.accept_stream(at);
        for _ in 0..40 {
            assert_eq!(scene.world.recv(half).len(), 65_000);
        }
    }
    let answer = scene.until("an answer", || conn.next_of_kind(8));
    assert_eq!(answer, message::open_failed(1, 7));
    scene.all_is_well(&[]);
}

/// All of it can come in one packet. Its application is told that there was one.
#[test]
fn a_stream_that_ends_in_its_first_message_is_announced_all_the_same() {
    everywhere(|scene, conn, at| {
        for bi in [true, false] {
            let stream = match bi {
                true => conn.open_bi(),
                false => conn.open_uni(),
            }
            .unwrap();
            let mut bytes = message::preamble(b"short").to_vec();
            bytes.extend(b"\x05hell");
            conn.write(stream, bytes);
            conn.finish(stream);
            let (half, label) = scene.world.accept_labelled(at);
            assert_eq!(label, "short");
            assert_eq!(scene.world.recv_ended(half), RecvEnd::Truncated);
        }
    });
}
