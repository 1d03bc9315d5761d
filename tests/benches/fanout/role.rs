//! What the processes do.

use std::{sync::Arc, thread};

use conec_core::{GroupKey, Secret};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{
    bare, conec,
    load::{self, Load},
    meter::Meter,
    nats,
    process::{Ready, say},
    result::Result,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    Coordinator(conec::Settings),
    BareServer { size: usize, mtu: u16 },
    Members { to: To, load: Load },
}

/// Whose members.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum To {
    Conec {
        ready: Ready,
        mtu: u16,
        sealed: bool,
    },
    Bare {
        ready: Ready,
        mtu: u16,
    },
    Nats(std::net::SocketAddr),
}

/// Does what a role does, until there is no more input.
pub(crate) fn run(role: Role) -> Result<()> {
    let meter = Arc::new(Meter::new());
    let for_role = Arc::clone(&meter);
    thread::spawn(move || {
        if let Err(error) = perform(role, &for_role) {
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

fn perform(role: Role, meter: &Arc<Meter>) -> Result<()> {
    match role {
        Role::Coordinator(settings) => conec::coordinate(settings),
        Role::BareServer { size, mtu } => bare::serve(size, mtu),
        Role::Members { to, load } => members(to, load, meter),
    }
}

fn members(to: To, load: Load, meter: &Arc<Meter>) -> Result<()> {
    // Each has a socket.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    match to {
        To::Conec { ready, mtu, sealed } => load::run(load, meter, |part, registry, token| {
            // Nobody is to be kept from anything by it here.
            let key = sealed.then(|| GroupKey::from(Secret::from([7; 32])));
            let takes = (key, load.receive_window, load.reads);
            conec::Member::connect(&ready, mtu, (part, takes), registry, token)
        }),
        To::Bare { ready, mtu } => load::run(load, meter, |part, registry, token| {
            bare::Member::connect(&ready, mtu, (part, load.size), registry, token)
        }),
        To::Nats(address) => load::run(load, meter, |part, registry, token| {
            nats::Member::connect(address, part, registry, token)
        }),
    }
}
