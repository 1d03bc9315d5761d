//! Streams of whole messages, and datagrams.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use conec_core::{
    ChannelConfig, ChannelEvent, ChannelId, Code, CoordinatorConfig, CoordinatorEvent, Direction,
    Endpoint, ErrorCode, MessageTooLarge, OpenStreamError, RecvEnd, RecvError, SendBatchError,
    SendDatagramError, SendEnd, SendError, testing::client_entries,
};
use conec_tests::{
    keys,
    sim::{At, Event, Half, LinkConfig, World},
};

use crate::{connecting::home, pair_with};

fn pair(seed: u64) -> (World, At, At) {
    pair_with(seed, |_| {})
}

/// A stream from the first end to the second.
fn stream(world: &mut World, from: At, to: At) -> (Half, Half) {
    let ours = world.open_stream(from, b"");
    (ours, world.accept_stream(to))
}

fn message(number: usize, len: usize) -> Bytes {
    (0..len).map(|at| (at * 31 + number) as u8).collect()
}

#[test]
fn messages_of_all_sizes_arrive_whole_and_in_order() {
    let (mut world, at_alice, at_bob) = pair(1);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    let sizes = [0, 1, 63, 64, 1000, 0, 16_383, 16_384, 70_000, 5, 3_000_000];
    for (number, &size) in sizes.iter().enumerate() {
        world.send(ours, message(number, size));
    }
    for (number, &size) in sizes.iter().enumerate() {
        assert_eq!(world.recv(theirs), message(number, size));
    }
    assert_eq!(world.try_recv(theirs), Err(RecvError::Blocked));
    world.finish(ours);
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    assert_eq!(world.send_ended(ours), SendEnd::Finished);
    assert_eq!(world.try_recv(theirs), Err(RecvError::Ended));
    assert_eq!(world.try_send(ours, Bytes::new()), Err(SendError::Ended));
}

#[test]
fn that_something_is_there_is_told_once_until_that_was_heard() {
    let (mut world, at_alice, at_bob) = pair(13);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    let times_told = |world: &mut World| {
        let told = Some((
            at_bob.channel,
            &ChannelEvent::Readable {
                stream: theirs.stream,
            },
        ));
        let take = |world: &mut World| {
            world.take_event(at_bob.node, |event| (event.channel() == told).then_some(()))
        };
        std::iter::from_fn(|| take(world)).count()
    };
    world.run_for(Duration::from_secs(1));
    assert_eq!(times_told(&mut world), 0);
    // One message alone, and several to who does not listen.
    for messages in [1, 3] {
        world.set_lagging(at_bob.node, true);
        for _ in 0..messages {
            world.send(ours, "news");
            world.run_for(Duration::from_secs(1));
        }
        world.set_lagging(at_bob.node, false);
        assert_eq!(times_told(&mut world), 1, "{messages} have come");
        for _ in 0..messages {
            assert_eq!(world.recv(theirs), "news");
        }
    }
}

/// The control stream takes none of them, whichever side has opened it.
#[test]
fn each_side_opens_as_many_streams_as_the_other_allows() {
    let (mut world, at_alice, at_bob) = pair(9);
    for at in [at_alice, at_bob] {
        for (direction, allowed) in [(Direction::Bi, 64), (Direction::Uni, 64)] {
            let mut channel = world.channel(at.node, at.channel).unwrap();
            let opened = (0..100).find(|_| channel.open(direction, b"").is_err());
            assert_eq!(opened, Some(allowed), "{at:?}, {direction:?}");
        }
    }
}

#[test]
fn nothing_is_kept_of_messages_that_nobody_will_read() {
    let (mut world, at_alice, at_bob) = pair(10);
    world.run_for(Duration::from_secs(30));
    let before = client_entries(world.client(at_bob.node));
    for by_reader in [true, false] {
        let (ours, theirs) = stream(&mut world, at_alice, at_bob);
        for number in 0..20 {
            world.send(ours, message(number, 1000));
        }
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.recv(theirs), message(0, 1000));
        assert!(client_entries(world.client(at_bob.node)) > before + 10_000);
        let half = if by_reader { theirs } else { ours };
        let mut channel = world.channel(half.node, half.stream.channel()).unwrap();
        let mut stream = channel.stream(half.stream);
        if by_reader {
            stream.stop(Code(1)).unwrap();
        } else {
            stream.reset(Code(1)).unwrap();
        }
        let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
        channel.stream(theirs.stream).finish().unwrap();
        world.run_for(Duration::from_secs(30));
        // What had come before a reset can still be read.
        while world.try_recv(theirs).is_ok() {}
        while world.next_event(at_bob.node).is_some() {}
        assert_eq!(
            client_entries(world.client(at_bob.node)),
            before,
            "{by_reader}"
        );
    }
}

