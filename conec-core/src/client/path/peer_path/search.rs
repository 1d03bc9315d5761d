//! What is said to the other end in search of a path: where this one is, and probes. Nothing here changes the mode.

use std::{net::SocketAddr, time::Duration};

use super::{Action, Context, Mode, PeerPath};
use crate::{
    Transmit, Violation,
    client::path::address::canonical,
    wire::{Generation, MAX_CANDIDATES, Opened, PROBE_LEN, Probe},
};

// What happens to it.
impl PeerPath {
    /// The other end says where it may be reached.
    pub(in crate::client::path) fn peer_candidates(
        &mut self,
        context: &mut Context<'_>,
        generation: Generation,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), Violation> {
        match self.their_generation {
            Some(latest) if generation < latest => return Err(Violation::Unexpected),
            Some(latest) if generation == latest => {
                for address in addresses.into_iter().map(canonical) {
                    if self.told.len() < MAX_CANDIDATES && !self.told.contains(&address) {
                        self.told.push(address);
                    }
                }
                self.join_told(context);
            }
            Some(_) | None => {
                let former = std::mem::take(&mut self.told);
                self.told = addresses.into_iter().map(canonical).collect();
                if self.told.iter().any(|it| !former.contains(it)) {
                    self.forgive();
                }
                self.their_generation = Some(generation);
                self.begin_round(context);
            }
        }
        self.pump(context);
        Ok(())
    }

    /// The Coordinator says whether the other end is a neighbour.
    pub(in crate::client::path) fn set_neighbour(
        &mut self,
        context: &mut Context<'_>,
        neighbour: bool,
    ) {
        self.neighbour = neighbour;
        match self.mode {
            Mode::Searching { .. } | Mode::Direct { .. } => {
                // What was kept from it can be told now, and what it has told be tried.
                let candidates = self.candidates(context);
                let is_news = candidates.iter().any(|it| !self.announced.contains(it));
                if is_news && self.announce_due.is_none() {
                    self.announce(context);
                }
                self.join_told(context);
                self.pump(context);
            }
            // There will be a search when there is something to carry.
            Mode::Dormant { .. } | Mode::Over { .. } => {}
        }
    }

    /// This Client has other addresses than before.
    pub(in crate::client::path) fn surroundings_changed(&mut self, context: &Context<'_>) {
        let candidates = self.candidates(context);
        let changed = candidates.len() != self.announced.len()
            || candidates.iter().any(|it| !self.announced.contains(it));
        if changed {
            self.forgive();
            self.prober.hasten(context.now);
        }
        match self.mode {
            Mode::Searching { .. } | Mode::Direct { .. } if changed => {
                let earliest = self.announced_at.map(|at| at + ROUND_EVERY);
                self.announce_due = earliest.max(Some(context.now));
            }
            // When they search again, they say so in any case.
            Mode::Searching { .. }
            | Mode::Direct { .. }
            | Mode::Dormant { .. }
            | Mode::Over { .. } => {}
        }
    }

    /// A datagram with this end's route has come that claims to be a probe.
    pub(in crate::client::path) fn handle_probe(
        &mut self,
        context: &mut Context<'_>,
        source: SocketAddr,
        packet: &mut [u8],
    ) {
        let Some(Opened { counter, probe }) = self.keys.open(packet) else {
            context.stats.probes_rejected += 1;
            return;
        };
        let source = canonical(source);
        let welcome = !matches!(self.mode, Mode::Over { .. })
            && context.surroundings.may_answer(context.config, source);
        if !self.seen.is_new(counter) || !welcome {
            context.stats.probes_rejected += 1;
            return;
        }
        tracing::trace!(%source, ?probe, "probe received");
        match probe {
            Probe::Ping => {
                if context.budget.answer(context.now, &mut self.share) {
                    let observed = source;
                    let echo = counter;
                    self.send(context, source, Probe::Pong { echo, observed }, PROBE_LEN);
                }
                if self.may_probe(context, source) {
                    self.prober.heard_from(context.now, source);
                }
                if matches!(self.mode, Mode::Dormant { .. }) {
                    self.wake(context);
                }
            }
            Probe::Pong { echo, observed: _ } => {
                let answer = self
                    .prober
                    .answered(context.now, echo, source, context.budget);
                if let Some(answer) = answer {
                    self.answered(context, answer);
                }
            }
        }
        self.pump(context);
    }
}

