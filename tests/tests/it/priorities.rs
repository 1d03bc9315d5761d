//! Streams with little to send beside streams with much.

use std::time::{Duration, Instant};

use bytes::Bytes;
use conec_core::{CloseReason, Direction, ErrorCode, SendError, StreamEnded, Target};
use conec_tests::sim::{At, Half, LinkConfig, World};

use crate::connecting::home;

/// A stream at both ends.
#[derive(Debug, Clone, Copy)]
struct Stream {
    ours: Half,
    theirs: Half,
}

/// A Client that sends to its Coordinator over 10 Mbit/s with a queue of 50 ms.
struct Scene {
    world: World,
    client: At,
    coordinator: At,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let (coordinator, [client]) = world.with_clients(["alice"]);
        let id = world.client_id(client);
        let at_coordinator = At {
            node: coordinator,
            channel: world.coordinator(coordinator).find(id).unwrap(),
        };
        world.network.set_all(&LinkConfig {
            rate: Some(RATE),
            queue: (RATE / 20) as usize,
            ..LinkConfig::default()
        });
        Self {
            world,
            client: home(client),
            coordinator: at_coordinator,
        }
    }

    fn stream(&mut self, priority: i8) -> Stream {
        let ours = self.world.open(self.client, Direction::Uni, b"");
        let theirs = self.world.accept_stream(self.coordinator);
        let mut channel = self.world.channel(ours.node, self.client.channel).unwrap();
        channel.stream(ours.stream).set_priority(priority).unwrap();
        Stream { ours, theirs }
    }

    /// Sends messages of this size as long as they are taken.
    fn fill(&mut self, stream: Stream, size: usize) {
        while self
            .world
            .try_send(stream.ours, Bytes::from(vec![0; size]))
            .is_ok()
        {}
    }

    /// How many bytes have arrived.
    fn drain(&mut self, stream: Stream) -> usize {
        let received = std::iter::from_fn(|| self.world.try_recv(stream.theirs).ok());
        received.map(|message| message.len()).sum()
    }

    /// How many bytes arrive on each stream while all of them have as much to send as goes.
    fn shares<const N: usize>(&mut self, streams: [Stream; N], time: Duration) -> [usize; N] {
        let end = self.world.now() + time;
        let mut shares = [0; N];
        while self.world.now() < end {
            for (stream, share) in streams.iter().zip(&mut shares) {
                self.fill(*stream, 20_000);
                *share += self.drain(*stream);
            }
            self.world.step_by(end);
        }
        shares
    }

    /// How long messages of 100 bytes take that are sent every 20 ms, beside streams with as much to send as goes.
    fn delays(&mut self, small: Stream, bulk: &[Stream], time: Duration) -> Vec<Duration> {
        let start = self.world.now();
        let mut next = start + Duration::from_secs(1);
        let mut sent: Vec<Instant> = Vec::new();
        let mut delays = Vec::new();
        while self.world.now() < start + time {
            for stream in bulk {
                self.fill(*stream, 20_000);
                self.drain(*stream);
            }
            while let Ok(message) = self.world.try_recv(small.theirs) {
                assert_eq!(message.len(), 100);
                delays.push(self.world.now() - sent[delays.len()]);
            }
            if self.world.now() >= next {
                self.world.send(small.ours, vec![1; 100]);
                sent.push(next);
                next += Duration::from_millis(20);
            }
            self.world.step_by(next);
        }
        delays.sort();
        delays
    }
}

/// Bytes per second.
const RATE: u64 = 1_250_000;

#[test]
fn a_small_message_passes_by_bulk() {
    for bulk in [1, 10] {
        let mut scene = Scene::new(bulk);
        let small = scene.stream(0);
        let bulk: Vec<_> = (0..bulk).map(|_| scene.stream(0)).collect();
        let delays = scene.delays(small, &bulk, Duration::from_secs(20));
        assert!(delays.len() > 900);
        let p99 = delays[delays.len() * 99 / 100];
        // The path, its queue, and the packets that the engine has sent or may send no earlier.
        let bound = Duration::from_millis(10 + 50 + 25);
        assert!(p99 < bound, "{p99:?} of {:?}", delays.last());
    }
}

/// With its header, and beside ten streams with much to send: nobody has to guess what is little.
#[test]
fn a_message_of_16_kib_passes_by_bulk_and_a_larger_one_has_to_wait() {
    for (size, passes) in [((16 << 10) - 2, true), ((16 << 10) - 1, false)] {
        let mut scene = Scene::new(14);
        let single = scene.stream(0);
        let bulk: Vec<_> = (0..10).map(|_| scene.stream(0)).collect();
        scene.shares([bulk[0], bulk[1]], Duration::from_secs(1));
        let mut delays = Vec::new();
        for _ in 0..5 {
            let sent = scene.world.now();
            scene.world.send(single.ours, vec![1; size]);
            while scene.drain(single) == 0 {
                for &stream in &bulk {
                    scene.fill(stream, 20_000);
                    scene.drain(stream);
                }
                scene.world.step();
            }
            delays.push(scene.world.now() - sent);
            let later = scene.world.now() + Duration::from_secs(2);
            while scene.world.now() < later {
                for &stream in &bulk {
                    scene.fill(stream, 20_000);
                    scene.drain(stream);
                }
                scene.world.step_by(later);
            }
        }
        // The path, its queue, what the engine has already, and the message itself; or else ten turns.
        let bound = Duration::from_millis(10 + 50 + 25 + 15);
        let passed = delays.iter().all(|&it| it < bound);
        let waited = delays.iter().all(|&it| it > bound * 3 / 2);
        assert_eq!((passed, waited), (passes, !passes), "{size}: {delays:?}");
    }
}

