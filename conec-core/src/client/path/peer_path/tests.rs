//! One end of a channel; the other end is but keys, and addresses that answer or do not.

#![expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]

use std::collections::BTreeMap;

use super::*;
use crate::{
    ClientLimits, Violation,
    wire::{MAX_CANDIDATES, Opened, PROBE_SECRET_LEN, Probe, Role},
};

struct Scene {
    path: PeerPath,
    /// The other end's keys, and the number of its latest probe.
    theirs: ProbeKeys,
    counter: u64,
    start: Instant,
    now: Instant,
    progress: Progress,
    config: PathConfig,
    surroundings: Surroundings,
    budget: Budget,
    out: VecDeque<Transmit>,
    stats: EndpointStats,
    /// Where pings are answered, and how soon.
    answering: BTreeMap<SocketAddr, Duration>,
    /// Pongs that are under way: when they come, from where, to which ping.
    pongs: Vec<(Instant, SocketAddr, u64)>,
    /// Probes that were sent: after how many milliseconds, and where to.
    pings: Vec<(u64, SocketAddr)>,
    actions: Vec<Action>,
}

impl Scene {
    fn new() -> Self {
        let start = Instant::now();
        let secret = [7; PROBE_SECRET_LEN];
        let ours = ProbeKeys::new(&secret, Role::Initiator);
        let budget = Budget::new(&ClientLimits::default());
        let mut scene = Self {
            path: PeerPath::new((route(), false), ours, true, None, budget.share()),
            theirs: ProbeKeys::new(&secret, Role::Acceptor),
            counter: 0,
            start,
            now: start,
            progress: Progress {
                acked: None,
                activity: 0,
                asked: 0,
                rtt: ms(100),
            },
            config: PathConfig::default(),
            surroundings: Surroundings {
                hosts: vec!["[2001:db8::1]:4000".parse().unwrap()],
                observed: Some(([198, 51, 100, 1], 4000).into()),
                ..Surroundings::default()
            },
            budget,
            out: VecDeque::new(),
            stats: EndpointStats::default(),
            answering: BTreeMap::new(),
            pongs: Vec::new(),
            pings: Vec::new(),
            actions: Vec::new(),
        };
        scene.with(PeerPath::start);
        scene
    }

    fn with<T>(&mut self, happen: impl FnOnce(&mut PeerPath, &mut Context<'_>) -> T) -> T {
        let mut context = Context {
            now: self.now,
            progress: self.progress,
            config: &self.config,
            surroundings: &self.surroundings,
            budget: &mut self.budget,
            out: &mut self.out,
            stats: &mut self.stats,
        };
        let result = happen(&mut self.path, &mut context);
        self.actions
            .extend(std::iter::from_fn(|| self.path.pop_action()));
        while let Some(transmit) = self.out.pop_front() {
            let Opened { counter, probe } =
                self.theirs.open(&mut transmit.payload.to_vec()).unwrap();
            if probe == Probe::Ping {
                let elapsed = (self.now - self.start).as_millis() as u64;
                self.pings.push((elapsed, transmit.destination));
                if let Some(&rtt) = self.answering.get(&transmit.destination) {
                    self.pongs
                        .push((self.now + rtt, transmit.destination, counter));
                }
            }
        }
        result
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.pongs.sort();
            let pong = self.pongs.first().map(|&(at, ..)| at);
            let timeout = self.path.next_timeout(self.now);
            let Some(next) = pong
                .into_iter()
                .chain(timeout)
                .min()
                .filter(|&at| at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if pong == Some(next) {
                let (_, source, echo) = self.pongs.remove(0);
                let observed = source;
                self.hear(source, Probe::Pong { echo, observed });
            } else {
                self.with(PeerPath::handle_timeout);
            }
        }
        self.now = end;
    }

    /// A probe comes from the other end.
    fn hear(&mut self, source: SocketAddr, probe: Probe) {
        self.counter += 1;
        let sealed = self.theirs.seal(route(), self.counter, probe, PROBE_LEN);
        self.with(|path, context| path.handle_probe(context, source, &mut sealed.to_vec()));
    }

    fn told(&mut self, generation: Generation, addresses: &[SocketAddr]) -> Result<(), Violation> {
        let addresses = addresses.to_vec();
        self.with(|path, context| path.peer_candidates(context, generation, addresses))
    }

    fn fail(&mut self, verdict: Verdict) {
        self.with(|path, context| path.judge(context, verdict));
    }

    /// One that sends directly to an address that answers so soon.
    fn direct(address: SocketAddr, rtt: Duration) -> Self {
        let mut scene = Self::new();
        scene.answering.insert(address, rtt);
        scene.told(1, &[address]).unwrap();
        scene.run(ms(1000));
        assert_eq!(scene.path.way(), Way::Direct(address));
        scene
    }
}

fn route() -> Route {
    Route::from_bytes([0x80, 1, 2, 3, 4, 5]).unwrap()
}

fn v4(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 5000).into()
}

