//! The handles without an executor: a Coordinator and two Clients in a network without delay, each turned by hand.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

mod groups;
mod known;
mod world;

use std::{cell::Cell, pin::pin, task::Poll, time::Duration};

use bytes::Bytes;
use conec_core::{
    ChannelEvent, CloseReason, Code, CoordinatorEvent, Direction, ErrorCode, Lossy,
    OpenChannelError, RecvEnd, SendEnd,
};
use conec_driver::{RecvError, SendError, TryOpenStreamError, TryRecvError, TrySendError};
use futures_core::Stream;

use world::{Count, World, now_or_never, ready};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn who_waits_is_woken_once_and_for_what_it_waits() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let (stream, datagram) = (Count::new(), Count::new());
    let mut accepting = pin!(at_bob.accept());
    let mut receiving = pin!(at_bob.recv_datagram());
    assert!(stream.poll(accepting.as_mut()).is_pending());
    assert!(datagram.poll(receiving.as_mut()).is_pending());
    world.run();
    assert_eq!((stream.get(), datagram.get()), (0, 0));

    let mut sender = ready(at_alice.open_uni("hello")).unwrap();
    world.run();
    assert_eq!((stream.get(), datagram.get()), (1, 0));
    let incoming = ready(accepting).unwrap();
    assert_eq!(incoming.label, "hello");

    // Polling twice is waiting once, with the last waker.
    let mut receiver = incoming.receiver;
    let counts = [Count::new(), Count::new()];
    {
        let mut receiving = pin!(receiver.recv());
        for count in &counts {
            assert!(count.poll(receiving.as_mut()).is_pending());
        }
        assert!(counts[0].is_forgotten() && !counts[1].is_forgotten());
        assert_eq!(ready(sender.send("one".into())), Ok(()));
        world.run();
        assert_eq!([counts[0].get(), counts[1].get()], [0, 1]);
    }
    // Who has given up is not woken, and nothing is kept of it.
    let count = Count::new();
    assert!(count.poll(pin!(at_bob.closed())).is_pending());
    assert!(count.is_forgotten());
    at_alice.abort(Code(1));
    // The one who waits for a datagram waits in vain.
    world.run();
    assert_eq!((count.get(), datagram.get()), (0, 1));
    assert_eq!(ready(receiving), None);
}

#[test]
fn how_a_stream_ended_is_known_as_long_as_it_is_held() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let (mut sender, mut back) = ready(at_alice.open_bi("")).unwrap();
    world.run();
    let incoming = ready(at_bob.accept()).unwrap();
    let (mut answer, mut receiver) = (incoming.sender.unwrap(), incoming.receiver);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Blocked));
    assert_eq!(sender.try_send("only".into()), Ok(()));
    assert_eq!(sender.finish(), Ok(()));
    assert_eq!(sender.finish(), Err(SendError::Finished));
    world.run();
    for _ in 0..2 {
        assert_eq!(ready(sender.finished()), SendEnd::Finished);
    }
    assert_eq!(receiver.try_recv(), Ok(Some("only".into())));
    for _ in 0..2 {
        assert_eq!(receiver.try_recv(), Ok(None));
        assert_eq!(next(&mut receiver), None);
    }
    // The way back. How it ended is known at once where it was done.
    answer.reset(Code(3));
    let ended = SendError::Ended(SendEnd::Reset);
    assert_eq!(answer.try_send("late".into()), Err(ended.into()));
    world.run();
    let failed = RecvError::Ended(RecvEnd::Reset(Code(3)));
    assert_eq!(next(&mut back), Some(Err(failed)));
    assert_eq!(next(&mut back), None);
    assert_eq!(ready(back.recv()), Err(failed));
    back.stop(Code(4));
    assert_eq!(ready(back.recv()), Err(failed));
}

