//! Who may use what a command serves.

use clap::Args;
use conec_tokio::{Offer, PeerInfo, Target};

use crate::{codes, output::say, serve::called, target::Peer};

/// Who may use what a command serves.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Allowed {
    /// Who may connect, by id or by name; repeat it for several. Without it, everybody whom the Coordinator lets through. A name is
    /// whose the Coordinator says it is, an id is certain
    #[arg(long = "allow", value_name = "ID|NAME")]
    allow: Vec<Peer>,
}

impl Allowed {
    /// The offer and who has made it, unless that one is not let in, which both sides are told.
    pub(crate) fn admit(&self, offer: Offer) -> Option<(Offer, PeerInfo)> {
        let peer = offer.peer()?;
        if self.admits(&peer) {
            return Some((offer, peer));
        }
        say(format_args!("{} is not let in", called(&peer)));
        offer.reject(codes::DENIED);
        None
    }

    fn admits(&self, peer: &PeerInfo) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|allowed| is(peer, &allowed.target()))
    }
}

fn is(peer: &PeerInfo, target: &Target) -> bool {
    match target {
        Target::Id(id) => peer.id == *id,
        Target::Name(name) => peer.name.as_ref() == Some(name),
        _ => false,
    }
}
