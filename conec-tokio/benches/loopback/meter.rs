//! What a process counts of itself.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::result::Result;

/// Counts what a process receives.
pub(crate) struct Meter {
    start: Instant,
    bytes: AtomicU64,
    messages: AtomicU64,
    round_trips: Mutex<Histogram<u64>>,
}

/// What a process has seen and used since its beginning; round-trip times since the sample before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub(crate) peak_memory: u64,
    /// The median and the 99th percentile.
    pub(crate) round_trip: Option<(Duration, Duration)>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            bytes: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            round_trips: Mutex::new(Histogram::new(3).expect("3 digits are possible")),
        }
    }

    /// To be called by one task only, so that counting costs next to nothing.
    pub(crate) fn received(&self, bytes: usize, messages: u64) {
        let add = |to: &AtomicU64, count| {
            to.store(to.load(Ordering::Relaxed) + count, Ordering::Relaxed);
        };
        add(&self.bytes, bytes as u64);
        add(&self.messages, messages);
    }

    pub(crate) fn round_trip(&self, time: Duration) {
        let mut times = self
            .round_trips
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Fails for none: the histogram grows as needed.
        let _ = times.record(time.as_nanos() as u64);
    }

    pub(crate) fn sample(&self) -> Result<Sample> {
        let mut times = self
            .round_trips
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let quantile = |at| Duration::from_nanos(times.value_at_quantile(at));
        let round_trip = (!times.is_empty()).then(|| (quantile(0.5), quantile(0.99)));
        times.reset();
        Ok(Sample {
            time: self.start.elapsed(),
            bytes: self.bytes.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            cpu: cpu_time()?,
            peak_memory: peak_memory()?,
            round_trip,
        })
    }
}

#[cfg(unix)]
fn usage() -> Result<nix::sys::resource::Usage> {
    use nix::sys::resource::{UsageWho, getrusage};
    Ok(getrusage(UsageWho::RUSAGE_SELF)?)
}

#[cfg(unix)]
fn cpu_time() -> Result<Duration> {
    let usage = usage()?;
    let micros =
        |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as u64;
    Ok(Duration::from_micros(
        micros(usage.user_time()) + micros(usage.system_time()),
    ))
}

#[cfg(unix)]
fn peak_memory() -> Result<u64> {
    // Linux counts for a new process what its parent took, in getrusage but not here.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        return Ok(kib
            .ok_or("no peak in /proc/self/status")?
            .trim()
            .parse::<u64>()?
            << 10);
    }
    Ok(usage()?.max_rss() as u64 * if cfg!(target_os = "macos") { 1 } else { 1024 })
}

#[cfg(not(unix))]
fn cpu_time() -> Result<Duration> {
    Err("only on Unix is it known how to ask for CPU time".into())
}

#[cfg(not(unix))]
fn peak_memory() -> Result<u64> {
    Err("only on Unix is it known how to ask for peak memory".into())
}
