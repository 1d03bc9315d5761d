//! What is counted of endpoints and paths.

/// What an endpoint has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Datagrams that belonged to nobody, or were not what they claimed to be, and were dropped.
    pub datagrams_dropped: u64,
    /// Datagrams forwarded between Clients (Coordinator only).
    pub datagrams_forwarded: u64,
    /// Bytes forwarded between Clients (Coordinator only).
    pub bytes_forwarded: u64,
    /// Datagrams not forwarded because the queue towards a blocked socket was full, or the Client's rate was exceeded.
    pub forwards_dropped: u64,
    /// Datagrams with a known route that came from an address other than the confirmed one, and were not forwarded.
    pub forwards_denied: u64,
    /// Connection attempts turned away: too many, too fast, or not completed in time.
    pub handshakes_refused: u64,
    /// Claims of channel ends that were not good: with an expired or forged ticket, or for what was taken away.
    pub tickets_refused: u64,
    /// Peers cut off because they broke the protocol.
    pub violations: u64,
    /// Clients turned away after they had introduced themselves (Coordinator only).
    pub clients_refused: u64,
    /// Channels that Clients asked for and did not get (Coordinator only).
    pub channels_refused: u64,
    /// Channels ended because messages took too much memory.
    pub channels_shed: u64,
    /// How often the socket has failed to send or to receive, as its driver tells.
    pub socket_errors: u64,
    /// Probes sent in search of direct paths (Clients only).
    pub probes_sent: u64,
    /// Datagrams dropped that claimed to be probes: not from the other end of a channel, seen before, or from an address
    /// that is not to be used.
    pub probes_rejected: u64,
}

/// What a peer channel's packets have travelled on so far. What goes on in it, on whatever path,
/// [`ChannelStats`](crate::ChannelStats) tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStats {
    /// Through the Coordinator.
    pub proxied: Traffic,
    /// Directly between the Clients. Probes do not count.
    pub direct: Traffic,
    /// How often this end went over to another path.
    pub changes: u64,
}

/// UDP datagrams and their bytes, headers aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Datagrams sent.
    pub packets_sent: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Datagrams received.
    pub packets_received: u64,
    /// Bytes received.
    pub bytes_received: u64,
}

impl Traffic {
    /// What is left of it without the other; 0 where the other is more.
    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            packets_sent: self.packets_sent.saturating_sub(other.packets_sent),
            bytes_sent: self.bytes_sent.saturating_sub(other.bytes_sent),
            packets_received: self.packets_received.saturating_sub(other.packets_received),
            bytes_received: self.bytes_received.saturating_sub(other.bytes_received),
        }
    }
}
