//! What the processes do.

use std::{future::Future, net::SocketAddr, sync::Arc, thread, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    attack::Attack,
    attackers::{self, Traffic},
    bystanders::{self, Mode},
    control,
    meter::Meter,
    process::{Ready, say},
    processors::Processors,
    result::Result,
};

/// What a process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    Coordinator,
    Receiver(Ready),
    Sender(Ready),
    /// Ten of each kind, who use so many processors together.
    Attackers {
        coordinator: SocketAddr,
        attacks: Vec<Attack>,
        /// For how long they use more.
        warm_up: Duration,
        share: f64,
    },
    /// So much a second, to somebody whom each datagram takes so much processor time.
    Control {
        traffic: Traffic,
        for_each: Duration,
        share: f64,
    },
}

/// Does what a role does, until there is no more input. Each line changes what is sent, and is answered by a sample.
pub(crate) fn run(role: Role) -> Result<()> {
    let processors = Processors::of_this_thread()?;
    match role {
        Role::Coordinator | Role::Receiver(_) | Role::Sender(_) => processors.keep_to_measured()?,
        Role::Attackers { .. } | Role::Control { .. } => processors.keep_to_last()?,
    }
    let meter = Arc::new(Meter::new());
    let (mode, changes) = tokio::sync::watch::channel(Mode::Idle);
    let mine = Arc::clone(&meter);
    let mut sent = Traffic::default();
    match role {
        Role::Coordinator => perform(bystanders::coordinate()),
        Role::Receiver(coordinator) => perform(bystanders::receive(coordinator, mine)),
        Role::Sender(coordinator) => perform(bystanders::send(coordinator, mine, changes)),
        Role::Attackers {
            coordinator,
            attacks,
            warm_up,
            share,
        } => attackers::attack(coordinator, &attacks, warm_up, share)?,
        Role::Control {
            traffic,
            for_each,
            share,
        } => control::control(traffic, for_each, share, processors)?,
    }
    for line in std::io::stdin().lines() {
        // Nobody may be listening: not all have something to change.
        let _ = mode.send(serde_json::from_str(&line?)?);
        let before = std::mem::replace(&mut sent, Traffic::sent());
        if sent.datagrams > before.datagrams {
            let bytes = (sent.bytes - before.bytes) as usize;
            meter.received(bytes, sent.datagrams - before.datagrams);
        }
        say(&meter.sample()?)?;
    }
    std::process::exit(0);
}

/// On a thread of its own.
fn perform(work: impl Future<Output = Result<()>> + Send + 'static) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let done = runtime.map_err(Into::into).and_then(|it| it.block_on(work));
        if let Err(error) = done {
            eprintln!("{error}");
        }
        std::process::exit(1);
    });
}
