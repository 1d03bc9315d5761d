use bytes::Bytes;

use super::{
    senders::{MAX_RETIRED, MAX_SENDERS},
    *,
};
use crate::{ClientId, Name};

/// A member and what it has to seal with.
struct Member {
    me: ClientId,
    sealer: KeySealer,
    salts: u8,
}

impl Member {
    /// Joined at this position.
    fn new(number: u8, born: u64) -> Self {
        let mut member = Self {
            me: id(number),
            sealer: KeySealer::new(key(1)),
            salts: 0,
        };
        member.join(born);
        member
    }

    fn join(&mut self, born: u64) {
        assert_eq!(self.try_join(born, INCARNATION), Ok(()));
    }

    fn try_join(&mut self, born: u64, incarnation: u64) -> Result<(), BeginError> {
        self.salts = self.salts.wrapping_add(1);
        self.sealer.begin(Membership {
            incarnation,
            ..membership(self.me, born, [self.salts; 16])
        })
    }

    /// Seals messages with these texts, having heard nothing.
    fn say<const N: usize>(&mut self, texts: [&str; N]) -> [Bytes; N] {
        texts.map(|text| self.sealer.seal(0, text.as_bytes()).unwrap())
    }

    /// What it hears from another one, and how much was withheld before that.
    fn hear(
        &mut self,
        from: &Self,
        position: u64,
        sealed: &[u8],
    ) -> Result<(String, u64), UnsealError> {
        let sealed = Bytes::copy_from_slice(sealed);
        let opened = self.sealer.open(from.me, position, sealed)?;
        let message = opened.message.unwrap().to_vec();
        Ok((String::from_utf8(message).unwrap(), opened.withheld))
    }
}

fn id(number: u8) -> ClientId {
    ClientId([number; 32])
}

fn key(number: u8) -> GroupKey {
    GroupKey::from_bytes([number; 32])
}

fn group() -> Name {
    "alarms".parse().unwrap()
}

fn membership(me: ClientId, born: u64, salt: [u8; 16]) -> Membership {
    Membership {
        group: group(),
        incarnation: INCARNATION,
        me,
        born,
        salt,
    }
}

fn heard(text: &str, withheld: u64) -> Result<(String, u64), UnsealError> {
    Ok((text.to_owned(), withheld))
}

#[track_caller]
fn is_hex(bytes: &[u8], expected: &str) {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
}

/// The example in PROTOCOL.md, which was made by another implementation.
#[test]
fn what_is_sealed_is_as_specified() {
    let key = GroupKey::from_bytes(std::array::from_fn(|at| at as u8));
    let me = id(0xa1);
    let mut sealer = KeySealer::new(key);
    is_hex(
        &sealer.proof(&group(), me),
        "cb63591268eb57d27d3ecbe0a7484dbc604948a4297ee5880ab8b89312faa4f9",
    );
    let salt = std::array::from_fn(|at| 0x40 + at as u8);
    sealer
        .begin(Membership {
            incarnation: 0x0102_0304_0506_0708,
            ..membership(me, 300, salt)
        })
        .unwrap();
    is_hex(
        &sealer.seal(299, b"door 3 is open").unwrap(),
        "01b2025e613c5993b5404142434445464748494a4b4c4d4e4f412c00412b\
         b4de507fe2e06d5505a02021fafb6288acc55e890ef746f6c5d9a54f422b",
    );
    is_hex(
        &sealer.seal(20_000, b"").unwrap(),
        "01b2025e613c5993b5404142434445464748494a4b4c4d4e4f412c0180004e20\
         45db77e2ba2f902ead3786ae231a5e23",
    );
}

#[cfg(feature = "passphrase")]
#[test]
fn a_passphrase_gives_the_specified_key_in_each_group() {
    let key = GroupKey::from_passphrase("correct horse battery staple", &group()).unwrap();
    // As another implementation has it.
    is_hex(
        key.to_bytes().as_ref(),
        "e46dd4c8d350bd1a6a3d425a93e1ef32f22c1d3f19fcd247dd2761b3d573f4b3",
    );
    let other = "alarm".parse().unwrap();
    assert_ne!(
        GroupKey::from_passphrase("correct horse battery staple", &other),
        Ok(key)
    );
    assert_eq!(
        GroupKey::from_passphrase("", &group()),
        Err(PassphraseError::Empty)
    );
}

