//! Bare quinn-proto over conec's sockets: what a server of one's own would have at hand.

mod member;
mod node;
mod server;

use std::sync::Arc;

use conec_core::ChannelConfig;
use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::{CipherSuite, crypto::CryptoProvider};

pub(crate) use self::{member::Member, server::serve};

/// With conec's windows, and what it takes for the largest packet. Congestion control is the engine's own, CUBIC as conec's.
fn transport(mtu: u16) -> Arc<TransportConfig> {
    let config = ChannelConfig::default();
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(mtu);
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from(config.stream_window))
        .receive_window(VarInt::from(RECEIVE_WINDOW))
        .send_window(config.send_window.into())
        .max_idle_timeout(IdleTimeout::try_from(config.idle_timeout).ok())
        .mtu_discovery_config(Some(discovery));
    Arc::new(transport)
}

/// With the suite that conec prefers, where processors have instructions for it.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let preferred = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != preferred);
    Arc::new(provider)
}

/// In front of each message to a member, there are as many bytes as in a group: its length, what it is, its number, and by whom.
const HEADER: usize = 42;
/// Enough for what is under way on one connection.
const RECEIVE_WINDOW: u32 = 2 << 20;
const NAME: &str = "localhost";
