//! The raw endpoint itself.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    Connection, ConnectionHandle, ConnectionId, ConnectionIdGenerator, DatagramEvent, Endpoint,
    EndpointConfig, InvalidCid, ServerConfig, VarInt,
};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

use super::{
    Dial, RawConn,
    conn::Conn,
    message::{Offer, Route},
    packet::route_of,
    tls,
};
use crate::{keys, sim::Stranger};

/// A raw endpoint. Clones are the same one: one goes into the world, the other stays with the story.
#[derive(Clone)]
pub struct Raw(pub(super) Rc<RefCell<Inner>>);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Raw")
    }
}

/// What a filter may do to a datagram: change it, or drop it by saying no.
pub type Filter = Box<dyn FnMut(&mut BytesMut) -> bool>;

struct Flood {
    next: Instant,
    every: Duration,
    to: SocketAddr,
    datagrams: Vec<Vec<u8>>,
}

pub(super) struct Inner {
    rng: StdRng,
    engines: Vec<Engine>,
    pub(super) conns: BTreeMap<usize, Conn>,
    by_handle: BTreeMap<(usize, usize), usize>,
    next: usize,
    accepted: VecDeque<usize>,
    /// Whether newcomers are refused.
    refusing: bool,
    /// Where packets for a route go, if this is a Coordinator.
    forwards: BTreeMap<Route, SocketAddr>,
    incoming: Option<Filter>,
    outgoing: Option<Filter>,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    flood: Option<Flood>,
    /// Datagrams that were taken in.
    heard: u64,
    buf: Vec<u8>,
}

struct Engine {
    endpoint: Endpoint,
    route: Option<Route>,
    accepts: bool,
    /// Where packets go, whatever QUIC thinks.
    via: Option<SocketAddr>,
}

impl Engine {
    fn is_home_client(&self) -> bool {
        self.route.is_none() && !self.accepts
    }
}

impl Raw {
    /// An endpoint that does nothing yet.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            rng: StdRng::seed_from_u64(seed ^ 0x7261_7700),
            engines: Vec::new(),
            conns: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            next: 0,
            accepted: VecDeque::new(),
            refusing: false,
            forwards: BTreeMap::new(),
            incoming: None,
            outgoing: None,
            datagrams: VecDeque::new(),
            flood: None,
            heard: 0,
            buf: Vec::new(),
        })))
    }

    /// Connects to a Coordinator.
    pub fn connect(&self, now: Instant, to: SocketAddr, dial: &Dial) -> RawConn {
        let id = self.0.borrow_mut().connect(now, to, dial, None, None);
        self.conn(id)
    }

    /// Connects to the other end of a peer channel, by way of the Coordinator at `via`.
    pub fn connect_peer(
        &self,
        now: Instant,
        offer: &Offer,
        via: SocketAddr,
        dial: &Dial,
    ) -> RawConn {
        let routes = Some((offer.own_route, offer.peer_route));
        let mut inner = self.0.borrow_mut();
        let id = inner.connect(now, VIRTUAL, dial, routes, Some(via));
        self.conn(id)
    }

    /// Waits for the other end of a peer channel, by way of the Coordinator at `via`.
    pub fn await_peer(&self, own_route: Route, via: SocketAddr, dial: &Dial) {
        let mut inner = self.0.borrow_mut();
        inner.add_engine(Some(own_route), dial, Some(via), true);
    }

    /// Is a Coordinator from now on.
    pub fn listen(&self, dial: &Dial) {
        self.0.borrow_mut().add_engine(None, dial, None, true);
    }

    /// A connection that was accepted.
    pub fn accept(&self) -> Option<RawConn> {
        let id = self.0.borrow_mut().accepted.pop_front()?;
        Some(self.conn(id))
    }

    /// Whether newcomers are refused by QUIC.
    pub fn set_refusing(&self, refusing: bool) {
        self.0.borrow_mut().refusing = refusing;
    }

    /// Passes packets for a route on to this address from now on, as a Coordinator does.
    pub fn forward(&self, route: Route, to: SocketAddr) {
        self.0.borrow_mut().forwards.insert(route, to);
    }

    /// Changes or drops what comes in.
    pub fn filter_incoming(&self, filter: impl FnMut(&mut BytesMut) -> bool + 'static) {
        self.0.borrow_mut().incoming = Some(Box::new(filter));
    }

    /// Changes or drops what goes out.
    pub fn filter_outgoing(&self, filter: impl FnMut(&mut BytesMut) -> bool + 'static) {
        self.0.borrow_mut().outgoing = Some(Box::new(filter));
    }

    /// Neither changes nor drops anything any more.
    pub fn stop_filtering(&self) {
        let mut inner = self.0.borrow_mut();
        inner.incoming = None;
        inner.outgoing = None;
    }

    /// Sends any bytes to anyone.
    pub fn send_to(&self, to: SocketAddr, bytes: &[u8]) {
        let mut inner = self.0.borrow_mut();
        inner.datagrams.push_back((to, bytes.to_vec()));
    }

    /// Sends these datagrams every so often from now on. What was sent so before is sent no more.
    pub fn flood(&self, now: Instant, every: Duration, to: SocketAddr, datagrams: Vec<Vec<u8>>) {
        self.0.borrow_mut().flood = Some(Flood {
            next: now,
            every,
            to,
            datagrams,
        });
    }

    /// How many datagrams were taken in.
    pub fn heard(&self) -> u64 {
        self.0.borrow().heard
    }

    /// The first datagram of a new connection, which is then forgotten: an Initial packet from nobody.
    pub fn initial(&self, now: Instant, to: SocketAddr, dial: &Dial) -> Vec<u8> {
        let [initial, _] = self.initial_and_close(now, to, dial);
        initial
    }

    /// The first datagram of a new connection, and one that ends it at once. Whoever knows the first connection ID can make
    /// both (RFC 9001, 5.2).
    pub fn initial_and_close(&self, now: Instant, to: SocketAddr, dial: &Dial) -> [Vec<u8>; 2] {
        let conn = self.connect(now, to, dial);
        let mut inner = self.0.borrow_mut();
        let mut found = inner.conns.remove(&conn.id).expect("just made");
        let mut next = || {
            let mut buf = Vec::new();
            let transmit = found.conn.poll_transmit(now, 1, &mut buf);
            buf.truncate(transmit.expect("a client speaks first, and last").size);
            found.conn.close(now, VarInt::from_u32(0), Bytes::new());
            buf
        };
        [next(), next()]
    }

    fn conn(&self, id: usize) -> RawConn {
        RawConn {
            raw: self.clone(),
            id,
        }
    }
}