#[test]
fn streams_with_much_to_send_get_the_same() {
    let mut scene = Scene::new(3);
    let streams = [(); 5].map(|()| scene.stream(0));
    let shares = scene.shares(streams, Duration::from_secs(20));
    let all: usize = shares.iter().sum();
    assert!(all as u64 > RATE * 20 * 8 / 10, "{all}");
    for share in shares {
        assert!((all / 6..all / 4).contains(&share), "{shares:?}");
    }
}

/// Nine streams have 10 KB under way at a time, which by itself is little. Together they could fill the path.
#[test]
fn nobody_starves_beside_streams_of_many_small_messages() {
    let mut scene = Scene::new(4);
    let bulk = scene.stream(0);
    let mut others = [(); 9].map(|()| (scene.stream(0), true));
    let end = scene.world.now() + Duration::from_secs(20);
    let (mut bulk_got, mut others_got) = (0, 0);
    while scene.world.now() < end {
        scene.fill(bulk, 20_000);
        bulk_got += scene.drain(bulk);
        for (stream, arrived) in &mut others {
            if *arrived {
                scene.world.send(stream.ours, vec![0; 10_000]);
            }
            let got = scene.drain(*stream);
            *arrived = got > 0;
            others_got += got;
        }
        scene.world.step_by(end);
    }
    let all = bulk_got + others_got;
    assert!(all as u64 > RATE * 20 * 8 / 10, "{all}");
    assert!(bulk_got > all / 3, "{bulk_got} of {all}");
    assert!(others_got > all / 5, "{others_got} of {all}");
}

#[test]
fn a_higher_priority_comes_first() {
    let mut scene = Scene::new(5);
    let streams = [-1, 0, 0, 1].map(|priority| scene.stream(priority));
    let [low, middle @ .., high] = scene.shares(streams, Duration::from_secs(10));
    let most = RATE as usize * 10 * 8 / 10;
    assert!(high > most, "{high}");
    // Whatever was sent before the others had something.
    assert!(low < most / 10 && middle.iter().all(|got| *got < most / 10));
    // And once that has nothing more to send, the next.
    let [low, one, another] = scene.shares(
        [streams[0], streams[1], streams[2]],
        Duration::from_secs(10),
    );
    assert!(one + another > most - (1 << 20), "{one} {another}");
    assert!(low < most / 10, "{low}");
    let [low] = scene.shares([streams[0]], Duration::from_secs(10));
    assert!(low > most - (1 << 20), "{low}");
}

#[test]
fn only_a_stream_that_can_be_sent_on_has_a_priority() {
    let mut scene = Scene::new(6);
    let stream = scene.stream(3);
    let theirs = stream.theirs;
    let channel = scene.coordinator.channel;
    let mut channel = scene.world.channel(theirs.node, channel).unwrap();
    let ended = channel.stream(theirs.stream).set_priority(1);
    assert_eq!(ended, Err(StreamEnded));
    scene.world.finish(stream.ours);
    let mut channel = scene
        .world
        .channel(stream.ours.node, scene.client.channel)
        .unwrap();
    // What waits may still be put first.
    assert_eq!(channel.stream(stream.ours.stream).set_priority(1), Ok(()));
    scene.world.send_ended(stream.ours);
    let mut channel = scene
        .world
        .channel(stream.ours.node, scene.client.channel)
        .unwrap();
    let ended = channel.stream(stream.ours.stream).set_priority(1);
    assert_eq!(ended, Err(StreamEnded));
}

/// Two streams of 16 MiB that the Coordinator's application does not read used to hold up the Client's requests too, and
/// whatever it sent on other streams.
#[test]
fn streams_that_nobody_reads_leave_room_for_control_and_for_little() {
    let mut scene = Scene::new(7);
    scene.world.network.set_all(&LinkConfig::default());
    let unread = [(); 3].map(|()| scene.stream(0));
    let small = scene.stream(0);
    for _ in 0..300 {
        for stream in unread {
            scene.fill(stream, 65_000);
        }
        scene.world.run_for(Duration::from_millis(20));
    }
    let full = scene.world.try_send(unread[0].ours, Bytes::new());
    assert_eq!(full, Err(SendError::Blocked));
    for _ in 0..100 {
        scene.world.send(small.ours, vec![1; 100]);
        let sent = scene.world.now();
        assert_eq!(scene.world.recv(small.theirs).len(), 100);
        assert!(scene.world.now() - sent < Duration::from_millis(30));
    }
    let node = scene.client.node;
    let asked = scene.world.now();
    let nobody = Target::Name("nobody".parse().unwrap());
    let asked_for = scene.world.request_channel(node, nobody);
    let answer = scene.world.closed(asked_for);
    assert_eq!(answer, CloseReason::Remote(ErrorCode::NotFound));
    assert!(scene.world.now() - asked < Duration::from_millis(30));
    // The reader comes late, and nothing is missing.
    let mut got = 0;
    for _ in 0..300 {
        got += unread
            .map(|stream| scene.drain(stream))
            .iter()
            .sum::<usize>();
        scene.world.run_for(Duration::from_millis(20));
    }
    assert!(got > 8 << 20, "{got}");
    for stream in unread {
        assert_eq!(scene.world.try_send(stream.ours, Bytes::new()), Ok(()));
    }
}
