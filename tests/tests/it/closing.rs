//! Orderly and other ends.

use std::time::Duration;

use conec_core::{
    ChannelEvent, ChannelId, CloseReason, Code, CoordinatorConfig, CoordinatorEvent, Direction,
    Endpoint, ErrorCode, OpenChannelError, OpenStreamError, Policy, RecvEnd, SendEnd,
};
use conec_tests::{
    keys,
    sim::{At, Event, LinkConfig, NodeId, World},
};

use crate::{channels::opened, connecting::home, pair, pair_with};

fn close(world: &mut World, at: At, patience: Duration) {
    let now = world.now();
    world
        .channel(at.node, at.channel)
        .unwrap()
        .close(now, patience);
}

fn told_of_closing(world: &mut World, at: At) {
    world.wait_for("closing", Duration::from_secs(10), |world| {
        world.take_event(at.node, |event| {
            (event.channel() == Some((at.channel, &ChannelEvent::Closing))).then_some(())
        })
    });
}

/// Everything that anyone held for a channel is gone.
pub(crate) fn nothing_is_left(world: &mut World, clients: &[NodeId]) {
    world.run_for(Duration::from_secs(30));
    for &client in clients {
        world.check_client_ended(client);
    }
}

#[test]
fn a_graceful_close_delivers_everything_to_the_reader_first() {
    for rough in [false, true] {
        let (mut world, _, at_alice, at_bob) = pair(1);
        if rough {
            world.network.set_all(&LinkConfig::rough());
        }
        let ours = world.open(at_alice, Direction::Uni, b"");
        world.send(ours, vec![1; 5_000_000]);
        world.send(ours, "the end");
        world.finish(ours);
        close(&mut world, at_alice, Duration::from_secs(60));
        let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        assert_eq!(
            channel.open(Direction::Bi, b""),
            Err(OpenStreamError::Closed)
        );
        let theirs = world.accept_stream(at_bob);
        told_of_closing(&mut world, at_bob);
        let mut channel = world.channel(at_bob.node, at_bob.channel).unwrap();
        assert_eq!(
            channel.open(Direction::Bi, b""),
            Err(OpenStreamError::Closed)
        );
        assert_eq!(world.recv(theirs).len(), 5_000_000);
        // However long the reader takes.
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.recv(theirs), "the end");
        assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
        assert_eq!(world.send_ended(ours), SendEnd::Finished);
        assert_eq!(world.closed(at_alice), CloseReason::Local);
        assert_eq!(world.closed(at_bob), CloseReason::Remote(ErrorCode::None));
    }
}

#[test]
fn a_graceful_close_of_an_idle_channel_takes_a_moment() {
    let (mut world, coordinator, at_alice, at_bob) = pair(2);
    let start = world.elapsed();
    close(&mut world, at_alice, Duration::from_secs(60));
    assert_eq!(world.closed(at_alice), CloseReason::Local);
    assert_eq!(world.closed(at_bob), CloseReason::Remote(ErrorCode::None));
    assert!(world.elapsed() - start < Duration::from_millis(200));
    world.wait_for("forgotten", Duration::from_secs(5), |world| {
        world.take_event(coordinator, |event| {
            matches!(
                event,
                Event::Coordinator(CoordinatorEvent::PairClosed { .. })
            )
            .then_some(())
        })
    });
}

/// Whichever end is the first to tell the Coordinator.
#[test]
fn a_graceful_end_is_told_as_that() {
    for seed in 0..2 {
        let mut world = World::new(seed);
        let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        // Until the path is direct.
        world.run_for(Duration::from_secs(10));
        let late = [alice, bob][seed as usize];
        world.link(late, coordinator).delay = Duration::from_secs(1);
        close(&mut world, at_alice, Duration::from_secs(60));
        assert_eq!(world.closed(at_alice), CloseReason::Local);
        assert_eq!(world.closed(at_bob), CloseReason::Remote(ErrorCode::None));
        let reason = world.wait_for("the pair's end", Duration::from_secs(5), |world| {
            world.take_event(coordinator, |event| match event {
                Event::Coordinator(CoordinatorEvent::PairClosed { reason, .. }) => Some(*reason),
                Event::Client(_) | Event::Coordinator(_) => None,
            })
        });
        assert_eq!(reason, CloseReason::Remote(ErrorCode::None), "{seed}");
    }
}

