//! Whether the direct path that a channel's packets are sent on delivers them.
//!
//! Only what shows that *our* packets arrive counts: pongs from there, and acknowledgements of what was sent there and
//! nowhere else, whatever path they come back on. What is merely received from the other end says nothing of it.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::transport::Progress;

/// The evidence, from when the path is first used until it is not any more.
#[derive(Debug)]
pub(super) struct Health {
    /// Since when packets are sent there.
    since: Instant,
    /// Whatever was sent up to here has had every chance to arrive: something sent here did.
    proven: Instant,
    /// The same, by pongs alone.
    consent: Instant,
    /// Packets sent since then, idle times aside, and whether they are so many that a pong is wanted.
    unconsented: u32,
    consent_wanted: bool,
    /// Since when something waits for its acknowledgement.
    owed: Option<Instant>,
    /// When the latest of the packets that were acknowledged was sent.
    acked: Option<Instant>,
    last_sent: Option<Instant>,
    last_asked: Option<Instant>,
    /// [`Progress::asked`] at that time.
    asked: u64,
    /// Proof is wanted.
    doubt: bool,
    pings: Option<Pings>,
    suspicion: Option<Suspicion>,
    /// When the other end was last heard on a direct path, while it sends on one.
    heard: Option<Instant>,
    /// It sends through the Coordinator now: it may know more than this end does.
    turned: bool,
    /// How often the path seemed to be dead but for its pongs, since an acknowledgement has last shown that it carries
    /// more than probes.
    strikes: u32,
    /// By pongs, and by the engine's own measure, which knows of queues.
    rtt: Duration,
    loaded_rtt: Duration,
}

/// Pings without a pong.
#[derive(Debug, Clone, Copy)]
struct Pings {
    first: Instant,
    last: Instant,
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Suspicion {
    since: Instant,
    cause: Cause,
    /// It has lasted for a while.
    persists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Pings go unanswered.
    Unanswered,
    /// Nothing comes from the other end.
    Silence,
    /// Pings are answered, and yet nothing is acknowledged.
    Stall,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Send a ping.
    Ask,
    /// Use the other path too.
    Suspect,
    /// Look for others, while it is suspect.
    Search,
    /// This path alone will do again.
    Recovered,
    /// Use it no more.
    Dead,
    /// Use it no more: it carries probes, but not QUIC's packets.
    Useless,
}

impl Health {
    /// A ping that was sent at `proven` was answered; from now on the path is used.
    pub(super) fn new(now: Instant, proven: Instant, rtt: Duration, progress: &Progress) -> Self {
        Self {
            since: now,
            proven,
            consent: proven,
            unconsented: 0,
            consent_wanted: false,
            owed: None,
            acked: None,
            last_sent: None,
            last_asked: None,
            asked: progress.asked,
            doubt: false,
            pings: None,
            suspicion: None,
            heard: None,
            turned: false,
            // Nothing has shown it yet.
            strikes: 1,
            rtt,
            loaded_rtt: rtt,
        }
    }

    pub(super) fn rtt(&self) -> Duration {
        self.rtt
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspicion.is_some()
    }

    /// Whether anything is known to have arrived that was sent after the path became suspect: on whichever path.
    pub(super) fn has_progress(&self, progress: &Progress) -> bool {
        self.suspicion
            .is_some_and(|suspicion| progress.acked >= Some(suspicion.since))
    }

    /// Whether something waits for its acknowledgement.
    pub(super) fn is_owed(&self) -> bool {
        self.owed.is_some()
    }

    /// Takes note of what was acknowledged. Of a suspect path that is evidence, for the next [review](Self::review).
    pub(super) fn follow(&mut self, progress: &Progress) {
        if self.suspicion.is_none() {
            self.take_acknowledgements(progress);
        }
    }

    /// When a packet was sent there last.
    pub(super) fn last_sent(&self) -> Instant {
        self.last_sent.unwrap_or(self.since)
    }

    /// Packets were sent there.
    pub(super) fn sent(&mut self, now: Instant, packets: u32, progress: &Progress) {
        self.take_acknowledgements(progress);
        let pause = self
            .last_sent
            .map_or(Duration::MAX, |last| now.saturating_duration_since(last));
        self.last_sent = Some(now);
        if pause < IDLE {
            self.unconsented = self.unconsented.saturating_add(packets);
            self.consent_wanted |= self.unconsented >= CONSENT_PACKETS
                && now.saturating_duration_since(self.consent) >= CONSENT_AGE;
        }
        if progress.asked > self.asked {
            self.asked = progress.asked;
            self.last_asked = Some(now);
            self.owed.get_or_insert(now);
        }
        // Acknowledgements are not acknowledged: who sends nothing else, and goes on sending it, has to ask. A single
        // answer to a keep-alive is not worth it.
        if pause < ASK && now.saturating_duration_since(self.proven) >= ASK.max(2 * self.loaded_rtt)
        {
            self.doubt = true;
        }
    }

