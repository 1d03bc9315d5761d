//! What can be done to a world, and what can befall it.

use std::time::Duration;

use conec_core::Direction;

/// One operation. Numbers name things modulo how many there are; blows last as long as [`blow`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// One Client opens a channel to another, or to itself.
    OpenChannel(u8, u8),
    /// A stream is opened at one end of a channel.
    OpenStream(u8, u8, Direction),
    /// A message of a size that the number stands for is sent on a stream, one way or the other.
    Send(u8, u8, u8),
    /// A direction of a stream is finished.
    Finish(u8, u8),
    /// A direction of a stream is reset.
    Reset(u8, u8, u8),
    /// A datagram is sent from one end of a channel.
    Datagram(u8, u8, u8),
    /// A channel is closed gracefully from one end: with more patience than any outage takes, or with few seconds.
    Close(u8, u8, u8),
    /// A channel is aborted from one end.
    Abort(u8, u8, u8),
    /// The Coordinator is killed, and started anew after so long.
    Restart(u8),
    /// The Coordinator is killed for good, and another one started at the other place.
    TakeOver,
    /// The Coordinator sends its Clients to another one within so long, and is killed after so long, or stays.
    Drain(u8, u8),
    /// The Coordinator stands still for so long, and then goes on.
    Stop(u8),
    /// A Client, or the Coordinator, is cut off from the network for so long.
    Cut(u8, u8),
    /// A Client gets another address.
    Move(u8),
    /// A Client is killed, and started anew after so long.
    Rebirth(u8, u8),
    /// Time passes.
    Wait(u8),
    /// All blows end, and all recovers.
    Settle,
}

impl Op {
    /// The operation that four bytes stand for. All of them stand for one.
    pub fn from_bytes([kind, a, b, c]: [u8; 4]) -> Self {
        match kind % 64 {
            0..5 => Self::OpenChannel(a, b),
            5..12 => {
                let direction = match c % 2 {
                    0 => Direction::Bi,
                    _ => Direction::Uni,
                };
                Self::OpenStream(a, b, direction)
            }
            12..24 => Self::Send(a, b, c),
            24..28 => Self::Finish(a, b),
            28..30 => Self::Reset(a, b, c),
            30..33 => Self::Datagram(a, b, c),
            33..36 => Self::Close(a, b, c),
            36 => Self::Abort(a, b, c),
            37..41 => Self::Restart(a),
            41..43 => Self::TakeOver,
            43..47 => Self::Drain(a, b),
            47..49 => Self::Stop(a),
            49..52 => Self::Cut(a, b),
            52..54 => Self::Move(a),
            54..56 => Self::Rebirth(a, b),
            56..62 => Self::Wait(a),
            _ => Self::Settle,
        }
    }
}

/// How long a blow lasts: up to 13 seconds, and often much less.
pub(super) fn blow(number: u8) -> Duration {
    Duration::from_millis(u64::from(number).pow(2) / 5)
}

/// How long a Coordinator lasts after it was drained, if not for ever.
pub(super) fn lasting(number: u8) -> Option<Duration> {
    (number < 192).then(|| blow(number))
}

pub(super) fn pause(number: u8) -> Duration {
    Duration::from_millis(8 * u64::from(number))
}

/// With how much patience a channel is closed.
pub(super) fn patience(number: u8) -> Duration {
    match number % 2 {
        0 => ENOUGH,
        _ => Duration::from_secs(u64::from(number % 8)),
    }
}

/// More patience than anything takes.
pub(super) const ENOUGH: Duration = Duration::from_secs(1000);
