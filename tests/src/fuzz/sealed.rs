//! Sealed messages of a group, and what a Coordinator does to them: leaves some out, with a word or without, repeats, moves, damages and makes
//! up others, while members join again and keys change.
//!
//! What a member opens, and what it misses, is what follows from all that it has opened before. Nothing that is refused changes that.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use conec_core::{ClientId, GroupKey, GroupSealer, KeySealer, Membership, UnsealError};

use super::Input;

/// What happens to a group, one step after the other.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let mut scene = Scene::new();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            return;
        }
        scene.step(&mut input);
    }
}

struct Scene {
    speakers: [Speaker; 3],
    listener: KeySealer,
    model: Model,
    /// The last position of the order.
    position: u64,
    incarnation: u64,
    salts: u64,
    sent: Vec<Sent>,
}

/// Who seals.
struct Speaker {
    sealer: KeySealer,
    key: u8,
    membership: Joined,
    counter: u64,
    /// What the Coordinator has got from it, and has not passed on yet.
    waiting: VecDeque<usize>,
}

/// A membership, which no other is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Joined {
    incarnation: u64,
    born: u64,
    salt: u64,
}

/// A message that was sealed.
#[derive(Debug, Clone)]
struct Sent {
    speaker: usize,
    membership: Joined,
    counter: u64,
    after: u64,
    key: u8,
    sealed: Vec<u8>,
}

/// What the listener has opened, from which follows what it opens next.
struct Model {
    /// When it has joined last, and after how many that it had opened.
    start: u64,
    opened_before: usize,
    opened: Vec<Opened>,
    announced: u64,
    /// Its keys, the present one first.
    keys: Vec<u8>,
}

#[derive(Debug)]
struct Opened {
    speaker: usize,
    membership: Joined,
    counter: u64,
    position: u64,
}

impl Scene {
    fn new() -> Self {
        let joined = Joined {
            incarnation: 0,
            born: 0,
            salt: 0,
        };
        let speaker = || Speaker {
            sealer: KeySealer::new(key(0)),
            key: 0,
            membership: joined,
            counter: 0,
            waiting: VecDeque::new(),
        };
        let mut scene = Self {
            speakers: std::array::from_fn(|_| speaker()),
            listener: KeySealer::new(key(0)),
            model: Model {
                start: 1,
                opened_before: 0,
                opened: Vec::new(),
                announced: 0,
                keys: vec![0],
            },
            position: 0,
            incarnation: 0,
            salts: 0,
            sent: Vec::new(),
        };
        scene.begin_order();
        scene
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.byte() % 16;
        let who = usize::from(input.byte()) % self.speakers.len();
        match kind {
            0..3 => self.say(who, input),
            3..7 => {
                if let Some(next) = self.speakers[who].waiting.pop_front() {
                    self.position += 1;
                    self.show(next, self.position);
                }
            }
            7 => _ = self.speakers[who].waiting.pop_front(),
            8 => {
                let count = u64::from(input.byte() % 4);
                for _ in 0..count {
                    self.speakers[who].waiting.pop_front();
                }
                self.listener.lagged(count);
                self.model.announced += count;
            }
            9 => {
                self.position += 1;
                self.show_any(input, self.position);
            }
            10 => {
                let position = (self.position + 3).saturating_sub(u64::from(input.byte() % 8));
                self.show_any(input, position);
                self.position = self.position.max(position);
            }
            11 => self.show_damaged(input),
            12 => self.show_others(who, input),
            13 => self.join(who),
            14 if input.byte().is_multiple_of(8) => self.begin_order(),
            14 => self.listen(),
            _ => self.change_keys(who, input),
        }
        assert!(self.listener.memory() < 10_000);
    }

