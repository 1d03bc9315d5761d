//! Streams that the channel's owner uses, and not the application: memberships of groups, on home channels.
//!
//! They are data streams as all others are; what happens on them is told to the owner, as notices.

use bytes::Bytes;

use super::{ChannelCore, Notice};
use crate::{
    ChannelEvent, Direction, RecvEnd, RecvError, SendEnd, StreamId,
    channel::stream::User,
    error::WireCode,
    transport::Link,
    wire::{StreamKind, frame_header, publish_head},
};

/// What has happened on a stream of the owner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamNotice {
    /// The other side has opened it, for a membership of the group that this names.
    Begun(Bytes),
    Readable,
    /// Less waits to be sent than the owner has [asked](ChannelCore::waiting) to be told of.
    Writable,
    SendEnded(SendEnd),
    RecvEnded(RecvEnd),
}

impl User {
    pub(super) fn of(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Data => Self::Application,
            StreamKind::Membership => Self::Owner,
        }
    }
}

// What the owner calls.
impl ChannelCore {
    /// The other side may have memberships.
    pub(crate) fn take_members(&mut self) {
        self.settings.takes_members = true;
    }

    /// Opens a stream for a membership of the group of this name. `None` if the other side allows no more streams:
    /// [`Notice::StreamsAvailable`] follows.
    pub(crate) fn open_membership(&mut self, link: &mut Link, group: &[u8]) -> Option<StreamId> {
        if !self.state.is_open() {
            return None;
        }
        let opened = self.open_as(link, Direction::Bi, StreamKind::Membership, group);
        self.owner_blocked |= opened.is_none();
        opened
    }

    /// The next frame of a membership.
    pub(crate) fn next_frame(
        &mut self,
        link: &mut Link,
        stream: StreamId,
    ) -> Result<Bytes, RecvError> {
        self.recv(Some(link), stream)
    }

    /// Sends a frame of a membership.
    pub(crate) fn send_frame(&self, link: &mut Link, stream: StreamId, payload: Bytes) {
        link.write(stream.index, &frame_header(payload.len()), payload);
    }

    /// Sends a message to all members of a group.
    pub(crate) fn publish(&self, link: &mut Link, stream: StreamId, message: Bytes) {
        link.write(stream.index, &publish_head(message.len()), message);
    }

    /// Sends bytes that are frames already.
    pub(crate) fn send_frames(&self, link: &mut Link, stream: StreamId, frames: Bytes) {
        link.write(stream.index, &[], frames);
    }

    /// How many bytes wait to be sent for a membership.
    pub(crate) fn waiting(&self, link: &Link, stream: StreamId) -> usize {
        link.backlog(stream.index)
    }

    /// The end of what waits to be sent for a membership: nobody else has a part of this memory once it is acknowledged, with all before it,
    /// or the stream is over.
    pub(crate) fn mark(&self, link: &mut Link, stream: StreamId) -> Option<Bytes> {
        link.mark(stream.index)
    }

    /// Has it told once that fewer bytes wait to be sent for a membership than so many, which do now.
    pub(crate) fn tell_below(&mut self, link: &mut Link, stream: StreamId, mark: usize) {
        if let Some(send) = self.send_half(stream) {
            send.blocked = true;
            link.notify_below(stream.index, mark);
        }
    }

    /// Nothing more is sent for a membership after what waits.
    pub(crate) fn finish_membership(&mut self, link: &mut Link, stream: StreamId) {
        // It may have ended, which is as good.
        let _ = self.finish(link, stream);
    }

    /// Nothing more is wanted of a membership.
    pub(crate) fn stop_membership(&mut self, link: &mut Link, stream: StreamId, code: WireCode) {
        let _ = self.stop(Some(link), stream, code);
    }

    /// Ends a membership at once.
    pub(crate) fn end_membership(&mut self, link: &mut Link, stream: StreamId, code: WireCode) {
        self.stop_membership(link, stream, code);
        let _ = self.reset(link, stream, code);
    }
}

// How it is done.
impl ChannelCore {
    /// Tells who uses a stream what has happened on it.
    pub(super) fn tell_of(&mut self, stream: StreamId, told: StreamNotice) {
        let user = self.streams.get(&stream.index).map(|it| it.user);
        if user == Some(User::Owner) {
            return self.notices.push_back(Notice::Stream(stream, told));
        }
        self.events.push_back(match told {
            // Streams are announced to the application as what comes in.
            StreamNotice::Begun(label) => ChannelEvent::StreamOpened { stream, label },
            StreamNotice::Readable => ChannelEvent::Readable { stream },
            StreamNotice::Writable => ChannelEvent::Writable { stream },
            StreamNotice::SendEnded(end) => ChannelEvent::SendEnded { stream, end },
            StreamNotice::RecvEnded(end) => ChannelEvent::RecvEnded { stream, end },
        });
    }

    /// The other side has opened a stream for a membership, and perhaps ended its other direction in the same breath.
    pub(super) fn membership_begun(&mut self, index: u64, group: Bytes, end: Option<SendEnd>) {
        let stream = self.stream_id(index);
        self.tell_of(stream, StreamNotice::Begun(group));
        if let Some(end) = end {
            self.tell_of(stream, StreamNotice::SendEnded(end));
        }
    }

    /// The owner is told something: the next of its kind is news again.
    pub(super) fn stream_notice_taken(&mut self, stream: StreamId, told: &StreamNotice) {
        match told {
            StreamNotice::Readable => {
                if let Some(recv) = self.recv_half(stream) {
                    recv.readable_queued = false;
                }
            }
            StreamNotice::Writable => {
                if let Some(send) = self.send_half(stream) {
                    send.writable_queued = false;
                }
            }
            StreamNotice::Begun(_) | StreamNotice::SendEnded(_) | StreamNotice::RecvEnded(_) => {}
        }
    }
}
