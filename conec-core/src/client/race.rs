//! Which of the Coordinator's addresses is tried when: all of them, one beginning after the other without an end to the
//! former, as "Happy Eyeballs" has it (RFC 8305). What an attempt is made of is the Client's.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{ChannelId, CloseReason, Unreachable};

/// Where a Coordinator may be, or several: under each host name, some addresses.
pub(super) type Places = Arc<[(Box<str>, Vec<SocketAddr>)]>;

/// Attempts to connect, of which the first to be connected wins.
#[derive(Debug)]
pub(super) struct Race {
    places: Places,
    /// Addresses still to be tried.
    waiting: VecDeque<SocketAddr>,
    attempts: Vec<Attempt>,
    /// How long after one attempt the next begins.
    pace: Duration,
    next_at: Instant,
    ends_at: Instant,
    /// The most telling of the reasons for which attempts have failed.
    verdict: Option<CloseReason>,
}

/// An attempt that goes on.
#[derive(Debug)]
struct Attempt {
    link: ChannelId,
    address: SocketAddr,
    began: Instant,
    /// Somebody has said that it is in vain.
    doubted: bool,
}

impl Race {
    /// A race that has to be won within `limit`, to other addresses than those that have `refused`. `None` without a usable one.
    pub(super) fn new(
        now: Instant,
        places: &Places,
        limit: Duration,
        refused: &[SocketAddr],
    ) -> Option<Self> {
        let addresses: Vec<_> = places.iter().flat_map(|(_, it)| it).copied().collect();
        let mut waiting = in_order(&addresses);
        waiting.retain(|it| !refused.contains(it));
        let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        Some(Self {
            places: Arc::clone(places),
            // Even in a short time, each gets its turn.
            pace: PACE.min(limit.checked_div(count)?),
            waiting,
            attempts: Vec::new(),
            next_at: now,
            ends_at: now + limit,
            verdict: None,
        })
    }

    /// These places are known meanwhile: those among them that are new are tried too.
    pub(super) fn widen(&mut self, places: &Places) {
        let addresses = |places: &Places| -> Vec<_> {
            let all = places.iter().flat_map(|(_, it)| it);
            all.copied().map(normalised).collect()
        };
        let mut fresh = in_order(&addresses(places));
        let known = addresses(&self.places);
        fresh.retain(|it| !known.contains(it));
        let room = MAX_ADDRESSES.saturating_sub(self.attempts.len() + self.waiting.len());
        fresh.truncate(room);
        if !fresh.is_empty() {
            self.waiting.extend(fresh);
            self.places = places.iter().chain(&*self.places).cloned().collect();
        }
    }

