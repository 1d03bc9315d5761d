//! The channels that this Client asks its Coordinator for, for itself and for others: no faster than it may. Others wait for
//! their turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::{ChannelId, IntroductionId, util::Bucket, wire::RequestId};

#[derive(Debug)]
pub(in crate::client) struct Asks {
    next: RequestId,
    pace: Bucket,
    /// What is to be claimed.
    claims: BTreeSet<ChannelId>,
    /// What has not been asked, in order.
    waiting: BTreeMap<u64, Ask>,
    /// What was asked and not answered, and for what unless that is over.
    unanswered: BTreeMap<RequestId, Option<Ask>>,
    /// When the first of those that wait may be asked, if it is only the pace that holds it up.
    due: Option<Instant>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Ask {
    Channel(ChannelId),
    Introduction(IntroductionId),
}

impl Ask {
    /// By which they are in order: all have their numbers from one sequence.
    fn number(self) -> u64 {
        match self {
            Self::Channel(id) => id.0,
            Self::Introduction(id) => id.0,
        }
    }
}

impl Asks {
    pub(in crate::client) fn new() -> Self {
        Self {
            next: 0,
            pace: Bucket::per_second(A_SECOND, AT_ONCE),
            claims: BTreeSet::new(),
            waiting: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            due: None,
        }
    }

    /// Whether as many wait as may.
    pub(in crate::client) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    pub(in crate::client) fn add(&mut self, ask: Ask) {
        self.waiting.insert(ask.number(), ask);
    }

    pub(super) fn add_claim(&mut self, channel: ChannelId) {
        self.claims.insert(channel);
    }

    /// The next channel to claim, if one may be claimed now.
    pub(super) fn pop_claim(&mut self, now: Instant) -> Option<ChannelId> {
        self.due = None;
        self.claims.first()?;
        self.is_time(now).then(|| self.claims.pop_first())?
    }

    /// What to ask for next, if it may be asked for now.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(RequestId, Ask)> {
        if !self.claims.is_empty() {
            return None;
        }
        self.due = None;
        self.waiting.first_key_value()?;
        if self.unanswered.len() >= MAX_UNANSWERED {
            return None;
        }
        if !self.is_time(now) {
            return None;
        }
        let (_, ask) = self.waiting.pop_first()?;
        let request = self.next;
        self.next += 1;
        self.unanswered.insert(request, Some(ask));
        Some((request, ask))
    }

    /// Whether something may be sent now, which counts as done.
    fn is_time(&mut self, now: Instant) -> bool {
        if !self.pace.take(now, 1) {
            self.due = Some(self.pace.next(now));
            return false;
        }
        true
    }

    /// What was asked for, unless it is over. It is answered by that.
    pub(in crate::client) fn answered(&mut self, request: RequestId) -> Option<Ask> {
        self.unanswered.remove(&request)?
    }

    /// The channel is over. If it was asked for, the answer is still to come.
    pub(super) fn give_up(&mut self, channel: ChannelId, request: Option<RequestId>) {
        self.claims.remove(&channel);
        self.waiting.remove(&channel.0);
        if let Some(asked) = request.and_then(|it| self.unanswered.get_mut(&it)) {
            *asked = None;
        }
    }

    /// This is not waited for any more, and whatever is said of it later is no answer.
    pub(in crate::client) fn forget(&mut self, ask: Ask, request: Option<RequestId>) {
        self.waiting.remove(&ask.number());
        if let Some(request) = request {
            self.unanswered.remove(&request);
        }
    }

    /// There is nobody left to answer.
    pub(in crate::client) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(in crate::client) fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(in crate::client) fn entries(&self) -> usize {
        self.claims.len() + self.waiting.len() + self.unanswered.len()
    }
}

// What every Coordinator takes of every Client (PROTOCOL.md, 8).
const AT_ONCE: u64 = 256;
const A_SECOND: u64 = 50;
const MAX_UNANSWERED: usize = 128;
/// Five seconds' worth.
const MAX_WAITING: usize = 256;
