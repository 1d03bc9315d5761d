//! One group: its order, its members, and how far each of them is in it.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;

use super::{
    log::Log,
    outlet::Outlet,
    presence::{Presence, Watch},
};
use crate::{
    ClientId, GroupConfig, GroupId, GroupItem, GroupMessage, Name, SlowMember, StreamId,
    group::Inbox,
    wire::{
        Arrived, Author, Counts, From, Incarnation, Join, Joined, Part, RoleMessage, Sequence,
        ToMember,
    },
};

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Name,
    pub(super) incarnation: Incarnation,
    pub(super) config: GroupConfig,
    /// Who has made it, and pays for its place. The application, if nobody: it stays without members.
    pub(super) maker: Option<ClientId>,
    pub(super) log: Log,
    /// Boxed: tables are half empty, and most groups are small.
    pub(super) members: BTreeMap<ClientId, Box<Member>>,
    publishers: u64,
    hearers: u64,
    presence: Option<Box<Presence>>,
    watchers: usize,
    /// What the application hears, if it has subscribed.
    pub(super) subscription: Option<(GroupId, Inbox)>,
    /// Publishers that wait for the slowest member.
    pub(super) waiting: Vec<StreamId>,
    /// Since when they do, and where that was.
    pub(super) held_up: Option<(Instant, Sequence)>,
    /// When changes were told last.
    pub(super) beat: Option<Instant>,
    /// What comes before was sent to all that have room for it.
    sent: Sequence,
}

/// A Client in a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) stream: StreamId,
    pub(super) part: Part,
    slow: SlowMember,
    pub(super) name: Option<Name>,
    proof: Bytes,
    /// The number of the next message for it.
    next: Sequence,
    /// What was published since it is a member begins here.
    since: Sequence,
    /// How many it has published itself of those that it has lost: before it was a member, and since.
    own_lost: [u64; 2],
    /// So much is under way to it that nothing is added.
    pub(super) blocked: bool,
    /// How many there are, as it was told last.
    told: Counts,
    counts_due: bool,
    watch: Option<Watch>,
    /// It wants to hear nothing more, and has not published all that it will.
    deaf: bool,
    /// It waits for its turn to publish.
    pub(super) in_line: bool,
}

impl Group {
    pub(super) fn new(
        name: Name,
        incarnation: Incarnation,
        config: GroupConfig,
        maker: Option<ClientId>,
    ) -> Self {
        Self {
            name,
            incarnation,
            config,
            maker,
            log: Log::new(config.history),
            members: BTreeMap::new(),
            publishers: 0,
            hearers: 0,
            presence: None,
            watchers: 0,
            subscription: None,
            waiting: Vec::new(),
            held_up: None,
            beat: None,
            sent: 0,
        }
    }

