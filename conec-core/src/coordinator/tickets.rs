//! The tickets that a Coordinator gives out, and what has become of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    ClientId, CoordinatorConfig, PairId, Revocation,
    wire::{Claim, Epoch, TicketKey},
};

/// What it takes to give out tickets, and to look at them.
pub(super) struct Tickets {
    key: TicketKey,
    /// Channels that may not be claimed, and since when.
    revoked: BTreeMap<u64, Epoch>,
    most_revoked: usize,
    renewal: Option<Renewal>,
}

/// New tickets for all pairs, some at a time.
struct Renewal {
    due: Instant,
    /// Where to go on.
    next: PairId,
}

impl Tickets {
    pub(super) fn new(config: &CoordinatorConfig) -> Self {
        let (certificate, key) = (&config.certificate, config.ticket_key);
        let key = key.unwrap_or_else(|| certificate.derive_key("conec ticket key"));
        let mut tickets = Self {
            key: TicketKey::new(&key),
            revoked: BTreeMap::new(),
            most_revoked: config.limits.pairs,
            renewal: None,
        };
        for revocation in &config.revocations {
            tickets.revoke_since(revocation.channel, revocation.hour);
        }
        tickets
    }

    pub(super) fn revocations(&self) -> impl Iterator<Item = Revocation> {
        let revoked = self.revoked.iter();
        revoked.map(|(&channel, &hour)| Revocation { channel, hour })
    }

    /// From this time since 1970 on, nobody may claim the channel with this number.
    pub(super) fn revoke(&mut self, time: Duration, channel: u64) {
        let epoch = epoch(time);
        self.revoked.retain(|_, &mut since| !is_over(since, epoch));
        self.revoke_since(channel, epoch);
    }

    /// A ticket for what a Client has, made `now`, at this time since 1970.
    pub(super) fn give(
        &mut self,
        now: Instant,
        time: Duration,
        client: ClientId,
        end: &Claim,
    ) -> Bytes {
        let epoch = epoch(time);
        self.renewal.get_or_insert_with(|| Renewal {
            due: now + (EPOCH * epoch.saturating_add(1)).saturating_sub(time),
            next: PairId(0),
        });
        self.key.seal(epoch, client, end)
    }

    /// Some of the pairs for which tickets are to be renewed now, by what gives those from one on.
    pub(super) fn take_renewals<I: Iterator<Item = PairId>>(
        &mut self,
        now: Instant,
        pairs_from: impl FnOnce(PairId) -> I,
    ) -> Vec<PairId> {
        let Some(renewal) = self.renewal.take_if(|it| it.due <= now) else {
            return Vec::new();
        };
        let mut pairs: Vec<_> = pairs_from(renewal.next).take(AT_ONCE + 1).collect();
        let next = (pairs.len() > AT_ONCE).then(|| pairs.pop()).flatten();
        // After the last, the next are due in the next epoch.
        self.renewal = next.map(|next| Renewal {
            due: now + PAUSE,
            next,
        });
        pairs
    }

    /// When there are tickets to renew.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.renewal.as_ref().map(|renewal| renewal.due)
    }

    fn revoke_since(&mut self, channel: u64, epoch: Epoch) {
        let oldest = |(_, since): &(&u64, &Epoch)| **since;
        if self.revoked.len() >= self.most_revoked
            && let Some((&oldest, _)) = self.revoked.iter().min_by_key(oldest)
        {
            self.revoked.remove(&oldest);
        }
        self.revoked.insert(channel, epoch);
    }

    /// Whether a Client may claim this, at this time since 1970.
    pub(super) fn is_good(&self, time: Duration, client: ClientId, claim: &Claim) -> bool {
        let present = epoch(time);
        let made = self.key.open(client, claim);
        // Another Coordinator's clock may be ahead.
        made.is_some_and(|made| made <= present.saturating_add(1) && !is_over(made, present))
            && !self.revoked.contains_key(&claim.channel)
    }
}

/// In which epoch this time since 1970 is.
fn epoch(time: Duration) -> Epoch {
    Epoch::try_from(time.as_secs() / EPOCH.as_secs()).unwrap_or(Epoch::MAX)
}

