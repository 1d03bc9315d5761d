//! An authority of one's own.

use std::{sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
};
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject,
    },
};
use thiserror::Error;
use time::OffsetDateTime;

use super::{
    Certificate, Credential,
    pem::{PKCS8, encode},
    raw::{KeyKind, RawKey},
};
use crate::{Name, Secret};

/// An authority for tests and small teams: one key, which vouches for Clients and Coordinators. What it needs to know of time it is told,
/// since 1970.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use conec_core::{Authorities, Ca, ClientConfig, CoordinatorConfig, Identity, Trust};
///
/// let ca = Ca::generate()?;
/// let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
/// let year = Duration::from_secs(365 * 24 * 3600);
///
/// // Clients trust the Coordinator as the authority vouches for it, and it lets in nobody else than whom it vouches for.
/// let mut coordinator = CoordinatorConfig::new(ca.certify_coordinator(["conec.example.org"], now, year)?);
/// coordinator.authorities = Some(Authorities::new(ca.roots()));
///
/// let identity = Identity::generate()?;
/// let credential = ca.certify(&identity.public_key(), &"alice".parse()?, now, year)?;
/// let mut alice = ClientConfig::new(identity, Trust::Roots(ca.roots()));
/// alice.credential = Some(credential);
/// // Nor does Alice talk to others.
/// alice.peers = Some(Authorities::new(ca.roots()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Ca {
    /// A new authority, whose root is valid for ever.
    pub fn generate() -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(|_| CaError::NoRandomness)?;
        let mut params = params();
        params.not_before = OffsetDateTime::UNIX_EPOCH;
        // The year 9999: no end (RFC 5280, 4.1.2.5).
        params.not_after = date(Duration::from_secs(253_402_300_799))?;
        let certificate = params.self_signed(&key).map_err(|_| CaError::Refused)?;
        Ok(Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority whose root and private key are in this text.
    pub fn from_pem(text: &[u8]) -> Result<Self, CaError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| CaError::NotPem)?;
        let certificate = CertificateDer::from_pem_slice(text).map_err(|_| CaError::NotPem)?;
        let key = PrivateKeyDer::Pkcs8(key);
        let key =
            KeyPair::from_der_and_sign_algo(&key, &PKCS_ED25519).map_err(|_| CaError::NotPem)?;
        Ok(Self {
            certificate,
            issuer: Issuer::new(params(), key),
        })
    }

    /// The root and the private key as text, to be stored where nobody else can read it.
    pub fn to_pem(&self) -> Secret<Vec<u8>> {
        let mut text = encode(PKCS8, &self.issuer.key().serialize_der());
        text += &encode("CERTIFICATE", &self.certificate);
        text.into_bytes().into()
    }

    /// The root alone, for those who are to take this authority's word.
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        // It was made here, or has just been read as one.
        let _ = roots.add(self.certificate.clone());
        Arc::new(roots)
    }

    /// Says of the Client with this [public key](crate::Identity::public_key) that it has this name, from a time on and for so long. The name
    /// has to be one that a host could have, too: without `_`, and no `-` or `.` at either end of a part.
    pub fn certify(
        &self,
        key: &SubjectPublicKeyInfoDer<'_>,
        name: &Name,
        from: Duration,
        lasts: Duration,
    ) -> Result<Credential, CaError> {
        let key = ClientKey::new(key).ok_or(CaError::Key)?;
        let mut params =
            CertificateParams::new([name.to_string()]).map_err(|_| CaError::InvalidName)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        valid(&mut params, from, lasts)?;
        let issued = params.signed_by(&key, &self.issuer);
        let issued = issued.map_err(|_| CaError::Refused)?;
        Credential::new(vec![issued.der().clone()]).map_err(|_| CaError::Refused)
    }

    /// A new key and certificate for a Coordinator under these host names, from a time on and for so long.
    pub fn certify_coordinator(
        &self,
        host_names: impl IntoIterator<Item = impl Into<String>>,
        from: Duration,
        lasts: Duration,
    ) -> Result<Certificate, CaError> {
        let host_names = host_names.into_iter().map(Into::into).collect::<Vec<_>>();
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(|_| CaError::NoRandomness)?;
        let mut params = CertificateParams::new(host_names).map_err(|_| CaError::InvalidName)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid(&mut params, from, lasts)?;
        let issued = params.signed_by(&key, &self.issuer);
        let issued = issued.map_err(|_| CaError::Refused)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Certificate::new(vec![issued.der().clone()], key).map_err(|_| CaError::Refused)
    }
}

/// Why an authority has not done what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CaError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// The text holds no Ed25519 private key in PKCS#8 form or no certificate, or is damaged.
    #[error(
        "there is no `PRIVATE KEY` of Ed25519 or no `CERTIFICATE` in the text, or it is damaged"
    )]
    NotPem,
    /// The key is not one that a Client can have.
    #[error("the key is not a client's public key")]
    Key,
    /// A name is not a valid DNS name.
    #[error("a name for the certificate is not a valid DNS name")]
    InvalidName,
    /// The times are out of the range that a certificate can have.
    #[error(
        "the certificate cannot be valid at these times: they begin after 1970 and end before 10000"
    )]
    Time,
    /// The certificate could not be made.
    #[error("the certificate could not be made")]
    Refused,
}

/// How its root describes itself, and so whom others name as their issuer: all have the same name, and are known by their keys.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = Default::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "conec authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn valid(params: &mut CertificateParams, from: Duration, lasts: Duration) -> Result<(), CaError> {
    params.not_before = date(from)?;
    params.not_after = date(from.saturating_add(lasts))?;
    Ok(())
}

fn date(since: Duration) -> Result<OffsetDateTime, CaError> {
    let seconds = i64::try_from(since.as_secs()).map_err(|_| CaError::Time)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CaError::Time)
}

/// A Client's public key, as it is written into a certificate.
struct ClientKey {
    algorithm: &'static SignatureAlgorithm,
    bits: Vec<u8>,
}

impl ClientKey {
    fn new(key: &SubjectPublicKeyInfoDer<'_>) -> Option<Self> {
        let key = RawKey::new(key)?;
        let algorithm = match key.kind() {
            KeyKind::Ed25519 => &PKCS_ED25519,
            KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
        };
        Some(Self {
            algorithm,
            bits: key.bits().to_vec(),
        })
    }
}

impl PublicKeyData for ClientKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}
