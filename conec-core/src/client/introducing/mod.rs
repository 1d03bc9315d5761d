//! Others that this Client has connected to each other, and by whom it was connected itself.

mod transitions;

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;

use crate::{
    ClientId, CloseReason, IntroductionId, Target,
    util::Deadlines,
    wire::{RequestId, Route},
};

/// The introductions that this Client has asked for, until the application knows what has become of them.
#[derive(Debug)]
pub(super) struct Introductions {
    pending: BTreeMap<IntroductionId, Introduction>,
    /// What the application has not taken.
    outcomes: BTreeMap<IntroductionId, Outcome>,
    /// Until when those that were asked for must be answered.
    deadlines: Deadlines<IntroductionId>,
    /// Who has asked for the channel that is offered next, for the end with this route.
    announced: Option<(Route, ClientId)>,
}

/// What has become of an introduction.
type Outcome = Result<(), CloseReason>;

#[derive(Debug)]
struct Introduction {
    from: Target,
    to: Target,
    label: Bytes,
    /// There once it was asked for.
    request: Option<RequestId>,
    /// Nobody wants to know what becomes of it.
    ignored: bool,
}

impl Introductions {
    pub(super) fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            deadlines: Deadlines::new(),
            announced: None,
        }
    }

    /// How many there are, those that the application has not heard of included.
    fn len(&self) -> usize {
        self.pending.len() + self.outcomes.len()
    }

    /// One is over. If the application is to know, it is told once.
    pub(super) fn end(&mut self, id: IntroductionId, outcome: Outcome) {
        self.deadlines.set(id, None);
        let over = self.pending.remove(&id);
        if over.is_some_and(|it| !it.ignored) {
            self.outcomes.insert(id, outcome);
        }
    }

    /// What has become of the first of those that are over.
    pub(super) fn pop(&mut self) -> Option<(IntroductionId, Outcome)> {
        self.outcomes.pop_first()
    }

    /// What has become of this one, if it is over.
    pub(super) fn take(&mut self, id: IntroductionId) -> Option<Outcome> {
        self.outcomes.remove(&id)
    }

    /// Whether the application has not heard of all that are over.
    pub(super) fn has_news(&self) -> bool {
        !self.outcomes.is_empty()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The Coordinator says who has asked for the channel that it offers next.
    pub(super) fn announce(&mut self, route: Route, by: ClientId) {
        self.announced = Some((route, by));
    }

    /// Who has asked for a channel that is offered, if it is neither end.
    pub(super) fn take_introducer(&mut self, route: Route) -> Option<ClientId> {
        let announced = self.announced.take();
        announced.and_then(|(of, by)| (of == route).then_some(by))
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.len() + self.deadlines.entries()
    }
}
