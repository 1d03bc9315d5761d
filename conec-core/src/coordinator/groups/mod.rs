//! Groups: who is in which, what is published, and in which order.
//!
//! A [`Group`] knows its own; what costs something is looked at over all of them here.

mod api;
mod group;
mod log;
mod outlet;
mod presence;
mod transitions;
mod under_way;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

pub use self::api::GroupState;
use self::{group::Group, under_way::UnderWay};
use crate::{
    ChannelId, ClientId, CoordinatorLimits, GroupId, MembershipId, Name, StreamId,
    util::{Deadlines, may_take},
    wire::{Join, Sequence},
};

#[derive(Debug)]
pub(super) struct Groups {
    all: BTreeMap<Number, Box<Group>>,
    names: BTreeMap<Name, Number>,
    /// Streams that are memberships, or are to be.
    seats: BTreeMap<StreamId, Seat>,
    clients: BTreeMap<ClientId, Held>,
    /// Those that the application is asked about.
    asks: BTreeMap<MembershipId, StreamId>,
    /// Members of which something may wait that they publish, in turn.
    line: VecDeque<StreamId>,
    /// Groups of which something may be sent.
    fresh: BTreeSet<Number>,
    due: Deadlines<Due>,
    /// What the messages of all groups take.
    kept: usize,
    under_way: UnderWay,
    /// Members for which there was no room there, and since when.
    short: BTreeMap<StreamId, Instant>,
    numbers: Number,
    requests: u64,
    /// Groups of which the application was told that there is something to receive, and has not.
    told: BTreeSet<Number>,
    /// Those of which it is to be told.
    readable: BTreeSet<Number>,
    subscriptions: u64,
}

/// One group. Never used again for another.
type Number = u64;

/// How far a stream has come to be a membership.
///
/// ```text
/// Begun ─join, allowed─▶ Member
///   ├─join, to be asked─▶ Asking ─granted─▶ Member
///   └─join, a member still─▶ Waiting ─a member no more─▶ Begun
/// ```
#[derive(Debug)]
enum Seat {
    /// It is to say as what it joins.
    Begun(Applicant),
    /// The Client is a member by another stream of its home channel, which it has most likely left.
    Waiting(Applicant, Box<Join>),
    /// The application is asked.
    Asking(Applicant, Box<Join>, MembershipId),
    Member(Number, ClientId),
}

/// Who wants to be a member, and of what.
#[derive(Debug, Clone)]
struct Applicant {
    client: ChannelId,
    id: ClientId,
    group: Name,
}

/// What a Client takes of what all share.
#[derive(Debug, Default)]
struct Held {
    memberships: usize,
    groups: usize,
    /// Until when what it has published takes at its rate.
    busy: Option<Instant>,
}

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Who has come and gone is to be told.
    Beat(Number),
    /// The slowest member has had enough time.
    Patience(Number),
    /// A publisher may go on.
    Pace(StreamId),
    /// The application has not answered.
    Answer(MembershipId),
    /// A Client that has left owes nothing any more.
    Forget(ClientId),
    /// Members may have acknowledged something.
    Acknowledged,
}