#[test]
fn all_members_open_what_one_has_sealed() {
    let [mut alice, mut bob] = [1, 2].map(|number| Member::new(number, 1));
    let [hello, empty] = alice.say(["hello", ""]);
    assert!(!hello.windows(5).any(|part| part == b"hello"));
    assert!(hello.len() <= 5 + alice.sealer.overhead());
    assert_eq!(bob.hear(&alice, 7, &hello), heard("hello", 0));
    assert_eq!(bob.hear(&alice, 8, &empty), heard("", 0));
    // So does who has sealed it.
    let own = alice.sealer.open(alice.me, 7, hello).unwrap();
    assert_eq!(own.message.as_deref(), Some(&b"hello"[..]));
    let large = alice.sealer.seal(u64::MAX >> 2, &[0; 70_000]).unwrap();
    assert!(large.len() <= 70_000 + alice.sealer.overhead());
}

#[test]
fn nothing_is_done_before_there_is_a_membership() {
    let mut sealer = KeySealer::new(key(1));
    sealer.lagged(1);
    assert_eq!(sealer.seal(0, b""), Err(SealError::NotBegun));
    assert_eq!(
        sealer.open(id(1), 1, Bytes::new()),
        Err(UnsealError::NotBegun)
    );
    assert_eq!(sealer.poll_message(), None);
}

#[test]
fn a_message_opens_only_where_it_belongs() {
    let mut alice = Member::new(1, 1);
    let [hello] = alice.say(["hello"]);
    let open = |sender: ClientId, group: &str, incarnation: u64| {
        let mut sealer = KeySealer::new(key(1));
        let elsewhere = Membership {
            group: group.parse().unwrap(),
            incarnation,
            ..membership(id(2), 1, [0; 16])
        };
        sealer.begin(elsewhere).unwrap();
        sealer
            .open(sender, 7, hello.clone())
            .map(|opened| opened.message.is_some())
    };
    assert_eq!(open(id(1), "alarms", INCARNATION), Ok(true));
    let forged = Err(UnsealError::Forged);
    assert_eq!(open(id(2), "alarms", INCARNATION), forged);
    assert_eq!(open(id(1), "alarms", INCARNATION + 1), forged);
    // Even the key is known by another tag there.
    let other_key = Err(UnsealError::OtherKey);
    assert_eq!(open(id(1), "alarm", INCARNATION), other_key);
}

#[test]
fn what_was_changed_is_refused_and_changes_nothing() {
    let [mut alice, mut bob] = [1, 2].map(|number| Member::new(number, 1));
    let [first, second] = alice.say(["first", "second"]);
    assert_eq!(bob.hear(&alice, 5, &first), heard("first", 0));
    for at in 0..second.len() {
        for bit in 0..8 {
            let mut forged = second.to_vec();
            forged[at] ^= 1 << bit;
            let expected = match at {
                0 => [UnsealError::Malformed; 2],
                1..=8 => [UnsealError::OtherKey; 2],
                // Bits that say how long a number is.
                25..=27 if bit >= 6 => [UnsealError::Forged, UnsealError::Malformed],
                _ => [UnsealError::Forged; 2],
            };
            let found = bob.hear(&alice, 99, &forged);
            assert!(expected.map(Err).contains(&found), "{at}.{bit}: {found:?}");
        }
    }
    for len in 0..second.len() {
        assert!(bob.hear(&alice, 99, &second[..len]).is_err(), "{len}");
    }
    let longer = [&second[..], &[0]].concat();
    assert_eq!(bob.hear(&alice, 99, &longer), Err(UnsealError::Forged));
    assert_eq!(bob.hear(&alice, 6, &second), heard("second", 0));
}