#[test]
fn a_batch_of_one_empty_message_is_no_end() {
    let (mut world, at_alice, at_bob) = pair(11);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    world.send(ours, "");
    world.run_for(Duration::from_secs(1));
    let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
    let mut stream = channel.stream(theirs.stream);
    assert_eq!(stream.recv_batch().unwrap(), [Bytes::new()]);
    assert_eq!(stream.recv_batch(), Err(RecvError::Blocked));
}

#[test]
fn many_small_messages_arrive_over_a_rough_network() {
    for seed in 0..5 {
        let (mut world, at_alice, at_bob) = pair(seed);
        world.network.set_all(&LinkConfig::rough());
        let (ours, theirs) = stream(&mut world, at_alice, at_bob);
        let mut read = 0;
        for number in 0..5000 {
            world.send(ours, message(number, number % 100));
            while let Ok(received) = world.try_recv(theirs) {
                assert_eq!(received, message(read, read % 100));
                read += 1;
            }
        }
        for number in read..5000 {
            assert_eq!(world.recv(theirs), message(number, number % 100));
        }
    }
}

#[test]
fn a_stream_is_announced_before_its_first_message() {
    let (mut world, at_alice, at_bob) = pair(3);
    for direction in [Direction::Bi, Direction::Uni] {
        let ours = world.open(at_alice, direction, &[b'x'; 255]);
        let (theirs, label) = world.accept_labelled(at_bob);
        assert_eq!(label, vec![b'x'; 255]);
        assert_eq!(theirs.stream.direction(), direction);
        assert_eq!(world.try_recv(theirs), Err(RecvError::Blocked));
        world.send(ours, "now");
        assert_eq!(world.recv(theirs), "now");
        let back = world.try_send(theirs, "back".into());
        assert_eq!(back.is_ok(), direction == Direction::Bi);
    }
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    assert_eq!(
        channel.open(Direction::Bi, &[0; 256]),
        Err(OpenStreamError::LabelTooLong)
    );
}

#[test]
fn messages_that_were_read_ahead_come_before_the_end() {
    let (mut world, at_alice, at_bob) = pair(9);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    for number in 0..100 {
        world.send(ours, message(number, number));
    }
    world.run_for(Duration::from_secs(1));
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    channel.stream(ours.stream).reset(Code(7)).unwrap();
    world.run_for(Duration::from_secs(1));
    for number in 0..100 {
        assert_eq!(world.recv(theirs), message(number, number));
    }
    assert_eq!(world.recv_ended(theirs), RecvEnd::Reset(Code(7)));
}

#[test]
fn batches_are_messages_like_others() {
    let (mut world, at_alice, at_bob) = pair_with(10, |peer| peer.max_message_size = 100_000);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    let sizes = [0, 1, 64, 4095, 4096, 63, 100_000, 5, 40_000, 0];
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    let mut stream = channel.stream(ours.stream);
    let mut batch = stream.batch();
    assert!(batch.is_empty());
    stream.send(message(0, sizes[0])).unwrap();
    for (number, &size) in sizes.iter().enumerate().skip(1).take(8) {
        batch.push(&message(number, size)).unwrap();
    }
    let max = 100_000;
    let too_large = batch.push(&vec![0; max + 1].into());
    assert_eq!(too_large, Err(MessageTooLarge { max }));
    assert!(batch.bytes() > sizes.iter().sum());
    assert_eq!(stream.send_batch(&mut batch), Ok(()));
    assert!(batch.is_empty());
    stream.send(message(9, sizes[9])).unwrap();
    stream.finish().unwrap();
    batch.push(&"too late".into()).unwrap();
    assert_eq!(stream.send_batch(&mut batch), Err(SendBatchError::Ended));
    for (number, &size) in sizes.iter().enumerate() {
        assert_eq!(world.recv(theirs), message(number, size));
    }
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    // Home channels take more here: what was made for one channel cannot go past the limit of another.
    let mut home = world.channel(at_alice.node, ChannelId::HOME).unwrap();
    let id = home.open(Direction::Uni, b"").unwrap();
    let mut large = home.stream(id).batch();
    large.push(&vec![0; 200_000].into()).unwrap();
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    let id = channel.open(Direction::Uni, b"").unwrap();
    let refused = channel.stream(id).send_batch(&mut large);
    assert_eq!(refused, Err(SendBatchError::TooLarge { max }));
    assert!(!large.is_empty());
}

