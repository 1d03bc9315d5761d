//! Peer channels as the Coordinator sees them: pairs of ends. All transitions of [`Phase`] are here.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    quotas::{Quotas, Room},
    refusals::Refusals,
};
use crate::{
    ChannelId, ClientId, Name, PairId,
    error::WireCode,
    util::Deadlines,
    wire::{Claim, Instance, Offer, RequestId, Role, Route},
};

/// All pairs.
#[derive(Debug)]
pub(super) struct Pairs {
    pairs: BTreeMap<PairId, Pair>,
    by_route: BTreeMap<Route, (PairId, Side)>,
    /// Which pairs each Client is part of, once for each end.
    by_member: BTreeMap<ClientId, BTreeMap<Route, PairId>>,
    quotas: Quotas,
    /// Until when each pair must have been arranged, or when its ends may be told something again.
    deadlines: Deadlines<PairId>,
    /// Of requests that will lead to no pair.
    refusals: Refusals,
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) ends: [End; 2],
    pub(super) label: Bytes,
    /// The number that both ends bind themselves to.
    number: u64,
    /// Who has asked for it, and where the answer goes.
    asker: Asker,
    /// Among whose it counts: of what it has asked for, and at each end that is another's.
    payer: ClientId,
    /// When it was asked for.
    since: Instant,
    phase: Phase,
}

#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) id: ClientId,
    pub(super) name: Option<Name>,
    pub(super) route: Route,
    pub(super) instance: Instance,
    pub(super) presence: Presence,
    /// Whether what it sends travels directly, if its Client has said.
    pub(super) direct: Option<bool>,
    pub(super) seat: Seat,
}

/// Who has asked for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Nobody who is known, or a Client that has its answer.
    Nobody,
    /// The Coordinator's application, which may connect whom it likes.
    Application,
    /// The initiator, by this number of its own.
    Initiator(RequestId),
    /// A third, by this number of its own on this home channel: on another, the number is another one's.
    Introducer {
        id: ClientId,
        session: ChannelId,
        request: RequestId,
    },
}

/// Whether a pair takes a place at an end, as one that the Client there has not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    None,
    /// The Client has not accepted. It may have to give way.
    Waiting,
    Taken,
}

/// Whether the Client at an end has a home channel, and the end as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    /// The Client is back, and has not said that it still has this end.
    Unclaimed,
    /// The Client has gone over to another Coordinator, and its packets are forwarded until the other end is there too.
    Moved,
    /// The Client has lost its home channel, or has not claimed this end at all.
    Gone,
}

/// ```text
/// Asking ─grant─▶ Offered ─both accept─▶ Started
///                         Claimed ─both claim, grant─▲
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The application is to say whether this may be.
    Asking,
    /// The ends are to say whether they want it.
    Offered {
        accepted: [bool; 2],
        /// Whether those that have are ready for direct paths.
        direct: bool,
    },
    /// It stood before, and its ends are to claim it. Then, the application may be asked. Until it goes on, its payer is its
    /// initiator if that has claimed it, and else its acceptor.
    Claimed {
        /// Whether those that have are ready for direct paths.
        direct: bool,
        asked: bool,
    },
    /// Packets are forwarded, if both ends are there. The ends are told whether they are neighbours if both are ready for direct paths.
    Started { told: Option<Told> },
}

/// What comes of it that a Client has claimed an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// Something else is missing.
    Waits,
    /// A pair that stood before can go on.
    MayStart,
    /// A pair that has never ended here is whole again.
    GoesOn,
}

/// What the ends of a pair have been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    neighbours: bool,
    /// Until when they are not told anything else.
    rest: Option<Instant>,
}

/// Which end of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Initiator,
    Acceptor,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Initiator, Self::Acceptor];

    pub(super) fn of(role: Role) -> Self {
        match role {
            Role::Initiator => Self::Initiator,
            Role::Acceptor => Self::Acceptor,
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Initiator => Role::Initiator,
            Self::Acceptor => Role::Acceptor,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Acceptor,
            Self::Acceptor => Self::Initiator,
        }
    }
}

impl Pair {
    pub(super) fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    pub(super) fn asker(&self) -> Asker {
        self.asker
    }