#[test]
fn a_lossy_reader_is_told_what_it_has_lost_before_it_goes_on() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let mut sender = ready(at_alice.open_uni("")).unwrap();
    let mut send = |world: &mut World, numbers: std::ops::Range<u8>| {
        for number in numbers {
            assert_eq!(sender.try_send(vec![number].into()), Ok(()));
        }
        world.run();
    };
    send(&mut world, 0..10);
    let mut receiver = ready(at_bob.accept()).unwrap().receiver;
    let message = |number: u8| Bytes::from(vec![number]);
    assert_eq!(ready(receiver.recv()), Ok(Some(message(0))));
    // What was taken together with the first is as old as what is still to be taken.
    receiver.set_lossy(Some(Lossy::new(4, 100)));
    assert_eq!(ready(receiver.recv()), Err(RecvError::Lagged(5)));
    assert_eq!(ready(receiver.recv()), Ok(Some(message(6))));
    send(&mut world, 10..13);
    assert_eq!(receiver.try_recv(), Err(RecvError::Lagged(2).into()));
    assert_eq!(receiver.try_recv(), Ok(Some(message(9))));
    send(&mut world, 13..20);
    assert_eq!(next(&mut receiver), Some(Err(RecvError::Lagged(6))));
    assert_eq!(next(&mut receiver), Some(Ok(message(16))));
    receiver.set_lossy(Some(Lossy::latest()));
    let dropped = at_bob.stats().unwrap().messages_dropped;
    assert_eq!(dropped, 5 + 2 + 6 + 2);
    // What is missing is told even if nothing is to be lost any more.
    receiver.set_lossy(None);
    assert_eq!(ready(receiver.recv()), Err(RecvError::Lagged(2)));
    send(&mut world, 20..25);
    for number in 19..25 {
        assert_eq!(ready(receiver.recv()), Ok(Some(message(number))));
    }
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Blocked));
}

/// Then all that there will ever be may have been taken.
#[test]
fn a_reader_becomes_lossy_when_its_stream_has_ended() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let mut sender = ready(at_alice.open_uni("")).unwrap();
    for number in 0..10 {
        assert_eq!(sender.try_send(vec![number].into()), Ok(()));
    }
    sender.finish().unwrap();
    world.run();
    let mut receiver = ready(at_bob.accept()).unwrap().receiver;
    assert_eq!(ready(receiver.recv()), Ok(Some(vec![0].into())));
    receiver.set_lossy(Some(Lossy::latest()));
    assert_eq!(next(&mut receiver), Some(Err(RecvError::Lagged(8))));
    assert_eq!(next(&mut receiver), Some(Ok(vec![9].into())));
    assert_eq!(next(&mut receiver), None);
    assert_eq!(ready(receiver.recv()), Ok(None));
}

#[test]
fn what_nobody_holds_is_closed() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let sender = ready(at_alice.open_uni("")).unwrap();
    let mut early = ready(at_bob.open_uni("never accepted")).unwrap();
    world.run();
    let mut receiver = ready(at_bob.accept()).unwrap().receiver;
    // The sender alone keeps the channel.
    drop(at_alice);
    world.run();
    assert!(now_or_never(at_bob.closed()).is_none());
    drop(sender);
    world.run();
    let dropped = ErrorCode::Dropped;
    assert_eq!(ready(early.finished()), SendEnd::Refused(dropped));
    assert_eq!(
        ready(receiver.recv()),
        Err(RecvEnd::Refused(dropped).into())
    );
    let closed = CloseReason::Remote(ErrorCode::None);
    assert_eq!(ready(at_bob.closed()), closed);
    // Known until nobody asks any more.
    drop((receiver, early));
    assert_eq!(ready(at_bob.closed()), closed);

    // The home channel was the last that anybody held.
    world.bob.handle = None;
    drop(at_bob);
    assert!(world.bob.was_woken());
    world.run();
    assert!(world.bob.is_over());
}

