//! Readers that prefer loss to back-pressure.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{
    CloseReason, Code, CoordinatorConfig, Direction, ErrorCode, Lossy, RecvEnd, RecvError, SendEnd,
    SendError,
    testing::{client_entries, coordinator_entries},
};
use conec_tests::{
    budget::share_out,
    keys,
    sim::{At, Half, World},
};

use crate::{connecting::home, pair};

fn message(number: usize, len: usize) -> Bytes {
    let mut message = vec![number as u8; len];
    message[..4].copy_from_slice(&(number as u32).to_be_bytes());
    message.into()
}

fn set_lossy(world: &mut World, reader: Half, lossy: Option<Lossy>) {
    let mut channel = world.channel(reader.node, reader.stream.channel()).unwrap();
    channel.stream(reader.stream).set_lossy(lossy).unwrap();
}

/// A stream whose reader is so from the beginning.
fn stream(world: &mut World, from: At, to: At, lossy: Lossy) -> (Half, Half) {
    let ours = world.open(from, Direction::Uni, b"news");
    let theirs = world.accept_stream(to);
    set_lossy(world, theirs, Some(lossy));
    (ours, theirs)
}

/// Sends messages of these numbers. There is always room again without anybody's reading.
fn send(world: &mut World, from: Half, numbers: std::ops::Range<usize>, len: usize) {
    for number in numbers {
        world.send(from, message(number, len));
    }
    world.run_for(SOON);
}

/// Receives what is there, from the message of this number on. Gives the number of the next, and how many were dropped.
fn receive(world: &mut World, reader: Half, mut next: usize, len: usize) -> (usize, usize) {
    let mut lost = 0;
    let mut was_told = false;
    loop {
        match world.try_recv(reader) {
            Ok(received) => {
                assert!(received == message(next, len), "{next} is missing or wrong");
                next += 1;
                was_told = false;
            }
            Err(RecvError::Lagged(lagged)) => {
                assert!(lagged > 0 && !was_told);
                next += lagged as usize;
                lost += lagged as usize;
                was_told = true;
            }
            Err(RecvError::Blocked | RecvError::Ended) => {
                assert!(
                    !was_told,
                    "there is a message after those that were dropped"
                );
                return (next, lost);
            }
        }
    }
}

fn messages_dropped(world: &mut World, at: At) -> u64 {
    let mut channel = world.channel(at.node, at.channel).unwrap();
    channel.stats().unwrap().messages_dropped
}

#[test]
fn who_never_reads_holds_up_nobody_and_finds_the_newest_with_the_number_of_the_others() {
    let (mut world, _, at_alice, at_bob) = pair(1);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob, Lossy::default());
    // More than any window.
    send(&mut world, ours, 0..4000, 10_000);
    world.finish(ours);
    assert_eq!(world.send_ended(ours), SendEnd::Finished);
    assert!(client_entries(world.client(at_bob.node)) < 400_000);
    // As many as have 256 KiB together.
    let kept = (256 << 10) / 10_000;
    let lost = 4000 - kept;
    assert_eq!(messages_dropped(&mut world, at_bob), lost as u64);
    let lagged = RecvError::Lagged(lost as u64);
    assert_eq!(world.try_recv(theirs), Err(lagged));
    for number in lost..4000 {
        assert_eq!(world.try_recv(theirs), Ok(message(number, 10_000)));
    }
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    assert_eq!(world.try_recv(theirs), Err(RecvError::Ended));
}

#[test]
fn what_is_missing_is_told_where_it_is_missing() {
    let (mut world, _, at_alice, at_bob) = pair(2);
    let lossy = Lossy::new(10, 10_000);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob, lossy);
    let (mut next, mut lost) = (0, 0);
    let mut sent = 0;
    for round in [3, 10, 11, 50, 1, 200, 9, 10, 0, 30] {
        send(&mut world, ours, sent..sent + round, 50);
        sent += round;
        let (now, missing) = receive(&mut world, theirs, next, 50);
        assert_eq!((now, missing), (sent, round.saturating_sub(10)));
        (next, lost) = (now, lost + missing);
    }
    assert_eq!(next, sent);
    assert_eq!(messages_dropped(&mut world, at_bob), lost as u64);
    // Half of them, and then more.
    send(&mut world, ours, sent..sent + 10, 50);
    for number in sent..sent + 5 {
        assert_eq!(world.try_recv(theirs), Ok(message(number, 50)));
    }
    send(&mut world, ours, sent + 10..sent + 20, 50);
    assert_eq!(world.try_recv(theirs), Err(RecvError::Lagged(5)));
    let next = receive(&mut world, theirs, sent + 10, 50);
    assert_eq!(next, (sent + 20, 0));
}

