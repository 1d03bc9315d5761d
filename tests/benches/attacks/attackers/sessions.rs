//! What can be done within a session.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use conec_core::ClientId;
use conec_tests::raw::{
    RawConn,
    message::{self, Route},
    probe::{SECOND_PORT, Sealer},
};

use super::host::{Attacker, Host, Place, alive, home, id};
use crate::{
    bystanders::{RECEIVER, UNREAD},
    result::Result,
};

/// A Client that reads nothing and is never at the same address for long, and one that asks it for channels.
pub(super) struct Deaf {
    deaf: (Host, RawConn),
    asker: (Host, RawConn),
    whom: ClientId,
    asks: Asks,
}

impl Deaf {
    pub(super) fn new(place: Place) -> Result<Self> {
        let mut host = Host::new(&place)?;
        let mut dial = home(place.key(0));
        dial.stream_window = 1024;
        dial.window = 4096;
        let deaf = host.log_in_with(&dial)?;
        deaf.set_reading(false);
        host.move_to(place.ip())?;
        let mut friend = Host::new(&place)?;
        let asker = friend.log_in(place.key(1))?;
        Ok(Self {
            deaf: (host, deaf),
            asker: (friend, asker),
            whom: id(place.key(0)),
            asks: Asks::new(),
        })
    }
}

impl Attacker for Deaf {
    fn harm(&mut self) -> Result<()> {
        let (host, deaf) = &mut self.deaf;
        host.flap();
        deaf.ping();
        host.turn();
        alive(deaf)?;
        let (host, asker) = &mut self.asker;
        if let Some(request) = self.asks.next() {
            asker.control(&message::open_by_id(request, self.whom, &[7; 255]));
        }
        if let Some(offer) = asker.next_offer() {
            asker.control(&message::close_channel(offer.own_route, 0));
        }
        host.turn();
        alive(asker)
    }
}

/// Someone who wants ever more channels with the bystander.
pub(super) struct Suitor {
    host: Host,
    home: RawConn,
    asks: Asks,
    offered: VecDeque<Route>,
}

impl Suitor {
    pub(super) fn new(place: Place) -> Result<Self> {
        let mut host = Host::new(&place)?;
        let home = host.log_in(place.key(0))?;
        Ok(Self {
            host,
            home,
            asks: Asks::new(),
            offered: VecDeque::new(),
        })
    }
}

impl Attacker for Suitor {
    fn harm(&mut self) -> Result<()> {
        if let Some(request) = self.asks.next() {
            let ask = message::open_by_name(request, RECEIVER.as_bytes(), &[7; 255]);
            self.home.control(&ask);
        }
        if let Some(offer) = self.home.next_offer() {
            self.home.control(&message::accept(offer.own_route));
            self.offered.push_back(offer.own_route);
        }
        // Some make room for others.
        if self.offered.len() > SUITED
            && let Some(route) = self.offered.pop_front()
        {
            self.home.control(&message::close_channel(route, 0));
        }
        self.host.turn();
        alive(&self.home)
    }
}

/// Requests, at most as many as are allowed.
struct Asks {
    number: u64,
    next: Instant,
}

impl Asks {
    fn new() -> Self {
        Self {
            number: 0,
            next: Instant::now(),
        }
    }

    fn next(&mut self) -> Option<u64> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + Duration::from_secs(1) / ASKS_PER_SECOND;
        self.number += 1;
        Some(self.number)
    }
}

/// Someone who says whatever can be said, more than may be said.
pub(super) struct Chatter {
    host: Host,
    home: RawConn,
    said: u64,
}

impl Chatter {
    pub(super) fn new(place: Place) -> Result<Self> {
        let mut host = Host::new(&place)?;
        let home = host.log_in(place.key(0))?;
        Ok(Self {
            host,
            home,
            said: 0,
        })
    }
}

impl Attacker for Chatter {
    fn harm(&mut self) -> Result<()> {
        for _ in 0..8 {
            self.said += 1;
            let nobody = [self.said as u8; 32];
            self.home.control(&match self.said % 4 {
                0 => message::open_by_name(self.said, b"nobody", b""),
                1 => message::open_by_id(self.said, ClientId::from_bytes(nobody), b""),
                2 => message::close_channel([0x80; 6], 0),
                // An odd type that nobody knows.
                _ => vec![0x3f; 1000],
            });
        }
        self.host.turn();
        alive(&self.home)
    }
}

