//! What can be read of a packet without its keys.

use super::message::{Route, read_varint};

/// The bytes of a packet's destination connection ID, as conec's eight-byte ones are laid out.
pub fn destination(packet: &[u8]) -> Option<&[u8]> {
    match packet {
        [first, _, _, _, _, len, rest @ ..] if first & 0x80 != 0 => rest.get(..usize::from(*len)),
        [first, rest @ ..] if first & 0xc0 == 0x40 => rest.get(..8),
        _ => None,
    }
}

/// The route that a packet names, if it names one.
pub fn route_of(packet: &[u8]) -> Option<Route> {
    let cid = destination(packet)?;
    let route = *cid.first_chunk::<6>()?;
    (cid.len() == 8 && route[0] & 0x80 != 0).then_some(route)
}

/// How many bytes the Initial packet at the front of a datagram takes, if there is one.
pub fn initial_len(datagram: &[u8]) -> Option<usize> {
    if datagram.first()? & 0xf0 != 0xc0 {
        return None;
    }
    let mut at = 5;
    for _ in 0..2 {
        at += 1 + usize::from(*datagram.get(at)?);
    }
    let (token, header) = read_varint(datagram.get(at..)?)?;
    at += header + usize::try_from(token).ok()?;
    let (len, header) = read_varint(datagram.get(at..)?)?;
    Some(at + header + usize::try_from(len).ok()?)
}
