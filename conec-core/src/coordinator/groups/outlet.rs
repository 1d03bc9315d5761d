//! Where what is for a member goes.

use std::time::Instant;

use bytes::Bytes;

use super::under_way::{Room, UnderWay};
use crate::{
    StreamId,
    channel::ChannelCore,
    transport::Link,
    wire::{RoleMessage, ToMember},
};

/// The stream of a membership, at the Coordinator. What was sent counts as under way when this is dropped.
pub(super) struct Outlet<'a> {
    now: Instant,
    core: &'a mut ChannelCore,
    link: &'a mut Link,
    stream: StreamId,
    under_way: &'a mut UnderWay,
    room: Room,
    sent: usize,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(
        now: Instant,
        core: &'a mut ChannelCore,
        link: &'a mut Link,
        stream: StreamId,
        under_way: &'a mut UnderWay,
    ) -> Self {
        Self {
            now,
            core,
            link,
            stream,
            room: under_way.room(now, stream.channel()),
            under_way,
            sent: 0,
        }
    }

    /// Whether so much waits that nothing is to be added. If so, its stream tells when it is less.
    pub(super) fn is_full(&mut self) -> bool {
        let is_full = self.core.waiting(self.link, self.stream) >= QUEUE;
        if is_full {
            self.core.tell_below(self.link, self.stream, QUEUE / 2);
        }
        is_full
    }

    /// Whether so much more may be under way.
    pub(super) fn takes(&self, len: usize) -> bool {
        self.room.takes(self.sent, len)
    }

    pub(super) fn frame(&mut self, message: &ToMember) {
        self.payload(message.encode());
    }

    /// What is in a frame.
    pub(super) fn payload(&mut self, payload: Bytes) {
        self.sent += payload.len();
        self.core.send_frame(self.link, self.stream, payload);
    }

    /// Bytes that are frames already.
    pub(super) fn frames(&mut self, frames: Bytes) {
        self.sent += frames.len();
        self.core.send_frames(self.link, self.stream, frames);
    }
}

impl Drop for Outlet<'_> {
    fn drop(&mut self) {
        if self.sent == 0 {
            return;
        }
        let (core, link, stream) = (&*self.core, &mut *self.link, self.stream);
        self.under_way.add(self.now, stream, self.sent, |unmarked| {
            // A mark ends a piece, and the engine is slow with many small ones. Where nothing else waits, that is one anyway.
            let ends_piece = unmarked >= LEAST_PIECE || core.waiting(link, stream) <= unmarked;
            ends_piece.then(|| core.mark(link, stream)).flatten()
        });
    }
}

/// How many bytes wait to be sent to a member before nothing is added.
const QUEUE: usize = 64 << 10;
/// Pieces of this size are not small.
const LEAST_PIECE: usize = 4 << 10;
