//! Conec's words for streams and codes, and the engine's.

use quinn_proto::{Dir, StreamId, VarInt};

use crate::{Direction, error::WireCode};

pub(super) fn dir(direction: Direction) -> Dir {
    match direction {
        Direction::Bi => Dir::Bi,
        Direction::Uni => Dir::Uni,
    }
}

pub(super) fn direction(dir: Dir) -> Direction {
    match dir {
        Dir::Bi => Direction::Bi,
        Dir::Uni => Direction::Uni,
    }
}

pub(super) fn index(id: StreamId) -> u64 {
    VarInt::from(id).into_inner()
}

pub(super) fn id(index: u64) -> StreamId {
    VarInt::from_u64(index).unwrap_or(VarInt::MAX).into()
}

pub(super) fn varint(code: WireCode) -> VarInt {
    VarInt::from_u64(code.to_wire()).unwrap_or(VarInt::MAX)
}

/// The control stream is the first one that the QUIC client opens (RFC 9000, 2.1).
pub(crate) const CONTROL: u64 = 0;
