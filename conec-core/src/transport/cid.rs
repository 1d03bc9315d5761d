//! Connection IDs that say where a packet is going (`PROTOCOL.md`, "Connection IDs").

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use rand::{RngCore, SeedableRng, rngs::StdRng};

use crate::wire::{CID_LEN, Route};

/// Issues connection IDs of one of the two kinds.
pub(super) struct CidGenerator {
    /// The route that each ID begins with; without one they are a home channel's.
    route: Option<Route>,
    /// Of the next ID, and of the seed after it. A generator that kept its state would take
    /// eight times as much, in each connection, for the few IDs that one ever issues.
    seed: [u8; 32],
}

impl CidGenerator {
    pub(super) fn new(route: Option<Route>, seed: [u8; 32]) -> Self {
        Self { route, seed }
    }
}

impl ConnectionIdGenerator for CidGenerator {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut rng = StdRng::from_seed(self.seed);
        rng.fill_bytes(&mut self.seed);
        let mut cid = [0; CID_LEN];
        rng.fill_bytes(&mut cid);
        match self.route {
            Some(route) => cid[..Route::LEN].copy_from_slice(&route.to_bytes()),
            None => cid[0] &= 0x7f,
        }
        ConnectionId::new(&cid)
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        let ours = cid.len() == CID_LEN && Route::of_cid(cid) == self.route;
        ours.then_some(()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        CID_LEN
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_are_alike() {
        let mut issuer = CidGenerator::new(None, [7; 32]);
        let all: BTreeSet<Vec<u8>> = (0..1000).map(|_| issuer.generate_cid().to_vec()).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn each_takes_only_ids_of_its_own_for_its_own() {
        let routes = [None, Some(Route::from_bits(1)), Some(Route::from_bits(2))];
        let mut all = routes.map(|route| CidGenerator::new(route, [7; 32]));
        for issuer in 0..all.len() {
            let id = all[issuer].generate_cid();
            for (other, it) in all.iter().enumerate() {
                let is_own = it.validate(&id).is_ok();
                assert_eq!(is_own, other == issuer, "{id:?} of {issuer} at {other}");
            }
            let cut_short = ConnectionId::new(&id[..CID_LEN - 1]);
            assert!(all[issuer].validate(&cut_short).is_err());
        }
    }
}
