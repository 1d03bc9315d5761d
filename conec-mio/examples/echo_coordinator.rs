//! Several endpoints in one event loop, without async and without threads: a Coordinator, and a Client named `echo`,
//! which sends back whatever comes on its channels. The Coordinator does the same on home channels.
//!
//! ```text
//! cargo run --release -p conec-mio --example echo_coordinator [ADDRESS]
//! ```

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an application cares for some events only"
)]

use std::{
    error::Error,
    net::{Ipv6Addr, SocketAddr},
    task,
    time::Instant,
};

use conec_mio::{Client, Coordinator, conec_core::*};
use mio::{Events, Poll, Token};

const COORDINATOR: Token = Token(0);
const ECHO: Token = Token(1);

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("[::]:4433").parse()?;
    let mut poll = Poll::new()?;

    let certificate = Certificate::self_signed(["localhost"])?;
    let pin = certificate.pin();
    let config = CoordinatorConfig::new(certificate);
    let mut coordinator = Coordinator::bind(address, config, poll.registry(), COORDINATOR)?;
    let address = coordinator.local_addr()?;
    println!("at {address}, pin {pin}");

    let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
    config.name = Some("echo".parse()?);
    config.auto_accept = true;
    let address = [reachable(address)];
    let mut echo = Client::connect("localhost", &address, config, poll.registry(), ECHO)?;

    let mut events = Events::with_capacity(64);
    loop {
        // Until a socket is ready, or until the first of all deadlines.
        let deadlines = [coordinator.deadline(), echo.deadline()];
        let first = deadlines.into_iter().flatten().min();
        let wait = first.map(|at| at.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(error.into());
            }
            Ok(()) | Err(_) => {}
        }
        for event in &events {
            match event.token() {
                COORDINATOR => coordinator.ready(event),
                ECHO => echo.ready(event),
                _ => {}
            }
        }
        // Without anything to do, a turn costs next to nothing.
        let now = Instant::now();
        coordinator.turn(now);
        echo.turn(now);

        while let Some(event) = coordinator.poll_event() {
            match conec_core::Coordinator::channel_event(event) {
                Ok((channel, event)) => answer(coordinator.endpoint_mut(), channel, event),
                Err(event) => println!("{event:?}"),
            }
        }
        while let Some(event) = echo.poll_event() {
            match conec_core::Client::channel_event(event) {
                Ok((ChannelId::HOME, ChannelEvent::Closed { reason })) => return Err(reason.into()),
                Ok((channel, event)) => answer(echo.endpoint_mut(), channel, event),
                Err(event) => println!("echo: {event:?}"),
            }
        }
    }
}

/// Sends back what has come.
fn answer<E: Endpoint>(endpoint: &mut E, id: ChannelId, event: ChannelEvent) {
    // Not there any more when this is its last event.
    let Some(mut channel) = endpoint.channel(id) else {
        return;
    };
    match event {
        ChannelEvent::Readable { stream } | ChannelEvent::Writable { stream } => {
            let mut stream = channel.stream(stream);
            // A message is taken when it can be sent back. Those that are left stop their sender, by and by.
            while stream.poll_ready() == task::Poll::Ready(Ok(()))
                && let Ok(message) = stream.recv()
            {
                let _ = stream.send(message);
            }
        }
        ChannelEvent::RecvEnded { stream, end } => {
            // Either may have ended by itself.
            let _ = if end == RecvEnd::Finished {
                channel.stream(stream).finish()
            } else {
                channel.stream(stream).abandon_send()
            };
        }
        // Nothing to send back on.
        ChannelEvent::StreamOpened { stream, .. } if stream.direction() == Direction::Uni => {
            let _ = channel.stream(stream).abandon_recv();
        }
        ChannelEvent::DatagramsReadable => {
            while let Some(datagram) = channel.recv_datagram() {
                let _ = channel.send_datagram(datagram);
            }
        }
        _ => {}
    }
}

/// Where a socket that is bound to every address is found from this machine.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound {
        SocketAddr::V4(at) if at.ip().is_unspecified() => ([127, 0, 0, 1], at.port()).into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, at.port()).into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => bound,
    }
}
