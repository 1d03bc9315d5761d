//! A path, and what is made of it: packets and pings that arrive or do not.

#![expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]

use std::collections::VecDeque;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

/// A path that is used, in virtual time.
struct Scene {
    health: Health,
    progress: Progress,
    start: Instant,
    now: Instant,
    /// How long packets and pings take, there and back.
    rtt: Duration,
    acks: bool,
    pongs: bool,
    /// What is under way: when the answer comes, and when it was sent.
    packets: VecDeque<(Instant, Instant)>,
    pings: VecDeque<(Instant, Instant)>,
    asked: usize,
    /// What was to be done, but for asking.
    verdicts: Vec<(u64, Verdict)>,
}

impl Scene {
    fn new(rtt: Duration) -> Self {
        let start = Instant::now();
        let progress = Progress {
            acked: None,
            activity: 0,
            asked: 0,
            rtt,
        };
        Self {
            health: Health::new(start, start, rtt, &progress),
            progress,
            start,
            now: start,
            rtt,
            acks: true,
            pongs: true,
            packets: VecDeque::new(),
            pings: VecDeque::new(),
            asked: 0,
            verdicts: Vec::new(),
        }
    }

    /// Lets time pass; a packet is sent every so often. Packets and pings that are sent meanwhile are answered, or not.
    fn run(&mut self, (acks, pongs): (bool, bool), time: Duration, every: Duration) {
        (self.acks, self.pongs) = (acks, pongs);
        let end = self.now + time;
        let mut send = self.now;
        while !self.is_over() {
            let times = [
                Some(send),
                self.packets.front().map(|&(at, _)| at),
                self.pings.front().map(|&(at, _)| at),
                self.health.next_review(self.now),
            ];
            let next = times.into_iter().flatten().min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if let Some((_, sent)) = due(&mut self.packets, self.now) {
                self.progress.acked = self.progress.acked.max(Some(sent));
            }
            if let Some((_, sent)) = due(&mut self.pings, self.now) {
                let verdict = self.health.pong(self.now, sent, self.now - sent);
                self.note(verdict);
            }
            if send <= self.now {
                self.send();
                send += every;
            }
            self.review();
        }
        self.now = self.now.max(end);
    }

    fn send(&mut self) {
        self.progress.asked += 1;
        self.health.sent(self.now, 1, &self.progress);
        if self.acks {
            self.packets.push_back((self.now + self.rtt, self.now));
        }
    }

    fn review(&mut self) {
        loop {
            match self.health.review(self.now, &self.progress) {
                Verdict::Fine => return,
                Verdict::Ask => {
                    self.asked += 1;
                    self.health.pinged(self.now, true);
                    if self.pongs {
                        self.pings.push_back((self.now + self.rtt, self.now));
                    }
                }
                verdict @ (Verdict::Suspect
                | Verdict::Search
                | Verdict::Recovered
                | Verdict::Dead
                | Verdict::Useless) => {
                    self.note(verdict);
                    if self.is_over() {
                        return;
                    }
                }
            }
        }
    }

    fn note(&mut self, verdict: Verdict) {
        if verdict != Verdict::Fine {
            let elapsed = (self.now - self.start).as_millis() as u64;
            self.verdicts.push((elapsed, verdict));
        }
    }

    fn is_over(&self) -> bool {
        let last = self.verdicts.last();
        last.is_some_and(|&(_, verdict)| matches!(verdict, Verdict::Dead | Verdict::Useless))
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.verdicts.iter().map(|&(_, verdict)| verdict).collect()
    }
}