// How it is done.
impl PeerPath {
    /// Asks the other end to look for a path, and does so too.
    pub(super) fn search(&mut self, context: &mut Context<'_>) {
        self.own_generation += 1;
        self.announce(context);
        if !self.told.is_empty() {
            self.begin_round(context);
        }
        self.retry_due = Some(context.now + self.retry_after);
        self.pump(context);
    }

    pub(super) fn announce(&mut self, context: &Context<'_>) {
        self.announced = self.candidates(context);
        self.announced_at = Some(context.now);
        self.announce_due = None;
        self.actions.push_back(Action::Announce(
            self.own_generation,
            self.announced.clone(),
        ));
    }

    /// What there is to tell the other end.
    fn candidates(&self, context: &Context<'_>) -> Vec<SocketAddr> {
        context
            .surroundings
            .candidates(context.config, self.neighbour)
    }

    fn may_probe(&self, context: &Context<'_>, address: SocketAddr) -> bool {
        context
            .surroundings
            .may_probe(context.config, self.neighbour, address)
    }

    /// Tries what the other end has told besides, in the round that is under way.
    fn join_told(&mut self, context: &Context<'_>) {
        if self.round_due.is_some() {
            return;
        }
        for &address in &self.told {
            if self.may_probe(context, address) {
                self.prober.join(context.now, address);
            }
        }
    }

    pub(super) fn begin_round(&mut self, context: &Context<'_>) {
        // Some NATs give what goes out another port where something unasked for came from. So the first pings of both
        // ends should leave at the same time: this end's when the other hears of the search.
        let heard = self.announced_at.map(|at| at + context.progress.rtt / 2);
        let earliest = self.prober.began().map(|at| at + ROUND_EVERY).max(heard);
        if earliest > Some(context.now) {
            self.round_due = earliest;
            return;
        }
        self.round_due = None;
        let in_use = match self.mode {
            Mode::Direct { address, .. } => Some(address),
            Mode::Searching { .. } | Mode::Dormant { .. } | Mode::Over { .. } => None,
        };
        tracing::debug!(told = ?self.told, "looking for a direct path");
        let told: Vec<_> = self
            .told
            .iter()
            .copied()
            .filter(|&it| self.may_probe(context, it))
            .collect();
        self.prober.begin(context.now, told.into_iter(), in_use);
        self.retry_due = Some(context.now + self.retry_after);
    }

    /// Sends the pings that are due.
    pub(super) fn pump(&mut self, context: &mut Context<'_>) {
        while let Some((address, len)) =
            self.prober
                .poll(context.now, context.budget, &mut self.share)
        {
            self.ping(context, address, len);
        }
    }

    pub(super) fn ping(&mut self, context: &mut Context<'_>, address: SocketAddr, len: usize) {
        self.send(context, address, Probe::Ping, len);
        self.prober.sent(context.now, self.counter, address, len);
    }

    pub(super) fn send(
        &mut self,
        context: &mut Context<'_>,
        to: SocketAddr,
        probe: Probe,
        len: usize,
    ) {
        self.counter += 1;
        if context.out.len() < MAX_WAITING {
            tracing::trace!(%to, ?probe, len, "probe sent");
            context.stats.probes_sent += 1;
            context.out.push_back(Transmit {
                destination: to,
                source_ip: None,
                ecn: None,
                segment_size: None,
                payload: self.keys.seal(self.route, self.counter, probe, len),
            });
        }
    }
}

/// Searches begin no sooner after each other.
const ROUND_EVERY: Duration = Duration::from_secs(5);
/// Probes that wait to be sent.
const MAX_WAITING: usize = 512;
