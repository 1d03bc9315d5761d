//! Where packets go, by their first bytes, and how far batches go the same way.

use conec_core::testing::{Packet, classify, run_length};

/// Input: the size of the datagrams in a batch, then the batch.
pub fn run(data: &[u8]) {
    let Some((&[high, low], batch)) = data.split_first_chunk() else {
        return;
    };
    let segment_size = usize::from(u16::from_be_bytes([high, low])).max(1);
    for packet in batch.chunks(segment_size).chain([batch]) {
        assert_eq!(classify(packet), reference(packet));
    }
    for packet in batch.chunks(segment_size) {
        let Some(route) = route_of(packet) else {
            continue;
        };
        let run = run_length(batch, segment_size, route);
        let same_way = batch
            .chunks(segment_size)
            .take_while(|packet| route_of(packet) == Some(route))
            .map(<[u8]>::len)
            .sum();
        assert_eq!(run, Some(same_way));
    }
}

fn route_of(packet: &[u8]) -> Option<[u8; 6]> {
    match reference(packet) {
        Packet::Long(route) | Packet::Short(route) => route,
        Packet::Probe(_) | Packet::Other => None,
    }
}

/// The table of `PROTOCOL.md`, section 6.
fn reference(packet: &[u8]) -> Packet {
    let bit = |at: usize, bit: u8| packet.get(at).is_some_and(|byte| byte & bit != 0);
    let route = |at: usize| {
        packet
            .get(at..at + 6)
            .and_then(|route| route.try_into().ok())
    };
    if bit(0, 0x80) && packet.len() >= 6 {
        let routed = packet[5] == 8 && packet.len() >= 14 && bit(6, 0x80);
        Packet::Long(if routed { route(6) } else { None })
    } else if bit(0, 0x40) && !bit(0, 0x80) && packet.len() >= 9 {
        Packet::Short(if bit(1, 0x80) { route(1) } else { None })
    } else if packet.first() == Some(&0x0c) && packet.len() >= 58 && bit(1, 0x80) {
        route(1).map_or(Packet::Other, Packet::Probe)
    } else {
        Packet::Other
    }
}
