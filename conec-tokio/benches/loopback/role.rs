//! What the processes do.

use std::{sync::Arc, thread};

use serde::{Deserialize, Serialize};

use crate::{
    conec, forwarder,
    load::Load,
    meter::Meter,
    mio,
    process::{Ready, say},
    quinn,
    result::Result,
};

/// What a process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    QuinnReceiver(Load),
    QuinnRelay {
        to: Ready,
    },
    QuinnSender {
        to: Ready,
        load: Load,
    },
    Forwarder {
        to: Ready,
    },
    /// Receives what comes on home channels, if there is a load.
    Coordinator(Option<Load>),
    ConecReceiver {
        coordinator: Ready,
        load: Load,
    },
    ConecSender {
        coordinator: Ready,
        load: Load,
        home: bool,
    },
    MioCoordinator,
    MioReceiver {
        coordinator: Ready,
        load: Load,
    },
    MioSender {
        coordinator: Ready,
        load: Load,
    },
}

/// Does what a role does, until there is no more input.
pub(crate) fn run(role: Role, multi_thread: bool) -> Result<()> {
    let meter = Arc::new(Meter::new());
    let for_role = Arc::clone(&meter);
    let mut runtime = if multi_thread {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = runtime.enable_all().build()?;
    thread::spawn(move || {
        // As a task, in a runtime of several threads: whatever is blocked on there runs on none of them.
        let done = match multi_thread {
            true => runtime.block_on(async { tokio::spawn(perform(role, for_role)).await? }),
            false => runtime.block_on(perform(role, for_role)),
        };
        if let Err(error) = done {
            eprintln!("{error}");
            std::process::exit(1);
        }
    });
    for line in std::io::stdin().lines() {
        line?;
        say(&meter.sample()?)?;
    }
    std::process::exit(0);
}

async fn perform(role: Role, meter: Arc<Meter>) -> Result<()> {
    match role {
        Role::QuinnReceiver(load) => quinn::receive(load, meter).await,
        Role::QuinnRelay { to } => quinn::relay(to).await,
        Role::QuinnSender { to, load } => quinn::send(to, load, meter).await,
        Role::Forwarder { to } => forwarder::forward(to).await,
        Role::Coordinator(load) => conec::coordinate(load, meter).await,
        Role::ConecReceiver { coordinator, load } => conec::receive(coordinator, load, meter).await,
        Role::ConecSender {
            coordinator,
            load,
            home,
        } => conec::send(coordinator, load, home, meter).await,
        // Event loops of their own, for which nothing else on this thread has to run.
        Role::MioCoordinator => mio::coordinate(),
        Role::MioReceiver { coordinator, load } => mio::receive(coordinator, load, meter),
        Role::MioSender { coordinator, load } => mio::send(coordinator, load, meter),
    }
}