/// Whether tickets that were made then have expired.
fn is_over(made: Epoch, present: Epoch) -> bool {
    made.saturating_add(1) < present
}

/// A ticket is good in the epoch in which it was made, and in the next one.
const EPOCH: Duration = Duration::from_secs(3600);
/// For so many pairs, tickets are renewed in a row, and then after a pause.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;
    use crate::wire::{Role, Route};

    const CLIENT: ClientId = ClientId([1; 32]);

    fn tickets() -> Tickets {
        Tickets {
            key: TicketKey::new(&[7; 32].into()),
            revoked: BTreeMap::new(),
            most_revoked: 2,
            renewal: None,
        }
    }

    fn claim(channel: u64) -> Claim {
        let [own_route, peer_route] =
            [1, 2].map(|last| Route::from_bytes([0x80, 1, 2, 3, 4, last]).expect("a route"));
        Claim {
            role: Role::Initiator,
            own_route,
            peer_route,
            channel,
            peer: ClientId([2; 32]),
            label: Bytes::new(),
            direct: false,
            ticket: Bytes::new(),
        }
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(3600 * hours)
    }

    #[test]
    fn a_ticket_is_good_for_an_hour_at_least_and_for_less_than_two() {
        let mut tickets = tickets();
        let mut claim = claim(5);
        claim.ticket = tickets.give(Instant::now(), hours(10), CLIENT, &claim);
        let second = Duration::from_secs(1);
        for (time, good) in [
            // By another Coordinator's clock.
            (hours(9) - second, false),
            (hours(9), true),
            (hours(10), true),
            (hours(12) - second, true),
            (hours(12), false),
        ] {
            assert_eq!(tickets.is_good(time, CLIENT, &claim), good, "{time:?}");
        }
        assert!(!tickets.is_good(hours(10), claim.peer, &claim));
        tickets.revoke(hours(10), 6);
        assert!(tickets.is_good(hours(10), CLIENT, &claim));
        tickets.revoke(hours(10), 5);
        assert!(!tickets.is_good(hours(10), CLIENT, &claim));
    }

    #[test]
    fn who_may_not_be_claimed_is_known_as_long_as_there_may_be_tickets() {
        let mut tickets = tickets();
        let revoked = |tickets: &Tickets| -> Vec<_> {
            tickets
                .revocations()
                .map(|it| (it.channel, it.hour))
                .collect()
        };
        tickets.revoke(hours(10), 1);
        tickets.revoke(hours(11), 2);
        assert_eq!(revoked(&tickets), [(1, 10), (2, 11)]);
        // Of too many, the oldest is forgotten.
        tickets.revoke(hours(11), 3);
        assert_eq!(revoked(&tickets), [(2, 11), (3, 11)]);
        tickets.revoke(hours(13), 4);
        assert_eq!(revoked(&tickets), [(4, 13)]);
    }

    #[test]
    fn tickets_are_renewed_in_the_next_hour_some_at_a_time() {
        for (pairs, given) in [(64, &[64][..]), (65, &[64, 1]), (130, &[64, 64, 2])] {
            let mut tickets = tickets();
            let all = |first: PairId| (first.0.max(1)..=pairs).map(PairId);
            let start = Instant::now();
            assert_eq!(tickets.next_due(), None);
            assert!(tickets.take_renewals(start, all).is_empty());
            let half = Duration::from_secs(1800);
            tickets.give(start, hours(10) + half, CLIENT, &claim(1));
            assert_eq!(tickets.next_due(), Some(start + half));
            // Others that are given meanwhile are renewed with it.
            tickets.give(start + half / 2, hours(10), CLIENT, &claim(2));
            assert!(tickets.take_renewals(start, all).is_empty());
            let mut renewed = Vec::new();
            for (second, &count) in (0..).zip(given) {
                let due = start + half + Duration::from_secs(second);
                assert_eq!(tickets.next_due(), Some(due));
                let some = tickets.take_renewals(due, all);
                assert_eq!(some.len(), count);
                renewed.extend(some);
            }
            assert_eq!(tickets.next_due(), None);
            assert!(renewed.into_iter().eq((1..=pairs).map(PairId)));
        }
    }
}
