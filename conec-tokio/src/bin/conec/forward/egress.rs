//! Where connections and packets leave a channel, for a place that this end reaches.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use conec_tokio::{Receiver, Sender};
use tokio::net::{TcpStream, UdpSocket};

use super::{
    flow::{Flow, Source, any_like, bind},
    link::Link,
    protocol::{self, Refusal},
    spec::Place,
};
use crate::{
    failure::Failure,
    relay::{Broken, with_tcp},
};

/// Connects to a place, tells the other end, and is between the two until the end. With a number it is a flow of packets.
pub(super) async fn lead(
    link: Arc<Link>,
    to: &Place,
    flow: Option<u32>,
    stream: (Sender, Receiver),
    idle: Duration,
) -> Result<(), Failure> {
    match flow {
        Some(flow) => packets(link, to, flow, stream, idle).await,
        None => connection(to, stream).await,
    }
}

async fn connection(to: &Place, (mut sender, receiver): (Sender, Receiver)) -> Result<(), Failure> {
    match in_time(TcpStream::connect((to.host.as_str(), to.port))).await {
        Ok(socket) => {
            protocol::ready(&mut sender, None).await?;
            match with_tcp((sender, receiver), socket).await {
                Ok(()) => Ok(()),
                Err(Broken::Here(error)) => Err(Failure::io(to, &error)),
                Err(Broken::There(failure)) => Err(failure),
            }
        }
        Err(error) => protocol::refuse(sender, Refusal::of(to, &error)).await,
    }
}

async fn packets(
    link: Arc<Link>,
    to: &Place,
    number: u32,
    (mut sender, receiver): (Sender, Receiver),
    idle: Duration,
) -> Result<(), Failure> {
    let socket = match in_time(connected(to)).await {
        Ok(socket) => Arc::new(socket),
        Err(error) => return protocol::refuse(sender, Refusal::of(to, &error)).await,
    };
    let out = Arc::clone(&socket);
    let flow = Flow::begin(link, number, idle, move |packet| {
        // What finds no room in the socket is lost, as on any link.
        let _ = out.try_send(packet);
    })?;
    protocol::ready(&mut sender, None).await?;
    flow.carry((sender, receiver), Source::Socket(socket), true)
        .await
}

/// A socket for a place. UDP does not tell whether anybody receives at an address, so IPv4 addresses of a name come first: `localhost`
/// has addresses of both kinds, and most services listen on the IPv4 one.
async fn connected(to: &Place) -> io::Result<UdpSocket> {
    let addresses = tokio::net::lookup_host((to.host.as_str(), to.port)).await?;
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut outcome = Err(io::Error::other("the name has no address"));
    for address in addresses {
        outcome = connected_to(address).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn connected_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let (socket, _) = bind(any_like(address)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

async fn in_time<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// How long a place may take to be reached.
const PATIENCE: Duration = Duration::from_secs(30);