/// They cost the other side no credit once they are read, so they wait where nobody accepts them, and no more are taken.
#[test]
fn streams_that_nobody_accepts_hold_up_who_opens_them() {
    for (bidirectional, is_home) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut world = World::new();
        let (at_alice, at_bob) = if is_home {
            let (alice, coordinator) = (world.alice(), world.coordinator());
            let home = coordinator.find(alice.id()).unwrap();
            (alice.home(), coordinator.channel(home).unwrap())
        } else {
            world.channel()
        };
        let mut opened = 0;
        let mut idle = 0;
        while idle < 3 {
            let before = opened;
            while let Ok(mut sender) = match bidirectional {
                false => at_alice.try_open_uni(opened.to_string()),
                true => at_alice.try_open_bi(opened.to_string()).map(|it| it.0),
            } {
                sender.finish().unwrap();
                opened += 1;
            }
            world.run();
            idle = if opened == before { idle + 1 } else { 0 };
        }
        let refused = at_alice.try_open_uni("").err();
        assert!(bidirectional || refused == Some(TryOpenStreamError::Blocked));
        assert!(bidirectional || at_alice.available_streams(Direction::Uni) == 0);
        // About four for each that is allowed at once.
        let some = if is_home { 100..300 } else { 400..700 };
        assert!(some.contains(&opened), "{opened}");
        // Those that are there are clean ends, in order, and make room.
        for number in 0..opened {
            let mut stream = ready(at_bob.accept()).unwrap();
            assert_eq!(stream.label, number.to_string());
            assert_eq!(ready(stream.receiver.recv()), Ok(None));
            world.run();
        }
        assert!(now_or_never(at_bob.accept()).is_none());
        assert!(at_alice.available_streams(Direction::Uni) > 0);
        assert!(at_alice.try_open_uni("").is_ok());
        // Nothing of it holds up an orderly end.
        drop((at_alice, at_bob));
        world.run();
        world.close();
    }
}

/// That many wait costs each no more than if few did: as many are woken as can go on, in turn.
#[test]
fn who_waits_to_open_a_stream_is_woken_when_its_turn_has_come() {
    const ALL: usize = 2000;
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let mut waiting: Vec<_> = (0..ALL)
        .map(|number| {
            let opening = Box::pin(at_alice.open_uni(number.to_string()));
            (number, Count::new(), opening)
        })
        .collect();
    let (mut polled, mut given_up, mut seen) = (0, 0, Vec::new());
    for round in 0..ALL {
        waiting.retain_mut(|(number, count, opening)| {
            if round > 0 && count.get() == 0 {
                return true;
            }
            // Some have something better to do by now.
            if round > 0 && *number % 10 == 7 {
                given_up += 1;
                return false;
            }
            count.reset();
            polled += 1;
            let Poll::Ready(sender) = count.poll(opening.as_mut()) else {
                return true;
            };
            sender.unwrap().finish().unwrap();
            false
        });
        world.step();
        while let Some(stream) = now_or_never(at_bob.accept()) {
            let mut stream = stream.unwrap();
            assert_eq!(ready(stream.receiver.recv()), Ok(None));
            let label = std::str::from_utf8(&stream.label).unwrap();
            seen.push(label.parse::<usize>().unwrap());
        }
    }
    assert!(given_up > ALL / 20, "{given_up}");
    assert_eq!((waiting.len(), seen.len()), (0, ALL - given_up));
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(polled < 3 * ALL, "{polled}");
}

#[test]
fn a_stream_that_was_given_up_before_it_was_accepted_is_not_seen() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let (mut reset, mut dropped) = (
        ready(at_alice.open_uni("reset")).unwrap(),
        ready(at_alice.open_bi("dropped")).unwrap(),
    );
    let mut torn = ready(at_alice.open_uni("kept")).unwrap();
    world.run();
    reset.reset(Code(1));
    drop(dropped.0);
    torn.finish().unwrap();
    world.run();
    let mut seen = ready(at_bob.accept()).unwrap();
    assert_eq!(seen.label, "kept");
    assert_eq!(ready(seen.receiver.recv()), Ok(None));
    assert!(now_or_never(at_bob.accept()).is_none());
    // The half to answer on is gone with it.
    world.run();
    let refused = RecvEnd::Refused(ErrorCode::Dropped);
    assert_eq!(ready(dropped.1.recv()), Err(refused.into()));
}