    fn say(&mut self, who: usize, input: &mut Input<'_>) {
        let number = self.sent.len();
        let speaker = &mut self.speakers[who];
        // The Coordinator may have told it of what others do not hear of yet.
        let after = self.position + u64::from(input.byte() / 64);
        let sealed = speaker.sealer.seal(after, &number.to_be_bytes());
        let sealed = sealed.expect("far from exhausted");
        assert!(sealed.len() <= size_of_val(&number) + speaker.sealer.overhead());
        self.sent.push(Sent {
            speaker: who,
            membership: speaker.membership,
            counter: speaker.counter,
            after,
            key: speaker.key,
            sealed: sealed.to_vec(),
        });
        speaker.counter += 1;
        speaker.waiting.push_back(number);
    }

    fn show_any(&mut self, input: &mut Input<'_>, position: u64) {
        if let Some(number) = self.any(input) {
            self.show(number, position);
        }
    }

    fn any(&self, input: &mut Input<'_>) -> Option<usize> {
        let from_last = usize::from(input.byte());
        from_last
            .checked_rem(self.sent.len())
            .map(|back| self.sent.len() - 1 - back)
    }

    /// The listener is shown a message as it was sealed.
    fn show(&mut self, number: usize, position: u64) {
        let sent = &self.sent[number];
        let sealed = Bytes::copy_from_slice(&sent.sealed);
        let found = self.listener.open(id(sent.speaker), position, sealed);
        let found = found.map(|opened| {
            let message = opened.message.expect("it is for the application");
            assert_eq!(*message, number.to_be_bytes());
            opened.withheld
        });
        let expected = self.model.open(sent, position, self.incarnation);
        assert_eq!(found, expected, "{sent:?} at {position}");
    }

    fn show_damaged(&mut self, input: &mut Input<'_>) {
        let Some(number) = self.any(input) else {
            return;
        };
        let sent = &self.sent[number];
        let mut damaged = sent.sealed.clone();
        let at = usize::from(input.byte()) % damaged.len();
        match input.byte() {
            0 => damaged.truncate(at),
            1 => damaged.extend(input.block()),
            2 => _ = damaged.splice(at.., input.block().iter().copied()),
            bits => damaged[at] ^= bits,
        }
        if damaged != sent.sealed {
            self.refuses(id(sent.speaker), &damaged);
        }
    }

    /// What somebody else has sealed, or nobody.
    fn show_others(&mut self, who: usize, input: &mut Input<'_>) {
        match self.any(input) {
            Some(number) if input.byte() < 128 => {
                let sent = &self.sent[number];
                if sent.speaker != who {
                    self.refuses(id(who), &sent.sealed.clone());
                }
            }
            Some(_) | None => {
                self.refuses(id(who), input.block());
            }
        }
    }

    fn refuses(&mut self, sender: ClientId, bytes: &[u8]) {
        let sealed = Bytes::copy_from_slice(bytes);
        let found = self.listener.open(sender, self.position + 1, sealed);
        let as_no_message = [
            UnsealError::Malformed,
            UnsealError::OtherKey,
            UnsealError::Forged,
        ];
        let refused = found.as_ref().is_err_and(|it| as_no_message.contains(it));
        assert!(refused, "{found:?} of {bytes:02x?}");
    }

    /// A speaker joins, once more mostly.
    fn join(&mut self, who: usize) {
        let membership = self.membership();
        let begun = begin(&mut self.speakers[who].sealer, membership, id(who));
        assert!(begun, "{membership:?}");
        let speaker = &mut self.speakers[who];
        (speaker.membership, speaker.counter) = (membership, 0);
    }

    /// The listener joins again, or cannot, as it has opened something that is said to come later.
    fn listen(&mut self) {
        let membership = self.membership();
        let can_be = self.model.opened.iter();
        let can_be = can_be.map(|it| it.position).max() < Some(membership.born);
        let begun = begin(&mut self.listener, membership, id(LISTENER));
        assert_eq!(begun, can_be, "{membership:?}");
        if begun {
            self.model.start = membership.born;
            self.model.opened_before = self.model.opened.len();
            self.model.announced = 0;
        }
    }

