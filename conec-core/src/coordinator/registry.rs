//! The members: who is connected, under which name, and where.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::Bound,
    time::{Duration, Instant},
};

use super::{names::Names, place::Place};
use crate::{
    Certified, ChannelId, ClientId, CoordinatorLimits, Name, Target,
    access::{Standing, Tags},
    util::{Bucket, ByNetwork, Network, may_take},
    wire::Instance,
};

#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Boxed: tables are half empty.
    members: BTreeMap<ClientId, Box<Member>>,
    names: Names,
    by_network: ByNetwork,
}

/// A Client that was let in.
#[derive(Debug)]
pub(super) struct Member {
    /// Its home channel.
    pub(super) session: ChannelId,
    /// When it was let in there.
    pub(super) since: Instant,
    /// What others are told that it is called.
    pub(super) name: Option<Name>,
    pub(super) place: Place,
    pub(super) instance: Instance,
    /// Of which network it counts: of the one that the identity first came from, wherever it goes. Else Clients could leave
    /// a network that has its share, and others take their places there.
    network: Network,
    particulars: Option<Box<Particulars>>,
}

/// What is not the same for most Clients: they have the name that they wanted, and nothing else.
#[derive(Debug, Default)]
struct Particulars {
    /// What it wanted to be called.
    wanted: Option<Name>,
    /// What else it is called.
    others: Vec<Name>,
    tags: Tags,
    certified: Option<Certified>,
    /// How often the identity may still move to another session, once it has.
    takeovers: Option<Bucket>,
}

/// A Client that is let in.
#[derive(Debug)]
pub(super) struct Entrant {
    pub(super) session: ChannelId,
    pub(super) wanted: Option<Name>,
    pub(super) names: Vec<Name>,
    pub(super) tags: Tags,
    pub(super) certified: Option<Certified>,
    pub(super) place: Place,
    pub(super) instance: Instance,
}

impl Member {
    /// All that it is called, first what others are told.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        let others = self.particulars.iter().flat_map(|it| &it.others);
        self.name.iter().chain(others)
    }

    /// What it wanted to be called.
    pub(super) fn wanted(&self) -> Option<&Name> {
        match &self.particulars {
            Some(particulars) => particulars.wanted.as_ref(),
            None => self.name.as_ref(),
        }
    }

    pub(super) fn tags(&self) -> &Tags {
        static NONE: Tags = Tags::new();
        self.particulars.as_ref().map_or(&NONE, |it| &it.tags)
    }

    pub(super) fn set_tags(&mut self, tags: Tags) {
        if *self.tags() != tags {
            self.particulars().tags = tags;
        }
    }

    pub(super) fn certified(&self) -> Option<&Certified> {
        self.particulars.as_ref()?.certified.as_ref()
    }

    /// What rules see of it.
    pub(super) fn standing(&self, id: ClientId) -> Standing<'_> {
        Standing {
            id,
            name: self.name.as_ref(),
            others: self.particulars.as_ref().map_or(&[], |it| &it.others),
            tags: self.tags(),
            certified: self.certified().is_some(),
        }
    }

    fn particulars(&mut self) -> &mut Particulars {
        let name = &self.name;
        self.particulars.get_or_insert_with(|| {
            Box::new(Particulars {
                wanted: name.clone(),
                ..Particulars::default()
            })
        })
    }
}

impl Particulars {
    /// Whether they say no more than that a Client has the name that it wanted.
    fn are_common(&self, name: Option<&Name>) -> bool {
        self.wanted.as_ref() == name
            && self.others.is_empty()
            && self.tags.is_empty()
            && self.certified.is_none()
            && self.takeovers.is_none()
    }
}

impl Registry {
    pub(super) fn get(&self, id: ClientId) -> Option<&Member> {
        self.members.get(&id).map(|member| &**member)
    }

    pub(super) fn get_mut(&mut self, id: ClientId) -> Option<&mut Member> {
        self.members.get_mut(&id).map(|member| &mut **member)
    }

    pub(super) fn find(&self, target: &Target) -> Option<ClientId> {
        match target {
            Target::Name(name) => self.names.holder(name),
            Target::Id(id) => self.members.contains_key(id).then_some(*id),
        }
    }

    /// Whether there is a place for another Client, which comes from this address.
    pub(super) fn has_room(&self, from: IpAddr, limits: &CoordinatorLimits) -> bool {
        let (all, taken) = (limits.clients, self.members.len());
        let own = self.by_network.count(Network::of(from));
        match limits.clients_per_network {
            Some(most) => taken < all && own < most,
            None => may_take(own, taken, all),
        }
    }

