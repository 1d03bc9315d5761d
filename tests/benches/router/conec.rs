//! conec by way of tokio, as its users get it: default settings, but that no other path than the one measured is taken.

use std::{future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use conec_tokio::{
    Certificate, Channel, Client, ClientConfig, Coordinator, CoordinatorConfig, CoordinatorEvent,
    Identity, Name, PathPolicy, Trust,
};

use crate::{
    control::Control,
    process::{Meter, Ready, ready},
    result::Result,
};

/// Receives what comes on home channels.
pub(crate) fn coordinate(address: SocketAddr, meter: &Arc<Meter>) -> Result<()> {
    block_on(async {
        let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
        let coordinator = Coordinator::bind(&address.to_string(), config).await?;
        ready(address, coordinator.pin().to_string())?;
        while let Some(event) = coordinator.next_event().await {
            if let CoordinatorEvent::ClientConnected { client, .. } = event
                && let Some(home) = coordinator.channel(client)
            {
                let meter = Arc::clone(meter);
                tokio::spawn(async move { count(&home, &meter).await });
            }
        }
        Ok(())
    })
}

/// Receives what comes from another Client.
pub(crate) fn receive(coordinator: &Ready, meter: &Meter) -> Result<()> {
    block_on(async {
        let client = connect(coordinator, Some(RECEIVER), Control::Default).await?;
        ready(coordinator.address, String::new())?;
        let offer = client.accept().await.ok_or("the client has ended")?;
        count(&offer.accept().await?, meter).await
    })
}

/// Sends large messages as fast as they are taken, with the congestion control of this name.
pub(crate) fn send(coordinator: &Ready, home: bool, control: &str) -> Result<()> {
    block_on(async {
        let control = Control::ALL
            .into_iter()
            .find(|known| known.to_string() == control);
        let control = control.ok_or("no such congestion control")?;
        let client = connect(coordinator, None, control).await?;
        let channel = if home {
            client.home()
        } else {
            client.open(RECEIVER.parse::<Name>()?, "bulk").await?
        };
        let mut sender = channel.open_uni("bulk").await?;
        ready(coordinator.address, String::new())?;
        loop {
            let sent = sender.send(Bytes::from_static(&[0x5a; MESSAGE])).await;
            if sent.is_err() {
                return Err(format!("{:?}", channel.closed().await).into());
            }
        }
    })
}

async fn count(channel: &Channel, meter: &Meter) -> Result<()> {
    let mut stream = channel.accept().await.ok_or("the channel has ended")?;
    while let Some(message) = stream.receiver.recv().await? {
        meter.add(message.len());
    }
    Ok(())
}

async fn connect(coordinator: &Ready, name: Option<&str>, control: Control) -> Result<Client> {
    let trust = Trust::Pin(coordinator.pin.parse()?);
    let mut config = ClientConfig::new(Identity::generate()?, trust);
    config.name = name.map(str::parse).transpose()?;
    config.paths.policy = PathPolicy::ProxiedOnly;
    control.configure(&mut config.home);
    control.configure(&mut config.peer);
    Ok(Client::connect(&coordinator.address.to_string(), config).await?)
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(work)
}

const RECEIVER: &str = "receiver";
const MESSAGE: usize = 64 << 10;
