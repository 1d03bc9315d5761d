//! UDP sockets for endpoints.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, SystemTime},
};

use conec_core::CoordinatorConfig;
use socket2::{Domain, Protocol, Type};

use crate::Udp;

/// A UDP socket that is ready for an endpoint.
#[derive(Debug)]
pub struct Socket {
    sockets: Sockets,
    udp: Udp,
}

/// The sockets that an event loop is to watch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sockets {
    /// For everything that is sent, and most of what is received.
    pub socket: UdpSocket,
    /// Received from only: a Coordinator's [second port](CoordinatorConfig::second_port).
    pub second: Option<UdpSocket>,
}

/// What the system lets a [`Socket`] do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketAbilities {
    /// How many datagrams one system call sends (UDP segmentation offload); 1 where it cannot.
    pub send_segments: usize,
    /// How many datagrams of one sender come together (UDP receive offload); 1 where they do not.
    pub receive_segments: usize,
    /// How many bytes may wait to be sent.
    pub send_buffer: usize,
    /// How many bytes may wait to be received: what comes on top is lost.
    pub receive_buffer: usize,
    /// How large both were asked to be, where the socket was bound by [`Socket::bind`]. The system may grant less.
    pub wanted_buffer: usize,
}

impl Socket {
    /// Takes datagrams for this address, and for IPv4 too if it is IPv6's unspecified one and the system is able to.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // Some systems cannot, and serve IPv6 alone.
            let _ = socket.set_only_v6(false);
        }
        // The system may grant less.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        socket.bind(&address.into())?;
        Self::from_std(socket.into())
    }

    /// Takes datagrams for the first of these addresses that can be bound.
    pub fn bind_any(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let mut bound = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            bound = Self::bind(address);
            if bound.is_ok() {
                break;
            }
        }
        bound
    }

    /// A port of the system's choice, for IPv6 and IPv4 where there are both.
    pub fn any() -> io::Result<Self> {
        Self::bind((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_| Self::bind((Ipv4Addr::UNSPECIFIED, 0).into()))
    }

    /// A socket that was bound elsewhere. Its buffers stay as they are; it becomes non-blocking.
    pub fn from_std(socket: UdpSocket) -> io::Result<Self> {
        let udp = Udp::new(&socket)?;
        let second = None;
        let sockets = Sockets { socket, second };
        Ok(Self { sockets, udp })
    }

    /// Does what a Coordinator's configuration wants of the machine: tells it the time, binds the
    /// [second port](CoordinatorConfig::second_port), if there is to be one, at the same address, and finds a
    /// [reset key](CoordinatorConfig::reset_key) that is the same after a restart.
    pub fn prepare(&mut self, config: &mut CoordinatorConfig) -> io::Result<()> {
        tell_time(&mut config.unix_time);
        if config.reset_key.is_none() {
            let purpose = format!("conec reset key at {}", self.local_addr()?);
            config.reset_key = Some(config.certificate.derive_key(&purpose));
        }
        if let Some(port) = &mut config.second_port {
            let address = SocketAddr::new(self.local_addr()?.ip(), *port);
            let second = Self::bind(address)?;
            *port = second.local_addr()?.port();
            self.sockets.second = Some(second.sockets.socket);
        }
        Ok(())
    }

    /// Sets for how long a driver may poll for the next packet, which takes processor time, instead of sleeping until it comes.
    /// Waking up then takes time: on many machines more than anything else on the packet's way. At most 10 ms; 0 for never.
    ///
    /// It polls only where small packets go to and fro, every turn moving at most 1 KiB, after several waits in a row that were
    /// shorter than this, and not again soon after one that was not. In between it yields to other threads. Unless set, the
    /// time is 150 µs: it takes more than 6,000 such packets in a second to keep a processor busy all the time. Where
    /// processor time is counted, as in a container with a quota or on a battery, 0 is the better choice. On tokio's
    /// multi-thread runtime, whose threads have to be woken all the same, it is 0 unless set.
    pub fn set_busy_poll(&mut self, limit: Duration) {
        self.udp.set_busy_poll(limit);
    }

    /// For how long a driver may poll, if that was set.
    pub fn busy_poll(&self) -> Option<Duration> {
        self.udp.busy_poll()
    }

    /// What the system lets this socket do. Where it can do little, much traffic takes more processor time, and bursts are lost.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let abilities = conec_driver::Socket::any()?.abilities()?;
    /// if abilities.receive_buffer < 1 << 20 {
    ///     println!("bursts of more than {} bytes may be lost", abilities.receive_buffer);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn abilities(&self) -> io::Result<SocketAbilities> {
        let socket = socket2::SockRef::from(&self.sockets.socket);
        Ok(SocketAbilities {
            send_segments: self.udp.max_segments().get(),
            receive_segments: self.udp.max_received_segments().get(),
            send_buffer: socket.send_buffer_size()?,
            receive_buffer: socket.recv_buffer_size()?,
            wanted_buffer: KERNEL_BUFFER,
        })
    }

    /// Where it is bound: the port is the actual one.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets.socket.local_addr()
    }

    /// The sockets themselves, to be watched by an event loop, and what it takes to send and receive on them.
    pub fn into_parts(self) -> (Sockets, Udp) {
        (self.sockets, self.udp)
    }

    /// Has a test stand between the adapter and the system.
    #[cfg(feature = "__testing")]
    pub fn tapped(mut self, tap: std::sync::Arc<impl crate::Tap + 'static>) -> Self {
        self.udp.tap = Some(tap);
        self
    }
}

const KERNEL_BUFFER: usize = 4 << 20;

/// Sets the time since 1970, unless it was set.
pub(crate) fn tell_time(unix_time: &mut Duration) {
    if unix_time.is_zero() {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock from before 1970 says nothing.
        *unix_time = since.unwrap_or_default();
    }
}
