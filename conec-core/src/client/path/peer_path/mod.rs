//! What one peer channel's packets travel on, as this end decides it. All transitions of [`Mode`] are here.

mod failures;
mod search;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use self::failures::Failures;
use super::{
    address::Surroundings,
    budget::{Budget, Share},
    health::{Health, Verdict},
    prober::{Answer, Prober},
    window::Window,
};
use crate::{
    EndpointStats, Path, PathConfig, Transmit,
    transport::Progress,
    wire::{Generation, PROBE_LEN, ProbeKeys, Route},
};

/// The paths of one peer channel, from its binding on.
#[derive(Debug)]
pub(super) struct PeerPath {
    /// The other end's, which probes bear.
    route: Route,
    /// Whether the Coordinator calls it a neighbour, for whom addresses of private networks are.
    neighbour: bool,
    keys: ProbeKeys,
    /// The number of the latest probe.
    counter: u64,
    /// Which of the other end's were seen.
    seen: Window,
    /// Whether nothing may go through the Coordinator.
    required: Option<Required>,
    /// How long after a fruitless search the next begins.
    retry_after: Duration,
    /// How long after the last packet on a direct path the next has to be sent.
    warm_after: Duration,
    /// Where the other end says that it may be reached.
    told: Vec<SocketAddr>,
    their_generation: Option<Generation>,
    /// What this end has said last, and when.
    announced: Vec<SocketAddr>,
    own_generation: Generation,
    announced_at: Option<Instant>,
    prober: Prober,
    /// Of the probes that this Client may send.
    share: Share,
    mode: Mode,
    /// Packets sent from here on are on the present paths; once one of them is acknowledged, the engine is to forget
    /// the former ones.
    reset_after: Option<Instant>,
    /// When something of the application's was last seen to move, and [`Progress::activity`] then.
    used: Option<(Instant, u64)>,
    failures: Failures,
    announce_due: Option<Instant>,
    round_due: Option<Instant>,
    retry_due: Option<Instant>,
    warm_due: Option<Instant>,
    actions: VecDeque<Action>,
}

/// ```text
/// Searching ─an address is ready─▶ Direct ─the path fails─▶ Searching
///     └─ unused ─▶ Dormant ◀─ unused ─┘
///                     └─ used ─▶ Searching
/// ```
/// From all of them, the channel's end leads to Over.
#[derive(Debug)]
enum Mode {
    /// Through the Coordinator, and looking for better. No direct path is taken before `held`.
    Searching { held: Option<Instant> },
    Direct {
        address: SocketAddr,
        health: Box<Health>,
        /// Whether the engine has been made to forget the path alone, since it is suspect.
        reset: bool,
    },
    /// Through the Coordinator, until there is something to carry again. Whether the engine has to forget another path
    /// then; earlier, it would begin to explore this one.
    Dormant { reset: bool },
    /// Only goodbyes are sent, on every path that was used.
    Over { last: Option<SocketAddr> },
}

/// Where a packet is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Coordinator,
    Direct(SocketAddr),
    Both(SocketAddr),
}

/// What the Client has to do for it.
#[derive(Debug)]
pub(super) enum Action {
    /// Tell the other end where this one may be reached.
    Announce(Generation, Vec<SocketAddr>),
    /// Make the engine forget what it knows of the former path. The round-trip time of this one, where known.
    Reset(Option<Duration>),
    /// See whether the NAT still shows this Client under the same address.
    PingHome,
    /// Make the engine send something.
    Ping,
    /// The same, at once.
    Nudge,
    Changed(Path, Option<Duration>),
    /// Have nothing sent, or something again.
    Mute(bool),
    /// End the channel: it has no path.
    GiveUp,
}

/// Nothing of the application's may go through the Coordinator.
#[derive(Debug)]
pub(in crate::client) struct Required {
    /// For how long the channel may be without a path, where this end has a say.
    patience: Option<Duration>,
    /// Since when it is, after it had one.
    lost: Option<Instant>,
}

impl Required {
    pub(in crate::client) fn new(patience: Option<Duration>) -> Self {
        Self {
            patience,
            lost: None,
        }
    }
}

/// What surrounds the paths of a channel.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) progress: Progress,
    pub(super) config: &'a PathConfig,
    pub(super) surroundings: &'a Surroundings,
    pub(super) budget: &'a mut Budget,
    pub(super) out: &'a mut VecDeque<Transmit>,
    pub(super) stats: &'a mut EndpointStats,
}