impl Inner {
    fn connect(
        &mut self,
        now: Instant,
        to: SocketAddr,
        dial: &Dial,
        routes: Option<(Route, Route)>,
        via: Option<SocketAddr>,
    ) -> usize {
        let engine = self.add_engine(routes.map(|(own, _)| own), dial, via, false);
        let mut first: [u8; 8] = self.rng.random();
        match routes {
            Some((_, peer)) => first[..6].copy_from_slice(&peer),
            None => first[0] &= 0x7f,
        }
        let tls = tls::client(dial, routes.is_some());
        let mut config = quinn_proto::ClientConfig::new(tls);
        config
            .transport_config(dial.transport())
            .initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&first)));
        let (handle, conn) = self.engines[engine]
            .endpoint
            .connect(now, config, to, keys::HOST)
            .expect("a valid configuration");
        self.add_conn(engine, handle, conn, via)
    }

    fn add_engine(
        &mut self,
        route: Option<Route>,
        dial: &Dial,
        via: Option<SocketAddr>,
        accepts: bool,
    ) -> usize {
        // One engine has room for any number of home channels.
        let shared = |engine: &Engine| route.is_none() && !accepts && engine.is_home_client();
        if let Some(index) = self.engines.iter().position(shared) {
            return index;
        }
        let seed: [u8; 32] = self.rng.random();
        let mut config = EndpointConfig::default();
        config
            .rng_seed(Some(self.rng.random()))
            .supported_versions(vec![1])
            .grease_quic_bit(false)
            .cid_generator(move || {
                Box::new(Cids {
                    route,
                    rng: StdRng::from_seed(seed),
                })
            });
        let server = accepts.then(|| {
            let mut server = ServerConfig::with_crypto(tls::server(&dial.alpn, dial.key));
            server.transport_config(dial.transport());
            Arc::new(server)
        });
        self.engines.push(Engine {
            endpoint: Endpoint::new(Arc::new(config), server, true, None),
            route,
            accepts,
            via,
        });
        self.engines.len() - 1
    }

    fn add_conn(
        &mut self,
        engine: usize,
        handle: ConnectionHandle,
        conn: Connection,
        via: Option<SocketAddr>,
    ) -> usize {
        let id = self.next;
        self.next += 1;
        self.by_handle.insert((engine, handle.0), id);
        let conn = Conn {
            conn: Box::new(conn),
            engine,
            handle,
            via,
            connected: false,
            end: None,
            gone: false,
            reading: true,
            received: BTreeMap::new(),
            control_read: 0,
            pending: BTreeMap::new(),
            stopped: BTreeMap::new(),
            opened: VecDeque::new(),
            datagrams: VecDeque::new(),
        };
        self.conns.insert(id, conn);
        id
    }

    fn handle(&mut self, now: Instant, source: SocketAddr, mut payload: BytesMut) {
        self.heard += 1;
        if let Some(filter) = &mut self.incoming
            && !filter(&mut payload)
        {
            return;
        }
        let route = route_of(&payload);
        if let Some(&to) = route.and_then(|route| self.forwards.get(&route)) {
            self.datagrams.push_back((to, payload.to_vec()));
            return;
        }
        let mut tried = self
            .engines
            .iter()
            .enumerate()
            .filter(|(_, engine)| engine.route == route || engine.route.is_none())
            .map(|(index, engine)| (index, engine.route.is_some()))
            .collect::<Vec<_>>();
        // A raw endpoint may have several engines of a kind: all but the right one ignore what is not theirs.
        tried.sort_by_key(|&(_, routed)| !routed);
        for (index, routed) in tried {
            let remote = if routed { VIRTUAL } else { source };
            let engine = &mut self.engines[index];
            self.buf.clear();
            let event =
                engine
                    .endpoint
                    .handle(now, remote, None, None, payload.clone(), &mut self.buf);
            match event {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(conn) = self
                        .by_handle
                        .get(&(index, handle.0))
                        .and_then(|id| self.conns.get_mut(id))
                    {
                        conn.conn.handle_event(event);
                    }
                    return;
                }
                Some(DatagramEvent::NewConnection(incoming)) if self.refusing => {
                    let refusal = engine.endpoint.refuse(incoming, &mut self.buf);
                    let bytes = self.buf[..refusal.size].to_vec();
                    self.datagrams.push_back((refusal.destination, bytes));
                    return;
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    let via = engine.via;
                    match engine.endpoint.accept(incoming, now, &mut self.buf, None) {
                        Ok((handle, conn)) => {
                            let id = self.add_conn(index, handle, conn, via);
                            self.accepted.push_back(id);
                        }
                        Err(error) => {
                            if let Some(answer) = error.response {
                                let to = via.unwrap_or(answer.destination);
                                let bytes = self.buf[..answer.size].to_vec();
                                self.datagrams.push_back((to, bytes));
                            }
                        }
                    }
                    return;
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
    }

    fn look_after(&mut self) {
        for conn in self.conns.values_mut() {
            let engine = &mut self.engines[conn.engine].endpoint;
            while let Some(event) = conn.conn.poll_endpoint_events() {
                if conn.gone {
                    break;
                }
                conn.gone = event.is_drained();
                if let Some(event) = engine.handle_event(conn.handle, event) {
                    conn.conn.handle_event(event);
                }
            }
            while let Some(event) = conn.conn.poll() {
                conn.handle_event(event);
            }
            conn.flush();
        }
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        loop {
            let (to, bytes) = self.next_transmit(now)?;
            let mut bytes = BytesMut::from(&bytes[..]);
            if self
                .outgoing
                .as_mut()
                .is_none_or(|filter| filter(&mut bytes))
            {
                return Some((to, bytes.to_vec()));
            }
        }
    }

    fn next_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        if let Some(datagram) = self.datagrams.pop_front() {
            return Some(datagram);
        }
        self.look_after();
        for conn in self.conns.values_mut() {
            self.buf.clear();
            if let Some(transmit) = conn.conn.poll_transmit(now, 1, &mut self.buf) {
                let to = conn.via.unwrap_or(transmit.destination);
                return Some((to, self.buf[..transmit.size].to_vec()));
            }
        }
        self.look_after();
        None
    }
}