/// Takes what is answered by now.
fn due(under_way: &mut VecDeque<(Instant, Instant)>, now: Instant) -> Option<(Instant, Instant)> {
    let &(at, _) = under_way.front()?;
    (at <= now).then(|| under_way.pop_front())?
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const ALL_IS_WELL: (bool, bool) = (true, true);
const NOTHING_ARRIVES: (bool, bool) = (false, false);
const ONLY_PROBES: (bool, bool) = (false, true);
const ONLY_PACKETS: (bool, bool) = (true, false);
const BUSY: Duration = Duration::from_millis(20);

#[test]
fn a_path_that_delivers_is_left_alone() {
    for rtt in [1, 20, 200, 1000] {
        let mut scene = Scene::new(ms(rtt));
        scene.run(ALL_IS_WELL, ms(60_000), BUSY);
        assert_eq!(scene.verdicts, [], "{rtt}");
        // A pong every 5 seconds, though acknowledgements say enough.
        let most = 14 + rtt as usize / 100;
        assert!((8..=most).contains(&scene.asked), "{rtt}: {}", scene.asked);
    }
}

#[test]
fn a_path_that_dies_is_suspect_at_once_then_searched_around_then_left() {
    for rtt in [1, 20, 100] {
        let mut scene = Scene::new(ms(rtt));
        scene.run(ALL_IS_WELL, ms(2000), BUSY);
        scene.run(NOTHING_ARRIVES, ms(10_000), BUSY);
        let expected = [Verdict::Suspect, Verdict::Search, Verdict::Dead];
        assert_eq!(scene.verdicts(), expected, "{rtt}");
        let [suspect, search, dead] = [0, 1, 2].map(|at| scene.verdicts[at].0 - 2000);
        assert!((550..=800 + 2 * rtt).contains(&suspect), "{rtt}: {suspect}");
        assert_eq!((search, dead), (suspect + 1000, suspect + 3000));
    }
}

#[test]
fn a_path_that_carries_probes_alone_is_useless() {
    let mut scene = Scene::new(ms(20));
    scene.run(ALL_IS_WELL, ms(2000), BUSY);
    scene.run(ONLY_PROBES, ms(10_000), BUSY);
    let expected = [Verdict::Suspect, Verdict::Search, Verdict::Useless];
    assert_eq!(scene.verdicts(), expected);
    let suspect = scene.verdicts[0].0 - 2000;
    assert!((1150..=1300).contains(&suspect), "{suspect}");
}

#[test]
fn a_path_that_never_carried_anything_is_useless_sooner() {
    let mut scene = Scene::new(ms(20));
    scene.run(ONLY_PROBES, ms(10_000), BUSY);
    assert_eq!(scene.verdicts().last(), Some(&Verdict::Useless));
}

#[test]
fn a_short_silence_is_forgiven() {
    let mut scene = Scene::new(ms(20));
    for _ in 0..20 {
        scene.run(ALL_IS_WELL, ms(2000), BUSY);
        scene.run(NOTHING_ARRIVES, ms(1500), BUSY);
    }
    let pair = [Verdict::Suspect, Verdict::Recovered];
    let without_searches: Vec<_> = scene
        .verdicts()
        .into_iter()
        .filter(|&verdict| verdict != Verdict::Search)
        .collect();
    assert_eq!(without_searches[..38], pair.repeat(19));
}

#[test]
fn acknowledgements_without_pongs_are_not_believed_for_ever() {
    let mut scene = Scene::new(ms(20));
    scene.run(ONLY_PACKETS, ms(60_000), BUSY);
    assert_eq!(scene.verdicts(), [Verdict::Dead]);
    let dead = scene.verdicts[0].0;
    assert!((12_900..=13_600).contains(&dead), "{dead}");
}

#[test]
fn who_has_just_answered_is_not_asked_again_for_what_is_late() {
    let mut scene = Scene::new(ms(20));
    scene.acks = false;
    scene.send();
    let answered = scene.now + ms(240);
    scene.now = answered;
    let verdict = scene.health.pong(answered, answered - ms(20), ms(20));
    scene.note(verdict);
    // An acknowledgement is late from 250 ms on. What was answered was asked at 220 ms: that is as long ago from 470 ms on.
    for (time, asked) in [(260, 0), (460, 0), (480, 1)] {
        scene.now = scene.start + ms(time);
        scene.review();
        assert_eq!(scene.asked, asked, "after {time} ms");
    }
}

#[test]
fn who_is_acknowledged_again_asks_no_more() {
    let mut scene = Scene::new(ms(20));
    scene.run(ALL_IS_WELL, ms(2000), BUSY);
    scene.run(NOTHING_ARRIVES, ms(400), BUSY);
    let asked = scene.asked;
    assert!((1..=3).contains(&asked), "{asked}");
    scene.run(ONLY_PACKETS, ms(2000), BUSY);
    assert_eq!((scene.asked, &scene.verdicts[..]), (asked, &[][..]));
}

#[test]
fn an_idle_path_is_not_asked_about() {
    let mut scene = Scene::new(ms(20));
    scene.run(ALL_IS_WELL, ms(120_000), ms(15_000));
    assert_eq!((scene.asked, &scene.verdicts[..]), (0, &[][..]));
}

#[test]
fn what_went_both_ways_proves_neither() {
    let mut scene = Scene::new(ms(20));
    scene.run(ALL_IS_WELL, ms(2000), BUSY);
    scene.run(NOTHING_ARRIVES, ms(1000), BUSY);
    assert!(scene.health.is_suspect());
    // By way of the Coordinator.
    scene.progress.acked = Some(scene.now);
    let verdict = scene.health.review(scene.now, &scene.progress);
    assert_ne!(verdict, Verdict::Recovered);
    assert!(scene.health.is_suspect() && scene.health.has_progress(&scene.progress));
}

#[test]
fn what_was_sent_before_the_suspicion_ends_it() {
    let mut scene = Scene::new(ms(20));
    scene.run(ALL_IS_WELL, ms(2000), BUSY);
    scene.run(NOTHING_ARRIVES, ms(400), BUSY);
    let sent = scene.now;
    scene.run(NOTHING_ARRIVES, ms(600), BUSY);
    assert!(scene.health.is_suspect());
    scene.progress.acked = Some(sent);
    let verdict = scene.health.review(scene.now, &scene.progress);
    assert_eq!(verdict, Verdict::Recovered);
    assert!(!scene.health.is_suspect());
}

#[test]
fn silence_that_only_pongs_break_makes_a_path_useless_at_the_third_time() {
    for acknowledged in [false, true] {
        let mut scene = Scene::new(ms(20));
        let mut verdicts = Vec::new();
        for _ in 0..3 {
            scene.now += ms(100);
            scene.progress.asked += 1;
            scene.health.sent(scene.now, 1, &scene.progress);
            let sent = scene.now;
            if acknowledged {
                scene.progress.acked = Some(sent);
                scene.progress.asked += 1;
                scene.now += ms(1);
                scene.health.sent(scene.now, 1, &scene.progress);
            }
            scene.now += ms(100);
            verdicts.push(scene.health.silence(scene.now, &scene.progress));
            scene.now += ms(20);
            verdicts.push(scene.health.pong(scene.now, sent, ms(20)));
        }
        let last = match acknowledged {
            true => [Verdict::Suspect, Verdict::Recovered],
            // It was not used to begin with.
            false => [Verdict::Useless, Verdict::Fine],
        };
        let pair = [Verdict::Suspect, Verdict::Recovered];
        assert_eq!(verdicts, [pair, pair, last].concat());
    }
}

#[test]
fn who_turns_to_the_coordinator_may_know_more() {
    for (pause, turned) in [(100, false), (300, true)] {
        let mut scene = Scene::new(ms(20));
        scene.run(ALL_IS_WELL, ms(2000), BUSY);
        scene.health.heard(scene.now, true);
        scene.now += ms(pause);
        scene.health.heard(scene.now, false);
        scene.progress.acked = Some(scene.now - ms(20));
        scene.review();
        assert_eq!(scene.health.is_suspect(), turned, "{pause}");
    }
}

#[test]
fn whatever_happens_verdicts_make_sense() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let rtt = rng.random_range(1..300);
        let mut scene = Scene::new(ms(rtt));
        for _ in 0..rng.random_range(1..20) {
            let (time, every) = (rng.random_range(10..4000), rng.random_range(5..500));
            scene.run(rng.random(), ms(time), ms(every));
        }
        // Nothing arrives, though something is sent: this is noticed in any case.
        scene.run(NOTHING_ARRIVES, ms(8000 + 12 * rtt), BUSY);
        assert!(scene.is_over(), "seed {seed}: {:?}", scene.verdicts);
        let (mut suspect, mut searched) = (false, false);
        for &(_, verdict) in &scene.verdicts {
            let sensible = match verdict {
                Verdict::Suspect => !std::mem::replace(&mut suspect, true),
                Verdict::Search => suspect && !std::mem::replace(&mut searched, true),
                Verdict::Recovered => {
                    searched = false;
                    std::mem::take(&mut suspect)
                }
                Verdict::Dead | Verdict::Useless => true,
                Verdict::Fine | Verdict::Ask => false,
            };
            assert!(sensible, "seed {seed}: {:?}", scene.verdicts);
        }
    }
}