// What happens to it.
impl PeerPath {
    /// [`start`](Self::start) is to follow.
    pub(super) fn new(
        (route, neighbour): (Route, bool),
        keys: ProbeKeys,
        initiator: bool,
        required: Option<Required>,
        share: Share,
    ) -> Self {
        Self {
            route,
            neighbour,
            keys,
            counter: 0,
            seen: Window::default(),
            required,
            retry_after: if initiator { RETRY } else { RETRY_ACCEPTOR },
            warm_after: if initiator { WARM } else { WARM_ACCEPTOR },
            told: Vec::new(),
            their_generation: None,
            announced: Vec::new(),
            own_generation: 0,
            announced_at: None,
            prober: Prober::default(),
            share,
            mode: Mode::Searching { held: None },
            reset_after: None,
            used: None,
            failures: Failures::default(),
            announce_due: None,
            round_due: None,
            retry_due: None,
            warm_due: None,
            actions: VecDeque::new(),
        }
    }

    /// The channel is bound.
    pub(super) fn start(&mut self, context: &mut Context<'_>) {
        self.used = Some((context.now, context.progress.activity));
        self.search(context);
    }

    /// Packets of the channel were sent on the [way](Self::way).
    pub(super) fn sent(&mut self, context: &mut Context<'_>, packets: u32) {
        match &mut self.mode {
            Mode::Direct { health, .. } => {
                health.sent(context.now, packets, &context.progress);
                self.observe(context);
                self.review(context);
            }
            Mode::Searching { .. } | Mode::Dormant { .. } => self.heard(context),
            Mode::Over { .. } => {}
        }
    }

    /// Something has come from the other end, directly or through the Coordinator. Whether that is worth telling.
    pub(super) fn is_news(&mut self, now: Instant, directly: bool) -> bool {
        if let Mode::Direct { health, .. } = &mut self.mode {
            health.heard(now, directly);
        }
        self.is_curious()
    }

    /// Whether an acknowledgement may be news.
    pub(super) fn is_owed(&self) -> bool {
        matches!(&self.mode, Mode::Direct { health, .. } if health.is_owed())
    }

    /// Takes note of what was acknowledged, where nothing else comes of it.
    pub(super) fn follow(&mut self, progress: &Progress) {
        if let Mode::Direct { health, .. } = &mut self.mode {
            health.follow(progress);
        }
    }

    /// Something has come from the other end that [is news](Self::is_news).
    pub(super) fn heard(&mut self, context: &mut Context<'_>) {
        if self
            .reset_after
            .is_some_and(|after| context.progress.acked >= Some(after))
        {
            self.reset(None);
        }
        match &self.mode {
            Mode::Direct { .. } => self.review(context),
            Mode::Dormant { .. } if self.has_moved(context) => self.wake(context),
            Mode::Searching { .. } | Mode::Dormant { .. } | Mode::Over { .. } => {}
        }
    }

    /// There was a silence, of the other end or of everybody, and it is over: other ways may be open again too.
    pub(super) fn hear_again(&mut self, context: &mut Context<'_>) {
        if let Mode::Searching { .. } = self.mode {
            self.prober.hasten(context.now);
            self.pump(context);
        }
    }

    /// The engine's timers go off, and nothing comes from the other end.
    pub(super) fn silence(&mut self, context: &mut Context<'_>) {
        if let Mode::Direct { health, .. } = &mut self.mode {
            let verdict = health.silence(context.now, &context.progress);
            self.judge(context, verdict);
            self.review(context);
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if due(&mut self.announce_due) {
            self.search(context);
        }
        if due(&mut self.round_due) {
            self.begin_round(context);
        }
        if due(&mut self.retry_due) {
            if self.is_used(context) {
                self.search(context);
            } else {
                self.rest(context);
            }
        }
        if due(&mut self.warm_due) {
            self.keep_warm(context);
        }
        if let Some(Required {
            patience: Some(patience),
            lost: Some(lost),
        }) = self.required
            && now >= lost + patience
        {
            self.actions.push_back(Action::GiveUp);
        }
        self.review(context);
        self.pump(context);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let (review, warm) = match &self.mode {
            Mode::Direct { health, .. } => {
                // What is sent keeps the path warm.
                let earliest = health.last_sent() + self.warm_after;
                let warm = self.warm_due.map(|due| due.max(earliest));
                (health.next_review(now), warm)
            }
            Mode::Searching { .. } | Mode::Dormant { .. } => (None, self.warm_due),
            Mode::Over { .. } => return None,
        };
        let give_up = self.required.as_ref().and_then(|required| {
            let (patience, lost) = (required.patience?, required.lost?);
            Some(lost + patience)
        });
        let times = [
            review,
            give_up,
            self.prober.next_due(),
            self.announce_due,
            self.round_due,
            self.retry_due,
            warm,
        ];
        times.into_iter().flatten().min()
    }

    /// The channel is over.
    pub(super) fn end(&mut self) {
        let last = match self.mode {
            Mode::Direct { address, .. } => Some(address),
            Mode::Over { last } => last,
            Mode::Searching { .. } | Mode::Dormant { .. } => None,
        };
        self.mode = Mode::Over { last };
        self.actions.clear();
    }
}

// What is to be known of it.
impl PeerPath {
    pub(super) fn way(&self) -> Way {
        match &self.mode {
            Mode::Searching { .. } | Mode::Dormant { .. } => Way::Coordinator,
            Mode::Direct {
                address, health, ..
            } => match health.is_suspect() && self.required.is_none() {
                true => Way::Both(*address),
                false => Way::Direct(*address),
            },
            Mode::Over { last } => last.map_or(Way::Coordinator, Way::Both),
        }
    }