impl Groups {
    pub(super) fn new(limits: &CoordinatorLimits) -> Self {
        Self {
            all: BTreeMap::new(),
            names: BTreeMap::new(),
            seats: BTreeMap::new(),
            clients: BTreeMap::new(),
            asks: BTreeMap::new(),
            line: VecDeque::new(),
            fresh: BTreeSet::new(),
            due: Deadlines::new(),
            kept: 0,
            under_way: UnderWay::new(limits.member_memory),
            short: BTreeMap::new(),
            numbers: 0,
            requests: 0,
            told: BTreeSet::new(),
            readable: BTreeSet::new(),
            subscriptions: 0,
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.next()
    }

    /// Whether something is to be done now.
    pub(super) fn has_work(&self) -> bool {
        !self.line.is_empty() || !self.fresh.is_empty()
    }

    fn named(&self, name: &Name) -> Option<&Group> {
        Some(&**self.all.get(self.names.get(name)?)?)
    }

    fn named_mut(&mut self, name: &Name) -> Option<(Number, &mut Group)> {
        let number = *self.names.get(name)?;
        Some((number, &mut **self.all.get_mut(&number)?))
    }

    /// Somebody has published something: the application is told once, until it has received all.
    fn tell_application(&mut self, number: Number) {
        if self.told.insert(number) {
            self.readable.insert(number);
        }
    }

    /// The next group in which the application has something to receive, and by which subscription.
    pub(super) fn poll_readable(&mut self) -> Option<(&Name, GroupId)> {
        let number = self.readable.pop_first()?;
        let group = self.all.get(&number)?;
        Some((&group.name, group.subscription.as_ref()?.0))
    }

    pub(super) fn has_news(&self) -> bool {
        !self.readable.is_empty()
    }

    /// The member that uses this stream, and its group.
    fn member(&mut self, stream: StreamId) -> Option<(Number, ClientId, &mut Group)> {
        let Some(&Seat::Member(number, id)) = self.seats.get(&stream) else {
            return None;
        };
        Some((number, id, &mut **self.all.get_mut(&number)?))
    }

    /// Who waits until the same Client is no member any more that has been one by this stream.
    fn successor(&self, former: StreamId, name: &Name) -> Option<StreamId> {
        let channel = former.channel();
        let first = StreamId { channel, index: 0 };
        let seats = self.seats.range(first..);
        let mut seats = seats.take_while(|(stream, _)| stream.channel() == channel);
        seats.find_map(|(&stream, seat)| match seat {
            Seat::Waiting(applicant, _) if applicant.group == *name => Some(stream),
            Seat::Begun(_) | Seat::Waiting(..) | Seat::Asking(..) | Seat::Member(..) => None,
        })
    }

    /// Whether there is a place for another group, which somebody makes or the application does.
    fn has_room(&self, maker: Option<ClientId>, limits: &CoordinatorLimits) -> bool {
        let held = maker.map(|id| self.clients.get(&id).map_or(0, |it| it.groups));
        let (own, taken) = (held.unwrap_or(0), self.all.len());
        may_take(own, taken, limits.groups)
    }

    fn insert(&mut self, group: Group) -> Number {
        self.numbers += 1;
        if let Some(maker) = group.maker {
            self.clients.entry(maker).or_default().groups += 1;
        }
        self.names.insert(group.name.clone(), self.numbers);
        self.all.insert(self.numbers, Box::new(group));
        self.numbers
    }

    /// Forgets a group that nobody has a use for.
    fn tidy(&mut self, number: Number) {
        if self.all.get(&number).is_some_and(|it| it.is_idle()) {
            self.remove(number);
        }
    }

    fn remove(&mut self, number: Number) {
        let Some(group) = self.all.remove(&number) else {
            return;
        };
        tracing::debug!(group = %group.name, "a group is over");
        self.names.remove(&group.name);
        self.kept -= group.log.memory();
        self.fresh.remove(&number);
        self.told.remove(&number);
        self.readable.remove(&number);
        for due in [Due::Beat(number), Due::Patience(number)] {
            self.due.set(due, None);
        }
        if let Some(maker) = group.maker {
            self.release(maker, |held| held.groups -= 1);
        }
    }

    fn release(&mut self, id: ClientId, give: impl FnOnce(&mut Held)) {
        if let Some(held) = self.clients.get_mut(&id) {
            give(held);
            if held.memberships == 0 && held.groups == 0 {
                // Who leaves and comes back owes still what it owed.
                match held.busy {
                    Some(until) => self.due.set(Due::Forget(id), Some(until)),
                    None => self.forget(id),
                }
            }
        }
    }

    /// Forgets what a Client takes, if that is nothing any more.
    fn forget(&mut self, id: ClientId) {
        let held = self.clients.get(&id);
        if held.is_some_and(|held| held.memberships == 0 && held.groups == 0) {
            self.clients.remove(&id);
        }
    }

    /// A member may have something to publish.
    fn line_up(&mut self, stream: StreamId) {
        if let Some((_, id, group)) = self.member(stream)
            && let Some(member) = group.members.get_mut(&id)
            && !std::mem::replace(&mut member.in_line, true)
        {
            self.line.push_back(stream);
        }
    }

    /// Who is there has changed, which is told with the next beat.
    fn changed(&mut self, now: Instant, number: Number) {
        if let Some(group) = self.all.get(&number) {
            let at = group.beat.map_or(now, |last| now.max(last + BEAT));
            self.due.set(Due::Beat(number), Some(at));
        }
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        let tables = self.all.len() + self.names.len() + self.seats.len() + self.clients.len();
        tables
            + self.asks.len()
            + self.line.len()
            + self.due.entries()
            + self.kept
            + self.short.len()
            + self.under_way.entries()
    }
}

/// How far apart changes of who is there are told.
const BEAT: Duration = Duration::from_millis(100);
