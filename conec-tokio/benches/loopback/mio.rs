//! conec in an event loop without async: the same roles by way of mio.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ClientEvent, CoordinatorConfig, Direction, Endpoint, Name, StreamId,
};
use conec_mio::{Client, Coordinator};
use mio::{Events, Poll, Token};

use crate::{
    conec::{RECEIVER, certificate, client_config},
    load::{Load, TRANSFER},
    meter::Meter,
    process::{Ready, ready},
    result::Result,
};

pub(crate) fn coordinate() -> Result<()> {
    let mut poll = Poll::new()?;
    let config = CoordinatorConfig::new(certificate()?);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut coordinator = Coordinator::bind(address, config, poll.registry(), TOKEN)?;
    let pin = coordinator.endpoint().pin().to_string();
    ready(coordinator.local_addr()?, pin.into())?;
    let mut events = Events::with_capacity(16);
    loop {
        poll.poll(&mut events, until(coordinator.deadline()))?;
        events.iter().for_each(|event| coordinator.ready(event));
        coordinator.turn(Instant::now());
        while coordinator.poll_event().is_some() {}
    }
}

pub(crate) fn receive(coordinator: Ready, load: Load, meter: Arc<Meter>) -> Result<()> {
    let mut config = client_config(&coordinator, Some(RECEIVER))?;
    config.auto_accept = true;
    run(&coordinator, config, |client, event| {
        match event {
            ClientEvent::Connected { .. } => ready(coordinator.address, Vec::new())?,
            ClientEvent::Channel {
                channel,
                event: ChannelEvent::Readable { stream },
            } => {
                let Some(mut channel) = client.endpoint_mut().channel(channel) else {
                    return Ok(());
                };
                for message in channel.stream(stream).recv_batch()? {
                    if load == Load::PingPong {
                        channel.stream(stream).send(message)?;
                    } else {
                        meter.received(message.len(), 1);
                    }
                }
            }
            ClientEvent::AddressObserved { .. }
            | ClientEvent::Throttled { .. }
            | ClientEvent::Offered { .. }
            | ClientEvent::Introduced { .. }
            | ClientEvent::IntroductionFailed { .. }
            | ClientEvent::Channel { .. }
            | _ => {}
        }
        Ok(())
    })
}

pub(crate) fn send(coordinator: Ready, load: Load, meter: Arc<Meter>) -> Result<()> {
    let config = client_config(&coordinator, None)?;
    let message = Bytes::from(vec![0x5a; load.size()]);
    let mut left = match load {
        Load::Transfer => TRANSFER / load.size(),
        // One at a time, each when its answer has come.
        Load::PingPong => 1,
        Load::Bulk | Load::Messages { .. } => usize::MAX,
        Load::Calls { .. } | Load::ManyCalls => {
            return Err("each call has a stream of its own".into());
        }
    };
    let mut sent_at = Instant::now();
    run(&coordinator, config, |client, event| {
        let stream = match event {
            ClientEvent::Connected { .. } => {
                let to = RECEIVER.parse::<Name>()?;
                let core = client.endpoint_mut();
                core.open_channel(Instant::now(), to, b"benchmark")?;
                return Ok(());
            }
            ClientEvent::Channel {
                channel,
                event: ChannelEvent::Opened,
            } => {
                let opened = client.endpoint_mut().channel(channel);
                let mut channel = opened.ok_or("the channel has ended")?;
                if channel.id() == conec_core::ChannelId::HOME {
                    return Ok(());
                }
                ready(coordinator.address, Vec::new())?;
                channel.open(Direction::Bi, b"load")?
            }
            ClientEvent::Channel {
                event: ChannelEvent::Readable { stream },
                ..
            } => {
                if recv(client, stream).is_some() {
                    meter.round_trip(sent_at.elapsed());
                    left = 1;
                }
                stream
            }
            ClientEvent::Channel {
                event: ChannelEvent::Writable { stream },
                ..
            } => stream,
            ClientEvent::AddressObserved { .. }
            | ClientEvent::Throttled { .. }
            | ClientEvent::Offered { .. }
            | ClientEvent::Introduced { .. }
            | ClientEvent::IntroductionFailed { .. }
            | ClientEvent::Channel { .. }
            | _ => return Ok(()),
        };
        let Some(mut channel) = client.endpoint_mut().channel(stream.channel()) else {
            return Ok(());
        };
        sent_at = Instant::now();
        while left > 0 && channel.stream(stream).send(message.clone()).is_ok() {
            left -= 1;
        }
        Ok(())
    })
}

fn recv(client: &mut Client, stream: StreamId) -> Option<Bytes> {
    let mut channel = client.endpoint_mut().channel(stream.channel())?;
    channel.stream(stream).recv().ok()
}

/// The event loop of a Client.
fn run(
    coordinator: &Ready,
    config: conec_core::ClientConfig,
    mut react: impl FnMut(&mut Client, ClientEvent) -> Result<()>,
) -> Result<()> {
    let mut poll = Poll::new()?;
    let to = [coordinator.address];
    let mut client = Client::connect("localhost", &to, config, poll.registry(), TOKEN)?;
    let mut events = Events::with_capacity(16);
    loop {
        poll.poll(&mut events, until(client.deadline()))?;
        events.iter().for_each(|event| client.ready(event));
        client.turn(Instant::now());
        while let Some(event) = client.poll_event() {
            react(&mut client, event)?;
        }
    }
}

fn until(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|at| at.saturating_duration_since(Instant::now()))
}

const TOKEN: Token = Token(0);
