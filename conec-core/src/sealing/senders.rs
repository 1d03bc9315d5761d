//! What a member remembers of those whose sealed messages it has opened, so that nothing is taken twice, or is missed unnoticed.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
};

use super::{UnsealError, key::MessageKey};
use crate::{
    ClientId,
    wire::{KeyTag, MembershipTag, Salt, SealedHeader},
};

/// The senders in one of the orders that a group has had.
#[derive(Debug)]
pub(super) struct Senders {
    /// The first position of the order in the present membership of who remembers.
    start: u64,
    /// The last position from which a message was opened.
    heard: Option<u64>,
    /// So many messages are said to be left out that were not missed yet.
    announced: u64,
    known: BTreeMap<ClientId, Sender>,
    /// Who was heard last at which position.
    by_position: BTreeMap<u64, ClientId>,
    /// Of the senders that were forgotten, when the one was born that was so last.
    forgotten: Option<u64>,
}

#[derive(Debug)]
struct Sender {
    membership: MembershipTag,
    /// Of former memberships that were born at the same position.
    retired: Vec<Salt>,
    /// The counter of its next message.
    next: u64,
    /// Whether its next message has to have that counter. When who remembers has joined again, it has missed some.
    is_followed: bool,
    /// From which position its last message was.
    heard: u64,
    /// The key that its last message was opened with.
    key: Option<CachedKey>,
}

/// A key that need not be derived again.
#[derive(Debug)]
pub(super) struct CachedKey {
    tag: KeyTag,
    key: Box<MessageKey>,
}

impl CachedKey {
    pub(super) fn new(tag: KeyTag, key: MessageKey) -> Self {
        let key = Box::new(key);
        Self { tag, key }
    }
}

impl Senders {
    /// Nobody was heard yet by who has joined at this position.
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            heard: None,
            announced: 0,
            known: BTreeMap::new(),
            by_position: BTreeMap::new(),
            forgotten: None,
        }
    }

    /// Who remembers has joined again, at this position, if that can be.
    pub(super) fn join_again(&mut self, start: u64) -> Result<(), Backwards> {
        if start < self.start || self.heard.is_some_and(|heard| start <= heard) {
            return Err(Backwards);
        }
        self.start = start;
        self.announced = 0;
        for sender in self.known.values_mut() {
            sender.is_followed = false;
        }
        Ok(())
    }

    /// So many messages are said to be left out.
    pub(super) fn announce(&mut self, count: u64) {
        self.announced = self.announced.saturating_add(count);
    }

    /// The key for messages of a sender in this membership, if it is known.
    pub(super) fn key(&self, sender: ClientId, header: &SealedHeader) -> Option<&MessageKey> {
        let known = self.known.get(&sender)?;
        let cached = known.key.as_ref()?;
        let is_it = known.membership == header.membership && cached.tag == header.key;
        is_it.then_some(&*cached.key)
    }

    /// Forgets all derived keys but those by such.
    pub(super) fn retain_keys(&mut self, such: impl Fn(&KeyTag) -> bool) {
        for sender in self.known.values_mut() {
            sender.key.take_if(|key| !such(&key.tag));
        }
    }

    /// Takes a genuine message at this position, unless it cannot be there, and the key that it was opened with, if that was not known.
    /// Says how many messages were withheld before it.
    pub(super) fn take(
        &mut self,
        sender: ClientId,
        position: u64,
        header: &SealedHeader,
        key: Option<CachedKey>,
    ) -> Result<u64, UnsealError> {
        if self.heard.is_some_and(|heard| position <= heard) {
            return Err(UnsealError::Replayed);
        }
        // It answers what came later, or is from before its sender was there.
        if position <= header.after || position < header.membership.born {
            return Err(UnsealError::OutOfOrder);
        }
        let missing = match self.known.entry(sender) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let missing = known.take(self.start, header)?;
                let before = mem::replace(&mut known.heard, position);
                // In this order, as a map that is empty in between takes new memory for each message.
                self.by_position.insert(position, sender);
                self.by_position.remove(&before);
                if key.is_some() {
                    known.key = key;
                }
                missing
            }
            Entry::Vacant(unknown) => {
                let MembershipTag { born, .. } = header.membership;
                if self.forgotten.is_some_and(|forgotten| born <= forgotten) {
                    return Err(UnsealError::Forgotten);
                }
                unknown.insert(Sender {
                    membership: header.membership,
                    retired: Vec::new(),
                    next: header.counter + 1,
                    is_followed: true,
                    heard: position,
                    key,
                });
                self.by_position.insert(position, sender);
                first_missing(self.start, header)
            }
        };
        self.heard = Some(position);
        self.forget_one_if_many();
        let announced = missing.min(self.announced);
        self.announced -= announced;
        Ok(missing - announced)
    }

    /// About how many bytes this takes.
    pub(super) fn memory(&self) -> usize {
        // Nodes of B-trees are half full at least.
        let known = 2 * (size_of::<ClientId>() + size_of::<Sender>());
        let by_position = 2 * (size_of::<ClientId>() + size_of::<u64>());
        let each = known + by_position + size_of::<MessageKey>();
        let senders = self.known.values();
        let retired: usize = senders.map(|it| it.retired.capacity()).sum();
        self.known.len() * each + retired * size_of::<Salt>()
    }

    fn forget_one_if_many(&mut self) {
        if self.known.len() <= MAX_SENDERS {
            return;
        }
        let least_recent = self.by_position.pop_first();
        let sender = least_recent.and_then(|(_, sender)| self.known.remove(&sender));
        let born = sender.map(|sender| sender.membership.born);
        self.forgotten = self.forgotten.max(born);
    }
}

