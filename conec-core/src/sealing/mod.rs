//! Sealed groups: members have a key in common that the Coordinator does not have, and seal what they send to each other.

mod key;
mod keyring;
mod sealer;
mod senders;
#[cfg(test)]
mod tests;

#[cfg(feature = "passphrase")]
pub use self::key::PassphraseError;
pub use self::{
    key::GroupKey,
    keyring::KeySealer,
    sealer::{
        BeginError, GroupSealer, KeyMatch, KeyNotUsed, Membership, Opened, SealError, UnsealError,
    },
};
