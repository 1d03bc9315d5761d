//! What the processes do.

use std::{net::SocketAddr, sync::Arc, thread, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    conec,
    process::{Meter, Ready, say},
    result::Result,
    tcp,
};

/// What a process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    TcpReceiver(SocketAddr),
    TcpSender {
        to: Ready,
        control: String,
    },
    /// Receives what comes on home channels.
    Coordinator(SocketAddr),
    ConecReceiver(Ready),
    ConecSender {
        coordinator: Ready,
        /// To the Coordinator, or to the other Client.
        home: bool,
        /// The name of a congestion control.
        control: String,
    },
}

/// Does what a role does, until there is no more input.
pub(crate) fn run(role: Role) -> Result<()> {
    let began = Instant::now();
    let meter = Arc::new(Meter::default());
    let mine = Arc::clone(&meter);
    thread::spawn(move || match perform(role, &mine) {
        Ok(()) => mine.end("ended".to_owned()),
        Err(error) => mine.end(error.to_string()),
    });
    for line in std::io::stdin().lines() {
        line?;
        say(&meter.sample(began))?;
    }
    std::process::exit(0);
}

fn perform(role: Role, meter: &Arc<Meter>) -> Result<()> {
    match role {
        Role::TcpReceiver(address) => tcp::receive(address, meter),
        Role::TcpSender { to, control } => tcp::send(to.address, &control),
        Role::Coordinator(address) => conec::coordinate(address, meter),
        Role::ConecReceiver(coordinator) => conec::receive(&coordinator, meter),
        Role::ConecSender {
            coordinator,
            home,
            control,
        } => conec::send(&coordinator, home, &control),
    }
}
