//! Where connections enter: a TCP port.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use super::{
    protocol,
    spec::Place,
    via::{Via, Way},
};
use crate::{
    failure::Failure,
    json,
    output::say,
    relay::{Broken, close, inward, outward},
};

/// Listens at a place.
pub(super) async fn listen(at: &Place) -> Result<(TcpListener, SocketAddr), Failure> {
    let listen = async {
        let listener = TcpListener::bind(at.to_bind()).await?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    };
    listen.await.map_err(|error| cannot_listen(at, &error))
}

/// Why nothing can be had at a place.
pub(super) fn cannot_listen(at: &Place, error: &io::Error) -> Failure {
    Failure::io(format!("cannot listen at {at}"), error)
        .help("choose another port, or end the process that has this one")
}

/// Leads all who come on their way.
pub(super) async fn serve(listener: TcpListener, via: Via, way: Way) {
    loop {
        let (socket, from) = next(&listener).await;
        tokio::spawn(lead(socket, from, via.clone(), way.clone()));
    }
}

/// The next one who comes.
pub(super) async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(came) => return came,
            Err(error) => {
                // Of one that has gone again, or of too many open files, which may become fewer.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn lead(socket: TcpStream, from: SocketAddr, via: Via, way: Way) {
    let mut is_granted = false;
    match relay(socket, from, &via, &way, &mut is_granted).await {
        Ok(()) => {}
        Err(Broken::There(failure)) if !is_granted => say(format_args!("{from}: {failure}")),
        // Connections are cut off all the time.
        Err(broken) => tracing::debug!(?broken, %from, "ended"),
    }
}

async fn relay(
    mut socket: TcpStream,
    from: SocketAddr,
    via: &Via,
    way: &Way,
    is_granted: &mut bool,
) -> Result<(), Broken> {
    let _ = socket.set_nodelay(true);
    let relay = async {
        let ask = way.ask(from, None);
        let (_, (mut sender, mut receiver)) = via.open(&ask).await.map_err(Broken::There)?;
        json::send(&mut sender, &ask).await.map_err(Broken::There)?;
        let (input, output) = socket.split();
        let back = async {
            protocol::granted(&mut receiver)
                .await
                .map_err(Broken::There)?;
            *is_granted = true;
            inward(receiver, output).await
        };
        // What is to be sent need not wait for the answer.
        tokio::try_join!(outward(input, sender), back)?;
        Ok(())
    };
    let outcome = relay.await;
    close(socket, &outcome);
    outcome
}

/// After an error, so that one that lasts is not said all the time.
const PAUSE: Duration = Duration::from_millis(200);
