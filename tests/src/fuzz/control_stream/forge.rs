//! Control messages with whatever is in them.

use std::net::SocketAddr;

use conec_core::ClientId;

use super::{Input, Speaks};
use crate::raw::message::{self, Offer, Route};

/// What has been seen of numbers that mean something to somebody.
#[derive(Default)]
pub(super) struct Known {
    pub(super) routes: Vec<Route>,
    /// Of requests, channels and addresses.
    pub(super) numbers: Vec<u64>,
    pub(super) ids: Vec<ClientId>,
}

impl Known {
    /// Notes what an offer tells.
    pub(super) fn note(&mut self, offer: &Offer) {
        self.routes.extend([offer.own_route, offer.peer_route]);
        self.numbers.extend(offer.request);
        self.numbers.push(offer.channel);
        self.ids.push(offer.peer);
    }

    /// A message that this sender may send.
    pub(super) fn message(&self, input: &mut Input<'_>, sender: &Speaks) -> Vec<u8> {
        let kind = input.byte() % 9;
        if kind == 0 {
            let mut count = || match input.byte() {
                255 => (1 << 62) - 1,
                count => u64::from(count) % 8,
            };
            return message::closing(count(), count());
        }
        if kind == 1 {
            return message::drained();
        }
        match sender {
            Speaks::Client => match kind {
                2 => message::hello(self.name(input), input.block()),
                3 => message::open_by_name(self.number(input), self.name(input), label(input)),
                4 => message::open_by_id(self.number(input), self.id(input), label(input)),
                5 => message::accept(self.route(input)),
                6 => message::close_channel(self.route(input), code(input)),
                _ => message::address_echo(self.number(input)),
            },
            Speaks::Coordinator => match kind {
                2 => message::welcome(self.name(input), address(input)),
                3 => message::start(self.route(input)),
                4 => message::channel_closed(self.route(input), code(input)),
                5 => message::open_failed(self.number(input), code(input)),
                6 => message::observed_address(self.number(input), address(input)),
                7 => message::neighbour(self.route(input), input.byte() % 2 == 1),
                _ => message::offer(&self.offer(input)),
            },
            Speaks::Peer => match kind {
                2..5 => message::bind(
                    self.number(input),
                    self.id(input),
                    self.id(input),
                    label(input),
                ),
                _ => message::bound(),
            },
        }
    }

    pub(super) fn offer(&self, input: &mut Input<'_>) -> Offer {
        Offer {
            request: match input.byte() % 2 {
                0 => None,
                _ => Some(self.number(input)),
            },
            role: input.byte() % 2,
            own_route: self.route(input),
            peer_route: self.route(input),
            channel: self.number(input),
            peer: self.id(input),
            peer_name: self.name(input).to_vec(),
            label: label(input).to_vec(),
        }
    }

    fn route(&self, input: &mut Input<'_>) -> Route {
        let byte = input.byte();
        let made = [0x80 | byte, byte, 0, 0, 0, 0];
        pick(&self.routes, byte).unwrap_or(made)
    }

    fn number(&self, input: &mut Input<'_>) -> u64 {
        let byte = input.byte();
        pick(&self.numbers, byte).unwrap_or_else(|| u64::from(byte) % 4)
    }

    fn id(&self, input: &mut Input<'_>) -> ClientId {
        let byte = input.byte();
        pick(&self.ids, byte).unwrap_or_else(|| ClientId::from_bytes([byte; 32]))
    }

    fn name<'a>(&self, input: &mut Input<'a>) -> &'a [u8] {
        match input.byte() {
            0..64 => b"",
            64..128 => b"mallory",
            128..192 => b"victim",
            192..224 => b"ann",
            _ => input.block(),
        }
    }
}

/// One of the latest, mostly.
fn pick<T: Copy>(known: &[T], byte: u8) -> Option<T> {
    match byte {
        0..240 => {
            let back = 1 + usize::from(byte) % known.len().max(1);
            known.get(known.len().checked_sub(back)?).copied()
        }
        _ => None,
    }
}

fn label<'a>(input: &mut Input<'a>) -> &'a [u8] {
    match input.byte() {
        0..192 => LABEL,
        _ => input.block(),
    }
}

fn code(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        code @ 0..32 => code.into(),
        code @ 32..64 => (1 << 32) + u64::from(code),
        _ => (1 << 62) - 1,
    }
}

fn address(input: &mut Input<'_>) -> SocketAddr {
    ([192, 0, 2, input.byte()], 7).into()
}

/// What honest channels are for.
pub(super) const LABEL: &[u8] = b"test";
