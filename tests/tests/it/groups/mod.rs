//! Groups: one order for all members, exact about what is missing, and nobody waits for the slowest.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected ends the story"
)]

mod members;
mod order;
mod random;
mod resuming;
mod sealed;
mod slow;

use std::time::Duration;

use conec_core::{
    ClientEvent, GroupEnd, GroupEvent, GroupId, GroupItem, JoinConfig, Joined, Name, PublishError,
};
use conec_tests::sim::{Event, NodeId, World};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Has a Client join a group, and waits until it has.
pub(crate) fn join(world: &mut World, node: NodeId, group: &str) -> GroupId {
    join_with(world, node, group, JoinConfig::default()).0
}

/// The same, in its own way. What it is told then.
pub(crate) fn join_with(
    world: &mut World,
    node: NodeId,
    group: &str,
    config: JoinConfig,
) -> (GroupId, Joined) {
    let id = begin_joining(world, node, group, config);
    match next(world, node, id) {
        GroupItem::Joined(joined) => (id, joined),
        other => world.fail(&format!("{other:?} before it has joined")),
    }
}

pub(crate) fn begin_joining(
    world: &mut World,
    node: NodeId,
    group: &str,
    config: JoinConfig,
) -> GroupId {
    let now = world.clock(node);
    world.client(node).join(now, name(group), config).unwrap()
}

/// The next item, once it is there.
pub(crate) fn next(world: &mut World, node: NodeId, group: GroupId) -> GroupItem {
    world.wait_for("something in a group", secs(120), |world| {
        world.client(node).group(group).recv()
    })
}

/// All that is there.
pub(crate) fn all(world: &mut World, node: NodeId, group: GroupId) -> Vec<GroupItem> {
    let mut group = world.client(node).group(group);
    std::iter::from_fn(|| group.recv()).collect()
}

/// Publishes, once there is room.
pub(crate) fn publish(world: &mut World, node: NodeId, group: GroupId, message: &[u8]) {
    world.wait_for("room to publish", secs(120), |world| {
        match world.client(node).group(group).publish(message) {
            Ok(()) => Some(()),
            Err(PublishError::Blocked) => None,
            Err(error) => world.fail(&format!("{node:?}: {error}")),
        }
    });
}

/// The next message: its number and what it says.
pub(crate) fn message(world: &mut World, node: NodeId, group: GroupId) -> (u64, String) {
    match next(world, node, group) {
        GroupItem::Message(message) => {
            let text = String::from_utf8_lossy(&message.payload);
            (message.sequence, text.into_owned())
        }
        other => world.fail(&format!("{other:?} is no message")),
    }
}

/// How a membership ends.
pub(crate) fn ended(world: &mut World, node: NodeId, group: GroupId) -> GroupEnd {
    world.wait_for("the end of a membership", secs(120), |world| {
        world.take_event(node, |event| match event {
            Event::Client(ClientEvent::Group {
                group: of,
                event: GroupEvent::Ended(end),
            }) if *of == group => Some(*end),
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    })
}
