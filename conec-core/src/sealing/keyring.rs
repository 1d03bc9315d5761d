//! The sealer for a key that all members have.

use std::{collections::VecDeque, fmt};

use bytes::{Bytes, BytesMut};
use subtle::ConstantTimeEq;

use super::{
    BeginError, GroupKey, GroupSealer, KeyMatch, KeyNotUsed, Membership, Opened, SealError,
    UnsealError,
    key::{MAX_OVERHEAD, MessageKey, Origin, TooLarge},
    senders::{Backwards, CachedKey, Senders},
};
use crate::{
    ClientId, Name,
    wire::{KeyTag, MAX_SEALED, Malformed, MembershipTag, SealedHeader},
};

/// Seals with a [`GroupKey`] that all members have.
///
/// AES-256-GCM, with a key for each membership of each sender that is derived from the group's by HKDF-SHA256. How it looks is in the
/// [protocol](crate::protocol).
///
/// # What it gives
///
/// A Coordinator that does not have the key cannot
///
/// * read messages, or change or make up some;
/// * show a message twice to a member, or in another group, in another's name, in another order of the group, among its sender's messages at
///   another place, or before what it answers;
/// * leave out messages unnoticed between others of the same sender: [`Opened::withheld`] says how many there were, but for those that it
///   [said](GroupSealer::lagged) to have left out.
///
/// # What it does not give
///
/// * The Coordinator sees how large messages are, when they come and from whom, what their senders had heard before, and when these change
///   their keys.
/// * What is left out at the end is not missed before the sender is heard again. Nor is what is left out before the first message that a member
///   hears of a sender that was there already, or that the Coordinator has told to have been.
/// * To a member that was not there, or was started anew and remembers nothing, old messages of the same order of the group can be shown
///   late.
/// * Different members can be shown the messages of different senders in different orders.
/// * Who has the key can write in everybody's name together with the Coordinator, and reads all that is sealed with it, earlier messages
///   too. Who is to be shut out has to be left without the next [key](Self::set_key).
/// * A passphrase can be guessed by the Coordinator, slowly, for as long as it likes: proofs and messages show whether a guess is right.
/// * Keys are not wiped from memory.
///
/// ```
/// use conec_core::{GroupKey, GroupSealer, Identity, KeySealer, Membership, UnsealError};
///
/// let key = GroupKey::random()?;
/// let [alice, bob] = [[1; 32], [2; 32]].map(|seed| Identity::from_seed(seed).id());
/// let joined = |me, salt| {
///     let mut sealer = KeySealer::new(key.clone());
///     let (group, incarnation, born) = ("alarms".parse().expect("a name"), 1, 1);
///     let membership = Membership { group, incarnation, me, born, salt };
///     sealer.begin(membership).map(|()| sealer)
/// };
/// // The salts would be random.
/// let (mut at_alice, mut at_bob) = (joined(alice, [3; 16])?, joined(bob, [4; 16])?);
///
/// let sealed = at_alice.seal(0, b"door 3 is open")?;
/// let opened = at_bob.open(alice, 1, sealed.clone())?;
/// assert_eq!(opened.message.as_deref(), Some(&b"door 3 is open"[..]));
/// // The Coordinator shows it once more.
/// assert_eq!(at_bob.open(alice, 2, sealed), Err(UnsealError::Replayed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeySealer {
    key: GroupKey,
    /// Those before it, the latest first.
    former: VecDeque<GroupKey>,
    joined: Option<Joined>,
    /// The orders of the group that are over, the oldest first.
    abandoned: VecDeque<u64>,
}

/// The present membership.
struct Joined {
    membership: Membership,
    keys: Keys,
    /// How many messages were sealed, with whichever keys.
    sealed: u64,
    senders: Senders,
}

/// What the keys come to in a membership.
struct Keys {
    /// Seals.
    message_key: MessageKey,
    tag: KeyTag,
    /// Open, each what has its tag.
    known: Vec<(KeyTag, GroupKey)>,
}

