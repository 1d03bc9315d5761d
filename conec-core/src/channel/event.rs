//! What a channel tells its application.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use crate::{CloseReason, Direction, RecvEnd, SendEnd, StreamId};

/// What happens on a channel.
///
/// Events say that something is ready or has changed; they carry no payload. At most one of each kind waits for each
/// stream, so an application that lags behind pays per stream, not per event. Of a stream that the other side has opened
/// nothing is told before the stream itself was taken.
///
/// Every half of a stream ends in one [`SendEnded`](Self::SendEnded) or [`RecvEnded`](Self::RecvEnded), every channel in
/// one [`Closed`](Self::Closed), its last event. Where [channel events](crate::Endpoint::poll_channel_event) are taken by
/// themselves, only the ends of those halves can follow on which something is left to be received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelEvent {
    /// The channel is set up: streams can be opened.
    Opened,
    /// The other side has opened a stream, under this label.
    StreamOpened {
        /// The stream.
        stream: StreamId,
        /// What the opener says it is for.
        label: Bytes,
    },
    /// Streams that the other side has opened wait to be [accepted](crate::Channel::accept). Instead of
    /// [`StreamOpened`](Self::StreamOpened), where channel events are taken
    /// [by themselves](crate::Endpoint::poll_channel_event).
    StreamsWaiting,
    /// A whole message can be received.
    Readable {
        /// The stream.
        stream: StreamId,
    },
    /// A stream that was [`Blocked`](crate::SendError::Blocked) takes messages again.
    Writable {
        /// The stream.
        stream: StreamId,
    },
    /// Nothing more will be sent on a stream. Its last event about sending.
    SendEnded {
        /// The stream.
        stream: StreamId,
        /// How it ended.
        end: SendEnd,
    },
    /// Nothing more will be received on a stream. Its last event about receiving.
    RecvEnded {
        /// The stream.
        stream: StreamId,
        /// How it ended.
        end: RecvEnd,
    },
    /// The other side allows more streams, after opening one was [`Blocked`](crate::OpenStreamError::Blocked).
    StreamsAvailable {
        /// Of which kind.
        direction: Direction,
    },
    /// Datagrams can be received.
    DatagramsReadable,
    /// Datagrams can be sent, after one was [`Blocked`](crate::SendDatagramError::Blocked).
    DatagramsWritable,
    /// What is sent now travels on another path than before (peer channels only). Nothing is lost, repeated or reordered
    /// by that.
    PathChanged {
        /// The path.
        path: Path,
        /// Its round-trip time as known so far.
        rtt: Duration,
    },
    /// Nothing is heard from the other side for 1.5 s or more, though it should have acknowledged something: its process may be gone,
    /// or the network between. The channel goes on all the same, and ends only when that lasts for the
    /// [idle timeout](crate::ChannelConfig::idle_timeout), or when the Coordinator knows that the other side is gone for good.
    ///
    /// Not told while this Client [looks for its Coordinator](crate::ClientEvent::Reconnecting) and has no other path.
    Silent,
    /// After [`Silent`](Self::Silent), something is heard again.
    Audible,
    /// The other side wants to close the channel. No more streams can be opened; it closes when those that are open have
    /// ended, or when the other side's patience has.
    Closing,
    /// The channel is over.
    ///
    /// What had arrived whole, which the other side may know to be delivered, can be received until this event is taken: in
    /// answer to the events before it. It is lost with the channel only where one side has aborted it or broken the protocol, or
    /// messages took too much memory.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// What the packets travel on that this end of a channel sends. The other end decides for its own.
///
/// On either, the channel ends when one of its ends has lost its Coordinator for good, or does not
/// [look for it again](crate::ClientConfig::reconnect): with [`CoordinatorLost`](CloseReason::CoordinatorLost) at that end, with
/// [`PeerGone`](crate::ErrorCode::PeerGone) at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Path {
    /// Through the Coordinator. The only one for home channels, where it is the whole way.
    Proxied,
    /// Directly to the other Client, at this address.
    Direct(SocketAddr),
}
