//! How a Client is connected.

use std::{net::SocketAddr, ops::Deref};

use conec_core::ClientConfig;
use conec_driver::{BindError, ConnectError, Lookup, Socket};

use crate::task::{drive, fit, now};

/// A Client: connected to one Coordinator, and through it to other Clients.
///
/// This is how it is connected. Everything else about it is at the [`Client` of all drivers](conec_driver::Client), which
/// this is a cheap handle to: clones are the same Client.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use conec_tokio::*;
///
/// # let pin = KeyPin::from_bytes([0; 32]);
/// let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
/// config.name = Some("alice".parse()?);
/// let alice = Client::connect("conec.example.org:4433", config).await?;
/// while let Some(offer) = alice.accept().await {
///     let Some(peer) = offer.peer() else { continue };
///     if &peer.label[..] == b"chat" {
///         let channel = offer.accept().await?;
///         // ...
///     } else {
///         offer.reject(Code(404));
///     }
/// }
/// println!("{}", alice.closed().await);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client(conec_driver::Client);

impl Client {
    /// Connects to the Coordinator at `host:port`.
    ///
    /// The host is resolved, and all of its addresses are raced, as [`conec_core::Client::connect`] has it: every 250 ms
    /// another one is tried, and the first that is connected is taken. The Coordinator's certificate is checked against the
    /// host, unless its key is [pinned](conec_core::Trust::Pin). Whenever the Client [reconnects](ClientConfig::reconnect), the host
    /// is resolved anew.
    ///
    /// Fails with [`CloseReason::Unreachable`](conec_core::CloseReason::Unreachable) as soon as the system says of all addresses
    /// that they cannot be reached; that nothing listens there is known within a second, on Linux and Android.
    ///
    /// Must be called within a Tokio runtime. Dropped before it is done, the attempt is given up.
    pub async fn connect(coordinator: &str, config: ClientConfig) -> Result<Self, ConnectError> {
        Self::connect_to_any(&[coordinator], config).await
    }

    /// Connects to whichever of several Coordinators can be reached first, each written as `host:port`, like
    /// [`connect`](Self::connect). When that one is lost, the Client goes over to another, and its channels go on if all have the
    /// same [ticket key](conec_core::CoordinatorConfig::ticket_key), as those with the same certificate have by themselves.
    ///
    /// Hosts that cannot be resolved are left out, unless none can.
    pub async fn connect_to_any(
        coordinators: &[&str],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let lookup = Lookup::of(coordinators, tokio::net::lookup_host).await?;
        let socket = Socket::any().map_err(BindError::from)?;
        let client = Self::start(socket, &lookup.places(), config).await?;
        tokio::spawn(lookup.keep_up(&client, tokio::net::lookup_host));
        Ok(client)
    }

    /// Connects to the Coordinator at whichever of these addresses leads to it, the first preferred, like [`connect`](Self::connect).
    pub async fn connect_to(
        host_name: &str,
        addresses: &[SocketAddr],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let socket = Socket::any().map_err(BindError::from)?;
        Self::connect_over(socket, host_name, addresses, config).await
    }

    /// Connects over a socket of one's own, like [`connect_to`](Self::connect_to).
    pub async fn connect_over(
        socket: Socket,
        host_name: &str,
        addresses: &[SocketAddr],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        Self::start(socket, &[(host_name, addresses)], config).await
    }

    async fn start(
        socket: Socket,
        coordinators: &[(&str, &[SocketAddr])],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let socket = fit(socket);
        let started = conec_driver::Client::start(socket, coordinators, config, now);
        let (client, driver, sockets) = started?;
        tokio::spawn(drive(driver, sockets).map_err(BindError::from)?);
        client.connected().await?;
        Ok(Self(client))
    }
}

impl Deref for Client {
    type Target = conec_driver::Client;

    fn deref(&self) -> &conec_driver::Client {
        &self.0
    }
}