/// All of a batch, after what is missing before it.
#[test]
fn a_batch_of_a_lossy_reader_has_no_gaps() {
    let (mut world, _, at_alice, at_bob) = pair(3);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob, Lossy::new(3, 1000));
    send(&mut world, ours, 0..8, 50);
    let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
    let mut stream = channel.stream(theirs.stream);
    assert_eq!(stream.recv_batch(), Err(RecvError::Lagged(5)));
    let batch = stream.recv_batch().unwrap();
    assert!(
        batch
            .into_iter()
            .eq((5..8).map(|number| message(number, 50)))
    );
    assert_eq!(stream.recv_batch(), Err(RecvError::Blocked));
}

#[test]
fn the_latest_is_kept_whatever_its_size() {
    let (mut world, _, at_alice, at_bob) = pair(4);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob, Lossy::latest());
    let mut before = 0;
    for (number, len) in [10, 5_000_000, 1000, 70_000].into_iter().enumerate() {
        send(&mut world, ours, before..number * 100 + 100, len);
        let lagged = number * 100 + 99 - before;
        let lagged = RecvError::Lagged(lagged as u64);
        assert_eq!(world.try_recv(theirs), Err(lagged));
        assert_eq!(world.try_recv(theirs), Ok(message(number * 100 + 99, len)));
        assert_eq!(world.try_recv(theirs), Err(RecvError::Blocked));
        before = number * 100 + 100;
    }
}

#[test]
fn a_reader_changes_its_mind_in_mid_stream() {
    let (mut world, _, at_alice, at_bob) = pair(5);
    let ours = world.open(at_alice, Direction::Uni, b"");
    let theirs = world.accept_stream(at_bob);
    // What was read ahead, and more.
    send(&mut world, ours, 0..500, 1000);
    set_lossy(&mut world, theirs, Some(Lossy::new(20, 1 << 20)));
    world.run_for(SOON);
    assert_eq!(messages_dropped(&mut world, at_bob), 480);
    // What was lost stays lost, what was kept stays, and nothing else is lost.
    set_lossy(&mut world, theirs, None);
    send(&mut world, ours, 500..1000, 1000);
    assert_eq!(world.try_recv(theirs), Err(RecvError::Lagged(480)));
    assert_eq!(receive(&mut world, theirs, 480, 1000), (1000, 0));
    // The sender is held up again.
    let (mut sent, mut waited) = (1000, 0);
    while waited < 100 {
        match world.try_send(ours, message(sent, 10_000)) {
            Ok(()) => (sent, waited) = (sent + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Blocked);
                waited += 1;
                world.run_for(Duration::from_millis(50));
            }
        }
    }
    // Once more: now what had waited comes, and is lost.
    set_lossy(&mut world, theirs, Some(Lossy::latest()));
    world.run_for(SOON);
    let lagged = RecvError::Lagged((sent - 1001) as u64);
    assert_eq!(world.try_recv(theirs), Err(lagged));
    assert_eq!(world.try_recv(theirs), Ok(message(sent - 1, 10_000)));
    assert!(world.try_send(ours, message(sent, 10)).is_ok());
}