    /// Whether nobody has any use for it.
    pub(super) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.maker.is_some() && self.subscription.is_none()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            members: self.members.len() as u64,
            publishers: self.publishers,
        }
    }

    /// Lets somebody in. What it is told first.
    pub(super) fn enter(
        &mut self,
        id: ClientId,
        name: Option<Name>,
        stream: StreamId,
        join: Join,
    ) -> Bytes {
        let Join {
            part,
            slow,
            start,
            proof,
        } = join;
        let (first, end) = (self.log.first(), self.log.next());
        let (next, missed) = match start {
            From::Next => (end, 0),
            From::Oldest => (first, 0),
            From::Sequence(incarnation, _) if incarnation != self.incarnation => (first, 0),
            From::Sequence(_, sequence) => {
                let next = sequence.clamp(first, end);
                (next, next.saturating_sub(sequence))
            }
        };
        self.publishers += u64::from(part.publishes);
        self.hearers += u64::from(part.hears);
        let member = Member {
            stream,
            part,
            slow,
            name,
            proof,
            next,
            since: end,
            own_lost: [0; 2],
            blocked: false,
            told: Counts::default(),
            counts_due: false,
            watch: None,
            deaf: false,
            in_line: false,
        };
        self.members.insert(id, Box::new(member));
        self.note(id);
        if part.watches {
            self.watchers += 1;
            let members = &self.members;
            let presence = self.presence.get_or_insert_with(|| {
                let all = members.iter().map(|(&id, member)| member.arrived(id));
                Box::new(Presence::new(all))
            });
            let watch = presence.watch();
            if let Some(member) = self.members.get_mut(&id) {
                member.watch = Some(watch);
            }
        }
        let counts = self.counts();
        if let Some(member) = self.members.get_mut(&id) {
            member.told = counts;
        }
        let joined = Joined {
            incarnation: self.incarnation,
            next,
            end,
            missed,
            max_size: self.config.max_message_size as u64,
            pushes_back: self.config.push_back.is_some(),
            counts,
        };
        ToMember::Joined(joined).encode()
    }

    /// Somebody is a member no more.
    pub(super) fn leave(&mut self, id: ClientId) {
        let Some(member) = self.members.remove(&id) else {
            return;
        };
        self.publishers -= u64::from(member.part.publishes);
        self.hearers -= u64::from(member.part.hears);
        self.watchers -= usize::from(member.part.watches);
        self.waiting.retain(|&stream| stream != member.stream);
        if self.watchers == 0 {
            self.presence = None;
        }
        self.note(id);
    }

    /// A member wants to hear nothing more.
    pub(super) fn deafen(&mut self, id: ClientId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.deaf = true;
        }
    }

    /// A member seals with another key.
    pub(super) fn proved(&mut self, id: ClientId, proof: Bytes) {
        if let Some(member) = self.members.get_mut(&id) {
            member.proof = proof;
            self.note(id);
        }
    }

    fn note(&mut self, id: ClientId) {
        if let Some(presence) = &mut self.presence {
            presence.note(id);
        }
    }

    /// Whether the next message has to wait for the slowest member.
    pub(super) fn is_held_up(&self) -> bool {
        self.config.push_back.is_some() && self.log.is_full() && self.is_needed()
    }

    /// Whether the group waits for members that have not taken the oldest message.
    fn is_needed(&self) -> bool {
        let waits = self.config.push_back.is_some();
        waits && self.slowest().is_some_and(|next| next <= self.log.first())
    }

    fn slowest(&self) -> Option<Sequence> {
        let strict = self.members.values().filter(|it| it.is_strict());
        strict.map(|it| it.next).min()
    }

    /// Who has not taken the oldest message, and holds up the others.
    pub(super) fn laggards(&self) -> Vec<StreamId> {
        let first = self.log.first();
        let members = self.members.values();
        let late = members.filter(|it| it.is_strict() && it.next <= first);
        late.map(|it| it.stream).collect()
    }

    /// Whether something was sent to nobody so far that has to go for the next message, if that is a small one.
    pub(super) fn would_displace_unsent(&self) -> bool {
        self.log.is_full() && self.sent <= self.log.first()
    }

    /// Adds a message to the order, and tells the application.
    pub(super) fn publish(&mut self, author: Option<&Author>, message: &Bytes) -> Sequence {
        let sequence = self.log.push(author, message);
        while !self.is_needed()
            && let Some((gone, by)) = self.log.drop_excess()
        {
            self.dropped(gone, by);
        }
        if let Some((_, inbox)) = &mut self.subscription {
            inbox.push(GroupItem::Message(GroupMessage {
                sequence,
                sender: author.map(|it| it.id),
                name: author.and_then(|it| it.name.clone()),
                payload: Bytes::copy_from_slice(message),
            }));
        }
        sequence
    }

    /// All groups keep too much: drops the oldest message of this one.
    pub(super) fn shed(&mut self) {
        if let Some((gone, by)) = self.log.drop_first() {
            self.dropped(gone, by);
        }
    }

    fn dropped(&mut self, sequence: Sequence, by: Option<ClientId>) {
        if let Some(member) = by.and_then(|by| self.members.get_mut(&by))
            && member.next <= sequence
        {
            member.own_lost[usize::from(sequence >= member.since)] += 1;
        }
    }

    /// How many members each message is sent to.
    pub(super) fn hearers(&self) -> u64 {
        self.hearers
    }

    /// Tells of who has come and gone since the last beat. Whether there is something to tell.
    pub(super) fn tell_changes(&mut self) -> bool {
        let members = &self.members;
        if let Some(presence) = &mut self.presence {
            presence.beat(|id| Some(members.get(&id)?.arrived(id)));
        }
        let counts = self.counts();
        let mut news = false;
        for member in self.members.values_mut() {
            member.counts_due = member.told != counts;
            news |= member.counts_due;
        }
        news || self.presence.is_some()
    }

    /// Sends what there is to one member, or to all; `with` gives what it takes to send on a stream.
    pub(super) fn deliver(
        &mut self,
        to: Option<ClientId>,
        mut with: impl FnMut(StreamId, &mut dyn FnMut(Outlet<'_>)),
    ) -> Delivered {
        let mut delivered = Delivered::default();
        self.log.seal();
        let counts = self.counts();
        if to.is_none() {
            self.sent = self.log.next();
        }
        let Self {
            members,
            log,
            presence,
            ..
        } = self;
        let all = match to {
            Some(id) => members.range_mut(id..=id),
            None => members.range_mut(..),
        };
        for (&id, member) in all {
            if member.blocked || member.deaf || !member.wants(log, presence.as_deref()) {
                continue;
            }
            let before = member.next;
            with(member.stream, &mut |outlet| match member.catch_up(
                id,
                log,
                presence.as_deref(),
                counts,
                outlet,
            ) {
                Went::AsFarAsThereIs | Went::UntilFull => {}
                Went::UntilShort => delivered.short.push(member.stream),
                Went::TooSlow => delivered.too_slow.push(member.stream),
            });
            delivered.advanced |= member.next > before;
        }
        delivered
    }
}

/// What came of sending to all members.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Some are further than before.
    pub(super) advanced: bool,
    /// These want to be members no more where they lose something.
    pub(super) too_slow: Vec<StreamId>,
    /// For these, too much is under way to all members together.
    pub(super) short: Vec<StreamId>,
}

