//! Sockets that fail, under each adapter that has one of the system's.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use conec_core::{CloseReason, Code, Datagram, EndpointStats, KeyPin, Transmit};
use conec_driver::{Socket, Tap};
use conec_mio::blocking;

use crate::{
    Kind, client_config,
    connecting::Nobody,
    coordinators::{Running, runtime},
    fragile_config,
    handled::connect_over,
    handles, scripts, start_bob, within,
};

const KINDS: [Kind; 3] = [Kind::Tokio, Kind::Mio, Kind::Blocking];

/// What the system may say instead of sending a datagram, or of giving one: too large, no room, not welcome where the last one went,
/// a firewall, no network. As Linux numbers them.
#[cfg(target_os = "linux")]
const REFUSALS: [i32; 5] = [90, 105, 111, 1, 101];
#[cfg(not(target_os = "linux"))]
const REFUSALS: [i32; 0] = [];

#[test]
fn what_the_system_refuses_is_lost_and_counted() {
    within(|| {
        let refused = |errno| Faulty {
            error: Some(errno),
            every: 9,
            ..Faulty::default()
        };
        thread::scope(|scope| {
            for errno in REFUSALS {
                scope.spawn(move || all_talk(|| refused(errno)));
            }
        });
    });
}

#[test]
fn an_interrupted_call_and_a_full_socket_lose_nothing() {
    within(|| {
        let interrupted = |kind| Faulty {
            kind: Some(kind),
            every: 7,
            ..Faulty::default()
        };
        thread::scope(|scope| {
            for kind in [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock] {
                scope.spawn(move || {
                    let stats = all_talk(|| interrupted(kind));
                    assert!(stats.iter().all(|stats| stats.socket_errors == 0));
                });
            }
        });
    });
}

#[test]
fn batches_are_as_large_as_the_system_takes_them() {
    within(|| {
        // 1 is a system that has none of it.
        for segments in [1, 2, 3] {
            all_talk(move || Faulty {
                segments: NonZeroUsize::new(segments),
                ..Faulty::default()
            });
        }
    });
}

/// An event loop takes the socket for a broken one when it is told that nobody is at one of the Coordinator's addresses. It is
/// as good as any other: who has to wait until it takes something does not spin, and is woken.
#[test]
fn an_icmp_message_is_not_the_end_of_a_socket() {
    within(|| {
        let nobody = Nobody::new();
        let dead = nobody.address();
        let coordinator = Running::start(Kind::Blocking);
        let (address, pin) = (coordinator.address, coordinator.pin);
        let talks = KINDS.map(|kind| {
            let tap = Arc::new(Faulty {
                full_for: Duration::from_millis(300),
                ..Faulty::default()
            });
            let theirs = Arc::clone(&tap);
            let talk = thread::spawn(move || talk(kind, &[dead, address], pin, theirs));
            (kind, tap, talk)
        });
        for (kind, tap, talk) in talks {
            talk.join().unwrap();
            let failed = tap.failed.load(Relaxed);
            assert!(
                (1..500).contains(&failed),
                "{kind:?} has tried {failed} times"
            );
        }
        coordinator.close();
    });
}

/// It is as if nothing arrived: nobody hangs, and nothing spins.
#[test]
fn a_socket_that_is_gone_ends_its_client_in_time() {
    within(|| {
        for kind in [io::ErrorKind::NotConnected, io::ErrorKind::WouldBlock] {
            let coordinator = Running::start(Kind::Blocking);
            let (address, pin) = (coordinator.address, coordinator.pin);
            let ends = KINDS
                .map(|adapter| thread::spawn(move || lose_socket(adapter, address, pin, kind)));
            for end in ends {
                assert_eq!(end.join().unwrap(), CloseReason::TimedOut);
            }
            coordinator.close();
        }
    });
}

/// There is always something to receive, of no use. Others in the same thread get to run all the same, and commands are
/// obeyed.
#[test]
fn a_socket_that_never_runs_dry_stops_nobody() {
    within(|| {
        let coordinator = Running::start(Kind::Blocking);
        let (to, pin) = ([coordinator.address], coordinator.pin);
        let flood = || {
            let tap = Arc::new(Faulty::default());
            (Socket::any().unwrap().tapped(Arc::clone(&tap)), tap)
        };

        for kind in [Kind::Tokio, Kind::Blocking] {
            let (socket, tap) = flood();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let connecting = connect_over(kind, socket, &to, client_config(pin));
                let client = connecting.await.unwrap();
                tap.flood.store(true, Relaxed);
                // Has the task look at its socket, which it will not be done with any more.
                client.home().send_datagram("hello".into()).await.unwrap();
                for _ in 0..10 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                assert!(client.stats().datagrams_dropped > 100);
                client.abort(Code(0));
                assert_eq!(client.closed().await, CloseReason::Local);
            });
        }
        coordinator.close();
    });
}

/// Alice has such a socket, with each adapter in turn; what she has counted in the end.
fn all_talk(tap: impl Fn() -> Faulty) -> Vec<EndpointStats> {
    let coordinator = Running::start(Kind::Blocking);
    let (address, pin) = (coordinator.address, coordinator.pin);
    let talks = KINDS.map(|kind| {
        let tap = Arc::new(tap());
        thread::spawn(move || talk(kind, &[address], pin, tap))
    });
    let stats = talks.map(|talk| talk.join().unwrap());
    coordinator.close();
    stats.into()
}