#[test]
fn what_came_before_a_reset_is_there_with_what_is_missing() {
    let (mut world, _, at_alice, at_bob) = pair(6);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob, Lossy::new(2, 1000));
    send(&mut world, ours, 0..20, 100);
    // And half of one more.
    let mut channel = world.channel(ours.node, ours.stream.channel()).unwrap();
    let mut sender = channel.stream(ours.stream);
    sender.send(message(20, 1_000_000)).unwrap();
    world.run_for(Duration::from_millis(30));
    let mut channel = world.channel(ours.node, ours.stream.channel()).unwrap();
    channel.stream(ours.stream).reset(Code(7)).unwrap();
    world.run_for(SOON);
    assert_eq!(world.try_recv(theirs), Err(RecvError::Lagged(18)));
    assert_eq!(receive(&mut world, theirs, 18, 100), (20, 0));
    assert_eq!(world.recv_ended(theirs), RecvEnd::Reset(Code(7)));
}

#[test]
fn a_late_reader_learns_what_it_has_lost_of_a_channel_that_is_over() {
    let (mut world, _, at_alice, at_bob) = pair(7);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob, Lossy::new(5, 1000));
    send(&mut world, ours, 0..50, 100);
    // Who hears of the end leaves what is left.
    world.set_lagging(at_bob.node, true);
    let now = world.now();
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    channel.close(now, Duration::ZERO);
    world.run_for(SOON);
    assert_eq!(world.try_recv(theirs), Err(RecvError::Lagged(45)));
    assert_eq!(world.try_recv(theirs), Ok(message(45, 100)));
    // It may want even less.
    set_lossy(&mut world, theirs, Some(Lossy::latest()));
    assert_eq!(world.try_recv(theirs), Err(RecvError::Lagged(3)));
    assert_eq!(world.try_recv(theirs), Ok(message(49, 100)));
    world.set_lagging(at_bob.node, false);
    let reason = CloseReason::Remote(ErrorCode::None);
    assert_eq!(world.recv_ended(theirs), RecvEnd::Closed(reason));
}

#[test]
fn streams_beside_one_that_is_lossy_go_on() {
    let (mut world, _, at_alice, at_bob) = pair(8);
    let (flood, unread) = stream(&mut world, at_alice, at_bob, Lossy::default());
    let ours = world.open(at_alice, Direction::Uni, b"");
    let theirs = world.accept_stream(at_bob);
    let mut sent = 0;
    for number in 0..300 {
        for _ in 0..30 {
            world.send(flood, message(sent, 10_000));
            sent += 1;
        }
        world.send(ours, message(number, 2000));
        assert_eq!(world.recv(theirs), message(number, 2000));
    }
    world.run_for(SOON);
    let (next, lost) = receive(&mut world, unread, 0, 10_000);
    assert_eq!((next, lost), (sent, sent - (256 << 10) / 10_000));
}

/// Others have their turn meanwhile, and memory is looked at.
#[test]
fn tiny_messages_without_number_are_counted_and_take_no_more_than_is_kept() {
    let (mut world, _, at_alice, at_bob) = pair(9);
    let (ours, theirs) = stream(&mut world, at_alice, at_bob, Lossy::new(100, 0));
    let mut channel = world.channel(ours.node, ours.stream.channel()).unwrap();
    let mut sender = channel.stream(ours.stream);
    let mut batch = sender.batch();
    for _ in 0..1_000_000 {
        batch.push(&Bytes::new()).unwrap();
    }
    sender.send_batch(&mut batch).unwrap();
    world.run_for(Duration::from_secs(5));
    assert!(client_entries(world.client(at_bob.node)) < 100_000);
    assert_eq!(world.try_recv(theirs), Err(RecvError::Lagged(999_900)));
    for _ in 0..100 {
        assert_eq!(world.try_recv(theirs), Ok(Bytes::new()));
    }
    assert_eq!(world.try_recv(theirs), Err(RecvError::Blocked));
}

/// A Coordinator whose Clients share so little memory for messages, and the two ends of the home channels of these.
fn sharing<const N: usize>(seed: u64) -> (World, [(At, At); N]) {
    let mut world = World::new(seed);
    let mut config = CoordinatorConfig::new(keys::certificate());
    share_out(&mut config, LIMIT);
    let coordinator = world.add_coordinator_with(config);
    let channels = std::array::from_fn(|number| {
        let client = world.add_client(&format!("client-{number}"));
        world.connect(client, coordinator);
        let id = world.client_id(client);
        let channel = world.coordinator(coordinator).find(id).unwrap();
        let node = coordinator;
        (home(client), At { node, channel })
    });
    (world, channels)
}

