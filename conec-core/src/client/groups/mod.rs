//! The groups that this Client is a member of, or wants to be.

mod event;
mod handle;
mod roster;
mod transitions;

use std::collections::{BTreeMap, BTreeSet};

use self::roster::Roster;
pub use self::{
    event::GroupEvent,
    handle::{Group, GroupInfo},
};
use crate::{
    ChannelId, GroupEnd, GroupId, GroupItem, GroupSealer, JoinConfig, Lossy, Name, SlowMember,
    StreamId,
    group::{Inbox, MAX_GROUP_MESSAGE},
    wire::{Counts, From, Incarnation, Part, Sequence},
};

#[derive(Debug, Default)]
pub(super) struct Groups {
    all: BTreeMap<GroupId, Box<Membership>>,
    /// Those that are not over.
    names: BTreeMap<Name, GroupId>,
    streams: BTreeMap<StreamId, GroupId>,
    /// Those of which the application has something to hear.
    news: BTreeSet<GroupId>,
    /// What their queues may take together.
    reserved: usize,
    given: u64,
}

/// A membership, over all home channels on which it is had.
#[derive(Debug)]
struct Membership {
    name: Name,
    part: Part,
    slow: SlowMember,
    /// Where to begin when it is joined next.
    start: From,
    /// What its queue may take.
    reserve: usize,
    stage: Stage,
    /// Where in the order it is, once it has joined.
    place: Option<Place>,
    counts: Counts,
    inbox: Inbox,
    roster: Roster,
    /// The application wants to hear of who is there.
    watch: bool,
    sealer: Option<Box<dyn GroupSealer>>,
    /// How many messages were published in this membership of whose numbers nothing was heard.
    unconfirmed: u64,
    unopened: u64,
    withheld: u64,
    /// Frames wait in the stream until the application has received others.
    paused: bool,
    news: News,
}

/// ```text
/// Waiting ─home channel and a stream─▶ Asking ─joined─▶ Member ─left, refused, too slow─▶ Ended
///    ▲──────────── home channel lost ─────┴──────────────┘
/// ```
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// For a home channel, another than this one if one is named, or for a stream of it.
    Waiting(Option<ChannelId>),
    Asking(StreamId),
    Member(StreamId),
    Ended(GroupEnd),
}

#[derive(Debug, Clone, Copy)]
struct Place {
    incarnation: Incarnation,
    next: Sequence,
    /// What has a smaller number was published before this membership.
    since: Sequence,
    max_size: usize,
    /// The group waits for the slowest.
    pushes_back: bool,
}

/// What the application has to be told of.
#[derive(Debug, Default)]
struct News {
    readable: bool,
    writable: bool,
    ended: bool,
    /// It has been told that nothing can be published now, and waits to hear that something can.
    blocked: bool,
    confirmed: bool,
    /// It waits to hear that nothing is unconfirmed.
    unconfirmed: bool,
}

impl Stage {
    fn stream(self) -> Option<StreamId> {
        match self {
            Self::Asking(stream) | Self::Member(stream) => Some(stream),
            Self::Waiting(_) | Self::Ended(_) => None,
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

impl Membership {
    fn new(name: Name, config: JoinConfig) -> Self {
        let JoinConfig {
            publish,
            hear,
            hear_own,
            watch,
            start,
            slow,
            queue,
            sealer,
        } = config;
        let keep = match slow {
            SlowMember::LatestOnly => Lossy::latest(),
            SlowMember::DropOldest | SlowMember::Leave => queue,
        };
        Self {
            name,
            part: Part {
                publishes: publish,
                hears: hear,
                hears_own: hear && hear_own,
                // Who seals wants to know of others whether they have the key.
                watches: watch || sealer.is_some(),
            },
            slow,
            start: handle::wire_start(start),
            reserve: reserve(queue, watch || sealer.is_some()),
            stage: Stage::Waiting(None),
            place: None,
            counts: Counts::default(),
            inbox: Inbox::new(keep),
            roster: Roster::default(),
            watch,
            sealer,
            unconfirmed: 0,
            unopened: 0,
            withheld: 0,
            paused: false,
            news: News::default(),
        }
    }

    /// Whether what the application does not receive stays at the Coordinator.
    fn pushes_back(&self) -> bool {
        let group = self.place.is_some_and(|it| it.pushes_back);
        group && self.slow == SlowMember::DropOldest
    }

    /// The next that the application hears of.
    fn pop(&mut self) -> Option<GroupItem> {
        self.inbox.pop().or_else(|| self.roster.pop())
    }

    fn has_items(&self) -> bool {
        !self.inbox.is_empty() || self.roster.has_news()
    }
}

impl Groups {
    fn get(&self, id: GroupId) -> Option<&Membership> {
        self.all.get(&id).map(|it| &**it)
    }

    fn get_mut(&mut self, id: GroupId) -> Option<&mut Membership> {
        self.all.get_mut(&id).map(|it| &mut **it)
    }

    fn insert(&mut self, membership: Membership) -> GroupId {
        self.given += 1;
        let id = GroupId(self.given);
        self.reserved += membership.reserve;
        self.names.insert(membership.name.clone(), id);
        self.all.insert(id, Box::new(membership));
        id
    }

    /// The application knows that it is over.
    fn remove(&mut self, id: GroupId) {
        self.news.remove(&id);
        if let Some(gone) = self.all.remove(&id) {
            self.reserved -= gone.reserve;
        }
    }

    /// The next thing to tell of any of them. With its end a membership is forgotten.
    pub(super) fn poll_event(&mut self) -> Option<(GroupId, GroupEvent)> {
        let told = self.poll_signal();
        if let Some((id, GroupEvent::Ended(_))) = told {
            self.remove(id);
        }
        told
    }

    /// The next thing to tell of any of them.
    pub(super) fn poll_signal(&mut self) -> Option<(GroupId, GroupEvent)> {
        while let Some(&id) = self.news.first() {
            let news = self.all.get_mut(&id).map(|it| (&mut it.news, it.stage));
            if let Some((news, stage)) = news {
                if std::mem::take(&mut news.readable) {
                    return Some((id, GroupEvent::Readable));
                }
                if std::mem::take(&mut news.writable) {
                    return Some((id, GroupEvent::Writable));
                }
                if std::mem::take(&mut news.confirmed) {
                    return Some((id, GroupEvent::Confirmed));
                }
                if let Stage::Ended(end) = stage
                    && std::mem::take(&mut news.ended)
                {
                    return Some((id, GroupEvent::Ended(end)));
                }
            }
            self.news.remove(&id);
        }
        None
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    fn ids(&self) -> Vec<GroupId> {
        self.all.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.all.len() + self.names.len() + self.streams.len() + self.news.len()
    }
}

/// What a queue of this size may take: its messages, the newest of any size, and who is there.
fn reserve(queue: Lossy, watches: bool) -> usize {
    let items = queue.messages.saturating_mul(ITEM);
    let messages = queue.bytes.saturating_add(MAX_GROUP_MESSAGE);
    let roster = if watches { roster::MEMORY } else { 0 };
    items.saturating_add(messages).saturating_add(roster)
}

/// What is known of a message.
const ITEM: usize = 256;
