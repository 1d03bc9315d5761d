//! What the others notice of a member that never reads.

use std::{thread, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    load::Load,
    measure::{WARM_UP, coordinator, sample},
    process::Process,
    report::{Record, median},
    result::Result,
    role::{Role, To},
    settings::Settings,
};

/// Who is there besides the others.
#[derive(Debug, Clone, Copy)]
enum Besides {
    Nobody,
    /// Somebody whose application takes nothing.
    Unread,
    /// Somebody whose process stands still: not even its packets are taken.
    Stopped,
}

#[derive(Debug, Clone, Copy)]
struct Figures {
    deliveries: f64,
    median: f64,
    p99: f64,
}

pub(crate) fn measure(settings: &Settings) -> Result<Record> {
    let cases = [
        ("without", Besides::Nobody),
        ("beside a member that never reads", Besides::Unread),
        ("beside one that is stopped", Besides::Stopped),
    ];
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..settings.rounds {
        for ((_, besides), figures) in cases.iter().zip(&mut all) {
            figures.push(round(*besides, settings)?);
        }
    }
    let mut record = Record::new(
        format!("unread, 1 to 10; how long messages take, at {RATE} in a second"),
        &[
            "deliveries/s",
            "of those without",
            "median, µs",
            "p99, µs",
            "p99, of that without",
        ],
    );
    let [without, ..] = &all;
    for ((name, _), figures) in cases.iter().zip(&all) {
        let of = |figure: fn(&Figures) -> f64| median(figures.iter().map(figure).collect());
        let ratio = |figure: fn(&Figures) -> f64| {
            let pairs = figures.iter().zip(without);
            median(
                pairs
                    .map(|(it, other)| figure(it) / figure(other))
                    .collect(),
            )
        };
        record.add(
            *name,
            [
                of(|it| it.deliveries),
                ratio(|it| it.deliveries),
                of(|it| it.median),
                of(|it| it.p99),
                ratio(|it| it.p99),
            ],
        );
    }
    record.print();
    Ok(record)
}

fn round(besides: Besides, settings: &Settings) -> Result<Figures> {
    let mut fast = Load::new(1, 10);
    fast.window = Some(settings.window);
    let mut paced = Load::new(1, 10);
    paced.rate = Some(RATE);
    let deliveries = run(besides, fast, settings)?.0;
    let (_, times) = run(besides, paced, settings)?;
    let (median, p99) = times.ok_or("nothing has come")?;
    let micros = |it: Duration| it.as_secs_f64() * 1e6;
    Ok(Figures {
        deliveries,
        median: micros(median),
        p99: micros(p99),
    })
}

fn run(
    besides: Besides,
    load: Load,
    settings: &Settings,
) -> Result<(f64, Option<(Duration, Duration)>)> {
    let mtu = settings.mtu;
    let coordinator = coordinator(false, mtu)?;
    let ready = coordinator.ready.clone();
    let to = To::Conec {
        ready,
        mtu,
        sealed: false,
    };
    let other = match besides {
        Besides::Nobody => None,
        Besides::Unread | Besides::Stopped => {
            let mut load = Load::new(0, 1);
            load.reads = false;
            let to = to.clone();
            Some(Process::start("other member", &Role::Members { to, load })?)
        }
    };
    if let (Besides::Stopped, Some(other)) = (besides, &other) {
        signal(other, Signal::SIGSTOP)?;
    }
    let mut members = Process::start("members", &Role::Members { to, load })?;
    thread::sleep(WARM_UP);
    let began = sample(&mut members)?;
    thread::sleep(settings.time);
    let ended = sample(&mut members)?;
    if let Some(other) = &other {
        signal(other, Signal::SIGCONT)?;
    }
    let deliveries = (ended.messages - began.messages) as f64;
    let time = (ended.time - began.time).as_secs_f64();
    Ok((deliveries / time, ended.round_trip))
}

pub(crate) fn signal(process: &Process, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(process.id().try_into()?), signal)?)
}

/// So many messages in a second leave the processors idle for most of the time.
const RATE: u64 = 500;