fn private(last: u8) -> SocketAddr {
    ([192, 168, 1, last], 5000).into()
}

fn v6(last: u16) -> SocketAddr {
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 5000).into()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn pings_begin_when_the_other_end_has_heard_of_the_search() {
    for (told_after, first_ping) in [(0, 50), (30, 50), (80, 80)] {
        let mut scene = Scene::new();
        scene.run(ms(told_after));
        scene.told(1, &[v4(1)]).unwrap();
        scene.run(ms(200));
        assert_eq!(scene.pings.first(), Some(&(first_ping, v4(1))));
    }
}

#[test]
fn searches_begin_no_sooner_than_every_five_seconds() {
    let mut scene = Scene::new();
    for generation in 1..100 {
        scene.told(generation, &[v4(generation as u8)]).unwrap();
        scene.run(ms(500));
    }
    let mut firsts: Vec<_> = scene.pings.clone();
    firsts.dedup_by_key(|&mut (_, address)| address);
    assert!((9..=11).contains(&firsts.len()), "{firsts:?}");
    assert!(firsts.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 4500));
}

#[test]
fn an_older_generation_is_a_violation() {
    let mut scene = Scene::new();
    assert_eq!(scene.told(5, &[v4(1)]), Ok(()));
    assert_eq!(scene.told(5, &[v4(2)]), Ok(()));
    assert_eq!(scene.told(4, &[v4(1)]), Err(Violation::Unexpected));
    scene.run(ms(200));
    for address in [v4(1), v4(2)] {
        assert!(scene.pings.iter().any(|&(_, to)| to == address));
    }
}

#[test]
fn private_addresses_are_told_and_tried_as_soon_as_the_other_end_is_a_neighbour() {
    let (ours, theirs) = (private(7), private(8));
    let mut scene = Scene::new();
    scene.surroundings.hosts.push(ours);
    scene.told(1, &[v4(1), theirs]).unwrap();
    scene.run(ms(1000));
    let is_tried = |scene: &mut Scene| scene.pings.drain(..).any(|(_, to)| to == theirs);
    let announced = |scene: &mut Scene| {
        let mut announced = Vec::new();
        for action in scene.actions.drain(..) {
            if let Action::Announce(generation, addresses) = action {
                announced.push((generation, addresses.contains(&ours)));
            }
        }
        announced
    };
    assert_eq!(announced(&mut scene), [(1, false)]);
    assert!(!is_tried(&mut scene));
    // Once, however often that is said.
    for _ in 0..3 {
        scene.with(|path, context| path.set_neighbour(context, true));
        scene.with(|path, context| path.set_neighbour(context, false));
    }
    scene.with(|path, context| path.set_neighbour(context, true));
    assert_eq!(announced(&mut scene), [(1, true)]);
    scene.run(ms(1));
    assert!(is_tried(&mut scene));
    scene.with(|path, context| path.set_neighbour(context, false));
    scene.run(ms(8000));
    is_tried(&mut scene);
    scene.told(2, &[v4(1), theirs]).unwrap();
    scene.run(ms(8000));
    assert!(!is_tried(&mut scene));
}

