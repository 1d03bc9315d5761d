//! What can be done to a world.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{Direction, Lossy};

use crate::sim::{Burst, LinkConfig};

/// One operation. Numbers name things modulo how many there are. Among the parties, number 0 is the Coordinator, the
/// others are Clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// One Client opens a channel to another, or to itself.
    OpenChannel(u8, u8),
    /// The Coordinator connects two Clients, or one with itself.
    Connect(u8, u8),
    /// The Coordinator denies the next channel that a Client asks for.
    Deny,
    /// A Client's application accepts the oldest offer that it has not answered, or rejects it with a code.
    Answer(u8, Option<u8>),
    /// A stream is opened at one end of a channel.
    OpenStream(u8, u8, Direction),
    /// A message of a size that the number stands for is sent on a stream, one way or the other.
    Send(u8, u8, u8),
    /// Messages are received on a stream.
    Recv(u8, u8, u8),
    /// The reader of a direction of a stream prefers loss from now on, with limits that the number stands for, or back-pressure.
    SetLossy(u8, u8, u8),
    /// A direction of a stream is finished.
    Finish(u8, u8),
    /// A direction of a stream is reset.
    Reset(u8, u8, u8),
    /// A direction of a stream is stopped by its reader.
    Stop(u8, u8, u8),
    /// A datagram is sent from one end of a channel.
    Datagram(u8, u8, u8),
    /// A channel is closed gracefully from one end, with so many seconds of patience.
    Close(u8, u8, u8),
    /// A channel is aborted from one end.
    Abort(u8, u8, u8),
    /// A party leaves gracefully, with so many seconds of patience.
    Leave(u8, u8),
    /// A party crashes.
    Crash(u8),
    /// A party starts anew, and a Client connects. What it was before, if it still was, crashes.
    Restart(u8),
    /// A Client's address changes.
    Rebind(u8),
    /// A party's application asks for no events from now on, or asks again.
    Lag(u8, bool),
    /// A party is cut off, or reconnected.
    Cut(u8, bool),
    /// The network becomes like this.
    Faults(u8),
    /// Time passes: so many hundredths of a second.
    Wait(u8),
    /// All faults end, all applications do their part, and everything that can happen by itself has happened.
    Settle,
}

impl Op {
    /// The operation that four bytes stand for. All of them stand for one.
    pub fn from_bytes([kind, a, b, c]: [u8; 4]) -> Self {
        match kind % 64 {
            0..4 => Self::OpenChannel(a, b),
            4 => Self::Connect(a, b),
            5..12 => Self::OpenStream(
                a,
                b,
                if c % 2 == 0 {
                    Direction::Bi
                } else {
                    Direction::Uni
                },
            ),
            12..27 => Self::Send(a, b, c),
            27..38 => Self::Recv(a, b, c),
            38..42 => Self::Finish(a, b),
            42..44 => Self::Reset(a, b, c),
            44..46 => Self::Stop(a, b, c),
            46..49 => Self::Datagram(a, b, c),
            49 => Self::Close(a, b, c),
            50 => Self::Abort(a, b, c),
            51 if b < 32 => Self::Deny,
            51..53 => Self::Answer(a, (b < 64).then_some(c)),
            53 if b < 32 => Self::Leave(a, c),
            53 if b < 64 => Self::Crash(a),
            53..55 if b < 128 => Self::Restart(a),
            53..55 => Self::Rebind(a),
            55 if b < 64 => Self::Settle,
            55 if b < 128 => Self::Cut(a, b < 96),
            55 => Self::Lag(a, b < 192),
            56..58 => Self::Faults(a),
            58 => Self::SetLossy(a, b, c),
            _ => Self::Wait(a),
        }
    }
}

/// The message number so-and-so of a flow, of a size that `size` stands for.
pub(crate) fn message(stream: usize, side: usize, number: usize, size: u8) -> Bytes {
    let size = match size {
        0..16 => 0,
        16..128 => usize::from(size),
        128..224 => 40 * usize::from(size),
        224..250 => 1000 * usize::from(size - 200),
        250.. => 1_000_000,
    };
    let tag = stream * 7 + side * 3 + number * 31;
    (0..size).map(|at| (at / 100 + tag) as u8).collect()
}

/// What a lossy reader keeps, if the number stands for one.
pub(crate) fn lossy(kind: u8) -> Option<Lossy> {
    match kind % 4 {
        0 => None,
        1 => Some(Lossy::latest()),
        2 => Some(Lossy::default()),
        _ => Some(Lossy::new(usize::from(kind / 16), 100 * usize::from(kind))),
    }
}

/// What the network is like.
pub(super) fn faults(kind: u8) -> LinkConfig {
    match kind % 7 {
        0 => LinkConfig::default(),
        1 => LinkConfig::rough(),
        2 => LinkConfig {
            rate: Some(200_000),
            queue: 30_000,
            ..LinkConfig::default()
        },
        3 => LinkConfig {
            burst: Some(Burst {
                begin: 0.01,
                end: 0.3,
            }),
            ..LinkConfig::default()
        },
        4 => LinkConfig {
            jitter: Duration::from_millis(40),
            reorder: 0.1,
            duplicate: 0.1,
            ..LinkConfig::default()
        },
        5 => LinkConfig {
            mtu: 1300,
            ..LinkConfig::default()
        },
        _ => LinkConfig {
            delay: Duration::from_millis(150),
            corrupt: 0.02,
            ..LinkConfig::default()
        },
    }
}
