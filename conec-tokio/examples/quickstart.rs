//! A Coordinator and two Clients in one process, over real UDP sockets.
//!
//! ```text
//! cargo run --release -p conec-tokio --example quickstart
//! ```

use std::{
    error::Error,
    time::{Duration, Instant},
};

use conec_tokio::{
    Certificate, Channel, Client, ClientConfig, Coordinator, CoordinatorConfig, Identity,
    IncomingStream, Name, Trust,
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const CONVERSATIONS: usize = 4;
const ROUNDS: usize = 250;
const BULK: usize = 256 << 20;
const PIECE: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    // 1. The Coordinator. Clients know it by the hash of its key, so a certificate made on the spot will do.
    let certificate = Certificate::self_signed(["localhost"])?;
    let coordinator = Coordinator::bind("127.0.0.1:0", CoordinatorConfig::new(certificate)).await?;

    // 2. Two Clients, each with a name.
    let alice = connect(&coordinator, "alice").await?;
    let bob = connect(&coordinator, "bob").await?;

    // 3. A channel between them. Naming the key, not just "bob", would make it safe even against the Coordinator.
    let bob_accepts = tokio::spawn({
        let bob = bob.clone();
        async move { accept(&bob).await }
    });
    let from_alice = alice.open("bob".parse::<Name>()?, "quickstart").await?;
    let from_bob = bob_accepts.await??;

    // 4. Messages both ways, on several streams at once.
    let echo = tokio::spawn(echo(from_bob.clone()));
    let mut talks = JoinSet::new();
    for topic in 0..CONVERSATIONS {
        talks.spawn(talk(from_alice.clone(), topic));
    }
    let echoed = talks.join_all().await.into_iter().sum::<Result<usize>>()?;
    echo.await??;

    // 5. And then a lot of bytes.
    let started = Instant::now();
    let receiver = tokio::spawn(receive_bulk(from_bob.clone()));
    send_bulk(from_alice.clone()).await?;
    let received = receiver.await??;
    let seconds = started.elapsed().as_secs_f64();

    for (name, client) in [("alice", &alice), ("bob", &bob)] {
        println!("{name:<12} {}", client.id());
    }
    let stats = coordinator.stats();
    println!("coordinator  {}", coordinator.pin());
    println!(
        "path         proxied: {} packets forwarded, none of them readable by the coordinator",
        stats.datagrams_forwarded,
    );
    println!("messages     {echoed} sent and echoed on {CONVERSATIONS} streams, all in order");
    println!(
        "bulk         {} MiB in {seconds:.2} s: {:.0} MB/s",
        received >> 20,
        received as f64 / 1e6 / seconds,
    );

    // 6. Goodbye.
    let patience = Duration::from_secs(5);
    tokio::join!(alice.close(patience), bob.close(patience));
    coordinator.close(patience).await;
    Ok(())
}

async fn connect(coordinator: &Coordinator, name: &str) -> Result<Client> {
    let trust = Trust::Pin(coordinator.pin());
    let mut config = ClientConfig::new(Identity::generate()?, trust);
    config.name = Some(name.parse()?);
    Ok(Client::connect(&coordinator.local_addr().to_string(), config).await?)
}

async fn accept(client: &Client) -> Result<Channel> {
    let offer = client.accept().await.ok_or("not connected any more")?;
    Ok(offer.accept().await?)
}

/// Says something on a stream of its own, and checks that it comes back, again and again.
async fn talk(channel: Channel, topic: usize) -> Result<usize> {
    let (mut sender, mut receiver) = channel.open_bi(format!("topic {topic}")).await?;
    for round in 0..ROUNDS {
        let message = format!("message {round} about topic {topic}");
        sender.send(message.clone().into()).await?;
        let answer = receiver.recv().await?.ok_or("no answer")?;
        assert_eq!(answer, message);
    }
    sender.finish()?;
    assert_eq!(receiver.recv().await?, None);
    Ok(ROUNDS)
}

/// Sends back whatever comes on each stream.
async fn echo(channel: Channel) -> Result<()> {
    let mut streams = JoinSet::new();
    for _ in 0..CONVERSATIONS {
        let stream = channel.accept().await.ok_or("the channel has ended")?;
        streams.spawn(echo_stream(stream));
    }
    streams.join_all().await.into_iter().collect()
}

async fn echo_stream(mut stream: IncomingStream) -> Result<()> {
    let mut sender = stream.sender.ok_or("a stream to answer on")?;
    while let Some(message) = stream.receiver.recv().await? {
        sender.send(message).await?;
    }
    Ok(sender.finish()?)
}

async fn send_bulk(channel: Channel) -> Result<()> {
    let mut sender = channel.open_uni("bulk").await?;
    let piece = bytes::Bytes::from(vec![0x5a; PIECE]);
    for _ in 0..BULK / PIECE {
        sender.send(piece.clone()).await?;
    }
    sender.finish()?;
    sender.finished().await;
    Ok(())
}

async fn receive_bulk(channel: Channel) -> Result<usize> {
    let style = "{bar:40} {bytes:>10} of {total_bytes}  {bytes_per_sec}";
    let progress = ProgressBar::new(BULK as u64).with_style(ProgressStyle::with_template(style)?);
    let mut stream = channel.accept().await.ok_or("the channel has ended")?;
    let mut received = 0;
    while let Some(piece) = stream.receiver.recv().await? {
        received += piece.len();
        progress.set_position(received as u64);
    }
    progress.finish();
    Ok(received)
}
