//! How TLS checks that the other side has the key that it must have.
//!
//! What the key is entitled to is none of TLS's business. Where a Coordinator is known by its host name, rustls's own
//! verifier is used instead.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        WebPkiSupportedAlgorithms, verify_tls13_signature, verify_tls13_signature_with_raw_key,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::keys::{KeyPin, certificate_key_hash, raw_key, raw_key_hash};
use crate::{ClientId, crypto::provider};

/// Takes whoever proves that it has a key, or the one key.
#[derive(Debug)]
pub(crate) struct KeyVerifier {
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Expected {
    /// Any raw Ed25519 key (RFC 7250). Whose it is, is looked at afterwards.
    AnyIdentity,
    /// The raw Ed25519 key of this hash.
    Identity(ClientId),
    /// The key of this hash, of any kind, in an X.509 certificate of which nothing else counts.
    Pinned(KeyPin),
}

impl KeyVerifier {
    /// Takes all identities.
    pub(crate) fn any_identity() -> Arc<Self> {
        Self::new(Expected::AnyIdentity)
    }

    /// Takes this identity.
    pub(crate) fn identity(expected: ClientId) -> Arc<Self> {
        Self::new(Expected::Identity(expected))
    }

    /// Takes a certificate of this key.
    pub(crate) fn pinned(pin: KeyPin) -> Arc<Self> {
        Self::new(Expected::Pinned(pin))
    }

    fn new(expected: Expected) -> Arc<Self> {
        Arc::new(Self {
            expected,
            algorithms: provider::default_provider().signature_verification_algorithms,
        })
    }

    fn wants_raw_key(&self) -> bool {
        match self.expected {
            Expected::AnyIdentity | Expected::Identity(_) => true,
            Expected::Pinned(_) => false,
        }
    }

    fn check(&self, key: &CertificateDer<'_>) -> Result<(), Error> {
        let (hash, expected) = match self.expected {
            Expected::AnyIdentity => (raw_key_hash(key), None),
            Expected::Identity(id) => (raw_key_hash(key), Some(id)),
            Expected::Pinned(pin) => (certificate_key_hash(key), Some(pin)),
        };
        let hash = hash.ok_or(CertificateError::BadEncoding)?;
        if expected.is_some_and(|expected| expected != hash) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }
}

/// What both of rustls's traits want in the same words.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let error = std::io::Error::other("TLS 1.2 is not in use");
            Err(CertificateError::Other(OtherError(Arc::new(error))).into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            key: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            if self.wants_raw_key() {
                let key = raw_key(key).ok_or(CertificateError::BadEncoding)?;
                verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
            } else {
                verify_tls13_signature(message, key, signature, &self.algorithms)
            }
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            if self.wants_raw_key() {
                vec![SignatureScheme::ED25519]
            } else {
                self.algorithms.supported_schemes()
            }
        }

        fn requires_raw_public_keys(&self) -> bool {
            self.wants_raw_key()
        }
    };
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for KeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}
