//! TLS 1.3 in the two ways that conec uses it: home channels and peer channels.

use std::sync::Arc;

use quinn_proto::{
    TransportError, TransportErrorCode,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    Error, KeyLog,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption, WebPkiServerVerifier,
        danger::ServerCertVerifier,
    },
    crypto::CryptoProvider,
    pki_types::CertificateDer,
    server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};

use crate::{
    Certificate, ChannelConfig, ClientId, ConfigError, Identity, Trust,
    crypto::provider::{
        self,
        cipher_suite::{
            TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
        },
    },
    identity::{KeyVerifier, NOT_SIGNED, PeerIdentity, key_hash},
};

/// What a home channel's sides agree to speak (RFC 7301).
const ALPN_HOME: &[u8] = b"conec/1";
/// What a peer channel's sides agree to speak. Another name, so that one can never be taken for the other.
const ALPN_PEER: &[u8] = b"conec-peer/1";

/// The Coordinator's side of home channels.
pub(super) fn home_server(
    certificate: &Certificate,
    channel: &ChannelConfig,
) -> Result<Arc<QuicServerConfig>, ConfigError> {
    let resolver = Arc::new(SingleCertificate(Arc::clone(&certificate.certified)));
    server(KeyVerifier::any_identity(), resolver, ALPN_HOME, channel)
}

/// A Client's side of its home channel.
pub(super) fn home_client(
    identity: &Identity,
    trust: &Trust,
    channel: &ChannelConfig,
) -> Result<Arc<QuicClientConfig>, ConfigError> {
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Pin(pin) => KeyVerifier::pinned(*pin),
        Trust::Roots(roots) => {
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
                .build()
                .map_err(|error| ConfigError::Tls(error.to_string()))?
        }
    };
    client(identity, verifier, ALPN_HOME, channel)
}

/// The acceptor's side of a peer channel with `expected`.
pub(super) fn peer_server(
    identity: &Identity,
    expected: ClientId,
    channel: &ChannelConfig,
) -> Result<Arc<QuicServerConfig>, ConfigError> {
    let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.certified()));
    server(
        KeyVerifier::identity(expected),
        resolver,
        ALPN_PEER,
        channel,
    )
}

/// The initiator's side of a peer channel with `expected`.
pub(super) fn peer_client(
    identity: &Identity,
    expected: ClientId,
    channel: &ChannelConfig,
) -> Result<Arc<QuicClientConfig>, ConfigError> {
    client(
        identity,
        KeyVerifier::identity(expected),
        ALPN_PEER,
        channel,
    )
}

/// The identity that the other side has proved.
pub(super) fn peer_identity(session: &dyn quinn_proto::crypto::Session) -> Option<PeerIdentity> {
    let chain = session
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    let id = key_hash(chain.first()?)?;
    Some(PeerIdentity { id })
}

/// What a failed handshake is for the other side. That this side's signer has failed is no fault of the other, as which the engine would
/// have it.
pub(super) fn blame(error: TransportError) -> TransportError {
    if error.reason.ends_with(NOT_SIGNED) {
        return not_signed().into();
    }
    error
}

/// What it is that this side's signer has failed (RFC 8446, 6.2: `internal_error`). TLS itself never says so here.
pub(super) fn not_signed() -> TransportErrorCode {
    TransportErrorCode::crypto(80)
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
    verifier: Arc<KeyVerifier>,
    resolver: Arc<dyn ResolvesServerCert>,
    alpn: &[u8],
    channel: &ChannelConfig,
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
    if let Some(key_log) = key_log(channel) {
        config.key_log = key_log;
    }
    QuicServerConfig::try_from(config)
        .map(Arc::new)
        .map_err(|error| ConfigError::Tls(error.to_string()))
}

fn client(
    identity: &Identity,
    verifier: Arc<dyn ServerCertVerifier>,
    alpn: &[u8],
    channel: &ChannelConfig,
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
    // Peers are known by their keys.
    config.enable_sni = alpn == ALPN_HOME;
    if let Some(key_log) = key_log(channel) {
        config.key_log = key_log;
    }
    QuicClientConfig::try_from(config)
        .map(Arc::new)
        .map_err(|error| ConfigError::Tls(error.to_string()))
}

/// Whom to tell the secrets, where that is wanted.
#[cfg(feature = "key-log")]
fn key_log(channel: &ChannelConfig) -> Option<Arc<dyn KeyLog>> {
    if channel.key_log.is_some() {
        tracing::warn!("the secrets of TLS are logged: who reads them can read all that is said");
    }
    channel.key_log.clone()
}

#[cfg(not(feature = "key-log"))]
fn key_log(_: &ChannelConfig) -> Option<Arc<dyn KeyLog>> {
    None
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