impl Sender {
    /// Takes a message, unless it may have been here before. Says how many are missing before it.
    fn take(&mut self, start: u64, header: &SealedHeader) -> Result<u64, UnsealError> {
        let missing = if header.membership == self.membership {
            let ahead = header.counter.checked_sub(self.next);
            let ahead = ahead.ok_or(UnsealError::Replayed)?;
            if self.is_followed { ahead } else { 0 }
        } else {
            self.follow(header.membership)?;
            first_missing(start, header)
        };
        self.next = header.counter + 1;
        self.is_followed = true;
        Ok(missing)
    }

    /// It has joined again, unless this is one of the memberships that it has left.
    fn follow(&mut self, membership: MembershipTag) -> Result<(), UnsealError> {
        let MembershipTag { born, salt } = membership;
        let present = self.membership;
        if born < present.born {
            return Err(UnsealError::Replayed);
        }
        if born > present.born {
            self.retired = Vec::new();
        } else if self.retired.contains(&salt) || self.retired.len() >= MAX_RETIRED {
            return Err(UnsealError::Replayed);
        } else {
            self.retired.push(present.salt);
        }
        self.membership = membership;
        self.key = None;
        Ok(())
    }
}

/// How many messages are missing before the first of a membership. Where that is older than the one of who listens, nobody knows.
fn first_missing(start: u64, header: &SealedHeader) -> u64 {
    if header.membership.born >= start {
        header.counter
    } else {
        0
    }
}

/// A membership cannot begin before what was heard.
#[derive(Debug)]
pub(super) struct Backwards;

/// So many senders are remembered.
pub(super) const MAX_SENDERS: usize = 4096;
/// A sender that joins again and again where nobody says anything is taken so often.
pub(super) const MAX_RETIRED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(membership: MembershipTag) -> SealedHeader {
        SealedHeader {
            key: [0; 8],
            membership,
            counter: 0,
            after: 0,
        }
    }

    #[test]
    fn each_sender_counts_as_much_and_so_does_each_salt_that_it_has_left() {
        let mut senders = Senders::new(0);
        assert_eq!(senders.memory(), 0);
        let mut hear = |position: u64, sender: u8, salt: u8| {
            let membership = MembershipTag {
                born: 1,
                salt: [salt; 16],
            };
            let sender = ClientId([sender; 32]);
            let taken = senders.take(sender, position, &header(membership), None);
            assert_eq!(taken, Ok(0));
            senders.memory()
        };
        let one = hear(2, 1, 1);
        // Twice the place in both trees.
        let places = 2 * (size_of::<ClientId>() + size_of::<Sender>() + size_of::<ClientId>() + 8);
        assert_eq!(one, places + size_of::<MessageKey>());
        assert_eq!(hear(3, 2, 1), 2 * one);
        assert_eq!(hear(4, 3, 1), 3 * one);
        let again = hear(5, 3, 2);
        let salts = (again - 3 * one) / size_of::<Salt>();
        assert!((1..=MAX_RETIRED).contains(&salts), "{salts}");
    }
}
