//! Keys that are the same in every run, so that packets have the same sizes.

use std::sync::{Arc, LazyLock};

use conec_core::{Certificate, Identity};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use rustls::{
    RootCertStore,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// The host name in [`certificate`].
pub const HOST: &str = "coordinator.test";

/// A Coordinator's certificate.
pub fn certificate() -> Certificate {
    // Every world needs it several times.
    static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| certificate_with(1).0);
    CERTIFICATE.clone()
}

/// A certificate of key number `number`, and the root store that vouches for it.
pub fn certificate_with(number: u8) -> (Certificate, Arc<RootCertStore>) {
    certificate_for(HOST, number)
}

/// The same for a host name or IP address.
pub fn certificate_for(host: &str, number: u8) -> (Certificate, Arc<RootCertStore>) {
    let mut der = hex(PKCS8_PREFIX);
    der.extend_from_slice(&[number; 32]);
    let der = PrivatePkcs8KeyDer::from(der);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).expect("a valid key");
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a valid host name");
    params.serial_number = Some(SerialNumber::from(vec![1]));
    let certificate = params.self_signed(&key).expect("signing works");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a valid root");
    let certificate = Certificate::new(
        vec![certificate.der().clone()],
        PrivateKeyDer::Pkcs8(der.clone_key()),
    );
    (certificate.expect("a valid certificate"), Arc::new(roots))
}

/// The identity of Client number `number`.
pub fn identity(number: u16) -> Identity {
    let mut seed = [0x5a; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// An Ed25519 private key in PKCS#8, up to the key (RFC 8410).
const PKCS8_PREFIX: &str = "302e020100300506032b657004220420";