#[test]
fn nothing_opens_twice_or_at_another_place() {
    let [mut alice, mut bob] = [1, 2].map(|number| Member::new(number, 1));
    let mut carol = Member::new(3, 4);
    let [one, two] = alice.say(["one", "two"]);
    let [three] = carol.say(["three"]);
    assert_eq!(bob.hear(&alice, 5, &one), heard("one", 0));
    let replayed = Err(UnsealError::Replayed);
    assert_eq!(bob.hear(&alice, 5, &one), replayed);
    assert_eq!(bob.hear(&alice, 6, &one), replayed);
    assert_eq!(bob.hear(&alice, 8, &two), heard("two", 0));
    assert_eq!(bob.hear(&alice, 9, &one), replayed);
    // What comes now is after what was heard, whoever sends it.
    assert_eq!(bob.hear(&carol, 7, &three), replayed);
    assert_eq!(bob.hear(&carol, 8, &three), replayed);
    assert_eq!(bob.hear(&carol, 9, &three), heard("three", 0));
}

#[test]
fn an_answer_comes_after_what_it_answers_and_after_its_sender_has_joined() {
    let mut alice = Member::new(1, 10);
    let mut bob = Member::new(2, 1);
    let answer = alice.sealer.seal(20, b"yes").unwrap();
    let out_of_order = Err(UnsealError::OutOfOrder);
    assert_eq!(bob.hear(&alice, 9, &answer), out_of_order);
    assert_eq!(bob.hear(&alice, 20, &answer), out_of_order);
    assert_eq!(bob.hear(&alice, 21, &answer), heard("yes", 0));
    let early = Member::new(3, 30).say(["early"]);
    assert_eq!(bob.hear(&Member::new(3, 30), 29, &early[0]), out_of_order);
}

#[test]
fn what_is_missing_is_counted_unless_it_was_announced() {
    let [mut alice, mut carol] = [1, 3].map(|number| Member::new(number, 1));
    let mut bob = Member::new(2, 1);
    let hers: [_; 8] = alice.say(["0", "1", "2", "3", "4", "5", "6", "7"]);
    let others = carol.say(["0", "1", "2", "3"]);
    // The first is missing.
    assert_eq!(bob.hear(&alice, 11, &hers[1]), heard("1", 1));
    bob.sealer.lagged(2);
    assert_eq!(bob.hear(&alice, 12, &hers[3]), heard("3", 0));
    // One is left of those, and is whose it may be.
    assert_eq!(bob.hear(&carol, 13, &others[2]), heard("2", 1));
    assert_eq!(bob.hear(&alice, 14, &hers[5]), heard("5", 1));
    // What was not opened is not announced either.
    bob.sealer.lagged(1);
    assert!(bob.hear(&alice, 15, &hers[5]).is_err());
    assert_eq!(bob.hear(&alice, 16, &hers[7]), heard("7", 0));
    assert_eq!(bob.hear(&carol, 17, &others[3]), heard("3", 0));
}

#[test]
fn of_who_was_there_before_nobody_knows_what_was_first() {
    let mut alice = Member::new(1, 5);
    let mut bob = Member::new(2, 6);
    let hers = alice.say(["0", "1", "2", "3"]);
    assert_eq!(bob.hear(&alice, 10, &hers[1]), heard("1", 0));
    assert_eq!(bob.hear(&alice, 11, &hers[3]), heard("3", 1));
}

#[test]
fn a_sender_that_joins_again_begins_anew_and_its_former_messages_are_over() {
    let mut bob = Member::new(2, 1);
    let mut alice = Member::new(1, 1);
    let old = alice.say(["0", "1"]);
    assert_eq!(bob.hear(&alice, 5, &old[0]), heard("0", 0));
    alice.join(7);
    let new = alice.say(["0", "1"]);
    assert_eq!(bob.hear(&alice, 8, &new[1]), heard("1", 1));
    assert_eq!(bob.hear(&alice, 9, &old[1]), Err(UnsealError::Replayed));
    assert_eq!(bob.hear(&alice, 9, &new[0]), Err(UnsealError::Replayed));
    // Nobody has said anything since.
    alice.join(7);
    let newer = alice.say(["0"]);
    assert_eq!(bob.hear(&alice, 9, &newer[0]), heard("0", 0));
    let late = {
        let mut before = Member::new(1, 7);
        before.join(7);
        before.say(["0", "1", "2"])
    };
    // That is the membership before.
    assert_eq!(late[1], new[1]);
    assert_eq!(bob.hear(&alice, 10, &late[2]), Err(UnsealError::Replayed));
    for _ in 1..MAX_RETIRED {
        alice.join(7);
        let [hello] = alice.say(["hello"]);
        let position = 10 + u64::from(alice.salts);
        assert_eq!(bob.hear(&alice, position, &hello), heard("hello", 0));
    }
    alice.join(7);
    let [hello] = alice.say(["hello"]);
    assert_eq!(bob.hear(&alice, 50, &hello), Err(UnsealError::Replayed));
    alice.join(51);
    let [hello] = alice.say(["hello"]);
    assert_eq!(bob.hear(&alice, 52, &hello), heard("hello", 0));
}