#[test]
fn offers_that_were_withdrawn_are_not_given_out() {
    let mut world = World::new();
    let (alice, bob) = (world.alice(), world.bob());
    let mut opening = Box::pin(alice.open(bob.id(), ""));
    assert!(Count::new().poll(opening.as_mut()).is_pending());
    world.run();
    let count = Count::new();
    drop(opening);
    world.run();
    assert!(count.poll(pin!(bob.accept())).is_pending());
    // Nor do they take the place of others.
    for _ in 0..300 {
        let mut opening = Box::pin(alice.open(bob.id(), ""));
        assert!(Count::new().poll(opening.as_mut()).is_pending());
        world.run();
        drop(opening);
        world.run();
    }
    world.channel();
}

/// Events are taken when the application asks for them, and until then count.
#[test]
fn a_coordinator_whose_application_lags_behind_lets_nobody_in() {
    let mut world = World::with_events(3);
    let coordinator = world.coordinator();
    let come = || now_or_never(coordinator.next_event()).map(Option::unwrap);
    while come().is_some() {}
    let admitted = world.connect_many(20);
    assert_eq!(admitted, 3);
    for _ in 0..3 {
        let event = come().unwrap();
        assert!(matches!(event, CoordinatorEvent::ClientConnected { .. }));
    }
    assert!(come().is_none());
    assert_eq!(coordinator.missed_events(), 0);
    assert_eq!(world.connect_many(1), 1);
}

/// Who has no questions need not know of events at all.
#[test]
fn a_coordinator_whose_application_asks_for_no_events_drops_the_oldest() {
    let mut world = World::with_events(3);
    assert_eq!(world.connect_many(20), 20);
    let coordinator = world.coordinator();
    assert_eq!(coordinator.missed_events(), 19);
    let mut left = 0;
    while now_or_never(coordinator.next_event()).is_some() {
        left += 1;
    }
    assert_eq!(left, 3);
}

#[test]
fn the_end_of_a_client_is_an_event() {
    let mut world = World::new();
    let (coordinator, bob) = (world.coordinator(), world.bob().id());
    let home = coordinator.find(bob).unwrap();
    while now_or_never(coordinator.next_event()).is_some() {}
    let channel = coordinator.channel(home).unwrap();
    assert_eq!(channel.peer().unwrap().id, bob);
    world.bob().abort(Code(5));
    let waiting = Count::new();
    let mut next = pin!(coordinator.next_event());
    assert!(waiting.poll(next.as_mut()).is_pending());
    world.run();
    assert_eq!(waiting.get(), 1);
    let reason = CloseReason::Application(Code(5));
    let gone = CoordinatorEvent::Channel {
        channel: home,
        event: ChannelEvent::Closed { reason },
    };
    assert_eq!(ready(next), Some(gone));
    assert_eq!(ready(channel.closed()), reason);
    assert!(coordinator.channel(home).is_none() || channel.id() == home);
    drop(channel);
    assert!(coordinator.channel(home).is_none());
}

#[test]
fn without_a_driver_nobody_waits() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let (mut sender, mut receiver) = ready(at_alice.open_bi("")).unwrap();
    world.run();
    let counts = [(); 5].map(|()| Count::new());
    let alice = world.alice();
    let mut waiting = (
        Box::pin(receiver.recv()),
        Box::pin(sender.finished()),
        Box::pin(at_alice.closed()),
        Box::pin(alice.accept()),
        Box::pin(alice.closed()),
    );
    assert!(counts[0].poll(waiting.0.as_mut()).is_pending());
    assert!(counts[1].poll(waiting.1.as_mut()).is_pending());
    assert!(counts[2].poll(waiting.2.as_mut()).is_pending());
    assert!(counts[3].poll(waiting.3.as_mut()).is_pending());
    assert!(counts[4].poll(waiting.4.as_mut()).is_pending());
    world.alice.driver = None;
    assert!(counts.iter().all(|count| count.get() == 1));
    let reason = CloseReason::Local;
    assert_eq!(ready(waiting.0), Err(RecvEnd::Closed(reason).into()));
    assert_eq!(ready(waiting.1), SendEnd::Closed(reason));
    assert_eq!(ready(waiting.2), reason);
    assert_eq!(ready(waiting.3).map(drop), None);
    assert_eq!(ready(waiting.4), reason);
    ready(alice.close(PATIENCE));
    let opened = ready(alice.open(world.bob().id(), "")).unwrap_err();
    let expected = OpenChannelError::NotConnected.into();
    assert_eq!(opened, expected);
    assert!(now_or_never(at_bob.closed()).is_none());
}