/// What is said of the end can come in one piece with what was said before: then all of it is acted on.
#[test]
fn a_channel_that_is_closed_at_once_takes_a_moment_too() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
        world.network.set_all(&LinkConfig::rough());
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        close(&mut world, at_bob, Duration::from_secs(600));
        let start = world.elapsed();
        world.closed(at_alice);
        world.closed(at_bob);
        assert!(world.elapsed() - start < Duration::from_secs(20), "{seed}");
    }
}

#[test]
fn patience_ends_a_close_that_the_other_side_holds_up() {
    let (mut world, _, at_alice, at_bob) = pair(3);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "never answered");
    let theirs = world.accept_stream(at_bob);
    world.finish(ours);
    let start = world.elapsed();
    close(&mut world, at_alice, Duration::from_secs(5));
    assert_eq!(world.closed(at_alice), CloseReason::Local);
    assert!(world.elapsed() - start >= Duration::from_secs(5));
    let reason = CloseReason::Remote(ErrorCode::None);
    assert_eq!(world.closed(at_bob), reason);
    assert_eq!(world.send_ended(theirs), SendEnd::Closed(reason));
    assert_eq!(world.recv_ended(theirs), RecvEnd::Closed(reason));
}

/// What the other side's sender knows to be delivered is there until the end itself was taken note of.
#[test]
fn an_application_that_lags_behind_receives_what_came_before_a_graceful_end() {
    for reads in [true, false] {
        let (mut world, _, at_alice, at_bob) = pair(31);
        world.set_lagging(at_bob.node, true);
        let ours = world.open(at_alice, Direction::Uni, b"");
        for number in 0..100 {
            world.send(ours, vec![number; 10_000]);
        }
        world.finish(ours);
        assert_eq!(world.send_ended(ours), SendEnd::Finished);
        close(&mut world, at_alice, Duration::from_secs(1));
        assert_eq!(world.closed(at_alice), CloseReason::Local);
        world.run_for(Duration::from_secs(60));

        let mut received = 0;
        while let Some(event) = world.client(at_bob.node).poll_event() {
            let conec_core::ClientEvent::Channel { channel, event } = event else {
                continue;
            };
            if let ChannelEvent::StreamOpened { stream, .. } = event
                && reads
            {
                let mut channel = world.channel(at_bob.node, channel).unwrap();
                assert!(channel.has_ended());
                while let Ok(message) = channel.stream(stream).recv() {
                    assert_eq!(message, vec![received; 10_000]);
                    received += 1;
                }
            } else if let ChannelEvent::RecvEnded { end, .. } = event {
                let closed = RecvEnd::Closed(CloseReason::Remote(ErrorCode::None));
                assert_eq!(end, if reads { RecvEnd::Finished } else { closed });
            } else if let ChannelEvent::Closed { reason } = event {
                assert_eq!(reason, CloseReason::Remote(ErrorCode::None));
                assert!(world.channel(at_bob.node, channel).is_none());
                received += 1;
            }
        }
        assert_eq!(received, if reads { 101 } else { 1 });
        world.set_lagging(at_bob.node, false);
        for node in [at_alice.node, at_bob.node] {
            let now = world.now();
            world.client(node).close(now, Duration::from_secs(1));
        }
        nothing_is_left(&mut world, &[at_alice.node, at_bob.node]);
    }
}

/// The other side knows that they were delivered, whether or not they were accepted.
#[test]
fn streams_that_waited_to_be_accepted_when_the_channel_ended_are_received() {
    let (mut world, at_alice, at_bob) = pair_with(32, |config| config.stream_rate = Some(1));
    world.set_lagging(at_bob.node, true);
    for number in 0..5 {
        let ours = world.open(at_alice, Direction::Uni, &[number]);
        world.send(ours, vec![number; 1000]);
        world.finish(ours);
    }
    world.run_for(Duration::from_millis(300));
    close(&mut world, at_alice, Duration::ZERO);
    world.run_for(Duration::from_millis(300));
    let mut received = 0;
    while let Some(event) = world.client(at_bob.node).poll_event() {
        if let conec_core::ClientEvent::Channel { channel, event } = event
            && let ChannelEvent::StreamOpened { stream, label } = event
        {
            assert_eq!(label, [received][..]);
            let mut channel = world.channel(at_bob.node, channel).unwrap();
            assert!(channel.has_ended());
            let message = channel.stream(stream).recv().unwrap();
            assert_eq!(message, vec![received; 1000]);
            received += 1;
        }
    }
    assert_eq!(received, 5);
    world.set_lagging(at_bob.node, false);
}

