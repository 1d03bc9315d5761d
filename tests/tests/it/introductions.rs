//! A Client has others connected to each other: who may, what they learn of it, who pays, and what becomes of it in any case.

use std::time::Duration;

use conec_core::{
    ChannelId, ClientEvent, ClientId, CloseReason, Code, CoordinatorConfig, CoordinatorEvent,
    Endpoint, ErrorCode, Identity, IntroduceError, IntroductionId, Name, PairId, Rules, Target,
    TimeoutCause,
};
use conec_tests::{
    keys,
    sim::{At, Event, NodeId, Tap, World},
};

use crate::connecting::home;

type Outcome = Result<(), CloseReason>;

/// A lobby, and two others who do not know each other.
struct Story {
    world: World,
    coordinator: NodeId,
    lobby: NodeId,
    alice: NodeId,
    bob: NodeId,
    /// That of the lobby, to be the same Client again.
    identity: Identity,
}

impl Story {
    fn new(seed: u64, rules: &str) -> Self {
        Self::with(seed, rules, true, |_| {})
    }

    /// The same; others are asked whether they accept, or do at once; and the Coordinator is configured like this.
    fn with(
        seed: u64,
        rules: &str,
        accepting: bool,
        change: impl FnOnce(&mut CoordinatorConfig),
    ) -> Self {
        let mut world = World::new(seed);
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.rules = Some(format!("connect allow any\n{rules}").parse().unwrap());
        change(&mut config);
        let answer_timeout = config.limits.answer_timeout;
        let coordinator = world.add_coordinator_with(config);
        let mut identities = Vec::new();
        let [lobby, alice, bob] = ["lobby", "alice", "bob"].map(|name| {
            let mut config = world.client_config(name);
            identities.push(config.identity.clone());
            config.reconnect = true;
            config.auto_accept = accepting;
            config.limits.answer_timeout = answer_timeout;
            let client = world.add_client_with(config);
            world.connect(client, coordinator);
            client
        });
        Self {
            world,
            coordinator,
            lobby,
            alice,
            bob,
            identity: identities.swap_remove(0),
        }
    }

    /// The lobby asks for a channel from Alice to whoever has this name.
    fn introduce_to(&mut self, to: &str) -> IntroductionId {
        let now = self.world.now();
        let alice = self.world.client_id(self.alice);
        let lobby = self.world.client(self.lobby);
        lobby.introduce(now, alice, name(to), LABEL).unwrap()
    }

    /// What becomes of an introduction.
    fn outcome(&mut self, id: IntroductionId) -> Outcome {
        let lobby = self.lobby;
        self.world.wait_for("an outcome", secs(90), |world| {
            let (of, outcome) = next_outcome(world, lobby)?;
            assert_eq!(of, id);
            Some(outcome)
        })
    }

    /// The same of one to whoever has this name, and how long it takes.
    fn outcome_with(&mut self, to: &str) -> (Outcome, Duration) {
        let begun = self.world.elapsed();
        let id = self.introduce_to(to);
        (self.outcome(id), self.world.elapsed() - begun)
    }

    /// Nothing has become of anything else.
    fn has_no_other_outcome(&mut self) {
        self.world.run_for(secs(100));
        assert_eq!(next_outcome(&mut self.world, self.lobby), None);
    }

    /// What the two are offered, if nobody accepts by itself.
    fn offers(&mut self) -> [ChannelId; 2] {
        [self.alice, self.bob].map(|node| {
            self.world.wait_for("an offer", secs(5), |world| {
                world.take_event(node, |event| match event {
                    Event::Client(ClientEvent::Offered { channel, .. }) => Some(*channel),
                    Event::Client(_) | Event::Coordinator(_) => None,
                })
            })
        })
    }

    fn accept(&mut self, offers: [ChannelId; 2]) {
        for (node, offer) in [self.alice, self.bob].into_iter().zip(offers) {
            let now = self.world.now();
            self.world.client(node).accept(now, offer).unwrap();
        }
    }

    /// The two have a channel, and talk.
    fn they_talk(&mut self) -> [At; 2] {
        let ends = [self.alice, self.bob].map(|node| self.world.opened(node));
        talk(&mut self.world, ends);
        ends
    }

