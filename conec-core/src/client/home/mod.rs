//! The home channel, and how far it has come; and how another one is had when it is lost.

mod outage;
mod state;
mod transitions;

use std::net::SocketAddr;

use self::outage::Outage;
pub(super) use self::outage::Watch;
pub use self::state::ClientState;
use super::race::{Places, Race};
use crate::{ChannelId, CloseReason, Name, transport::EngineId, wire::Instance};

/// A Client's way to its Coordinator.
#[derive(Debug)]
pub(super) struct Home {
    /// The home channel that there is, or is to be.
    pub(super) id: ChannelId,
    stage: Stage,
    /// Where packets from the Coordinator belong: one engine for all attempts, once there is one.
    pub(super) engine: Option<EngineId>,
    /// The Coordinator's address, once it is known which of them it is.
    pub(super) address: Option<SocketAddr>,
    /// That of the former Coordinator, which goes on forwarding for channels that are not resumed yet.
    pub(super) former: Option<SocketAddr>,
    /// Where to look for a Coordinator, as the application says.
    given: Places,
    /// Where to look first: the last Coordinator that has sent this Client away has said so.
    alternatives: Places,
    /// Where Coordinators are that are about to stop, and have refused this Client, one after the other and nobody else since.
    refused: Vec<SocketAddr>,
    /// There while the last home channel is lost, or seems to be.
    outage: Option<Outage>,
    /// As what this Client keeps its peer channels when the home channel is lost; 0 if it does not.
    instance: Instance,
}

/// ```text
/// Unused ─connect─▶ Connecting ─first TLS done─▶ Registering ─welcome─▶ Ready ─for good─▶ Lost ─peers gone─▶ Ended
/// ```
///
/// Where there was a home channel before, and another one is to be had, `Connecting`, `Registering` and `Ready` lead to `Waiting` when
/// they fail, and that to `Connecting`; otherwise, to `Lost`. `Ready` leads to `Registering` when its successor is connected.
#[derive(Debug)]
enum Stage {
    Unused,
    /// Attempts have links of their own. The winner's becomes that of the home channel; the others' are closed.
    Connecting(Race),
    Registering,
    Ready {
        name: Option<Name>,
        observed: SocketAddr,
        /// Attempts at another home channel: nothing is heard on this one, or the Coordinator is about to stop.
        successor: Option<Box<Race>>,
        /// The Coordinator is about to stop.
        leaving: bool,
    },
    /// The home channel is lost, and another one is to be had after a while.
    Waiting,
    /// The link is over; the peer channels' ends are told first. What is known of the Coordinator is kept for goodbyes.
    Lost(CloseReason),
    Ended(CloseReason),
}

impl Home {
    pub(super) fn new(instance: Instance) -> Self {
        Self {
            id: ChannelId::HOME,
            stage: Stage::Unused,
            engine: None,
            address: None,
            former: None,
            given: Places::default(),
            alternatives: Places::default(),
            refused: Vec::new(),
            outage: None,
            instance,
        }
    }

    pub(super) fn name(&self) -> Option<&Name> {
        self.ready()?.0
    }

    pub(super) fn observed(&self) -> Option<SocketAddr> {
        Some(self.ready()?.1)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready().is_some()
    }

    /// Why it is lost for good, if it is.
    pub(super) fn lost_for(&self) -> Option<CloseReason> {
        match self.stage {
            Stage::Lost(reason) | Stage::Ended(reason) => Some(reason),
            Stage::Unused
            | Stage::Connecting(_)
            | Stage::Registering
            | Stage::Ready { .. }
            | Stage::Waiting => None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// Whether there is or will be a home channel, and there was one.
    pub(super) fn lasts(&self) -> bool {
        match self.stage {
            Stage::Ready { .. } => true,
            Stage::Connecting(_) | Stage::Registering | Stage::Waiting => self.outage.is_some(),
            Stage::Unused | Stage::Lost(_) | Stage::Ended(_) => false,
        }
    }

    /// Whether packets from this address are forwarded by a Coordinator.
    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        self.address == Some(address) || self.former == Some(address)
    }

    /// Where to look for another Coordinator. Who was told where to go looks there alone, as long as there is no hurry: the others
    /// may lead to the one that is to be left.
    fn places(&self) -> Places {
        if self.is_leaving() && !self.alternatives.is_empty() {
            return Places::clone(&self.alternatives);
        }
        let all = self.alternatives.iter().chain(&*self.given);
        all.cloned().collect()
    }

    /// Whether it stands, and another one is to be had anyway.
    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Ready { leaving: true, .. })
    }

    /// Whether there is none at present, but will be one again.
    pub(super) fn is_away(&self) -> bool {
        self.lasts() && !self.is_ready()
    }

    pub(super) fn state(&self) -> ClientState {
        match (&self.stage, &self.outage) {
            (Stage::Unused, _) => ClientState::Unused,
            (&(Stage::Lost(reason) | Stage::Ended(reason)), _) => ClientState::Ended { reason },
            (Stage::Ready { .. }, None) => ClientState::Connected,
            (
                Stage::Connecting(_) | Stage::Registering | Stage::Waiting | Stage::Ready { .. },
                Some(outage),
            ) => outage.state(),
            (Stage::Connecting(_) | Stage::Registering | Stage::Waiting, None) => {
                ClientState::Connecting
            }
        }
    }

    pub(super) fn race(&self) -> Option<&Race> {
        match &self.stage {
            Stage::Connecting(race) => Some(race),
            Stage::Ready { successor, .. } => successor.as_deref(),
            Stage::Unused
            | Stage::Registering
            | Stage::Waiting
            | Stage::Lost(_)
            | Stage::Ended(_) => None,
        }
    }

    fn race_mut(&mut self) -> Option<&mut Race> {
        match &mut self.stage {
            Stage::Connecting(race) => Some(race),
            Stage::Ready { successor, .. } => successor.as_deref_mut(),
            Stage::Unused
            | Stage::Registering
            | Stage::Waiting
            | Stage::Lost(_)
            | Stage::Ended(_) => None,
        }
    }

    fn ready(&self) -> Option<(Option<&Name>, SocketAddr)> {
        match &self.stage {
            Stage::Ready { name, observed, .. } => Some((name.as_ref(), *observed)),
            Stage::Unused
            | Stage::Connecting(_)
            | Stage::Registering
            | Stage::Waiting
            | Stage::Lost(_)
            | Stage::Ended(_) => None,
        }
    }
}
