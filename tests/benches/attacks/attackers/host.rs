//! A hostile host: a raw endpoint on real sockets.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conec_core::ClientId;
use conec_tests::{
    keys,
    raw::{Dial, Key, Raw, RawConn, message},
    sim::Stranger,
};

use super::traffic::Traffic;
use crate::result::Result;

/// Someone who means harm, once it is where it can do some.
pub(super) trait Attacker {
    /// Does so much that it takes some ten microseconds, or some hundred. An error is the end.
    fn harm(&mut self) -> Result<()>;
}

/// Whom an attacker is to harm, and where it is itself: each in a network of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) coordinator: SocketAddr,
    kind: usize,
    number: usize,
    keys: u16,
    crowded: bool,
}

impl Place {
    pub(super) fn new(coordinator: SocketAddr, kind: usize, number: usize) -> Self {
        Self {
            coordinator,
            kind,
            number,
            keys: 0,
            crowded: false,
        }
    }

    /// At the same address as the first of the kind.
    pub(super) fn crowded(self) -> Self {
        Self {
            crowded: true,
            ..self
        }
    }

    /// The same for somebody with other keys.
    pub(super) fn next(mut self) -> Self {
        self.keys += KEYS_FOR_ONE;
        self
    }

    pub(super) fn ip(&self) -> Ipv4Addr {
        let number = if self.crowded { 0 } else { self.number };
        Ipv4Addr::new(127, 1 + self.kind as u8, 1 + number as u8, 1)
    }

    /// An identity's number. All are different, until 4,000 were taken.
    pub(super) fn key(&self, number: u16) -> u16 {
        let first = (self.kind * 5000 + self.number * 500) as u16;
        1000 + first + (self.keys + number) % 500
    }
}

/// An endpoint that does what it is told.
pub(super) struct Host {
    raw: Raw,
    /// It receives on all, and sends from one.
    sockets: Vec<UdpSocket>,
    out: usize,
    coordinator: SocketAddr,
    buffer: Vec<u8>,
}

impl Host {
    pub(super) fn new(place: &Place) -> Result<Self> {
        let mut host = Self {
            raw: Raw::new(SEED.fetch_add(1, Ordering::Relaxed)),
            sockets: Vec::new(),
            out: 0,
            coordinator: place.coordinator,
            buffer: vec![0; 1 << 16],
        };
        host.move_to(place.ip())?;
        Ok(host)
    }

    /// Sends from another address from now on.
    pub(super) fn move_to(&mut self, ip: Ipv4Addr) -> Result<()> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_nonblocking(true)?;
        self.out = self.sockets.len();
        self.sockets.push(socket);
        Ok(())
    }

    /// Sends from the next of its addresses from now on.
    pub(super) fn flap(&mut self) {
        self.out = (self.out + 1) % self.sockets.len();
    }

    /// Takes what has come, does what is due, and sends what there is to send, but not without end.
    pub(super) fn turn(&mut self) {
        for socket in &self.sockets {
            for _ in 0..MOST {
                let (len, source) = match socket.recv_from(&mut self.buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Others that this host has sent to are gone.
                    Err(_) => continue,
                };
                let payload = BytesMut::from(&self.buffer[..len]);
                self.raw.handle_datagram(Instant::now(), source, payload);
            }
        }
        let now = Instant::now();
        if self.raw.poll_timeout().is_some_and(|at| at <= now) {
            self.raw.handle_timeout(now);
        }
        for _ in 0..MOST {
            let Some((to, bytes)) = self.raw.poll_transmit(now) else {
                break;
            };
            self.send_to(to, &bytes);
        }
    }

    /// Sends any bytes. If the socket takes no more, they are lost.
    pub(super) fn send_to(&self, to: SocketAddr, bytes: &[u8]) {
        if self.sockets[self.out].send_to(bytes, to).is_ok() {
            Traffic::count(bytes.len());
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) {
        self.send_to(self.coordinator, bytes);
    }

    /// The first datagram of a new connection, and what ends it at once.
    pub(super) fn initial_and_close(&self, dial: &Dial) -> [Vec<u8>; 2] {
        let now = Instant::now();
        self.raw.initial_and_close(now, self.coordinator, dial)
    }

    pub(super) fn dial(&self, dial: &Dial) -> RawConn {
        self.raw.connect(Instant::now(), self.coordinator, dial)
    }

    /// Waits until a connection has what is asked for.
    pub(super) fn until<T>(
        &mut self,
        conn: &RawConn,
        what: &str,
        found: impl Fn() -> Option<T>,
    ) -> Result<T> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            self.turn();
            if let Some(found) = found() {
                return Ok(found);
            }
            alive(conn)?;
            thread::sleep(Duration::from_millis(1));
        }
        Err(format!("{what}: it does not come").into())
    }

    pub(super) fn shake_hands(&mut self, dial: &Dial) -> Result<RawConn> {
        let conn = self.dial(dial);
        self.until(&conn, "a handshake", || conn.is_connected().then_some(()))?;
        Ok(conn)
    }

    /// A session like any other's.
    pub(super) fn log_in(&mut self, key: u16) -> Result<RawConn> {
        self.log_in_with(&home(key))
    }

    pub(super) fn log_in_with(&mut self, dial: &Dial) -> Result<RawConn> {
        let conn = self.shake_hands(dial)?;
        conn.control(&message::hello(b"", b""));
        self.until(&conn, "a welcome", || conn.next_of_kind(WELCOME))?;
        Ok(conn)
    }
}

/// How the Client with this key connects.
pub(super) fn home(key: u16) -> Dial {
    Dial::home(Key::Identity(key))
}

pub(super) fn id(key: u16) -> ClientId {
    keys::identity(key).id()
}

/// Nothing more comes of a connection that has ended.
pub(super) fn alive(conn: &RawConn) -> Result<()> {
    match conn.end() {
        None => Ok(()),
        Some(end) => Err(format!("{end:?}").into()),
    }
}

/// Of the next host.
static SEED: AtomicU64 = AtomicU64::new(0);
/// The type of the message that lets packets be forwarded.
pub(super) const START: u64 = 4;
/// The type of the message that lets a Client in.
const WELCOME: u64 = 0;
/// How many keys somebody needs.
const KEYS_FOR_ONE: u16 = 2;
const PATIENCE: Duration = Duration::from_secs(10);
/// How many datagrams are taken or sent at once.
const MOST: usize = 64;
