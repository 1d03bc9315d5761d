//! Carries packets from one device to the other, over a faulty path.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tun_rs::SyncDevice;

use crate::link::{Link, Path};

/// Both directions. They go on as long as the process does.
pub(crate) struct Router {
    directions: [Arc<Direction>; 2],
}

/// What became of packets in one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
    /// By how much packets left the router too late, at most and all together.
    pub(crate) latest: Duration,
    pub(crate) late: Duration,
}

impl Counts {
    pub(crate) fn part_dropped(&self) -> f64 {
        self.dropped as f64 / self.sent.max(1) as f64
    }

    pub(crate) fn late_on_average(&self) -> Duration {
        let passed = (self.sent - self.dropped).max(1);
        self.late / u32::try_from(passed).unwrap_or(u32::MAX)
    }
}

struct Direction {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    link: Option<Link<Vec<u8>>>,
    counts: Counts,
}

impl Router {
    pub(crate) fn start([near, far]: [SyncDevice; 2]) -> Self {
        let devices = [Arc::new(near), Arc::new(far)];
        let directions = [0, 1].map(|from: usize| {
            let direction = Arc::new(Direction {
                state: Mutex::new(State {
                    link: None,
                    counts: Counts::default(),
                }),
                changed: Condvar::new(),
            });
            let (device, mine) = (Arc::clone(&devices[from]), Arc::clone(&direction));
            thread::spawn(move || mine.read(&device));
            let (device, mine) = (Arc::clone(&devices[1 - from]), Arc::clone(&direction));
            thread::spawn(move || mine.write(&device));
            direction
        });
        Self { directions }
    }

    /// Another path from now on, on which nothing is under way.
    pub(crate) fn set(&self, path: Path, seed: u64) {
        for (number, direction) in self.directions.iter().enumerate() {
            direction.with(|state| {
                let seed = seed * 2 + number as u64;
                state.link = Some(Link::new(Instant::now(), path, seed));
                state.counts = Counts::default();
            });
        }
    }

    /// Lets the path's rate begin to change.
    pub(crate) fn begin(&self) {
        for direction in &self.directions {
            direction.with(|state| {
                if let Some(link) = &mut state.link {
                    link.begin(Instant::now());
                }
            });
        }
    }

    /// From the near side to the far one.
    pub(crate) fn counts(&self) -> Counts {
        self.directions[0].with(|state| state.counts)
    }
}

impl Direction {
    /// Takes what comes, until there is no device any more.
    fn read(&self, device: &SyncDevice) {
        let mut buffer = [0; MAX_PACKET];
        while let Ok(len) = device.recv(&mut buffer) {
            let packet = buffer[..len].to_vec();
            self.with(|state| {
                if let Some(link) = &mut state.link {
                    state.counts.sent += 1;
                    let takes = link.send(Instant::now(), len, packet);
                    state.counts.dropped += u64::from(!takes);
                }
            });
            self.changed.notify_one();
        }
    }

    /// Gives out what has arrived.
    fn write(&self, device: &SyncDevice) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let next = state.link.as_ref().and_then(|link| link.next_arrival());
            match next {
                Some(at) if at <= now => {
                    let late = now - at;
                    state.counts.latest = state.counts.latest.max(late);
                    state.counts.late += late;
                    let link = state.link.as_mut();
                    let packet = link.and_then(|link| link.receive(now, |_| true));
                    drop(state);
                    // A packet that the device does not take is lost.
                    let _ = device.send(&packet.unwrap_or_default());
                    state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                }
                next => {
                    let wait = next.map_or(A_WHILE, |at| at - now);
                    let waited = self.changed.wait_timeout(state, wait);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const MAX_PACKET: usize = 65_536;
const A_WHILE: Duration = Duration::from_secs(1);
