//! One Client at the Coordinator, from its handshake to its end.

mod transitions;

use super::place::{Claim, Place};
use crate::{
    Certified, ClientId, ErrorCode, Name,
    access::{Tags, TokenHash},
    error::WireCode,
    host::{Account, Party},
    util::{Bucket, Network},
    wire::{Instance, ProbeKeys, Route},
};

/// What the Coordinator knows of a home channel.
#[derive(Debug, Default)]
pub(crate) struct Session {
    phase: Phase,
    /// Where the Client seems to have moved to. It was asked, and has not answered.
    moving: Option<Box<Claim>>,
    /// What it takes to know it at the second port.
    pub(super) second: Option<Box<Second>>,
}

/// ```text
/// Handshake ─TLS done─▶ Greeting ─hello─▶ Asking ─admit─▶ Admitted
///                           └──────── policy allows ─────────▲
/// ```
#[derive(Debug, Default)]
enum Phase {
    #[default]
    Handshake,
    /// The Client has proved who it is, and is to introduce itself. Boxed, as most sessions are admitted.
    Greeting(Box<Newcomer>),
    /// The application is to say whether it may come in.
    Asking(Box<Newcomer>),
    /// The Client is a member, unless it has another session by now. It was let in from that network.
    Admitted { id: ClientId, from: Network },
}

/// What is known of a Client before it is let in.
#[derive(Debug, Clone)]
struct Newcomer {
    id: ClientId,
    place: Place,
    instance: Instance,
    certified: Option<Certified>,
    /// What it wants to be called, or what an authority calls it.
    wanted: Option<Name>,
    /// What rules have decided about it: what it is to be called, and its tags.
    names: Vec<Name>,
    tags: Tags,
    /// Which invitation it has shown.
    invitation: Option<TokenHash>,
}

/// What those are told who may not be here, or not any more.
pub(super) const REFUSED: WireCode = WireCode::Protocol(ErrorCode::Refused);

impl Session {
    /// Who it is, if it was let in.
    pub(super) fn admitted(&self) -> Option<ClientId> {
        match self.phase {
            Phase::Admitted { id, .. } => Some(id),
            Phase::Handshake | Phase::Greeting(_) | Phase::Asking(_) => None,
        }
    }

    /// Whether the application has heard of it.
    fn is_announced(&self) -> bool {
        match self.phase {
            Phase::Handshake | Phase::Greeting(_) => false,
            Phase::Asking(_) | Phase::Admitted { .. } => true,
        }
    }
}

/// Identities cost nothing, and addresses do: what is left of a session counts for the network that it came from.
impl Account for Session {
    fn party(&self) -> Option<Party> {
        match self.phase {
            Phase::Admitted { from, .. } => Some(Party::Network(from)),
            Phase::Handshake | Phase::Greeting(_) | Phase::Asking(_) => None,
        }
    }

    fn peer(&self) -> Option<ClientId> {
        match &self.phase {
            Phase::Handshake => None,
            Phase::Greeting(newcomer) | Phase::Asking(newcomer) => Some(newcomer.id),
            Phase::Admitted { id, .. } => Some(*id),
        }
    }
}

/// What it takes to know a Client at the second port.
#[derive(Debug)]
pub(super) struct Second {
    /// What probes bear that are the Client's.
    pub(super) route: Route,
    pub(super) keys: ProbeKeys,
    /// The number of the latest probe.
    pub(super) latest: u64,
    /// How many are answered.
    pub(super) rate: Bucket,
}
