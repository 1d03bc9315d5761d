//! What packets cost who sends them.

use crate::Transmit;

/// What it costs to forward so many packets of this size, in bytes. To handle a packet takes its time, however small it is.
pub(super) fn cost(packets: usize, size: usize) -> usize {
    packets.saturating_mul(size.max(LEAST))
}

/// What it costs to forward these.
pub(super) fn cost_of(packets: &Transmit) -> usize {
    cost(count(packets), packet_size(packets))
}

/// How many packets these are.
pub(super) fn count(packets: &Transmit) -> usize {
    packets.payload.len().div_ceil(packet_size(packets))
}

/// The size of each but the last.
pub(super) fn packet_size(packets: &Transmit) -> usize {
    packets.segment_size.unwrap_or(packets.payload.len()).max(1)
}

/// What a packet costs at least: as much as the largest that every path takes which QUIC can use (RFC 9000, 14).
const LEAST: usize = 1200;
