//! Whether the other end of a peer channel has the key that belongs to its name, as far as that is known.

use crate::{
    ChannelId,
    client::{Client, ClientEvent},
    wire::Offer,
};

impl Client {
    /// Whether whom the Coordinator offers may bear the name that it gives it. If not, the application is told, with the channel that
    /// was sought by that name.
    pub(super) fn is_as_known(&mut self, offer: &Offer, sought: Option<ChannelId>) -> bool {
        match (&mut self.known, &offer.peer_name) {
            (Some(known), Some(name)) => known.admit(name, offer.peer, sought),
            (Some(_) | None, _) => true,
        }
    }

    /// The other end has proved its key, and that it means the same channel. Learns its name, if that was worth anything to
    /// somebody here: who would learn what nobody asks for could be made to learn without end.
    ///
    /// Whether the channel may go on. What was found when it was offered may not be so any more: of two that are
    /// asked for by a new name at once, the second may have another key.
    pub(super) fn recognise(&mut self, id: ChannelId) -> bool {
        let Some(known) = &mut self.known else {
            return true;
        };
        let channel = self.host.get_mut(id);
        let Some(peer) = channel.and_then(|channel| channel.role.as_mut()) else {
            return true;
        };
        let (by_name, by_id) = (peer.sought.is_some(), peer.is_asked_by_id());
        let Some(offer) = &mut peer.offer else {
            return true;
        };
        let Some(name) = &offer.peer_name else {
            return true;
        };
        if !known.admit(name, offer.peer, by_name.then_some(id)) {
            if by_id {
                // It is whom this Client wants, whatever the Coordinator calls it.
                offer.peer_name = None;
            }
            return by_id;
        }
        let is_accepted = !peer.asked && !self.config.auto_accept;
        let limit = self.config.limits.known_names;
        if (by_name || is_accepted) && !known.learn(name, offer.peer, limit) {
            let name = name.clone();
            tracing::warn!(%name, "no more names are learned");
            self.tell_latest(ClientEvent::NotLearned { name }, |event| {
                matches!(event, ClientEvent::NotLearned { .. })
            });
        }
        true
    }
}
