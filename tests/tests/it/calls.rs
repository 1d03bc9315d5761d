//! A stream for each call, as many at once as are allowed.

use std::{
    io, iter,
    sync::{Arc, Mutex},
    time::Duration,
};

use conec_core::{ChannelEvent, Direction, OpenStreamError, RecvError};
use conec_tests::sim::{At, Half, LinkConfig, World};

use crate::pair;

/// How long it takes so many workers to make so many calls.
fn calls(workers: usize, calls: usize) -> Duration {
    let mut world = World::new(1);
    // What there is to say of all streams fits in one packet.
    world.network.default = LinkConfig {
        delay: Duration::from_micros(20),
        mtu: 9000,
        ..LinkConfig::default()
    };
    let coordinator = world.add_coordinator();
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let mut config = world.client_config(name);
        config.link_mtu = Some(9000);
        let client = world.add_client_with(config);
        world.connect(client, coordinator);
        client
    });
    let (caller, callee) = world.open_channel(alice, bob);
    world.run_for(Duration::from_secs(5));
    let begin = world.now();
    let (mut begun, mut done) = (0, 0);
    let mut under_way: Vec<Half> = Vec::new();
    while done < calls {
        while under_way.len() < workers
            && begun < calls
            && let Some(stream) = try_open(&mut world, caller)
        {
            world.send(stream, "question");
            world.finish(stream);
            under_way.push(stream);
            begun += 1;
        }
        world.step();
        let questions: Vec<_> = iter::from_fn(|| opened(&mut world, callee)).collect();
        for stream in questions {
            assert_eq!(world.recv(stream), "question");
            world.send(stream, "answer");
            world.finish(stream);
        }
        under_way.retain(|&stream| match world.try_recv(stream) {
            Ok(answer) => {
                assert_eq!(answer, "answer");
                done += 1;
                false
            }
            Err(RecvError::Blocked) => true,
            Err(error) => panic!("{error}"),
        });
    }
    world.now() - begin
}

fn try_open(world: &mut World, at: At) -> Option<Half> {
    let opened = world
        .channel(at.node, at.channel)
        .unwrap()
        .open(Direction::Bi, b"call");
    match opened {
        Ok(stream) => Some(Half {
            node: at.node,
            stream,
        }),
        Err(OpenStreamError::Blocked) => None,
        Err(error) => panic!("{error}"),
    }
}

fn opened(world: &mut World, at: At) -> Option<Half> {
    world.take_event(at.node, |event| match event.channel() {
        Some((channel, &ChannelEvent::StreamOpened { stream, .. })) if channel == at.channel => {
            Some(Half {
                node: at.node,
                stream,
            })
        }
        _ => None,
    })
}

/// A stream's place comes back when both sides have acknowledged its end. With one worker more than there are places, that
/// waited for an acknowledgement that nobody was in a hurry to send.
#[test]
fn as_many_workers_as_streams_are_not_slower_than_fewer() {
    let [fewer, as_many, more] = [63, 64, 80].map(|workers| calls(workers, 5000));
    for (workers, time) in [(64, as_many), (80, more)] {
        assert!(
            time.mul_f64(0.8) <= fewer,
            "{workers} workers take {time:?}, 63 take {fewer:?}"
        );
    }
}

/// A program that would open more streams than it may can see it coming, and see in its log that it has come to that.
#[test]
fn how_many_streams_can_be_opened_is_known_and_who_has_to_wait_is_logged() {
    let (mut world, _, at_alice, at_bob) = pair(3);
    let available = |world: &mut World, direction| {
        let channel = world.channel(at_alice.node, at_alice.channel);
        channel.unwrap().available_streams(direction)
    };
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.subscriber());
    for direction in [Direction::Bi, Direction::Uni] {
        let mut ours = Vec::new();
        for left in (0..64).rev() {
            ours.push(world.open(at_alice, direction, b""));
            assert_eq!(available(&mut world, direction), left);
        }
        assert_eq!(log.count(WAITS), direction as usize);
        let refused = |world: &mut World| {
            let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
            channel.open(direction, b"") == Err(OpenStreamError::Blocked)
        };
        assert!(refused(&mut world) && refused(&mut world));
        assert_eq!(
            log.count(WAITS),
            1 + direction as usize,
            "once for each time"
        );
        for half in ours.drain(..10) {
            world.finish(half);
            let theirs = world.accept_stream(at_bob);
            if direction == Direction::Bi {
                world.finish(theirs);
            }
        }
        world.run_for(Duration::from_secs(1));
        assert_eq!(available(&mut world, direction), 10);
    }
    drop(guard);
    let now = world.now();
    let mut channel = world.channel(at_alice.node, at_alice.channel).unwrap();
    channel.close(now, Duration::from_secs(1));
    assert_eq!(available(&mut world, Direction::Bi), 0);
}

/// What is logged.
#[derive(Default, Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(&self) -> impl tracing::Subscriber + use<> {
        let log = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || log.clone())
            .finish()
    }

    fn count(&self, what: &str) -> usize {
        let written = self.0.lock().unwrap();
        String::from_utf8_lossy(&written).matches(what).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const WAITS: &str = "allows no more streams";
