//! Floods of packets that the Coordinator is to forward between two Clients of the attacker's own.

use std::time::{Duration, Instant};

use conec_core::ClientId;
use conec_tests::raw::{
    RawConn,
    message::{self, Route},
};

use super::host::{Attacker, Host, Place, START, alive, id};
use crate::result::Result;

/// Two Clients, and the packets that each sends.
pub(super) struct Flood {
    one: End,
    other: End,
    /// When sessions are looked after again.
    next: Instant,
}

struct End {
    id: ClientId,
    host: Host,
    home: RawConn,
    packets: Vec<Vec<u8>>,
}

impl Flood {
    pub(super) fn one_route(place: Place) -> Result<Self> {
        let mut flood = Self::new(place)?;
        let [route, _] = flood.open(1)?;
        flood.one.packets = vec![packet(route, SMALL)];
        Ok(flood)
    }

    pub(super) fn two_routes(place: Place) -> Result<Self> {
        let mut flood = Self::new(place)?;
        for number in 1..=2 {
            let [route, _] = flood.open(number)?;
            flood.one.packets.push(packet(route, SMALL));
        }
        Ok(flood)
    }

    pub(super) fn both_ways(place: Place) -> Result<Self> {
        let mut flood = Self::new(place)?;
        let [to_other, to_one] = flood.open(1)?;
        flood.one.packets = vec![packet(to_other, LARGE)];
        flood.other.packets = vec![packet(to_one, LARGE)];
        Ok(flood)
    }

    fn new(place: Place) -> Result<Self> {
        Ok(Self {
            one: End::new(&place, place.key(0))?,
            other: End::new(&place, place.key(1))?,
            next: Instant::now(),
        })
    }

    /// Opens a channel between the two. Gives the routes to the other and to the one.
    fn open(&mut self, request: u64) -> Result<[Route; 2]> {
        let (one, other) = (&mut self.one, &mut self.other);
        let ask = message::open_by_id(request, other.id, b"flood");
        one.home.control(&ask);
        let offer = one
            .host
            .until(&one.home, "an offer", || one.home.next_offer())?;
        one.home.control(&message::accept(offer.own_route));
        one.host.turn();
        let theirs = other
            .host
            .until(&other.home, "an offer", || other.home.next_offer())?;
        other.home.control(&message::accept(theirs.own_route));
        other.host.turn();
        one.host
            .until(&one.home, "a start", || one.home.next_of_kind(START))?;
        Ok([offer.peer_route, offer.own_route])
    }
}

impl Attacker for Flood {
    fn harm(&mut self) -> Result<()> {
        for end in [&self.one, &self.other] {
            for packet in end.packets.iter().cycle().take(BURST) {
                end.host.send(packet);
            }
        }
        if self.next <= Instant::now() {
            self.next = Instant::now() + Duration::from_millis(100);
            for end in [&mut self.one, &mut self.other] {
                end.host.turn();
                alive(&end.home)?;
            }
        }
        Ok(())
    }
}

impl End {
    fn new(place: &Place, key: u16) -> Result<Self> {
        let mut host = Host::new(place)?;
        let home = host.log_in(key)?;
        Ok(Self {
            id: id(key),
            host,
            home,
            packets: Vec::new(),
        })
    }
}

/// A packet with a short header, of which nobody can tell but its receiver that it is none.
fn packet(route: Route, len: usize) -> Vec<u8> {
    let mut packet = vec![0x40; len];
    packet[1..7].copy_from_slice(&route);
    packet
}

/// The smallest that is forwarded.
const SMALL: usize = 9;
const LARGE: usize = 1200;
/// How many are sent without looking at the time.
const BURST: usize = 16;
