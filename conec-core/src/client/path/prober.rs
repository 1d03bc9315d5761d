//! Looks for addresses at which the other end of a channel can be reached: whom to ping when, and what a pong proves.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::budget::{Budget, Share};
use crate::wire::{MAX_CANDIDATES, PROBE_LEN};

/// The search for one channel. It goes in rounds; in each, every candidate gets its pings, until it answers.
#[derive(Debug, Default)]
pub(super) struct Prober {
    candidates: Vec<Candidate>,
    /// Pings that were not answered yet, the oldest first.
    outstanding: VecDeque<Ping>,
    /// When the latest round began.
    began: Option<Instant>,
    /// Bytes sent in it to addresses that had not answered.
    spent: usize,
    /// How many rounds there were since one has led to something.
    fruitless: u32,
}

#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    origin: Origin,
    phase: Phase,
    /// When it is to be pinged next, if it is.
    due: Option<Instant>,
    /// Pings to it since it has answered last.
    unanswered: u32,
    /// When it was last known to be the other end's. Then it is asked now and then whether it is so again, besides rounds.
    known: Option<Instant>,
}

/// How an address became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The other end has told it.
    Told,
    /// The other end was heard from there.
    Heard,
}

/// ```text
/// Unproven ─pong─▶ Proven ─pong to a large ping─▶ Ready
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// So many of its pings were sent in this round.
    Unproven { sent: usize },
    /// It answers. Whether it takes packets of the size that QUIC needs is asked next.
    Proven { rtt: Duration, sent: usize },
    /// It does.
    Ready { rtt: Duration },
}

#[derive(Debug)]
struct Ping {
    counter: u64,
    address: SocketAddr,
    sent: Instant,
    large: bool,
}

/// What a pong has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) address: SocketAddr,
    /// When the ping was sent.
    pub(super) sent: Instant,
    pub(super) rtt: Duration,
    /// Set when the address has become ready for use by this.
    pub(super) ready: bool,
}

