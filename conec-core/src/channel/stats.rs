//! What is going on in a channel.

use std::time::Duration;

use crate::Traffic;

/// What a channel does at the moment, and has done so far, as this end sees it.
///
/// Sizes are in bytes. What is counted, is counted from the channel's beginning. How much of the traffic has travelled on
/// which path, [`PathStats`](crate::PathStats) tells.
///
/// Two things cannot be had. How many packets were *lost for nothing*, since they came after all but too late: the QUIC
/// engine does not say. And how many of the datagrams sent were lost: QUIC tells of packets, and the other end of what has
/// [arrived](DatagramStats::received) there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// What was sent and received in all, over all paths. Probes do not count, nor what was sent over two paths at once.
    pub traffic: Traffic,
    /// The round-trip time on the present path, smoothed (RFC 9002, section 5.3).
    pub rtt: Duration,
    /// The shortest round trip on the present path so far; the first guess before there was one.
    pub min_rtt: Duration,
    /// How much may be under way on the present path, as congestion control has it.
    pub congestion_window: u64,
    /// How much is under way: sent, and neither acknowledged nor given up.
    pub bytes_in_flight: u64,
    /// The largest UDP payload that the present path is known to take.
    pub mtu: u16,
    /// Packets that were given up as lost. What they carried of streams was sent again, in other packets.
    pub packets_lost: u64,
    /// Their bytes.
    pub bytes_lost: u64,
    /// How often congestion control has slowed the channel down, for lost packets or for marks of routers (ECN).
    pub congestion_events: u64,
    /// How many data streams are open, in either direction.
    pub streams_open: usize,
    /// Messages and what goes with them that wait on streams, for the QUIC engine to take them.
    pub bytes_waiting: usize,
    /// Messages that readers of this end did not get, since they were slow and [lossy](crate::Stream::set_lossy). Counted up to 2^32.
    pub messages_dropped: u64,
    /// What keeps this end from sending more on streams.
    pub limit: SendLimit,
    /// Unreliable datagrams.
    pub datagrams: DatagramStats,
}

/// What keeps an end of a channel from sending more on streams, as of the latest acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendLimit {
    /// The application: all that it had to send was sent.
    Application,
    /// The windows of the streams that have something to send: their readers at the other end are behind.
    StreamWindow,
    /// The window of the channel: at the other end, its streams together are as far ahead of their readers as they may be.
    ChannelWindow,
    /// The path: as much is under way as congestion control lets.
    Congestion,
    /// The path: what congestion control lets is spread over the round trip, and the next packet is not due.
    Pacing,
}

/// Unreliable datagrams of one end of a channel: how many went where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramStats {
    /// Sent. Some of them may be lost on the way.
    pub sent: u64,
    /// Not taken from the application: too large, or too many were waiting.
    pub refused: u64,
    /// Taken from the application and dropped before they were sent, since they have become too large for the path. They
    /// are counted once no others wait.
    pub discarded: u64,
    /// Received.
    pub received: u64,
    /// Received and dropped, the oldest first, to make room for later ones that the application has not taken either.
    pub displaced: u64,
}
