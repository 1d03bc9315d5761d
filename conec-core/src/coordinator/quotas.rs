//! How many channels each Client has asked for, and how many others have asked it for, and who.

use std::collections::BTreeMap;

use crate::{ClientId, util::may_take};

#[derive(Debug, Default)]
pub(super) struct Quotas {
    clients: BTreeMap<ClientId, Held>,
}

/// The places of one Client.
#[derive(Debug, Default)]
struct Held {
    /// What it has asked for.
    asked: usize,
    /// What others have asked it for, by who has.
    others: BTreeMap<ClientId, Share>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Share {
    /// Offers that the Client has not accepted. They may have to give way.
    waiting: usize,
    accepted: usize,
}

impl Share {
    fn all(self) -> usize {
        self.waiting + self.accepted
    }
}

/// Whether there is a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// Once an offer of this Client that waits has given way.
    InsteadOf(ClientId),
    None,
}

impl Quotas {
    /// How many channels a Client has asked for.
    pub(super) fn asked(&self, client: ClientId) -> usize {
        self.clients.get(&client).map_or(0, |held| held.asked)
    }

    /// Whether a Client can be offered another channel, which `by` has asked for if anybody has.
    pub(super) fn room(&self, at: ClientId, by: Option<ClientId>, limit: usize) -> Room {
        let Some(held) = self.clients.get(&at) else {
            return if limit > 0 { Room::Free } else { Room::None };
        };
        let taken = held.others.values().map(|share| share.all()).sum();
        let own = by.and_then(|by| held.others.get(&by)).copied();
        let own = own.map_or(0, Share::all);
        if may_take(own, taken, limit) {
            return Room::Free;
        }
        let most = held.others.iter().max_by_key(|(_, share)| share.waiting);
        match most {
            // Nobody gains by it who would have to give way next.
            Some((&who, share)) if share.waiting > own + 1 => Room::InsteadOf(who),
            Some(_) | None => Room::None,
        }
    }

    /// A Client has asked for one more, until it [has given up](Self::give_up).
    pub(super) fn ask(&mut self, by: ClientId) {
        self.clients.entry(by).or_default().asked += 1;
    }

    /// A Client is offered what another has asked for, until that [is over](Self::end).
    pub(super) fn offer(&mut self, at: ClientId, by: ClientId) {
        self.share(at, by).waiting += 1;
    }

    pub(super) fn accept(&mut self, at: ClientId, by: ClientId) {
        let share = self.share(at, by);
        share.waiting -= 1;
        share.accepted += 1;
    }

    /// What a Client has asked for is over.
    pub(super) fn give_up(&mut self, by: ClientId) {
        if let Some(held) = self.clients.get_mut(&by) {
            held.asked -= 1;
        }
        self.tidy(by);
    }

    /// An offer is over, accepted or not.
    pub(super) fn end(&mut self, at: ClientId, by: ClientId, accepted: bool) {
        let share = self.share(at, by);
        match accepted {
            true => share.accepted -= 1,
            false => share.waiting -= 1,
        }
        let is_over = share.all() == 0;
        if let Some(held) = self.clients.get_mut(&at).filter(|_| is_over) {
            held.others.remove(&by);
        }
        self.tidy(at);
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        let shares = self.clients.values().map(|held| held.others.len());
        self.clients.len() + shares.sum::<usize>()
    }

    fn share(&mut self, at: ClientId, by: ClientId) -> &mut Share {
        let held = self.clients.entry(at).or_default();
        held.others.entry(by).or_default()
    }

    fn tidy(&mut self, client: ClientId) {
        let is_empty = |held: &Held| held.asked == 0 && held.others.is_empty();
        if self.clients.get(&client).is_some_and(is_empty) {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16;

    fn client(number: u8) -> ClientId {
        ClientId::from_bytes([number; 32])
    }

    #[test]
    fn an_offer_gives_way_only_to_who_will_have_fewer_than_it_leaves() {
        let (at, one, other) = (client(0), client(1), client(2));
        let mut quotas = Quotas::default();
        (0..7).for_each(|_| quotas.offer(at, one));
        (0..6).for_each(|_| quotas.offer(at, other));
        assert_eq!(quotas.room(at, Some(other), LIMIT), Room::None);
        quotas.end(at, other, false);
        assert_eq!(quotas.room(at, Some(other), LIMIT), Room::InsteadOf(one));
        assert_eq!(quotas.room(at, Some(one), LIMIT), Room::None);
        // Nobody's own, and who has none.
        assert_eq!(quotas.room(at, None, LIMIT), Room::Free);
        assert_eq!(quotas.room(at, Some(client(3)), 12), Room::InsteadOf(one));

        // What was accepted stays, and takes a place all the same.
        (0..2).for_each(|_| quotas.accept(at, one));
        assert_eq!(quotas.room(at, Some(other), LIMIT), Room::None);
        (0..5).for_each(|_| quotas.end(at, one, false));
        assert_eq!(quotas.room(at, Some(one), 10), Room::InsteadOf(other));
        assert_eq!(quotas.room(at, Some(one), LIMIT), Room::Free);
        (0..2).for_each(|_| quotas.end(at, one, true));
        (0..5).for_each(|_| quotas.end(at, other, false));
        assert!(quotas.clients.is_empty());
    }

    #[test]
    fn where_there_are_no_places_nobody_gets_one() {
        let quotas = Quotas::default();
        assert_eq!(quotas.room(client(0), None, 0), Room::None);
        assert_eq!(quotas.room(client(0), None, 1), Room::Free);
    }

    #[test]
    fn what_was_asked_for_counts_until_it_is_given_up() {
        let (one, other) = (client(1), client(2));
        let mut quotas = Quotas::default();
        quotas.ask(one);
        quotas.ask(one);
        quotas.offer(one, other);
        quotas.give_up(one);
        assert_eq!((quotas.asked(one), quotas.asked(other)), (1, 0));
        quotas.give_up(one);
        assert_eq!(quotas.asked(one), 0);
        quotas.end(one, other, false);
        assert!(quotas.clients.is_empty());
    }
}
