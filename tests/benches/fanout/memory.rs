//! What the Coordinator's process takes, with few members and with many.

use std::{fs, thread, time::Duration};

use nix::sys::signal::Signal;

use crate::{
    conec::Settings as Group,
    load::Load,
    process::Process,
    report::Record,
    result::Result,
    role::{Role, To},
    settings::Settings,
    unread::signal,
};

pub(crate) fn measure(settings: &Settings) -> Result<Record> {
    let mut record = Record::new(
        "memory of the Coordinator's process, in MiB".to_owned(),
        &[
            "with nobody",
            "members, no messages",
            "1 MiB of history",
            "a burst, members stopped",
            "members caught up",
            "peak",
        ],
    );
    for members in [10, 100, 1000] {
        let figures = run(members, settings)?;
        record.add(format!("{members} members"), figures);
    }
    record.print();
    Ok(record)
}

fn run(subscribers: usize, settings: &Settings) -> Result<[f64; 6]> {
    let mtu = settings.mtu;
    let group = Group {
        pushes_back: false,
        history: Some(HISTORY),
        clients: 1100,
        mtu,
    };
    let coordinator = Process::start("coordinator", &Role::Coordinator(group))?;
    let ready = coordinator.ready.clone();
    let to = To::Conec {
        ready,
        mtu,
        sealed: false,
    };
    let start = |name, load| {
        Process::start(
            name,
            &Role::Members {
                to: to.clone(),
                load,
            },
        )
    };
    let memory = |of: &str| memory(&coordinator, of);

    let alone = memory("VmRSS:")?;
    let members = start("members", Load::new(0, subscribers))?;
    thread::sleep(SETTLE);
    let joined = memory("VmRSS:")?;

    // More than a machine like this one can send to very many: most of them lag, and so do not get all.
    let _first = start("publisher", publish(HISTORY, 1024, 128))?;
    thread::sleep(Duration::from_secs(8) + SETTLE);
    let history = memory("VmRSS:")?;

    signal(&members, Signal::SIGSTOP)?;
    let _second = start("publisher", publish(16 * HISTORY, 1024, 8000))?;
    thread::sleep(Duration::from_secs(3) + SETTLE);
    let burst = memory("VmRSS:")?;
    signal(&members, Signal::SIGCONT)?;
    thread::sleep(2 * SETTLE);
    let caught_up = memory("VmRSS:")?;
    Ok([alone, joined, history, burst, caught_up, memory("VmHWM:")?])
}

fn publish(bytes: usize, size: usize, rate: u64) -> Load {
    let mut load = Load::new(1, 0);
    load.size = size;
    load.rate = Some(rate);
    load.total = Some((bytes / size) as u64);
    load
}

/// In MiB.
fn memory(process: &Process, of: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find(|line| line.starts_with(of));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("no such figure")?.parse::<f64>()? / 1024.0)
}

const HISTORY: usize = 1 << 20;
const SETTLE: Duration = Duration::from_secs(2);
