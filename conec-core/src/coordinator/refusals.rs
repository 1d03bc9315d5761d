//! Requests that are refused where the application is asked, until they are answered. Each is answered a whole number of
//! seconds after it was made, so that the time tells nothing of why: whether nobody is there, or the application said no.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{ClientId, error::WireCode, util::Deadlines, wire::RequestId};

#[derive(Debug)]
pub(super) struct Refusals {
    waiting: BTreeMap<Key, (RequestId, WireCode)>,
    due: Deadlines<Key>,
    next: u64,
}

/// A number of ours: Clients may use theirs twice.
type Key = (ClientId, u64);

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            due: Deadlines::new(),
            next: 0,
        }
    }

    pub(super) fn add(
        &mut self,
        now: Instant,
        asked: Instant,
        client: ClientId,
        request: RequestId,
        code: WireCode,
    ) {
        let passed = now.saturating_duration_since(asked).as_secs();
        let beats = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1);
        let key = (client, self.next);
        self.next += 1;
        self.waiting.insert(key, (request, code));
        self.due.set(key, Some(asked + BEAT * beats));
    }

    /// The next request that is to be answered now.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(ClientId, RequestId, WireCode)> {
        let key = self.due.pop_due(now)?;
        let (request, code) = self.waiting.remove(&key)?;
        Some((key.0, request, code))
    }

    /// A Client is gone. How many were to be answered.
    pub(super) fn forget(&mut self, client: ClientId) -> usize {
        let all = self.waiting.range((client, 0)..=(client, u64::MAX));
        let keys: Vec<_> = all.map(|(&key, _)| key).collect();
        for key in &keys {
            self.waiting.remove(key);
            self.due.set(*key, None);
        }
        keys.len()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.next()
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.waiting.len() + self.due.entries()
    }
}

const BEAT: Duration = Duration::from_secs(1);
