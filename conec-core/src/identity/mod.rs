//! Who is who: keys, how they are checked, and what is known of the other side.

#[cfg(feature = "self-signed")]
mod ca;
mod credential;
mod keys;
mod known;
mod pem;
mod raw;
#[cfg(test)]
mod samples;
mod signer;
mod verifier;

pub use self::credential::{Authorities, Certified, Credential};
pub use self::keys::{Certificate, CertificateError, Identity, KeyError, KeyPin, NoRandomness};
pub use self::known::{KeyChange, KnownClients};
pub use self::signer::Signer;
#[cfg(feature = "self-signed")]
pub use self::{
    ca::{Ca, CaError},
    keys::SelfSignedError,
};
pub(crate) use self::{keys::key_hash, signer::NOT_SIGNED, verifier::KeyVerifier};

use crate::ClientId;

/// Who is at the other end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerIdentity {
    /// The hash of the key of which TLS has proved that the other side has it, as a bare key or in a certificate.
    pub(crate) id: ClientId,
}
