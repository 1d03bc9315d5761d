//! How much memory others can make an endpoint take.

use crate::{
    ChannelConfig, ClientConfig, CoordinatorConfig,
    buffers::MAX_BUFFERS,
    channel::{EVENTS_PER_STREAM, MAX_UNREAD},
};

impl ChannelConfig {
    /// The most memory that one channel can take by what the other side does, in bytes, with all that is sent to it
    /// and not acknowledged. Not counted is what is bounded for all channels together: messages that have arrived in part
    /// or wait for their readers, and gaps in streams, by [`message_memory`](crate::CoordinatorLimits::message_memory), and
    /// what the receive window grows by, by [`window_memory`](crate::CoordinatorLimits::window_memory).
    ///
    /// Memory is taken as bytes arrive. An idle channel takes a small fraction of this.
    pub fn worst_case_bytes(&self) -> u64 {
        let streams = 1 + u64::from(self.bi_streams) + u64::from(self.uni_streams);
        let unread = unread(self.receive_window.into()) + streams * UNREAD_SLACK;
        let datagrams = 2 * self.datagram_buffer as u64;
        let incoming = EVENTS_PER_STREAM as u64 * streams * INCOMING;
        let untaken = u64::from(self.send_window) + MAX_UNREAD as u64;
        CHANNEL + streams * STREAM + incoming + unread + untaken + datagrams
    }
}

impl CoordinatorConfig {
    /// The most memory that a Coordinator can take by what Clients and strangers do, in bytes. What its application
    /// itself sends and has not been acknowledged is counted in, what it has queued beyond that is not.
    ///
    /// Set [`clients`](crate::CoordinatorLimits::clients) to what the machine can bear.
    ///
    /// ```
    /// # #[cfg(feature = "self-signed")] {
    /// use conec_core::{Certificate, CoordinatorConfig};
    ///
    /// let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    /// config.limits.clients = 100;
    /// assert!(config.worst_case_bytes() < 8 << 30);
    /// # }
    /// # Ok::<(), conec_core::SelfSignedError>(())
    /// ```
    pub fn worst_case_bytes(&self) -> u64 {
        let limits = &self.limits;
        let home = self.home.worst_case_bytes();
        let pairs = limits.clients.saturating_mul(limits.channels_per_client);
        sum([
            times(limits.clients, home),
            times(limits.handshakes, NEWCOMER),
            times(pairs, PAIR),
            times(limits.events, EVENT),
            limits.forward_queue as u64,
            self.home.max_message_size as u64,
            messages(limits.message_memory),
            unread(limits.window_memory as u64),
            MAX_BUFFERS as u64,
        ])
    }
}

impl ClientConfig {
    /// The most memory that a Client can take by what its Coordinator and its peers do, in bytes. What its application
    /// itself sends and has not been acknowledged is counted in, what it has queued beyond that is not.
    pub fn worst_case_bytes(&self) -> u64 {
        let limits = &self.limits;
        let peer = self.peer.worst_case_bytes() + PAIR + EVENT;
        let largest = self.home.max_message_size.max(self.peer.max_message_size);
        sum([
            self.home.worst_case_bytes(),
            // Those that it has asked for, and those that others have.
            times(limits.channels_per_client, peer).saturating_mul(2),
            largest as u64,
            messages(limits.message_memory),
            unread(limits.window_memory as u64),
            MAX_BUFFERS as u64,
        ])
    }
}

/// The memory that so many unread bytes may take: the engine may use up to two and a half times as much for them, and twice as
/// much for what lies behind gaps.
fn unread(bytes: u64) -> u64 {
    bytes.saturating_mul(5) / 2
}

/// The memory of messages, of which what is kept free for a turn may be exceeded once.
fn messages(limit: usize) -> u64 {
    (limit as u64).saturating_add(limit as u64 / 8)
}

fn times(count: usize, bytes: u64) -> u64 {
    bytes.saturating_mul(count as u64)
}

fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// A connection with its TLS session and tables, and control messages of the other side's.
const CHANNEL: u64 = 128 << 10;
/// A connection that was not let in, with its TLS session, and all that is taken of it until then.
const NEWCOMER: u64 = 64 << 10;
/// What is known of a stream, here and in the engine.
const STREAM: u64 = 2 << 10;
/// The engine lets each stream waste so much before it copies its chunks into one.
const UNREAD_SLACK: u64 = 32 << 10;
/// Both ends of a channel between Clients, with label, routes and deadlines.
const PAIR: u64 = 2 << 10;
/// With a token, a label, and names.
const EVENT: u64 = 5 << 10;
/// A stream that waits to be accepted, over or not, with its label and what is queued of it.
const INCOMING: u64 = 512;
