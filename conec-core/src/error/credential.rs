//! What can be wrong with what an authority says.

use thiserror::Error;

/// Why a [`Credential`](crate::Credential) is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// There is none, and there has to be one.
    #[error("there is no credential: have an authority issue one")]
    Missing,
    /// It is damaged, or something else.
    #[error("the credential is damaged, or holds something else than X.509 certificates")]
    Malformed,
    /// Its certificates have too many bytes.
    #[error("the credential is larger than 7000 bytes")]
    TooLarge,
    /// It has too many certificates.
    #[error("the credential has more than 4 certificates: leave out roots")]
    TooDeep,
    /// Its leaf is for another key than that of who shows it.
    #[error("the credential is for another key")]
    OtherKey,
    /// It is not valid yet.
    #[error("the credential is not valid yet: check the clocks")]
    NotYetValid,
    /// It is not valid any more.
    #[error("the credential has expired: have another one issued, or check the clocks")]
    Expired,
    /// None of the roots vouches for it.
    #[error("the credential was issued by nobody that is known here")]
    UnknownIssuer,
    /// Its issuer has revoked it.
    #[error("the credential was revoked")]
    Revoked,
    /// It is for something else than authenticating clients.
    #[error("the credential is not for the authentication of clients")]
    Purpose,
    /// Its issuer may not issue it, or what was issued is broken in itself.
    #[error("the credential, or one that it was issued with, does not follow the rules")]
    Rules,
    /// It names nobody.
    #[error("the credential names nobody: one DNS name is to be its subject alternative name")]
    NoName,
    /// It has more than one name.
    #[error("the credential has more than one name")]
    ManyNames,
    /// Its name is not one that a Client can have, or not the one that was asked for.
    #[error("the name in the credential is another one, or none that a client can have")]
    BadName,
}
