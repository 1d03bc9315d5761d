//! Keys: a Client's [`Identity`] and a Coordinator's [`Certificate`].
//!
//! ```
//! use conec_core::Identity;
//!
//! // A new identity; keep the seed secret and safe, it is the identity.
//! let seed = Identity::generate_seed()?;
//! let identity = Identity::from_seed(seed);
//! println!("I am {}", identity.id());
//! # Ok::<(), conec_core::NoRandomness>(())
//! ```

use std::{fmt, sync::Arc};

use bytes::Bytes;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer},
    server::ParsedCertificate,
    sign::{CertifiedKey, SigningKey},
};
use thiserror::Error;

use super::{
    Signer,
    raw::{RawKey, hash_of_spki},
    signer::Elsewhere,
};
use crate::{
    ClientId, Secret,
    crypto::{
        hkdf::{HKDF_SHA256, Salt},
        provider,
    },
};

/// A Client's key pair, Ed25519 or ECDSA P-256, which proves who the Client is.
#[derive(Clone)]
pub struct Identity {
    id: ClientId,
    certified: Arc<CertifiedKey>,
    /// Unless the private key is elsewhere.
    pkcs8: Option<Arc<PrivatePkcs8KeyDer<'static>>>,
}

impl Identity {
    /// A fresh identity from the operating system's randomness, with an Ed25519 key.
    pub fn generate() -> Result<Self, NoRandomness> {
        Self::generate_seed().map(Self::from_seed)
    }

    /// 32 bytes from the operating system's randomness, for [`from_seed`](Self::from_seed).
    pub fn generate_seed() -> Result<[u8; 32], NoRandomness> {
        let mut seed = [0; 32];
        provider::default_provider()
            .secure_random
            .fill(&mut seed)
            .map_err(|_| NoRandomness)?;
        Ok(seed)
    }

    /// The identity whose Ed25519 private key (RFC 8032, 5.1.5) is `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let mut der = Vec::with_capacity(ED25519_PKCS8_PREFIX.len() + seed.len());
        der.extend_from_slice(&ED25519_PKCS8_PREFIX);
        der.extend_from_slice(&seed);
        Self::from_pkcs8(PrivatePkcs8KeyDer::from(der))
            .expect("the prefix and any 32 bytes are a valid Ed25519 key")
    }

    /// The identity of a private key in PKCS#8 form, as most tools write it: Ed25519 (RFC 8410), or ECDSA P-256 (RFC 5915) with the public
    /// key beside the private one.
    pub fn from_pkcs8(key: PrivatePkcs8KeyDer<'static>) -> Result<Self, KeyError> {
        let signing = match provider::sign::any_eddsa_type(&key) {
            Ok(signing) => signing,
            Err(_) => {
                let key = PrivateKeyDer::Pkcs8(key.secret_pkcs8_der().into());
                provider::sign::any_ecdsa_type(&key).map_err(|_| KeyError::NotEd25519OrP256)?
            }
        };
        // Other curves can be read as well.
        let public = signing.public_key().ok_or(KeyError::NotEd25519OrP256)?;
        let public = public.as_ref().to_vec();
        let id = RawKey::new(&public).ok_or(KeyError::NotEd25519OrP256)?.id();
        Ok(Self {
            id,
            certified: certified(public, signing),
            pkcs8: Some(Arc::new(key)),
        })
    }

    /// The identity of a key that is kept elsewhere. Asks only for the public key: whether the signer signs as it should shows in the first
    /// handshake.
    pub fn from_signer(signer: Arc<dyn Signer>) -> Result<Self, KeyError> {
        let public = signer.public_key().as_ref().to_vec();
        let key = RawKey::new(&public).ok_or(KeyError::NotEd25519OrP256)?;
        let (id, signing) = (key.id(), Arc::new(Elsewhere::new(signer, key)));
        Ok(Self {
            id,
            certified: certified(public, signing),
            pkcs8: None,
        })
    }

    /// The private key in PKCS#8 form (RFC 5958), to be stored where nobody else can read it. `None` if it is kept
    /// [elsewhere](Self::from_signer).
    pub fn to_pkcs8(&self) -> Option<Secret<Bytes>> {
        let key = self.pkcs8.as_ref()?;
        Some(Bytes::copy_from_slice(key.secret_pkcs8_der()).into())
    }

    /// The identity's public name.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The public key (RFC 5280, 4.1.2.7), for an authority to [certify](crate::Credential).
    pub fn public_key(&self) -> SubjectPublicKeyInfoDer<'static> {
        let key = self.certified.cert.first();
        let key = key.expect("it is what TLS shows of this identity");
        key.to_vec().into()
    }

    /// The key as a TLS raw public key (RFC 7250).
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.id)
    }
}

