//! How large packets a network link takes.

use std::net::SocketAddr;

use conec_core::ClientConfig;

/// Looks up the [link MTU](ClientConfig::link_mtu) towards a Coordinator at these addresses, unless the configuration has
/// it already or the system does not tell.
///
/// Takes a few system calls, some ten microseconds.
pub fn look_up_link(config: &mut ClientConfig, coordinator: &[SocketAddr]) {
    let payload = |address: &SocketAddr| {
        let (_, packet) = mtu::interface_and_mtu(address.ip().to_canonical()).ok()?;
        let payload = packet.saturating_sub(HEADERS).max(MIN_PAYLOAD);
        Some(u16::try_from(payload).unwrap_or(u16::MAX))
    };
    if config.link_mtu.is_none() {
        // Where there is no way to an address, it makes no difference.
        config.link_mtu = coordinator.iter().filter_map(payload).min();
    }
}

/// Of IPv6 and UDP (RFC 8200, 3; RFC 768). Those of IPv4 are smaller, but a part of the way may be IPv6.
const HEADERS: usize = 40 + 8;
/// Where not even this fits, there is no QUIC (RFC 9000, 14).
const MIN_PAYLOAD: usize = 1200;