    /// What the certificate of the Coordinator at this address is checked against.
    pub(super) fn host_name(&self, address: SocketAddr) -> String {
        let is_there = |it: &&(Box<str>, Vec<SocketAddr>)| {
            it.1.iter().any(|&given| normalised(given) == address)
        };
        let place = self.places.iter().find(is_there);
        let name = place.map_or("", |(name, _)| name);
        match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().to_string(),
            Err(_) => name.into(),
        }
    }

    /// The next address, if it is time to try one.
    pub(super) fn next_address(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.next_at > now {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.next_at = now + self.pace;
        Some(address)
    }

    /// An address is being tried.
    pub(super) fn begin(&mut self, now: Instant, link: ChannelId, address: SocketAddr) {
        self.attempts.push(Attempt {
            link,
            address,
            began: now,
            doubted: false,
        });
    }

    /// The attempt at an address.
    pub(super) fn attempt_at(&self, address: SocketAddr) -> Option<ChannelId> {
        let address = normalised(address);
        let mut attempts = self.attempts.iter();
        attempts.find_map(|it| (it.address == address).then_some(it.link))
    }

    /// The address that a link leads to.
    pub(super) fn address_of(&self, link: ChannelId) -> Option<SocketAddr> {
        let mut attempts = self.attempts.iter();
        attempts.find_map(|it| (it.link == link).then_some(it.address))
    }

    /// All links that lead to addresses.
    pub(super) fn links(&self) -> impl Iterator<Item = ChannelId> {
        self.attempts.iter().map(|attempt| attempt.link)
    }

    /// Somebody says that an attempt is in vain: the next begins at once. Whether this one has failed, having heard it before
    /// and had its time.
    pub(super) fn doubt(&mut self, now: Instant, link: ChannelId) -> bool {
        let Some(attempt) = self.attempts.iter_mut().find(|it| it.link == link) else {
            return false;
        };
        if !std::mem::replace(&mut attempt.doubted, true) {
            self.next_at = now;
            return false;
        }
        attempt.began + DOUBT <= now
    }

    /// An attempt has failed. The next begins at once.
    pub(super) fn fail(&mut self, now: Instant, link: ChannelId, reason: CloseReason) {
        self.attempts.retain(|attempt| attempt.link != link);
        self.next_at = now;
        self.judge(reason);
    }

    /// Whether there was all the time that there is.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends_at <= now
    }

    /// For what reason the race is lost, if it is.
    pub(super) fn lost(&mut self, now: Instant) -> Option<CloseReason> {
        if self.is_over(now) {
            self.judge(CloseReason::TimedOut);
        } else if !self.attempts.is_empty() || !self.waiting.is_empty() {
            return None;
        }
        self.verdict
    }

    /// When there is something to do.
    pub(super) fn next_due(&self) -> Instant {
        let begins = (!self.waiting.is_empty()).then_some(self.next_at);
        begins.map_or(self.ends_at, |at| at.min(self.ends_at))
    }

    fn judge(&mut self, reason: CloseReason) {
        if self.verdict.is_none_or(|it| weight(it) < weight(reason)) {
            self.verdict = Some(reason);
        }
    }
}

/// How much a reason tells of the Coordinator, instead of the way to it.
fn weight(reason: CloseReason) -> u8 {
    match reason {
        CloseReason::Unreachable(Unreachable::NoRoute) => 0,
        CloseReason::Unreachable(Unreachable::Host) => 1,
        CloseReason::TimedOut => 2,
        CloseReason::Unreachable(Unreachable::Prohibited) => 3,
        CloseReason::Unreachable(Unreachable::Port) => 4,
        // Somebody has answered.
        CloseReason::Local
        | CloseReason::Application(_)
        | CloseReason::Remote(_)
        | CloseReason::Violation(_)
        | CloseReason::Identity
        | CloseReason::Credential(_)
        | CloseReason::KeyChanged
        | CloseReason::Signer
        | CloseReason::Version
        | CloseReason::Reset
        | CloseReason::Overloaded
        | CloseReason::CoordinatorLost
        | CloseReason::NoDirectPath
        | CloseReason::Transport(_) => 5,
    }
}

/// The usable ones of these addresses, each once: of both IP versions in turn, beginning with that of the first, which is
/// preferred (RFC 8305, 4). Of very many, the first.
fn in_order(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let mut rest = Vec::new();
    for address in addresses.iter().copied().map(normalised) {
        if is_usable(&address) && !rest.contains(&address) {
            rest.push(address);
        }
    }
    let mut ordered = VecDeque::new();
    while ordered.len() < MAX_ADDRESSES && !rest.is_empty() {
        let before: Option<&SocketAddr> = ordered.back();
        let other = |it: &SocketAddr| before.is_some_and(|before| before.is_ipv4() != it.is_ipv4());
        let next = rest.iter().position(other).unwrap_or(0);
        ordered.push_back(rest.remove(next));
    }
    ordered
}

/// The address as packets from there show it. IPv4 addresses may be hidden in IPv6 ones; a scope belongs to link-local ones.
fn normalised(address: SocketAddr) -> SocketAddr {
    let scope = match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => 0,
    };
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => (ip, address.port()).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, address.port(), 0, scope).into(),
    }
}

fn is_usable(address: &SocketAddr) -> bool {
    let on_some_link = match address {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(v6) => v6.ip().is_unicast_link_local() && v6.scope_id() == 0,
    };
    address.port() != 0 && !address.ip().is_unspecified() && !on_some_link
}