impl Stranger for Raw {
    fn handle_datagram(&mut self, now: Instant, source: SocketAddr, payload: BytesMut) {
        let mut inner = self.0.borrow_mut();
        inner.handle(now, source, payload);
        inner.look_after();
    }

    fn handle_timeout(&mut self, now: Instant) {
        let mut inner = self.0.borrow_mut();
        for conn in inner.conns.values_mut() {
            if conn.conn.poll_timeout().is_some_and(|at| at <= now) {
                conn.conn.handle_timeout(now);
            }
        }
        inner.look_after();
        let Inner {
            flood, datagrams, ..
        } = &mut *inner;
        if let Some(flood) = flood
            && flood.next <= now
        {
            datagrams.extend(flood.datagrams.iter().map(|it| (flood.to, it.clone())));
            flood.next = now + flood.every;
        }
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.0.borrow_mut().poll_transmit(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let mut inner = self.0.borrow_mut();
        let flood = inner.flood.as_ref().map(|flood| flood.next);
        let conns = inner.conns.values_mut();
        let conns = conns.filter_map(|conn| conn.conn.poll_timeout());
        conns.chain(flood).min()
    }
}

struct Cids {
    route: Option<Route>,
    rng: StdRng,
}

impl ConnectionIdGenerator for Cids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut cid = [0; 8];
        self.rng.fill_bytes(&mut cid);
        match self.route {
            Some(route) => cid[..6].copy_from_slice(&route),
            None => cid[0] &= 0x7f,
        }
        ConnectionId::new(&cid)
    }

    fn validate(&self, _: &ConnectionId) -> Result<(), InvalidCid> {
        Ok(())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

const VIRTUAL: SocketAddr = SocketAddr::V6(std::net::SocketAddrV6::new(
    std::net::Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 2),
    1,
    0,
    0,
));
