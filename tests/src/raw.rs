//! Hostile peers: a raw QUIC endpoint with valid TLS and a free hand, as a [`Stranger`] in a [`World`](crate::sim::World).
//!
//! It can stand in for a Client (towards a Coordinator), for a Coordinator (towards Clients), and for either end of a
//! peer channel. It knows conec's wire from its [specification](message), not from conec's code.
//!
//! ```
//! use conec_tests::{raw::{Dial, End, Key, Raw, message}, sim::World};
//! use std::time::Duration;
//!
//! let mut world = World::new(1);
//! let coordinator = world.add_coordinator();
//! let raw = Raw::new(1);
//! world.add_stranger(raw.clone());
//! let (now, address) = (world.now(), world.address(coordinator));
//! let conn = raw.connect(now, address, &Dial::home(Key::Identity(666)));
//! world.wait_for("connected", Duration::from_secs(1), |_| conn.is_connected().then_some(()));
//! conn.control(b"this is no hello");
//! let end = world.wait_for("thrown out", Duration::from_secs(1), |_| conn.end());
//! assert_eq!(end, End::Application(1));
//! ```

pub mod message;
pub mod probe;
mod tls;

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
    Connection, ConnectionError, ConnectionHandle, ConnectionId, ConnectionIdGenerator,
    DatagramEvent, Dir, Endpoint, EndpointConfig, Event, IdleTimeout, InvalidCid, ReadError,
    ServerConfig, StreamEvent, StreamId, TransportConfig, VarInt, WriteError,
};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

use self::message::{Offer, Route, read_varint};
pub use self::tls::Key;
use crate::{keys, sim::Stranger};

/// How a raw endpoint connects or accepts.
#[derive(Debug, Clone)]
pub struct Dial {
    /// What it says it speaks.
    pub alpn: Vec<u8>,
    /// With what it authenticates.
    pub key: Key,
    /// How often it says something when there is nothing to say.
    pub keep_alive: Option<Duration>,
    /// How much it lets the other side send that it has not read, per stream.
    pub stream_window: u32,
    /// The same, over all streams.
    pub window: u32,
    /// How many streams of each kind it lets the other side open.
    pub streams: u32,
}

impl Dial {
    /// Like a side of a home channel.
    pub fn home(key: Key) -> Self {
        Self {
            alpn: b"conec/1".to_vec(),
            key,
            keep_alive: Some(Duration::from_secs(5)),
            stream_window: 1 << 20,
            window: 1 << 24,
            streams: 100,
        }
    }

    /// Like an end of a peer channel.
    pub fn peer(key: Key) -> Self {
        Self {
            alpn: b"conec-peer/1".to_vec(),
            ..Self::home(key)
        }
    }

    fn transport(&self) -> Arc<TransportConfig> {
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from(self.streams))
            .max_concurrent_uni_streams(VarInt::from(self.streams))
            .stream_receive_window(VarInt::from(self.stream_window))
            .receive_window(VarInt::from(self.window))
            .keep_alive_interval(self.keep_alive)
            .max_idle_timeout(IdleTimeout::try_from(Duration::from_secs(30)).ok());
        Arc::new(transport)
    }
}

/// How a connection has ended, as the raw side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The other side closed it with this application code.
    Application(u64),
    /// The other side's QUIC or TLS closed it with this code (0x100 and an alert for TLS).
    Transport(u64),
    /// This side's QUIC or TLS found fault with the other with this code.
    Found(u64),
    /// Nothing was heard.
    TimedOut,
    /// The other side knows nothing of it.
    Reset,
    /// The other side speaks no version that this one does.
    Version,
    /// This side closed it.
    Local,
}

/// A raw endpoint. Clones are the same one: one goes into the world, the other stays with the story.
#[derive(Clone)]
pub struct Raw(Rc<RefCell<Inner>>);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Raw")
    }
}

/// What a filter may do to a datagram: change it, or drop it by saying no.
pub type Filter = Box<dyn FnMut(&mut BytesMut) -> bool>;