#[test]
fn who_joins_again_remembers_what_it_has_heard() {
    let mut alice = Member::new(1, 1);
    let mut bob = Member::new(2, 1);
    let hers = alice.say(["0", "1", "2", "3", "4", "5"]);
    assert_eq!(bob.hear(&alice, 5, &hers[1]), heard("1", 1));
    bob.sealer.lagged(7);
    bob.join(8);
    assert_eq!(bob.hear(&alice, 8, &hers[0]), Err(UnsealError::Replayed));
    assert_eq!(bob.hear(&alice, 8, &hers[1]), Err(UnsealError::Replayed));
    // What was said meanwhile was not for it.
    assert_eq!(bob.hear(&alice, 9, &hers[3]), heard("3", 0));
    assert_eq!(bob.hear(&alice, 10, &hers[5]), heard("5", 1));
}

#[test]
fn the_order_of_a_group_goes_on_or_is_over() {
    let mut alice = Member::new(1, 1);
    let mut bob = Member::new(2, 5);
    let [hello] = alice.say(["hello"]);
    assert_eq!(bob.hear(&alice, 9, &hello), heard("hello", 0));
    for backwards in [4, 9] {
        let refused = bob.try_join(backwards, INCARNATION);
        assert_eq!(refused, Err(BeginError::Backwards));
    }
    let same_salt = membership(bob.me, 10, [1; 16]);
    let reused = Err(BeginError::SaltReused);
    assert_eq!(bob.sealer.begin(same_salt), reused);
    let other_group = Membership {
        group: "other".parse().unwrap(),
        ..membership(bob.me, 10, [9; 16])
    };
    let refused = bob.sealer.begin(other_group);
    assert_eq!(refused, Err(BeginError::OtherGroup));
    // It goes on as if nothing had been tried.
    let [own] = bob.say(["own"]);
    assert_eq!(alice.hear(&bob, 10, &own), heard("own", 0));

    // Another order: nothing of the one before opens, and that one does not come back.
    assert_eq!(bob.try_join(1, INCARNATION + 1), Ok(()));
    assert_eq!(bob.hear(&alice, 10, &hello), Err(UnsealError::Forged));
    let abandoned = Err(BeginError::Abandoned);
    assert_eq!(bob.try_join(20, INCARNATION), abandoned);
    for later in 2..=1024 {
        assert_eq!(bob.try_join(1, INCARNATION + later), Ok(()));
        assert_eq!(bob.try_join(20, INCARNATION), abandoned);
    }
    assert_eq!(bob.try_join(1, INCARNATION + 1025), Ok(()));
    assert_eq!(bob.try_join(20, INCARNATION + 1), abandoned);
    assert!(bob.sealer.memory() < 20_000);
}

#[test]
fn keys_change_while_the_group_lives() {
    let [mut alice, mut bob] = [1, 2].map(|number| Member::new(number, 1));
    let [with_first] = alice.say(["first"]);
    alice.sealer.set_key(key(2));
    let [with_second] = alice.say(["second"]);
    alice.sealer.set_key(key(1));
    let [again] = alice.say(["again"]);
    assert_eq!(bob.hear(&alice, 4, &with_first), heard("first", 0));
    let other = Err(UnsealError::OtherKey);
    assert_eq!(bob.hear(&alice, 5, &with_second), other);
    // The trait has it too.
    let sealer: &mut dyn GroupSealer = &mut bob.sealer;
    assert_eq!(sealer.set_key(key(2)), Ok(()));
    sealer.lagged(0);
    assert_eq!(bob.hear(&alice, 5, &with_second), heard("second", 0));
    assert_eq!(bob.hear(&alice, 6, &again), heard("again", 0));

    let [more] = alice.say(["more"]);
    let sealer: &mut dyn GroupSealer = &mut bob.sealer;
    sealer.forget_former_keys();
    assert_eq!(bob.hear(&alice, 7, &more), other);
    for number in [1, 3, 4, 5] {
        bob.sealer.set_key(key(number));
    }
    bob.sealer.set_key(key(5));
    assert_eq!(bob.hear(&alice, 7, &more), heard("more", 0));
    bob.sealer.set_key(key(6));
    let [more] = alice.say(["more"]);
    assert_eq!(bob.hear(&alice, 8, &more), other);
}