#[test]
fn another_address_is_taken_only_if_it_is_clearly_better() {
    for (in_use, used_rtt, other, other_rtt, taken) in [
        (v4(1), 50, v4(2), 46, false),
        (v4(1), 50, v4(2), 45, false),
        (v4(1), 50, v4(2), 44, true),
        (v4(1), 50, v6(2), 49, false),
        (v4(1), 50, v6(2), 47, true),
        (v6(1), 50, v4(2), 43, false),
        (v6(1), 50, v4(2), 41, true),
    ] {
        let mut scene = Scene::direct(in_use, ms(used_rtt));
        scene.answering.insert(other, ms(other_rtt));
        scene.run(ms(5000));
        scene.told(2, &[in_use, other]).unwrap();
        scene.run(ms(1000));
        let expected = if taken { other } else { in_use };
        assert_eq!(scene.path.way(), Way::Direct(expected), "{in_use} {other}");
    }
}

#[test]
fn an_address_that_answers_small_pings_alone_is_not_used() {
    let mut scene = Scene::new();
    scene.told(1, &[v4(1)]).unwrap();
    scene.answering.insert(v4(1), ms(20));
    scene.run(ms(60));
    scene.answering.clear();
    scene.run(ms(10_000));
    assert_eq!(scene.path.way(), Way::Coordinator);
    assert!(scene.pings.len() > 1);
}

#[test]
fn a_path_that_has_failed_is_held_back_longer_each_time() {
    for (verdict, holds) in [
        (
            Verdict::Dead,
            &[0, 0, 0, 0, 0, 0, 10, 20, 40, 80, 160, 320, 600][..],
        ),
        (Verdict::Useless, &[30, 60, 120, 240, 480, 600]),
    ] {
        let mut scene = Scene::direct(v4(1), ms(20));
        // It is used all the time.
        scene.config.keep_warm = None;
        for (number, hold) in holds.iter().enumerate() {
            scene.fail(verdict);
            assert_eq!(scene.path.way(), Way::Coordinator);
            let failed = scene.now;
            while scene.path.way() == Way::Coordinator {
                scene.run(ms(100));
                assert!(scene.now < failed + ms(1000 * hold + 6000), "{number}");
            }
            assert!(scene.now >= failed + ms(1000 * hold), "{number}");
        }
        // Failures are forgiven in the end.
        scene.run(ms(601_000));
        scene.fail(verdict);
        let failed = scene.now;
        while scene.path.way() == Way::Coordinator {
            scene.run(ms(100));
        }
        assert!(scene.now < failed + ms(1000 * holds[0] + 6000));
    }
}

#[test]
fn a_suspect_path_is_used_besides_the_other_unless_it_must_be_direct() {
    for required in [false, true] {
        let mut scene = Scene::direct(v4(1), ms(20));
        scene.path.required = required.then(|| Required::new(None));
        scene.answering.clear();
        for _ in 0..100 {
            scene.progress.asked += 1;
            scene.with(|path, context| path.sent(context, 1));
            scene.run(ms(10));
        }
        let expected = match required {
            true => Way::Direct(v4(1)),
            false => Way::Both(v4(1)),
        };
        assert_eq!(scene.path.way(), expected);
        scene.answering.insert(v4(1), ms(20));
        scene.run(ms(500));
        assert_eq!(scene.path.way(), Way::Direct(v4(1)));
    }
}

#[test]
fn an_unused_path_lapses_and_is_found_again_when_the_other_end_asks() {
    let mut scene = Scene::direct(v4(1), ms(20));
    scene.run(ms(150_000));
    assert_eq!(scene.path.way(), Way::Coordinator);
    assert_eq!(scene.path.next_timeout(scene.now), None);
    let pings = scene.pings.len();
    scene.run(ms(3_600_000));
    assert_eq!(scene.pings.len(), pings);
    scene.hear(v4(1), Probe::Ping);
    scene.run(ms(1000));
    assert_eq!(scene.path.way(), Way::Direct(v4(1)));
}

#[test]
fn a_channel_that_is_over_answers_nobody() {
    let mut scene = Scene::direct(v4(1), ms(20));
    scene.path.end();
    let sent = scene.stats.probes_sent;
    scene.hear(v4(1), Probe::Ping);
    scene.run(ms(10_000));
    assert_eq!(scene.stats.probes_sent, sent);
    assert_eq!(scene.path.next_timeout(scene.now), None);
    // Goodbyes go every way.
    assert_eq!(scene.path.way(), Way::Both(v4(1)));
}

