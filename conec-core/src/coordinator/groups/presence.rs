//! Who is there in a group, as those are told who want to know.
//!
//! Changes are told in beats. Of those within one beat what remains is told, so that to come and go costs others no more than
//! to be there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::{
    ClientId,
    wire::{Arrived, RoleMessage, ToMember},
};

/// There while somebody wants to know.
#[derive(Debug)]
pub(super) struct Presence {
    /// Who is there, as was told last, and what tells of it.
    present: BTreeMap<ClientId, Bytes>,
    /// Of whom that may have changed.
    pending: BTreeSet<ClientId>,
    /// The last changes.
    changes: VecDeque<(ClientId, Bytes)>,
    /// How many were forgotten before them.
    forgotten: u64,
}

/// How far somebody has been told.
#[derive(Debug)]
pub(super) struct Watch {
    /// Who is there is told one by one, after this one. All have been where it is `None`.
    listing: Option<Option<ClientId>>,
    /// Which change is next.
    next: u64,
}

impl Presence {
    /// These are there.
    pub(super) fn new(present: impl Iterator<Item = Arrived>) -> Self {
        let told = |it: Arrived| (it.id, ToMember::Arrived(it).encode());
        Self {
            present: present.map(told).collect(),
            pending: BTreeSet::new(),
            changes: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Who is there is to be told from the beginning.
    pub(super) fn watch(&self) -> Watch {
        Watch {
            listing: Some(None),
            next: self.end(),
        }
    }

    /// Somebody may have come, gone, or changed.
    pub(super) fn note(&mut self, id: ClientId) {
        self.pending.insert(id);
    }

    /// Looks at what has changed since the last beat.
    pub(super) fn beat(&mut self, mut look: impl FnMut(ClientId) -> Option<Arrived>) {
        for id in std::mem::take(&mut self.pending) {
            let now = look(id).map(|it| ToMember::Arrived(it).encode());
            let before = match &now {
                Some(told) => self.present.insert(id, told.clone()),
                None => self.present.remove(&id),
            };
            if before != now {
                let told = now.unwrap_or_else(|| ToMember::Left { id }.encode());
                self.changes.push_back((id, told));
            }
        }
        while self.changes.len() > MOST {
            self.changes.pop_front();
            self.forgotten += 1;
        }
    }

    /// Whether there is something to tell somebody.
    pub(super) fn has_news(&self, watch: &Watch) -> bool {
        watch.listing.is_some() || watch.next < self.end()
    }

    /// What somebody is told next.
    pub(super) fn next(&self, watch: &mut Watch) -> Option<Bytes> {
        // Changes first: who is listed is so as it is now.
        while watch.next < self.end() {
            let Some(at) = watch.next.checked_sub(self.forgotten) else {
                *watch = self.watch();
                return Some(ToMember::Roll.encode());
            };
            watch.next += 1;
            let change = self.changes.get(at as usize);
            let is_known = |id: ClientId| match watch.listing {
                Some(after) => after.is_some_and(|after| id <= after),
                None => true,
            };
            if let Some((id, told)) = change
                && is_known(*id)
            {
                return Some(told.clone());
            }
        }
        let after = watch.listing?;
        let mut others = match after {
            None => self.present.range(..),
            Some(id) => self
                .present
                .range((std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded)),
        };
        match others.next() {
            Some((&id, told)) => {
                watch.listing = Some(Some(id));
                Some(told.clone())
            }
            None => {
                watch.listing = None;
                Some(ToMember::Listed.encode())
            }
        }
    }

    fn end(&self) -> u64 {
        self.forgotten + self.changes.len() as u64
    }
}

/// How many changes are remembered.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody(byte: u8) -> Arrived {
        Arrived {
            id: ClientId::from_bytes([byte; 32]),
            name: None,
            publishes: true,
            hears: true,
            proof: Bytes::new(),
        }
    }

    fn told(presence: &Presence, watch: &mut Watch) -> Vec<ToMember> {
        let next = std::iter::from_fn(|| presence.next(watch));
        next.map(|it| ToMember::decode(it).ok().flatten().expect("it is whole"))
            .collect()
    }

    fn arrived(byte: u8) -> ToMember {
        ToMember::Arrived(somebody(byte))
    }

    fn left(byte: u8) -> ToMember {
        ToMember::Left {
            id: somebody(byte).id,
        }
    }

    #[test]
    fn all_are_listed_and_then_changes_told() {
        let mut presence = Presence::new([1, 3].map(somebody).into_iter());
        let mut watch = presence.watch();
        assert_eq!(
            told(&presence, &mut watch),
            [arrived(1), arrived(3), ToMember::Listed]
        );
        for byte in [2, 3, 4] {
            presence.note(somebody(byte).id);
        }
        // One has come and gone.
        presence.beat(|id| (id == somebody(2).id).then(|| somebody(2)));
        assert_eq!(told(&presence, &mut watch), [arrived(2), left(3)]);
        assert_eq!(told(&presence, &mut watch), []);
    }

    #[test]
    fn who_changes_while_others_are_listed_is_told_of_once() {
        let mut presence = Presence::new([1, 3, 5].map(somebody).into_iter());
        let mut watch = presence.watch();
        assert!(presence.next(&mut watch).is_some() && presence.next(&mut watch).is_some());
        let there = [2, 4, 5, 6];
        for byte in 1..=6 {
            presence.note(somebody(byte).id);
        }
        presence.beat(|id| {
            let all = there.map(somebody).into_iter();
            all.clone().find(|it| it.id == id)
        });
        assert_eq!(
            told(&presence, &mut watch),
            [
                left(1),
                arrived(2),
                left(3),
                arrived(4),
                arrived(5),
                arrived(6),
                ToMember::Listed
            ]
        );
    }

    #[test]
    fn who_is_far_behind_is_told_anew() {
        let mut presence = Presence::new(std::iter::once(somebody(1)));
        let mut watch = presence.watch();
        told(&presence, &mut watch);
        for round in 0..=MOST {
            presence.note(somebody(2).id);
            presence.beat(|_| (round % 2 == 0).then(|| somebody(2)));
        }
        let expected = [ToMember::Roll, arrived(1), arrived(2), ToMember::Listed];
        assert_eq!(told(&presence, &mut watch), expected);
    }
}
