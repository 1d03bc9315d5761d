//! One process in the lab of real NATs, which `tests/lab/run` builds: a Coordinator, or one of two Clients.
//!
//! ```text
//! lab_node coordinate ADDRESS
//! lab_node answer COORDINATOR NAME
//! lab_node call COORDINATOR NAME PEER SECONDS
//!
//! lab_node mirror ADDRESS
//! lab_node punch MIRROR NAME SECONDS
//! ```
//!
//! The last two [try the routers](punch) without conec. The caller exchanges messages with the answerer, and prints by
//! which way they went: `direct`, or `proxied` if they still went through the Coordinator when the time was over. It does
//! not take its Client's word for that, but asks the Coordinator how much it has forwarded. Then it prints what its Client
//! finds itself behind: `open`, `independent` or `dependent`.

#![forbid(unsafe_code)]

mod punch;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_tests::keys;
use conec_tokio::{
    Channel, Client, ClientConfig, CloseReason, Coordinator, CoordinatorConfig, CoordinatorEvent,
    ErrorCode, Identity, Name, Nat, OpenError, Receiver, Sender, Trust,
};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["coordinate", address] => coordinate(address).await,
        ["answer", coordinator, name] => answer(&connect(coordinator, name).await?).await,
        ["call", coordinator, name, peer, seconds] => {
            let client = connect(coordinator, name).await?;
            let patience = Duration::from_secs(seconds.parse()?);
            let way = call(&client, peer.parse()?, patience).await?;
            println!("{way} {}", nat(&client).await);
            client.close(Duration::from_secs(1)).await;
            Ok(())
        }
        ["mirror", address] => punch::mirror(address),
        ["punch", mirror, name, seconds] => {
            let patience = Duration::from_secs(seconds.parse()?);
            println!("{}", punch::punch(mirror, name, patience)?);
            Ok(())
        }
        _ => Err("see the top of tests/src/bin/lab_node/main.rs for usage".into()),
    }
}

/// Serves until it is killed, and tells everyone who asks how many bytes it has forwarded.
async fn coordinate(address: &str) -> Result<()> {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.second_port = Some(0);
    let coordinator = Coordinator::bind(address, config).await?;
    while let Some(event) = coordinator.next_event().await {
        if let CoordinatorEvent::ClientConnected { client, .. } = event
            && let Some(home) = coordinator.channel(client)
        {
            let coordinator = coordinator.clone();
            tokio::spawn(async move {
                while let Some(stream) = home.accept().await {
                    if let Some(mut sender) = stream.sender {
                        let forwarded = coordinator.stats().bytes_forwarded;
                        let answer = Bytes::copy_from_slice(&forwarded.to_be_bytes());
                        if sender.send(answer).await.is_err() || sender.finish().is_err() {
                            // Who is gone needs no answer.
                            break;
                        }
                    }
                }
            });
        }
    }
    Ok(())
}

/// Connects, however long the Coordinator takes to be there.
async fn connect(coordinator: &str, name: &str) -> Result<Client> {
    let begin = Instant::now();
    loop {
        let mut config =
            ClientConfig::new(Identity::generate()?, Trust::Pin(keys::certificate().pin()));
        config.name = Some(name.parse()?);
        match Client::connect(coordinator, config).await {
            Ok(client) => return Ok(client),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Sends everything back that comes on the streams of one channel, until it ends.
async fn answer(client: &Client) -> Result<()> {
    let offer = client.accept().await.ok_or("the coordinator is gone")?;
    let channel = offer.accept().await?;
    while let Some(mut stream) = channel.accept().await {
        let mut sender = stream.sender.ok_or("the stream has no way back")?;
        tokio::spawn(async move {
            while let Ok(Some(message)) = stream.receiver.recv().await {
                if sender.send(message).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}

async fn call(client: &Client, peer: Name, patience: Duration) -> Result<&'static str> {
    let channel = open(client, &peer).await?;
    let (mut sender, mut receiver) = channel.open_bi("echo").await?;
    let begin = Instant::now();
    let mut round = 0;
    while begin.elapsed() < patience {
        let before = forwarded(client).await?;
        exchange(&mut sender, &mut receiver, round).await?;
        round += 1;
        let through_coordinator = forwarded(client).await? - before;
        // Some goes that way in any case: control messages, keep-alives.
        if through_coordinator < (MESSAGES * SIZE / 10) as u64 {
            return Ok("direct");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok("proxied")
}

/// What the Client finds itself behind.
async fn nat(client: &Client) -> &'static str {
    let begin = Instant::now();
    loop {
        match client.nat() {
            Nat::Absent => return "open",
            Nat::PortIndependent => return "independent",
            Nat::PortDependent => return "dependent",
            _ if begin.elapsed() > PATIENCE => return "unclear",
            Nat::Unknown | Nat::Unclassified | _ => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
        }
    }
}

/// Opens a channel, however long the other end takes to be there.
async fn open(client: &Client, peer: &Name) -> Result<Channel> {
    let begin = Instant::now();
    loop {
        match client.open(peer.clone(), "lab").await {
            Err(OpenError::Closed(CloseReason::Remote(ErrorCode::NotFound)))
                if begin.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// Sends messages, and sees them come back whole and in order.
async fn exchange(sender: &mut Sender, receiver: &mut Receiver, round: usize) -> Result<()> {
    let message = |number: usize| {
        let mut message = format!("round {round}, message {number}").into_bytes();
        message.resize(SIZE, number as u8);
        Bytes::from(message)
    };
    for number in 0..MESSAGES {
        sender.send(message(number)).await?;
    }
    for number in 0..MESSAGES {
        let echo = receiver.recv().await?.ok_or("the echo has ended")?;
        if echo != message(number) {
            return Err(format!("round {round}: message {number} came back wrong").into());
        }
    }
    Ok(())
}

/// How many bytes the Coordinator has forwarded, as it says itself.
async fn forwarded(client: &Client) -> Result<u64> {
    let (mut sender, mut receiver) = client.home().open_bi("forwarded").await?;
    sender.finish()?;
    let answer = receiver.recv().await?.ok_or("no answer")?;
    Ok(u64::from_be_bytes(answer[..].try_into()?))
}

const PATIENCE: Duration = Duration::from_secs(15);
const MESSAGES: usize = 200;
const SIZE: usize = 1000;
