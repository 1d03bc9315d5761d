//! Keys that are kept elsewhere: who has them signs.

use std::{error, fmt, sync::Arc};

use rustls::{
    Error, SignatureAlgorithm, SignatureScheme, pki_types::SubjectPublicKeyInfoDer, sign,
};

use super::raw::{KeyKind, RawKey};
use crate::crypto::provider;

/// Who has a Client's private key, and signs with it: an agent, a TPM, a smart card, a key service.
/// [`Identity::from_signer`](crate::Identity::from_signer) takes it.
///
/// The key is Ed25519 or ECDSA P-256. What is asked for:
///
/// | key | [`public_key`](Self::public_key) (RFC 5280, 4.1.2.7) | [`sign`](Self::sign) gives |
/// | --- | --- | --- |
/// | Ed25519 | the 44 bytes of RFC 8410, 4 | the 64 bytes of RFC 8032, 5.1.6 |
/// | P-256 | the 91 bytes of RFC 5480, 2, with the point uncompressed | an ECDSA-Sig-Value in DER (RFC 3279, 2.2.3), of SHA-256: 70 to 72 bytes. Some devices give two numbers of 32 bytes instead, which are to be put into that form |
///
/// The message is given as a whole. For P-256, who signs also hashes it.
///
/// # When it is called
///
/// Once for each handshake, when the other side has answered: with a Coordinator, with each of several that are
/// [tried](crate::Client::connect_to_any) or addresses of one that answer, and with the other end of each channel. Somebody else can
/// cause one with each channel that this Client accepts.
///
/// It is called within the endpoint's turn, and all of the endpoint waits for it: it should take milliseconds. It must not wait for the
/// endpoint that calls it, or for anything that comes through one of its channels.
///
/// # When it fails
///
/// It may, or give what is no signature of the message by that key, which is checked before anything is sent. The handshake has failed
/// then, and what was to come of it ends with [`CloseReason::Signer`](crate::CloseReason::Signer): the Client's connecting, or the one
/// channel. Nothing else is disturbed, and another attempt may do better. A Client that was connected and
/// [reconnects](crate::ClientConfig::reconnect) makes one after a while.
///
/// The error is logged on DEBUG, and nobody else hears of it. A Coordinator and the other end of a channel get the alert `internal_error`
/// (0x150); the other end may hear [`PeerGone`](crate::ErrorCode::PeerGone) from the Coordinator first.
///
/// ```
/// use std::{error::Error, sync::{Arc, mpsc}, thread, time::Duration};
/// use conec_core::{Identity, Signer, rustls::pki_types::SubjectPublicKeyInfoDer};
/// # use rcgen::{KeyPair, PublicKeyData, SigningKey};
///
/// /// A thread that has the key and lets nobody else have it.
/// struct Agent {
///     public_key: Vec<u8>,
///     questions: mpsc::Sender<(Vec<u8>, mpsc::Sender<Vec<u8>>)>,
/// }
///
/// impl Signer for Agent {
///     fn public_key(&self) -> SubjectPublicKeyInfoDer<'static> {
///         self.public_key.clone().into()
///     }
///
///     fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
///         let (answer, answers) = mpsc::channel();
///         self.questions.send((message.to_vec(), answer))?;
///         Ok(answers.recv_timeout(Duration::from_millis(500))?)
///     }
/// }
///
/// # let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
/// let (questions, asked) = mpsc::channel::<(Vec<u8>, mpsc::Sender<Vec<u8>>)>();
/// let public_key = key.subject_public_key_info();
/// thread::spawn(move || {
///     for (message, answer) in asked {
///         let _ = answer.send(key.sign(&message).expect("this key can sign"));
///     }
/// });
/// let agent = Agent { public_key, questions };
/// # agent.sign(b"a message")?;
/// let identity = Identity::from_signer(Arc::new(agent))?;
/// println!("I am {}", identity.id());
/// assert!(identity.to_pkcs8().is_none());
/// # Ok::<(), Box<dyn Error + Send + Sync>>(())
/// ```
pub trait Signer: Send + Sync {
    /// The public key: always the same. It is asked for once.
    fn public_key(&self) -> SubjectPublicKeyInfoDer<'static>;

    /// The key's signature of this message.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn error::Error + Send + Sync>>;
}

/// A signer as TLS has it.
#[derive(Clone)]
pub(super) struct Elsewhere {
    signer: Arc<dyn Signer>,
    spki: Arc<[u8]>,
    kind: KeyKind,
}