/// A Coordinator's X.509 certificate chain and private key.
#[derive(Clone)]
pub struct Certificate {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(super) key: Arc<PrivateKeyDer<'static>>,
}

impl Certificate {
    /// The certificate `chain`, leaf first, and the leaf's private key.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let signing: Arc<dyn SigningKey> = provider::sign::any_supported_type(&key)
            .map_err(|_| CertificateError::UnsupportedKey)?;
        let certified = CertifiedKey::new(chain, signing);
        certified
            .keys_match()
            .map_err(|_| CertificateError::Mismatch)?;
        let leaf = certified.end_entity_cert().ok();
        leaf.and_then(certificate_key_hash)
            .ok_or(CertificateError::Mismatch)?;
        Ok(Self {
            certified: Arc::new(certified),
            key: Arc::new(key),
        })
    }

    /// A key for something else, which is the same whenever the certificate has the same private key (RFC 5869).
    pub fn derive_key(&self, purpose: &str) -> Secret<[u8; 32]> {
        let mut key = [0; 32];
        let purpose = [purpose.as_bytes()];
        let secret = Salt::new(HKDF_SHA256, b"conec certificate").extract(self.key.secret_der());
        let filled = secret
            .expand(&purpose, HKDF_SHA256)
            .and_then(|it| it.fill(&mut key));
        filled.expect("it is as long as the hash");
        key.into()
    }

    /// A fresh self-signed Ed25519 certificate for these host names. Clients trust it by its [`pin`](Self::pin).
    #[cfg(feature = "self-signed")]
    pub fn self_signed(
        host_names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, SelfSignedError> {
        let host_names = host_names.into_iter().map(Into::into).collect::<Vec<_>>();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
            .map_err(|_| SelfSignedError::NoRandomness)?;
        let certificate = rcgen::CertificateParams::new(host_names)
            .and_then(|params| params.self_signed(&key))
            .map_err(|_| SelfSignedError::InvalidHostName)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Self::new(vec![certificate.der().clone()], key)
            .map_err(|_| SelfSignedError::InvalidHostName)
    }

    /// The hash of the certificate's public key, by which Clients can trust this Coordinator without a CA.
    pub fn pin(&self) -> KeyPin {
        let leaf = self.certified.end_entity_cert().ok();
        leaf.and_then(certificate_key_hash)
            .expect("checked when it was made")
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:?})", self.pin())
    }
}

/// The SHA-256 hash of the SubjectPublicKeyInfo of a Coordinator's key. Printed and parsed as 56 letters and digits.
pub type KeyPin = ClientId;

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// Why a private key cannot be an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A Client's key must be an Ed25519 or ECDSA P-256 key; a private one in PKCS#8 form, a public one in the form that
    /// [`Signer`] has.
    #[error(
        "the key is not Ed25519 or ECDSA P-256, or is damaged or in another form: make one with `openssl genpkey -algorithm ed25519`, or `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
    )]
    NotEd25519OrP256,
    /// The text holds no private key in PKCS#8 form, or is damaged.
    #[error(
        "there is no `PRIVATE KEY` in the text, or it is damaged: `openssl pkcs8 -topk8 -nocrypt` makes one of an `EC PRIVATE KEY`"
    )]
    NotPem,
}

/// Why a chain and a private key cannot be a [`Certificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The private key is of a kind that TLS 1.3 cannot use, or is damaged.
    #[error("the private key is damaged or of an unsupported kind: use Ed25519, ECDSA or RSA")]
    UnsupportedKey,
    /// The certificate chain is empty, damaged, or belongs to another private key.
    #[error("the certificate chain is empty or damaged, or does not belong to the private key")]
    Mismatch,
    /// The text holds no private key or no certificate, or is damaged.
    #[error("there is no private key or no certificate in the text, or it is damaged")]
    NotPem,
}