#[test]
fn directions_end_independently() {
    let (mut world, at_alice, at_bob) = pair(4);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    world.send(ours, "a question");
    world.finish(ours);
    assert_eq!(world.recv(theirs), "a question");
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    world.send(theirs, vec![1; 1_000_000]);
    world.finish(theirs);
    assert_eq!(world.recv(ours).len(), 1_000_000);
    assert_eq!(world.recv_ended(ours), RecvEnd::Finished);
    assert_eq!(world.send_ended(theirs), SendEnd::Finished);
}

#[test]
fn a_reset_reaches_the_reader_with_its_code() {
    let (mut world, at_alice, at_bob) = pair(5);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    world.send(ours, "kept");
    assert_eq!(world.recv(theirs), "kept");
    world.send(ours, vec![0; 5_000_000]);
    world
        .channel(ours.node, at_alice.channel)
        .unwrap()
        .stream(ours.stream)
        .reset(Code(9))
        .unwrap();
    assert_eq!(world.send_ended(ours), SendEnd::Reset);
    assert_eq!(world.recv_ended(theirs), RecvEnd::Reset(Code(9)));
    // The other direction goes on.
    world.send(theirs, "still here");
    assert_eq!(world.recv(ours), "still here");
}

#[test]
fn a_stop_reaches_the_sender_with_its_code() {
    let (mut world, at_alice, at_bob) = pair(6);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    world.send(ours, vec![0; 5_000_000]);
    world
        .channel(theirs.node, at_bob.channel)
        .unwrap()
        .stream(theirs.stream)
        .stop(Code(u32::MAX))
        .unwrap();
    assert_eq!(world.recv_ended(theirs), RecvEnd::Stopped);
    assert_eq!(world.send_ended(ours), SendEnd::Stopped(Code(u32::MAX)));
    world.send(theirs, "still here");
    assert_eq!(world.recv(ours), "still here");
}

#[test]
fn abandoned_halves_are_told_apart_from_deliberate_ends() {
    let (mut world, at_alice, at_bob) = pair(7);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    let mut channel = world.channel(ours.node, at_alice.channel).unwrap();
    channel.stream(ours.stream).abandon_send().unwrap();
    channel.stream(ours.stream).abandon_recv().unwrap();
    assert_eq!(
        world.recv_ended(theirs),
        RecvEnd::Refused(ErrorCode::Dropped)
    );
    assert_eq!(
        world.send_ended(theirs),
        SendEnd::Refused(ErrorCode::Dropped)
    );
}

#[test]
fn a_message_over_the_limit_is_refused_before_anything_is_sent() {
    let (mut world, at_alice, at_bob) = pair_with(8, |config| config.max_message_size = 1000);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    assert_eq!(
        world.try_send(ours, message(0, 1001)),
        Err(SendError::TooLarge { max: 1000 })
    );
    world.send(ours, message(0, 1000));
    assert_eq!(world.recv(theirs), message(0, 1000));
}

#[test]
fn a_message_over_the_readers_limit_ends_that_stream_alone() {
    let mut world = World::new(9);
    let coordinator = world.add_coordinator();
    let alice = world.add_client("alice");
    let mut config = world.client_config("bob");
    config.peer.max_message_size = 1000;
    let bob = world.add_client_with(config);
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    let (other, other_theirs) = stream(&mut world, at_alice, at_bob);
    world.send(ours, message(0, 1001));
    assert_eq!(world.recv_ended(theirs), RecvEnd::TooLarge);
    assert_eq!(
        world.send_ended(ours),
        SendEnd::Refused(ErrorCode::TooLarge)
    );
    world.send(other, "fine");
    assert_eq!(world.recv(other_theirs), "fine");
}

