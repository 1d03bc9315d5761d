//! A Coordinator of each kind, which only has to be there.

use std::{
    net::{SocketAddr, UdpSocket},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use conec_core::{Coordinator, CoordinatorConfig, Datagram, Endpoint, Identity, KeyPin};
use conec_driver::Socket;
use mio::{Events, Poll, Token};
use tokio::runtime::Runtime;

use crate::{Cable, Kind, PATIENCE, coordinator_config, handled::bind};

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) pin: KeyPin,
    driver: Driver,
}

enum Driver {
    Handled(Cable, Runtime, conec_driver::Coordinator),
    Loop(Arc<Stop>, JoinHandle<()>),
}

/// How a loop is to end.
#[derive(Default)]
struct Stop {
    gracefully: AtomicBool,
    at_once: AtomicBool,
}

impl Running {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, coordinator_config())
    }

    pub(crate) fn start_with(kind: Kind, config: CoordinatorConfig) -> Self {
        let pin = config.certificate.pin();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, driver) = match kind {
            Kind::Tokio | Kind::Blocking => {
                let (runtime, cable) = (runtime(), Cable::default());
                let socket = Socket::bind(address).unwrap();
                let binding = bind(kind, socket.tapped(Arc::new(cable.clone())), config);
                let coordinator = runtime.block_on(binding).unwrap();
                let address = coordinator.local_addr();
                (address, Driver::Handled(cable, runtime, coordinator))
            }
            Kind::Mio => {
                let poll = Poll::new().unwrap();
                let registry = poll.registry();
                let driver = conec_mio::Coordinator::bind(address, config, registry, Token(0));
                let driver = driver.unwrap();
                let address = driver.local_addr().unwrap();
                let stop = Arc::new(Stop::default());
                let theirs = Arc::clone(&stop);
                let thread = thread::spawn(move || run_mio(driver, poll, &theirs));
                (address, Driver::Loop(stop, thread))
            }
            Kind::Custom => {
                let seed = Identity::generate_seed().unwrap();
                let coordinator = Coordinator::new(config, seed).unwrap();
                let socket = UdpSocket::bind(address).unwrap();
                let address = socket.local_addr().unwrap();
                let stop = Arc::new(Stop::default());
                let theirs = Arc::clone(&stop);
                let thread = thread::spawn(move || run_custom(coordinator, &socket, &theirs));
                (address, Driver::Loop(stop, thread))
            }
        };
        Self {
            address,
            pin,
            driver,
        }
    }

    /// Says goodbye to everybody.
    pub(crate) fn close(self) {
        match self.driver {
            Driver::Handled(_, runtime, coordinator) => {
                runtime.block_on(coordinator.close(PATIENCE));
            }
            Driver::Loop(stop, thread) => {
                stop.gracefully.store(true, Relaxed);
                thread.join().unwrap();
            }
        }
    }

    /// Is gone from one moment to the next.
    pub(crate) fn crash(self) {
        match self.driver {
            Driver::Handled(cable, ..) => cable.pull(),
            Driver::Loop(stop, thread) => {
                stop.at_once.store(true, Relaxed);
                thread.join().unwrap();
            }
        }
    }
}

pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn run_mio(mut driver: conec_mio::Coordinator, mut poll: Poll, stop: &Stop) {
    let mut events = Events::with_capacity(16);
    while !stop.at_once.load(Relaxed) && !driver.is_finished() {
        // Not for ever: nobody wakes the loop to stop it.
        let soon = Instant::now() + Duration::from_millis(20);
        let due = driver.deadline().map_or(soon, |at| at.min(soon));
        let wait = due.saturating_duration_since(Instant::now());
        poll.poll(&mut events, Some(wait)).unwrap();
        for event in &events {
            driver.ready(event);
        }
        if stop.gracefully.swap(false, Relaxed) {
            driver.endpoint_mut().close(Instant::now(), PATIENCE);
        }
        driver.turn(Instant::now());
        while driver.poll_event().is_some() {}
    }
}

fn run_custom(mut coordinator: Coordinator, socket: &UdpSocket, stop: &Stop) {
    socket.set_nonblocking(true).unwrap();
    while !stop.at_once.load(Relaxed) && !coordinator.is_finished() {
        if stop.gracefully.swap(false, Relaxed) {
            coordinator.close(Instant::now(), PATIENCE);
        }
        turn(&mut coordinator, socket);
        while coordinator.poll_event().is_some() {}
    }
}

/// What the core's guide has for a driver, which sleeps when there is nothing to do.
pub(crate) fn turn(endpoint: &mut impl Endpoint, socket: &UdpSocket) {
    let now = Instant::now();
    let mut buffer = [0; 2048];
    let mut idle = true;
    for _ in 0..64 {
        let Ok((length, source)) = socket.recv_from(&mut buffer) else {
            break;
        };
        idle = false;
        let datagram = Datagram {
            source,
            payload: buffer[..length].into(),
            segment_size: length,
            ecn: None,
            destination_ip: None,
            second_port: false,
        };
        endpoint.handle_datagram(now, datagram);
    }
    if endpoint.poll_timeout().is_some_and(|due| due <= now) {
        endpoint.handle_timeout(now);
    }
    if endpoint.wants_host_addresses() {
        endpoint.handle_host_addresses(now, socket.local_addr().ok().as_slice());
    }
    while let Some(transmit) = endpoint.poll_transmit(now, NonZeroUsize::MIN) {
        idle = false;
        let _ = socket.send_to(&transmit.payload, transmit.destination);
    }
    if idle {
        thread::sleep(Duration::from_millis(1));
    }
}