/// Why there is no self-signed [`Certificate`].
#[cfg(feature = "self-signed")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SelfSignedError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// A host name is not a valid DNS name.
    #[error("a host name for the certificate is not a valid DNS name")]
    InvalidHostName,
}

/// The hash of the key that was shown, as a raw one or in a certificate.
pub(crate) fn key_hash(shown: &CertificateDer<'_>) -> Option<ClientId> {
    let raw = RawKey::new(shown);
    raw.map(RawKey::id).or_else(|| certificate_key_hash(shown))
}

/// The hash of the key of an X.509 certificate, unless that is damaged.
pub(super) fn certificate_key_hash(certificate: &CertificateDer<'_>) -> Option<KeyPin> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    Some(hash_of_spki(certificate.subject_public_key_info().as_ref()))
}

/// What TLS shows of a Client and signs with: the raw key in the place of a certificate.
fn certified(public: Vec<u8>, signing: Arc<dyn SigningKey>) -> Arc<CertifiedKey> {
    let shown = vec![CertificateDer::from(public)];
    Arc::new(CertifiedKey::new(shown, signing))
}

/// A PKCS#8 version 1 wrapping of an Ed25519 private key, up to the key itself (RFC 8410, 7).
const ED25519_PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::{
        super::samples::{ED25519, P256, P384, Sample},
        *,
    };

    #[test]
    fn a_private_key_of_each_kind_is_an_identity() {
        for sample in [ED25519, P256] {
            let identity = Identity::from_pkcs8(sample.pkcs8()).unwrap();
            assert_eq!(identity.public_key().as_ref(), sample.spki());
            assert_eq!(identity.id(), hash_of_spki(&sample.spki()));
            let key = identity.to_pkcs8().unwrap();
            assert_eq!(key.as_ref(), sample.pkcs8().secret_pkcs8_der());
            let text = identity.to_pem().unwrap();
            let same = Identity::from_pem(text.as_ref()).unwrap();
            assert_eq!(same.id(), identity.id());
        }
    }

    #[test]
    fn a_private_key_that_no_client_can_have_or_that_is_damaged_is_refused() {
        let der = |sample: Sample| sample.pkcs8().secret_pkcs8_der().to_vec();
        let mut refused = vec![der(P384), Vec::new(), b"no key".to_vec(), P256.spki()];
        for sample in [ED25519, P256] {
            let der = der(sample);
            refused.extend((0..der.len()).map(|cut| der[..cut].to_vec()));
        }
        // Its public key is another one.
        let mut torn = der(P256);
        *torn.last_mut().unwrap() ^= 1;
        refused.push(torn);
        for der in refused {
            let refused = Identity::from_pkcs8(der.clone().into()).map(|it| it.id());
            assert_eq!(refused, Err(KeyError::NotEd25519OrP256), "{der:x?}");
        }
    }

    /// Has this public key, and nothing to sign with.
    struct Shows(Sample);

    impl Signer for Shows {
        fn public_key(&self) -> SubjectPublicKeyInfoDer<'static> {
            self.0.spki().into()
        }

        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
            Err("there is no key".into())
        }
    }

    #[test]
    fn who_has_a_key_elsewhere_is_who_has_it_here() {
        for sample in [ED25519, P256] {
            let there = Identity::from_signer(Arc::new(Shows(sample))).unwrap();
            let here = Identity::from_pkcs8(sample.pkcs8()).unwrap();
            assert_eq!(there.id(), here.id());
            assert_eq!(there.public_key(), here.public_key());
            assert!(there.to_pkcs8().is_none() && there.to_pem().is_none());
        }
        let refused = Identity::from_signer(Arc::new(Shows(P384))).map(|it| it.id());
        assert_eq!(refused, Err(KeyError::NotEd25519OrP256));
    }

    #[test]
    fn no_two_identities_that_are_generated_are_the_same() {
        let seeds = [(); 2].map(|()| Identity::generate_seed().unwrap());
        assert_ne!(seeds[0], seeds[1]);
        let ids = [(); 2].map(|()| Identity::generate().unwrap().id());
        assert_ne!(ids[0], ids[1]);
    }
}
