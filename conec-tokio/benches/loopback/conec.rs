//! conec by way of tokio, as its users get it: default settings, but that no other path than the one measured is taken.

use std::sync::Arc;

use conec_core::PathPolicy;
use conec_tokio::{
    Certificate, Channel, Client, ClientConfig, Coordinator, CoordinatorConfig, CoordinatorEvent,
    Identity, Name, Trust,
};

use crate::{
    calls,
    load::{self, Load},
    meter::Meter,
    process::{Ready, ready},
    result::Result,
};

pub(crate) async fn coordinate(load: Option<Load>, meter: Arc<Meter>) -> Result<()> {
    let config = CoordinatorConfig::new(certificate()?);
    let coordinator = Coordinator::bind("127.0.0.1:0", config).await?;
    ready(
        coordinator.local_addr(),
        coordinator.pin().to_string().into(),
    )?;
    while let Some(event) = coordinator.next_event().await {
        if let (Some(load), CoordinatorEvent::ClientConnected { client, .. }) = (load, event)
            && let Some(home) = coordinator.channel(client)
        {
            accept(home, load, Arc::clone(&meter)).await?;
        }
    }
    Ok(())
}

pub(crate) async fn receive(coordinator: Ready, load: Load, meter: Arc<Meter>) -> Result<()> {
    let client = connect(&coordinator, Some(RECEIVER)).await?;
    ready(coordinator.address, Vec::new())?;
    let offer = client.accept().await.ok_or("the client has ended")?;
    let channel = offer.accept().await?;
    match load.is_calls() {
        true => calls::answer(&channel, &meter).await,
        false => accept(channel, load, meter).await,
    }
}

pub(crate) async fn send(
    coordinator: Ready,
    load: Load,
    home: bool,
    meter: Arc<Meter>,
) -> Result<()> {
    let client = connect(&coordinator, None).await?;
    let channel = if home {
        client.home()
    } else {
        client.open(RECEIVER.parse::<Name>()?, "benchmark").await?
    };
    ready(coordinator.address, Vec::new())?;
    if load.is_calls() {
        return calls::make(channel, load, &meter).await;
    }
    let (sender, receiver) = channel.open_bi("load").await?;
    load::initiate(load, sender, receiver, meter).await
}

async fn accept(channel: Channel, load: Load, meter: Arc<Meter>) -> Result<()> {
    let stream = channel.accept().await.ok_or("the channel has ended")?;
    load::accept(load, stream.sender, stream.receiver, meter).await
}

async fn connect(coordinator: &Ready, name: Option<&str>) -> Result<Client> {
    let config = client_config(coordinator, name)?;
    Ok(Client::connect(&coordinator.address.to_string(), config).await?)
}

pub(crate) fn certificate() -> Result<Certificate> {
    Ok(Certificate::self_signed(["localhost"])?)
}

pub(crate) fn client_config(coordinator: &Ready, name: Option<&str>) -> Result<ClientConfig> {
    let pin = std::str::from_utf8(&coordinator.trust)?.parse()?;
    let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
    config.name = name.map(str::parse).transpose()?;
    // What is measured is the way through the Coordinator.
    config.paths.policy = PathPolicy::ProxiedOnly;
    Ok(config)
}

pub(crate) const RECEIVER: &str = "receiver";