#[test]
fn a_proof_is_good_for_one_member_of_one_group() {
    let [mut ours, theirs] = [1, 2].map(|number| KeySealer::new(key(number)));
    let proof = ours.proof(&group(), id(1));
    assert!(proof.len() <= 64);
    let check = |by: &KeySealer, member: u8, proof: &[u8]| by.check(&group(), id(member), proof);
    assert_eq!(check(&ours, 1, &proof), KeyMatch::Same);
    assert_eq!(check(&ours, 2, &proof), KeyMatch::Different);
    assert_eq!(check(&ours, 1, &proof[1..]), KeyMatch::Different);
    assert_eq!(check(&theirs, 1, &proof), KeyMatch::Different);
    assert_eq!(check(&ours, 1, b""), KeyMatch::Unsealed);
    let other = "alarm".parse().unwrap();
    assert_eq!(ours.check(&other, id(1), &proof), KeyMatch::Different);
    ours.set_key(key(2));
    assert_eq!(check(&ours, 1, &proof), KeyMatch::Former);
    assert_eq!(
        check(&ours, 1, &theirs.proof(&group(), id(1))),
        KeyMatch::Same
    );
    ours.forget_former_keys();
    assert_eq!(check(&ours, 1, &proof), KeyMatch::Different);
}

#[test]
fn of_very_many_senders_those_heard_least_recently_are_forgotten_and_not_replayed() {
    let sender = |number: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        ClientId(bytes)
    };
    let joined = |number: u64, born: u64| {
        let mut sealer = KeySealer::new(key(1));
        let salt = [born as u8; 16];
        sealer
            .begin(membership(sender(number), born, salt))
            .unwrap();
        sealer
    };
    let mut bob = KeySealer::new(key(1));
    bob.begin(membership(id(2), 1, [0; 16])).unwrap();
    let many = MAX_SENDERS as u64;
    for number in 0..many {
        let hello = joined(number, 10 + number).seal(0, b"hello").unwrap();
        assert!(bob.open(sender(number), 10 + number, hello).is_ok());
    }
    // The first speaks again, so that the second is the one to be forgotten.
    let mut first = joined(0, 10);
    let hellos = [(); 3].map(|()| first.seal(0, b"hello").unwrap());
    assert!(bob.open(sender(0), 10_000, hellos[1].clone()).is_ok());
    let late = joined(many, 9000).seal(0, b"hello").unwrap();
    assert!(bob.open(sender(many), 10_001, late).is_ok());
    assert!(bob.memory() < 8 << 20);

    let forgotten = Err(UnsealError::Forgotten);
    let replay = joined(1, 11).seal(0, b"hello").unwrap();
    assert_eq!(bob.open(sender(1), 10_002, replay), forgotten);
    // Nobody knows of this one either. It may come back.
    let as_old = joined(5000, 11).seal(0, b"hello").unwrap();
    assert_eq!(bob.open(sender(5000), 10_002, as_old), forgotten);
    let younger = joined(5000, 12).seal(0, b"hello").unwrap();
    assert!(bob.open(sender(5000), 10_002, younger).is_ok());
    assert!(bob.open(sender(0), 10_003, hellos[2].clone()).is_ok());
}

#[test]
fn no_key_is_shown() {
    let mut alice = Member::new(1, 1);
    alice.sealer.set_key(key(222));
    let shown = format!("{:?} {:?}", alice.sealer, key(222));
    assert!(shown.contains("alarms") && shown.contains("GroupKey"));
    assert!(!shown.contains("222"), "{shown}");
    assert_eq!(key(7), GroupKey::from(key(7).to_bytes()));
    assert_ne!(GroupKey::random(), GroupKey::random());
}

const INCARNATION: u64 = 77;
