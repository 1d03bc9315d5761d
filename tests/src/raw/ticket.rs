//! Tickets, made by hand as section 10 of `PROTOCOL.md` has them.

use conec_core::ClientId;
use ring::hmac::{self, HMAC_SHA256};

use super::message::Offer;

/// What a Coordinator with this key gives to the bearer for its end of a channel, so many hours after 1970.
pub fn seal(key: &[u8; 32], hour: u32, bearer: ClientId, end: &Offer) -> Vec<u8> {
    let hour = hour.to_be_bytes();
    let said = [
        b"conec ticket",
        &hour[..],
        &[end.role],
        bearer.as_bytes(),
        end.peer.as_bytes(),
        &end.own_route,
        &end.peer_route,
        &end.channel.to_be_bytes(),
        &end.label,
    ];
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, key), &said.concat());
    [&hour, tag.as_ref()].concat()
}