    /// The Coordinator has forgotten all, and everybody joins.
    fn begin_order(&mut self) {
        (self.incarnation, self.position) = (self.incarnation + 1, 0);
        self.model.opened = Vec::new();
        for who in 0..self.speakers.len() {
            self.join(who);
        }
        self.listen();
    }

    fn membership(&mut self) -> Joined {
        self.salts += 1;
        Joined {
            incarnation: self.incarnation,
            born: self.position + 1,
            salt: self.salts,
        }
    }

    fn change_keys(&mut self, who: usize, input: &mut Input<'_>) {
        let number = input.byte() % 8;
        match input.byte() % 4 {
            0 => {
                self.listener.forget_former_keys();
                self.model.keys.truncate(1);
            }
            1 => {
                self.listener.set_key(key(number));
                self.model.keys.retain(|it| *it != number);
                self.model.keys.insert(0, number);
                self.model.keys.truncate(4);
            }
            _ => {
                // One that the listener has, mostly.
                let of_listener = usize::from(number) % self.model.keys.len();
                let number = match number {
                    0..7 => self.model.keys[of_listener],
                    other => other,
                };
                self.speakers[who].sealer.set_key(key(number));
                self.speakers[who].key = number;
            }
        }
    }
}

impl Model {
    /// How many messages are withheld before this one, if it opens.
    fn open(&mut self, sent: &Sent, position: u64, incarnation: u64) -> Result<u64, UnsealError> {
        if !self.keys.contains(&sent.key) {
            return Err(UnsealError::OtherKey);
        }
        if sent.membership.incarnation != incarnation {
            return Err(UnsealError::Forged);
        }
        if self.opened.iter().any(|it| it.position >= position) {
            return Err(UnsealError::Replayed);
        }
        if sent.after >= position || sent.membership.born > position {
            return Err(UnsealError::OutOfOrder);
        }
        let before = |it: &&Opened| it.speaker == sent.speaker;
        let last = self.opened.iter().rfind(before).map(|it| it.membership);
        let of_membership = |it: &&Opened| before(it) && it.membership == sent.membership;
        let previous = self.opened.iter().rposition(|it| of_membership(&it));
        let missing = match previous {
            Some(at) => {
                let previous = self.opened[at].counter;
                if last != Some(sent.membership) || sent.counter <= previous {
                    return Err(UnsealError::Replayed);
                }
                let was_there = at >= self.opened_before;
                if was_there {
                    sent.counter - previous - 1
                } else {
                    0
                }
            }
            None => {
                let born = sent.membership.born;
                let of_same_age = self.opened.iter().filter(before).map(|it| it.membership);
                let of_same_age: BTreeSet<_> = of_same_age.filter(|it| it.born == born).collect();
                if last.is_some_and(|last| born < last.born) || of_same_age.len() > 8 {
                    return Err(UnsealError::Replayed);
                }
                if born >= self.start { sent.counter } else { 0 }
            }
        };
        self.opened.push(Opened {
            speaker: sent.speaker,
            membership: sent.membership,
            counter: sent.counter,
            position,
        });
        let announced = missing.min(self.announced);
        self.announced -= announced;
        Ok(missing - announced)
    }
}

fn begin(sealer: &mut KeySealer, membership: Joined, me: ClientId) -> bool {
    let mut salt = [0; 16];
    salt[8..].copy_from_slice(&membership.salt.to_be_bytes());
    let membership = Membership {
        group: "group".parse().expect("a name"),
        incarnation: membership.incarnation,
        me,
        born: membership.born,
        salt,
    };
    sealer.begin(membership).is_ok()
}

fn id(speaker: usize) -> ClientId {
    ClientId::from_bytes([speaker as u8; 32])
}

fn key(number: u8) -> GroupKey {
    GroupKey::from_bytes([number; 32])
}

/// It does not speak.
const LISTENER: usize = 99;
const MAX_STEPS: usize = 300;
