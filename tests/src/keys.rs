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

/// The P-256 identity number `number`, of three.
pub fn p256_identity(number: usize) -> Identity {
    Identity::from_pkcs8(p256(number)).expect("a valid key")
}

/// Its private key.
pub fn p256(number: usize) -> PrivatePkcs8KeyDer<'static> {
    let (private, x, y) = P256[number];
    let text = [P256_PREFIX, private, P256_PUBLIC, x, y].concat();
    PrivatePkcs8KeyDer::from(hex(&text))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// An Ed25519 private key in PKCS#8, up to the key (RFC 8410).
const PKCS8_PREFIX: &str = "302e020100300506032b657004220420";
/// A P-256 private key in PKCS#8, up to the key (RFC 5958, RFC 5915).
const P256_PREFIX: &str =
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420";
/// What is between that and its point.
const P256_PUBLIC: &str = "a14403420004";
/// Private keys, and the coordinates of their points: of RFC 6979, A.2.5, and the two of RFC 5903, 8.1.
const P256: [(&str, &str, &str); 3] = [
    (
        "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
        "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    ),
    (
        "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180",
        "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
    ),
    (
        "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
        "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63",
        "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
    ),
];
