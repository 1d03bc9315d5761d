//! Hostile peers: a raw QUIC endpoint with valid TLS and a free hand, as a [`Stranger`](crate::sim::Stranger) in a
//! [`World`](crate::sim::World).
//!
//! It can stand in for a Client (towards a Coordinator), for a Coordinator (towards Clients), and for either end of a
//! peer channel. It knows conec's wire from its [specification](message), not from conec's code.
//!
//! ```
//! use conec_tests::{raw::{Dial, End, Key, Raw, message}, sim::World};
//! use std::time::Duration;
//!
//! let mut world = World::new(1);
//! let coordinator = world.add_coordinator();
//! let raw = Raw::new(1);
//! world.add_stranger(raw.clone());
//! let (now, address) = (world.now(), world.address(coordinator));
//! let conn = raw.connect(now, address, &Dial::home(Key::Identity(666)));
//! world.wait_for("connected", Duration::from_secs(1), |_| conn.is_connected().then_some(()));
//! conn.control(b"this is no hello");
//! let end = world.wait_for("thrown out", Duration::from_secs(1), |_| conn.end());
//! assert_eq!(end, End::Application(1));
//! ```

mod conn;
mod endpoint;
mod handle;
pub mod message;
mod packet;
pub mod probe;
pub mod ticket;
mod tls;

use std::{sync::Arc, time::Duration};

use quinn_proto::{IdleTimeout, TransportConfig, VarInt, congestion::CubicConfig};

pub use self::{
    conn::Received,
    endpoint::{Filter, Raw},
    handle::RawConn,
    packet::{destination, initial_len, route_of},
    tls::{Ecdsa, Key},
};

/// How a raw endpoint connects or accepts.
#[derive(Debug, Clone)]
pub struct Dial {
    /// What it says it speaks.
    pub alpn: Vec<u8>,
    /// How many others it says it speaks, each with a long name.
    pub other_protocols: u8,
    /// With what it authenticates.
    pub key: Key,
    /// How often it says something when there is nothing to say.
    pub keep_alive: Option<Duration>,
    /// How much it lets the other side send that it has not read, per stream.
    pub stream_window: u32,
    /// The same, over all streams.
    pub window: u32,
    /// How many streams of each kind it lets the other side open.
    pub streams: u32,
    /// How much it sends before anything is acknowledged.
    pub initial_window: u64,
}

impl Dial {
    /// Like a side of a home channel.
    pub fn home(key: Key) -> Self {
        Self {
            alpn: b"conec/1".to_vec(),
            other_protocols: 0,
            key,
            keep_alive: Some(Duration::from_secs(5)),
            stream_window: 1 << 20,
            window: 1 << 24,
            streams: 100,
            initial_window: 14_720,
        }
    }

    /// Like an end of a peer channel.
    pub fn peer(key: Key) -> Self {
        Self {
            alpn: b"conec-peer/1".to_vec(),
            ..Self::home(key)
        }
    }

    fn transport(&self) -> Arc<TransportConfig> {
        let mut congestion = CubicConfig::default();
        congestion.initial_window(self.initial_window);
        let mut transport = TransportConfig::default();
        transport
            .congestion_controller_factory(Arc::new(congestion))
            .max_concurrent_bidi_streams(VarInt::from(self.streams))
            .max_concurrent_uni_streams(VarInt::from(self.streams))
            .stream_receive_window(VarInt::from(self.stream_window))
            .receive_window(VarInt::from(self.window))
            .keep_alive_interval(self.keep_alive)
            .max_idle_timeout(IdleTimeout::try_from(Duration::from_secs(30)).ok());
        Arc::new(transport)
    }
}

/// How a connection has ended, as the raw side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The other side closed it with this application code.
    Application(u64),
    /// The other side's QUIC or TLS closed it with this code (0x100 and an alert for TLS).
    Transport(u64),
    /// This side's QUIC or TLS found fault with the other with this code.
    Found(u64),
    /// Nothing was heard.
    TimedOut,
    /// The other side knows nothing of it.
    Reset,
    /// The other side speaks no version that this one does.
    Version,
    /// This side closed it.
    Local,
}

/// The control stream.
pub const CONTROL: u64 = 0;