struct Inner {
    rng: StdRng,
    engines: Vec<Engine>,
    conns: BTreeMap<usize, Conn>,
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

struct Conn {
    conn: Box<Connection>,
    engine: usize,
    handle: ConnectionHandle,
    via: Option<SocketAddr>,
    connected: bool,
    end: Option<End>,
    gone: bool,
    reading: bool,
    received: BTreeMap<u64, Received>,
    control_read: usize,
    pending: BTreeMap<u64, Pending>,
    stopped: BTreeMap<u64, u64>,
    opened: VecDeque<u64>,
    datagrams: VecDeque<Bytes>,
}

/// What came on one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// All of its bytes so far.
    pub bytes: Vec<u8>,
    /// It has ended regularly.
    pub finished: bool,
    /// It was reset with this code.
    pub reset: Option<u64>,
}

#[derive(Default)]
struct Pending {
    bytes: VecDeque<Bytes>,
    finish: bool,
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

    /// How many datagrams were taken in.
    pub fn heard(&self) -> u64 {
        self.0.borrow().heard
    }

    /// The first datagram of a new connection, which is then forgotten: an Initial packet from nobody.
    pub fn initial(&self, now: Instant, to: SocketAddr, dial: &Dial) -> Vec<u8> {
        let conn = self.connect(now, to, dial);
        let mut inner = self.0.borrow_mut();
        let mut buf = Vec::new();
        let found = inner.conns.get_mut(&conn.id).expect("just made");
        let transmit = found.conn.poll_transmit(now, 1, &mut buf);
        buf.truncate(transmit.expect("a client speaks first").size);
        inner.conns.remove(&conn.id);
        buf
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
        let tls = tls::client(&dial.alpn, dial.key, routes.is_some());
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

impl Conn {
    /// Whether a stream can be written here: not if it is the other side's, in one direction.
    fn can_write(&self, stream: u64) -> bool {
        let id = stream_id(stream);
        id.dir() == Dir::Bi || id.initiator() == self.conn.side()
    }

    fn can_read(&self, stream: u64) -> bool {
        let id = stream_id(stream);
        id.dir() == Dir::Bi || id.initiator() != self.conn.side()
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::ConnectionLost { reason } => {
                self.end.get_or_insert_with(|| end(reason));
            }
            Event::Stream(StreamEvent::Opened { .. } | StreamEvent::Readable { .. }) => self.read(),
            Event::Stream(StreamEvent::Stopped { id, error_code }) => {
                self.stopped
                    .insert(VarInt::from(id).into_inner(), error_code.into_inner());
                self.pending.remove(&VarInt::from(id).into_inner());
            }
            Event::DatagramReceived => {
                while self.reading
                    && let Some(datagram) = self.conn.datagrams().recv()
                {
                    self.datagrams.push_back(datagram);
                }
            }
            Event::HandshakeDataReady
            | Event::DatagramsUnblocked
            | Event::Stream(
                StreamEvent::Writable { .. }
                | StreamEvent::Finished { .. }
                | StreamEvent::Available { .. },
            ) => {}
        }
    }

    fn read(&mut self) {
        if !self.reading {
            return;
        }
        for dir in [Dir::Bi, Dir::Uni] {
            while let Some(id) = self.conn.streams().accept(dir) {
                let id = VarInt::from(id).into_inner();
                self.received.entry(id).or_default();
                self.opened.push_back(id);
            }
        }
        for (&id, received) in &mut self.received {
            if received.finished || received.reset.is_some() {
                continue;
            }
            let mut stream = self.conn.recv_stream(stream_id(id));
            let Ok(mut chunks) = stream.read(true) else {
                continue;
            };
            loop {
                match chunks.next(usize::MAX) {
                    Ok(Some(chunk)) => received.bytes.extend_from_slice(&chunk.bytes),
                    Ok(None) => {
                        received.finished = true;
                        break;
                    }
                    Err(ReadError::Reset(code)) => {
                        received.reset = Some(code.into_inner());
                        break;
                    }
                    Err(ReadError::Blocked) => break,
                }
            }
            let _ = chunks.finalize();
        }
    }

    fn flush(&mut self) {
        if !self.connected {
            return;
        }
        let mut done = Vec::new();
        for (&id, pending) in &mut self.pending {
            let mut stream = self.conn.send_stream(stream_id(id));
            let over = loop {
                if pending.bytes.is_empty() {
                    if pending.finish {
                        let _ = stream.finish();
                    }
                    break true;
                }
                let chunks = pending.bytes.make_contiguous();
                match stream.write_chunks(chunks) {
                    Ok(_) => {
                        while pending.bytes.front().is_some_and(Bytes::is_empty) {
                            pending.bytes.pop_front();
                        }
                    }
                    Err(WriteError::Blocked) => break false,
                    Err(WriteError::Stopped(_) | WriteError::ClosedStream) => break true,
                }
            };
            if over {
                done.push(id);
            }
        }
        for id in done {
            self.pending.remove(&id);
        }
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
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.0.borrow_mut().poll_transmit(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let mut inner = self.0.borrow_mut();
        let conns = inner.conns.values_mut();
        conns.filter_map(|conn| conn.conn.poll_timeout()).min()
    }
}

/// One connection of a raw endpoint.
#[derive(Debug, Clone)]
pub struct RawConn {
    raw: Raw,
    id: usize,
}

impl RawConn {
    fn with<T>(&self, act: impl FnOnce(&mut Conn) -> T) -> T {
        let mut inner = self.raw.0.borrow_mut();
        act(inner.conns.get_mut(&self.id).expect("never removed"))
    }

    /// Whether TLS is done, as far as this side can tell.
    pub fn is_connected(&self) -> bool {
        self.with(|conn| conn.connected)
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.with(|conn| conn.end)
    }

    /// Opens a bidirectional stream, if allowed.
    pub fn open_bi(&self) -> Option<u64> {
        self.open(Dir::Bi)
    }

    /// Opens a unidirectional stream, if allowed.
    pub fn open_uni(&self) -> Option<u64> {
        self.open(Dir::Uni)
    }

    fn open(&self, dir: Dir) -> Option<u64> {
        self.with(|conn| {
            let id = VarInt::from(conn.conn.streams().open(dir)?).into_inner();
            if dir == Dir::Bi {
                conn.received.entry(id).or_default();
            }
            Some(id)
        })
    }

    /// Writes bytes on a stream as soon as they may go. This and the rest do nothing with a half that does not exist.
    pub fn write(&self, stream: u64, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.with(|conn| {
            if !bytes.is_empty() && conn.can_write(stream) {
                conn.pending
                    .entry(stream)
                    .or_default()
                    .bytes
                    .push_back(bytes);
            }
            conn.flush();
        });
    }

    /// Whether everything written so far has left.
    pub fn is_flushed(&self) -> bool {
        self.with(|conn| {
            conn.flush();
            conn.pending.is_empty()
        })
    }

    /// Ends a stream after what was written.
    pub fn finish(&self, stream: u64) {
        self.with(|conn| {
            if conn.can_write(stream) {
                conn.pending.entry(stream).or_default().finish = true;
                conn.flush();
            }
        });
    }

    /// Resets a stream.
    pub fn reset(&self, stream: u64, code: u64) {
        let code = VarInt::from_u64(code).expect("below 2^62");
        self.with(|conn| {
            if conn.can_write(stream) {
                conn.pending.remove(&stream);
                let _ = conn.conn.send_stream(stream_id(stream)).reset(code);
            }
        });
    }

    /// Wants no more of a stream.
    pub fn stop(&self, stream: u64, code: u64) {
        let code = VarInt::from_u64(code).expect("below 2^62");
        self.with(|conn| {
            if conn.can_read(stream) {
                let _ = conn.conn.recv_stream(stream_id(stream)).stop(code);
            }
        });
    }

    /// Writes a control message on stream 0, which is opened if need be.
    pub fn control(&self, payload: &[u8]) {
        self.control_bytes(message::frame(payload));
    }

    /// Writes any bytes on stream 0, which is opened if need be.
    pub fn control_bytes(&self, bytes: impl Into<Bytes>) {
        let ours =
            self.with(|conn| conn.conn.side().is_client() && !conn.received.contains_key(&CONTROL));
        if ours {
            assert_eq!(self.open_bi(), Some(CONTROL), "the first stream");
        }
        self.write(CONTROL, bytes);
    }

    /// The next control message that came.
    pub fn next_control(&self) -> Option<Vec<u8>> {
        self.with(|conn| {
            let bytes = &conn.received.get(&CONTROL)?.bytes[conn.control_read..];
            let (len, header) = read_varint(bytes)?;
            let end = header + usize::try_from(len).ok()?;
            let payload = bytes.get(header..end)?.to_vec();
            conn.control_read += end;
            Some(payload)
        })
    }

    /// The next offer among the control messages; what comes before it is dropped.
    pub fn next_offer(&self) -> Option<Offer> {
        while let Some(payload) = self.next_control() {
            if let Some(offer) = message::read_offer(&payload) {
                return Some(offer);
            }
        }
        None
    }

    /// Whether a control message of this type is next; what comes before it is dropped.
    pub fn next_of_kind(&self, kind: u64) -> Option<Vec<u8>> {
        while let Some(payload) = self.next_control() {
            if message::read_kind(&payload).is_some_and(|(found, _)| found == kind) {
                return Some(payload);
            }
        }
        None
    }

    /// What came on a stream.
    pub fn received(&self, stream: u64) -> Received {
        self.with(|conn| conn.received.get(&stream).cloned().unwrap_or_default())
    }

    /// Everything that came on all streams, one after the other.
    pub fn everything(&self) -> Vec<u8> {
        self.with(|conn| {
            let streams = conn.received.values();
            streams
                .flat_map(|received| received.bytes.clone())
                .collect()
        })
    }

    /// The next stream that the other side opened.
    pub fn accept(&self) -> Option<u64> {
        self.with(|conn| conn.opened.pop_front())
    }

    /// With what code the other side has stopped a stream.
    pub fn stopped(&self, stream: u64) -> Option<u64> {
        self.with(|conn| conn.stopped.get(&stream).copied())
    }

    /// Whether to read what comes, or to leave it where it is.
    pub fn set_reading(&self, reading: bool) {
        self.with(|conn| {
            conn.reading = reading;
            conn.read();
        });
    }

    /// Sends an unreliable datagram.
    pub fn send_datagram(&self, bytes: impl Into<Bytes>) -> bool {
        self.with(|conn| conn.conn.datagrams().send(bytes.into(), true).is_ok())
    }

    /// The next unreliable datagram that came.
    pub fn recv_datagram(&self) -> Option<Bytes> {
        self.with(|conn| conn.datagrams.pop_front())
    }

    /// Makes the other side acknowledge something.
    pub fn ping(&self) {
        self.with(|conn| conn.conn.ping());
    }

    /// Closes the connection with an application code.
    pub fn close(&self, now: Instant, code: u64) {
        let code = VarInt::from_u64(code).expect("below 2^62");
        self.with(|conn| {
            conn.end.get_or_insert(End::Local);
            conn.conn.close(now, code, Bytes::new());
        });
    }

    /// Forgets the connection without a word.
    pub fn vanish(&self) {
        let mut inner = self.raw.0.borrow_mut();
        let inner = &mut *inner;
        if let Some(conn) = inner.conns.get_mut(&self.id) {
            conn.end.get_or_insert(End::Local);
            conn.via = Some(NOWHERE);
        }
    }

    /// The other side's address.
    pub fn remote(&self) -> SocketAddr {
        self.with(|conn| conn.conn.remote_address())
    }
}

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

fn end(reason: ConnectionError) -> End {
    match reason {
        ConnectionError::VersionMismatch => End::Version,
        ConnectionError::TransportError(error) => End::Found(error.code.into()),
        ConnectionError::ConnectionClosed(close) => End::Transport(close.error_code.into()),
        ConnectionError::ApplicationClosed(close) => {
            End::Application(close.error_code.into_inner())
        }
        ConnectionError::Reset => End::Reset,
        ConnectionError::TimedOut => End::TimedOut,
        ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => End::Local,
    }
}

fn stream_id(index: u64) -> StreamId {
    StreamId::from(VarInt::from_u64(index).expect("below 2^62"))
}

/// The control stream.
pub const CONTROL: u64 = 0;
const VIRTUAL: SocketAddr = SocketAddr::V6(std::net::SocketAddrV6::new(
    std::net::Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 2),
    1,
    0,
    0,
));
const NOWHERE: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 255)),
    9,
);
