//! Engines: what they are, and what they know of the other side.

mod links;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use quinn_proto::{ServerConfig, crypto::rustls::QuicClientConfig};

use super::{handshakes::Admissions, tls};
use crate::{ChannelConfig, ChannelId, ClientId, ConfigError, Identity, Trust, wire::Route};

/// Names an engine of a [`Transport`](super::Transport).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EngineId(u64);

pub(super) struct Engine {
    pub(super) endpoint: quinn_proto::Endpoint,
    /// Whose its links are, by the numbers that it gives them.
    pub(super) links: BTreeMap<usize, ChannelId>,
    kind: EngineKind,
}

enum EngineKind {
    /// Connects to one place, or has accepted what it was made for.
    Single,
    /// Accepts one link, for this channel.
    Awaiting(ChannelId, Accepting),
    /// Accepts everyone's.
    Public(Accepting, Admissions),
}

impl Engine {
    pub(super) fn is_public(&self) -> bool {
        matches!(self.kind, EngineKind::Public(..))
    }

    /// What those may send that were let in, if it accepts everyone's.
    pub(super) fn let_in(&self) -> Option<&ChannelConfig> {
        match &self.kind {
            EngineKind::Public(accepting, _) => Some(&accepting.channel),
            EngineKind::Single | EngineKind::Awaiting(..) => None,
        }
    }
}

/// How links are accepted.
#[derive(Clone)]
struct Accepting {
    server: ServerConfig,
    channel: ChannelConfig,
}

/// The TLS settings of a Client's home channel, made once.
#[derive(Clone)]
pub(crate) struct HomeTls(Arc<QuicClientConfig>);

impl HomeTls {
    pub(crate) fn new(
        identity: &Identity,
        trust: &Trust,
        channel: &ChannelConfig,
    ) -> Result<Self, ConfigError> {
        tls::home_client(identity, trust, channel).map(Self)
    }
}

/// A Coordinator, seen from a Client.
#[derive(Clone, Copy)]
pub(crate) struct HomeEnd<'a> {
    pub(crate) address: SocketAddr,
    /// What its certificate is checked against.
    pub(crate) host_name: &'a str,
    pub(crate) tls: &'a HomeTls,
}

/// What the ends of a peer channel know of it, seen from one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerEnd {
    pub(crate) own_route: Route,
    pub(crate) peer_route: Route,
    /// Who is at the other end.
    pub(crate) id: ClientId,
}

/// Whether this is a name or address that TLS can take for the server's.
pub(crate) fn is_host_name(name: &str) -> bool {
    rustls::pki_types::ServerName::try_from(name).is_ok()
}
