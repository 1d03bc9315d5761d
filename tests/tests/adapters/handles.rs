//! Handles for a single thread, which turn its loop while they wait. Made of nothing but the core's borrowed handles and
//! its events, over a loop of mio's or of one's own.

#![expect(
    clippy::needless_pass_by_ref_mut,
    reason = "the script is the same for all kinds of handles"
)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    net::{SocketAddr, UdpSocket},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ChannelId, ClientConfig, ClientEvent, ClientId, CloseReason, Direction, Endpoint,
    EndpointStats, Identity, OpenChannelError, OpenStreamError, Path, PathPolicy, PathStats,
    PeerInfo, RecvEnd, RecvError, SendEnd, SendError, StreamId,
};
use conec_driver::Socket;
use conec_mio::Driver;
use mio::{Events, Poll, Token};

use crate::{coordinators, scripts::Pause};

/// A loop with one Client in it.
pub(crate) trait Turn {
    fn client(&mut self) -> &mut conec_core::Client;
    /// Waits for something to do, not for long, and does it.
    fn turn(&mut self);
}

pub(crate) struct Mio {
    driver: conec_mio::Client,
    poll: Poll,
}

impl Mio {
    pub(crate) fn new(address: SocketAddr, config: ClientConfig) -> Self {
        Self::over(Socket::any().unwrap(), &[address], config)
    }

    pub(crate) fn over(socket: Socket, addresses: &[SocketAddr], config: ClientConfig) -> Self {
        let poll = Poll::new().unwrap();
        let seed = Identity::generate_seed().unwrap();
        let mut client = conec_core::Client::new(config, seed).unwrap();
        let now = Instant::now();
        client.connect(now, "localhost", addresses).unwrap();
        let driver = Driver::new(client, socket, poll.registry(), Token(3));
        Self {
            driver: driver.unwrap(),
            poll,
        }
    }
}

impl Turn for Mio {
    fn client(&mut self) -> &mut conec_core::Client {
        self.driver.endpoint_mut()
    }

    fn turn(&mut self) {
        turn(&mut self.driver, &mut self.poll);
    }
}

/// What a loop does that has nothing else to do.
pub(crate) fn turn<E: Endpoint>(driver: &mut Driver<E>, poll: &mut Poll) {
    let mut events = Events::with_capacity(16);
    let soon = Instant::now() + Duration::from_millis(10);
    let due = driver.deadline().map_or(soon, |at| at.min(soon));
    let wait = due.saturating_duration_since(Instant::now());
    poll.poll(&mut events, Some(wait)).unwrap();
    for event in &events {
        driver.ready(event);
    }
    driver.turn(Instant::now());
}

pub(crate) struct Custom {
    client: conec_core::Client,
    socket: UdpSocket,
}

impl Custom {
    pub(crate) fn new(address: SocketAddr, config: ClientConfig) -> Self {
        let seed = Identity::generate_seed().unwrap();
        let mut client = conec_core::Client::new(config, seed).unwrap();
        client
            .connect(Instant::now(), "localhost", &[address])
            .unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { client, socket }
    }
}

impl Turn for Custom {
    fn client(&mut self) -> &mut conec_core::Client {
        &mut self.client
    }

    fn turn(&mut self) {
        coordinators::turn(&mut self.client, &self.socket);
    }
}

/// A loop, and what was heard in it.
struct Loop {
    turn: Box<dyn Turn>,
    offers: VecDeque<ChannelId>,
    opened: BTreeMap<ChannelId, Option<PeerInfo>>,
    closed: BTreeMap<ChannelId, CloseReason>,
    streams: VecDeque<(StreamId, Bytes)>,
    sent: BTreeMap<StreamId, SendEnd>,
    received: BTreeMap<StreamId, RecvEnd>,
}

impl Loop {
    fn turn(&mut self) {
        self.turn.turn();
        while let Some(event) = self.turn.client().poll_event() {
            match event {
                ClientEvent::Offered { channel, .. } => self.offers.push_back(channel),
                ClientEvent::Channel { channel, event } => self.hear(channel, event),
                _ => {}
            }
        }
    }

    fn hear(&mut self, id: ChannelId, event: ChannelEvent) {
        match event {
            ChannelEvent::Opened => drop(self.opened.insert(id, self.turn.client().peer(id))),
            ChannelEvent::Closed { reason } => drop(self.closed.insert(id, reason)),
            ChannelEvent::StreamOpened { stream, label } => self.streams.push_back((stream, label)),
            ChannelEvent::SendEnded { stream, end } => drop(self.sent.insert(stream, end)),
            ChannelEvent::RecvEnded { stream, end } => drop(self.received.insert(stream, end)),
            // All others say that something is worth another try.
            _ => {}
        }
    }