    /// Among whose it counts.
    pub(super) fn payer(&self) -> ClientId {
        self.payer
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Whether the ends know of it.
    pub(super) fn is_offered(&self) -> bool {
        self.phase != Phase::Asking
    }

    /// Whether both ends have accepted.
    pub(super) fn is_started(&self) -> bool {
        matches!(self.phase, Phase::Started { .. })
    }

    /// Whether its ends can be claimed: it stands, or stood before.
    pub(super) fn is_claimable(&self) -> bool {
        matches!(self.phase, Phase::Claimed { .. } | Phase::Started { .. })
    }

    /// Whether it stood before and the application is to say whether it may go on.
    pub(super) fn is_asked_about(&self) -> bool {
        matches!(self.phase, Phase::Claimed { asked: true, .. })
    }

    /// Whether an end is not there, or not known to be.
    pub(super) fn is_incomplete(&self) -> bool {
        let is_absent = |end: &End| end.presence != Presence::There;
        self.ends.iter().any(is_absent)
    }

    /// Whether it takes another place of the Client at this end, once that has claimed it.
    pub(super) fn takes_place(&self, side: Side) -> bool {
        match (self.phase, side) {
            (Phase::Claimed { .. }, Side::Initiator) => self.payer != self.end(side).id,
            (Phase::Claimed { .. }, Side::Acceptor)
            | (Phase::Asking | Phase::Offered { .. } | Phase::Started { .. }, _) => false,
        }
    }

    /// The number that both ends bind themselves to.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether this Client has been asked by that one, and has not accepted.
    fn waits(&self, at: ClientId, by: ClientId) -> bool {
        let waits = |end: &End| end.id == at && end.seat == Seat::Waiting;
        self.payer == by && self.ends.iter().any(waits)
    }

    /// What one end is, as its Client would claim it.
    pub(super) fn claim(&self, side: Side) -> Claim {
        let (own, peer) = (self.end(side), self.end(side.other()));
        Claim {
            role: side.role(),
            own_route: own.route,
            peer_route: peer.route,
            channel: self.number,
            peer: peer.id,
            label: self.label.clone(),
            direct: false,
            ticket: Bytes::new(),
        }
    }

    /// What one end is told.
    pub(super) fn offer(&self, side: Side) -> Offer {
        let (own, peer) = (self.end(side), self.end(side.other()));
        let request = match (side, self.asker) {
            (Side::Initiator, Asker::Initiator(request)) => Some(request),
            (Side::Initiator, Asker::Nobody | Asker::Application | Asker::Introducer { .. })
            | (Side::Acceptor, _) => None,
        };
        Offer {
            request,
            role: side.role(),
            own_route: own.route,
            peer_route: peer.route,
            channel: self.number,
            peer: peer.id,
            peer_name: peer.name.clone(),
            label: self.label.clone(),
        }
    }
}

impl Pairs {
    pub(super) fn new() -> Self {
        Self {
            pairs: BTreeMap::new(),
            by_route: BTreeMap::new(),
            by_member: BTreeMap::new(),
            quotas: Quotas::default(),
            deadlines: Deadlines::new(),
            refusals: Refusals::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// How many pairs a Client has asked for.
    pub(super) fn asked(&self, id: ClientId) -> usize {
        self.quotas.asked(id)
    }

    /// Whether a pair can be offered to an end, which others may ask for `limit` in all: `Ok` if so, with the offer that has to
    /// give way first, if one has.
    pub(super) fn room_for(
        &self,
        id: PairId,
        side: Side,
        limit: usize,
    ) -> Result<Option<PairId>, ()> {
        let pair = self.pairs.get(&id).ok_or(())?;
        let (at, payer) = (pair.end(side).id, pair.payer);
        if at == payer {
            return Ok(None);
        }
        let by = match pair.asker {
            Asker::Nobody | Asker::Application => None,
            Asker::Initiator(_) | Asker::Introducer { .. } => Some(payer),
        };
        match self.quotas.room(at, by, limit) {
            Room::Free => Ok(None),
            Room::InsteadOf(asker) => {
                let pairs = self
                    .by_member
                    .get(&at)
                    .into_iter()
                    .flat_map(BTreeMap::values);
                let waits = |pair: &Pair| pair.waits(at, asker);
                let waiting = pairs.filter(|&id| self.pairs.get(id).is_some_and(waits));
                // Its latest.
                waiting.max().copied().map(Some).ok_or(())
            }
            Room::None => Err(()),
        }
    }

    /// An end takes a place at its Client, unless that pays for the pair itself.
    pub(super) fn seat(&mut self, id: PairId, side: Side) {
        if let Some(pair) = self.pairs.get_mut(&id) {
            let (payer, end) = (pair.payer, &mut pair.ends[side as usize]);
            if end.id != payer && end.seat == Seat::None {
                end.seat = Seat::Waiting;
                self.quotas.offer(end.id, payer);
            }
        }
    }

    /// Enters a pair. Its routes must be free.
    pub(super) fn add(
        &mut self,
        id: PairId,
        ends: [End; 2],
        label: Bytes,
        number: u64,
        asker: Asker,
        (since, patience): (Instant, Duration),
    ) {
        let payer = match asker {
            Asker::Nobody | Asker::Application | Asker::Initiator(_) => {
                ends[Side::Initiator as usize].id
            }
            Asker::Introducer { id, .. } => id,
        };
        self.quotas.ask(payer);
        let pair = Pair {
            ends,
            label,
            number,
            asker,
            payer,
            since,
            phase: Phase::Asking,
        };
        self.insert(id, pair, since + patience);
    }

    /// Enters a pair that stood before, and that one end is about to claim. Its routes must be free.
    pub(super) fn expect(
        &mut self,
        id: PairId,
        ends: [End; 2],
        label: Bytes,
        number: u64,
        by: Side,
        (since, patience): (Instant, Duration),
    ) {
        let payer = ends[by as usize].id;
        self.quotas.ask(payer);
        let pair = Pair {
            ends,
            label,
            number,
            asker: Asker::Nobody,
            payer,
            since,
            phase: Phase::Claimed {
                direct: true,
                asked: false,
            },
        };
        self.insert(id, pair, since + patience);
    }

    fn insert(&mut self, id: PairId, pair: Pair, deadline: Instant) {
        for side in Side::BOTH {
            let end = pair.end(side);
            self.by_route.insert(end.route, (id, side));
            self.by_member
                .entry(end.id)
                .or_default()
                .insert(end.route, id);
        }
        self.deadlines.set(id, Some(deadline));
        self.pairs.insert(id, pair);
    }

    /// A Client has an end, and says so: as which instance, and whether it is ready for direct paths. What that leads to.
    pub(super) fn claim(
        &mut self,
        id: PairId,
        side: Side,
        (instance, ready): (Instance, bool),
    ) -> Claimed {
        let Some(pair) = self.pairs.get_mut(&id) else {
            return Claimed::Waits;
        };
        let end = &mut pair.ends[side as usize];
        (end.presence, end.instance) = (Presence::There, instance);
        let from = end.id;
        if let Phase::Claimed { direct, .. } = &mut pair.phase {
            *direct = *direct && ready;
            // It is the initiator's as soon as that is there.
            if side == Side::Initiator {
                self.quotas.give_up(pair.payer);
                self.quotas.ask(from);
                pair.payer = from;
            }
        }
        if pair.is_incomplete() {
            return Claimed::Waits;
        }
        match pair.phase {
            Phase::Claimed { asked: false, .. } => Claimed::MayStart,
            Phase::Started { .. } => {
                self.deadlines.set(id, None);
                Claimed::GoesOn
            }
            Phase::Asking | Phase::Offered { .. } | Phase::Claimed { asked: true, .. } => {
                Claimed::Waits
            }
        }
    }

    /// Both ends have claimed a pair that stood before, and the application is to say whether it may go on.
    pub(super) fn ask_about(&mut self, id: PairId, deadline: Instant) {
        if let Some(pair) = self.pairs.get_mut(&id)
            && let Phase::Claimed { asked, .. } = &mut pair.phase
        {
            *asked = true;
            self.deadlines.set(id, Some(deadline));
        }
    }

    /// A pair that stood before goes on.
    pub(super) fn resume(&mut self, id: PairId) {
        if let Some(pair) = self.pairs.get_mut(&id)
            && let Phase::Claimed { direct, .. } = pair.phase
        {
            pair.phase = Phase::Started {
                told: told_if(direct),
            };
            self.deadlines.set(id, None);
            for side in Side::BOTH {
                self.seat(id, side);
                self.take_seat(id, side);
            }
        }
    }

    /// The Client at an end has accepted what waits there.
    fn take_seat(&mut self, id: PairId, side: Side) {
        if let Some(pair) = self.pairs.get_mut(&id) {
            let end = &mut pair.ends[side as usize];
            if end.seat == Seat::Waiting {
                end.seat = Seat::Taken;
                self.quotas.accept(end.id, pair.payer);
            }
        }
    }

    /// Who has asked for a pair that is started is answered. Who that is.
    pub(super) fn take_asker(&mut self, id: PairId) -> Asker {
        let asker = self.pairs.get_mut(&id).map(|pair| &mut pair.asker);
        match asker {
            None => Asker::Nobody,
            Some(Asker::Application) => Asker::Application,
            Some(asker) => std::mem::replace(asker, Asker::Nobody),
        }
    }

    /// The Client at an end, or at both, has lost its home channel, or has another one as the same instance. Whether the pair is kept
    /// until the deadline: if it stands, or the other end has claimed it. That is asked about again when both have.
    pub(super) fn keep(
        &mut self,
        id: PairId,
        client: ClientId,
        presence: Presence,
        deadline: Instant,
    ) -> bool {
        let Some(pair) = self.pairs.get_mut(&id) else {
            return false;
        };
        let is_wanted = |end: &End| match end.presence {
            // It has claimed it, or is about to do so again.
            Presence::There | Presence::Unclaimed => end.id != client,
            Presence::Moved | Presence::Gone => false,
        };
        match &mut pair.phase {
            Phase::Started { .. } => {}
            Phase::Claimed { asked, .. } if pair.ends.iter().any(is_wanted) => *asked = false,
            Phase::Asking | Phase::Offered { .. } | Phase::Claimed { .. } => return false,
        }
        for end in pair.ends.iter_mut().filter(|end| end.id == client) {
            end.presence = presence;
        }
        self.deadlines.set(id, Some(deadline));
        true
    }

    /// An end that stands says whether what it sends travels directly.
    pub(super) fn path_reported(&mut self, id: PairId, side: Side, direct: bool) {
        if let Some(pair) = self.pairs.get_mut(&id).filter(|it| it.is_started()) {
            pair.ends[side as usize].direct = Some(direct);
        }
    }

    pub(super) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.get(&id)
    }

    pub(super) fn find(&self, route: Route) -> Option<(PairId, Side)> {
        self.by_route.get(&route).copied()
    }

    /// The pair may be: its ends can be asked.
    pub(super) fn grant(&mut self, id: PairId, deadline: Instant) {
        if let Some(pair) = self.pairs.get_mut(&id)
            && pair.phase == Phase::Asking
        {
            pair.phase = Phase::Offered {
                accepted: [false; 2],
                direct: true,
            };
            self.deadlines.set(id, Some(deadline));
        }
    }

    /// One end accepts, ready for direct paths or not. Whether that was the second, so that forwarding starts; `Err` if it had
    /// no reason to.
    pub(super) fn accept(&mut self, id: PairId, side: Side, ready: bool) -> Result<bool, ()> {
        let pair = self.pairs.get_mut(&id).ok_or(())?;
        match &mut pair.phase {
            Phase::Offered { accepted, direct } if !accepted[side as usize] => {
                accepted[side as usize] = true;
                *direct &= ready;
                let both = *accepted == [true; 2];
                let told = told_if(*direct);
                if both {
                    pair.phase = Phase::Started { told };
                    self.deadlines.set(id, None);
                }
                self.take_seat(id, side);
                Ok(both)
            }
            Phase::Asking
            | Phase::Offered { .. }
            | Phase::Claimed { .. }
            | Phase::Started { .. } => Err(()),
        }
    }

    /// The ends of a pair are neighbours, or are not: whether to tell them now. If they were told something else just before,
    /// it is done at the pair's deadline.
    pub(super) fn are_neighbours(&mut self, now: Instant, id: PairId, neighbours: bool) -> bool {
        let pair = self.pairs.get_mut(&id).filter(|pair| !pair.is_incomplete());
        let told = match pair.map(|pair| &mut pair.phase) {
            Some(Phase::Started { told: Some(told) }) if told.neighbours != neighbours => told,
            Some(
                Phase::Asking
                | Phase::Offered { .. }
                | Phase::Claimed { .. }
                | Phase::Started { .. },
            )
            | None => return false,
        };
        let rest = told.rest.filter(|&rest| now < rest);
        if rest.is_none() {
            *told = Told {
                neighbours,
                rest: Some(now + REST),
            };
        }
        self.deadlines.set(id, rest);
        rest.is_none()
    }

    pub(super) fn remove(&mut self, id: PairId) -> Option<Pair> {
        let pair = self.pairs.remove(&id)?;
        self.deadlines.set(id, None);
        self.quotas.give_up(pair.payer);
        for end in &pair.ends {
            match end.seat {
                Seat::None => {}
                Seat::Waiting => self.quotas.end(end.id, pair.payer, false),
                Seat::Taken => self.quotas.end(end.id, pair.payer, true),
            }
            self.by_route.remove(&end.route);
            if let Some(routes) = self.by_member.get_mut(&end.id) {
                routes.remove(&end.route);
                if routes.is_empty() {
                    self.by_member.remove(&end.id);
                }
            }
        }
        Some(pair)
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        let tables = self.pairs.len() + self.by_route.len() + self.by_member.len();
        tables + self.deadlines.entries() + self.quotas.entries() + self.refusals.entries()
    }

    /// The pairs that a Client is part of.
    pub(super) fn pairs_of(&self, id: ClientId) -> Vec<PairId> {
        self.by_member
            .get(&id)
            .map(|routes| routes.values().copied().collect())
            .unwrap_or_default()
    }

    /// How many ends of pairs a Client has.
    pub(super) fn count_of(&self, id: ClientId) -> usize {
        self.by_member.get(&id).map_or(0, BTreeMap::len)
    }

    /// The pairs from this one on.
    pub(super) fn from(&self, first: PairId) -> impl Iterator<Item = PairId> {
        self.pairs.range(first..).map(|(&id, _)| id)
    }

    /// The routes of all pairs that a Client is part of, its own and the other ends'.
    pub(super) fn routes_of(&self, id: ClientId) -> Vec<Route> {
        self.pairs_of(id)
            .into_iter()
            .filter_map(|id| self.pairs.get(&id))
            .flat_map(|pair| pair.ends.iter().map(|end| end.route))
            .collect()
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<PairId> {
        self.deadlines.pop_due(now)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let next = [self.deadlines.next(), self.refusals.next_due()];
        next.into_iter().flatten().min()
    }

    /// A request, made at `asked`, is refused: it keeps its place until it is answered.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        asked: Instant,
        client: ClientId,
        request: RequestId,
        code: WireCode,
    ) {
        self.quotas.ask(client);
        self.refusals.add(now, asked, client, request, code);
    }

    /// A request that is to be answered now, by refusing it.
    pub(super) fn pop_refusal(&mut self, now: Instant) -> Option<(ClientId, RequestId, WireCode)> {
        let refusal = self.refusals.pop_due(now)?;
        self.quotas.give_up(refusal.0);
        Some(refusal)
    }

    pub(super) fn forget_refusals(&mut self, client: ClientId) {
        for _ in 0..self.refusals.forget(client) {
            self.quotas.give_up(client);
        }
    }
}

fn told_if(direct: bool) -> Option<Told> {
    direct.then_some(Told {
        neighbours: false,
        rest: None,
    })
}

/// How long a pair whose ends were asked waits: the ends give up first.
pub(super) fn patience(answer_timeout: Duration) -> Duration {
    answer_timeout + Duration::from_secs(2)
}

/// What the ends were told is good for so long: one that flaps between two networks must not have the other told without end.
const REST: Duration = Duration::from_secs(5);