    /// Whether it wants to know when something is heard.
    pub(super) fn is_curious(&self) -> bool {
        self.reset_after.is_some()
            || match &self.mode {
                Mode::Direct { health, .. } => health.is_curious(),
                Mode::Dormant { .. } => true,
                Mode::Searching { .. } | Mode::Over { .. } => false,
            }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.mode, Mode::Over { .. })
    }

    pub(super) fn pop_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

// How it is done.
impl PeerPath {
    fn answered(&mut self, context: &mut Context<'_>, answer: Answer) {
        let now = context.now;
        let Answer { address, rtt, .. } = answer;
        match &mut self.mode {
            Mode::Direct {
                address: in_use,
                health,
                ..
            } if *in_use == address => {
                let verdict = health.pong(now, answer.sent, rtt);
                self.judge(context, verdict);
                self.review(context);
            }
            Mode::Direct {
                address: in_use,
                health,
                ..
            } => {
                let better = score(address, rtt) + HYSTERESIS < score(*in_use, health.rtt());
                if answer.ready && (better || health.is_suspect()) {
                    self.promote(context, answer);
                }
            }
            Mode::Searching { held } => {
                if answer.ready && held.is_none_or(|until| until <= now) {
                    self.promote(context, answer);
                }
            }
            Mode::Dormant { .. } | Mode::Over { .. } => {}
        }
    }

    /// From now on packets are sent there.
    fn promote(&mut self, context: &Context<'_>, answer: Answer) {
        self.prober.settle();
        let Answer { address, rtt, .. } = answer;
        tracing::debug!(%address, ?rtt, "direct path");
        let health = Box::new(Health::new(
            context.now,
            answer.sent,
            rtt,
            &context.progress,
        ));
        self.mode = Mode::Direct {
            address,
            health,
            reset: false,
        };
        if let Some(required) = &mut self.required {
            required.lost = None;
            self.actions.push_back(Action::Mute(false));
        }
        self.retry_due = None;
        self.warm_due = Some(context.now + self.warm_after);
        self.observe(context);
        self.reset(Some(rtt));
        self.actions
            .push_back(Action::Changed(Path::Direct(address), Some(rtt)));
    }

    /// Weighs the evidence until there is nothing to do about it.
    fn review(&mut self, context: &mut Context<'_>) {
        loop {
            let Mode::Direct { health, reset, .. } = &mut self.mode else {
                return;
            };
            let verdict = health.review(context.now, &context.progress);
            // What was sent before is lost or acknowledged by now, so nothing is in the engine's way.
            if !*reset && health.has_progress(&context.progress) {
                *reset = true;
                self.actions.push_back(Action::Reset(None));
            }
            if verdict == Verdict::Fine {
                return;
            }
            self.judge(context, verdict);
        }
    }

    fn judge(&mut self, context: &mut Context<'_>, verdict: Verdict) {
        let Mode::Direct {
            address,
            health,
            reset,
        } = &mut self.mode
        else {
            return;
        };
        let address = *address;
        match verdict {
            Verdict::Fine => {}
            Verdict::Ask => {
                let allowed = context.budget.ask(context.now, &mut self.share);
                health.pinged(context.now, allowed);
                if allowed {
                    self.ping(context, address, PROBE_LEN);
                }
            }
            Verdict::Suspect => {
                tracing::debug!(%address, "direct path is suspect");
                *reset = false;
                if health.is_owed() {
                    self.actions.push_back(Action::Nudge);
                }
                self.actions.push_back(Action::PingHome);
            }
            Verdict::Search => self.search(context),
            Verdict::Recovered => {
                tracing::debug!(%address, "direct path has recovered");
                if std::mem::take(reset) {
                    self.reset(None);
                }
            }
            Verdict::Dead | Verdict::Useless => {
                let useless = verdict == Verdict::Useless;
                tracing::debug!(%address, useless, "direct path has failed");
                let (reset, owed) = (*reset, health.is_owed());
                self.demote(context, useless);
                // The engine's window is full of what was lost. Until an acknowledgement clears it, forgetting the
                // path would only make it wait longer.
                if owed && !reset {
                    self.reset_after = Some(context.now);
                } else if !reset {
                    self.reset(None);
                }
            }
        }
    }

