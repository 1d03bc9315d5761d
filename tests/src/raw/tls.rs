//! TLS with a free hand: any key, or none, on either side, and no check of the other's.
//!
//! Nothing here is shared with the core's own TLS: what is wrong there must not be right here for the same reason. It also
//! has to be able to do what no honest endpoint does.

use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureAlgorithm, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
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
    /// A raw ECDSA key.
    Ecdsa(Ecdsa),
    /// An X.509 certificate, of the key that [`certificate_with`](crate::keys::certificate_with) this number has.
    Certificate(u8),
    /// Nothing.
    None,
}

/// What is shown for an ECDSA key, and how is signed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecdsa {
    /// The key of [P-256 identity](crate::keys::p256_identity) 0, as Clients have.
    P256,
    /// That identity's public key, without its private key.
    Stolen,
    /// It signs, and says that it does so by Ed25519.
    CalledEd25519,
    /// It signs, and says that it does so with a larger curve.
    CalledP384,
    /// An Ed25519 key signs for it.
    SignedByEd25519,
    /// It signs for [identity](crate::keys::identity) number so-and-so.
    ForIdentity(u16),
    /// One coordinate of its point, and a bit that tells which of two the other one is.
    Compressed,
    /// A point beside it, which is not on the curve.
    OffCurve,
    /// A key on a larger curve, which signs as such keys do.
    P384,
    /// The same, as if it were on P-256.
    P384CalledP256,
}

impl Key {
    fn is_raw(self) -> bool {
        match self {
            Self::Identity(_) | Self::Stolen(_) | Self::Padded(_) | Self::Ecdsa(_) => true,
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
            Self::Ecdsa(how) => how.shown_and_signing(),
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

impl Ecdsa {
    fn shown_and_signing(self) -> (Vec<u8>, Arc<dyn SigningKey>) {
        let own = ecdsa(crate::keys::p256(0));
        let public = public_key(&*own);
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        let (shown, key, scheme) = match self {
            Self::P256 => (public, own, scheme),
            Self::Stolen => (public, ecdsa(crate::keys::p256(1)), scheme),
            Self::CalledEd25519 => (public, own, SignatureScheme::ED25519),
            Self::CalledP384 => (public, own, SignatureScheme::ECDSA_NISTP384_SHA384),
            Self::SignedByEd25519 => (public, ed25519(&[0xbd; 32]), SignatureScheme::ED25519),
            Self::ForIdentity(number) => {
                let theirs = ed25519(&identity_seed(number));
                (public_key(&*theirs), own, scheme)
            }
            Self::Compressed => {
                let (x, y) = public[27..].split_at(32);
                let mut shown = public[..23].to_vec();
                shown[1] -= 32;
                // SEC 1, 2.3.3.
                shown.extend([0x03, 0x22, 0x00, 2 | (y[31] & 1)]);
                shown.extend_from_slice(x);
                (shown, own, scheme)
            }
            Self::OffCurve => {
                let mut shown = public;
                shown[90] ^= 1;
                (shown, own, scheme)
            }
            Self::P384 | Self::P384CalledP256 => {
                let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a new key");
                let key = ecdsa(pair.serialize_der().into());
                let called = match self == Self::P384 {
                    true => SignatureScheme::ECDSA_NISTP384_SHA384,
                    false => scheme,
                };
                (public_key(&*key), key, called)
            }
        };
        (shown, Arc::new(Calls(key, scheme)))
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

fn ecdsa(der: PrivatePkcs8KeyDer<'static>) -> Arc<dyn SigningKey> {
    ring::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(der)).expect("a valid key")
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

/// Signs with a key, whatever the other side takes, and calls that so.
#[derive(Debug, Clone)]
struct Calls(Arc<dyn SigningKey>, SignatureScheme);

impl SigningKey for Calls {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for Calls {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signer = self.0.choose_scheme(&[
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
        ]);
        signer.expect("it has one of these").sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.1
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
            vec![
                SignatureScheme::ED25519,
                SignatureScheme::ECDSA_NISTP256_SHA256,
            ]
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
