//! The raw public keys that Clients have (RFC 7250): which there are, and how they sign.

use rustls::{
    SignatureAlgorithm, SignatureScheme,
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer},
};
use webpki::RawPublicKeyEntity;

use crate::{ClientId, crypto::digest};

/// What a Client's key can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Ed25519,
    /// ECDSA on the curve P-256, which TPMs, smart cards and key services have.
    P256,
}

impl KeyKind {
    pub(super) const ALL: [Self; 2] = [Self::Ed25519, Self::P256];

    /// How TLS 1.3 signs with it (RFC 8446, 4.2.3).
    pub(super) fn scheme(self) -> SignatureScheme {
        match self {
            Self::Ed25519 => SignatureScheme::ED25519,
            Self::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        }
    }

    pub(super) fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Ed25519 => SignatureAlgorithm::ED25519,
            Self::P256 => SignatureAlgorithm::ECDSA,
        }
    }

    /// Its SubjectPublicKeyInfo, as far as it is the same for all keys of this kind.
    fn prefix(self) -> &'static [u8] {
        match self {
            // RFC 8410, 4: id-Ed25519 without parameters.
            Self::Ed25519 => &[
                0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
            ],
            // RFC 5480, 2: id-ecPublicKey, the named curve secp256r1, and a point that is not compressed.
            Self::P256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
            ],
        }
    }

    /// Whether this can be what follows, in the one way to write it.
    fn has(self, key: &[u8]) -> bool {
        match self {
            Self::Ed25519 => key.len() == 32,
            // The same coordinate with the prime added to it may fit, too (SEC 1, 2.3.6). Whether the point is on the curve is seen by
            // who checks a signature.
            Self::P256 => key.len() == 64 && key.chunks(32).all(|it| it < &P256_PRIME[..]),
        }
    }
}

/// A Client's raw public key, in the one encoding that it has: so a key has just one id.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawKey<'a> {
    kind: KeyKind,
    spki: &'a [u8],
}

impl<'a> RawKey<'a> {
    /// The key with this SubjectPublicKeyInfo, if a Client can have it.
    pub(super) fn new(spki: &'a [u8]) -> Option<Self> {
        let is = |kind: &KeyKind| {
            let key = spki.strip_prefix(kind.prefix());
            key.is_some_and(|key| kind.has(key))
        };
        let kind = KeyKind::ALL.into_iter().find(is)?;
        Some(Self { kind, spki })
    }

    pub(super) fn kind(self) -> KeyKind {
        self.kind
    }

    pub(super) fn id(self) -> ClientId {
        hash_of_spki(self.spki)
    }

    pub(super) fn spki(self) -> SubjectPublicKeyInfoDer<'a> {
        self.spki.into()
    }

    /// The key itself: the contents of the BIT STRING.
    #[cfg(feature = "self-signed")]
    pub(super) fn bits(self) -> &'a [u8] {
        let point = match self.kind {
            KeyKind::Ed25519 => 0,
            // How the point is written is said there.
            KeyKind::P256 => 1,
        };
        &self.spki[self.kind.prefix().len() - point..]
    }

    /// Whether this is this key's signature of a message.
    pub(super) fn has_signed(
        self,
        message: &[u8],
        signature: &[u8],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        let spki = self.spki();
        let key = RawPublicKeyEntity::try_from(&spki).ok();
        let verified = key
            .zip(algorithm(self.kind, algorithms))
            .map(|(key, algorithm)| key.verify_signature(algorithm, message, signature));
        matches!(verified, Some(Ok(())))
    }
}

/// The hash of a public key, given as its SubjectPublicKeyInfo.
pub(super) fn hash_of_spki(spki: &[u8]) -> ClientId {
    let hash = digest::digest(&digest::SHA256, spki);
    let mut id = [0; 32];
    id.copy_from_slice(hash.as_ref());
    ClientId(id)
}