    fn channel(&mut self, id: ChannelId) -> Option<conec_core::Channel<'_>> {
        self.turn.client().channel(id)
    }
}

#[derive(Clone)]
pub(crate) struct Client(Rc<RefCell<Loop>>);

impl Client {
    pub(crate) fn connect(turn: impl Turn + 'static) -> Self {
        Self::try_connect(turn).unwrap()
    }

    pub(crate) fn try_connect(turn: impl Turn + 'static) -> Result<Self, CloseReason> {
        let client = Self(Rc::new(RefCell::new(Loop {
            turn: Box::new(turn),
            offers: VecDeque::new(),
            opened: BTreeMap::new(),
            closed: BTreeMap::new(),
            streams: VecDeque::new(),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
        })));
        client.home().opened()?;
        Ok(client)
    }

    pub(crate) fn id(&self) -> ClientId {
        self.0.borrow_mut().turn.client().id()
    }

    pub(crate) fn set_mapped_addresses(&self, addresses: &[SocketAddr]) {
        let mut this = self.0.borrow_mut();
        let client = this.turn.client();
        client.set_mapped_addresses(Instant::now(), addresses);
    }

    pub(crate) fn open(&self, to: ClientId, label: &str) -> Result<Channel, OpenError> {
        self.open_with(to, label, PathPolicy::Auto)
    }

    pub(crate) fn open_with(
        &self,
        to: ClientId,
        label: &str,
        policy: PathPolicy,
    ) -> Result<Channel, OpenError> {
        let (now, label) = (Instant::now(), label.as_bytes());
        let mut this = self.0.borrow_mut();
        let client = this.turn.client();
        let opened = client.open_channel_with(now, to, label, policy);
        drop(this);
        let channel = self.channel(opened?);
        channel.opened()?;
        Ok(channel)
    }

    pub(crate) fn accept(&self) -> Option<Offer> {
        let id = self.wait(|this| match this.offers.pop_front() {
            Some(id) => Some(Some(id)),
            None => this.closed.get(&ChannelId::HOME).map(|_| None),
        });
        Some(Offer(self.channel(id?)))
    }

    pub(crate) fn close(&self, patience: Duration) {
        self.0
            .borrow_mut()
            .turn
            .client()
            .close(Instant::now(), patience);
        self.wait(|this| this.turn.client().is_finished().then_some(()));
    }

    pub(crate) fn closed(&self) -> CloseReason {
        self.home().closed()
    }

    pub(crate) fn stats(&self) -> EndpointStats {
        self.0.borrow_mut().turn.client().stats()
    }

    fn home(&self) -> Channel {
        self.channel(ChannelId::HOME)
    }

    fn channel(&self, id: ChannelId) -> Channel {
        Channel(self.clone(), id)
    }

    fn wait<T>(&self, mut done: impl FnMut(&mut Loop) -> Option<T>) -> T {
        loop {
            let mut this = self.0.borrow_mut();
            if let Some(done) = done(&mut this) {
                return done;
            }
            this.turn();
        }
    }
}

impl Pause for Client {
    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        self.wait(|_| (Instant::now() >= end).then_some(()));
    }
}

/// Why a channel did not come about. To be looked at when a test fails.
#[derive(Debug)]
#[expect(dead_code, reason = "looked at by its Debug alone")]
pub(crate) enum OpenError {
    Refused(OpenChannelError),
    Closed(CloseReason),
}

impl From<OpenChannelError> for OpenError {
    fn from(error: OpenChannelError) -> Self {
        Self::Refused(error)
    }
}

impl From<CloseReason> for OpenError {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

pub(crate) struct Offer(Channel);

impl Offer {
    pub(crate) fn peer(&self) -> Option<PeerInfo> {
        let Channel(client, id) = &self.0;
        client.0.borrow_mut().turn.client().peer(*id)
    }

    pub(crate) fn accept(self) -> Result<Channel, CloseReason> {
        self.accept_with(PathPolicy::Auto)
    }

    pub(crate) fn accept_with(self, policy: PathPolicy) -> Result<Channel, CloseReason> {
        let Channel(client, id) = &self.0;
        let mut this = client.0.borrow_mut();
        let client = this.turn.client();
        client.accept_with(Instant::now(), *id, policy).unwrap();
        drop(this);
        self.0.opened()?;
        Ok(self.0)
    }
}

pub(crate) struct Channel(Client, ChannelId);

impl Channel {
    pub(crate) fn peer(&self) -> Option<PeerInfo> {
        self.0.0.borrow().opened.get(&self.1)?.clone()
    }

    pub(crate) fn open_bi(&self, label: &str) -> Result<(Sender, Receiver), OpenStreamError> {
        let id = self.open(Direction::Bi, label)?;
        Ok((self.sender(id), self.receiver(id)))
    }

