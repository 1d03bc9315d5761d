//! Datagrams, as a driver receives and sends them.

use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};

/// One received datagram, or several of one size from one source (a GRO batch).
#[derive(Debug)]
pub struct Datagram {
    /// Where it came from.
    pub source: SocketAddr,
    /// The local address that it was sent to, where known.
    pub destination_ip: Option<IpAddr>,
    /// Whether it was sent to a Coordinator's [second port](crate::CoordinatorConfig::second_port).
    pub second_port: bool,
    /// The ECN codepoint of the IP header, where known.
    pub ecn: Option<Ecn>,
    /// The size of each datagram in `payload`, except for the last, which may be smaller. At least the length of
    /// `payload` when it holds just one; 0 is taken as that.
    pub segment_size: usize,
    /// The bytes. What is kept of them may keep the whole buffer alive, so it should not be much larger than they are. A
    /// large one can be had [back](crate::Endpoint::take_buffer).
    pub payload: BytesMut,
}

/// Datagrams to send, ready for one `sendmsg`.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// Where to.
    pub destination: SocketAddr,
    /// The local address to send from, where it matters.
    pub source_ip: Option<IpAddr>,
    /// The ECN codepoint for the IP header.
    pub ecn: Option<Ecn>,
    /// When set, `payload` holds several datagrams of this size, of which the last may be smaller.
    pub segment_size: Option<usize>,
    /// The bytes.
    pub payload: Bytes,
}

/// An ECN codepoint (RFC 3168). The field has two bits, and no ECN is `None`, so all are to be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecn {
    /// ECN-capable transport, ECT(0).
    Ect0,
    /// ECN-capable transport, ECT(1).
    Ect1,
    /// Congestion experienced.
    Ce,
}
