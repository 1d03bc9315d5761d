//! The Coordinator and the two Clients that are measured, by way of tokio, as users get them.

use std::sync::Arc;

use bytes::Bytes;
use conec_tokio::{
    Certificate, Channel, Client, ClientConfig, Coordinator, CoordinatorConfig, CoordinatorEvent,
    Identity, Name, PathPolicy, Receiver, Trust,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};

use crate::{
    meter::Meter,
    process::{Ready, ready},
    result::Result,
};

/// What the sender does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    Idle,
    /// A small message to and fro.
    RoundTrips,
    /// Large messages.
    Bulk,
}

/// With default settings. Reads all streams but those that say by their labels that they are not to be read.
pub(crate) async fn coordinate() -> Result<()> {
    let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    config.second_port = Some(0);
    let coordinator = Coordinator::bind("127.0.0.1:0", config).await?;
    let pin = coordinator.pin().to_string();
    ready(coordinator.local_addr(), pin.into())?;
    while let Some(event) = coordinator.next_event().await {
        if let CoordinatorEvent::ClientConnected { client, .. } = event
            && let Some(home) = coordinator.channel(client)
        {
            tokio::spawn(read_all(home));
        }
    }
    Ok(())
}

async fn read_all(home: Channel) {
    let mut unread = Vec::new();
    while let Some(stream) = home.accept().await {
        match stream.label == UNREAD {
            true => unread.push(stream),
            false => drop(tokio::spawn(read(stream.receiver, None))),
        }
    }
}

/// Sends back what is small, and counts the rest.
pub(crate) async fn receive(coordinator: Ready, meter: Arc<Meter>) -> Result<()> {
    let client = connect(&coordinator, Some(RECEIVER)).await?;
    ready(coordinator.address, Vec::new())?;
    // Nobody answers the offers that come after this one.
    let offer = client.accept().await.ok_or("the client has ended")?;
    let channel = offer.accept().await?;
    let accepted = async || channel.accept().await.ok_or("the channel has ended");
    let (mut ping, bulk) = (accepted().await?, accepted().await?);
    tokio::spawn(read(bulk.receiver, Some(meter)));
    let mut pong = ping.sender.take().ok_or("no way back")?;
    while let Some(message) = ping.receiver.recv().await? {
        pong.send(message).await?;
    }
    Ok(())
}

async fn read(mut receiver: Receiver, meter: Option<Arc<Meter>>) {
    while let Ok(Some(message)) = receiver.recv().await {
        if let Some(meter) = &meter {
            meter.received(message.len(), 1);
        }
    }
}

/// Sends what it is told to.
pub(crate) async fn send(
    coordinator: Ready,
    meter: Arc<Meter>,
    mut modes: watch::Receiver<Mode>,
) -> Result<()> {
    let client = connect(&coordinator, None).await?;
    let channel = client.open(RECEIVER.parse::<Name>()?, "bystanders").await?;
    let (mut ping, mut pong) = channel.open_bi("ping").await?;
    let mut bulk = channel.open_uni("bulk").await?;
    // The other end hears of both in this order.
    ping.send(Bytes::new()).await?;
    pong.recv().await?;
    bulk.send(Bytes::new()).await?;
    ready(coordinator.address, Vec::new())?;
    loop {
        let mode = *modes.borrow_and_update();
        match mode {
            Mode::Idle => modes.changed().await?,
            Mode::RoundTrips => {
                let begin = Instant::now();
                ping.send(Bytes::from_static(&[0x5a; PING])).await?;
                pong.recv().await?.ok_or("no answer")?;
                meter.round_trip(begin.elapsed());
            }
            Mode::Bulk => bulk.send(Bytes::from_static(&[0x5a; PIECE])).await?,
        }
    }
}

async fn connect(coordinator: &Ready, name: Option<&str>) -> Result<Client> {
    let pin = std::str::from_utf8(&coordinator.trust)?.parse()?;
    let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
    config.name = name.map(str::parse).transpose()?;
    // What is measured is the way through the Coordinator.
    config.paths.policy = PathPolicy::ProxiedOnly;
    Ok(Client::connect(&coordinator.address.to_string(), config).await?)
}

/// The label of streams that the Coordinator does not read.
pub(crate) const UNREAD: &str = "unread";
/// The name of the bystander that is talked to.
pub(crate) const RECEIVER: &str = "receiver";
const PING: usize = 64;
const PIECE: usize = 256 << 10;
