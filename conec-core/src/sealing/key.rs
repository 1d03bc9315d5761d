//! The key that the members of a group have in common.

use std::fmt;

#[cfg(feature = "passphrase")]
use argon2::{Algorithm, Argon2, Params, Version};
use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;
#[cfg(feature = "passphrase")]
use thiserror::Error;

#[cfg(feature = "passphrase")]
use crate::crypto::digest;
use crate::{
    ClientId, Name, NoRandomness, Secret,
    crypto::{
        aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
        hkdf::{self, HKDF_SHA256},
        provider,
    },
    wire::{KeyTag, MembershipTag, SealedHeader, Varint},
};

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
        if passphrase.is_empty() {
            return Err(PassphraseError::Empty);
        }
        let mut salt = digest::Context::new(&digest::SHA256);
        salt.update(b"conec group passphrase");
        salt.update(group.as_str().as_bytes());
        let mut key = [0; 32];
        // The second of the options that RFC 9106, 4 recommends.
        let params = Params::new(64 << 10, 3, 4, Some(key.len()));
        let params = params.expect("all are in their ranges");
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), salt.finish().as_ref(), &mut key)
            .map_err(|_| PassphraseError::TooLong)?;
        Ok(Self::from_bytes(key))
    }

    /// By what messages that are sealed with this key are known.
    pub(super) fn tag(&self, group: &Name) -> KeyTag {
        let derived = self.derive(&[b"conec group key tag", &block(group)]);
        std::array::from_fn(|at| derived[at])
    }

    /// What shows that this member has the key, and nobody else can show for itself.
    pub(super) fn proof(&self, group: &Name, member: ClientId) -> [u8; 32] {
        let said: [&[u8]; 3] = [b"conec group proof", &block(group), member.as_bytes()];
        self.derive(&said)
    }

    /// The key for the messages that a member sends in one of its memberships.
    pub(super) fn message_key(&self, origin: &Origin<'_>) -> MessageKey {
        let Origin {
            group,
            incarnation,
            sender,
            membership: MembershipTag { born, salt },
        } = origin;
        let said: [&[u8]; 5] = [
            b"conec group sender",
            &block(group),
            &incarnation.to_be_bytes(),
            sender.as_bytes(),
            &born.to_be_bytes(),
        ];
        let secret = hkdf::Salt::new(HKDF_SHA256, salt).extract(self.0.as_ref());
        let key = secret.expand(&said, &AES_256_GCM).map(UnboundKey::from);
        let key = key.expect("a key is much shorter than the longest output of HKDF");
        MessageKey(LessSafeKey::new(key))
    }

    fn derive(&self, said: &[&[u8]]) -> [u8; 32] {
        let mut derived = [0; 32];
        let secret = hkdf::Salt::new(HKDF_SHA256, &[]).extract(self.0.as_ref());
        let filled = secret
            .expand(said, HKDF_SHA256)
            .and_then(|it| it.fill(&mut derived));
        filled.expect("it is as long as the hash");
        derived
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

/// Whose messages a key is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) group: &'a Name,
    pub(super) incarnation: u64,
    pub(super) sender: ClientId,
    pub(super) membership: MembershipTag,
}

impl Origin<'_> {
    /// What is authenticated with each message, beside the message: where it belongs, and what it says of itself.
    fn authenticated(&self, header: &[u8]) -> Aad<Short> {
        let mut said = block(self.group);
        said.extend_from_slice(&self.incarnation.to_be_bytes());
        said.extend_from_slice(self.sender.as_bytes());
        said.extend_from_slice(header);
        Aad::from(said)
    }
}

/// Seals and opens the messages that one member sends in one membership.
pub(super) struct MessageKey(LessSafeKey);

impl MessageKey {
    /// Puts the message behind its header. Fails if it is too large.
    pub(super) fn seal(
        &self,
        origin: &Origin<'_>,
        header: &SealedHeader,
        message: &[u8],
    ) -> Result<Bytes, TooLarge> {
        let mut sealed = Vec::with_capacity(MAX_OVERHEAD.saturating_add(message.len()));
        header.encode(&mut sealed);
        let said = origin.authenticated(&sealed);
        let start = sealed.len();
        sealed.extend_from_slice(message);
        let nonce = nonce(header.counter);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, said, &mut sealed[start..])
            .map_err(|_| TooLarge)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed.into())
    }

    /// The message that this is with its header in front, in the same memory. `None` if it is not genuine.
    pub(super) fn open(
        &self,
        origin: &Origin<'_>,
        counter: u64,
        mut sealed: BytesMut,
        header_len: usize,
    ) -> Option<Bytes> {
        let said = origin.authenticated(&sealed[..header_len]);
        sealed.advance(header_len);
        let opened = self.0.open_in_place(nonce(counter), said, &mut sealed);
        let len = opened.ok()?.len();
        sealed.truncate(len);
        Some(sealed.freeze())
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey")
    }
}

/// The cipher does not take so much.
#[derive(Debug)]
pub(super) struct TooLarge;

/// Each message of a membership has another counter, and each membership another key.
fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// The name with its length in front, so that no other text reads the same.
fn block(group: &Name) -> Short {
    let name = group.as_str().as_bytes();
    let mut block = Short::from_slice(&Varint::new(name.len() as u64));
    block.extend_from_slice(name);
    block
}

/// Has room for all that is authenticated with a message, so that none has to be taken for each.
type Short = SmallVec<[u8; 256]>;

/// By how many bytes a sealed message is longer than the message, at most.
pub(super) const MAX_OVERHEAD: usize = SealedHeader::MAX_LEN + TAG_LEN;
const TAG_LEN: usize = 16;

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
