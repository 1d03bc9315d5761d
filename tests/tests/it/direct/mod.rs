//! Direct paths: who finds one, what they carry, and what becomes of a channel whose path fails.

mod flips;
pub(crate) mod flow;
mod matrix;
mod moving;
mod places;
mod policy;
mod rebinding;

use std::time::Duration;

use conec_core::{ChannelEvent, Path};
use conec_tests::sim::{At, NodeId, World};

/// What an end's packets travel on.
fn path(world: &mut World, at: At) -> Path {
    world
        .channel(at.node, at.channel)
        .expect("the channel is there")
        .path()
}

fn is_direct(world: &mut World, at: At) -> bool {
    matches!(path(world, at), Path::Direct(_))
}

/// Waits until both ends send directly.
fn until_direct(world: &mut World, ends: [At; 2]) {
    world.wait_for("direct paths", secs(200), |world| {
        ends.iter().all(|&at| is_direct(world, at)).then_some(())
    });
}

/// A message each way.
fn talk(world: &mut World, [one, other]: [At; 2]) {
    for (from, to) in [(one, other), (other, one)] {
        let ours = world.open_stream(from, b"talk");
        world.send(ours, "hello");
        let theirs = world.accept_stream(to);
        assert_eq!(world.recv(theirs), "hello");
    }
}

/// The ends do not need the Coordinator to talk.
fn truly_direct(world: &mut World, coordinator: NodeId, ends: [At; 2]) {
    world.set_up(coordinator, false);
    let start = world.elapsed();
    talk(world, ends);
    assert!(world.elapsed() - start < secs(3));
    for at in ends {
        assert!(is_direct(world, at));
    }
    world.set_up(coordinator, true);
}

/// The changes of path that an end has told of since it was last asked.
fn changes(world: &mut World, at: At) -> Vec<Path> {
    let mut changes = Vec::new();
    while let Some(path) = world.take_event(at.node, |event| match event.channel() {
        Some((channel, ChannelEvent::PathChanged { path, .. })) if channel == at.channel => {
            Some(*path)
        }
        Some(_) | None => None,
    }) {
        changes.push(path);
    }
    changes
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