    /// A pong to a ping of that time has come from there.
    pub(super) fn pong(&mut self, now: Instant, sent: Instant, rtt: Duration) -> Verdict {
        self.proven = self.proven.max(sent);
        self.consent = self.consent.max(sent);
        self.unconsented = 0;
        self.consent_wanted = false;
        self.doubt = false;
        self.pings = None;
        self.rtt = (7 * self.rtt + rtt) / 8;
        match self.suspicion {
            Some(Suspicion { cause, .. }) if cause != Cause::Stall => {
                self.strikes += u32::from(cause == Cause::Silence);
                self.recover(now)
            }
            Some(_) | None => Verdict::Fine,
        }
    }

    /// A ping was sent there, or was due and not allowed.
    pub(super) fn pinged(&mut self, now: Instant, sent: bool) {
        let pings = self.pings.get_or_insert(Pings {
            first: now,
            last: now,
            count: 0,
        });
        pings.last = now;
        pings.count += u32::from(sent);
    }

    /// The engine's timers go off, and nothing comes from the other end.
    pub(super) fn silence(&mut self, now: Instant, progress: &Progress) -> Verdict {
        self.take_acknowledgements(progress);
        // What was sent before may have taken another path.
        let concerned = self.owed.is_some_and(|since| since + self.loaded_rtt < now);
        match self.suspicion {
            None if concerned && self.strikes >= STRIKES => Verdict::Useless,
            None if concerned => self.suspect(now, Cause::Silence),
            None | Some(_) => Verdict::Fine,
        }
    }

    /// Something has come from the other end, directly or through the Coordinator.
    pub(super) fn heard(&mut self, now: Instant, directly: bool) {
        if directly {
            self.heard = Some(now);
        } else if self
            .heard
            .is_some_and(|last| now >= last + TURNED.max(self.rtt))
            && self.last_sent.is_some_and(|last| now < last + IDLE)
        {
            self.heard = None;
            self.turned = true;
        }
    }

    /// Whether it is worth a look when something is heard.
    pub(super) fn is_curious(&self) -> bool {
        self.turned || self.suspicion.is_some()
    }

    /// Looks at the evidence. To be called again until nothing is to be done.
    pub(super) fn review(&mut self, now: Instant, progress: &Progress) -> Verdict {
        let acknowledged = self.take_acknowledgements(progress);
        let turned = std::mem::take(&mut self.turned);
        if let Some(suspicion) = self.suspicion {
            if acknowledged {
                return self.recover(now);
            }
            if now >= suspicion.since + PERSISTS && !suspicion.persists {
                self.suspicion = Some(Suspicion {
                    persists: true,
                    ..suspicion
                });
                return Verdict::Search;
            }
            if now >= suspicion.since + GIVE_UP {
                return match suspicion.cause {
                    Cause::Stall => Verdict::Useless,
                    Cause::Unanswered | Cause::Silence => Verdict::Dead,
                };
            }
        } else if turned {
            return self.suspect(now, Cause::Silence);
        } else if self.owed.is_some_and(|since| now >= since + self.stall()) {
            if self.strikes >= STRIKES {
                return Verdict::Useless;
            }
            return self.suspect(now, Cause::Stall);
        } else if self.owed.is_some_and(|since| now >= since + self.overdue())
            && now >= self.proven + self.overdue()
        {
            self.doubt = true;
        }
        if let Some(pings) = self.pings {
            if now >= pings.first + CONSENT_PATIENCE {
                return Verdict::Dead;
            }
            let patience = UNANSWERED.max(3 * self.loaded_rtt);
            let unproven = now.saturating_duration_since(self.proven) >= patience;
            if self.suspicion.is_none()
                && self.doubt
                && unproven
                && pings.count >= UNANSWERED_PINGS
                && now >= pings.first + patience
            {
                return self.suspect(now, Cause::Unanswered);
            }
        }
        if self.next_ping(now).is_some_and(|at| at <= now) {
            Verdict::Ask
        } else {
            Verdict::Fine
        }
    }

