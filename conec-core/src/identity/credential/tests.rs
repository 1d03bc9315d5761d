#![cfg(feature = "self-signed")]

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, RevocationReason, RevokedCertParams, SanType,
    SerialNumber, SignatureAlgorithm,
};
use time::OffsetDateTime;

use super::{
    super::samples::{P256, P384},
    *,
};
use crate::{Ca, CaError, Identity};

const DAY: Duration = Duration::from_secs(24 * 3600);
const NOW: Duration = Duration::from_secs(1_800_000_000);

#[test]
fn authorities_are_shown_by_how_much_they_are() {
    let shown = format!("{:?}", Scene::new().authorities.optional());
    assert_eq!(
        shown,
        "Authorities { roots: 1, revocation_lists: 0, optional: true }"
    );
}

/// An authority of which everything can be had, and a Client's key.
struct Scene {
    issuer: Issuer<'static, KeyPair>,
    authorities: Authorities,
    key: KeyPair,
    id: ClientId,
}

impl Scene {
    fn new() -> Self {
        Self::with(&PKCS_ED25519, &PKCS_ED25519)
    }

    /// With these kinds of keys.
    fn with(authority: &'static SignatureAlgorithm, client: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(authority).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let key = KeyPair::generate_for(client).unwrap();
        let identity = Identity::from_pkcs8(key.serialize_der().into()).unwrap();
        Self {
            issuer,
            authorities: Authorities::new(Arc::new(roots)),
            key,
            id: identity.id(),
        }
    }

    /// A certificate for the Client.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Credential {
        let names = names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date(NOW - DAY);
        params.not_after = date(NOW + DAY);
        change(&mut params);
        let leaf = params.signed_by(&self.key, &self.issuer).unwrap();
        Credential::new(vec![leaf.der().clone()]).unwrap()
    }

    fn check(&self, credential: &Credential) -> Result<Certified, CredentialError> {
        self.check_at(credential, NOW)
    }

    fn check_at(
        &self,
        credential: &Credential,
        time: Duration,
    ) -> Result<Certified, CredentialError> {
        self.authorities.check(self.id, credential.to_wire(), time)
    }
}

fn date(since: Duration) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(since.as_secs() as i64).unwrap()
}

fn name(name: &str) -> Result<Certified, CredentialError> {
    let name = name.parse().unwrap();
    Ok(Certified { name })
}

#[test]
fn whoever_is_vouched_for_has_the_name_that_the_authority_gave() {
    let scene = Scene::new();
    assert_eq!(scene.check(&scene.issue(&["alice"], |_| {})), name("alice"));
    let dotted = scene.issue(&["sensor-17.roof"], |_| {});
    assert_eq!(scene.check(&dotted), name("sensor-17.roof"));
    // For anything is also for this; other kinds of names are nobody's business here.
    let other = scene.issue(&["alice"], |params| {
        params.extended_key_usages.clear();
        let ip = SanType::IpAddress([192, 0, 2, 1].into());
        params.subject_alt_names.push(ip);
    });
    assert_eq!(scene.check(&other), name("alice"));
}

#[test]
fn keys_of_each_kind_vouch_and_are_vouched_for() {
    let kinds = [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256];
    for (authority, client) in kinds.iter().flat_map(|it| kinds.map(|client| (it, client))) {
        let scene = Scene::with(authority, client);
        let credential = scene.issue(&["alice"], |_| {});
        assert_eq!(credential.id(), scene.id);
        assert_eq!(scene.check(&credential), name("alice"));
        let other = Scene::with(authority, client);
        let checked = other.authorities.check(scene.id, credential.to_wire(), NOW);
        assert_eq!(checked, Err(CredentialError::UnknownIssuer));
    }
}

#[test]
fn an_authority_of_ones_own_vouches_for_each_kind_of_key_that_a_client_can_have() {
    let ca = Ca::generate().unwrap();
    let alice = &"alice".parse().unwrap();
    let identity = Identity::from_pkcs8(P256.pkcs8()).unwrap();
    let credential = ca.certify(&identity.public_key(), alice, NOW, DAY).unwrap();
    assert_eq!(credential.id(), identity.id());
    let authorities = Authorities::new(ca.roots());
    let checked = authorities.check(identity.id(), credential.to_wire(), NOW);
    assert_eq!(checked, name("alice"));
    let refused = ca.certify(&P384.spki().into(), alice, NOW, DAY);
    assert_eq!(refused.unwrap_err(), CaError::Key);
}

