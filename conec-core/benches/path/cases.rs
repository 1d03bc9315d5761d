//! The paths that things are measured on.

use std::time::Duration;

use crate::link::{Path, Policer, Rate};

/// A path with a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) path: Path,
    /// What conec must carry of what it carries on the same path without faults.
    pub(crate) of_clean: Option<f64>,
}

/// The same without what makes it faulty.
pub(crate) fn clean(path: Path) -> Path {
    Path {
        jitter: Duration::ZERO,
        loss: 0.0,
        ..path
    }
}

/// What one of several hops in a row has of a path.
pub(crate) fn hop(path: Path, hops: u32) -> Path {
    Path {
        delay: path.delay / hops,
        jitter: path.jitter / hops,
        // Lost on one of them.
        loss: path.loss / f64::from(hops),
        ..path
    }
}

pub(crate) const TRANSFERS: &[Case] = &[
    case("clean, 20 ms", NEAR),
    case("clean, 50 ms", MIDDLE),
    case("clean, 100 ms", FAR),
    at_least(0.95, case("jitter ±0.5 ms, 20 ms", jitter(NEAR, 500))),
    at_least(0.95, case("jitter ±1 ms, 20 ms", jitter(NEAR, 1000))),
    at_least(0.75, case("jitter ±5 ms, 20 ms", jitter(NEAR, 5000))),
    at_least(0.95, case("jitter ±5 ms, 50 ms", jitter(MIDDLE, 5000))),
    case("loss 0.1 %, 20 ms", loss(NEAR, 0.001)),
    case("loss 0.5 %, 20 ms", loss(NEAR, 0.005)),
    case("loss 1 %, 20 ms", loss(NEAR, 0.01)),
    case("loss 2 %, 20 ms", loss(NEAR, 0.02)),
    case("loss 0.1 %, 50 ms", loss(MIDDLE, 0.001)),
    case("loss 0.5 %, 50 ms", loss(MIDDLE, 0.005)),
    case("loss 1 %, 50 ms", loss(MIDDLE, 0.01)),
    case("loss 2 %, 50 ms", loss(MIDDLE, 0.02)),
    case("100 Mbit/s, queue 200 ms, 20 ms", queue(NEAR, 200)),
    case("100 Mbit/s, queue 500 ms, 20 ms", queue(NEAR, 500)),
    case("100 Mbit/s, queue 200 ms, 50 ms", queue(MIDDLE, 200)),
    case("100 Mbit/s, queue 500 ms, 50 ms", queue(MIDDLE, 500)),
    case("100 Mbit/s, queue 200 ms, 100 ms", queue(FAR, 200)),
    case("100 Mbit/s, queue 500 ms, 100 ms", queue(FAR, 500)),
    case("200 Mbit/s, queue 50 ms, 20 ms", queue(fast(NEAR), 50)),
    case("200 Mbit/s, queue 200 ms, 20 ms", queue(fast(NEAR), 200)),
    case("200 Mbit/s, queue 500 ms, 20 ms", queue(fast(NEAR), 500)),
    case("200 Mbit/s, queue 50 ms, 50 ms", queue(fast(MIDDLE), 50)),
    case("200 Mbit/s, queue 200 ms, 50 ms", queue(fast(MIDDLE), 200)),
    case("200 Mbit/s, queue 500 ms, 50 ms", queue(fast(MIDDLE), 500)),
    case("200 Mbit/s, queue 50 ms, 100 ms", queue(fast(FAR), 50)),
    case("200 Mbit/s, queue 200 ms, 100 ms", queue(fast(FAR), 200)),
    case("200 Mbit/s, queue 500 ms, 100 ms", queue(fast(FAR), 500)),
    case("policer, 20 ms", POLICED),
    case("rate 100, 10, 100 Mbit/s, 20 ms", THIRDS),
    case("rate 5 to 50 Mbit/s every 200 ms, 20 ms", CHANGING),
];

/// Where small messages are sent beside bulk.
pub(crate) const SMALL: &[Case] = &[
    case("clean, 20 ms", NEAR),
    case("jitter ±1 ms, 20 ms", jitter(NEAR, 1000)),
    case("loss 0.5 %, 20 ms", loss(NEAR, 0.005)),
    case("rate 5 to 50 Mbit/s every 200 ms, 20 ms", CHANGING),
    case("100 Mbit/s, queue 500 ms, 20 ms", queue(NEAR, 500)),
];

/// Where two connections share a link.
pub(crate) const SHARED: &[Case] = &[
    case("queue 20 ms, 20 ms", queue(NEAR, 20)),
    case("queue 50 ms, 20 ms", NEAR),
    case("queue 50 ms, 50 ms", MIDDLE),
    case("queue 200 ms, 20 ms", queue(NEAR, 200)),
    case("queue 500 ms, 20 ms", queue(NEAR, 500)),
];

/// From one end to the other, 100 ms there and back.
pub(crate) const LONG_FAT: &[Case] = &[
    case("1 Gbit/s", GIGABIT),
    case("1 Gbit/s, 0.1 % loss", loss(GIGABIT, 0.001)),
    case("1 Gbit/s, a queue of 50 ms", queue(GIGABIT, 50)),
    case("100 Mbit/s, a queue of 50 ms", FAR),
];

const fn case(name: &'static str, path: Path) -> Case {
    Case {
        name,
        path,
        of_clean: None,
    }
}

const fn at_least(part: f64, case: Case) -> Case {
    Case {
        of_clean: Some(part),
        ..case
    }
}

const fn jitter(path: Path, micros: u64) -> Path {
    Path {
        jitter: Duration::from_micros(micros),
        ..path
    }
}

const fn loss(path: Path, loss: f64) -> Path {
    Path { loss, ..path }
}

const fn queue(path: Path, millis: u64) -> Path {
    Path {
        queue: Some(Duration::from_millis(millis)),
        ..path
    }
}

const fn fast(path: Path) -> Path {
    Path {
        rate: Rate::Constant(200_000_000),
        ..path
    }
}

const NEAR: Path = Path {
    rate: Rate::Constant(100_000_000),
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
    loss: 0.0,
    queue: Some(Duration::from_millis(50)),
    policer: None,
};
const MIDDLE: Path = Path {
    delay: Duration::from_millis(25),
    ..NEAR
};
const FAR: Path = Path {
    delay: Duration::from_millis(50),
    ..NEAR
};
const GIGABIT: Path = Path {
    rate: Rate::Constant(1_000_000_000),
    queue: None,
    ..FAR
};
const POLICED: Path = Path {
    rate: Rate::Constant(1_000_000_000),
    policer: Some(Policer {
        rate: 100_000_000,
        burst: Duration::from_millis(10),
    }),
    ..NEAR
};
const THIRDS: Path = Path {
    rate: Rate::Thirds(100_000_000, 10_000_000, Duration::from_secs(30)),
    ..NEAR
};
const CHANGING: Path = Path {
    rate: Rate::Random(5_000_000, 50_000_000, Duration::from_millis(200)),
    queue: Some(Duration::from_millis(200)),
    ..NEAR
};