#[test]
fn a_direct_path_in_use_is_pinged_each_time_that_nothing_was_sent_on_it_for_long() {
    let mut scene = Scene::direct(v4(1), ms(20));
    scene.config.keep_warm = None;
    scene.actions.clear();
    let begin = scene.now;
    let mut pings = Vec::new();
    for tick in 0..500 {
        // Others have timers too, which go off whether or not this path has something to do.
        scene.run(ms(200));
        scene.with(PeerPath::handle_timeout);
        let asked = scene.actions.drain(..);
        let asked = asked.filter(|it| matches!(it, Action::Ping)).count();
        if asked > 0 {
            assert_eq!(asked, 1);
            pings.push((scene.now - begin).as_secs());
        }
        // The application has something to say every other second, for half a minute.
        if asked > 0 || (tick < 150 && tick % 10 == 9) {
            scene.with(|path, context| path.sent(context, 1));
        }
    }
    assert_eq!(scene.path.way(), Way::Direct(v4(1)));
    assert_eq!(pings, [45, 60, 75, 90]);
}

#[test]
fn a_probe_that_comes_twice_is_answered_once_and_counted_as_rejected() {
    let mut scene = Scene::direct(v4(1), ms(20));
    scene.counter += 1;
    let sealed = scene
        .theirs
        .seal(route(), scene.counter, Probe::Ping, PROBE_LEN);
    let come = |scene: &mut Scene| {
        let before = scene.stats;
        scene.with(|path, context| path.handle_probe(context, v4(1), &mut sealed.to_vec()));
        let after = scene.stats;
        let sent = after.probes_sent - before.probes_sent;
        (sent, after.probes_rejected - before.probes_rejected)
    };
    assert_eq!(come(&mut scene), (1, 0));
    assert_eq!(come(&mut scene), (0, 1));
    assert_eq!(come(&mut scene), (0, 1));
    // Nor is any welcome when the channel is over.
    scene.path.end();
    let before = scene.stats.probes_rejected;
    scene.hear(v4(1), Probe::Ping);
    assert_eq!(scene.stats.probes_rejected, before + 1);
}

#[test]
fn in_a_silence_a_path_on_which_something_is_owed_is_suspect_at_once() {
    for (owed, expected) in [(0, Way::Direct(v4(1))), (1, Way::Both(v4(1)))] {
        let mut scene = Scene::direct(v4(1), ms(20));
        scene.progress.asked += owed;
        scene.with(|path, context| path.sent(context, 1));
        scene.run(ms(200));
        assert_eq!(scene.path.way(), Way::Direct(v4(1)));
        scene.with(PeerPath::silence);
        assert_eq!(scene.path.way(), expected);
    }
}

#[test]
fn the_engine_forgets_a_path_that_has_failed_at_once_unless_it_is_owed_something() {
    for owed in [0, 1] {
        let mut scene = Scene::direct(v4(1), ms(20));
        scene.progress.asked += owed;
        scene.with(|path, context| path.sent(context, 1));
        let resets = |scene: &mut Scene| {
            let actions = scene.actions.drain(..);
            actions.filter(|it| matches!(it, Action::Reset(_))).count() as u64
        };
        resets(&mut scene);
        scene.fail(Verdict::Dead);
        assert_eq!(resets(&mut scene), 1 - owed);
        // An acknowledgement of what was sent since then clears what is in its way.
        scene.now += ms(20);
        scene.progress.acked = Some(scene.now);
        scene.with(PeerPath::heard);
        assert_eq!(resets(&mut scene), owed);
    }
}

/// As where the engine has no room for a packet just then.
#[test]
fn a_path_is_kept_warm_at_the_same_pace_when_nothing_comes_of_it() {
    let mut scene = Scene::direct(v4(1), ms(20));
    scene.config.keep_warm = None;
    scene.actions.clear();
    let begin = scene.now;
    let mut pings = Vec::new();
    for _ in 0..250 {
        scene.run(ms(200));
        let asked = scene.actions.drain(..);
        let asked = asked.filter(|it| matches!(it, Action::Ping)).count();
        pings.extend(vec![(scene.now - begin).as_secs(); asked]);
    }
    assert_eq!(pings, [14, 29, 44]);
}