impl KeySealer {
    /// Seals with this key.
    pub fn new(key: GroupKey) -> Self {
        Self {
            key,
            former: VecDeque::new(),
            joined: None,
            abandoned: VecDeque::new(),
        }
    }

    /// Seals with this key from now on. What was sealed with one of the last three before still opens.
    pub fn set_key(&mut self, key: GroupKey) {
        if key == self.key {
            return;
        }
        self.former.retain(|former| *former != key);
        self.former
            .push_front(std::mem::replace(&mut self.key, key));
        self.former.truncate(MAX_FORMER);
        self.heed_keys();
    }

    /// From now on, what was sealed with a former key does not open any more.
    pub fn forget_former_keys(&mut self) {
        self.former.clear();
        self.heed_keys();
    }

    fn heed_keys(&mut self) {
        let Some(joined) = &mut self.joined else {
            return;
        };
        // The counter goes on: a key that comes back must not meet one twice.
        joined.keys = Keys::of(&self.key, &self.former, &joined.membership);
        joined
            .senders
            .retain_keys(|tag| joined.keys.find(tag).is_some());
    }
}

impl GroupSealer for KeySealer {
    fn proof(&self, group: &Name, me: ClientId) -> Bytes {
        Bytes::copy_from_slice(&self.key.proof(group, me))
    }

    fn check(&self, group: &Name, member: ClientId, proof: &[u8]) -> KeyMatch {
        let is_by = |key: &GroupKey| bool::from(key.proof(group, member).ct_eq(proof));
        if proof.is_empty() {
            KeyMatch::Unsealed
        } else if is_by(&self.key) {
            KeyMatch::Same
        } else if self.former.iter().any(is_by) {
            KeyMatch::Former
        } else {
            KeyMatch::Different
        }
    }

    fn begin(&mut self, membership: Membership) -> Result<(), BeginError> {
        if let Some(Joined {
            membership: before, ..
        }) = &self.joined
        {
            if before.group != membership.group {
                return Err(BeginError::OtherGroup);
            }
            if before.salt == membership.salt {
                return Err(BeginError::SaltReused);
            }
        }
        if self.abandoned.contains(&membership.incarnation) {
            return Err(BeginError::Abandoned);
        }
        let keys = Keys::of(&self.key, &self.former, &membership);
        match &mut self.joined {
            Some(joined) if joined.membership.incarnation == membership.incarnation => {
                let again = joined.senders.join_again(membership.born);
                again.map_err(|Backwards| BeginError::Backwards)?;
                joined.membership = membership;
                joined.keys = keys;
                joined.sealed = 0;
            }
            before => {
                let over = before.as_ref().map(|it| it.membership.incarnation);
                self.abandoned.extend(over);
                if self.abandoned.len() > MAX_ABANDONED {
                    self.abandoned.pop_front();
                }
                *before = Some(Joined {
                    senders: Senders::new(membership.born),
                    membership,
                    keys,
                    sealed: 0,
                });
            }
        }
        Ok(())
    }

    fn overhead(&self) -> usize {
        MAX_OVERHEAD
    }

    fn seal(&mut self, after: u64, message: &[u8]) -> Result<Bytes, SealError> {
        let joined = self.joined.as_mut().ok_or(SealError::NotBegun)?;
        if joined.sealed >= MAX_SEALED {
            return Err(SealError::Exhausted);
        }
        let header = SealedHeader {
            key: joined.keys.tag,
            membership: tag(&joined.membership),
            counter: joined.sealed,
            after,
        };
        let origin = own_origin(&joined.membership);
        let sealed = joined.keys.message_key.seal(&origin, &header, message);
        let sealed = sealed.map_err(|TooLarge| SealError::TooLarge)?;
        joined.sealed += 1;
        Ok(sealed)
    }