/// Sends messages of 100 bytes until nothing goes on any more. Gives how many have been sent then.
fn fill(world: &mut World, from: Half, reader: Half) -> usize {
    let (mut sent, mut waited) = (0, 0);
    while waited < 100 {
        match world.try_send(from, message(sent, 100)) {
            Ok(()) => (sent, waited) = (sent + 1, 0),
            Err(error) => {
                assert_eq!(error, SendError::Blocked);
                waited += 1;
                world.run_for(Duration::from_millis(50));
                let kept = coordinator_entries(world.coordinator(reader.node));
                assert!(kept < LIMIT + LIMIT / 8, "{kept} bytes are kept");
            }
        }
        assert!(sent < 10 * LIMIT / 100, "nothing holds up the sender");
    }
    sent
}

/// As many as there is memory for: then they wait at their sender, as those of all others do.
#[test]
fn who_keeps_very_much_keeps_no_more_than_there_is_memory_for() {
    let (mut world, [(ours, theirs), other]) = sharing(10);
    let all = Lossy::new(usize::MAX, usize::MAX);
    let (ours, theirs) = stream(&mut world, ours, theirs, all);
    let sent = fill(&mut world, ours, theirs);
    let kept = coordinator_entries(world.coordinator(theirs.node));
    assert!(kept > LIMIT / 2, "{kept} bytes are kept");
    // Who has nothing to do with that has its turn.
    let (mine, yours) = (world.open(other.0, Direction::Uni, b""), other.1);
    world.send(mine, message(0, LIMIT / 4));
    let yours = world.accept_stream(yours);
    assert_eq!(world.recv(yours), message(0, LIMIT / 4));
    // Nothing was dropped, and nothing is.
    let mut next = 0;
    while next < sent {
        let (now, lost) = receive(&mut world, theirs, next, 100);
        assert!(lost == 0 && now > next);
        next = now;
        world.run_for(SOON);
    }
    // Where less is kept, memory is free again, and all goes on.
    set_lossy(&mut world, theirs, Some(Lossy::latest()));
    send(&mut world, ours, sent..sent + 50_000, 100);
    let kept = coordinator_entries(world.coordinator(theirs.node));
    assert!(kept < LIMIT / 16, "{kept} bytes are kept");
    let lost = receive(&mut world, theirs, sent, 100);
    assert_eq!(lost, (sent + 50_000, 49_999));
}

/// Others have taken it.
#[test]
fn a_lossy_reader_goes_on_exactly_once_there_is_memory_again() {
    let (mut world, [(ours, at), other]) = sharing(11);
    let all = Lossy::new(usize::MAX, usize::MAX);
    let (much, hoard) = stream(&mut world, other.0, other.1, all);
    let (ours, theirs) = stream(&mut world, ours, at, Lossy::new(10, LIMIT));
    send(&mut world, ours, 0..3000, 100);
    assert_eq!(receive(&mut world, theirs, 0, 100), (3000, 2990));
    let hoarded = fill(&mut world, much, hoard);
    // What it keeps is no more than the others leave, and what it does not read is not lost.
    let mut sent = 3000;
    let mut waited = 0;
    while waited < 40 {
        match world.try_send(ours, message(sent, 100)) {
            Ok(()) => (sent, waited) = (sent + 1, 0),
            Err(_) => {
                waited += 1;
                world.run_for(Duration::from_millis(50));
            }
        }
        assert!(sent < 10 * LIMIT / 100, "nothing holds up the sender");
    }
    let dropped = messages_dropped(&mut world, at);
    assert!(dropped < (sent - 10) as u64);
    // Memory is free again.
    set_lossy(&mut world, hoard, Some(Lossy::latest()));
    world.run_for(SOON);
    assert_eq!(
        world.try_recv(hoard),
        Err(RecvError::Lagged(hoarded as u64 - 1))
    );
    let lost = receive(&mut world, theirs, 3000, 100);
    assert_eq!(lost, (sent, sent - 3010));
}

const SOON: Duration = Duration::from_secs(2);
const LIMIT: usize = 1 << 20;
