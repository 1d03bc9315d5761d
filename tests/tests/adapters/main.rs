//! The adapters over real sockets, on the loopback interface: each with each, with sockets that fail, and as programs.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for some events only"
)]

mod chat;
mod connecting;
mod coordinators;
mod echo;
mod faults;
mod handled;
mod handles;
mod lagging;
mod matrix;
mod programs;
mod replay;
mod rooms;
mod scripts;
mod strangers;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use conec_core::{
    Certificate, ClientConfig, ClientId, CoordinatorConfig, Datagram, Identity, KeyPin, Transmit,
    Trust,
};
use conec_driver::Tap;
use conec_mio::blocking;

/// What can drive an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tokio,
    Mio,
    Blocking,
    Custom,
}

const KINDS: [Kind; 4] = [Kind::Tokio, Kind::Mio, Kind::Blocking, Kind::Custom];

/// Far more than anything takes, unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(5);

fn coordinator_config() -> CoordinatorConfig {
    CoordinatorConfig::new(Certificate::self_signed(["localhost"]).unwrap())
}

fn client_config(pin: KeyPin) -> ClientConfig {
    let mut config = ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(pin));
    // Small, so that they fill up soon.
    config.peer.stream_window = 128 << 10;
    config.peer.send_buffer = 64 << 10;
    config
}

/// A Client that acts out Bob's part of the script.
fn start_bob(address: SocketAddr, pin: KeyPin) -> (thread::JoinHandle<()>, ClientId) {
    let (tell, told) = mpsc::channel();
    let bob = thread::spawn(move || {
        let to = [address];
        let bob = blocking::Client::connect_to("localhost", &to, client_config(pin)).unwrap();
        tell.send(bob.id()).unwrap();
        scripts::blocking::bob(bob);
    });
    (bob, told.recv().unwrap())
}

/// Of a Client that misses soon who is gone, and is missed soon. Not for those who have much to do on a busy machine.
fn fragile_config(pin: KeyPin) -> ClientConfig {
    let mut config = client_config(pin);
    config.reconnect = false;
    for channel in [&mut config.home, &mut config.peer] {
        channel.idle_timeout = IDLE;
        channel.keep_alive = Some(IDLE / 4);
    }
    config
}

const IDLE: Duration = Duration::from_millis(1500);

/// Fails instead of hanging.
fn within(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let test = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("hangs");
    }
    test.join().unwrap();
}

/// A cable that can be pulled out: whoever is at its end is gone without a word.
#[derive(Clone, Default)]
struct Cable(Arc<AtomicBool>);

impl Cable {
    fn pull(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Tap for Cable {
    fn send(&self, _: &Transmit) -> Option<std::io::Result<()>> {
        self.0.load(Relaxed).then_some(Ok(()))
    }

    fn recv(&self, _: &mut Vec<Datagram>) -> Option<std::io::Result<()>> {
        let gone = Err(std::io::ErrorKind::WouldBlock.into());
        self.0.load(Relaxed).then_some(gone)
    }
}