/// Other programs than conec want to know.
#[test]
fn the_root_of_an_authority_of_ones_own_says_that_it_is_one() {
    let ca = Ca::generate().unwrap();
    let root = CertificateDer::from_pem_slice(ca.to_pem().as_ref()).unwrap();
    let alice = &"alice".parse().unwrap();
    let identity = Identity::generate().unwrap();
    let issued = ca.certify(&identity.public_key(), alice, NOW, DAY).unwrap();
    let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|it| it == part);
    let name = b"conec authority";
    assert!(has(&root, name) && has(&issued.to_wire(), name));
    // Basic constraints (RFC 5280, 4.2.1.9): critical, and an authority.
    let constraints = [
        &[0x55, 0x1d, 0x13, 0x01, 0x01, 0xff][..],
        &[0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff],
    ];
    assert!(has(&root, &constraints.concat()));
}

#[test]
fn an_authority_of_ones_own_vouches_for_clients_as_any_other() {
    let ca = Ca::generate().unwrap();
    let again = Ca::from_pem(ca.to_pem().as_ref()).unwrap();
    let identity = Identity::generate().unwrap();
    let authorities = Authorities::new(ca.roots());
    for ca in [ca, again] {
        let alice = &"alice".parse().unwrap();
        let credential = ca.certify(&identity.public_key(), alice, NOW, DAY).unwrap();
        assert_eq!(credential.id(), identity.id());
        let checked = authorities.check(identity.id(), credential.to_wire(), NOW);
        assert_eq!(checked, name("alice"));
        let late = authorities.check(identity.id(), credential.to_wire(), NOW + 2 * DAY);
        assert_eq!(late, Err(CredentialError::Expired));
        let strange = ca.certify(&identity.public_key(), &"-".parse().unwrap(), NOW, DAY);
        let checked = authorities.check(identity.id(), strange.unwrap().to_wire(), NOW);
        assert!(checked.is_err(), "{checked:?}");
    }
    let stranger = Ca::generate().unwrap();
    let alice = &"alice".parse().unwrap();
    let credential = stranger.certify(&identity.public_key(), alice, NOW, DAY);
    let checked = authorities.check(identity.id(), credential.unwrap().to_wire(), NOW);
    assert_eq!(checked, Err(CredentialError::UnknownIssuer));
}

