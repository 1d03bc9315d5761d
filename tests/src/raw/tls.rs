//! TLS with a free hand: any key, or none, on either side, and no check of the other's.
//!
//! Nothing here is shared with the core's own TLS: what is wrong there must not be right here for the same reason. It also
//! has to be able to do what no honest endpoint does.

use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureAlgorithm, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
        UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, Signer, SigningKey},
    version::TLS13,
};

use super::Dial;

/// With what somebody authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The raw Ed25519 key of [identity](crate::keys::identity) number so-and-so, as Clients have.
    Identity(u16),
    /// That identity's public key, without its private key.
    Stolen(u16),
    /// The identity's public key in an encoding that says the same in more bytes.
    Padded(u16),
    /// A raw key of another kind than Ed25519, said to be able to sign as if it were one.
    Ecdsa,
    /// An X.509 certificate, of the key that [`certificate_with`](crate::keys::certificate_with) this number has.
    Certificate(u8),
    /// Nothing.
    None,
}

impl Key {
    fn is_raw(self) -> bool {
        match self {
            Self::Identity(_) | Self::Stolen(_) | Self::Padded(_) | Self::Ecdsa => true,
            Self::Certificate(_) | Self::None => false,
        }
    }

    fn certified(self) -> Option<Arc<CertifiedKey>> {
        let (public, key) = match self {
            Self::Identity(number) => {
                let key = ed25519(&identity_seed(number));
                (public_key(&*key), key)
            }
            Self::Stolen(number) => {
                let key = ed25519(&identity_seed(number));
                (public_key(&*key), ed25519(&[0xbd; 32]))
            }
            Self::Padded(number) => {
                let key = ed25519(&identity_seed(number));
                let mut public = public_key(&*key);
                // An explicit NULL where the algorithm has no parameters.
                public.splice(9..9, [0x05, 0x00]);
                public[1] += 2;
                public[3] += 2;
                (public, key)
            }
            Self::Ecdsa => {
                let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a new key");
                let der = PrivatePkcs8KeyDer::from(pair.serialize_der());
                let key = ring::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(der)).expect("a key");
                (
                    public_key(&*key),
                    Arc::new(Pretender) as Arc<dyn SigningKey>,
                )
            }
            Self::Certificate(number) => {
                let der = PrivatePkcs8KeyDer::from(pkcs8(&[number; 32]));
                let pair =
                    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).expect("a key");
                let names = vec![crate::keys::HOST.to_owned()];
                let certificate = CertificateParams::new(names)
                    .and_then(|params| params.self_signed(&pair))
                    .expect("signing works");
                (certificate.der().to_vec(), ed25519(&[number; 32]))
            }
            Self::None => return None,
        };
        Some(Arc::new(CertifiedKey::new(
            vec![CertificateDer::from(public)],
            key,
        )))
    }
}

/// The settings of the side that connects.
pub(super) fn client(dial: &Dial, raw_server: bool) -> Arc<QuicClientConfig> {
    let key = dial.key;
    let resolver: Arc<dyn ResolvesClientCert> = match key.certified() {
        Some(certified) if key.is_raw() => {
            Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified))
        }
        certified => Arc::new(Presents(certified)),
    };
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("a valid configuration")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible { raw: raw_server }))
        .with_client_cert_resolver(resolver);
    let others = (0..dial.other_protocols).map(|number| vec![number; 200]);
    config.alpn_protocols = others.chain([dial.alpn.clone()]).collect();
    config.resumption = Resumption::disabled();
    Arc::new(QuicClientConfig::try_from(config).expect("a valid configuration"))
}

/// The settings of the side that is connected to.
pub(super) fn server(alpn: &[u8], key: Key) -> Arc<QuicServerConfig> {
    let certified = key.certified().expect("a server has a key");
    let resolver: Arc<dyn ResolvesServerCert> = if key.is_raw() {
        Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified))
    } else {
        Arc::new(Presents(Some(certified)))
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("a valid configuration")
        .with_client_cert_verifier(Arc::new(Gullible { raw: true }))
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(QuicServerConfig::try_from(config).expect("a valid configuration"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The same seeds as in [`keys`](crate::keys).
fn identity_seed(number: u16) -> [u8; 32] {
    let mut seed = [0x5a; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    seed
}

fn ed25519(seed: &[u8; 32]) -> Arc<dyn SigningKey> {
    let der = PrivatePkcs8KeyDer::from(pkcs8(seed));
    ring::sign::any_eddsa_type(&der).expect("a valid key")
}

fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    // RFC 8410, 7.
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    der.extend_from_slice(seed);
    der
}

fn public_key(key: &dyn SigningKey) -> Vec<u8> {
    key.public_key().expect("has one").as_ref().to_vec()
}

/// Presents one certificate to everyone, or none.
#[derive(Debug)]
struct Presents(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Presents {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

/// Says that it signs with Ed25519, and makes signatures up.
#[derive(Debug)]
struct Pretender;

impl SigningKey for Pretender {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Pretender {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![7; 64])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Believes everything.
#[derive(Debug)]
struct Gullible {
    raw: bool,
}

/// What both of rustls's traits want in the same words.
macro_rules! any_signature {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }

        fn requires_raw_public_keys(&self) -> bool {
            self.raw
        }
    };
}

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    any_signature!();
}

impl ClientCertVerifier for Gullible {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    any_signature!();
}
