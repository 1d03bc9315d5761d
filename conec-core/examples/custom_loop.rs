//! A loop of one's own around the core: the standard library's UDP socket, and `sleep`.
//!
//! `cargo run -p conec-core --features self-signed --example custom_loop`

#![expect(clippy::disallowed_types, reason = "a driver has a socket")]
#![expect(clippy::disallowed_methods, reason = "and a clock")]

use std::{error::Error, net::UdpSocket, num::NonZeroUsize, thread, time};

use conec_core::*;

/// An endpoint, which knows what to do, and a socket, which does it.
struct Node<E>(E, UdpSocket);

impl<E: Endpoint> Node<E> {
    fn new(endpoint: E) -> Result<Self, Box<dyn Error>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // The loop serves several sockets, so it must not wait at one.
        socket.set_nonblocking(true)?;
        Ok(Self(endpoint, socket))
    }

    /// Does what is to be done now. After that, the application takes events.
    fn turn(&mut self) {
        let Self(endpoint, socket) = self;
        // One clock for everything. The core has none: it is told.
        let now = time::Instant::now();
        // 1. What has arrived, not without end: others want their turn. No error, such as "nothing is there", is fatal.
        let mut buffer = [0; 9000]; // As long as the largest `max_mtu`.
        for _ in 0..64 {
            let Ok((length, source)) = socket.recv_from(&mut buffer) else {
                break;
            };
            let datagram = Datagram {
                source,
                payload: buffer[..length].into(),
                // What a plain socket does not tell: whether several came as one, congestion, the local address.
                segment_size: length,
                ecn: None,
                destination_ip: None,
                second_port: false,
            };
            endpoint.handle_datagram(now, datagram);
        }
        // 2. What is due: packets to be sent again, peers to be given up.
        if endpoint.poll_timeout().is_some_and(|due| due <= now) {
            endpoint.handle_timeout(now);
        }
        // 3. Where the endpoint is to be found, for Clients nearby: a socket that is bound to one address knows it.
        if endpoint.wants_host_addresses() {
            endpoint.handle_host_addresses(now, socket.local_addr().ok().as_slice());
        }
        // 4. What is to be sent, one datagram at a time, as a plain socket does not take several at once.
        while let Some(transmit) = endpoint.poll_transmit(now, NonZeroUsize::MIN) {
            // What the socket does not take is lost, as on any network, and will be sent again.
            let _ = socket.send_to(&transmit.payload, transmit.destination);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // A Coordinator. Clients know it by the hash of its key, its pin.
    let certificate = Certificate::self_signed(["localhost"])?;
    let trust = Trust::Pin(certificate.pin());
    let config = CoordinatorConfig::new(certificate);
    let mut coordinator = Node::new(Coordinator::new(config, Identity::generate_seed()?)?)?;
    let address = coordinator.1.local_addr()?;

    // Two Clients, which begin to connect: their first packets leave with their first turn.
    let client = || {
        let mut config = ClientConfig::new(Identity::generate()?, trust.clone());
        // Channels are accepted at once, instead of by an event and an answer.
        config.auto_accept = true;
        let mut client = Client::new(config, Identity::generate_seed()?)?;
        client.connect(time::Instant::now(), "localhost", &[address])?;
        Node::new(client)
    };
    let (mut alice, mut bob) = (client()?, client()?);
    let mut introduced = false;
    while !alice.0.is_finished() {
        coordinator.turn();
        alice.turn();
        bob.turn();

        while coordinator.0.poll_event().is_some() {}
        if !introduced {
            // Fails until both are connected. Clients can open channels to each other by themselves, too.
            let (from, to, now) = (alice.0.id(), bob.0.id(), time::Instant::now());
            introduced = coordinator.0.connect(now, from, to, b"chat").is_ok();
        }
        while let Some(event) = alice.0.poll_event() {
            match Client::channel_event(event) {
                // Only Bob can be at the other end, or the channel would not have opened. Channels and streams are
                // borrowed for each use: the application keeps no more than their ids.
                Ok((id, ChannelEvent::Opened)) if id != ChannelId::HOME => {
                    let mut channel = alice.0.channel(id).ok_or("it is open")?;
                    let stream = channel.open(Direction::Uni, b"greetings")?;
                    channel.stream(stream).send("Hello, Bob!".into())?;
                    channel.stream(stream).finish()?;
                }
                // Bob has it all. Goodbyes are to be said as well, so the loop goes on until that is done.
                Ok((_, ChannelEvent::SendEnded { .. })) => {
                    let patience = time::Duration::from_secs(1);
                    alice.0.close(time::Instant::now(), patience);
                }
                _ => {}
            }
        }
        while let Some(event) = bob.0.poll_event() {
            // Events say what is there. It is fetched, or left where it is, which slows its sender down.
            if let Ok((id, ChannelEvent::Readable { stream })) = Client::channel_event(event) {
                let mut channel = bob.0.channel(id).ok_or("it is readable")?;
                println!("bob hears {:?}", channel.stream(stream).recv()?);
            }
        }
        // A loop that can wait for its sockets would do so until the first `poll_timeout`. This one asks again soon.
        thread::sleep(time::Duration::from_millis(1));
    }
    Ok(())
}