    /// The direct path has failed.
    fn demote(&mut self, context: &mut Context<'_>, useless: bool) {
        let now = context.now;
        if let Mode::Direct { address, .. } = self.mode {
            self.prober.disprove(now, address);
        }
        let hold = self.failures.hold(now, useless);
        self.leave_direct(Mode::Searching {
            held: Some(now + hold),
        });
        if let Some(required) = &mut self.required {
            required.lost = Some(now);
            self.actions.push_back(Action::Mute(true));
        }
        self.actions.push_back(Action::PingHome);
        if hold.is_zero() {
            self.search(context);
        } else {
            self.retry_due = Some(now + hold);
        }
    }

    /// One of the ends is somewhere else: what has failed before says nothing of that.
    fn forgive(&mut self) {
        self.failures = Failures::default();
        self.prober.forgive();
        if let Mode::Searching { held } = &mut self.mode {
            *held = None;
        }
    }

    fn leave_direct(&mut self, mode: Mode) {
        self.mode = mode;
        self.warm_due = None;
        self.actions.push_back(Action::Changed(Path::Proxied, None));
    }

    /// Nothing has been sent for a while.
    fn keep_warm(&mut self, context: &Context<'_>) {
        let Mode::Direct { health, .. } = &self.mode else {
            return;
        };
        let idle_since = health.last_sent();
        if context.now < idle_since + self.warm_after {
            self.warm_due = Some(idle_since + self.warm_after);
        } else if self.is_used(context) {
            self.actions.push_back(Action::Ping);
            self.warm_due = Some(context.now + self.warm_after);
        } else {
            self.rest(context);
        }
    }

    /// Nobody uses the channel: the search and the path are given up until somebody does.
    fn rest(&mut self, context: &Context<'_>) {
        tracing::debug!("no direct path is kept for an idle channel");
        match self.mode {
            Mode::Direct { .. } => self.leave_direct(Mode::Dormant { reset: true }),
            Mode::Searching { .. } => self.mode = Mode::Dormant { reset: false },
            Mode::Dormant { .. } | Mode::Over { .. } => {}
        }
        self.used = Some((context.now, context.progress.activity));
        self.prober.rest();
        self.retry_due = None;
        self.round_due = None;
        self.announce_due = None;
    }

    /// Somebody uses the channel again.
    fn wake(&mut self, context: &mut Context<'_>) {
        self.used = Some((context.now, context.progress.activity));
        if let Mode::Dormant { reset: true } = self.mode {
            self.reset(None);
        }
        self.mode = Mode::Searching { held: None };
        self.search(context);
    }

    fn reset(&mut self, rtt: Option<Duration>) {
        self.reset_after = None;
        self.actions.push_back(Action::Reset(rtt));
    }

    /// Whether the channel has carried something of late, or must be ready to.
    fn is_used(&mut self, context: &Context<'_>) -> bool {
        self.observe(context);
        self.required.is_some()
            || context
                .config
                .keep_warm
                .is_none_or(|time| self.used.is_some_and(|(at, _)| context.now < at + time))
    }

    fn observe(&mut self, context: &Context<'_>) {
        if self.has_moved(context) {
            self.used = Some((context.now, context.progress.activity));
        }
    }

    fn has_moved(&self, context: &Context<'_>) -> bool {
        self.used
            .is_none_or(|(_, activity)| activity != context.progress.activity)
    }
}

/// What is compared between direct paths. IPv6 has no NATs to forget anything.
fn score(address: SocketAddr, rtt: Duration) -> Duration {
    match address {
        SocketAddr::V4(_) => rtt + IPV6_BIAS,
        SocketAddr::V6(_) => rtt,
    }
}

const RETRY: Duration = Duration::from_secs(15);
/// The acceptor leaves it to the initiator, if that one does it.
const RETRY_ACCEPTOR: Duration = Duration::from_secs(22);
/// NATs forget within 30 seconds, at worst.
const WARM: Duration = Duration::from_secs(15);
/// The acceptor's answers keep its own NAT's memory fresh.
const WARM_ACCEPTOR: Duration = Duration::from_secs(17);
const IPV6_BIAS: Duration = Duration::from_millis(3);
const HYSTERESIS: Duration = Duration::from_millis(5);
