//! Clients for threads.

use std::{
    future::{Ready, ready},
    io, iter,
    net::{SocketAddr, ToSocketAddrs},
    ops::Deref,
    thread,
    time::{Duration, Instant},
};

use conec_core::{
    ClientConfig, ClientState, CloseReason, JoinConfig, KeyChange, Name, PathPolicy, Target,
};
use conec_driver::{
    BindError, ConnectError, IntroductionError, JoinError, Lookup, OpenError, Socket,
};

use super::{
    Channel, Group, Offer, TimedOut,
    thread::drive,
    wait::{derefs, wait, wait_timeout, waiting},
};

/// A Client, connected to one Coordinator, and through it to other Clients: [`conec_driver::Client`], whose waiting calls
/// block.
///
/// A cheap handle: clones are the same Client. One background thread has its socket.
///
/// ```no_run
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use conec_mio::blocking::*;
///
/// # let pin = KeyPin::from_bytes([0; 32]);
/// let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
/// config.name = Some("alice".parse()?);
/// let alice = Client::connect("conec.example.org:4433", config)?;
/// for offer in alice.incoming() {
///     let Some(peer) = offer.peer() else { continue };
///     if &peer.label[..] == b"chat" {
///         let channel = offer.accept()?;
///         // ...
///     } else {
///         offer.reject(Code(404));
///     }
/// }
/// println!("{}", alice.closed());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client(conec_driver::Client);

impl Client {
    waiting! {
        /// Connects to the Coordinator at `host:port`.
        ///
        /// The host is resolved, and all of its addresses are raced, as [`conec_core::Client::connect`] has it: every 250 ms
        /// another one is tried, and the first that is connected is taken. The Coordinator's certificate is checked against
        /// the host, unless its key is [pinned](conec_core::Trust::Pin). Whenever the Client
        /// [reconnects](ClientConfig::reconnect), the host is resolved anew, by a second background thread.
        ///
        /// Fails with [`CloseReason::Unreachable`] as soon as the system says of all addresses that they cannot be reached;
        /// that nothing listens there is known within a second, on Linux and Android.
        ///
        /// Fails in any case within the handshake timeout of [`ClientLimits`](conec_core::ClientLimits), or where an address is connected
        /// and the Coordinator says nothing, within its handshake and hello timeouts more. A limit does not cut the resolving
        /// short.
        connect, connect_timeout [] (coordinator: &str, config: ClientConfig)
            -> Result<Self, ConnectError> {
            async { Self::start_by_names(&[coordinator], config).await }
        }

        /// Connects to whichever of several Coordinators can be reached first, each written as `host:port`, like
        /// [`connect`](Self::connect). When that one is lost, the Client goes over to another, and its channels go on if all
        /// have the same [ticket key](conec_core::CoordinatorConfig::ticket_key), as those with the same certificate have by
        /// themselves.
        ///
        /// Hosts that cannot be resolved are left out, unless none can.
        connect_to_any, connect_to_any_timeout [] (coordinators: &[&str], config: ClientConfig)
            -> Result<Self, ConnectError> {
            Self::start_by_names(coordinators, config)
        }

        /// Connects to the Coordinator at whichever of these addresses leads to it, the first preferred, like
        /// [`connect`](Self::connect).
        connect_to, connect_to_timeout [] (
            host_name: &str,
            addresses: &[SocketAddr],
            config: ClientConfig
        ) -> Result<Self, ConnectError> {
            async {
                let socket = Socket::any().map_err(BindError::from)?;
                Self::start(socket, &[(host_name, addresses)], config).await
            }
        }

        /// Connects over a socket of one's own, like [`connect_to`](Self::connect_to).
        connect_over, connect_over_timeout [] (
            socket: Socket,
            host_name: &str,
            addresses: &[SocketAddr],
            config: ClientConfig
        ) -> Result<Self, ConnectError> {
            async { Self::start(socket, &[(host_name, addresses)], config).await }
        }
    }

    /// The channel with the Coordinator, as [`conec_driver::Client::home`] has it.
    pub fn home(&self) -> Channel {
        Channel(self.0.home())
    }

    waiting! { "Client":
        open, open_timeout [&self,] (target: impl Into<Target>, label: impl AsRef<[u8]>)
            -> Result<Channel, OpenError> {
            async { self.0.open(target, label).await.map(Channel) }
        }

        open_with, open_with_timeout [&self,] (
            target: impl Into<Target>,
            label: impl AsRef<[u8]>,
            policy: PathPolicy
        ) -> Result<Channel, OpenError> {
            async { self.0.open_with(target, label, policy).await.map(Channel) }
        }

        introduce, introduce_timeout [&self,] (
            from: impl Into<Target>,
            to: impl Into<Target>,
            label: impl AsRef<[u8]>
        ) -> Result<(), IntroductionError> {
            self.0.introduce(from, to, label)
        }

        join, join_timeout [&self,] (group: Name, config: JoinConfig) -> Result<Group, JoinError> {
            async { self.0.join(group, config).await.map(Group) }
        }

        accept, accept_timeout [&self,] () -> Option<Offer> {
            async { self.0.accept().await.map(Offer) }
        }

        state_other_than, state_other_than_timeout [&self,] (known: ClientState) -> ClientState {
            self.0.state_other_than(known)
        }

        key_changed, key_changed_timeout [&self,] () -> Option<KeyChange> { self.0.key_changed() }

        connected, connected_timeout [&self,] () -> Result<(), ConnectError> { self.0.connected() }

        closed, closed_timeout [&self,] () -> CloseReason { self.0.closed() }
    }

    /// The channels that others offer, as [`accept`](Self::accept) gives them.
    pub fn incoming(&self) -> impl Iterator<Item = Offer> {
        iter::from_fn(|| self.accept())
    }

    /// Closes all channels gracefully, the one with the Coordinator last, and waits for the end. After `patience`
    /// everything ends in any case.
    pub fn close(&self, patience: Duration) {
        wait(self.0.close(patience));
    }

    async fn start_by_names(
        coordinators: &[&str],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let lookup = Lookup::of(coordinators, resolve).await?;
        let socket = Socket::any().map_err(BindError::from)?;
        let client = Self::start(socket, &lookup.places(), config).await?;
        let keep_up = lookup.keep_up(&client.0, resolve);
        thread::Builder::new()
            .name("conec-lookup".into())
            .spawn(move || wait(keep_up))
            .map_err(BindError::from)?;
        Ok(client)
    }

    async fn start(
        socket: Socket,
        coordinators: &[(&str, &[SocketAddr])],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let clock = Instant::now;
        let started = conec_driver::Client::start(socket, coordinators, config, clock);
        let (client, driver, sockets) = started?;
        drive(driver, sockets).map_err(BindError::from)?;
        client.connected().await?;
        Ok(Self(client))
    }
}

/// Looks up the addresses of `host:port`, here and now.
fn resolve(coordinator: String) -> Ready<io::Result<std::vec::IntoIter<SocketAddr>>> {
    ready(coordinator.to_socket_addrs())
}

derefs!(Client);
