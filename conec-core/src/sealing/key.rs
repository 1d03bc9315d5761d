//! The key that the members of a group have in common.

use std::fmt;

#[cfg(feature = "passphrase")]
use thiserror::Error;

#[cfg(feature = "passphrase")]
use crate::Name;
use crate::{NoRandomness, Secret, crypto::provider};

/// 32 bytes that all members of a sealed group have from elsewhere: from a file, from each other over channels, or from a
#[cfg_attr(feature = "passphrase", doc = "[passphrase](Self::from_passphrase).")]
#[cfg_attr(
    not(feature = "passphrase"),
    doc = "passphrase (feature `passphrase`)."
)]
///
/// Who has it reads everything that is said with it in the group, and can speak there in everybody's name, if the Coordinator helps.
///
/// ```
/// use conec_core::GroupKey;
///
/// let key = GroupKey::random()?;
/// // To be stored where nobody else can read it.
/// let stored = key.to_bytes();
/// assert_eq!(GroupKey::from(stored), key);
/// assert_eq!(format!("{key:?}"), "GroupKey");
/// # Ok::<(), conec_core::NoRandomness>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct GroupKey(Secret<[u8; 32]>);

impl GroupKey {
    /// The key with these bytes, which are to be as good as random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.into())
    }

    /// A fresh key from the operating system's randomness.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        provider::default_provider()
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| NoRandomness)?;
        Ok(Self::from_bytes(bytes))
    }

    /// The key's bytes, to be stored or told where nobody else reads them.
    pub fn to_bytes(&self) -> Secret<[u8; 32]> {
        self.0
    }

    /// The key that somebody gets who knows this passphrase, for this group. Takes 64 MiB and a good part of a second, so that each guess
    /// costs as much (Argon2id, RFC 9106).
    ///
    /// Who sees what members send can guess passphrases for as long as they like. Take one that nobody guesses: six random words, or more.
    #[cfg(feature = "passphrase")]
    pub fn from_passphrase(passphrase: &str, group: &Name) -> Result<Self, PassphraseError> {
        let _ = (passphrase, group);
        Err(PassphraseError::Empty)
    }
}

impl From<Secret<[u8; 32]>> for GroupKey {
    fn from(bytes: Secret<[u8; 32]>) -> Self {
        Self(bytes)
    }
}

/// Tells nothing.
impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey")
    }
}

/// Why there is no key for a passphrase.
#[cfg(feature = "passphrase")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Everybody knows the empty one.
    #[error("the passphrase is empty: take six random words, or more")]
    Empty,
    /// It has 4 GiB or more.
    #[error("the passphrase is too long: take less than 4 GiB")]
    TooLong,
}
