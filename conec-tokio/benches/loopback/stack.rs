//! What is compared, and how one measurement is taken.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    load::{Load, TRANSFER},
    meter::Sample,
    process::Process,
    result::Result,
    role::Role,
};

/// A set of processes that a load runs through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stack {
    Quinn,
    QuinnRelay,
    Forwarder,
    ConecHome,
    ConecProxied,
    MioProxied,
}

impl Stack {
    pub(crate) const ALL: [Self; 6] = [
        Self::Quinn,
        Self::QuinnRelay,
        Self::Forwarder,
        Self::ConecHome,
        Self::ConecProxied,
        Self::MioProxied,
    ];

    pub(crate) fn is_conec(self) -> bool {
        matches!(
            self,
            Self::ConecHome | Self::ConecProxied | Self::MioProxied
        )
    }

    pub(crate) fn is_proxied_conec(self) -> bool {
        matches!(self, Self::ConecProxied | Self::MioProxied)
    }

    /// Starts the processes: first the one that initiates, last the one that receives.
    fn start(self, load: Load) -> Result<Vec<Process>> {
        let quinn_receiver = || Process::start("receiver", &Role::QuinnReceiver(load));
        let quinn_sender = |to: &Process| {
            let to = to.ready.clone();
            Process::start("sender", &Role::QuinnSender { to, load })
        };
        Ok(match self {
            Self::Quinn => {
                let receiver = quinn_receiver()?;
                vec![quinn_sender(&receiver)?, receiver]
            }
            Self::QuinnRelay => {
                let receiver = quinn_receiver()?;
                let to = receiver.ready.clone();
                let relay = Process::start("relay", &Role::QuinnRelay { to })?;
                vec![quinn_sender(&relay)?, relay, receiver]
            }
            Self::Forwarder => {
                let receiver = quinn_receiver()?;
                let to = receiver.ready.clone();
                let forwarder = Process::start("forwarder", &Role::Forwarder { to })?;
                vec![quinn_sender(&forwarder)?, forwarder, receiver]
            }
            Self::ConecHome => {
                let receiver = Process::start("coordinator", &Role::Coordinator(Some(load)))?;
                let coordinator = receiver.ready.clone();
                let role = Role::ConecSender {
                    coordinator,
                    load,
                    home: true,
                };
                vec![Process::start("sender", &role)?, receiver]
            }
            Self::ConecProxied => {
                let relay = Process::start("coordinator", &Role::Coordinator(None))?;
                let coordinator = relay.ready.clone();
                let role = Role::ConecReceiver {
                    coordinator: coordinator.clone(),
                    load,
                };
                let receiver = Process::start("receiver", &role)?;
                let role = Role::ConecSender {
                    coordinator,
                    load,
                    home: false,
                };
                vec![Process::start("sender", &role)?, relay, receiver]
            }
            Self::MioProxied => {
                let relay = Process::start("coordinator", &Role::MioCoordinator)?;
                let coordinator = relay.ready.clone();
                let role = Role::MioReceiver {
                    coordinator: coordinator.clone(),
                    load,
                };
                let receiver = Process::start("receiver", &role)?;
                let role = Role::MioSender { coordinator, load };
                vec![Process::start("sender", &role)?, relay, receiver]
            }
        })
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Quinn => "quinn, one hop",
            Self::QuinnRelay => "quinn, stream relay",
            Self::Forwarder => "quinn, UDP forwarder",
            Self::ConecHome => "conec, home channel",
            Self::ConecProxied => "conec, proxied (tokio)",
            Self::MioProxied => "conec, proxied (mio)",
        })
    }
}

/// What a load did on a stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    /// Of a ping-pong, in seconds: the median and the 99th percentile.
    pub(crate) round_trip: Option<(f64, f64)>,
    /// From the initiating one to the receiving one.
    pub(crate) processes: Vec<Used>,
}

/// What a process used for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) name: String,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_memory: u64,
}

pub(crate) fn measure(
    stack: Stack,
    load: Load,
    warm_up: Duration,
    time: Duration,
) -> Result<Measured> {
    let mut processes = stack.start(load)?;
    let (before, after);
    if load == Load::Transfer {
        before = sample(&mut processes)?;
        after = transfer(&mut processes)?;
    } else {
        thread::sleep(warm_up);
        before = sample(&mut processes)?;
        thread::sleep(time);
        after = sample(&mut processes)?;
    }
    let (Some(initiated), Some(received), Some(received_before)) =
        (after.first(), after.last(), before.last())
    else {
        return Err("no processes".into());
    };
    let (bytes, messages) = (
        received.bytes - received_before.bytes,
        received.messages - received_before.messages,
    );
    if bytes == 0 && messages == 0 && initiated.round_trip.is_none() {
        return Err(format!("{stack}, {load}: nothing has arrived").into());
    }
    let seconds = |(a, b): (Duration, Duration)| (a.as_secs_f64(), b.as_secs_f64());
    let used = processes.iter().zip(before.iter().zip(&after));
    Ok(Measured {
        seconds: (received.time - received_before.time).as_secs_f64(),
        bytes,
        messages,
        round_trip: initiated.round_trip.map(seconds),
        processes: used
            .map(|(process, (before, after))| Used {
                name: process.name.to_owned(),
                cpu_seconds: (after.cpu - before.cpu).as_secs_f64(),
                peak_memory: after.peak_memory,
            })
            .collect(),
    })
}

/// Waits until everything has arrived.
fn transfer(processes: &mut [Process]) -> Result<Vec<Sample>> {
    let start = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(10));
        let samples = sample(processes)?;
        match samples.last() {
            Some(receiver) if receiver.bytes == TRANSFER as u64 => return Ok(samples),
            Some(_) | None if start.elapsed() > PATIENCE => {
                return Err("the transfer takes too long".into());
            }
            Some(_) | None => {}
        }
    }
}

/// Samples of all processes, as far as possible of the same moment.
fn sample(processes: &mut [Process]) -> Result<Vec<Sample>> {
    processes.iter_mut().try_for_each(Process::ask)?;
    processes.iter().map(Process::sample).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);
