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

use super::{
    keys::{KeyPin, certificate_key_hash},
    raw::{KeyKind, RawKey},
};
use crate::{ClientId, crypto::provider};

/// Takes whoever proves that it has a key, or the one key.
#[derive(Debug)]
pub(crate) struct KeyVerifier {
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Expected {
    /// Any raw key that a Client can have. Whose it is, is looked at afterwards.
    AnyIdentity,
    /// The raw key of this hash.
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
        let raw = RawKey::new(key).map(RawKey::id);
        let (hash, expected) = match self.expected {
            Expected::AnyIdentity => (raw, None),
            Expected::Identity(id) => (raw, Some(id)),
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
                // A scheme that does not fit the key is refused there, and a point that is not on the curve.
                let key = RawKey::new(key).ok_or(CertificateError::BadEncoding)?;
                let spki = key.spki();
                verify_tls13_signature_with_raw_key(message, &spki, signature, &self.algorithms)
            } else {
                verify_tls13_signature(message, key, signature, &self.algorithms)
            }
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            if self.wants_raw_key() {
                KeyKind::ALL.map(KeyKind::scheme).to_vec()
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

#[cfg(test)]
mod tests {
    use rustls::{
        internal::msgs::codec::Codec,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };

    use super::{
        super::samples::{ED25519, OTHER_P256, P256, Sample},
        *,
    };

    const MESSAGE: &[u8] = b"what was said until now";

    fn sign(sample: Sample) -> Vec<u8> {
        let key: PrivatePkcs8KeyDer<'_> = sample.pkcs8();
        let key = provider::sign::any_supported_type(&PrivateKeyDer::Pkcs8(key)).unwrap();
        let offered = KeyKind::ALL.map(KeyKind::scheme);
        key.choose_scheme(&offered).unwrap().sign(MESSAGE).unwrap()
    }

    /// Whether a Coordinator and the end of a channel take this for a signature by the key.
    fn is_taken(key: &[u8], scheme: SignatureScheme, signature: &[u8]) -> bool {
        let mut wire = Vec::new();
        scheme.encode(&mut wire);
        (signature.len() as u16).encode(&mut wire);
        wire.extend_from_slice(signature);
        let signature = DigitallySignedStruct::read_bytes(&wire).unwrap();
        let key = CertificateDer::from(key);
        let verifier = KeyVerifier::any_identity();
        let of_client =
            ClientCertVerifier::verify_tls13_signature(&*verifier, MESSAGE, &key, &signature);
        let of_server =
            ServerCertVerifier::verify_tls13_signature(&*verifier, MESSAGE, &key, &signature);
        assert_eq!(of_client.is_ok(), of_server.is_ok());
        of_client.is_ok()
    }

    #[test]
    fn a_key_signs_with_its_own_scheme_and_no_other() {
        let verifier = KeyVerifier::any_identity();
        let schemes = ClientCertVerifier::supported_verify_schemes(&*verifier);
        let own = [
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ];
        assert_eq!(schemes, own);
        let others = [
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::ED448,
            SignatureScheme::Unknown(0xfefe),
        ];
        for (key, right) in [(ED25519, own[0]), (P256, own[1])] {
            for scheme in own.into_iter().chain(others) {
                for signed in [ED25519, P256] {
                    let taken = is_taken(&key.spki(), scheme, &sign(signed));
                    let is_right = scheme == right && signed.spki() == key.spki();
                    assert_eq!(taken, is_right, "{right:?} {scheme:?}");
                }
            }
        }
    }

    #[test]
    fn only_the_key_itself_signs() {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        let signature = sign(P256);
        assert!(is_taken(&P256.spki(), scheme, &signature));
        assert!(!is_taken(&OTHER_P256.spki(), scheme, &signature));
        // Not on the curve, by one bit of either coordinate.
        for at in [58, 90] {
            let mut spki = P256.spki();
            spki[at] ^= 1;
            assert!(!is_taken(&spki, scheme, &signature));
        }
        for at in 0..signature.len() {
            let mut damaged = signature.clone();
            damaged[at] ^= 1;
            assert!(!is_taken(&P256.spki(), scheme, &damaged), "{at}");
        }
        for wrong in [&[][..], &[7; 64]] {
            assert!(!is_taken(&P256.spki(), scheme, wrong));
        }
    }
}
