//! What it says in groups. A Client leaves the one, and nothing else.

use conec_core::{GroupEnd, GroupId, GroupItem, GroupMessage, GroupStart, JoinConfig};

use super::*;
use crate::groups::{all, begin_joining, ended, next};

/// A Client that is lied to in one group, and told the truth in another.
struct Prey {
    den: Den,
    client: NodeId,
    conn: RawConn,
    honest: (GroupId, u64),
    told: u64,
}

impl Prey {
    fn new(seed: u64) -> Self {
        let mut den = Den::new(seed);
        let (client, conn) = den.welcome("alice");
        let honest = ask(&mut den, client, &conn, "honest", JoinConfig::default());
        let mut prey = Self {
            den,
            client,
            conn,
            honest,
            told: 0,
        };
        prey.say(honest.1, &message::joined(7, 0, 0, 1000));
        let item = prey.next(honest.0);
        assert!(matches!(item, GroupItem::Joined(_)));
        prey
    }

    /// Asks to be a member. The Coordinator's side of that.
    fn ask(&mut self, config: JoinConfig) -> (GroupId, u64) {
        ask(&mut self.den, self.client, &self.conn, "lies", config)
    }

    fn say(&self, stream: u64, said: &[u8]) {
        self.conn.write(stream, message::frame(said));
    }

    fn next(&mut self, group: GroupId) -> GroupItem {
        next(&mut self.den.scene.world, self.client, group)
    }

    fn end(&mut self, group: GroupId) -> GroupEnd {
        ended(&mut self.den.scene.world, self.client, group)
    }

    /// The other group goes on, and so does the home channel.
    fn is_well(&mut self) {
        let (group, stream) = self.honest;
        self.say(stream, &message::published(self.told, None, b"true"));
        let expected = self.told;
        self.told += 1;
        let item = self.next(group);
        let is_next = |it: &GroupMessage| it.sequence == expected;
        assert!(
            matches!(&item, GroupItem::Message(message) if is_next(message)),
            "{item:?}"
        );
        assert_eq!(self.conn.end(), None);
        self.den.scene.pair.talk(&mut self.den.scene.world);
    }

    /// Says all this to one who has asked so, and sees that it takes none of it.
    fn breaks(&mut self, what: &str, config: JoinConfig, said: &[Vec<u8>]) {
        let (group, stream) = self.ask(config);
        said.iter().for_each(|it| self.say(stream, it));
        assert_eq!(self.end(group), GroupEnd::Violation, "{what}");
        let conn = self.conn.clone();
        let code = self.den.scene.until("stopped", || conn.stopped(stream));
        assert_eq!(code, 1, "{what}");
        self.den
            .scene
            .until("reset", || conn.received(stream).reset);
        self.is_well();
    }
}

fn ask(
    den: &mut Den,
    client: NodeId,
    conn: &RawConn,
    group: &str,
    config: JoinConfig,
) -> (GroupId, u64) {
    let id = begin_joining(&mut den.scene.world, client, group, config);
    let stream = den.scene.until("a membership", || {
        conn.accept().filter(|&stream| stream != CONTROL)
    });
    let preamble = message::membership(group.as_bytes());
    den.scene.until("a preamble", || {
        conn.received(stream)
            .bytes
            .starts_with(&preamble)
            .then_some(())
    });
    (id, stream)
}

fn config(change: impl FnOnce(&mut JoinConfig)) -> JoinConfig {
    let mut config = JoinConfig::default();
    change(&mut config);
    config
}

#[test]
fn numbers_that_do_not_follow_each_other_end_that_membership_alone() {
    let mut prey = Prey::new(1);
    let joined = message::joined(1, 10, 0, 1000);
    let number = |it| message::published(it, None, b"lies");
    let cases = [
        ("back", vec![number(9)]),
        ("far back", vec![number(0)]),
        ("ahead", vec![number(11)]),
        ("again", vec![number(10), number(10)]),
        ("a jump", vec![number(10), number(12)]),
        ("as far as can be", vec![number((1 << 62) - 1)]),
        ("lost before", vec![message::lagged(3, 0, 12)]),
        ("lost less than it says", vec![message::lagged(3, 0, 14)]),
        ("lost more than there is", vec![message::lagged(11, 0, 10)]),
        ("more of its own than all", vec![message::lagged(2, 3, 12)]),
        (
            "lost without end",
            vec![message::lagged((1 << 62) - 1, (1 << 62) - 1, 12)],
        ),
        ("its own, which it hears", vec![message::own(10)]),
        ("joined twice", vec![joined.clone()]),
        (
            "larger than it said",
            vec![message::published(10, None, &[7; 1001])],
        ),
        ("an unknown type", vec![vec![0x3e]]),
        ("nothing", vec![vec![]]),
        (
            "what members say",
            vec![message::proof(b""), message::join(7)],
        ),
    ];
    for (what, said) in cases {
        let said = [vec![joined.clone()], said].concat();
        prey.breaks(what, JoinConfig::default(), &said);
    }
    prey.den.scene.all_is_well(&[]);
}