    /// When to look at the evidence again.
    pub(super) fn next_review(&self, now: Instant) -> Option<Instant> {
        let owed = self.owed.map(|since| {
            if self.doubt {
                since + self.stall()
            } else {
                since.max(self.proven) + self.overdue()
            }
        });
        let times = match self.suspicion {
            Some(suspicion) => {
                let wait = if suspicion.persists {
                    GIVE_UP
                } else {
                    PERSISTS
                };
                [Some(suspicion.since + wait), self.next_ping(now), None]
            }
            None => [
                owed,
                self.next_ping(now),
                self.pings.map(|pings| pings.first + CONSENT_PATIENCE),
            ],
        };
        times.into_iter().flatten().min()
    }

    fn next_ping(&self, now: Instant) -> Option<Instant> {
        let urgent = self.doubt || self.suspicion.is_some();
        let every = match (urgent, self.consent_wanted) {
            (true, _) => PING_EVERY,
            (false, true) => CONSENT_EVERY,
            (false, false) => return None,
        };
        Some(self.pings.map_or(now, |pings| pings.last + every))
    }

    /// Takes what is acknowledged as proof, if it was sent on this path alone. Whether there is news.
    fn take_acknowledgements(&mut self, progress: &Progress) -> bool {
        self.loaded_rtt = self.rtt.max(progress.rtt);
        let Some(acked) = progress.acked.filter(|&acked| acked >= self.since) else {
            return false;
        };
        let ambiguous = self
            .suspicion
            .is_some_and(|suspicion| acked >= suspicion.since);
        if ambiguous || self.acked.is_some_and(|latest| latest >= acked) {
            return false;
        }
        self.acked = Some(acked);
        self.proven = self.proven.max(acked);
        self.strikes = 0;
        if self.doubt && acked + ASK >= self.last_sent() {
            self.doubt = false;
            self.pings = None;
        }
        if self.owed.is_some_and(|owed| acked >= owed) {
            let more = self.last_asked.is_some_and(|last| last > acked);
            self.owed = more.then_some(acked);
        }
        true
    }

    fn suspect(&mut self, now: Instant, cause: Cause) -> Verdict {
        self.suspicion = Some(Suspicion {
            since: now,
            cause,
            persists: false,
        });
        Verdict::Suspect
    }

    fn recover(&mut self, now: Instant) -> Verdict {
        self.suspicion = None;
        self.doubt = false;
        self.owed = None;
        // What was acknowledged meanwhile may have taken the other path.
        self.since = now;
        Verdict::Recovered
    }

    /// How late an acknowledgement has to be for a ping to ask.
    fn overdue(&self) -> Duration {
        OVERDUE.max(2 * self.loaded_rtt)
    }

    fn stall(&self) -> Duration {
        STALL.max(6 * self.loaded_rtt)
    }
}

/// How long it goes unproven, at least, that what is sent arrives, before a ping asks.
const ASK: Duration = Duration::from_millis(500);
/// The same, where an acknowledgement is due.
const OVERDUE: Duration = Duration::from_millis(250);
/// How long nothing came directly, at least, when what comes through the Coordinator counts as a turn.
const TURNED: Duration = Duration::from_millis(200);
/// How often a ping asks for proof.
const PING_EVERY: Duration = Duration::from_millis(150);
/// For how long, at least, pings go unanswered before the path is suspect.
const UNANSWERED: Duration = Duration::from_millis(300);
/// How many pings, at least.
const UNANSWERED_PINGS: u32 = 3;
/// How long nothing is acknowledged, at least, before the path is suspect though pings are answered.
const STALL: Duration = Duration::from_millis(1200);
/// How often the path may seem to be dead but for its pongs before it is taken for useless.
const STRIKES: u32 = 3;
/// How long a path is suspect when others are looked for.
const PERSISTS: Duration = Duration::from_secs(1);
/// For how long a suspect path is used besides the other.
const GIVE_UP: Duration = Duration::from_secs(3);
/// How old the latest pong gets before another is asked for, whatever else shows that packets arrive: an end could
/// acknowledge what never reached it.
const CONSENT_AGE: Duration = Duration::from_secs(5);
/// How many packets have to have been sent since.
const CONSENT_PACKETS: u32 = 16;
/// What is sent after a pause of this length keeps a path warm, and does not ask for an answer to that.
const IDLE: Duration = Duration::from_secs(5);
const CONSENT_EVERY: Duration = Duration::from_millis(500);
/// For how long it is asked.
const CONSENT_PATIENCE: Duration = Duration::from_secs(8);
