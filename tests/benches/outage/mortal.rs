//! A Client in a process of its own, which is killed.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use conec_tokio::{Identity, PathPolicy, Sender};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::{
    clients::{connect, connect_as},
    coordinator::Coordinators,
    process::{Process, ready},
    result::Result,
};

#[derive(Serialize, Deserialize)]
pub(crate) struct Role {
    identity: String,
    pin: String,
    coordinator: SocketAddr,
}

/// How soon it is known that a Client was killed, and what becomes of the channel when it is back.
pub(crate) async fn peer(rounds: usize) -> Result<()> {
    let coordinators = Coordinators::new(64)?;
    let coordinator = coordinators.start(None)?;
    let at = coordinator.ready.address;
    let alice = connect(&coordinators, at).await?;
    let identity = Identity::generate()?;
    let key = identity.to_pem().ok_or("it was made here")?;
    let role = Role {
        identity: String::from_utf8(key.as_ref().to_vec())?,
        pin: coordinators.pin().to_string(),
        coordinator: at,
    };
    let (mut missed, mut ended) = (Vec::new(), Vec::new());
    let mut bob = start(&role)?;
    for policy in [PathPolicy::ProxiedOnly, PathPolicy::Auto]
        .iter()
        .cycle()
        .take(rounds)
    {
        let channel = alice.open_with(identity.id(), "news", *policy).await?;
        let talking = tokio::spawn(talk(channel.open_uni("news").await?));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        kill(Pid::from_raw(bob.id().try_into()?), Signal::SIGKILL)?;
        channel.silent().await?;
        missed.push(began.elapsed());
        // One identity may not come back more than 6 times in a minute.
        tokio::time::sleep(Duration::from_secs(8)).await;
        bob = start(&role)?;
        let began = Instant::now();
        let reason = channel.closed().await;
        ended.push(began.elapsed());
        talking.abort();
        println!("peer: the channel ended: {reason}");
    }
    for times in [&mut missed, &mut ended] {
        times.sort_unstable();
    }
    println!(
        "peer, {rounds} times: missed after {:.2?}, at most {:.2?}; the channel's end known {:.2?} after it was back, at most {:.2?}",
        missed[rounds / 2],
        missed[rounds - 1],
        ended[rounds / 2],
        ended[rounds - 1],
    );
    Ok(())
}

/// Until nobody listens any more.
async fn talk(mut sender: Sender) {
    while sender.send("news".into()).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn start(role: &Role) -> Result<Process> {
    let role = Role {
        identity: role.identity.clone(),
        pin: role.pin.clone(),
        ..*role
    };
    Process::start("client", &crate::Role::Client(role))
}

/// The Client's process: it takes every channel, and receives whatever comes.
pub(crate) fn run(role: Role) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let identity = Identity::from_pem(role.identity.as_bytes())?;
        let client = connect_as(identity, role.pin.parse()?, role.coordinator).await?;
        ready(role.coordinator, Vec::new())?;
        while let Some(offer) = client.accept().await {
            let channel = offer.accept_with(PathPolicy::Auto).await?;
            tokio::spawn(async move {
                while let Some(mut stream) = channel.accept().await {
                    while let Ok(Some(_)) = stream.receiver.recv().await {}
                }
            });
        }
        Ok(())
    })
}
