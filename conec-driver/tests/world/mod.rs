//! A Coordinator and two Clients whose drivers are turned by hand, in time that stands still meanwhile.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    io,
    net::SocketAddr,
    ops::ControlFlow,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use conec_core::{
    Certificate, ClientConfig, CoordinatorConfig, Datagram, Endpoint, Identity, PathPolicy,
    Transmit, Trust,
};
use conec_driver::{Channel, Client, Coordinator, Driver, Io, Socket, Sockets, Udp};

thread_local! {
    static NOW: Cell<Instant> = Cell::new(Instant::now());
}

fn clock() -> Instant {
    NOW.get()
}

pub(crate) struct World {
    network: Network,
    trust: Trust,
    coordinator: Node<Coordinator, conec_core::Coordinator>,
    pub(crate) alice: Node<Client, conec_core::Client>,
    pub(crate) bob: Node<Client, conec_core::Client>,
    others: Vec<Node<Client, conec_core::Client>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_events(16)
    }

    /// With so many events that may wait at the Coordinator.
    pub(crate) fn with_events(events: usize) -> Self {
        Self::with(events, |_, _| {})
    }

    /// With changes to how its Clients, by their numbers, are configured: Alice is number 1.
    pub(crate) fn with_clients(change: impl Fn(u8, &mut ClientConfig)) -> Self {
        Self::with(16, change)
    }

    fn with(events: usize, change: impl Fn(u8, &mut ClientConfig)) -> Self {
        let network = Network::default();
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let trust = Trust::Pin(certificate.pin());
        let mut config = CoordinatorConfig::new(certificate);
        config.limits.events = events;
        let coordinator = Coordinator::start(socket(), config, clock).unwrap();
        let coordinator = Node::new(coordinator, 0);
        let [alice, bob] = [1, 2].map(|number| client(&trust, number, &change));
        let mut world = Self {
            network,
            trust,
            coordinator,
            alice,
            bob,
            others: Vec::new(),
        };
        world.run();
        for client in [world.alice(), world.bob()] {
            ready(client.connected()).unwrap();
        }
        world
    }

    pub(crate) fn coordinator(&self) -> Coordinator {
        self.coordinator.handle.clone().unwrap()
    }

    pub(crate) fn alice(&self) -> Client {
        self.alice.handle.clone().unwrap()
    }

    pub(crate) fn bob(&self) -> Client {
        self.bob.handle.clone().unwrap()
    }

    /// A channel from Alice to Bob.
    pub(crate) fn channel(&mut self) -> (Channel, Channel) {
        let (alice, bob) = (self.alice(), self.bob());
        let mut opening = pin!(alice.open(bob.id(), ""));
        assert!(now_or_never(opening.as_mut()).is_none());
        self.run();
        let mut accepting = pin!(ready(bob.accept()).unwrap().accept());
        assert!(now_or_never(accepting.as_mut()).is_none());
        self.run();
        (ready(opening).unwrap(), ready(accepting).unwrap())
    }

    /// Has so many Clients connect; how many of them are let in.
    pub(crate) fn connect_many(&mut self, count: u8) -> usize {
        for _ in 0..count {
            let number = 3 + self.others.len() as u8;
            self.others.push(client(&self.trust, number, |_, _| {}));
            self.run();
        }
        let new = &self.others[self.others.len() - usize::from(count)..];
        let connected = new.iter().filter(|node| {
            let client = node.handle.as_ref().unwrap();
            now_or_never(client.connected()).is_some_and(|connected| connected.is_ok())
        });
        connected.count()
    }

    /// Everybody goes, and has nothing left to do.
    pub(crate) fn close(mut self) {
        (self.alice.handle, self.bob.handle) = (None, None);
        self.run();
        assert!(self.alice.is_over() && self.bob.is_over());
        self.coordinator.handle = None;
        self.run();
        assert!(self.coordinator.is_over());
    }

    /// Lets a second pass.
    pub(crate) fn run(&mut self) {
        for _ in 0..1000 {
            self.step();
        }
    }

    /// Lets a millisecond pass: everybody has a turn.
    pub(crate) fn step(&mut self) {
        NOW.set(clock() + Duration::from_millis(1));
        self.coordinator.turn(&self.network);
        self.alice.turn(&self.network);
        self.bob.turn(&self.network);
        for node in &mut self.others {
            node.turn(&self.network);
        }
    }
}

/// An endpoint with its driver, until that has ended.
pub(crate) struct Node<H, E: Endpoint> {
    pub(crate) handle: Option<H>,
    pub(crate) driver: Option<Driver<E>>,
    woken: Count,
    address: SocketAddr,
}

impl<H, E: Endpoint> Node<H, E> {
    fn new((handle, driver, _): (H, Driver<E>, Sockets), number: u8) -> Self {
        Self {
            handle: Some(handle),
            driver: Some(driver),
            woken: Count::new(),
            address: address(number),
        }
    }

    pub(crate) fn was_woken(&self) -> bool {
        self.woken.get() > 0
    }

    pub(crate) fn is_over(&self) -> bool {
        self.driver.is_none()
    }

    fn turn(&mut self, network: &Network) {
        self.woken.reset();
        if let Some(driver) = &mut self.driver {
            let mut wire = Wire(self.address, network);
            let turn = driver.turn(clock(), &self.woken.waker(), &mut wire);
            if turn == ControlFlow::Break(()) {
                self.driver = None;
            }
        }
    }
}

type Network = Rc<RefCell<VecDeque<(SocketAddr, Transmit)>>>;

/// Where datagrams to an address are.
struct Wire<'a>(SocketAddr, &'a Network);

impl Io for Wire<'_> {
    fn recv(&mut self, _: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        let Self(own, network) = self;
        let mut network = network.borrow_mut();
        let next = network.iter().position(|(_, it)| it.destination == *own);
        let at = next.ok_or(io::ErrorKind::WouldBlock)?;
        let (source, transmit) = network.remove(at).unwrap();
        into.push(Datagram {
            source,
            destination_ip: None,
            second_port: false,
            ecn: transmit.ecn,
            segment_size: transmit.segment_size.unwrap_or(transmit.payload.len()),
            payload: transmit.payload[..].into(),
        });
        Ok(())
    }

    fn send(&mut self, _: &Udp, transmit: &Transmit) -> io::Result<()> {
        self.1.borrow_mut().push_back((self.0, transmit.clone()));
        Ok(())
    }
}

fn client(
    trust: &Trust,
    number: u8,
    change: impl Fn(u8, &mut ClientConfig),
) -> Node<Client, conec_core::Client> {
    let mut config = ClientConfig::new(Identity::generate().unwrap(), trust.clone());
    config.paths.policy = PathPolicy::ProxiedOnly;
    change(number, &mut config);
    let client = Client::start(socket(), &[("localhost", &[address(0)])], config, clock).unwrap();
    Node::new(client, number)
}

/// Nothing goes through it.
fn socket() -> Socket {
    Socket::bind(([127, 0, 0, 1], 0).into()).unwrap()
}

fn address(number: u8) -> SocketAddr {
    ([192, 0, 2, number + 1], 4433).into()
}

/// Counts how often it is woken.
pub(crate) struct Count(Arc<Woken>);

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Count {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn get(&self) -> usize {
        self.0.0.load(SeqCst)
    }

    /// Whether nobody has its waker any more.
    pub(crate) fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(crate) fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker()))
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    pub(crate) fn reset(&self) {
        self.0.0.store(0, SeqCst);
    }
}

pub(crate) fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("takes no waiting")
}
