//! What Clients lose when their Coordinator goes away: real processes and sockets, on the loopback interface. Linux only.
//!
//! ```text
//! cargo bench -p conec-tests --bench outage             # all cases
//! cargo bench -p conec-tests --bench outage -- killed   # the cases in whose names one of these words occurs
//! cargo bench -p conec-tests --bench outage -- --quick  # less of everything
//! ```
//!
//! | case | what happens |
//! | --- | --- |
//! | `killed` | the Coordinator is killed (SIGKILL) in the middle of a proxied transfer of 1 GiB, and started anew 1 s later |
//! | `stopped` | it is stopped (SIGSTOP) for 20 s, and then goes on |
//! | `rolling` | two Coordinators hand over to each other, 100 times, with a message every 5 ms under way |
//! | `herd` | 4096 Clients come back at once to a Coordinator that was killed |
//! | `peer` | 10 times, one of two Clients is killed, with a message every 5 ms under way, and started anew 8 s after it is missed |
//!
//! The Coordinator has a process of its own, and so has the Client that is killed; the others share this one. A *gap* is the longest time in which nothing arrives.

mod clients;
mod coordinator;
mod mortal;

#[path = "../../../conec-tokio/benches/loopback/meter.rs"]
#[expect(dead_code, reason = "shared with the benchmark on loopback")]
mod meter;
#[path = "../../../conec-tokio/benches/loopback/process.rs"]
#[expect(dead_code, reason = "shared with the benchmark on loopback")]
mod process;
#[path = "../../../conec-tokio/benches/loopback/result.rs"]
mod result;

use std::time::Duration;

use lexopt::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{clients::Transfer, coordinator::Coordinators, result::Result};

fn main() -> Result<()> {
    let (mut wanted, mut quick) = (Vec::new(), false);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("role") => {
                return match serde_json::from_str(&args.value()?.string()?)? {
                    Role::Coordinator(role) => coordinator::run(role),
                    Role::Client(role) => mortal::run(role),
                };
            }
            // What cargo adds.
            Long("bench") => {}
            Long("quick") => quick = true,
            Value(word) => wanted.push(word.string()?),
            Short(_) | Long(_) => return Err(arg.unexpected().into()),
        }
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| name.contains(it));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let part = if quick { 8 } else { 1 };
    if is_wanted("killed") {
        runtime.block_on(killed((1 << 30) / part))?;
    }
    if is_wanted("stopped") {
        runtime.block_on(stopped(Duration::from_secs(20) / part as u32))?;
    }
    if is_wanted("rolling") {
        runtime.block_on(rolling(100 / part))?;
    }
    if is_wanted("herd") {
        runtime.block_on(herd(4096 / part))?;
    }
    if is_wanted("peer") {
        runtime.block_on(mortal::peer((10 / part).max(1)))?;
    }
    Ok(())
}

/// What this program is started again as.
#[derive(Serialize, Deserialize)]
enum Role {
    Coordinator(coordinator::Role),
    Client(mortal::Role),
}

async fn killed(bytes: usize) -> Result<()> {
    let coordinators = Coordinators::new(64)?;
    let first = coordinators.start(None)?;
    let at = first.ready.address;
    let transfer = Transfer::begin(&coordinators, at, bytes, None).await?;
    transfer.reach(bytes / 3).await;
    first.kill()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _second = coordinators.start(Some(at))?;
    let report = transfer.end().await?;
    println!("killed: {report}");
    Ok(())
}

async fn stopped(time: Duration) -> Result<()> {
    let coordinators = Coordinators::new(64)?;
    let coordinator = coordinators.start(None)?;
    let at = coordinator.ready.address;
    let bytes = 256 << 20;
    let transfer = Transfer::begin(&coordinators, at, bytes, None).await?;
    transfer.reach(bytes / 3).await;
    coordinator.stop()?;
    tokio::time::sleep(time).await;
    coordinator.go_on()?;
    let report = transfer.end().await?;
    println!("stopped for {time:?}: {report}");
    Ok(())
}

async fn rolling(rounds: usize) -> Result<()> {
    let coordinators = Coordinators::new(64)?;
    let mut present = coordinators.start(None)?;
    let at = present.ready.address;
    let pace = Some(Duration::from_millis(5));
    let transfer = Transfer::begin(&coordinators, at, usize::MAX, pace).await?;
    for _ in 0..rounds {
        let mut next = coordinators.start(None)?;
        present.drain(next.ready.address)?;
        while next.clients()? < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        present.kill()?;
        present = next;
    }
    transfer.stop();
    let report = transfer.end().await?;
    println!("rolling, {rounds} times: {report}");
    Ok(())
}

async fn herd(count: usize) -> Result<()> {
    let coordinators = Coordinators::new(count)?;
    let first = coordinators.start(None)?;
    let at = first.ready.address;
    let began = std::time::Instant::now();
    let clients = clients::many(&coordinators, at, count).await?;
    println!(
        "herd: {count} clients connected one after the other in {:.1?}",
        began.elapsed()
    );
    first.kill()?;
    clients::miss(&clients).await?;
    let second = coordinators.start(Some(at))?;
    let began = std::time::Instant::now();
    for client in &clients {
        client.connected().await?;
    }
    let took = began.elapsed();
    let memory = second.peak_memory()?;
    println!(
        "herd: {count} clients back in {took:.1?}, the Coordinator's peak memory {} MiB of {} MiB",
        memory >> 20,
        coordinators.memory() >> 20,
    );
    Ok(())
}