#[test]
fn both_sides_close_at_once() {
    let (mut world, _, at_alice, at_bob) = pair(4);
    close(&mut world, at_alice, Duration::from_secs(60));
    close(&mut world, at_bob, Duration::from_secs(60));
    close(&mut world, at_bob, Duration::from_secs(30));
    assert_eq!(world.closed(at_alice), CloseReason::Local);
    assert_eq!(world.closed(at_bob), CloseReason::Local);
    assert!(world.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_abort_ends_everything_at_once_with_its_code() {
    let (mut world, _, at_alice, at_bob) = pair(5);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, vec![0; 3_000_000]);
    let theirs = world.accept_stream(at_bob);
    let now = world.now();
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    channel.abort(now, Code(77));
    channel.abort(now, Code(78));
    channel.close(now, Duration::from_secs(9));
    assert_eq!(world.send_ended(ours), SendEnd::Closed(CloseReason::Local));
    assert_eq!(world.closed(at_alice), CloseReason::Local);
    let reason = CloseReason::Application(Code(77));
    assert_eq!(world.recv_ended(theirs), RecvEnd::Closed(reason));
    assert_eq!(world.closed(at_bob), reason);
    assert!(world.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_client_leaves_gracefully() {
    let (mut world, coordinator, at_alice, at_bob) = pair(6);
    let ours = world.open(at_alice, Direction::Uni, b"");
    world.send(ours, vec![1; 1_000_000]);
    world.finish(ours);
    let now = world.now();
    world
        .client(at_alice.node)
        .close(now, Duration::from_secs(30));
    let id = world.client(at_bob.node).id();
    assert_eq!(
        world.client(at_alice.node).open_channel(now, id, b""),
        Err(OpenChannelError::NotConnected)
    );
    let theirs = world.accept_stream(at_bob);
    world.run_for(Duration::from_secs(3));
    assert!(
        world.client(at_alice.node).is_connected(),
        "the home channel stays for the others"
    );
    assert_eq!(world.recv(theirs).len(), 1_000_000);
    assert_eq!(world.closed(at_alice), CloseReason::Local);
    assert_eq!(world.closed(home(at_alice.node)), CloseReason::Local);
    assert_eq!(world.closed(at_bob), CloseReason::Remote(ErrorCode::None));
    assert_eq!(world.coordinator(coordinator).clients(), 1);
    assert!(world.elapsed() < Duration::from_secs(6));
    nothing_is_left(&mut world, &[at_alice.node]);
}

#[test]
fn leaving_while_a_channel_is_being_set_up_leaves_nothing_behind() {
    for leaver in 0..2 {
        for moment in 0..15 {
            let mut world = World::new(moment);
            let (coordinator, clients) = world.with_clients(["alice", "bob"]);
            let id = world.client(clients[1]).id();
            world.request_channel(clients[0], id.into());
            world.run_for(Duration::from_millis(7 * moment));
            for client in [clients[leaver], clients[1 - leaver]] {
                let now = world.now();
                world.client(client).close(now, Duration::from_secs(1));
                nothing_is_left(&mut world, &[client]);
            }
            world.check_coordinator_deserted(coordinator);
        }
    }
}

#[test]
fn a_coordinator_shuts_down_gracefully() {
    let (mut world, coordinator, at_alice, at_bob) = pair(7);
    let ours = world.open(at_alice, Direction::Uni, b"");
    world.send(ours, vec![1; 1_000_000]);
    let now = world.now();
    world
        .coordinator(coordinator)
        .close(now, Duration::from_secs(30));
    told_of_closing(&mut world, home(at_alice.node));
    // Nobody new comes in.
    let late = world.add_client("late");
    world.start_connecting(late, coordinator);
    assert_eq!(
        world.closed(home(late)),
        CloseReason::Remote(ErrorCode::Shutdown)
    );
    // What is under way is completed.
    world.finish(ours);
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs).len(), 1_000_000);
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
    for at in [at_alice, at_bob] {
        world.closed(at);
        assert_eq!(
            world.closed(home(at.node)),
            CloseReason::Remote(ErrorCode::None)
        );
    }
    assert!(world.elapsed() < Duration::from_secs(10));
    nothing_is_left(&mut world, &[at_alice.node, at_bob.node]);
    assert!(world.coordinator(coordinator).is_finished());
    assert_eq!(world.coordinator(coordinator).poll_timeout(), None);
}

/// Who is driven until it is finished says all that it has to say before.
#[test]
fn nobody_is_finished_before_all_that_it_had_is_gone() {
    let mut world = World::new(71);
    let coordinator = world.add_coordinator();
    let clients = ["alice", "bob"].map(|name| world.add_client(name));
    let finished = |world: &mut World| {
        let at_clients = clients.map(|it| world.client(it).is_finished());
        (world.coordinator(coordinator).is_finished(), at_clients)
    };
    assert_eq!(finished(&mut world), (false, [false; 2]), "not begun");
    for client in clients {
        world.connect(client, coordinator);
    }
    let (at_alice, at_bob) = world.open_channel(clients[0], clients[1]);
    assert_eq!(finished(&mut world), (false, [false; 2]), "at work");
    let ours = world.open(at_alice, Direction::Uni, b"");
    world.send(ours, "unread");
    let theirs = world.accept_stream(at_bob);
    world.finish(ours);
    let now = world.now();
    world
        .coordinator(coordinator)
        .close(now, Duration::from_secs(60));
    world.run_for(Duration::from_secs(20));
    assert_eq!(finished(&mut world), (false, [false; 2]), "closing");
    assert_eq!(world.recv(theirs), "unread");
    world.wait_for("all finished", Duration::from_secs(30), |world| {
        let (at_coordinator, at_clients) = finished(world);
        if at_coordinator {
            world.check_coordinator_deserted(coordinator);
        }
        for (client, finished) in clients.into_iter().zip(at_clients) {
            if finished {
                world.check_client_ended(client);
            }
        }
        (at_coordinator && at_clients == [true; 2]).then_some(())
    });
}

/// `Welcome` and `Closing` arrive together, and have to be taken in this order.
#[test]
fn a_client_that_is_admitted_by_a_coordinator_that_closes_at_once_ends_gracefully() {
    let mut world = World::new(15);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Ask;
    let coordinator = world.add_coordinator_with(config);
    let alice = world.add_client("alice");
    world.start_connecting(alice, coordinator);
    let client = world.wait_for("a client", Duration::from_secs(5), |world| {
        world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::ClientAsks { client, .. }) => Some(*client),
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    });
    let now = world.now();
    let entity = world.coordinator(coordinator);
    entity.admit(now, client, None).unwrap();
    entity.close(now, Duration::from_secs(5));
    opened(&mut world, home(alice));
    told_of_closing(&mut world, home(alice));
    let reason = world.closed(home(alice));
    assert_eq!(reason, CloseReason::Remote(ErrorCode::None));
    nothing_is_left(&mut world, &[alice]);
    world.check_coordinator_deserted(coordinator);
}