#[test]
fn a_reader_that_stops_reading_stops_the_sender_and_resuming_loses_nothing() {
    const WINDOW: u32 = 1 << 20;
    let (mut world, at_alice, at_bob) = pair_with(10, |config| {
        config.stream_window = WINDOW;
        config.receive_window = 2 * WINDOW;
        config.max_receive_window = 2 * WINDOW;
    });
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    // Until nothing moves any more.
    let jam = |world: &mut World, mut sent| {
        let mut quiet = 0;
        while quiet < 20 {
            quiet += 1;
            while world.try_send(ours, message(sent, 10_000)).is_ok() {
                sent += 1;
                quiet = 0;
            }
            world.run_for(Duration::from_millis(100));
        }
        sent
    };
    let jammed = jam(&mut world, 0);
    let bound = WINDOW as usize + ChannelConfig::default().send_buffer + 2 * 10_000;
    assert!(jammed * 10_000 <= bound, "{jammed} messages were taken");
    // What is read makes room for little more than itself.
    assert_eq!(world.recv(theirs), message(0, 10_000));
    let sent = jam(&mut world, jammed);
    assert!(sent - jammed <= 20, "{} more were taken", sent - jammed);
    // Other streams flow.
    let (other, other_theirs) = stream(&mut world, at_alice, at_bob);
    world.send(other, "past the jam");
    assert_eq!(world.recv(other_theirs), "past the jam");
    // And so does this one, once it is read.
    for number in 1..sent {
        assert_eq!(world.recv(theirs), message(number, 10_000));
    }
    let writable = world.take_event(ours.node, |event| match event.channel() {
        Some((_, ChannelEvent::Writable { stream })) if *stream == ours.stream => Some(()),
        Some(_) | None => None,
    });
    assert_eq!(writable, Some(()));
    world.send(ours, "on");
    assert_eq!(world.recv(theirs), "on");
}

#[test]
fn the_end_of_a_blocked_stream_comes_after_all_that_was_taken() {
    let (mut world, at_alice, at_bob) = pair(19);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    let mut sent = 0;
    while world.try_send(ours, message(sent, 10_000)).is_ok() {
        sent += 1;
    }
    world.finish(ours);
    world.run_for(Duration::from_secs(5));
    // The other direction is not concerned.
    world.send(theirs, "no hurry");
    assert_eq!(world.recv(ours), "no hurry");
    for number in 0..sent {
        assert_eq!(world.recv(theirs), message(number, 10_000));
    }
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    assert_eq!(world.send_ended(ours), SendEnd::Finished);
    world.send(theirs, "and goodbye");
    assert_eq!(world.recv(ours), "and goodbye");
}

#[test]
fn more_streams_become_available_as_others_end() {
    let (mut world, at_alice, at_bob) = pair_with(11, |config| config.uni_streams = 3);
    let streams = [(); 3].map(|()| world.open(at_alice, Direction::Uni, b""));
    let open = |world: &mut World| {
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        channel.open(Direction::Uni, b"")
    };
    assert_eq!(open(&mut world), Err(OpenStreamError::Blocked));
    for half in streams {
        world.finish(half);
        let theirs = world.accept_stream(at_bob);
        assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    }
    world.wait_for("streams available", Duration::from_secs(5), |world| {
        world.take_event(at_alice.node, |event| match event.channel() {
            Some((_, ChannelEvent::StreamsAvailable { direction })) => Some(*direction),
            Some(_) | None => None,
        })
    });
    assert!(open(&mut world).is_ok());
}

#[test]
fn a_thousand_streams_come_and_go() {
    let (mut world, at_alice, at_bob) = pair(12);
    for number in 0..1000 {
        let ours = world.wait_for("a stream", Duration::from_secs(5), |world| {
            let mut channel = world.channel(at_alice.node, at_alice.channel)?;
            let stream = channel.open(Direction::Uni, b"").ok()?;
            Some(Half {
                node: at_alice.node,
                stream,
            })
        });
        world.send(ours, message(number, 10));
        world.finish(ours);
        let theirs = world.accept_stream(at_bob);
        assert_eq!(world.recv(theirs), message(number, 10));
        assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    }
}

#[test]
fn an_application_at_the_coordinator_talks_to_its_clients() {
    let mut world = World::new(13);
    let (coordinator, [alice]) = world.with_clients(["alice"]);
    let session = world.wait_for("connected", Duration::from_secs(5), |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::ClientConnected { client, .. }) => Some(*client),
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    });
    let at_coordinator = At {
        node: coordinator,
        channel: session,
    };
    for (from, to) in [(at_coordinator, home(alice)), (home(alice), at_coordinator)] {
        let (ours, theirs) = stream(&mut world, from, to);
        world.send(ours, message(1, 100_000));
        assert_eq!(world.recv(theirs), message(1, 100_000));
        world.send(theirs, "thanks");
        assert_eq!(world.recv(ours), "thanks");
    }
}

