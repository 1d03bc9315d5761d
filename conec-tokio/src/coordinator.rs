//! How a Coordinator is bound.

use std::ops::Deref;

use conec_core::CoordinatorConfig;
use conec_driver::{BindError, Socket};
use tokio::net::ToSocketAddrs;

use crate::task::{drive, fit, now};

/// A Coordinator: the one server that all Clients connect to.
///
/// This is how it is made. Everything else about it is at the [`Coordinator` of all drivers](conec_driver::Coordinator),
/// which this is a cheap handle to: clones are the same Coordinator.
///
/// ```no_run
/// # #[cfg(feature = "self-signed")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use conec_tokio::*;
///
/// let mut config = CoordinatorConfig::new(Certificate::self_signed(["conec.example.org"])?);
/// config.admission = Policy::Ask;
/// let coordinator = Coordinator::bind("[::]:4433", config).await?;
/// println!("pin: {}", coordinator.pin());
/// while let Some(event) = coordinator.next_event().await {
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
    ///
    /// Must be called within a Tokio runtime.
    pub async fn bind(
        address: impl ToSocketAddrs,
        config: CoordinatorConfig,
    ) -> Result<Self, BindError> {
        let addresses = tokio::net::lookup_host(address).await?;
        Self::over(Socket::bind_any(addresses)?, config)
    }

    /// Takes Clients on a socket of one's own. The configuration's [second port](CoordinatorConfig::second_port) is bound
    /// beside it.
    ///
    /// Must be called within a Tokio runtime.
    pub fn over(socket: Socket, config: CoordinatorConfig) -> Result<Self, BindError> {
        let started = conec_driver::Coordinator::start(fit(socket), config, now);
        let (coordinator, driver, sockets) = started?;
        tokio::spawn(drive(driver, sockets)?);
        Ok(Self(coordinator))
    }
}

impl Deref for Coordinator {
    type Target = conec_driver::Coordinator;

    fn deref(&self) -> &conec_driver::Coordinator {
        &self.0
    }
}