/// `Bound` and `Closing` arrive together, if the first was lost at first, and have to be taken in this order.
#[test]
fn a_channel_that_its_acceptor_closes_as_it_opens_ends_gracefully() {
    for moment in 0..30 {
        let mut world = World::new(moment);
        let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
        let id = world.client(bob).id();
        let at_alice = world.request_channel(alice, id.into());
        world.run_for(Duration::from_millis(5 * moment));
        world.link(bob, coordinator).up = false;
        world.run_for(Duration::from_millis(100));
        let opened_at_bob = |world: &mut World| {
            world.take_event(bob, |event| match event.channel() {
                Some((channel, ChannelEvent::Opened)) if channel != ChannelId::HOME => {
                    Some(At { node: bob, channel })
                }
                Some(_) | None => None,
            })
        };
        let early = opened_at_bob(&mut world);
        early.inspect(|&at| close(&mut world, at, Duration::from_secs(5)));
        world.link(bob, coordinator).up = true;
        let at_bob = early.unwrap_or_else(|| {
            let at = world.wait_for("opened", Duration::from_secs(20), opened_at_bob);
            close(&mut world, at, Duration::from_secs(5));
            at
        });
        opened(&mut world, at_alice);
        told_of_closing(&mut world, at_alice);
        let reason = world.closed(at_alice);
        assert_eq!(reason, CloseReason::Remote(ErrorCode::None), "{moment}");
        assert_eq!(world.closed(at_bob), CloseReason::Local, "{moment}");
    }
}