/// What is announced, and after how many milliseconds.
fn announcements(scene: &mut Scene, time: Duration) -> Vec<(u64, Generation)> {
    let (mut announced, end) = (Vec::new(), scene.now + time);
    scene.actions.clear();
    while scene.now < end {
        scene.run(ms(100));
        let elapsed = (scene.now - scene.start).as_millis() as u64;
        for action in scene.actions.drain(..) {
            if let Action::Announce(generation, _) = action {
                announced.push((elapsed, generation));
            }
        }
    }
    announced
}

#[test]
fn a_search_that_finds_nothing_is_repeated_as_long_as_the_channel_is_used() {
    let mut scene = Scene::new();
    scene.config.keep_warm = Some(ms(40_000));
    let repeated = announcements(&mut scene, ms(200_000));
    assert_eq!(repeated, [(15_000, 2), (30_000, 3)]);
    // Whatever the channel carries wakes it up, and is told by the next that is heard.
    scene.progress.activity += 1;
    scene.with(PeerPath::heard);
    let repeated = announcements(&mut scene, ms(20_000));
    assert_eq!(repeated, [(215_000, 5)]);
}

#[test]
fn other_addresses_are_told_at_once_but_not_all_the_time() {
    let mut scene = Scene::new();
    scene.config.keep_warm = None;
    scene.path.retry_after = ms(3_600_000);
    announcements(&mut scene, ms(10_000));
    let move_to = |scene: &mut Scene, last: u8| {
        scene.surroundings.observed = Some(v4(last));
        scene.with(|path, context| path.surroundings_changed(context));
    };
    move_to(&mut scene, 1);
    assert_eq!(announcements(&mut scene, ms(2000)), [(10_100, 2)]);
    // Within five seconds after that.
    move_to(&mut scene, 2);
    move_to(&mut scene, 3);
    assert_eq!(announcements(&mut scene, ms(10_000)), [(15_000, 3)]);
    move_to(&mut scene, 3);
    assert_eq!(announcements(&mut scene, ms(10_000)), [], "that is no news");
    // One less is, too.
    scene.surroundings.hosts.clear();
    move_to(&mut scene, 3);
    assert_eq!(announcements(&mut scene, ms(10_000)), [(32_100, 4)]);
}

#[test]
fn no_more_addresses_are_remembered_and_no_more_probes_wait_than_may_be() {
    let mut scene = Scene::new();
    scene.told(1, &[v4(1)]).unwrap();
    for last in 0..100 {
        scene.told(1, &[v4(last)]).unwrap();
    }
    assert_eq!(scene.path.told.len(), MAX_CANDIDATES);
    let before = scene.stats.probes_sent;
    let waiting = scene.with(|path, context| {
        for _ in 0..600 {
            path.send(context, v4(1), Probe::Ping, PROBE_LEN);
        }
        context.out.len()
    });
    assert_eq!(waiting, 512);
    assert_eq!(scene.stats.probes_sent - before, 512);
}

#[test]
fn a_channel_that_must_be_direct_is_given_up_when_its_patience_is_over() {
    for patience in [None, Some(ms(10_000))] {
        let mut scene = Scene::direct(v4(1), ms(20));
        scene.path.required = Some(Required::new(patience));
        scene.answering.clear();
        scene.fail(Verdict::Dead);
        let gives_up = |scene: &mut Scene| {
            let mut actions = scene.actions.drain(..);
            actions.any(|it| matches!(it, Action::GiveUp))
        };
        scene.run(ms(9999));
        assert!(!gives_up(&mut scene));
        let due = scene.path.next_timeout(scene.now);
        scene.now += ms(1);
        assert_eq!(due == Some(scene.now), patience.is_some());
        scene.with(PeerPath::handle_timeout);
        assert_eq!(gives_up(&mut scene), patience.is_some());
    }
}

#[test]
fn what_is_no_probe_of_this_channel_is_counted_as_rejected() {
    let mut scene = Scene::new();
    let strange = ProbeKeys::new(&[8; PROBE_SECRET_LEN], Role::Acceptor);
    let sealed = strange.seal(route(), 1, Probe::Ping, PROBE_LEN);
    let before = scene.stats;
    scene.with(|path, context| path.handle_probe(context, v4(1), &mut sealed.to_vec()));
    assert_eq!(scene.stats.probes_rejected, before.probes_rejected + 1);
    assert_eq!(scene.stats.probes_sent, before.probes_sent);
}
