//! What a Client takes in a process with many others, once all of them are idle: resident memory, as the system counts it.
//!
//! ```sh
//! cargo run --release -p conec-tests --example many_clients -- 1000
//! ```

use std::{
    error::Error,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use conec_tokio::{
    Certificate, Client, ClientConfig, Coordinator, CoordinatorConfig, Identity, KeyPin, Trust,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "1000".into());
    if argument == "coordinator" {
        return coordinate().await;
    }
    // In a process of its own, so that its memory is not counted.
    let mut child = Command::new(std::env::current_exe()?)
        .arg("coordinator")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or("has an output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let (address, pin) = line.trim().split_once(' ').ok_or("an address and a pin")?;
    let (address, pin) = (address.parse::<SocketAddr>()?, pin.parse::<KeyPin>()?);
    let connect = || -> Result<_, Box<dyn Error>> {
        let config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
        Ok(async move { Client::connect_to("localhost", &[address], config).await })
    };
    // What the first ones take is for all.
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(connect()?.await?);
    }
    let (before, count) = (resident()?, argument.parse::<usize>()?);
    for _ in 0..count {
        clients.push(connect()?.await?);
    }
    // Until all are idle.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let grown = resident()?.saturating_sub(before);
    println!("{count} clients: {} kB each", grown / count / 1000);
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

async fn coordinate() -> Result<(), Box<dyn Error>> {
    let certificate = Certificate::self_signed(["localhost"])?;
    let mut config = CoordinatorConfig::new(certificate);
    config.limits.clients_per_network = Some(config.limits.clients);
    let coordinator = Coordinator::bind("127.0.0.1:0", config).await?;
    println!("{} {}", coordinator.local_addr(), coordinator.pin());
    let end = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(end).await??;
    std::process::exit(0)
}

/// Bytes of this process that are in memory.
fn resident() -> Result<usize, Box<dyn Error>> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split(' ').nth(1).ok_or("the second of them")?;
    Ok(resident.parse::<usize>()? * 4096)
}