#[test]
fn who_has_sent_nothing_for_long_makes_nothing_of_a_turn() {
    for (pause, curious) in [(4999, true), (5000, false)] {
        let mut scene = Scene::new(ms(20));
        scene.send();
        scene.health.heard(scene.now, true);
        scene.now += ms(pause);
        scene.health.heard(scene.now, false);
        assert_eq!(scene.health.is_curious(), curious, "{pause}");
    }
}

/// As who only receives does: acknowledgements are not acknowledged.
#[test]
fn who_sends_nothing_but_answers_asks_when_they_go_on_unproven() {
    for (rtt, pause, asked) in [(20, 499, 1), (20, 500, 0), (20, 5000, 0), (300, 499, 1)] {
        let mut scene = Scene::new(ms(rtt));
        scene.now += ms(600);
        scene.health.sent(scene.now, 1, &scene.progress);
        scene.review();
        assert_eq!(scene.asked, 0, "a single answer");
        scene.now += ms(pause);
        scene.health.sent(scene.now, 1, &scene.progress);
        scene.review();
        assert_eq!(scene.asked, asked, "{rtt} {pause}");
    }
    for (rtt, first) in [(20, 500), (300, 600)] {
        let mut scene = Scene::new(ms(rtt));
        while scene.asked == 0 {
            scene.now += ms(20);
            scene.health.sent(scene.now, 1, &scene.progress);
            scene.review();
        }
        assert_eq!(scene.now, scene.start + ms(first), "{rtt}");
    }
}