#[test]
fn a_lost_home_channel_that_is_ended_once_more_still_ends_last() {
    for graceful in [false, true] {
        let (mut world, _, at_alice, _) = pair(17);
        // Whose ends are told before the channel's own.
        for _ in 0..5 {
            world.open_stream(at_alice, b"");
        }
        world.set_lagging(at_alice.node, true);
        let now = world.now();
        world.client(at_alice.node).abort(now, Code(1));
        // Longer than the link takes to say goodbye.
        world.run_for(Duration::from_secs(10));
        let now = world.now();
        let client = world.client(at_alice.node);
        let mut lost = client.channel(ChannelId::HOME).unwrap();
        if graceful {
            lost.close(now, Duration::ZERO);
        } else {
            lost.abort(now, Code(2));
        }
        world.set_lagging(at_alice.node, false);
        let mut ended = Vec::new();
        while let Some(event) = world.next_event(at_alice.node) {
            if let Some((channel, ChannelEvent::Closed { .. })) = event.channel() {
                ended.push(channel);
            }
        }
        assert_eq!(ended, [at_alice.channel, ChannelId::HOME]);
    }
}

#[test]
fn a_coordinator_does_not_wait_for_ever() {
    let (mut world, coordinator, at_alice, at_bob) = pair(8);
    let ours = world.open(at_alice, Direction::Uni, b"");
    world.send(ours, "never finished");
    let now = world.now();
    world
        .coordinator(coordinator)
        .close(now, Duration::from_secs(5));
    world.closed(home(at_alice.node));
    world.closed(home(at_bob.node));
    assert_eq!(world.closed(at_alice), CloseReason::CoordinatorLost);
    assert!(world.elapsed() < Duration::from_secs(7));
}

#[test]
fn a_kicked_client_learns_the_code_and_its_peers_that_it_is_gone() {
    let (mut world, coordinator, at_alice, at_bob) = pair(10);
    let now = world.now();
    let id = world.client(at_alice.node).id();
    let session = world.coordinator(coordinator).find(id).unwrap();
    world
        .channel(coordinator, session)
        .unwrap()
        .abort(now, Code(13));
    assert_eq!(
        world.closed(home(at_alice.node)),
        CloseReason::Application(Code(13))
    );
    assert_eq!(
        world.closed(at_bob),
        CloseReason::Remote(ErrorCode::PeerGone)
    );
}

/// The engine would stay for three times as long as it waits for an answer, and that is up to the other side.
#[test]
fn a_channel_to_a_slow_answerer_is_soon_forgotten() {
    let (mut world, coordinator, at_alice, at_bob) = pair(13);
    world.network.default.delay = Duration::from_secs(6);
    let ours = world.open(at_alice, Direction::Uni, b"");
    for _ in 0..20 {
        world.send(ours, "are you still there?");
        world.run_for(Duration::from_secs(5));
    }
    let channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    assert!(channel.rtt().unwrap() > Duration::from_secs(10));
    let now = world.now();
    for node in [at_alice.node, at_bob.node] {
        world.client(node).abort(now, Code(1));
    }
    nothing_is_left(&mut world, &[at_alice.node, at_bob.node]);
    world.check_coordinator_deserted(coordinator);
}

/// Its own word to the other ends is overtaken by the Coordinator's, which is the same.
#[test]
fn an_aborted_client_tells_everybody_the_code() {
    let (mut world, coordinator, at_alice, at_bob) = pair(12);
    let (to_bob, from_alice) = world.open_channel(at_alice.node, at_bob.node);
    let session = {
        let id = world.client(at_alice.node).id();
        world.coordinator(coordinator).find(id).unwrap()
    };
    let now = world.now();
    world.client(at_alice.node).abort(now, Code(13));
    for at in [at_alice, to_bob, home(at_alice.node)] {
        assert_eq!(world.closed(at), CloseReason::Local);
    }
    let at_coordinator = At {
        node: coordinator,
        channel: session,
    };
    for at in [at_bob, from_alice, at_coordinator] {
        assert_eq!(world.closed(at), CloseReason::Application(Code(13)));
    }
    nothing_is_left(&mut world, &[at_alice.node]);
}

#[test]
fn closing_while_connecting_is_fine() {
    let mut world = World::new(11);
    let coordinator = world.add_coordinator_with(CoordinatorConfig::new(keys::certificate()));
    for steps in 0..40 {
        let client = world.add_client("someone");
        world.start_connecting(client, coordinator);
        for _ in 0..steps {
            world.step();
        }
        let now = world.now();
        world.client(client).close(now, Duration::from_secs(1));
        world.closed(home(client));
        nothing_is_left(&mut world, &[client]);
    }
    assert_eq!(world.coordinator(coordinator).clients(), 0);
}