/// As RFC 8305, 8 recommends.
const PACE: Duration = Duration::from_millis(250);
/// How long an attempt takes at least, whatever others say. By default it has sent a second packet soon after, and goes on if
/// nobody says the same of that: a firewall may have had too much to do, a Coordinator may just have started, or the word
/// was forged.
const DOUBT: Duration = Duration::from_millis(500);
/// How many addresses are tried. Few hosts have so many.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    fn addresses(list: &str) -> Vec<SocketAddr> {
        let list = list.split_whitespace();
        list.map(|it| it.parse().expect("an address")).collect()
    }

    fn race(list: &str, limit: Duration) -> (Instant, Race) {
        let now = Instant::now();
        let places = [("localhost".into(), addresses(list))].into();
        let race = Race::new(now, &places, limit, &[]);
        (now, race.expect("usable addresses"))
    }

    /// Tries all that is due, under ids that count from 1.
    fn begin(race: &mut Race, now: Instant, tried: &mut u64) -> usize {
        let before = *tried;
        while let Some(address) = race.next_address(now) {
            *tried += 1;
            race.begin(now, ChannelId(*tried), address);
        }
        (*tried - before) as usize
    }

    #[test]
    fn addresses_are_tried_in_a_sensible_order_and_once() {
        for (given, tried) in [
            ("192.0.2.1:1 192.0.2.2:1", "192.0.2.1:1 192.0.2.2:1"),
            (
                "[2001:db8::1]:1 [2001:db8::2]:1 [2001:db8::3]:1 192.0.2.1:1 192.0.2.2:1",
                "[2001:db8::1]:1 192.0.2.1:1 [2001:db8::2]:1 192.0.2.2:1 [2001:db8::3]:1",
            ),
            // The first is preferred, whatever its version.
            (
                "192.0.2.1:1 192.0.2.2:1 [2001:db8::1]:1",
                "192.0.2.1:1 [2001:db8::1]:1 192.0.2.2:1",
            ),
            // One host has several ports, and an address several forms.
            (
                "192.0.2.1:1 192.0.2.1:2 [::ffff:192.0.2.1]:1 192.0.2.1:1 [2001:db8::1%7]:1 [2001:db8::1]:1",
                "192.0.2.1:1 [2001:db8::1]:1 192.0.2.1:2",
            ),
            (
                "192.0.2.1:0 0.0.0.0:1 [::]:1 [::ffff:0.0.0.0]:1 [fe80::1]:1 [fe80::1%2]:1 [fe80::1%3]:1",
                "[fe80::1%2]:1 [fe80::1%3]:1",
            ),
            ("", ""),
        ] {
            assert_eq!(in_order(&addresses(given)), addresses(tried), "{given}");
        }
    }

    #[test]
    fn of_very_many_addresses_both_versions_are_tried() {
        let v6 = (1..=1000).map(|port| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port)));
        let v4 = (1..=1000).map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let all: Vec<_> = v6.chain(v4).collect();
        let ordered = in_order(&all);
        assert_eq!(ordered.len(), MAX_ADDRESSES);
        let v4 = ordered.iter().filter(|it| it.is_ipv4()).count();
        assert_eq!(v4, MAX_ADDRESSES / 2);
    }

    #[test]
    fn attempts_begin_one_by_one_or_when_another_fails() {
        let (start, mut race) = race(
            "192.0.2.1:1 192.0.2.2:1 192.0.2.3:1 192.0.2.4:1 192.0.2.5:1",
            Duration::from_secs(10),
        );
        let at = |millis| start + Duration::from_millis(millis);
        let mut tried = 0;
        let mut begin = |race: &mut Race, millis| begin(race, at(millis), &mut tried);
        assert_eq!(begin(&mut race, 0), 1);
        assert_eq!(race.next_due(), at(250));
        assert_eq!(begin(&mut race, 249), 0);
        assert_eq!(begin(&mut race, 250), 1);
        race.fail(at(300), ChannelId(1), CloseReason::Version);
        assert_eq!(begin(&mut race, 300), 1);
        assert!(!race.doubt(at(310), ChannelId(3)));
        assert_eq!(begin(&mut race, 310), 1);
        // Who says so again has nobody begin, and may say so too early.
        assert!(!race.doubt(at(799), ChannelId(3)));
        assert_eq!(begin(&mut race, 500), 0);
        assert_eq!(race.next_due(), at(560));
        assert_eq!(begin(&mut race, 560), 1);
        assert!(race.doubt(at(800), ChannelId(3)));
        // Who says so for the first time is not believed at all.
        assert!(!race.doubt(at(9000), ChannelId(5)));
        assert!(!race.doubt(at(9000), ChannelId(99)));
        assert_eq!(race.next_due(), at(10_000));
        assert_eq!(race.lost(at(9_999)), None);
        assert_eq!(race.lost(at(10_000)), Some(CloseReason::Version));
    }

    #[test]
    fn addresses_that_become_known_are_tried_too() {
        let (start, mut race) = race("192.0.2.1:1 192.0.2.2:1", Duration::from_secs(10));
        let mut tried = 0;
        begin(&mut race, start, &mut tried);
        let places = [(
            "elsewhere".into(),
            addresses("192.0.2.3:1 192.0.2.1:1 192.0.2.4:1 0.0.0.0:1"),
        )]
        .into();
        for _ in 0..100 {
            race.widen(&places);
        }
        for _ in 0..4 {
            let due = race.next_due();
            begin(&mut race, due, &mut tried);
        }
        assert_eq!(tried, 4);
        assert_eq!(
            race.address_of(ChannelId(4)),
            Some(addresses("192.0.2.4:1")[0])
        );
        assert_eq!(race.host_name(addresses("192.0.2.3:1")[0]), "elsewhere");
        assert_eq!(race.host_name(addresses("192.0.2.2:1")[0]), "localhost");
        let many: Vec<_> = (1..=100)
            .map(|port| ([192, 0, 2, 9], port).into())
            .collect();
        race.widen(&[("elsewhere".into(), many)].into());
        assert!(race.waiting.len() + race.attempts.len() <= MAX_ADDRESSES);
    }

    #[test]
    fn in_a_short_time_each_address_gets_its_turn() {
        let (start, mut race) = race("192.0.2.1:1 192.0.2.2:1 192.0.2.3:1", PACE);
        let mut tried = 0;
        while race.lost(start.max(race.next_due())).is_none() {
            let now = race.next_due();
            begin(&mut race, now, &mut tried);
        }
        assert_eq!(tried, 3);
    }

    #[test]
    fn the_most_telling_reason_is_told() {
        use CloseReason::{TimedOut, Version};
        let no_route = CloseReason::Unreachable(Unreachable::NoRoute);
        let host = CloseReason::Unreachable(Unreachable::Host);
        let port = CloseReason::Unreachable(Unreachable::Port);
        for (reasons, told) in [
            ([no_route, no_route, no_route], no_route),
            ([host, no_route, no_route], host),
            ([no_route, port, host], port),
            ([port, Version, no_route], Version),
        ] {
            let (now, mut race) = race(
                "192.0.2.1:1 192.0.2.2:1 192.0.2.3:1",
                Duration::from_secs(10),
            );
            for (reason, tried) in reasons.into_iter().zip(0..) {
                assert_eq!(race.lost(now), None);
                begin(&mut race, now, &mut tried.clone());
                race.fail(now, ChannelId(tried + 1), reason);
            }
            assert_eq!(race.lost(now), Some(told));
        }
        for (reason, told) in [(no_route, TimedOut), (host, TimedOut), (port, port)] {
            let (now, mut race) = race("192.0.2.1:1 192.0.2.2:1", Duration::from_secs(1));
            begin(&mut race, now, &mut 0);
            race.fail(now, ChannelId(1), reason);
            begin(&mut race, now, &mut 1);
            assert_eq!(race.lost(now + Duration::from_secs(1)), Some(told));
        }
    }

    #[test]
    fn of_reasons_that_tell_as_much_the_first_is_told() {
        use CloseReason::{Identity, Reset, Version};
        for reasons in [[Version, Identity, Reset], [Reset, Version, Identity]] {
            let (now, mut race) = race("192.0.2.1:1 192.0.2.2:1 192.0.2.3:1", PACE);
            let mut tried = 0;
            for reason in reasons {
                assert_eq!(begin(&mut race, now, &mut tried), 1);
                race.fail(now, ChannelId(tried), reason);
            }
            assert_eq!(race.lost(now), Some(reasons[0]));
        }
    }
}