/// Someone who fills all streams of several sessions.
pub(super) struct Filler {
    host: Host,
    place: Place,
    homes: Vec<RawConn>,
    /// What each stream begins with.
    begin: Vec<u8>,
    /// How much of a message follows.
    len: usize,
    /// Streams with something on the way, or full.
    streams: VecDeque<(usize, u64)>,
}

impl Filler {
    /// Whole messages that nobody takes.
    pub(super) fn unread(place: Place) -> Result<Self> {
        let mut begin = message::preamble(UNREAD.as_bytes());
        begin.extend(message::varint(MESSAGE as u64));
        Self::new(place, begin, MESSAGE)
    }

    /// Messages of which the last byte is missing.
    pub(super) fn partial(place: Place) -> Result<Self> {
        let mut begin = message::preamble(b"read");
        begin.extend(message::varint(MESSAGE as u64));
        Self::new(place, begin, MESSAGE - 1)
    }

    fn new(place: Place, begin: Vec<u8>, len: usize) -> Result<Self> {
        let mut filler = Self {
            host: Host::new(&place)?,
            place,
            homes: Vec::new(),
            begin,
            len,
            streams: VecDeque::new(),
        };
        filler.come_again()?;
        Ok(filler)
    }

    fn come_again(&mut self) -> Result<()> {
        let key = self.place.key(self.homes.len() as u16);
        self.homes.push(self.host.log_in(key)?);
        Ok(())
    }
}

impl Attacker for Filler {
    fn harm(&mut self) -> Result<()> {
        self.host.turn();
        self.homes.iter().try_for_each(alive)?;
        for (number, home) in self.homes.iter().enumerate() {
            if home.is_flushed()
                && let Some(stream) = home.open_bi().or_else(|| home.open_uni())
            {
                home.write(stream, self.begin.clone());
                home.write(stream, vec![0x5a; self.len]);
                self.streams.push_back((number, stream));
                return Ok(());
            }
        }
        if self.homes.len() < SESSIONS {
            return self.come_again();
        }
        // All is full: a stream makes room for another.
        if let Some((number, stream)) = self.streams.pop_front() {
            self.homes[number].reset(stream, 0);
        }
        thread::sleep(Duration::from_millis(10));
        Ok(())
    }
}

/// Someone whose every packet is to be looked at by its key.
pub(super) struct Prober {
    host: Host,
    home: RawConn,
    second: SocketAddr,
    route: Route,
    sealer: Sealer,
    counter: u64,
}

impl Prober {
    pub(super) fn new(place: Place) -> Result<Self> {
        let mut host = Host::new(&place)?;
        let home = host.log_in(place.key(0))?;
        let told = host.until(&home, "a second port", || home.next_of_kind(SECOND))?;
        let (route, port) = told
            .get(1..)
            .and_then(|rest| rest.split_first_chunk())
            .ok_or("no route")?;
        let port = port.first_chunk().ok_or("no port")?;
        Ok(Self {
            second: SocketAddr::new(place.coordinator.ip(), u16::from_be_bytes(*port)),
            route: *route,
            sealer: home.sealer(SECOND_PORT),
            host,
            home,
            counter: 0,
        })
    }
}

impl Attacker for Prober {
    fn harm(&mut self) -> Result<()> {
        for _ in 0..8 {
            self.counter += 1;
            let mut probe = self.sealer.seal(self.route, self.counter, 0);
            // Every other one is forged.
            if self.counter.is_multiple_of(2) {
                probe[20] ^= 1;
            }
            self.host.send_to(self.second, &probe);
        }
        self.host.turn();
        alive(&self.home)
    }
}

/// The type of the message that tells of the second port.
const SECOND: u64 = 13;
const ASKS_PER_SECOND: u32 = 40;
/// How many channels one has at once of those that it asked for.
const SUITED: usize = 100;
const MESSAGE: usize = 1 << 20;
/// How many sessions one fills.
const SESSIONS: usize = 8;