    fn open(
        &mut self,
        sender: ClientId,
        sequence: u64,
        sealed: Bytes,
    ) -> Result<Opened, UnsealError> {
        let joined = self.joined.as_mut().ok_or(UnsealError::NotBegun)?;
        let (header, ciphertext) =
            SealedHeader::decode(&sealed).map_err(|Malformed| UnsealError::Malformed)?;
        let header_len = sealed.len() - ciphertext.len();
        let key = joined.keys.find(&header.key).ok_or(UnsealError::OtherKey)?;
        let origin = Origin {
            group: &joined.membership.group,
            incarnation: joined.membership.incarnation,
            sender,
            membership: header.membership,
        };
        // Nothing that a message says is heeded before it is known to be genuine.
        let open = |key: &MessageKey| {
            let sealed = sealed.try_into_mut();
            let sealed = sealed.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            let opened = key.open(&origin, header.counter, sealed, header_len);
            opened.ok_or(UnsealError::Forged)
        };
        let (message, new_key) = match joined.senders.key(sender, &header) {
            Some(known) => (open(known)?, None),
            None => {
                let derived = key.message_key(&origin);
                (open(&derived)?, Some(CachedKey::new(header.key, derived)))
            }
        };
        let withheld = joined.senders.take(sender, sequence, &header, new_key)?;
        Ok(Opened {
            message: Some(message),
            withheld,
        })
    }

    fn lagged(&mut self, count: u64) {
        if let Some(joined) = &mut self.joined {
            joined.senders.announce(count);
        }
    }

    fn set_key(&mut self, key: GroupKey) -> Result<(), KeyNotUsed> {
        self.set_key(key);
        Ok(())
    }

    fn forget_former_keys(&mut self) {
        self.forget_former_keys();
    }

    fn memory(&self) -> usize {
        let abandoned = self.abandoned.capacity() * size_of::<u64>();
        let joined = self.joined.as_ref();
        abandoned + joined.map_or(0, |it| it.senders.memory())
    }
}

impl fmt::Debug for KeySealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySealer")
            .field("membership", &self.joined.as_ref().map(|it| &it.membership))
            .field("former_keys", &self.former.len())
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn of(key: &GroupKey, former: &VecDeque<GroupKey>, membership: &Membership) -> Self {
        let with_tag = |key: &GroupKey| (key.tag(&membership.group), key.clone());
        Self {
            message_key: key.message_key(&own_origin(membership)),
            tag: key.tag(&membership.group),
            known: [key].into_iter().chain(former).map(with_tag).collect(),
        }
    }

    fn find(&self, tag: &KeyTag) -> Option<&GroupKey> {
        let mut known = self.known.iter();
        known.find(|(it, _)| it == tag).map(|(_, key)| key)
    }
}

fn own_origin(membership: &Membership) -> Origin<'_> {
    Origin {
        group: &membership.group,
        incarnation: membership.incarnation,
        sender: membership.me,
        membership: tag(membership),
    }
}

fn tag(membership: &Membership) -> MembershipTag {
    MembershipTag {
        born: membership.born,
        salt: membership.salt,
    }
}

/// So many former keys still open.
pub(super) const MAX_FORMER: usize = 3;
/// So many orders that are over are remembered.
pub(super) const MAX_ABANDONED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_is_exhausted_before_a_counter_comes_twice() {
        let mut sealer = KeySealer::new(GroupKey::from_bytes([1; 32]));
        let begin = |sealer: &mut KeySealer, salt: u8| {
            let begun = sealer.begin(Membership {
                group: "group".parse().unwrap(),
                incarnation: 1,
                me: ClientId([2; 32]),
                born: 5,
                salt: [salt; 16],
            });
            assert_eq!(begun, Ok(()));
        };
        begin(&mut sealer, 1);
        sealer.joined.as_mut().unwrap().sealed = MAX_SEALED - 1;
        let last = sealer.seal(4, b"last").unwrap();
        assert_eq!(
            SealedHeader::decode(&last).unwrap().0.counter,
            MAX_SEALED - 1
        );
        assert_eq!(sealer.seal(4, b"more"), Err(SealError::Exhausted));
        // Not with another key either, which might be the first again later.
        sealer.set_key(GroupKey::from_bytes([3; 32]));
        assert_eq!(sealer.seal(4, b"more"), Err(SealError::Exhausted));
        begin(&mut sealer, 2);
        assert!(sealer.seal(4, b"more").is_ok());
    }
}