fn algorithm(
    kind: KeyKind,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let mut mapping = algorithms.mapping.iter();
    let (_, algorithms) = mapping.find(|(scheme, _)| *scheme == kind.scheme())?;
    // For TLS 1.3 it is the first one.
    algorithms.first().copied()
}

/// The prime of the field in which the coordinates of P-256 are (FIPS 186-5; SP 800-186, 3.2.1.3).
const P256_PRIME: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{ED25519, OTHER_P256, P256, P384, hex},
        *,
    };

    #[test]
    fn each_kind_of_key_is_taken_in_its_one_form() {
        for (sample, kind, len) in [
            (ED25519, KeyKind::Ed25519, 44),
            (P256, KeyKind::P256, 91),
            (OTHER_P256, KeyKind::P256, 91),
        ] {
            let spki = sample.spki();
            assert_eq!(spki.len(), len);
            let key = RawKey::new(&spki).unwrap();
            assert_eq!((key.kind(), key.spki().as_ref()), (kind, &spki[..]));
            assert_eq!(key.id(), hash_of_spki(&spki));
            for cut in 0..len {
                assert!(RawKey::new(&spki[..cut]).is_none(), "{kind:?} {cut}");
            }
            assert!(RawKey::new(&[&spki[..], &[0]].concat()).is_none());
            for at in 0..kind.prefix().len() {
                for bit in 0..8 {
                    let mut other = spki.clone();
                    other[at] ^= 1 << bit;
                    assert!(RawKey::new(&other).is_none(), "{kind:?} {at} {bit}");
                }
            }
        }
    }

    #[test]
    fn other_ways_to_write_a_key_and_other_keys_are_refused() {
        let (x, y) = (&P256.spki()[27..59], &P256.spki()[59..]);
        let (ec, curve) = ("3013_06072a8648ce3d0201", "06082a8648ce3d030107");
        let point = |head: &str, coordinates: &[&[u8]]| {
            let head = hex(&[head, ec, curve].concat().replace('_', ""));
            [head, coordinates.concat()].concat()
        };
        let compressed = |sign| point("3039", &[&[0x03, 0x22, 0x00, sign], x]);
        let hybrid = |sign| point("3059", &[&[0x03, 0x42, 0x00, sign], x, y]);
        assert!(RawKey::new(&hybrid(4)).is_some());
        for (what, spki) in [
            ("compressed", compressed(2)),
            ("compressed", compressed(3)),
            ("hybrid", hybrid(6)),
            ("hybrid", hybrid(7)),
            // A length in more bytes than it needs is no DER (X.690, 10.1).
            ("long", [&[0x30, 0x81, 0x59], &P256.spki()[2..]].concat()),
            ("P-384", P384.spki()),
            (
                "secp256k1",
                hex(
                    "3056301006072a8648ce3d020106052b8104000a034200045cbdf0646e5db4eaa398f365f2ea7a0e3d419b7e0330e39ce92bddedcac4f9bc6aebca40ba255960a3178d6d861a54dba813d0b813fde7b5a5082628087264da",
                ),
            ),
            (
                "Ed25519 with parameters",
                [
                    &hex("302c300706032b65700500032100")[..],
                    &ED25519.spki()[12..],
                ]
                .concat(),
            ),
            ("nothing", Vec::new()),
        ] {
            assert!(RawKey::new(&spki).is_none(), "{what}");
        }
    }

    #[test]
    fn a_coordinate_is_written_in_one_way() {
        let with = |at: usize, coordinate: &[u8; 32]| {
            let mut spki = P256.spki();
            spki[at..at + 32].copy_from_slice(coordinate);
            RawKey::new(&spki).map(|key| key.kind())
        };
        let mut most = P256_PRIME;
        most[31] -= 1;
        for at in [27, 59] {
            assert_eq!(with(at, &most), Some(KeyKind::P256));
            assert_eq!(with(at, &P256_PRIME), None);
            assert_eq!(with(at, &[0xff; 32]), None);
        }
    }
}
