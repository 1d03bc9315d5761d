//! Those who come and go, or come in great number.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Instant,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    host::{Attacker, Host, Place, home},
    traffic::Traffic,
};
use crate::result::Result;

/// A newcomer that is gone as soon as it has come: every other time with its first packet, else after its handshake.
pub(super) struct Passing {
    place: Place,
    host: Host,
    times: u64,
}

impl Passing {
    pub(super) fn new(place: Place) -> Result<Self> {
        Ok(Self {
            host: Host::new(&place)?,
            place,
            times: 0,
        })
    }
}

impl Attacker for Passing {
    fn harm(&mut self) -> Result<()> {
        let dial = home(self.place.key(0));
        self.times += 1;
        // It remembers all its connections.
        if self.times.is_multiple_of(100) {
            self.host = Host::new(&self.place)?;
        }
        if self.times.is_multiple_of(2) {
            for packet in self.host.initial_and_close(&dial) {
                self.host.send(&packet);
            }
            self.host.turn();
        } else if let Ok(conn) = self.host.shake_hands(&dial) {
            conn.close(Instant::now(), 0);
            self.host.turn();
        }
        Ok(())
    }
}

/// Makes up newcomers, anywhere, as everyone can who knows the keys of first packets.
pub(super) struct Forger {
    coordinator: SocketAddr,
    made_up: Vec<[Vec<u8>; 2]>,
    next: usize,
    rng: StdRng,
}

impl Forger {
    pub(super) fn new(place: Place) -> Result<Self> {
        let host = Host::new(&place)?;
        let make_up = || host.initial_and_close(&home(place.key(0)));
        Ok(Self {
            coordinator: place.coordinator,
            made_up: (0..MADE_UP).map(|_| make_up()).collect(),
            next: 0,
            rng: StdRng::seed_from_u64(place.key(0).into()),
        })
    }
}

impl Attacker for Forger {
    fn harm(&mut self) -> Result<()> {
        let [_, b, c, d]: [u8; 4] = self.rng.random();
        // Below are those that exist.
        let from = Ipv4Addr::new(127, b | 0x80, c, d | 1);
        let socket = UdpSocket::bind((from, 0))?;
        for packet in &self.made_up[self.next] {
            if socket.send_to(packet, self.coordinator).is_ok() {
                Traffic::count(packet.len());
            }
        }
        self.next = (self.next + 1) % self.made_up.len();
        Ok(())
    }
}

/// One host with as many sessions as it can get, under a key for each.
pub(super) struct Crowd {
    host: Host,
    place: Place,
    came: u16,
}

impl Crowd {
    pub(super) fn new(place: Place) -> Result<Self> {
        Ok(Self {
            host: Host::new(&place.crowded())?,
            place,
            came: 0,
        })
    }
}

impl Attacker for Crowd {
    fn harm(&mut self) -> Result<()> {
        if self.came == KEYS {
            return Err("no more keys".into());
        }
        self.came += 1;
        // Those that are not let in do not count, and those that are stay.
        let _ = self.host.log_in(self.place.key(self.came));
        Ok(())
    }
}

/// How many keys one has, which is more than its part of the Coordinator's places.
const KEYS: u16 = 500;
/// How many newcomers are made up in advance.
const MADE_UP: usize = 500;