impl Prober {
    /// Begins a round with the addresses that the other end has told. `in_use` needs no search.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        told: impl Iterator<Item = SocketAddr>,
        in_use: Option<SocketAddr>,
    ) {
        self.began = Some(now);
        self.spent = 0;
        self.fruitless = self.fruitless.saturating_add(1);
        let former = std::mem::take(&mut self.candidates);
        for address in told.take(MAX_CANDIDATES) {
            self.add(now, address, Origin::Told);
        }
        // The other end's NAT may show it under an address that it does not know of.
        for candidate in former {
            let proven = !matches!(candidate.phase, Phase::Unproven { .. });
            let known = candidate.known.filter(|&at| now < at + LATELY);
            if candidate.origin == Origin::Heard && (proven || known.is_some()) {
                self.add(now, candidate.address, Origin::Heard);
            }
            if let Some(again) = self.find(candidate.address) {
                again.known = candidate.known;
            }
            if Some(candidate.address) == in_use {
                self.candidates.retain(|it| it.address != candidate.address);
                self.candidates.push(Candidate {
                    due: None,
                    ..candidate
                });
            }
        }
    }

    /// Another address that the other end has told, in the round that is under way.
    pub(super) fn join(&mut self, now: Instant, address: SocketAddr) {
        self.add(now, address, Origin::Told);
    }

    /// A ping came from this address: one goes back, if the address has not answered yet.
    pub(super) fn heard_from(&mut self, now: Instant, address: SocketAddr) {
        match self.find(address) {
            None => self.add(now, address, Origin::Heard),
            Some(candidate) => {
                if let Phase::Unproven { .. } = candidate.phase {
                    candidate.due = Some(now);
                }
            }
        }
    }

    /// There is reason to think that what was in the way is not there any more.
    pub(super) fn hasten(&mut self, now: Instant) {
        for candidate in &mut self.candidates {
            if let (Phase::Unproven { .. }, Some(_)) = (candidate.phase, candidate.known) {
                candidate.due = Some(now);
            }
        }
    }

    /// There is a path: no address is asked any more for what it was before.
    pub(super) fn settle(&mut self) {
        for candidate in &mut self.candidates {
            if candidate.known.take().is_some() {
                candidate.due = None;
            }
        }
    }

    /// One of the ends is somewhere else: it is as if nothing had been tried.
    pub(super) fn forgive(&mut self) {
        self.fruitless = 0;
    }

    /// When the latest round began.
    pub(super) fn began(&self) -> Option<Instant> {
        self.began
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.candidates.iter().filter_map(|it| it.due).min()
    }

    /// Whom to ping now, and with how many bytes. [`sent`](Self::sent) is to follow.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        budget: &mut Budget,
        share: &mut Share,
    ) -> Option<(SocketAddr, usize)> {
        let pings = match self.fruitless {
            0 | 1 => GAPS.len(),
            _ => AGAIN,
        };
        for candidate in &mut self.candidates {
            if candidate.due.is_none_or(|due| due > now) {
                continue;
            }
            candidate.due = None;
            match &mut candidate.phase {
                Phase::Unproven { .. } if candidate.known.is_some() => {
                    if !budget.ask(now, share) {
                        candidate.due = Some(now + RATE_WAIT);
                        continue;
                    }
                    let lately = candidate.known.is_some_and(|at| now < at + LATELY);
                    candidate.due = Some(now + if lately { SOON } else { SELDOM });
                    return Some((candidate.address, PROBE_LEN));
                }
                Phase::Unproven { sent } => {
                    if self.spent + PROBE_LEN > ROUND_BYTES {
                        continue;
                    }
                    let target = candidate.address.ip();
                    let allowed = budget.aim(now, target);
                    if allowed && !budget.ask(now, share) {
                        budget.hit(target, 1);
                        candidate.due = Some(now + RATE_WAIT);
                        continue;
                    }
                    *sent += 1;
                    candidate.due = GAPS[..pings].get(*sent).map(|&gap| now + gap);
                    if !allowed {
                        // Perhaps others have had their answers from there by then.
                        continue;
                    }
                    self.spent += PROBE_LEN;
                    return Some((candidate.address, PROBE_LEN));
                }
                Phase::Proven { sent, .. } => {
                    if !budget.ask(now, share) {
                        candidate.due = Some(now + RATE_WAIT);
                        continue;
                    }
                    *sent += 1;
                    candidate.due = LARGE_GAPS.get(*sent).map(|&gap| now + gap);
                    if candidate.due.is_none() && candidate.known.is_some() {
                        // Once more from the beginning.
                        candidate.phase = Phase::Unproven { sent: 0 };
                        candidate.due = Some(now + SOON);
                    }
                    return Some((candidate.address, LARGE_LEN));
                }
                Phase::Ready { .. } => {}
            }
        }
        None
    }

    /// A ping was sent.
    pub(super) fn sent(&mut self, now: Instant, counter: u64, address: SocketAddr, len: usize) {
        if let Some(candidate) = self.find(address) {
            candidate.unanswered += 1;
        }
        if self.outstanding.len() >= MAX_OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back(Ping {
            counter,
            address,
            sent: now,
            large: len >= LARGE_LEN,
        });
    }

    /// The pong to a ping has come from `source`, if it is one.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        counter: u64,
        source: SocketAddr,
        budget: &mut Budget,
    ) -> Option<Answer> {
        // Only from where the ping went does it prove that this address is the other end's.
        let at = self
            .outstanding
            .iter()
            .position(|ping| ping.counter == counter && ping.address == source)?;
        let ping = self.outstanding.remove(at)?;
        let rtt = now.saturating_duration_since(ping.sent);
        let mut answer = Answer {
            address: ping.address,
            sent: ping.sent,
            rtt,
            ready: false,
        };
        let Some(candidate) = self.find(ping.address) else {
            return Some(answer);
        };
        budget.hit(ping.address.ip(), candidate.unanswered);
        candidate.unanswered = 0;
        candidate.phase = match candidate.phase {
            Phase::Unproven { .. } => {
                candidate.due = Some(now);
                Phase::Proven { rtt, sent: 0 }
            }
            Phase::Proven { rtt: first, sent } if !ping.large => Phase::Proven {
                rtt: first.min(rtt),
                sent,
            },
            Phase::Proven { rtt: first, .. } => {
                candidate.due = None;
                answer.ready = true;
                Phase::Ready {
                    rtt: first.min(rtt),
                }
            }
            Phase::Ready { .. } => Phase::Ready { rtt },
        };
        if answer.ready {
            self.fruitless = 0;
        }
        Some(answer)
    }

    /// An address that was in use until now does not answer any more: it has to prove itself anew, and gets every
    /// opportunity.
    pub(super) fn disprove(&mut self, now: Instant, address: SocketAddr) {
        if let Some(candidate) = self.find(address) {
            candidate.phase = Phase::Unproven { sent: 0 };
            candidate.known = Some(now);
            candidate.due = Some(now + SOON);
        }
    }

    /// Stops asking.
    pub(super) fn rest(&mut self) {
        for candidate in &mut self.candidates {
            candidate.due = None;
        }
    }

    fn add(&mut self, now: Instant, address: SocketAddr, origin: Origin) {
        let count = |origin| {
            let same = self.candidates.iter().filter(|it| it.origin == origin);
            same.count()
        };
        let room = match origin {
            Origin::Told => count(origin) < MAX_CANDIDATES,
            Origin::Heard => count(origin) < MAX_HEARD,
        };
        if room && self.find(address).is_none() {
            self.candidates.push(Candidate {
                address,
                origin,
                phase: Phase::Unproven { sent: 0 },
                due: Some(now),
                unanswered: 0,
                known: None,
            });
        }
    }

    fn find(&mut self, address: SocketAddr) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|it| it.address == address)
    }
}