    /// The introduction that the application is asked about.
    fn asked(&mut self) -> (PairId, [ClientId; 3]) {
        let coordinator = self.coordinator;
        self.world.wait_for("a question", secs(5), |world| {
            world.take_event(coordinator, |event| match event {
                Event::Coordinator(CoordinatorEvent::IntroductionAsks {
                    pair,
                    by,
                    from,
                    to,
                    label,
                }) => {
                    assert_eq!(&label[..], LABEL);
                    Some((*pair, [*by, *from, *to]))
                }
                Event::Coordinator(_) | Event::Client(_) => None,
            })
        })
    }

    fn ids(&self) -> [ClientId; 3] {
        [self.lobby, self.alice, self.bob].map(|node| self.world.client_id(node))
    }

    /// For whom the channels between Clients count.
    fn payers(&mut self) -> Vec<ClientId> {
        let pairs = self.world.coordinator(self.coordinator).pairs(None, 99);
        pairs.into_iter().map(|it| it.asked_by).collect()
    }

    /// What was waited for is the lobby's connection, which it does not have any more.
    fn cut_off_lobby(&mut self) {
        self.world.set_up(self.lobby, false);
        self.world.run_for(secs(50));
        let clients = self.world.coordinator(self.coordinator).clients();
        assert_eq!(clients, 2);
    }
}

fn next_outcome(world: &mut World, node: NodeId) -> Option<(IntroductionId, Outcome)> {
    world.take_event(node, |event| match event {
        Event::Client(ClientEvent::Introduced { introduction }) => Some((*introduction, Ok(()))),
        Event::Client(ClientEvent::IntroductionFailed {
            introduction,
            reason,
        }) => Some((*introduction, Err(*reason))),
        Event::Client(_) | Event::Coordinator(_) => None,
    })
}

fn talk(world: &mut World, ends: [At; 2]) {
    for [from, to] in [ends, [ends[1], ends[0]]] {
        let stream = world.open_stream(from, b"");
        world.send(stream, SECRET);
        let stream = world.accept_stream(to);
        assert_eq!(world.recv(stream), SECRET);
    }
}