    /// Whether the name is another identity's, or is kept for one.
    pub(super) fn is_taken(&self, now: Instant, name: &Name, by_other_than: ClientId) -> bool {
        self.names.is_taken(now, name, by_other_than)
    }

    /// Whether the identity may move to another session, which counts as done.
    pub(super) fn take_over(
        &mut self,
        now: Instant,
        id: ClientId,
        takeovers: impl FnOnce() -> Bucket,
    ) -> bool {
        self.members.get_mut(&id).is_none_or(|member| {
            let left = &mut member.particulars().takeovers;
            left.get_or_insert_with(takeovers).take(now, 1)
        })
    }

    /// Enters a Client, in place of what was known of the same identity. The names must be free, or its own.
    pub(super) fn enter(&mut self, now: Instant, id: ClientId, entrant: Entrant) {
        let Entrant {
            session,
            wanted,
            mut names,
            tags,
            certified,
            place,
            instance,
        } = entrant;
        let before = self.forget(id, |names, name| {
            names.give_up(now, name, Duration::ZERO, 0)
        });
        for name in &names {
            self.names.take(name, id);
        }
        let network = before.as_ref().map(|before| before.network);
        let network = network.unwrap_or_else(|| Network::of(place.address().ip()));
        self.by_network.add(network);
        let name = (!names.is_empty()).then(|| names.remove(0));
        let particulars = Particulars {
            wanted,
            others: names,
            tags,
            certified,
            takeovers: before.and_then(|before| before.particulars?.takeovers),
        };
        let is_common = particulars.are_common(name.as_ref());
        let member = Box::new(Member {
            session,
            since: now,
            name,
            place,
            instance,
            network,
            particulars: (!is_common).then(|| Box::new(particulars)),
        });
        self.members.insert(id, member);
    }

    /// Forgets a Client, and keeps its names for it for a while.
    pub(super) fn leave(&mut self, now: Instant, id: ClientId, limits: &CoordinatorLimits) {
        let (time, most) = (limits.names_kept, limits.clients);
        self.forget(id, |names, name| names.give_up(now, name, time, most));
    }

    fn forget(
        &mut self,
        id: ClientId,
        mut give_up: impl FnMut(&mut Names, &Name),
    ) -> Option<Box<Member>> {
        let member = self.members.remove(&id)?;
        for name in member.names() {
            give_up(&mut self.names, name);
        }
        self.by_network.remove(member.network);
        Some(member)
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.members.len() + self.names.len() + self.by_network.len()
    }

    /// Those whose ids come after this one.
    pub(super) fn after(&self, id: Option<ClientId>) -> impl Iterator<Item = (ClientId, &Member)> {
        let first = id.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.members.range((first, Bound::Unbounded));
        members.map(|(&id, member)| (id, &**member))
    }

    pub(super) fn ids(&self) -> Vec<ClientId> {
        self.members.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    /// Who moves, or begins anew elsewhere, leaves no place behind that others could take.
    #[test]
    fn a_place_counts_where_it_was_first_taken() {
        let mut registry = Registry::default();
        let limits = CoordinatorLimits {
            clients: 5,
            clients_per_network: Some(1),
            ..CoordinatorLimits::default()
        };
        let [here, there] = [[192, 0, 2, 1], [198, 51, 100, 1]].map(IpAddr::from);
        let [alice, bob] = [1, 2].map(|byte| ClientId::from_bytes([byte; 32]));
        let entrant = |session, ip: IpAddr| Entrant {
            session: ChannelId(session),
            wanted: None,
            names: Vec::new(),
            tags: Tags::new(),
            certified: None,
            place: Place::test((ip, 1).into(), ip),
            instance: 0,
        };
        let room = |registry: &Registry| [here, there].map(|ip| registry.has_room(ip, &limits));
        let now = Instant::now();
        registry.enter(now, alice, entrant(1, here));
        assert_eq!(room(&registry), [false, true]);
        registry.enter(now, alice, entrant(2, there));
        assert_eq!(room(&registry), [false, true]);
        registry.enter(now, bob, entrant(3, there));
        assert_eq!(room(&registry), [false, false]);
        registry.leave(now, alice, &limits);
        registry.leave(now, bob, &limits);
        assert_eq!(room(&registry), [true, true]);
        assert_eq!(registry.by_network.len(), 0);
    }
}
