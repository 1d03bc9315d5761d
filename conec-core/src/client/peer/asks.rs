//! The channels that this Client asks its Coordinator for: no faster than it may. Others wait for their turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::{ChannelId, util::Bucket, wire::RequestId};

#[derive(Debug)]
pub(in crate::client) struct Asks {
    next: RequestId,
    pace: Bucket,
    /// What is to be claimed.
    claims: BTreeSet<ChannelId>,
    /// What has not been asked, in order.
    waiting: BTreeSet<ChannelId>,
    /// What was asked and not answered, and for which channel unless that is over.
    unanswered: BTreeMap<RequestId, Option<ChannelId>>,
    /// When the first of those that wait may be asked, if it is only the pace that holds it up.
    due: Option<Instant>,
}

impl Asks {
    pub(in crate::client) fn new() -> Self {
        Self {
            next: 0,
            pace: Bucket::per_second(A_SECOND, AT_ONCE),
            claims: BTreeSet::new(),
            waiting: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            due: None,
        }
    }

    /// Whether as many wait as may.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    pub(super) fn add(&mut self, channel: ChannelId) {
        self.waiting.insert(channel);
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

    /// The next channel to ask for, if it may be asked for now.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(RequestId, ChannelId)> {
        if !self.claims.is_empty() {
            return None;
        }
        self.due = None;
        let &channel = self.waiting.first()?;
        if self.unanswered.len() >= MAX_UNANSWERED {
            return None;
        }
        if !self.is_time(now) {
            return None;
        }
        self.waiting.remove(&channel);
        let request = self.next;
        self.next += 1;
        self.unanswered.insert(request, Some(channel));
        Some((request, channel))
    }

    /// Whether something may be sent now, which counts as done.
    fn is_time(&mut self, now: Instant) -> bool {
        if !self.pace.take(now, 1) {
            self.due = Some(self.pace.next(now));
            return false;
        }
        true
    }

    /// The channel that was asked for, unless it is over. It is answered by that.
    pub(in crate::client) fn answered(&mut self, request: RequestId) -> Option<ChannelId> {
        self.unanswered.remove(&request)?
    }

    /// The channel is over. If it was asked for, the answer is still to come.
    pub(super) fn give_up(&mut self, channel: ChannelId, request: Option<RequestId>) {
        self.claims.remove(&channel);
        self.waiting.remove(&channel);
        if let Some(asked) = request.and_then(|it| self.unanswered.get_mut(&it)) {
            *asked = None;
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