/// The size of a ping that shows whether packets of the size that QUIC needs arrive (RFC 9000, 14).
pub(super) const LARGE_LEN: usize = 1200;
/// The pauses before the pings of a round.
const GAPS: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1500),
    Duration::from_millis(1500),
];
/// How many of them are sent in a round that follows others which have led to nothing.
const AGAIN: usize = 3;
/// How often an address is asked that was in use lately.
const SOON: Duration = Duration::from_secs(3);
/// For how long it is.
const LATELY: Duration = Duration::from_secs(600);
/// How often after that.
const SELDOM: Duration = Duration::from_secs(15);
/// The pauses before the large pings to an address that answers.
const LARGE_GAPS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];
/// Bytes to addresses that have not answered, in one round.
const ROUND_BYTES: usize = 5000;
/// How long a ping waits that the Client's rate does not allow.
const RATE_WAIT: Duration = Duration::from_millis(50);
/// Addresses that the other end was heard from without having told them.
const MAX_HEARD: usize = 4;
/// Pings whose pongs are known.
const MAX_OUTSTANDING: usize = 128;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;
    use crate::ClientLimits;

    struct Scene {
        prober: Prober,
        budget: Budget,
        share: Share,
        now: Instant,
        start: Instant,
        counter: u64,
    }

    impl Scene {
        fn new(told: &[SocketAddr]) -> Self {
            let start = Instant::now();
            let mut prober = Prober::default();
            prober.begin(start, told.iter().copied(), None);
            let budget = Budget::new(&ClientLimits::default());
            Self {
                prober,
                share: budget.share(),
                budget,
                now: start,
                start,
                counter: 0,
            }
        }

        /// The pings that are due until then: when, whom, how large.
        fn run(&mut self, until_ms: u64) -> Vec<(u128, SocketAddr, usize)> {
            let end = self.start + Duration::from_millis(until_ms);
            let mut pings = Vec::new();
            while let Some(due) = self.prober.next_due().filter(|&due| due <= end) {
                self.now = self.now.max(due);
                while let Some((address, len)) =
                    self.prober
                        .poll(self.now, &mut self.budget, &mut self.share)
                {
                    self.counter += 1;
                    self.prober.sent(self.now, self.counter, address, len);
                    pings.push(((self.now - self.start).as_millis(), address, len));
                }
            }
            self.now = self.now.max(end);
            pings
        }

        fn pong(&mut self, counter: u64, source: SocketAddr) -> Option<Answer> {
            self.prober
                .answered(self.now, counter, source, &mut self.budget)
        }
    }

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 5000).into()
    }

    #[test]
    fn a_round_asks_less_and_less_often_and_ends() {
        let mut scene = Scene::new(&[address(1)]);
        let times: Vec<_> = scene.run(100_000).iter().map(|ping| ping.0).collect();
        assert_eq!(times, [0, 50, 150, 350, 750, 1550, 3050, 4550]);
    }

    #[test]
    fn an_address_is_ready_when_it_has_answered_a_large_ping() {
        let mut scene = Scene::new(&[address(1)]);
        scene.run(20);
        let answer = scene.pong(1, address(1)).unwrap();
        assert!(!answer.ready);
        // The first large ping is lost.
        let pings = scene.run(130);
        assert_eq!(pings, [(20, address(1), 1200), (120, address(1), 1200)]);
        let answer = scene.pong(3, address(1)).unwrap();
        assert!(answer.ready);
        assert_eq!(answer.rtt, Duration::from_millis(10));
        assert_eq!(scene.run(100_000), []);
    }

    #[test]
    fn a_pong_counts_once_and_only_from_where_the_ping_went() {
        let mut scene = Scene::new(&[address(1), address(2)]);
        scene.run(20);
        assert_eq!(scene.pong(1, address(2)), None);
        assert_eq!(scene.pong(9, address(1)), None);
        assert!(scene.pong(1, address(1)).is_some());
        assert_eq!(scene.pong(1, address(1)), None);
    }

    #[test]
    fn an_address_that_was_in_use_is_asked_until_there_is_a_path() {
        let mut scene = Scene::new(&[address(1)]);
        scene.run(10_000);
        scene.prober.disprove(scene.now, address(1));
        let times: Vec<_> = scene.run(20_000).iter().map(|ping| ping.0).collect();
        assert_eq!(times, [13_000, 16_000, 19_000]);
        scene.prober.settle();
        assert_eq!(scene.run(100_000), []);
    }

    #[test]
    fn an_end_that_is_heard_from_elsewhere_is_asked_there() {
        let mut scene = Scene::new(&[]);
        scene.prober.heard_from(scene.now, address(7));
        assert_eq!(scene.run(0), [(0, address(7), PROBE_LEN)]);
        for last in 8..100 {
            scene.prober.heard_from(scene.now, address(last));
        }
        assert_eq!(scene.run(0).len(), MAX_HEARD - 1);
    }

    #[test]
    fn a_round_costs_no_more_than_it_may() {
        let told: Vec<_> = (1..=100).map(address).collect();
        let mut scene = Scene::new(&told);
        for last in 101..120 {
            scene.prober.heard_from(scene.now, address(last));
        }
        let pings = scene.run(100_000);
        let bytes: usize = pings.iter().map(|ping| ping.2).sum();
        assert!((4900..=5000).contains(&bytes), "{bytes}");
        assert!(pings.iter().all(|ping| ping.2 == PROBE_LEN));
    }

    #[test]
    fn many_ports_of_one_host_are_one_target() {
        let told: Vec<SocketAddr> = (0..12)
            .map(|port| ([192, 0, 2, 1], 5000 + port).into())
            .collect();
        let mut scene = Scene::new(&told);
        // After these, one every two seconds.
        let pings = scene.run(50_000).len();
        assert!((32..=34).contains(&pings), "{pings}");
    }

    /// As a NAT shows it, which is an address that the other end cannot tell.
    #[test]
    fn an_address_where_the_other_end_was_lately_is_tried_in_the_next_round() {
        for (later, is_tried) in [
            (1, true),
            (599, true),
            (600, false),
            (601, false),
            (3600, false),
        ] {
            let mut scene = Scene::new(&[]);
            scene.prober.heard_from(scene.now, address(7));
            scene.run(20);
            assert!(scene.pong(1, address(7)).is_some());
            scene.run(40);
            assert!(scene.pong(2, address(7)).unwrap().ready);
            scene.prober.disprove(scene.now, address(7));
            scene.prober.rest();
            scene.run(40 + 1000 * later);
            scene.prober.begin(scene.now, std::iter::empty(), None);
            let tried = scene.run(50 + 1000 * later);
            let expected = [(u128::from(40 + 1000 * later), address(7), PROBE_LEN)];
            assert_eq!(tried == expected, is_tried, "{later}: {tried:?}");
            assert_eq!(tried.is_empty(), !is_tried);
        }
    }

    #[test]
    fn rounds_after_one_in_vain_are_short_until_something_answers() {
        let mut scene = Scene::new(&[address(1)]);
        let mut pings = vec![scene.run(10_000).len()];
        let mut again = |scene: &mut Scene, answers: bool| {
            let told = [address(1)].into_iter();
            scene.prober.begin(scene.now, told, None);
            let begin = (scene.now - scene.start).as_millis() as u64;
            let mut count = scene.run(begin).len();
            if answers {
                for _ in 0..2 {
                    scene.pong(scene.counter, address(1));
                    count += scene.run(begin).len();
                }
            }
            count += scene.run(begin + 10_000).len();
            pings.push(count);
        };
        again(&mut scene, false);
        again(&mut scene, false);
        // One small and one large ping, both of which are answered.
        again(&mut scene, true);
        again(&mut scene, false);
        again(&mut scene, false);
        // As it is when one of the ends is somewhere else.
        scene.prober.forgive();
        again(&mut scene, false);
        assert_eq!(pings, [8, 3, 3, 2, 8, 3, 8]);
    }

    #[test]
    fn a_ping_that_the_rate_does_not_allow_waits_and_costs_nothing() {
        let mut scene = Scene::new(&[address(1)]);
        let mut others = vec![scene.budget.share(); 100];
        for turn in 0..10_000 {
            scene.budget.ask(scene.now, &mut others[turn % 100]);
        }
        scene.share = others.swap_remove(0);
        assert_eq!(scene.run(0), []);
        assert_eq!(scene.prober.spent, 0);
        assert_eq!(scene.prober.next_due(), Some(scene.start + RATE_WAIT));
        // It is not one of those that the address has left unanswered either: as many may be as ever.
        let target = address(1).ip();
        let aimed = (0..100).filter(|_| scene.budget.aim(scene.now, target));
        assert_eq!(aimed.count(), 32);
    }

    #[test]
    fn the_pongs_of_only_so_many_pings_are_known() {
        let mut scene = Scene::new(&[address(1)]);
        for counter in 1..=MAX_OUTSTANDING as u64 + 1 {
            scene.prober.sent(scene.now, counter, address(1), PROBE_LEN);
        }
        assert_eq!(scene.pong(1, address(1)), None);
        assert!(scene.pong(2, address(1)).is_some());
    }

    /// Another one may have come in the way that stops large packets, and be gone later.
    #[test]
    fn an_address_that_was_in_use_gets_another_chance_when_large_pings_are_lost() {
        let mut scene = Scene::new(&[address(1)]);
        scene.run(10_000);
        scene.prober.disprove(scene.now, address(1));
        scene.run(13_000);
        let answer = scene.pong(scene.counter, address(1)).unwrap();
        assert!(!answer.ready);
        let pings = scene.run(19_500);
        let large = [0, 100, 300, 700, 1500, 3100].map(|at| (13_000 + at, address(1), LARGE_LEN));
        assert_eq!(pings[..6], large);
        assert_eq!(pings[6..], [(19_100, address(1), PROBE_LEN)]);
        // Where it is asked seldom for long, it is asked at once when there is reason to.
        let later = 700_000;
        scene.run(later);
        scene.prober.hasten(scene.now);
        assert_eq!(
            scene.run(later),
            [(u128::from(later), address(1), PROBE_LEN)]
        );
        assert_eq!(scene.prober.next_due(), Some(scene.now + SELDOM));
    }

    #[test]
    fn the_address_in_use_needs_no_search() {
        let mut scene = Scene::new(&[address(1)]);
        scene.run(20);
        scene.pong(1, address(1));
        scene.run(40);
        assert!(scene.pong(2, address(1)).unwrap().ready);
        let told = [address(1), address(2)].into_iter();
        scene.prober.begin(scene.now, told, Some(address(1)));
        let asked = scene.run(10_000);
        assert!(asked.iter().all(|ping| ping.1 == address(2)), "{asked:?}");
        // It is still known to be ready, if it is no longer in use.
        assert_eq!(asked.len(), 8);
        scene.prober.sent(scene.now, 100, address(1), PROBE_LEN);
        scene.now += Duration::from_millis(30);
        let answer = scene.pong(100, address(1)).unwrap();
        assert_eq!(
            (answer.rtt, answer.ready),
            (Duration::from_millis(30), false)
        );
    }
}
