//! The home channel, and how far it has come.

mod transitions;

use std::net::SocketAddr;

use super::race::Race;
use crate::{CloseReason, Name, transport::EngineId};

/// A Client's way to its Coordinator.
#[derive(Debug, Default)]
pub(super) struct Home {
    stage: Stage,
    /// Where packets from the Coordinator belong: one engine for all attempts, once there is one.
    pub(super) engine: Option<EngineId>,
    /// The Coordinator's address, once it is known which of them it is.
    pub(super) address: Option<SocketAddr>,
}

/// ```text
/// Unused ─connect─▶ Connecting ─first TLS done─▶ Registering ─welcome─▶ Ready ──▶ Lost ─peers gone─▶ Ended
///                        │                            └──────────────────────────▲
///                        └──────────────────── race lost ────────────────────────┘
/// ```
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Unused,
    /// Attempts have links of their own. The winner's becomes that of [`ChannelId::HOME`](crate::ChannelId::HOME); the others' are closed.
    Connecting(Race),
    Registering,
    Ready {
        name: Option<Name>,
        observed: SocketAddr,
    },
    /// The link is over; the peer channels' ends are told first. What is known of the Coordinator is kept for goodbyes.
    Lost(CloseReason),
    Ended,
}

impl Home {
    pub(super) fn name(&self) -> Option<&Name> {
        self.ready()?.0
    }

    pub(super) fn observed(&self) -> Option<SocketAddr> {
        Some(self.ready()?.1)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready().is_some()
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    pub(super) fn race(&self) -> Option<&Race> {
        match &self.stage {
            Stage::Connecting(race) => Some(race),
            Stage::Unused
            | Stage::Registering
            | Stage::Ready { .. }
            | Stage::Lost(_)
            | Stage::Ended => None,
        }
    }

    fn ready(&self) -> Option<(Option<&Name>, SocketAddr)> {
        match &self.stage {
            Stage::Ready { name, observed } => Some((name.as_ref(), *observed)),
            Stage::Unused
            | Stage::Connecting(_)
            | Stage::Registering
            | Stage::Lost(_)
            | Stage::Ended => None,
        }
    }
}