    pub(crate) fn open_uni(&self, label: &str) -> Result<Sender, OpenStreamError> {
        let id = self.open(Direction::Uni, label)?;
        Ok(self.sender(id))
    }

    pub(crate) fn accept(&self) -> Option<Incoming> {
        let Self(client, id) = self;
        let (stream, label) = client.wait(|this| match this.streams.pop_front() {
            Some(stream) => Some(Some(stream)),
            None => this.closed.get(id).map(|_| None),
        })?;
        let bi = stream.direction() == Direction::Bi;
        Some(Incoming {
            label,
            sender: bi.then(|| self.sender(stream)),
            receiver: self.receiver(stream),
        })
    }

    pub(crate) fn path(&self) -> Path {
        let mut this = self.0.0.borrow_mut();
        let channel = this.channel(self.1);
        channel.map_or(Path::Proxied, |channel| channel.path())
    }

    pub(crate) fn path_other_than(&self, known: Path) -> Option<Path> {
        let Self(client, id) = self;
        client.wait(|this| match this.channel(*id) {
            Some(channel) => Some(Some(channel.path())).filter(|&path| path != Some(known)),
            None => Some(None),
        })
    }

    pub(crate) fn path_stats(&self) -> Option<PathStats> {
        self.0.0.borrow_mut().turn.client().path_stats(self.1)
    }

    pub(crate) fn closed(&self) -> CloseReason {
        self.0.wait(|this| this.closed.get(&self.1).copied())
    }

    fn opened(&self) -> Result<(), CloseReason> {
        let Self(client, id) = self;
        client.wait(|this| match this.closed.get(id) {
            Some(&reason) => Some(Err(reason)),
            None => this.opened.contains_key(id).then_some(Ok(())),
        })
    }

    fn open(&self, direction: Direction, label: &str) -> Result<StreamId, OpenStreamError> {
        let Self(client, id) = self;
        client.wait(|this| match this.channel(*id) {
            None => Some(Err(OpenStreamError::Closed)),
            Some(mut channel) => match channel.open(direction, label.as_bytes()) {
                Err(OpenStreamError::Blocked) => None,
                opened => Some(opened),
            },
        })
    }

    fn sender(&self, id: StreamId) -> Sender {
        Sender(self.0.clone(), id)
    }

    fn receiver(&self, id: StreamId) -> Receiver {
        Receiver(self.0.clone(), id)
    }
}

pub(crate) struct Incoming {
    pub(crate) label: Bytes,
    pub(crate) sender: Option<Sender>,
    pub(crate) receiver: Receiver,
}

pub(crate) struct Sender(Client, StreamId);

impl Sender {
    pub(crate) fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        let Self(client, id) = self;
        client.wait(|this| match try_send(this, *id, message.clone()) {
            Err(SendError::Blocked) => None,
            sent => Some(sent),
        })
    }

    pub(crate) fn try_send(&mut self, message: Bytes) -> Result<(), SendError> {
        try_send(&mut self.0.0.borrow_mut(), self.1, message)
    }

    pub(crate) fn finish(&mut self) -> Result<(), SendError> {
        let mut this = self.0.0.borrow_mut();
        let channel = this.channel(self.1.channel());
        channel.map_or(Err(SendError::Ended), |mut channel| {
            Ok(channel.stream(self.1).finish()?)
        })
    }

    pub(crate) fn finished(&mut self) -> SendEnd {
        self.0.wait(|this| this.sent.get(&self.1).copied())
    }
}

fn try_send(this: &mut Loop, id: StreamId, message: Bytes) -> Result<(), SendError> {
    let channel = this.channel(id.channel());
    channel.map_or(Err(SendError::Ended), |mut channel| {
        channel.stream(id).send(message)
    })
}

pub(crate) struct Receiver(Client, StreamId);

impl Receiver {
    pub(crate) fn recv(&mut self) -> Result<Option<Bytes>, conec_driver::RecvError> {
        let Self(client, id) = self;
        client.wait(|this| {
            let received = match this.channel(id.channel()) {
                Some(mut channel) => channel.stream(*id).recv(),
                None => Err(RecvError::Ended),
            };
            match (received, this.received.get(id)) {
                (Ok(message), _) => Some(Ok(Some(message))),
                (Err(RecvError::Lagged(lagged)), _) => {
                    Some(Err(conec_driver::RecvError::Lagged(lagged)))
                }
                (Err(RecvError::Blocked), _) | (Err(RecvError::Ended), None) => None,
                (Err(RecvError::Ended), Some(RecvEnd::Finished)) => Some(Ok(None)),
                (Err(RecvError::Ended), Some(&end)) => Some(Err(end.into())),
            }
        })
    }
}
