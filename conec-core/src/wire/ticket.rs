//! Tickets: what proves, after a home channel has ended, that a Client was an end of a peer channel.
//!
//! Whoever has the ticket key can make and check them: the Coordinator that arranged the channel, the same one after a
//! restart, or another one. Nothing has to be stored.

use bytes::{BufMut, Bytes, BytesMut};

use super::Claim;
use crate::{
    ClientId, Secret,
    crypto::hmac::{self, HMAC_SHA256},
};

/// Makes and checks tickets.
pub(crate) struct TicketKey(hmac::Key);

/// The hour since 1970 in which a ticket was made.
pub(crate) type Epoch = u32;

impl TicketKey {
    pub(crate) fn new(key: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, key.as_ref()))
    }

    /// The ticket for a Client's end of a channel, which has none yet.
    pub(crate) fn seal(&self, epoch: Epoch, bearer: ClientId, end: &Claim) -> Bytes {
        let mut ticket = BytesMut::with_capacity(TICKET);
        ticket.put_u32(epoch);
        let tag = hmac::sign(&self.0, &sealed(epoch, bearer, end));
        ticket.put_slice(tag.as_ref());
        ticket.freeze()
    }

    /// In which epoch the ticket of a claim was made, if it is the bearer's and for just this end.
    pub(crate) fn open(&self, bearer: ClientId, claim: &Claim) -> Option<Epoch> {
        let (epoch, tag) = claim.ticket.split_first_chunk()?;
        let epoch = Epoch::from_be_bytes(*epoch);
        let is_good = hmac::verify(&self.0, &sealed(epoch, bearer, claim), tag).is_ok();
        is_good.then_some(epoch)
    }
}

/// What a ticket says. The label is last: all else has a fixed length.
fn sealed(epoch: Epoch, bearer: ClientId, end: &Claim) -> BytesMut {
    let mut said = BytesMut::with_capacity(128 + end.label.len());
    said.put_slice(PURPOSE);
    said.put_u32(epoch);
    said.put_u8(end.role.to_wire());
    said.put_slice(bearer.as_bytes());
    said.put_slice(end.peer.as_bytes());
    said.put_slice(&end.own_route.to_bytes());
    said.put_slice(&end.peer_route.to_bytes());
    said.put_u64(end.channel);
    said.put_slice(&end.label);
    said
}

const TICKET: usize = 4 + 32;
const PURPOSE: &[u8] = b"conec ticket";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Role, Route};

    fn claim() -> Claim {
        Claim {
            role: Role::Initiator,
            own_route: Route::from_bits(1),
            peer_route: Route::from_bits(2),
            channel: 3,
            peer: ClientId([4; 32]),
            label: Bytes::from_static(b"label"),
            direct: true,
            ticket: Bytes::new(),
        }
    }

    #[test]
    fn a_ticket_is_good_for_one_end_of_one_channel_and_one_bearer() {
        let key = TicketKey::new(&[1; 32].into());
        let bearer = ClientId([5; 32]);
        let ticket = key.seal(490_000, bearer, &claim());
        assert_eq!(ticket.len(), TICKET);
        let good = Claim {
            ticket: ticket.clone(),
            ..claim()
        };
        assert_eq!(key.open(bearer, &good), Some(490_000));
        // What the Client wants to do from now on is its own business.
        let direct = Claim {
            direct: false,
            ..good.clone()
        };
        assert_eq!(key.open(bearer, &direct), Some(490_000));

        assert_eq!(key.open(ClientId([6; 32]), &good), None);
        assert_eq!(TicketKey::new(&[2; 32].into()).open(bearer, &good), None);
        let change = |change: fn(&mut Claim)| {
            let mut claim = good.clone();
            change(&mut claim);
            claim
        };
        for bad in [
            change(|it| it.role = Role::Acceptor),
            change(|it| it.own_route = it.peer_route),
            change(|it| it.peer_route = it.own_route),
            change(|it| it.channel = 4),
            change(|it| it.peer = ClientId([5; 32])),
            change(|it| it.label = Bytes::from_static(b"labels")),
        ] {
            assert_eq!(key.open(bearer, &bad), None, "{bad:?}");
        }
        for at in 0..ticket.len() {
            let mut forged = ticket.to_vec();
            forged[at] ^= 1;
            let forged = Claim {
                ticket: forged.into(),
                ..claim()
            };
            assert_eq!(key.open(bearer, &forged), None);
            let short = Claim {
                ticket: ticket.slice(..at),
                ..claim()
            };
            assert_eq!(key.open(bearer, &short), None);
        }
    }
}