/// How far sending to a member went.
enum Went {
    AsFarAsThereIs,
    /// More waits than it takes at once. Its stream tells when less does.
    UntilFull,
    /// More is under way than may be.
    UntilShort,
    /// It has lost something, and wants to be a member no more then.
    TooSlow,
}

impl Member {
    /// Whether it holds up a group that pushes back.
    fn is_strict(&self) -> bool {
        self.part.hears && self.slow == SlowMember::DropOldest && !self.deaf
    }

    fn arrived(&self, id: ClientId) -> Arrived {
        Arrived {
            id,
            name: self.name.clone(),
            publishes: self.part.publishes,
            hears: self.part.hears,
            proof: self.proof.clone(),
        }
    }

    /// What others see of it.
    pub(super) fn author(&self, id: ClientId) -> Author {
        let name = self.name.clone();
        Author { id, name }
    }

    fn wants(&self, log: &Log, presence: Option<&Presence>) -> bool {
        let news = match (&self.watch, presence) {
            (Some(watch), Some(presence)) => presence.has_news(watch),
            (None, _) | (_, None) => false,
        };
        self.next < log.next() || self.counts_due || news
    }

    /// Sends what there is for it, as far as there is room.
    fn catch_up(
        &mut self,
        id: ClientId,
        log: &Log,
        presence: Option<&Presence>,
        counts: Counts,
        mut outlet: Outlet<'_>,
    ) -> Went {
        loop {
            if outlet.is_full() {
                self.blocked = true;
                return Went::UntilFull;
            }
            if !outlet.takes(0) {
                self.blocked = true;
                return Went::UntilShort;
            }
            if std::mem::take(&mut self.counts_due) {
                self.told = counts;
                outlet.frame(&ToMember::Counts(counts));
            }
            if let (Some(watch), Some(presence)) = (&mut self.watch, presence)
                && let Some(told) = presence.next(watch)
            {
                outlet.payload(told);
                continue;
            }
            if self.is_behind(log) {
                if self.slow == SlowMember::Leave && self.part.hears {
                    return Went::TooSlow;
                }
                if let Some(lagged) = self.skip(id, log) {
                    outlet.frame(&lagged);
                }
                continue;
            }
            let Some(author) = log.author(self.next) else {
                return Went::AsFarAsThereIs;
            };
            if author == Some(id) && !(self.part.hears && self.part.hears_own) {
                let sequence = self.next;
                self.next += 1;
                outlet.frame(&ToMember::Own { sequence });
            } else if self.part.hears {
                let own = Some(id).filter(|_| !self.part.hears_own);
                let Some((frames, next)) = log.run(self.next, own) else {
                    return Went::AsFarAsThereIs;
                };
                if !outlet.takes(frames.len()) {
                    self.blocked = true;
                    return Went::UntilShort;
                }
                self.next = next;
                outlet.frames(frames);
            } else {
                self.next += 1;
            }
        }
    }

    /// Whether messages are not kept any more that it was to hear, or that it does not want.
    fn is_behind(&self, log: &Log) -> bool {
        let unwanted = self.slow == SlowMember::LatestOnly && self.next + 1 < log.next();
        self.next < log.first() || self.part.hears && unwanted
    }

    /// Passes over what it does not hear. What it is told of that.
    fn skip(&mut self, id: ClientId, log: &Log) -> Option<ToMember> {
        let mut next = match self.slow {
            SlowMember::LatestOnly if self.part.hears => log.next().saturating_sub(1),
            SlowMember::LatestOnly | SlowMember::DropOldest | SlowMember::Leave => log.first(),
        };
        // What it has published before it was a member is told apart.
        let is_former = self.next < self.since;
        if is_former {
            next = next.min(self.since);
        }
        let lost = &mut self.own_lost[usize::from(!is_former)];
        let own = std::mem::take(lost) + log.published(self.next, next, id);
        let all = next - self.next;
        self.next = next;
        let count = match (self.part.hears, self.part.hears_own) {
            (false, _) => 0,
            (true, false) => all - own,
            (true, true) => all,
        };
        (count + own > 0).then_some(ToMember::Lagged { count, own, next })
    }
}
