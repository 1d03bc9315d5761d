//! A stream for each call, as many at once as are allowed.

use std::{iter, time::Duration};

use conec_core::{ChannelEvent, Direction, OpenStreamError, RecvError};
use conec_tests::sim::{At, Half, LinkConfig, World};

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