#[test]
fn what_comes_before_it_has_joined_ends_that_membership_alone() {
    let mut prey = Prey::new(2);
    let cases = [
        ("a message", message::published(0, None, b"early")),
        ("its own", message::own(0)),
        ("lost", message::lagged(1, 0, 1)),
        ("how many there are", message::counts(1, 1)),
        ("somebody", message::arrived(mallory_id(), 3)),
        ("nobody", message::left(mallory_id())),
        ("a roll", message::roll()),
        ("all", message::listed()),
        (
            "larger messages than there may be",
            message::joined(1, 0, 0, (1 << 20) + 1),
        ),
        ("without a size", message::joined(1, 0, 0, 1)[..11].to_vec()),
    ];
    for (what, said) in cases {
        prey.breaks(what, JoinConfig::default(), &[said]);
    }
    // A place that does not follow what it has heard.
    for (next, missed) in [(4, 0), (6, 0), (6, 2), (5, (1 << 62) - 1)] {
        let at = config(|it| {
            it.start = GroupStart::At {
                incarnation: 1,
                sequence: 5,
            };
        });
        let joined = message::joined(1, next, missed, 1000);
        // Numbers that an application has named and that are not there yet are no fault of the Coordinator's.
        if next > 4 {
            prey.breaks("another place", at, &[joined]);
        }
    }
    prey.den.scene.all_is_well(&[]);
}

#[test]
fn who_only_publishes_or_does_not_hear_itself_is_not_told_what_it_does_not_want() {
    let mut prey = Prey::new(3);
    let me = prey.den.id(prey.client);
    let joined = message::joined(1, 0, 0, 1000);
    let deaf = || config(|it| it.hear = false);
    let cases = [
        ("a message", message::published(0, None, b"loud")),
        ("lost", message::lagged(1, 0, 1)),
        ("lost with its own", message::lagged(1, 1, 2)),
    ];
    for (what, said) in cases {
        prey.breaks(what, deaf(), &[joined.clone(), said]);
    }
    let others = || config(|it| it.hear_own = false);
    let own = message::published(0, Some(me), b"mine");
    prey.breaks("its own", others(), &[joined.clone(), own]);
    // What it has published has numbers that grow, between those of others.
    let numbers = [message::own(3), message::own(3)];
    prey.breaks("twice", deaf(), &[&[joined][..], &numbers].concat());
    prey.den.scene.all_is_well(&[]);
}

#[test]
fn who_is_there_without_end_takes_no_more_than_may_be() {
    let mut prey = Prey::new(4);
    let (group, stream) = prey.ask(config(|it| it.watch = true));
    prey.say(stream, &message::joined(1, 0, 0, 1000));
    for number in 0..20_000_u32 {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        prey.say(stream, &message::arrived(ClientId::from_bytes(id), 3));
        if number % 1000 == 0 {
            prey.say(stream, &message::roll());
            prey.den.scene.world.run_for(secs(1));
        }
    }
    prey.den.scene.world.run_for(secs(20));
    let members = prey
        .den
        .scene
        .world
        .client(prey.client)
        .group(group)
        .members();
    assert!(members.len() <= 4096, "{}", members.len());
    prey.say(stream, &message::listed());
    prey.say(stream, &message::published(0, None, b"still here"));
    prey.den.scene.world.run_for(secs(1));
    let items = all(&mut prey.den.scene.world, prey.client, group);
    assert!(items.iter().any(|it| matches!(it, GroupItem::Message(_))));
    prey.is_well();
    prey.den.scene.all_is_well(&[]);
}