/// Found where the driver never had a turn between two messages: each was added to those that wait for it.
#[test]
fn who_sends_on_an_aborted_channel_is_told_so_at_once() {
    let mut world = World::new();
    let (at_alice, _at_bob) = world.channel();
    for home in [false, true] {
        let channel = if home {
            world.alice().home()
        } else {
            at_alice.clone()
        };
        let mut sender = ready(channel.open_uni("")).unwrap();
        let mut idle = ready(channel.open_uni("")).unwrap();
        channel.abort(Code(1));
        let mut sent = 0;
        while ready(sender.send(Bytes::from_static(&[0; 100]))).is_ok() {
            sent += 1;
            assert!(sent < 10_000, "no end");
        }
        let ended = SendError::Ended(SendEnd::Closed(CloseReason::Local));
        assert_eq!(
            sender.try_send("late".into()),
            Err(TrySendError::Failed(ended))
        );
        assert_eq!(
            idle.try_send("late".into()),
            Err(TrySendError::Failed(ended))
        );
    }
}

/// Whatever ends the channel, and whether messages wait for the driver or not.
#[test]
fn every_sender_ends_with_its_channel() {
    type Ending = fn(&mut World, &conec_driver::Channel, &conec_driver::Channel);
    let closed = |reason| SendEnd::Closed(reason);
    let far = CloseReason::Application(Code(1));
    let endings: [(Ending, SendEnd); 6] = [
        (|_, near, _| near.abort(Code(1)), closed(CloseReason::Local)),
        (
            |world, _, _| world.alice().abort(Code(1)),
            closed(CloseReason::Local),
        ),
        (
            |world, _, far| {
                far.abort(Code(1));
                world.run();
            },
            closed(far),
        ),
        (
            |world, _, _| world.alice.driver = None,
            closed(CloseReason::Local),
        ),
        (
            |world, _, _| {
                assert!(now_or_never(world.alice().close(Duration::ZERO)).is_none());
                world.run();
            },
            closed(CloseReason::Local),
        ),
        (
            |world, _, far| {
                ready(far.accept()).unwrap().receiver.stop(Code(1));
                ready(far.accept()).unwrap().receiver.stop(Code(1));
                world.run();
            },
            SendEnd::Stopped(Code(1)),
        ),
    ];
    for (number, (ending, end)) in endings.into_iter().enumerate() {
        let mut world = World::new();
        let (near, far) = world.channel();
        let mut sender = ready(near.open_uni("")).unwrap();
        let mut idle = ready(near.open_uni("")).unwrap();
        world.run();
        assert_eq!(ready(sender.send("one".into())), Ok(()));
        ending(&mut world, &near, &far);
        let mut sent = 0;
        while ready(sender.send(Bytes::from_static(&[0; 100]))).is_ok() {
            sent += 1;
            assert!(sent < 1000, "{number}: no end");
        }
        for sender in [&mut sender, &mut idle] {
            let ended = TrySendError::Failed(SendError::Ended(end));
            assert_eq!(sender.try_send("late".into()), Err(ended), "{number}");
            assert_eq!(ready(sender.finished()), end, "{number}");
        }
    }
}

/// Its driver, in another thread, makes room and fetches messages all the time.
#[test]
fn who_never_has_to_wait_lets_others_go_on_now_and_then() {
    let mut world = World::new();
    let (near, far) = world.channel();
    let mut sender = ready(near.open_uni("")).unwrap();
    world.run();
    let mut receiver = ready(far.accept()).unwrap().receiver;
    let (sent, received) = (Cell::new(0), Cell::new(0));
    let mut busy = pin!(async {
        loop {
            for _ in 0..100 {
                sender.send("on and on".into()).await.unwrap();
                sent.set(sent.get() + 1);
            }
            world.step();
            world.step();
            while received.get() < sent.get() {
                receiver.recv().await.unwrap().unwrap();
                received.set(received.get() + 1);
            }
            assert!(sent.get() < 100_000, "nobody else had a turn");
        }
    });
    let count = Count::new();
    for turns in 1..10 {
        assert!(count.poll(busy.as_mut()).is_pending());
        assert_eq!(count.get(), turns, "it goes on by itself");
        assert!(received.get() > 5000 * (turns - 1));
    }
}

