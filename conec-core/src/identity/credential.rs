//! What authorities say of Clients, beside the keys that these have.

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, ServerName, UnixTime, pem::PemObject,
    },
};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

use super::keys::certificate_key_hash;
use crate::{
    ClientId, CredentialError, ErrorCode, Name,
    crypto::provider,
    wire::{read_blocks, write_blocks},
};

/// What an authority says of a Client: a chain of X.509 certificates, the leaf first, which is for the Client's own key.
///
/// The leaf has to name the Client, as its one DNS name among the subject alternative names, in the characters of a [`Name`]; and to be
/// for the authentication of clients, or for anything. Those that the roots have issued themselves can be left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    chain: Arc<[CertificateDer<'static>]>,
}

impl Credential {
    /// The longest chain.
    pub const MAX_CERTIFICATES: usize = 4;
    /// How many bytes the certificates of a chain may have together.
    pub const MAX_LEN: usize = 7000;

    /// Fails if the chain is empty or too long, or its leaf is damaged.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> Result<Self, CredentialError> {
        let leaf = chain.first().ok_or(CredentialError::Malformed)?;
        if chain.len() > Self::MAX_CERTIFICATES {
            return Err(CredentialError::TooDeep);
        }
        if chain.iter().map(|it| it.len()).sum::<usize>() > Self::MAX_LEN {
            return Err(CredentialError::TooLarge);
        }
        certificate_key_hash(leaf).ok_or(CredentialError::Malformed)?;
        let chain = chain.into();
        Ok(Self { chain })
    }

    /// The chain in this text, the leaf first (RFC 7468). What else is in it is not looked at.
    pub fn from_pem(text: &[u8]) -> Result<Self, CredentialError> {
        let chain = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>();
        Self::new(chain.map_err(|_| CredentialError::Malformed)?)
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Whose it is.
    pub fn id(&self) -> ClientId {
        let leaf = self.chain.first().and_then(certificate_key_hash);
        leaf.expect("checked when it was made")
    }

    pub(crate) fn to_wire(&self) -> Bytes {
        write_blocks(self.chain.iter().map(|it| &**it))
    }

    fn from_wire(bytes: Bytes) -> Result<Self, CredentialError> {
        let chain = read_blocks(bytes).map_err(|_| CredentialError::Malformed)?;
        let chain = chain.iter().map(|it| CertificateDer::from(it.to_vec()));
        Self::new(chain.collect())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Credential(of {:?}, {} certificates)",
            self.id(),
            self.chain.len()
        )
    }
}

/// Whose word about Clients is taken, and whether it takes one.
///
/// ```no_run
/// # fn run(root: rustls::pki_types::CertificateDer<'static>) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use conec_core::{Authorities, rustls::RootCertStore};
///
/// let mut roots = RootCertStore::empty();
/// roots.add(root)?;
/// let authorities = Authorities::new(Arc::new(roots));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    revoked: Arc<[CertRevocationList<'static>]>,
    optional: bool,
}

impl Authorities {
    /// Takes those for whom one of these roots vouches, and nobody else.
    pub fn new(roots: Arc<RootCertStore>) -> Self {
        Self {
            roots,
            revoked: [].into(),
            optional: false,
        }
    }

    /// Takes those too who have no [`Credential`] at all. One that is not good is refused all the same.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Takes nobody who is in one of these lists of what was revoked, each of one authority (RFC 5280, 5). Of an authority without a list,
    /// nothing is revoked.
    pub fn with_revocations(
        mut self,
        lists: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
    ) -> Result<Self, CredentialError> {
        let read = |list: CertificateRevocationListDer<'_>| {
            let list = OwnedCertRevocationList::from_der(&list);
            list.map(CertRevocationList::from)
                .map_err(|_| CredentialError::Malformed)
        };
        let lists: Result<Vec<_>, _> = lists.into_iter().map(read).collect();
        self.revoked = lists?.into();
        Ok(self)
    }

    pub(crate) fn is_required(&self) -> bool {
        !self.optional
    }

    /// What is proved by the credential in these bytes of who has this key, at a time since 1970.
    pub(crate) fn check(
        &self,
        id: ClientId,
        bytes: Bytes,
        time: Duration,
    ) -> Result<Certified, CredentialError> {
        let credential = Credential::from_wire(bytes)?;
        if credential.id() != id {
            return Err(CredentialError::OtherKey);
        }
        let (leaf, issuers) = credential
            .chain
            .split_first()
            .ok_or(CredentialError::Malformed)?;
        let leaf = EndEntityCert::try_from(leaf).map_err(|_| CredentialError::Malformed)?;
        let revoked: Vec<_> = self.revoked.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&revoked).ok();
        let revocation =
            revocation.map(|it| it.with_status_policy(UnknownStatusPolicy::Allow).build());
        let algorithms = provider::default_provider().signature_verification_algorithms;
        leaf.verify_for_usage(
            algorithms.all,
            &self.roots.roots,
            issuers,
            UnixTime::since_unix_epoch(time),
            KeyUsage::client_auth(),
            revocation,
            None,
        )?;
        let mut names = leaf.valid_dns_names();
        let name = match (names.next(), names.next()) {
            (Some(name), None) => name,
            (None, _) => return Err(CredentialError::NoName),
            (Some(_), Some(_)) => return Err(CredentialError::ManyNames),
        };
        // It is one that the roots may name, and no pattern.
        let server_name = ServerName::try_from(name).map_err(|_| CredentialError::BadName)?;
        leaf.verify_is_valid_for_subject_name(&server_name)
            .map_err(|_| CredentialError::BadName)?;
        let name = name.parse().map_err(|_| CredentialError::BadName)?;
        Ok(Certified { name })
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities")
            .field("roots", &self.roots.len())
            .field("revocation_lists", &self.revoked.len())
            .field("optional", &self.optional)
            .finish()
    }
}

/// What an authority has said of somebody, and was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certified {
    /// What it calls the Client.
    pub name: Name,
}

impl CredentialError {
    /// What the other side is told.
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::Missing => ErrorCode::CredentialMissing,
            Self::Expired | Self::NotYetValid => ErrorCode::CredentialExpired,
            Self::Malformed
            | Self::TooLarge
            | Self::TooDeep
            | Self::OtherKey
            | Self::UnknownIssuer
            | Self::Revoked
            | Self::Purpose
            | Self::Rules
            | Self::NoName
            | Self::ManyNames
            | Self::BadName => ErrorCode::Credential,
        }
    }
}

impl From<webpki::Error> for CredentialError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "there are many ways not to follow the rules"
    )]
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::CertExpired { .. } => Self::Expired,
            webpki::Error::CertNotValidYet { .. } => Self::NotYetValid,
            // Another key under the name of one that is known.
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                Self::UnknownIssuer
            }
            webpki::Error::CertRevoked => Self::Revoked,
            webpki::Error::RequiredEkuNotFoundContext(_) => Self::Purpose,
            webpki::Error::BadDer | webpki::Error::BadDerTime => Self::Malformed,
            _ => Self::Rules,
        }
    }
}
