//! A SOCKS5 proxy (RFC 1928): who connects says where to.

mod wire;

use std::{io, net::SocketAddr, time::Duration};

use conec_tokio::{Receiver, Sender};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use self::wire::{Command, Reply, Request};
use super::{
    enter,
    flow::{MAX_PACKET, bind},
    ingress::Ingress,
    protocol::{self, Refusal, Why},
    spec::Place,
    via::{Via, Way},
};
use crate::{failure::Failure, json, output::say, relay::with_tcp};

/// Does what those want who come.
pub(super) async fn serve(listener: TcpListener, via: Via, idle: Duration) {
    loop {
        let (socket, from) = enter::next(&listener).await;
        let via = via.clone();
        tokio::spawn(async move {
            // That one has gone is its own business.
            if let Err(error) = attend(socket, from, via, idle).await {
                tracing::debug!(%error, %from, "ended");
            }
        });
    }
}

async fn attend(
    mut socket: TcpStream,
    from: SocketAddr,
    via: Via,
    idle: Duration,
) -> io::Result<()> {
    let request = tokio::time::timeout(PATIENCE, wire::negotiate(&mut socket));
    let Request { command, place } = request.await??;
    match (command, place) {
        (Command::Connect, Some(place)) => connect(socket, from, &via, place).await,
        (Command::Associate, _) => associate(socket, from, via, idle).await,
        (Command::Other, _) => reply(&mut socket, Reply::CommandNotSupported).await,
        (_, None) => reply(&mut socket, Reply::AddressNotSupported).await,
    }
}

async fn connect(
    mut socket: TcpStream,
    from: SocketAddr,
    via: &Via,
    place: Place,
) -> io::Result<()> {
    let _ = socket.set_nodelay(true);
    match asked(via, from, place).await {
        Ok(Ok(stream)) => {
            reply(&mut socket, Reply::Succeeded).await?;
            if let Err(broken) = with_tcp(stream, socket).await {
                tracing::debug!(?broken, %from, "ended");
            }
            Ok(())
        }
        Ok(Err(refusal)) => {
            let why = refusal.why;
            say(format_args!("{from}: {}", Failure::from(refusal)));
            reply(&mut socket, why.into()).await
        }
        Err(failure) => {
            say(format_args!("{from}: {failure}"));
            reply(&mut socket, Reply::Failed).await
        }
    }
}

async fn asked(
    via: &Via,
    from: SocketAddr,
    place: Place,
) -> Result<Result<(Sender, Receiver), Refusal>, Failure> {
    let ask = Way::To(place).ask(from, None);
    let (_, (mut sender, mut receiver)) = via.open(&ask).await?;
    json::send(&mut sender, &ask).await?;
    let answer = protocol::answer(&mut receiver).await?;
    Ok(answer.map(|_| (sender, receiver)))
}

/// Takes packets, each of which says where to, as long as the connection lasts.
async fn associate(
    mut socket: TcpStream,
    from: SocketAddr,
    via: Via,
    idle: Duration,
) -> io::Result<()> {
    let (udp, at) = bind((socket.local_addr()?.ip(), 0)).await?;
    socket.write_all(&wire::reply(Reply::Succeeded, at)).await?;
    let packets = async {
        let mut ingress = Ingress::new(udp, via, idle);
        let mut room = vec![0; MAX_PACKET];
        loop {
            let (len, sender) = ingress.next(&mut room).await;
            // Nobody else has asked for it.
            if sender.ip() != from.ip() {
                continue;
            }
            if let Some((head, place, packet)) = wire::packet(&room[..len]) {
                ingress.take(sender, &Way::To(place), head, packet);
            }
        }
    };
    let gone = async {
        let mut rest = [0; 64];
        while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = packets => {}
        () = gone => {}
    }
    Ok(())
}

/// Says what has become of it, without an address: nobody here knows it.
async fn reply(socket: &mut TcpStream, reply: Reply) -> io::Result<()> {
    let nowhere = SocketAddr::from(([0; 4], 0));
    socket.write_all(&wire::reply(reply, nowhere)).await
}

impl From<Why> for Reply {
    fn from(why: Why) -> Self {
        match why {
            Why::Denied => Self::NotAllowed,
            Why::NobodyThere => Self::Refused,
            Why::Unreachable => Self::HostUnreachable,
            Why::TimedOut => Self::TimedOut,
            Why::Other => Self::Failed,
        }
    }
}

/// How long somebody may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
