//! What can be done to groups, and what can befall their members.

use std::time::Duration;

use conec_core::{GroupStart, JoinConfig, Lossy, SlowMember};

/// One operation. Numbers name things modulo how many there are; blows last as long as [`blow`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A Client joins a group, in a way that the last two numbers say.
    Join(u8, u8, u8),
    /// A membership is left.
    Leave(u8),
    /// So many messages of a size that the number stands for are published by a member.
    Publish(u8, u8, u8),
    /// A member asks whether all that it has published has its number.
    Confirm(u8),
    /// The Coordinator's application publishes a message.
    Announce(u8, u8),
    /// A member's application does not receive, or receives again.
    Deafen(u8),
    /// A member's application that does not receive takes so many items.
    Receive(u8, u8),
    /// The link to a Client and from it becomes another one.
    Link(u8, u8),
    /// A Client, or the Coordinator, is cut off from the network for so long.
    Cut(u8, u8),
    /// The Coordinator is killed, and started anew after so long.
    Restart(u8),
    /// The Coordinator sends its Clients away, is killed after so long, and started anew.
    Drain(u8),
    /// A Client is killed, and started anew after so long.
    Rebirth(u8, u8),
    /// A Client gets another address.
    Move(u8),
    /// The Coordinator's application sends a Client out of a group.
    Remove(u8, u8),
    /// The Coordinator's application ends a group.
    End(u8),
    /// Time passes.
    Wait(u8),
    /// All blows end, and all recovers.
    Settle,
}

impl Op {
    /// The operation that four bytes stand for. All of them stand for one.
    pub fn from_bytes([kind, a, b, c]: [u8; 4]) -> Self {
        match kind % 64 {
            0..12 => Self::Join(a, b, c),
            12 => Self::Confirm(a),
            13..17 => Self::Leave(a),
            17..32 => Self::Publish(a, b, c),
            32..35 => Self::Announce(a, b),
            35..38 => Self::Deafen(a),
            38..40 => Self::Receive(a, b),
            40..44 => Self::Link(a, b),
            44..47 => Self::Cut(a, b),
            47 => Self::Restart(a),
            48 => Self::Drain(a),
            49..51 => Self::Rebirth(a, b),
            51 => Self::Move(a),
            52 => Self::Remove(a, b),
            53 => Self::End(a),
            54..62 => Self::Wait(a),
            _ => Self::Settle,
        }
    }
}

/// How long a blow lasts: up to 8 seconds, and often much less.
pub(super) fn blow(number: u8) -> Duration {
    Duration::from_millis(u64::from(number).pow(2) / 8)
}

pub(super) fn pause(number: u8) -> Duration {
    Duration::from_millis(4 * u64::from(number))
}

/// How large a message is: most are small, some up to 56,000 bytes.
pub(super) fn size(number: u8) -> usize {
    match usize::from(number) {
        small @ 0..200 => small,
        large => 1000 * (large - 199),
    }
}

/// How many messages are published at once: few, or very many.
pub(super) fn count(number: u8) -> usize {
    match usize::from(number) {
        few @ 0..200 => 1 + few % 8,
        many => many,
    }
}

/// How a Client joins, beginning in some way with what is known of an order.
pub(super) fn join_config(how: u8, part: u8, known: Option<GroupStart>) -> JoinConfig {
    let mut config = JoinConfig::default();
    match part % 4 {
        0 | 1 => {}
        2 => config.publish = false,
        _ => config.hear = false,
    }
    config.hear_own = part & 4 == 0;
    config.watch = part & 8 > 0;
    config.start = match how % 4 {
        0 | 1 => GroupStart::Next,
        2 => GroupStart::Oldest,
        _ => known.unwrap_or_default(),
    };
    config.slow = match (how >> 2) % 4 {
        0 | 1 => SlowMember::DropOldest,
        2 => SlowMember::LatestOnly,
        _ => SlowMember::Leave,
    };
    config.queue = match (how >> 4) % 4 {
        0 => Lossy::latest(),
        1 => Lossy::new(5, 3000),
        _ => Lossy::default(),
    };
    config
}
