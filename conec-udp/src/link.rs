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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use conec_core::{Identity, KeyPin, Trust};

    use super::*;

    #[test]
    fn the_loopback_interface_takes_more_than_ethernet() {
        assert!(link_mtu(None, &[LOOPBACK]) > Some(1500));
    }

    #[test]
    fn what_is_set_or_cannot_be_known_stays() {
        assert_eq!(link_mtu(Some(1300), &[LOOPBACK]), Some(1300));
        assert_eq!(link_mtu(None, &[]), None);
    }

    fn link_mtu(set: Option<u16>, coordinator: &[SocketAddr]) -> Option<u16> {
        let pin = Trust::Pin("00".repeat(32).parse::<KeyPin>().unwrap());
        let mut config = ClientConfig::new(Identity::from_seed([1; 32]), pin);
        config.link_mtu = set;
        look_up_link(&mut config, coordinator);
        config.link_mtu
    }

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4433);
}