/// One who has not asked who is there keeps none of it.
#[test]
fn who_has_not_asked_who_is_there_is_not_bothered() {
    let mut prey = Prey::new(5);
    let (group, stream) = prey.ask(JoinConfig::default());
    prey.say(stream, &message::joined(1, 0, 0, 1000));
    prey.say(stream, &message::arrived(mallory_id(), 3));
    prey.say(stream, &message::left(mallory_id()));
    prey.say(stream, &message::roll());
    prey.say(stream, &message::published(0, None, b"hello"));
    prey.den.scene.world.run_for(secs(1));
    assert_eq!(all(&mut prey.den.scene.world, prey.client, group).len(), 2);
    prey.is_well();
    prey.den.scene.all_is_well(&[]);
}

#[test]
fn refusals_say_why_whatever_their_code_is() {
    let mut prey = Prey::new(6);
    let application = (1 << 32) + 9;
    for (code, end) in [
        (7, GroupEnd::Refused(ErrorCode::NotFound)),
        (4, GroupEnd::Refused(ErrorCode::Refused)),
        (10, GroupEnd::Refused(ErrorCode::Limit)),
        (5, GroupEnd::Refused(ErrorCode::Superseded)),
        (23, GroupEnd::Refused(ErrorCode::TooSlow)),
        (14, GroupEnd::Refused(ErrorCode::TooLarge)),
        (6, GroupEnd::Refused(ErrorCode::Shutdown)),
        (1, GroupEnd::Refused(ErrorCode::Protocol)),
        (0, GroupEnd::Refused(ErrorCode::None)),
        (77, GroupEnd::Refused(ErrorCode::Unknown)),
        ((1 << 62) - 1, GroupEnd::Refused(ErrorCode::Unknown)),
        (application, GroupEnd::Application(conec_core::Code(9))),
    ] {
        for way in 0..3 {
            let (group, stream) = prey.ask(JoinConfig::default());
            if way == 1 {
                prey.say(stream, &message::joined(1, 0, 0, 1000));
                prey.den.scene.world.run_for(secs(1));
            }
            if way < 2 {
                prey.conn.reset(stream, code);
            }
            prey.conn.stop(stream, code);
            assert_eq!(prey.end(group), end, "{code}, {way}");
        }
        prey.is_well();
    }
    // A Coordinator has no reason to end a membership as one that leaves does.
    let (group, stream) = prey.ask(JoinConfig::default());
    prey.say(stream, &message::joined(1, 0, 0, 1000));
    prey.conn.finish(stream);
    assert_eq!(prey.end(group), GroupEnd::Violation);
    prey.is_well();
    prey.den.scene.all_is_well(&[]);
}

#[test]
fn a_client_that_is_asked_for_a_membership_refuses_and_goes_on() {
    let mut prey = Prey::new(7);
    let conn = prey.conn.clone();
    let stream = conn.open_bi().unwrap();
    let join = message::frame(&message::join(7));
    conn.write(stream, [message::membership(b"room"), join].concat());
    assert_eq!(prey.den.scene.until("stopped", || conn.stopped(stream)), 1);
    prey.den
        .scene
        .until("reset", || conn.received(stream).reset);
    prey.is_well();
    prey.den.scene.all_is_well(&[]);
}

/// Nor can it make its members wait for an application that receives: it is told what it may not know.
#[test]
fn how_much_is_missing_is_as_large_as_it_says() {
    let mut prey = Prey::new(8);
    let (group, stream) = prey.ask(config(|it| it.queue = conec_core::Lossy::latest()));
    let most = (1 << 62) - 2;
    prey.say(stream, &message::joined(1, 0, most, 1000));
    prey.say(stream, &message::lagged(most, most, most));
    prey.say(stream, &message::published(most, None, b"the last"));
    prey.say(
        stream,
        &message::published(most + 1, None, b"the very last"),
    );
    prey.den.scene.world.run_for(secs(1));
    let items = all(&mut prey.den.scene.world, prey.client, group);
    let [
        GroupItem::Joined(joined),
        GroupItem::Lagged(count),
        GroupItem::Message(last),
    ] = &items[..]
    else {
        panic!("{items:?}");
    };
    assert_eq!(
        (joined.missed, *count, last.sequence),
        (most, most + 1, most + 1)
    );
    prey.say(stream, &message::published(most + 2, None, b"too many"));
    prey.den.scene.world.run_for(secs(1));
    assert_eq!(prey.end(group), GroupEnd::Violation);
    prey.is_well();
    prey.den.scene.all_is_well(&[]);
}