fn abort(world: &mut World, at: At) {
    let now = world.now();
    let mut channel = world.channel(at.node, at.channel).unwrap();
    channel.abort(now, Code(1));
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const LABEL: &[u8] = b"for both";
const SECRET: &str = "what only the two of them can read";
const NOT_FOUND: Outcome = Err(CloseReason::Remote(ErrorCode::NotFound));
/// Whoever is called lobby may introduce anybody.
const OPEN: &str = "reach allow any to any\nintroduce allow name:lobby";

#[test]
fn two_others_have_a_channel_of_their_own() {
    let mut story = Story::new(1, OPEN);
    let tap = Tap::default();
    story.world.network.tap = Some(tap.clone());
    let id = story.introduce_to("bob");
    assert_eq!(story.outcome(id), Ok(()));
    let ends = story.they_talk();
    let [lobby, alice, bob] = story.ids();
    for (at, peer) in ends.into_iter().zip([bob, alice]) {
        let info = story.world.opened_with(at.node, at.channel).unwrap();
        assert_eq!((info.id, &info.label[..]), (peer, LABEL));
        assert_eq!(info.introducer, Some(lobby));
    }
    let text = SECRET.as_bytes();
    let shows = |payload: &[u8]| payload.windows(text.len()).any(|it| it == text);
    assert_eq!(tap.count(|packet| shows(&packet.payload)), 0);
    let pairs = story.world.coordinator(story.coordinator).pairs(None, 9);
    assert_eq!(pairs.len(), 1);
    assert_eq!(
        [pairs[0].asked_by, pairs[0].from, pairs[0].to],
        [lobby, alice, bob]
    );
    // What they ask for by themselves is not the lobby's.
    let (at_alice, _) = story.world.open_channel(story.alice, story.bob);
    let info = story.world.opened_with(story.alice, at_alice.channel);
    assert_eq!(info.unwrap().introducer, None);
    assert_eq!(story.payers(), [lobby, alice]);
    story.has_no_other_outcome();
}

/// It can be an end of the channel itself.
#[test]
fn a_client_can_have_a_third_connected_with_itself() {
    let mut story = Story::new(2, OPEN);
    let (now, [lobby, alice, _]) = (story.world.now(), story.ids());
    let at = story.world.client(story.lobby);
    let asked = [
        at.introduce(now, alice, lobby, LABEL).unwrap(),
        at.introduce(now, lobby, alice, LABEL).unwrap(),
        at.introduce(now, lobby, lobby, LABEL).unwrap(),
    ];
    story.world.run_for(secs(2));
    let mut outcomes: Vec<_> = (0..3)
        .filter_map(|_| next_outcome(&mut story.world, story.lobby))
        .collect();
    outcomes.sort_by_key(|(id, _)| *id);
    assert_eq!(outcomes, asked.map(|id| (id, Ok(()))));
    for node in [story.alice, story.lobby, story.alice, story.lobby] {
        story.world.opened(node);
    }
    assert_eq!(story.payers(), [lobby; 3]);
}

#[test]
fn nobody_introduces_others_unless_rules_say_so() {
    let by_default = |config: &mut CoordinatorConfig| config.rules = None;
    let mut story = Story::with(3, "", true, by_default);
    assert_eq!(story.outcome_with("bob").0, NOT_FOUND);
    story.world.open_channel(story.alice, story.bob);
    for rules in [
        "reach allow any to any",
        "reach allow any to any\nintroduce deny name:lobby\nintroduce allow any",
        "reach allow any to any\nintroduce allow name:bob",
    ] {
        let mut story = Story::new(4, rules);
        assert_eq!(story.outcome_with("bob").0, NOT_FOUND);
        assert_eq!(story.payers(), []);
    }
    let everybody: Rules = Rules::everybody();
    let mut story = Story::with(5, OPEN, true, |config| config.rules = Some(everybody));
    assert_eq!(story.outcome_with("bob").0, NOT_FOUND);
}

/// Who may not introduce others, or not these, learns no more than that nobody is there, and that at the same time.
#[test]
fn who_may_not_introduce_two_does_not_learn_whether_they_are_there() {
    let labels = "reach allow any to any label other";
    let mut answers = Vec::new();
    for rules in [
        "reach deny any to any\nintroduce allow any",
        "reach allow name:bob to name:alice\nintroduce allow any",
        &format!("{labels}\nintroduce allow any"),
        "reach allow any to any",
    ] {
        for asking in [
            "",
            "\nintroduce ask tag:staff",
            "\nreach ask tag:staff to any",
        ] {
            let mut story = Story::new(6, &format!("{rules}{asking}"));
            let nobody = story.outcome_with("nobody");
            assert_eq!(nobody.0, NOT_FOUND);
            assert_eq!(story.outcome_with("bob"), nobody, "{rules}{asking}");
            answers.push(nobody.1);
        }
    }
    println!("{answers:?}");
}

#[test]
fn the_application_decides_where_rules_ask_it() {
    let asking = [
        "reach allow any to any\nintroduce ask any",
        "reach ask any to any\nintroduce allow any",
        "reach ask any to any\nintroduce ask any",
    ];
    for (rules, seed) in asking.into_iter().zip(7..) {
        let mut story = Story::new(seed, rules);
        let id = story.introduce_to("bob");
        let (pair, ids) = story.asked();
        assert_eq!(ids, story.ids());
        let now = story.world.now();
        let coordinator = story.world.coordinator(story.coordinator);
        coordinator.grant(now, pair).unwrap();
        assert!(coordinator.grant(now, pair).is_err());
        assert_eq!(story.outcome(id), Ok(()));
        story.they_talk();

        // Who is denied does not learn whether there was somebody to ask about.
        let nobody = story.outcome_with("nobody");
        assert_eq!(nobody.0, NOT_FOUND);
        let begun = story.world.elapsed();
        let id = story.introduce_to("bob");
        let (pair, _) = story.asked();
        story.world.run_for(Duration::from_millis(300));
        let now = story.world.now();
        let coordinator = story.world.coordinator(story.coordinator);
        coordinator.deny(now, pair).unwrap();
        assert_eq!(story.outcome(id), NOT_FOUND);
        let took = story.world.elapsed() - begun;
        assert!(took.abs_diff(nobody.1) < Duration::from_millis(1));

        // Without an answer it is denied as well.
        let id = story.introduce_to("bob");
        assert_eq!(story.outcome(id), NOT_FOUND);
        story.has_no_other_outcome();
    }
}

#[test]
fn either_end_can_reject_it_with_a_code() {
    // Whoever else the application is asked about.
    let asking = format!("{OPEN}\nreach ask tag:staff to any");
    for (rejecting, rules) in [(0, OPEN), (1, OPEN), (0, &asking), (1, &asking)] {
        let mut story = Story::with(10, rules, false, |_| {});
        let id = story.introduce_to("bob");
        let offers = story.offers();
        let nodes = [story.alice, story.bob];
        let (now, other) = (story.world.now(), 1 - rejecting);
        let accepting = story.world.client(nodes[other]);
        accepting.accept(now, offers[other]).unwrap();
        story.world.run_for(secs(1));
        let now = story.world.now();
        let client = story.world.client(nodes[rejecting]);
        client.reject(now, offers[rejecting], Code(7)).unwrap();
        let rejected = CloseReason::Application(Code(7));
        assert_eq!(story.outcome(id), Err(rejected));
        let at = At {
            node: nodes[other],
            channel: offers[other],
        };
        assert_eq!(story.world.closed(at), rejected);
        story.has_no_other_outcome();
    }
}

/// A driver that looks at the time alone comes back for it.
#[test]
fn what_became_of_an_introduction_waits_until_the_application_asks() {
    let mut story = Story::new(20, OPEN);
    story.world.set_lagging(story.lobby, true);
    assert!(!story.world.client(story.lobby).has_application_events());
    let id = story.introduce_to("bob");
    story.world.run_for(secs(2));
    let now = story.world.now();
    let lobby = story.world.client(story.lobby);
    assert!(lobby.has_application_events());
    let (due, cause) = lobby.poll_timeout_cause().unwrap();
    assert_eq!((due <= now, cause), (true, TimeoutCause::Events));
    story.world.set_lagging(story.lobby, false);
    assert_eq!(story.outcome(id), Ok(()));
    assert!(!story.world.client(story.lobby).has_application_events());
    story.has_no_other_outcome();
}

/// As drivers do that leave to the application what it has not asked for.
#[test]
fn what_became_of_an_introduction_can_be_asked_for() {
    let mut story = Story::new(21, OPEN);
    story.world.set_lagging(story.lobby, true);
    let [found, lost] = ["bob", "nobody"].map(|to| story.introduce_to(to));
    let lobby = story.world.client(story.lobby);
    assert_eq!(lobby.poll_introduction(found), None);
    story.world.run_for(secs(2));
    let lobby = story.world.client(story.lobby);
    assert_eq!(lobby.poll_introduction(lost), Some(NOT_FOUND));
    assert!(lobby.has_application_events());
    assert_eq!(lobby.poll_introduction(found), Some(Ok(())));
    assert!(!lobby.has_application_events());
    // It is told once, in whichever way.
    assert_eq!(lobby.poll_introduction(found), None);
    story.world.set_lagging(story.lobby, false);
    story.has_no_other_outcome();
}

#[test]
fn an_end_that_does_not_answer_or_goes_is_told_as_such() {
    let mut story = Story::with(11, OPEN, false, |_| {});
    let id = story.introduce_to("bob");
    let no_answer = CloseReason::Remote(ErrorCode::NoAnswer);
    assert_eq!(story.outcome(id), Err(no_answer));
    story.offers();
    let id = story.introduce_to("bob");
    story.offers();
    let now = story.world.now();
    story.world.client(story.bob).close(now, secs(1));
    let reason = story.outcome(id).unwrap_err();
    assert!(matches!(reason, CloseReason::Remote(_)), "{reason}");
    assert_eq!(story.outcome_with("bob").0, NOT_FOUND);
}

/// What has begun goes on, and counts as before. Whoever comes back under the same key is told nothing of it.
#[test]
fn an_introducer_that_leaves_leaves_the_channel() {
    let limit = |config: &mut CoordinatorConfig| config.limits.channels_per_client = 3;
    let mut story = Story::with(12, OPEN, false, limit);
    let [lobby, ..] = story.ids();
    story.introduce_to("bob");
    let offers = story.offers();
    let now = story.world.now();
    story.world.client(story.lobby).close(now, secs(1));
    story.world.run_for(secs(2));
    story.accept(offers);
    let ends = story.they_talk();
    assert_eq!(story.payers(), [lobby]);

    let mut config = story.world.client_config("lobby");
    config.identity = story.identity.clone();
    story.world.restart_client(story.lobby, config);
    story.world.connect(story.lobby, story.coordinator);
    assert_eq!(story.ids()[0], lobby);
    // This one's number is that of the one before.
    let pending = story.introduce_to("bob");
    story.offers();
    let limit = CloseReason::Remote(ErrorCode::Limit);
    let more = story.introduce_to("bob");
    assert_eq!(story.outcome(more), Err(limit));
    let no_answer = CloseReason::Remote(ErrorCode::NoAnswer);
    assert_eq!(story.outcome(pending), Err(no_answer));
    // When the channel has ended, so has what it counts.
    talk(&mut story.world, ends);
    abort(&mut story.world, ends[0]);
    story.world.run_for(secs(1));
    assert_eq!(story.payers(), []);
    story.has_no_other_outcome();
}

/// Nobody knows whether there was an answer. It is not asked again.
#[test]
fn when_the_home_channel_is_lost_introductions_have_failed() {
    let limits = |config: &mut CoordinatorConfig| config.limits.answer_timeout = secs(600);
    let mut story = Story::with(13, OPEN, false, limits);
    let id = story.introduce_to("bob");
    let offers = story.offers();
    story.cut_off_lobby();
    let lost = CloseReason::CoordinatorLost;
    assert_eq!(story.outcome(id), Err(lost));
    let (now, [_, alice, bob]) = (story.world.now(), story.ids());
    let refused = story
        .world
        .client(story.lobby)
        .introduce(now, alice, bob, LABEL);
    assert_eq!(refused, Err(IntroduceError::NotConnected));
    story.world.set_up(story.lobby, true);
    let lobby = story.lobby;
    story.world.wait_for("connected again", secs(60), |world| {
        world.client(lobby).is_connected().then_some(())
    });
    // The second one has the number that the first one had. What becomes of the first is not told of it.
    let second = story.introduce_to("bob");
    let others = story.offers();
    story.accept(offers);
    story.they_talk();
    assert_eq!(next_outcome(&mut story.world, lobby), None);
    story.accept(others);
    assert_eq!(story.outcome(second), Ok(()));
    story.they_talk();
    story.has_no_other_outcome();
}

#[test]
fn who_closes_knows_that_what_was_under_way_has_failed() {
    for aborts in [false, true] {
        let mut story = Story::with(14, OPEN, false, |_| {});
        let id = story.introduce_to("bob");
        story.offers();
        let now = story.world.now();
        let lobby = story.world.client(story.lobby);
        match aborts {
            false => lobby.close(now, secs(1)),
            true => lobby.abort(now, Code(1)),
        }
        assert_eq!(story.outcome(id), Err(CloseReason::Local));
        let (now, [_, alice, bob]) = (story.world.now(), story.ids());
        let refused = story
            .world
            .client(story.lobby)
            .introduce(now, alice, bob, LABEL);
        assert_eq!(refused, Err(IntroduceError::NotConnected));
        story.has_no_other_outcome();
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused_at_once() {
    let mut story = Story::with(15, OPEN, false, |_| {});
    let (now, [_, alice, bob]) = (story.world.now(), story.ids());
    let lobby = story.world.client(story.lobby);
    let introduce =
        |lobby: &mut conec_core::Client, label: &[u8]| lobby.introduce(now, alice, bob, label);
    let long = [0; 256];
    let too_long = introduce(lobby, &long);
    assert_eq!(too_long, Err(IntroduceError::LabelTooLong));
    assert!(introduce(lobby, &long[1..]).is_ok());
    for _ in 0..255 {
        assert!(introduce(lobby, LABEL).is_ok());
    }
    assert_eq!(introduce(lobby, LABEL), Err(IntroduceError::TooMany));
    // Each of them has an outcome, once; those that the application has not taken count.
    story.world.run_for(secs(200));
    let now = story.world.now();
    let lobby = story.lobby;
    let introduce = |world: &mut World| world.client(lobby).introduce(now, alice, bob, LABEL);
    let mut outcomes = 0;
    while let Some((_, outcome)) = next_outcome(&mut story.world, lobby) {
        outcome.unwrap_err();
        outcomes += 1;
    }
    assert_eq!(outcomes, 256);
    assert!(introduce(&mut story.world).is_ok());
}

/// What nobody wants to know is not told, and what was not asked for yet is not asked for.
#[test]
fn what_becomes_of_an_introduction_need_not_be_known() {
    let mut story = Story::with(16, OPEN, false, |_| {});
    let ids: Vec<_> = (0..200).map(|_| story.introduce_to("bob")).collect();
    let lobby = story.world.client(story.lobby);
    ids.iter().for_each(|&id| lobby.ignore_introduction(id));
    story.world.run_for(secs(2));
    let asked = story.world.coordinator(story.coordinator).pairs(None, 999);
    assert!(!asked.is_empty() && asked.len() <= 128, "{}", asked.len());
    story.has_no_other_outcome();
    let now = story.world.now();
    story.world.client(story.lobby).close(now, secs(1));
    story.world.closed(home(story.lobby));
    story.world.run_for(secs(5));
    story.world.check_client_ended(story.lobby);
}

/// Rules that change count for what was asked for, and not for what stands.
#[test]
fn when_rules_change_an_introduction_that_may_not_be_is_over() {
    let mut story = Story::with(17, OPEN, false, |_| {});
    let first = story.introduce_to("bob");
    let offers = story.offers();
    story.accept(offers);
    assert_eq!(story.outcome(first), Ok(()));
    let ends = story.they_talk();
    let second = story.introduce_to("bob");
    story.offers();
    let now = story.world.now();
    let rules = "connect allow any\nreach allow any to any".parse().unwrap();
    story
        .world
        .coordinator(story.coordinator)
        .set_rules(now, rules);
    let refused = CloseReason::Remote(ErrorCode::Refused);
    assert_eq!(story.outcome(second), Err(refused));
    talk(&mut story.world, ends);
    let rules = "connect allow any".parse().unwrap();
    let now = story.world.now();
    story
        .world
        .coordinator(story.coordinator)
        .set_rules(now, rules);
    assert_eq!(story.world.closed(ends[0]), refused);
}

/// A Coordinator that is started anew knows the two ends, and not who had introduced them.
#[test]
fn what_is_claimed_anew_is_paid_for_by_its_initiator() {
    let mut story = Story::new(18, OPEN);
    let id = story.introduce_to("bob");
    assert_eq!(story.outcome(id), Ok(()));
    let ends = story.they_talk();
    story.world.crash(story.coordinator);
    story.world.run_for(secs(1));
    let mut config = CoordinatorConfig::new(keys::certificate());
    let rules = format!("connect allow any\n{OPEN}");
    config.rules = Some(rules.parse().unwrap());
    story.world.restart_coordinator(story.coordinator, config);
    story.world.run_for(secs(60));
    let [_, alice, _] = story.ids();
    assert_eq!(story.payers(), [alice]);
    talk(&mut story.world, ends);
    abort(&mut story.world, ends[1]);
    story.world.run_for(secs(1));
    assert_eq!(story.payers(), []);
    for node in [story.lobby, story.alice, story.bob] {
        let now = story.world.now();
        story.world.client(node).close(now, secs(1));
    }
    story.world.run_for(secs(40));
    story.world.check_coordinator_deserted(story.coordinator);
}

/// Clients that wait to be called home leave introductions to those that are there.
#[test]
fn a_coordinator_that_stops_introduces_nobody() {
    let mut story = Story::new(19, OPEN);
    let now = story.world.now();
    let mut drain = conec_core::Drain::default();
    drain.spread = secs(600);
    story
        .world
        .coordinator(story.coordinator)
        .drain(now, &drain);
    let shutdown = CloseReason::Remote(ErrorCode::Shutdown);
    assert_eq!(story.outcome_with("bob").0, Err(shutdown));
    let by_id = Target::Id(story.ids()[2]);
    let now = story.world.now();
    let lobby = story.world.client(story.lobby);
    let id = lobby.introduce(now, name("alice"), by_id, LABEL).unwrap();
    assert_eq!(story.outcome(id), Err(shutdown));
}