impl Elsewhere {
    pub(super) fn new(signer: Arc<dyn Signer>, key: RawKey<'_>) -> Self {
        Self {
            signer,
            spki: key.spki().as_ref().into(),
            kind: key.kind(),
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithms = provider::default_provider().signature_verification_algorithms;
        let key = RawKey::new(&self.spki);
        key.is_some_and(|key| key.has_signed(message, signature, &algorithms))
    }
}

impl sign::SigningKey for Elsewhere {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn sign::Signer>> {
        let scheme = self.kind.scheme();
        offered
            .contains(&scheme)
            .then(|| Box::new(self.clone()) as Box<dyn sign::Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some((&*self.spki).into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.kind.algorithm()
    }
}

impl sign::Signer for Elsewhere {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        // TLS makes its text known to the other side, whom it is none of the business.
        let failed = || Error::General(NOT_SIGNED.into());
        let signature = self.signer.sign(message).map_err(|error| {
            tracing::debug!(%error, "the signer has failed");
            failed()
        })?;
        // The other side would only say that it is wrong, as it says to an impostor.
        if !self.has_signed(message, &signature) {
            tracing::debug!("the signer gave what is no signature by its key, or in another form");
            return Err(failed());
        }
        Ok(signature)
    }

    fn scheme(&self) -> SignatureScheme {
        self.kind.scheme()
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Elsewhere").field(&self.kind).finish()
    }
}

/// How it is known again that no signature was given.
pub(crate) const NOT_SIGNED: &str = "the signer has not signed";

#[cfg(test)]
mod tests {
    use rustls::{
        pki_types::PrivateKeyDer,
        sign::{Signer as _, SigningKey as _},
    };

    use super::{
        super::samples::{ED25519, OTHER_P256, P256, Sample},
        *,
    };

    /// Shows one key, and signs so.
    struct Shows(Sample, Answer);

    type Answer = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, &'static str> + Send + Sync>;

    impl Signer for Shows {
        fn public_key(&self) -> SubjectPublicKeyInfoDer<'static> {
            self.0.spki().into()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn error::Error + Send + Sync>> {
            Ok((self.1)(message)?)
        }
    }

    fn elsewhere(shown: Sample, answer: Answer) -> Elsewhere {
        let spki = shown.spki();
        let key = RawKey::new(&spki).unwrap();
        Elsewhere::new(Arc::new(Shows(shown, answer)), key)
    }

    fn by(sample: Sample) -> Answer {
        let key = PrivateKeyDer::Pkcs8(sample.pkcs8());
        let key = provider::sign::any_supported_type(&key).unwrap();
        Box::new(move |message| {
            let signer = key.choose_scheme(&KeyKind::ALL.map(KeyKind::scheme));
            Ok(signer.unwrap().sign(message).unwrap())
        })
    }

    #[test]
    fn a_key_that_is_elsewhere_signs_with_its_own_scheme() {
        for (sample, algorithm) in [
            (ED25519, SignatureAlgorithm::ED25519),
            (P256, SignatureAlgorithm::ECDSA),
        ] {
            let there = elsewhere(sample, by(sample));
            let signature = there.sign(b"a message").unwrap();
            let algorithms = provider::default_provider().signature_verification_algorithms;
            let spki = sample.spki();
            let key = RawKey::new(&spki).unwrap();
            assert!(key.has_signed(b"a message", &signature, &algorithms));
            assert!(!key.has_signed(b"another message", &signature, &algorithms));

            let scheme = key.kind().scheme();
            let chosen = there.choose_scheme(&KeyKind::ALL.map(KeyKind::scheme));
            assert_eq!(chosen.unwrap().scheme(), scheme);
            let others = [SignatureScheme::RSA_PSS_SHA256];
            assert!(there.choose_scheme(&others).is_none());
            assert_eq!(there.algorithm(), algorithm);
            assert_eq!(there.public_key(), Some(spki.as_slice().into()));
        }
    }

    #[test]
    fn what_is_no_signature_by_the_key_is_not_sent() {
        let late = by(P256)(b"another message").unwrap();
        let wrong: [(&str, Answer); 6] = [
            ("none", Box::new(|_| Err("the card is not there"))),
            ("nothing", Box::new(|_| Ok(Vec::new()))),
            // Two numbers, as PKCS #11 has them.
            ("another form", Box::new(|_| Ok(vec![7; 64]))),
            ("another key's", by(OTHER_P256)),
            ("of another kind", by(ED25519)),
            ("of something else", Box::new(move |_| Ok(late.clone()))),
        ];
        for (what, answer) in wrong {
            let refused = elsewhere(P256, answer).sign(b"a message").unwrap_err();
            // Not what the signer has said: the other side is told.
            assert_eq!(refused, Error::General(NOT_SIGNED.into()), "{what}");
        }
    }
}
