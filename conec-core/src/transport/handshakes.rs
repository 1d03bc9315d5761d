//! Newcomers: how many there may be that were not let in yet.

use std::net::IpAddr;

use super::unopened::Unopened;
use crate::util::{ByNetwork, Network};

/// The newcomers of an entity that accepts everyone.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    total: usize,
    by_network: ByNetwork,
}

/// How many newcomers an engine lets in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admissions {
    /// At once.
    pub(crate) handshakes: usize,
    /// Of them, before others have to prove first where they are.
    pub(crate) before_retry: usize,
    /// Of them, from one network.
    pub(crate) per_network: usize,
    /// Links in all, those that end included.
    pub(crate) links: usize,
}

/// An accepted link whose other side was not let in yet.
#[derive(Debug)]
pub(super) struct Newcomer {
    network: Network,
    /// It has proved that it is where it seems to be.
    pub(super) proven: bool,
    pub(super) unopened: Unopened,
}

/// How many bytes a newcomer may have on the way and waiting, and how much memory may be taken by all that it sends until it
/// is let in: about three times a handshake and the largest `Hello`.
pub(crate) const NEWCOMER: u32 = 16 << 10;

/// What to do with a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Accept,
    /// It has to prove first that it is where it seems to be (RFC 9000, 8.1.2).
    Retry,
    /// Not even an answer.
    Ignore,
}

impl Handshakes {
    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.total + self.by_network.len()
    }

    /// What to do with a newcomer, where there are so many links already.
    pub(super) fn admission(
        &self,
        ip: IpAddr,
        proven: bool,
        links: usize,
        limits: &Admissions,
    ) -> Admission {
        if self.total >= limits.handshakes || links >= limits.links {
            return Admission::Ignore;
        }
        if !proven {
            return if self.total >= limits.before_retry {
                Admission::Retry
            } else {
                Admission::Accept
            };
        }
        if self.by_network.count(Network::of(ip)) >= limits.per_network {
            Admission::Ignore
        } else {
            Admission::Accept
        }
    }

    /// Counts a newcomer, until [`end`](Self::end) is told what this gives.
    pub(super) fn begin(&mut self, ip: IpAddr, proven: bool) -> Box<Newcomer> {
        let network = Network::of(ip);
        self.total += 1;
        self.by_network.add(network);
        Box::new(Newcomer {
            network,
            proven,
            unopened: Unopened::default(),
        })
    }

    /// A newcomer is one no more.
    pub(super) fn end(&mut self, newcomer: &Newcomer) {
        self.total -= 1;
        self.by_network.remove(newcomer.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_leaves_room_for_others() {
        let limits = Admissions {
            handshakes: 6,
            before_retry: 3,
            per_network: 4,
            links: 100,
        };
        let (crowded, elsewhere) = (ip("192.0.2.1"), ip("198.51.100.1"));
        let mut handshakes = Handshakes::default();
        let mut begun = Vec::new();
        for count in 0..4 {
            let expected = if count < 3 {
                Admission::Accept
            } else {
                Admission::Retry
            };
            assert_eq!(handshakes.admission(crowded, false, 0, &limits), expected);
            assert_eq!(
                handshakes.admission(crowded, true, 0, &limits),
                Admission::Accept
            );
            begun.push(handshakes.begin(crowded, false));
        }
        let admission = |handshakes: &Handshakes, ip| handshakes.admission(ip, true, 0, &limits);
        assert_eq!(admission(&handshakes, crowded), Admission::Ignore);
        assert_eq!(admission(&handshakes, elsewhere), Admission::Accept);
        begun.push(handshakes.begin(elsewhere, true));
        begun.push(handshakes.begin(elsewhere, true));
        assert_eq!(admission(&handshakes, elsewhere), Admission::Ignore);
        let none = Handshakes::default();
        assert_eq!(
            none.admission(elsewhere, true, 99, &limits),
            Admission::Accept
        );
        assert_eq!(
            none.admission(elsewhere, true, 100, &limits),
            Admission::Ignore
        );
        begun
            .into_iter()
            .for_each(|newcomer| handshakes.end(&newcomer));
        assert_eq!(admission(&handshakes, crowded), Admission::Accept);
        assert_eq!(handshakes.by_network.len(), 0);
    }
}
