//! What an operator and a Coordinator say to each other.
//!
//! On a bidirectional stream of the home channel, whose label is [`LABEL`]: the Coordinator sends a challenge, 32 bytes, and the operator
//! its [`Proof`](super::proof::Proof). If that is good, the Coordinator answers [`Answer::Welcome`], and then each [`Request`] in turn. All
//! but the challenge is JSON.

use std::net::SocketAddr;

use conec_tokio::{ClientInfo, EndpointStats, Name, PairInfo};
use serde::{Deserialize, Serialize};

pub(super) const LABEL: &str = "conec/admin";

/// What an operator wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(super) enum Request {
    /// Who is connected, in pages: those after this id.
    Clients { after: Option<String> },
    /// The channels between them, in pages: those after the one of this number.
    Channels { after: Option<u64> },
    /// What was counted.
    Figures,
    /// Disconnects somebody, by id or by name, and keeps it out from now on if that is wanted.
    Kick { who: String, forbid: bool },
    /// Lets somebody in again.
    Permit { id: String },
    /// Has everybody go over to another Coordinator, and stops.
    Drain { seconds: f64, to: Vec<Place> },
}

/// What a Coordinator answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    /// The proof was good.
    Welcome,
    /// A page of Clients.
    Clients {
        clients: Vec<ClientLine>,
        more: bool,
    },
    /// A page of channels.
    Channels {
        channels: Vec<ChannelLine>,
        next: Option<u64>,
    },
    /// What was counted.
    Figures(Figures),
    /// It is done.
    Done,
    /// There is nobody like that.
    NotThere,
    /// It could not be done.
    Failed { why: String },
}

/// Another Coordinator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) address: SocketAddr,
}

/// Somebody who is connected.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientLine {
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    pub(crate) address: SocketAddr,
    pub(crate) channels: usize,
}

/// A channel between two.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChannelLine {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) label: String,
    pub(crate) started: bool,
    /// Whether it travels directly in both directions, if both ends say that.
    pub(crate) direct: Option<bool>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// What a Coordinator has counted since it was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) clients: usize,
    pub(crate) channels: usize,
    pub(crate) packets_forwarded: u64,
    pub(crate) bytes_forwarded: u64,
    pub(crate) forwards_dropped: u64,
    pub(crate) datagrams_dropped: u64,
    pub(crate) handshakes_refused: u64,
    pub(crate) clients_refused: u64,
    pub(crate) violations: u64,
}

impl From<&ClientInfo> for ClientLine {
    fn from(it: &ClientInfo) -> Self {
        Self {
            id: it.id.to_string(),
            names: it.names.iter().map(Name::to_string).collect(),
            address: it.address,
            channels: it.channels,
        }
    }
}

impl From<&PairInfo> for ChannelLine {
    fn from(it: &PairInfo) -> Self {
        Self {
            from: it.from.to_string(),
            to: it.to.to_string(),
            label: String::from_utf8_lossy(&it.label).into_owned(),
            started: it.started,
            direct: match it.direct {
                [Some(there), Some(back)] => Some(there && back),
                [None, _] | [_, None] => None,
            },
            packets: it.packets,
            bytes: it.bytes,
        }
    }
}

impl Figures {
    pub(crate) fn new(clients: usize, channels: usize, stats: &EndpointStats) -> Self {
        Self {
            clients,
            channels,
            packets_forwarded: stats.datagrams_forwarded,
            bytes_forwarded: stats.bytes_forwarded,
            forwards_dropped: stats.forwards_dropped,
            datagrams_dropped: stats.datagrams_dropped,
            handshakes_refused: stats.handshakes_refused,
            clients_refused: stats.clients_refused,
            violations: stats.violations,
        }
    }
}