#[test]
fn datagrams_arrive_whole_or_not_at_all() {
    let (mut world, at_alice, at_bob) = pair(14);
    // Until the path's capacity is known.
    world.run_for(Duration::from_secs(2));
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    let max = channel.max_datagram_size();
    assert!(max > 1300, "{max}");
    assert_eq!(
        channel.send_datagram(message(0, max + 1)),
        Err(SendDatagramError::TooLarge { max })
    );
    channel.send_datagram(message(0, max)).unwrap();
    channel.send_datagram(message(1, 0)).unwrap();
    world.run_for(Duration::from_secs(1));
    let readable = world.take_event(at_bob.node, |event| {
        (event.channel() == Some((at_bob.channel, &ChannelEvent::DatagramsReadable))).then_some(())
    });
    assert_eq!(readable, Some(()));
    let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
    assert_eq!(channel.recv_datagram(), Some(message(0, max)));
    assert_eq!(channel.recv_datagram(), Some(message(1, 0)));
    assert_eq!(channel.recv_datagram(), None);
}

#[test]
fn datagrams_over_a_rough_network_are_lost_but_neither_doubled_nor_damaged() {
    let (mut world, at_alice, at_bob) = pair(20);
    world.network.set_all(&LinkConfig {
        duplicate: 0.2,
        ..LinkConfig::rough()
    });
    let mut received = BTreeSet::new();
    for number in 0..1000_usize {
        let payload = [&number.to_be_bytes()[..], &message(number, 500)].concat();
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        channel.send_datagram(payload.into()).unwrap();
        world.run_for(Duration::from_millis(20));
        let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
        while let Some(datagram) = channel.recv_datagram() {
            let number = usize::from_be_bytes(datagram[..8].try_into().unwrap());
            assert_eq!(datagram[8..], message(number, 500));
            assert!(received.insert(number), "{number} came twice");
        }
    }
    assert!((500..1000).contains(&received.len()), "{}", received.len());
}

#[test]
fn too_many_datagrams_wait_for_room() {
    let mut world = World::new(15);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, _) = world.open_channel(alice, bob);
    world.link(coordinator, bob).rate = Some(100_000);
    let blocked = (0..10_000).find(|&number| {
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        channel.send_datagram(message(number, 1000)) == Err(SendDatagramError::Blocked)
    });
    assert!(blocked.is_some());
    world.wait_for("room", Duration::from_secs(20), |world| {
        world.take_event(at_alice.node, |event| {
            (event.channel() == Some((at_alice.channel, &ChannelEvent::DatagramsWritable)))
                .then_some(())
        })
    });
}

/// Large and small ones in turn: what is left when a small one has gone is not enough for a large one.
#[test]
fn who_waits_for_room_for_datagrams_is_told_each_time_that_there_is_some_and_nobody_else_is() {
    let (mut world, at_alice, at_bob) = pair_with(21, |config| config.datagram_buffer = 66_000);
    world.run_for(Duration::from_secs(10));
    let max = |world: &mut World| {
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        channel.max_datagram_size()
    };
    let told = |world: &mut World, at: At| {
        world.take_event(at.node, |event| {
            (event.channel() == Some((at.channel, &ChannelEvent::DatagramsWritable))).then_some(())
        })
    };
    world.network.set_all(&LinkConfig {
        loss: 0.1,
        ..LinkConfig::default()
    });
    let (mut asked, mut waited) = (0, 0);
    for number in 0..1000 {
        let size = if number % 2 == 0 { 10 } else { max(&mut world) };
        loop {
            asked += 1;
            let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
            match channel.send_datagram(message(number, size)) {
                Ok(()) => break,
                Err(error) => assert_eq!(error, SendDatagramError::Blocked),
            }
            waited += 1;
            world.wait_for("room", Duration::from_secs(10), |world| {
                told(world, at_alice)
            });
        }
    }
    assert!(waited > 100, "{waited} of {asked}");
    let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
    channel.send_datagram(message(0, 100)).unwrap();
    world.run_for(Duration::from_secs(10));
    assert_eq!(told(&mut world, at_alice), None, "nobody waits any more");
    assert_eq!(told(&mut world, at_bob), None, "nobody had to wait");
}

