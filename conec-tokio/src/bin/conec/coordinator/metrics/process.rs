//! What the system knows of this process, under the names that all programs have for it.

use prometheus_client::registry::Registry;

/// What the system does not tell is left out.
#[cfg(not(target_os = "linux"))]
pub(super) fn register(_: &mut Registry) {}

/// What the system does not tell is left out.
#[cfg(target_os = "linux")]
pub(super) fn register(to: &mut Registry) {
    use prometheus_client::{metrics::counter::ConstCounter, registry::Unit};

    let Ok(process) = procfs::process::Process::myself() else {
        return;
    };
    if let Ok(open) = process.fd_count() {
        gauge(to, "open_fds", "Open files and sockets", None, open as u64);
    }
    let Ok(stat) = process.stat() else { return };
    let ticks = procfs::ticks_per_second();
    let seconds = (stat.utime + stat.stime) as f64 / ticks as f64;
    let help = "Processor time used";
    to.register_with_unit("cpu", help, Unit::Seconds, ConstCounter::new(seconds));
    let (used, reserved) = (stat.rss * procfs::page_size(), stat.vsize);
    gauge(
        to,
        "resident_memory",
        "Memory in use",
        Some(Unit::Bytes),
        used,
    );
    gauge(
        to,
        "virtual_memory",
        "Addresses in use",
        Some(Unit::Bytes),
        reserved,
    );
    if let Ok(boot) = procfs::boot_time_secs() {
        let start = boot + stat.starttime / ticks;
        let help = "When the process was started, since 1970";
        gauge(to, "start_time", help, Some(Unit::Seconds), start);
    }
    let threads = stat.num_threads.unsigned_abs();
    gauge(to, "threads", "Threads", None, threads);
}

#[cfg(target_os = "linux")]
fn gauge(
    to: &mut Registry,
    name: &str,
    help: &str,
    unit: Option<prometheus_client::registry::Unit>,
    value: u64,
) {
    let value = prometheus_client::metrics::gauge::ConstGauge::new(value as i64);
    match unit {
        Some(unit) => to.register_with_unit(name, help, unit, value),
        None => to.register(name, help, value),
    }
}
