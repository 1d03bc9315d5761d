//! Coordinators for threads.

use std::{
    iter,
    net::ToSocketAddrs,
    ops::Deref,
    time::{Duration, Instant},
};

use conec_core::{ChannelId, CoordinatorConfig, CoordinatorEvent, GroupError, Lossy, Name};
use conec_driver::{BindError, Socket};

use super::{
    Channel, Subscription, TimedOut,
    thread::drive,
    wait::{derefs, wait, wait_timeout, waiting},
};

/// A Coordinator, the one server that all Clients connect to: [`conec_driver::Coordinator`], whose waiting calls block.
///
/// A cheap handle: clones are the same Coordinator. One background thread has its socket.
///
/// ```no_run
/// # #[cfg(feature = "self-signed")]
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use conec_mio::blocking::*;
///
/// let mut config = CoordinatorConfig::new(Certificate::self_signed(["conec.example.org"])?);
/// config.admission = Policy::Ask;
/// let coordinator = Coordinator::bind("[::]:4433", config)?;
/// println!("pin: {}", coordinator.pin());
/// for event in coordinator.events() {
///     match event {
///         CoordinatorEvent::ClientAsks { client, name, token, .. } if token == "secret" => {
///             // Fails if the Client has given up meanwhile.
///             let _ = coordinator.admit(client, name);
///         }
///         CoordinatorEvent::ClientAsks { client, .. } => drop(coordinator.refuse(client, Code(403))),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Coordinator(conec_driver::Coordinator);

impl Coordinator {
    /// Takes Clients at this address, such as `"[::]:4433"`, which serves IPv4 as well where the system is able to.
    pub fn bind(address: impl ToSocketAddrs, config: CoordinatorConfig) -> Result<Self, BindError> {
        Self::over(Socket::bind_any(address.to_socket_addrs()?)?, config)
    }

    /// Takes Clients on a socket of one's own. The configuration's [second port](CoordinatorConfig::second_port) is bound
    /// beside it.
    pub fn over(socket: Socket, config: CoordinatorConfig) -> Result<Self, BindError> {
        let started = conec_driver::Coordinator::start(socket, config, Instant::now);
        let (coordinator, driver, sockets) = started?;
        drive(driver, sockets)?;
        Ok(Self(coordinator))
    }

    waiting! { "Coordinator":
        next_event, next_event_timeout [&self,] () -> Option<CoordinatorEvent> {
            self.0.next_event()
        }
    }

    /// The events, as [`next_event`](Self::next_event) gives them.
    pub fn events(&self) -> impl Iterator<Item = CoordinatorEvent> {
        iter::from_fn(|| self.next_event())
    }

    /// Hears what is published in a group, as [`conec_driver::Coordinator::subscribe`] has it.
    pub fn subscribe(&self, group: &Name, queue: Lossy) -> Result<Subscription, GroupError> {
        self.0.subscribe(group, queue).map(Subscription)
    }

    /// The home channel of a connected Client, for streams between it and this application. Closing it disconnects the
    /// Client.
    pub fn channel(&self, client: ChannelId) -> Option<Channel> {
        self.0.channel(client).map(Channel)
    }

    /// Takes no more Clients, lets those that are there complete what is under way, disconnects them, after `patience` in
    /// any case, and waits for the end.
    pub fn close(&self, patience: Duration) {
        wait(self.0.close(patience));
    }
}

derefs!(Coordinator);
