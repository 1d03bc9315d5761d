//! TLS 1.3 in the two ways that conec uses it: home channels and peer channels.

use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use crate::{
    Certificate, ClientId, ConfigError, Identity, KeyPin, Trust,
    crypto::provider::{
        self,
        cipher_suite::{
            TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
        },
    },
    identity::{id_of_public_key, key_pin},
};

/// What a home channel's sides agree to speak (RFC 7301).
const ALPN_HOME: &[u8] = b"conec/1";
/// What a peer channel's sides agree to speak. Another name, so that one can never be taken for the other.
const ALPN_PEER: &[u8] = b"conec-peer/1";

/// The Coordinator's side of home channels.
pub(super) fn home_server(certificate: &Certificate) -> Result<Arc<QuicServerConfig>, ConfigError> {
    let resolver = Arc::new(SingleCertificate(Arc::clone(&certificate.certified)));
    server(RawKeyVerifier::anyone(), resolver, ALPN_HOME)
}

/// A Client's side of its home channel.
pub(super) fn home_client(
    identity: &Identity,
    trust: &Trust,
) -> Result<Arc<QuicClientConfig>, ConfigError> {
    let provider = provider();
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Pin(pin) => Arc::new(PinVerifier {
            pin: *pin,
            algorithms: provider.signature_verification_algorithms,
        }),
        Trust::Roots(roots) => {
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider)
                .build()
                .map_err(|error| ConfigError::Tls(error.to_string()))?
        }
    };
    client(identity, verifier, ALPN_HOME, true)
}

/// The acceptor's side of a peer channel with `expected`.
pub(super) fn peer_server(
    identity: &Identity,
    expected: ClientId,
) -> Result<Arc<QuicServerConfig>, ConfigError> {
    let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.certified()));
    server(RawKeyVerifier::only(expected), resolver, ALPN_PEER)
}

/// The initiator's side of a peer channel with `expected`.
pub(super) fn peer_client(
    identity: &Identity,
    expected: ClientId,
) -> Result<Arc<QuicClientConfig>, ConfigError> {
    client(identity, RawKeyVerifier::only(expected), ALPN_PEER, false)
}

/// The identity that the other side has proved, if it did so by a raw public key.
pub(super) fn proven_identity(session: &dyn quinn_proto::crypto::Session) -> Option<ClientId> {
    let chain = session
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    let key = raw_ed25519_key(chain.first()?).ok()?;
    Some(id_of_public_key(key.as_ref()))
}

/// The suite that comes first is the one that is used: the client's order counts.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = provider::default_provider();
    let mut suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384];
    if has_fast_aes() {
        suites.push(TLS13_CHACHA20_POLY1305_SHA256);
    } else {
        suites.insert(0, TLS13_CHACHA20_POLY1305_SHA256);
    }
    provider.cipher_suites = suites;
    Arc::new(provider)
}

/// Whether the processor has instructions for AES-GCM, without which ChaCha20 is several times as fast.
fn has_fast_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

fn server(
    verifier: Arc<RawKeyVerifier>,
    resolver: Arc<dyn ResolvesServerCert>,
    alpn: &[u8],
) -> Result<Arc<QuicServerConfig>, ConfigError> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls_error)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![alpn.to_vec()];
    // Resumption would skip the check of the client's key.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    QuicServerConfig::try_from(config)
        .map(Arc::new)
        .map_err(|error| ConfigError::Tls(error.to_string()))
}

fn client(
    identity: &Identity,
    verifier: Arc<dyn ServerCertVerifier>,
    alpn: &[u8],
    sni: bool,
) -> Result<Arc<QuicClientConfig>, ConfigError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(tls_error)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            identity.certified(),
        )));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = sni;
    QuicClientConfig::try_from(config)
        .map(Arc::new)
        .map_err(|error| ConfigError::Tls(error.to_string()))
}

fn tls_error(error: Error) -> ConfigError {
    ConfigError::Tls(error.to_string())
}

#[derive(Debug)]
struct SingleCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for SingleCertificate {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Trusts the server whose certificate holds a key of this hash.
#[derive(Debug)]
struct PinVerifier {
    pin: KeyPin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match key_pin(Some(end_entity)) {
            Some(pin) if pin == self.pin => Ok(ServerCertVerified::assertion()),
            Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Trusts raw Ed25519 keys (RFC 7250): one, or all where the identity is looked at afterwards.
#[derive(Debug)]
struct RawKeyVerifier {
    expected: Option<ClientId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl RawKeyVerifier {
    fn anyone() -> Arc<Self> {
        Self::new(None)
    }

    fn only(expected: ClientId) -> Arc<Self> {
        Self::new(Some(expected))
    }

    fn new(expected: Option<ClientId>) -> Arc<Self> {
        Arc::new(Self {
            expected,
            algorithms: provider::default_provider().signature_verification_algorithms,
        })
    }

    fn check(&self, key: &CertificateDer<'_>) -> Result<(), Error> {
        let id = id_of_public_key(raw_ed25519_key(key)?.as_ref());
        if self.expected.is_some_and(|expected| expected != id) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }

    fn verify_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &raw_ed25519_key(key)?,
            signature,
            &self.algorithms,
        )
    }
}

impl ServerCertVerifier for RawKeyVerifier {
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

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
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

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// The raw key if it is an Ed25519 key in its one valid encoding (RFC 8410, 4), so that a key has just one id.
fn raw_ed25519_key<'a>(key: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, Error> {
    const PREFIX: [u8; 12] = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let key = key.as_ref();
    if key.len() == PREFIX.len() + 32 && key.starts_with(&PREFIX) {
        Ok(SubjectPublicKeyInfoDer::from(key))
    } else {
        Err(CertificateError::BadEncoding.into())
    }
}

fn no_tls12() -> Error {
    CertificateError::Other(OtherError(Arc::new(std::io::Error::other(
        "TLS 1.2 is not in use",
    ))))
    .into()
}
