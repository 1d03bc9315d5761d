//! The proof that an operator has the key of an id: a signature over what nobody has signed before, and which is of use in one session
//! with one Coordinator only.

use conec_tokio::{ClientId, Identity, KeyPin};
use data_encoding::HEXLOWER;
use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};

pub(super) type Challenge = [u8; 32];

/// What an operator shows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Proof {
    /// The public key, Ed25519, hexadecimal.
    key: String,
    signature: String,
}

/// What a proof is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// Of the Coordinator.
    pub(super) pin: KeyPin,
    /// Of the Client that is connected, which may have another key than the operator.
    pub(super) client: ClientId,
    pub(super) challenge: Challenge,
}

impl Session {
    /// The proof that whose identity this is takes part.
    pub(super) fn prove(&self, identity: &Identity) -> Result<Proof, Failure> {
        let other_kind = || {
            Failure::new(
                Exit::Usage,
                "operators need an identity with an Ed25519 key",
                "move the identity in the home directory away: the next command makes a new one",
            )
        };
        let pkcs8 = identity.to_pkcs8().ok_or_else(other_kind)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8.as_ref());
        let pair = pair.map_err(|_| other_kind())?;
        let spki = identity.public_key();
        let key = spki.strip_prefix(&SPKI[..]).ok_or_else(other_kind)?;
        Ok(Proof {
            key: HEXLOWER.encode(key),
            signature: HEXLOWER.encode(pair.sign(&self.text()).as_ref()),
        })
    }

    /// Whose proof it is, if it is good.
    pub(super) fn check(&self, proof: &Proof) -> Option<ClientId> {
        let key = HEXLOWER.decode(proof.key.as_bytes()).ok()?;
        let key: [u8; 32] = key.try_into().ok()?;
        let signature = HEXLOWER.decode(proof.signature.as_bytes()).ok()?;
        let public = UnparsedPublicKey::new(&ED25519, key);
        public.verify(&self.text(), &signature).ok()?;
        let spki = [&SPKI[..], &key].concat();
        let hash = digest(&SHA256, &spki);
        hash.as_ref().try_into().ok().map(ClientId::from_bytes)
    }

    fn text(&self) -> Vec<u8> {
        let parts = [
            PURPOSE,
            self.pin.as_bytes(),
            self.client.as_bytes(),
            &self.challenge,
        ];
        parts.concat()
    }
}

const PURPOSE: &[u8] = b"conec admin 1";
/// What an Ed25519 key's SubjectPublicKeyInfo begins with (RFC 8410).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_its_session_only() {
        let identity = Identity::from_seed([1; 32]);
        let id = |seed| Identity::from_seed([seed; 32]).id();
        let session = Session {
            pin: id(2),
            client: id(3),
            challenge: [4; 32],
        };
        let mut proof = session.prove(&identity).expect("it is Ed25519");
        assert_eq!(session.check(&proof), Some(identity.id()));
        let others = [
            Session {
                pin: id(9),
                ..session
            },
            Session {
                client: id(9),
                ..session
            },
            Session {
                challenge: [9; 32],
                ..session
            },
        ];
        for other in others {
            assert_eq!(other.check(&proof), None, "{other:?}");
        }
        let stranger = session
            .prove(&Identity::from_seed([7; 32]))
            .expect("it is Ed25519");
        proof.key = stranger.key;
        assert_eq!(session.check(&proof), None);
        for damaged in ["", "00", "zz", &"f".repeat(64)] {
            proof.key = damaged.into();
            assert_eq!(session.check(&proof), None);
        }
    }
}