/// It need not look at the channel, nor wait until something else happens to it.
#[test]
fn who_waits_for_room_on_a_stream_is_told_in_the_turn_in_which_there_is_some() {
    let (mut world, at_alice, at_bob) = pair_with(22, |config| config.send_buffer = 20_000);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    let stream = ours.stream;
    let told = |world: &mut World| {
        let writable = ChannelEvent::Writable { stream };
        world.take_event(at_alice.node, |event| {
            (event.channel() == Some((at_alice.channel, &writable))).then_some(())
        })
    };
    let send = |world: &mut World, number| {
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        channel.stream(stream).send(message(number, 5000))
    };
    let (mut sent, mut received) = (0, 0);
    while received < 300 {
        while send(&mut world, sent).is_ok() {
            sent += 1;
        }
        while told(&mut world).is_none() {
            // Time has passed, and the pace may allow more.
            world.channel(at_alice.node, at_alice.channel).unwrap();
            if told(&mut world).is_some() {
                break;
            }
            let now = world.now();
            let due = world.client(at_alice.node).poll_timeout();
            if due.is_some_and(|at| at > now) {
                world.channel(at_alice.node, at_alice.channel).unwrap();
                assert_eq!(told(&mut world), None, "it was there before, and not told");
            }
            assert!(world.step());
        }
        while world.try_recv(theirs).is_ok() {
            received += 1;
        }
    }
}

#[test]
fn partial_messages_share_a_bounded_memory_and_all_complete() {
    // Twenty messages, each of twice the channel's budget, at once.
    let (mut world, at_alice, at_bob) = pair_with(16, |config| {
        config.receive_window = 200_000;
        config.stream_window = 50_000;
        config.max_message_size = 400_000;
        config.send_buffer = 1;
    });
    let streams = [(); 20].map(|()| stream(&mut world, at_alice, at_bob));
    let mut left = Vec::new();
    for (number, (ours, theirs)) in streams.into_iter().enumerate() {
        world.send(ours, message(number, 400_000));
        left.push((number, theirs));
    }
    // Whoever reads what is ready gets everything, whatever the order.
    while !left.is_empty() {
        let done = world.wait_for("some message", Duration::from_secs(60), |world| {
            left.iter().position(|&(number, theirs)| {
                world.try_recv(theirs).is_ok_and(|received| {
                    assert_eq!(received, message(number, 400_000));
                    true
                })
            })
        });
        left.swap_remove(done);
    }
}

#[test]
fn a_coordinator_with_small_windows_is_no_bottleneck_for_peers() {
    let mut world = World::new(17);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.home.receive_window = 20_000;
    config.home.stream_window = 10_000;
    let coordinator = world.add_coordinator_with(config);
    let [alice, bob] = ["alice", "bob"].map(|name| world.add_proxied_client(name));
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    world.send(ours, message(0, 10_000_000));
    let start = world.elapsed();
    assert_eq!(world.recv(theirs).len(), 10_000_000);
    assert!(world.elapsed() - start < Duration::from_secs(2));
    assert!(world.coordinator(coordinator).stats().bytes_forwarded > 10_000_000);
}

#[test]
fn an_application_that_lags_behind_pays_by_the_stream_not_by_the_event() {
    let (mut world, at_alice, at_bob) = pair(18);
    world.set_lagging(at_bob.node, true);
    // Streams that are over as soon as they are open give room for more at once.
    let mut opened = 0;
    let mut quiet = 0;
    while quiet < 20 && opened < 5000 {
        quiet += 1;
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        while let Ok(stream) = channel.open(Direction::Uni, b"") {
            channel.stream(stream).finish().unwrap();
            opened += 1;
            quiet = 0;
        }
        world.run_for(Duration::from_millis(100));
    }
    let seen = 500..1500;
    assert!(seen.contains(&opened), "{opened} streams came and went");
    // Nothing is lost when the application wakes up.
    world.set_lagging(at_bob.node, false);
    for _ in 0..opened {
        let theirs = world.accept_stream(at_bob);
        assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    }
    let (ours, theirs) = stream(&mut world, at_alice, at_bob);
    world.send(ours, "on");
    assert_eq!(world.recv(theirs), "on");
}
