//! What the protocol wants of Mallory.

use super::{Input, MALLORY, MAX_CONNS, Scene, Speaks, forge::LABEL, mallory_id};
use crate::raw::{
    Dial,
    message::{self, Offer},
};

impl Scene {
    /// Does what the protocol wants next on a connection.
    pub(super) fn behave(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        let Some(heard) = conn.heard.pop_front() else {
            match conn.speaks {
                Speaks::Client => conn.raw.control(&message::hello(b"mallory", b"")),
                // Only an offer of its own accord is left to make.
                Speaks::Coordinator => {
                    let offer = self.new_offer(None);
                    self.conns[index].raw.control(&message::offer(&offer));
                }
                Speaks::Peer => {
                    if let Some(offer) = self.offers.last() {
                        let bind = message::bind(offer.channel, mallory_id(), offer.peer, LABEL);
                        conn.raw.control(&bind);
                    }
                }
            }
            return;
        };
        let Some((kind, route)) = message::read_kind(&heard) else {
            return;
        };
        match (conn.speaks, kind) {
            (_, 0x20) => {
                conn.raw.control(&message::closing(0, 0));
                conn.raw.control(&message::drained());
            }
            (Speaks::Client, 2) => {
                if let Some(offer) = message::read_offer(&heard) {
                    self.known.note(&offer);
                    conn.raw.control(&message::accept(offer.own_route));
                    self.offers.push(offer);
                    if self.offers.last().is_some_and(|offer| offer.role == 1) {
                        self.join_last();
                    }
                }
            }
            (Speaks::Client, 4) => self.join_last(),
            (Speaks::Client, 10) => {
                if let Some((nonce, _)) = heard.get(1..).and_then(<[u8]>::split_first_chunk) {
                    let nonce = u64::from_be_bytes(*nonce);
                    self.known.numbers.push(nonce);
                    conn.raw.control(&message::address_echo(nonce));
                }
            }
            (Speaks::Coordinator, 0) => {
                let address = self.world.address(self.victim);
                conn.raw.control(&message::welcome(b"victim", address));
            }
            (Speaks::Coordinator, 2) => {
                if let Some((request, _, _)) = message::read_open_by_id(&heard) {
                    let offer = self.new_offer(Some(request));
                    self.conns[index].raw.control(&message::offer(&offer));
                }
            }
            (Speaks::Coordinator, 4) => {
                if let Some(route) = route {
                    conn.raw.control(&message::start(route));
                }
                self.join_last();
            }
            (Speaks::Peer, 0) => conn.raw.control(&message::bound()),
            (Speaks::Client | Speaks::Coordinator | Speaks::Peer, _) => {}
        }
    }

    /// An offer to the victim of a channel with Mallory.
    pub(super) fn new_offer(&mut self, request: Option<u64>) -> Offer {
        let number = self.offers.len() as u8;
        let offer = Offer {
            request,
            role: u8::from(request.is_none()),
            own_route: [0x80, 0, 0, 0, number, 1],
            peer_route: [0x80, 0, 0, 0, number, 2],
            channel: 7,
            peer: mallory_id(),
            peer_name: b"mallory".to_vec(),
            label: LABEL.to_vec(),
        };
        self.known.note(&offer);
        self.offers.push(Offer {
            role: 1 - offer.role,
            own_route: offer.peer_route,
            peer_route: offer.own_route,
            peer: self.world.client(self.victim).id(),
            ..offer.clone()
        });
        offer
    }

    /// Takes part in a channel that was offered, whether or not it is time for it.
    pub(super) fn join(&mut self, input: &mut Input<'_>) {
        let offer = self.known.offer(input);
        self.offers.push(offer);
        self.join_last();
    }

    pub(super) fn join_last(&mut self) {
        let Some(offer) = self.offers.last().cloned() else {
            return;
        };
        // By way of the Coordinator; or from it, if Mallory is that.
        let via = self
            .world
            .address(self.coordinator().unwrap_or(self.victim));
        let dial = Dial::peer(MALLORY);
        if self.conns.len() >= MAX_CONNS {
            return;
        }
        if offer.role == 1 {
            self.raw.await_peer(offer.own_route, via, &dial);
        } else {
            let now = self.world.now();
            let conn = self.raw.connect_peer(now, &offer, via, &dial);
            self.add_conn(conn, Speaks::Peer);
        }
    }
}