/// The Coordinator is at the last of these addresses.
fn talk(kind: Kind, to: &[SocketAddr], pin: KeyPin, tap: Arc<Faulty>) -> EndpointStats {
    let (bob, bobs_id) = start_bob(to[to.len() - 1], pin);
    let config = client_config(pin);
    let socket = Socket::any().unwrap().tapped(Arc::clone(&tap));
    let stats = match kind {
        Kind::Tokio => runtime().block_on(async {
            let connecting = conec_tokio::Client::connect_over(socket, "localhost", to, config);
            let alice = connecting.await.unwrap();
            tap.fill();
            scripts::awaited::alice(alice.clone(), bobs_id).await;
            alice.stats()
        }),
        Kind::Blocking => {
            let alice = blocking::Client::connect_over(socket, "localhost", to, config).unwrap();
            tap.fill();
            scripts::blocking::alice(alice.clone(), bobs_id);
            alice.stats()
        }
        Kind::Mio | Kind::Custom => {
            let alice = handles::Client::connect(handles::Mio::over(socket, to, config));
            tap.fill();
            scripts::looped::alice(alice.clone(), bobs_id);
            alice.stats()
        }
    };
    bob.join().unwrap();
    let (failed, sent) = (tap.failed.load(Relaxed), tap.sends.load(Relaxed));
    let expected = if tap.error.is_some() { failed } else { 0 };
    assert_eq!(stats.socket_errors, expected, "{kind:?} {:?}", tap.error);
    if tap.every > 0 {
        assert!(failed > 10, "{kind:?}: {failed} of {sent}");
    }
    let most = tap.most.load(Relaxed);
    assert!(tap.segments.is_none_or(|max| most <= max.get() as u64));
    stats
}

/// Connects, and then has no socket any more.
fn lose_socket(kind: Kind, address: SocketAddr, pin: KeyPin, error: io::ErrorKind) -> CloseReason {
    let (to, config) = ([address], fragile_config(pin));
    let tap = Arc::new(Faulty::default());
    let socket = Socket::any().unwrap().tapped(Arc::clone(&tap));
    let lose = || {
        tap.gone.set(error).unwrap();
        tap.sends.store(0, Relaxed);
        tap.recvs.store(0, Relaxed);
    };
    let started = Instant::now();
    let reason = match kind {
        Kind::Tokio | Kind::Blocking => runtime().block_on(async {
            let connecting = connect_over(kind, socket, &to, config);
            let client = connecting.await.unwrap();
            lose();
            let home = client.home();
            assert!(home.send_datagram("lost".into()).await.is_ok());
            client.closed().await
        }),
        Kind::Mio | Kind::Custom => {
            let client = handles::Client::connect(handles::Mio::over(socket, &to, config));
            lose();
            client.closed()
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let calls = tap.sends.load(Relaxed) + tap.recvs.load(Relaxed);
    let per_second = calls as f64 / seconds;
    assert!(per_second < 1000.0, "{kind:?}: {per_second} calls a second");
    assert!(started.elapsed() < Duration::from_secs(10));
    reason
}

/// Fails every so many times, in one way.
#[derive(Default)]
struct Faulty {
    /// An error of the system's, or of a kind. The first of these is a loss.
    error: Option<i32>,
    kind: Option<io::ErrorKind>,
    every: u64,
    segments: Option<NonZeroUsize>,
    /// For how long nothing more is taken, and until when.
    full_for: Duration,
    full_until: OnceLock<Instant>,
    /// Nothing goes any more.
    gone: OnceLock<io::ErrorKind>,
    flood: AtomicBool,
    sends: AtomicU64,
    recvs: AtomicU64,
    failed: AtomicU64,
    /// Segments in the largest batch.
    most: AtomicU64,
}

impl Faulty {
    /// Takes nothing more for a while, if it is to do so.
    fn fill(&self) {
        let _ = self.full_until.set(Instant::now() + self.full_for);
    }

    fn fail(&self, number: u64) -> Option<io::Result<()>> {
        if self.every == 0 || !number.is_multiple_of(self.every) {
            return None;
        }
        self.failed.fetch_add(1, Relaxed);
        Some(Err(match (self.error, self.kind) {
            (Some(errno), _) => io::Error::from_raw_os_error(errno),
            (None, Some(kind)) => kind.into(),
            (None, None) => unreachable!("something to fail with"),
        }))
    }
}

impl Tap for Faulty {
    fn send(&self, transmit: &Transmit) -> Option<io::Result<()>> {
        let number = self.sends.fetch_add(1, Relaxed) + 1;
        if let Some(&gone) = self.gone.get() {
            return Some(Err(gone.into()));
        }
        if self
            .full_until
            .get()
            .is_some_and(|&until| Instant::now() < until)
        {
            self.failed.fetch_add(1, Relaxed);
            return Some(Err(io::ErrorKind::WouldBlock.into()));
        }
        let size = transmit.segment_size.unwrap_or(transmit.payload.len());
        let segments = transmit.payload.len().div_ceil(size.max(1));
        self.most.fetch_max(segments as u64, Relaxed);
        self.fail(number)
    }

    fn recv(&self, into: &mut Vec<Datagram>) -> Option<io::Result<()>> {
        let number = self.recvs.fetch_add(1, Relaxed) + 1;
        if self.flood.load(Relaxed) {
            into.push(Datagram {
                source: ([127, 0, 0, 1], 9).into(),
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size: 0,
                payload: "garbage".as_bytes().into(),
            });
            return Some(Ok(()));
        }
        if let Some(&gone) = self.gone.get() {
            return Some(Err(gone.into()));
        }
        // Nothing is there: true or not, that is the loop's to know.
        if self.kind == Some(io::ErrorKind::WouldBlock) {
            return None;
        }
        self.fail(number)
    }

    fn max_segments(&self, max: NonZeroUsize) -> NonZeroUsize {
        match self.segments {
            Some(segments) => max.min(segments),
            None => max,
        }
    }
}