#[test]
fn what_is_wrong_with_a_credential_is_told_apart() {
    let scene = Scene::new();
    let good = scene.issue(&["alice"], |_| {});
    assert_eq!(
        scene.check_at(&good, NOW - 2 * DAY),
        Err(CredentialError::NotYetValid)
    );
    assert_eq!(
        scene.check_at(&good, NOW + 2 * DAY),
        Err(CredentialError::Expired)
    );
    assert_eq!(
        scene.check_at(&good, Duration::MAX / 4),
        Err(CredentialError::Expired)
    );
    assert_eq!(
        Scene::new()
            .authorities
            .check(scene.id, good.to_wire(), NOW),
        Err(CredentialError::UnknownIssuer)
    );
    let other = ClientId::from_bytes([7; 32]);
    assert_eq!(
        scene.authorities.check(other, good.to_wire(), NOW),
        Err(CredentialError::OtherKey)
    );

    let server = scene.issue(&["alice"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert_eq!(scene.check(&server), Err(CredentialError::Purpose));
    for (names, error) in [
        (&[][..], CredentialError::NoName),
        (&["alice", "bob"], CredentialError::ManyNames),
        (&["*.example.org"], CredentialError::BadName),
        (&["ALICE"], CredentialError::BadName),
        (&["a\0lice"], CredentialError::NoName),
        (&["alice."], CredentialError::BadName),
    ] {
        assert_eq!(
            scene.check(&scene.issue(names, |_| {})),
            Err(error),
            "{names:?}"
        );
    }
    let long = "a.".repeat(40) + "a";
    assert_eq!(
        scene.check(&scene.issue(&[&long], |_| {})),
        Err(CredentialError::BadName)
    );
}

#[test]
fn what_is_damaged_or_too_much_is_refused_before_anything_is_verified() {
    let scene = Scene::new();
    let good = scene.issue(&["alice"], |_| {});
    let check = |bytes: Bytes| scene.authorities.check(scene.id, bytes, NOW).unwrap_err();
    let wire = good.to_wire();
    assert_eq!(check(Bytes::new()), CredentialError::Malformed);
    for cut in 1..wire.len() {
        assert_eq!(
            check(wire.slice(..cut)),
            CredentialError::Malformed,
            "{cut}"
        );
    }
    for flip in 0..wire.len() {
        let mut bytes = wire.to_vec();
        bytes[flip] ^= 1;
        check(bytes.into());
    }
    // What begins a certificate, a sequence, becomes something else.
    let mut bytes = wire.to_vec();
    bytes[wire.len() - good.chain[0].len()] ^= 1;
    assert_eq!(check(bytes.into()), CredentialError::Malformed);
    // So does a digit of the time from which on it is valid: a UTCTime has 13 bytes.
    let time = wire.windows(2).position(|it| it == [0x17, 13]).unwrap();
    let mut bytes = wire.to_vec();
    bytes[time + 2] = b'x';
    assert_eq!(check(bytes.into()), CredentialError::Malformed);
    assert_eq!(check(wire.repeat(5).into()), CredentialError::TooDeep);
    let large = write_blocks([&good.chain[0][..], &[0; 6900]].into_iter());
    assert_eq!(check(large), CredentialError::TooLarge);
    // Others beside it do no harm.
    let chain = wire.repeat(4).into();
    assert_eq!(scene.authorities.check(scene.id, chain, NOW), name("alice"));
    assert_eq!(Credential::new(Vec::new()), Err(CredentialError::Malformed));
    assert_eq!(
        Credential::new(vec![vec![0; 100].into()]),
        Err(CredentialError::Malformed)
    );
    assert_eq!(
        Credential::from_pem(b"nothing"),
        Err(CredentialError::Malformed)
    );
}

#[test]
fn others_vouch_for_a_client_only_if_a_root_lets_them() {
    let scene = Scene::new();
    for (is_ca, result) in [
        (IsCa::Ca(BasicConstraints::Constrained(0)), name("alice")),
        (IsCa::NoCa, Err(CredentialError::Rules)),
    ] {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "deputy");
        params.is_ca = is_ca;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let deputy = params.signed_by(&key, &scene.issuer).unwrap();
        let issuer = Issuer::new(params, key);
        let mut leaf = CertificateParams::new(["alice".to_owned()]).unwrap();
        leaf.not_after = date(NOW + DAY);
        let leaf = leaf.signed_by(&scene.key, &issuer).unwrap();
        let chain = vec![leaf.der().clone(), deputy.der().clone()];
        let checked = scene.check(&Credential::new(chain).unwrap());
        assert_eq!(checked, result);
        let alone = Credential::new(vec![leaf.der().clone()]).unwrap();
        assert_eq!(scene.check(&alone), Err(CredentialError::UnknownIssuer));
    }
}

#[test]
fn what_was_revoked_is_refused() {
    let mut scene = Scene::new();
    let serial = |number: u64| SerialNumber::from(number);
    let list = CertificateRevocationListParams {
        this_update: date(NOW),
        next_update: date(NOW + DAY),
        crl_number: serial(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: serial(7),
            revocation_time: date(NOW),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&scene.issuer).unwrap();
    let list = list.der().clone();
    scene.authorities = scene.authorities.clone().with_revocations([list]).unwrap();
    let issue = |number| scene.issue(&["alice"], |it| it.serial_number = Some(serial(number)));
    assert_eq!(scene.check(&issue(6)), name("alice"));
    assert_eq!(scene.check(&issue(7)), Err(CredentialError::Revoked));
    let damaged = scene
        .authorities
        .clone()
        .with_revocations([vec![0; 9].into()]);
    assert_eq!(damaged.map(drop), Err(CredentialError::Malformed));
}