/// What was said to be delivered is there for a reader that comes later than the end.
#[test]
fn what_was_delivered_before_a_graceful_end_waits_for_its_reader() {
    let [alone, whole] = [false, true];
    for (accepted, ending) in [(false, alone), (true, alone), (true, whole)] {
        let mut world = World::new();
        let (near, far) = world.channel();
        let mut sender = ready(near.open_uni("")).unwrap();
        let mut unfinished = ready(near.open_uni("")).unwrap();
        world.run();
        let early = accepted.then(|| [(); 2].map(|()| ready(far.accept()).unwrap().receiver));
        // More than is read ahead.
        for number in 0..100 {
            let message = Bytes::from(vec![number; 10_000]);
            world.run();
            assert_eq!(ready(sender.send(message)), Ok(()));
        }
        assert_eq!(sender.finish(), Ok(()));
        assert_eq!(ready(unfinished.send("whole".into())), Ok(()));
        world.run();
        assert_eq!(ready(sender.finished()), SendEnd::Finished);
        let patience = Duration::from_secs(1);
        if ending == whole {
            assert!(now_or_never(world.alice().close(patience)).is_none());
        } else {
            assert!(now_or_never(near.close(patience)).is_none());
        }
        world.run();
        world.run();
        let reason = ready(far.closed());
        // Of the whole Client, the Coordinator may be the first to tell.
        let expected = match ending == whole {
            true => ErrorCode::PeerGone,
            false => ErrorCode::None,
        };
        assert_eq!(reason, CloseReason::Remote(expected));
        // Nor does it take a driver.
        world.bob().abort(Code(1));
        world.run();
        assert!(world.bob.is_over());

        let late = early.unwrap_or_else(|| [(); 2].map(|()| ready(far.accept()).unwrap().receiver));
        let [mut receiver, mut part] = late;
        assert!(ready(far.accept()).is_none());
        for number in 0..100 {
            let message = ready(receiver.recv()).unwrap().unwrap();
            assert_eq!(message, vec![number; 10_000]);
        }
        assert_eq!(ready(receiver.recv()), Ok(None));
        assert_eq!(part.try_recv(), Ok(Some("whole".into())));
        assert_eq!(ready(part.recv()), Err(RecvEnd::Closed(reason).into()));
    }
}

/// At whatever moment: the other end may begin in the same one.
#[test]
fn a_channel_that_is_let_go_of_while_it_is_set_up_leaves_nothing() {
    for steps in 0..20 {
        let mut world = World::new();
        let (alice, bob) = (world.alice(), world.bob());
        let mut opening = Box::pin(alice.open(bob.id(), ""));
        assert!(now_or_never(opening.as_mut()).is_none());
        world.run();
        let mut accepting = Box::pin(ready(bob.accept()).unwrap().accept());
        let accepted = now_or_never(accepting.as_mut());
        for _ in 0..steps {
            world.step();
        }
        drop((accepting, accepted));
        world.run();
        let opened = ready(opening);
        if let Ok(channel) = opened {
            ready(channel.closed());
        }
        drop((alice, bob));
        world.close();
    }
}

fn next(receiver: &mut conec_driver::Receiver) -> Option<Result<Bytes, RecvError>> {
    struct Next<'a>(&'a mut conec_driver::Receiver);
    impl Future for Next<'_> {
        type Output = Option<Result<Bytes, RecvError>>;
        fn poll(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> Poll<Self::Output> {
            std::pin::Pin::new(&mut *self.0).poll_next(cx)
        }
    }
    ready(Next(receiver))
}