#[test]
fn what_keeps_a_path_warm_does_not_count_towards_another_pong() {
    for (every, asks) in [(4999, true), (5000, false)] {
        let mut scene = Scene::new(ms(20));
        for _ in 0..40 {
            scene.health.sent(scene.now, 1, &scene.progress);
            scene.review();
            scene.now += ms(every);
        }
        assert_eq!(scene.asked > 0, asks, "{every}");
    }
}

#[test]
fn a_silence_says_nothing_of_what_cannot_have_been_answered_yet() {
    for (waited, verdict) in [
        (10, Verdict::Fine),
        (20, Verdict::Fine),
        (21, Verdict::Suspect),
    ] {
        let mut scene = Scene::new(ms(20));
        scene.send();
        scene.now += ms(waited);
        let said = scene.health.silence(scene.now, &scene.progress);
        assert_eq!(said, verdict, "after {waited} ms");
    }
}

#[test]
fn an_acknowledgement_is_owed_until_the_latest_packet_has_one() {
    let mut scene = Scene::new(ms(20));
    assert!(!scene.health.is_owed());
    scene.send();
    let first = scene.now;
    scene.now += ms(10);
    scene.send();
    let second = scene.now;
    for (acked, owed) in [(first, true), (second, false)] {
        scene.now += ms(10);
        scene.progress.acked = Some(acked);
        scene.health.follow(&scene.progress);
        assert_eq!(scene.health.is_owed(), owed);
    }
}
