//! Keys of the engine's own: its stateless resets and its tokens.
//!
//! The engine has them ready-made, but only for the provider that it is built with, which may be another than conec's when
//! a program uses it elsewhere.

use quinn_proto::crypto::{AeadKey, CryptoError, HandshakeTokenKey, HmacKey};

use crate::{
    Secret,
    crypto::{
        aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
        hkdf::{HKDF_SHA256, Prk, Salt},
        hmac::{self, HMAC_SHA256},
    },
};

/// Makes the tokens of stateless resets (RFC 9000, 10.3).
pub(super) struct ResetKey(hmac::Key);

impl ResetKey {
    pub(super) fn new(key: Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, key.as_ref()))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        HMAC_SHA256.digest_algorithm().output_len()
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

/// Seals what is handed out to addresses and has to come back (RFC 9000, 8.1).
pub(super) struct TokenKey(Prk);

impl TokenKey {
    pub(super) fn new(key: &[u8; 64]) -> Self {
        Self(Salt::new(HKDF_SHA256, &[]).extract(key))
    }
}

impl HandshakeTokenKey for TokenKey {
    fn aead_from_hkdf(&self, random_bytes: &[u8]) -> Box<dyn AeadKey> {
        let info = [random_bytes];
        let key = self.0.expand(&info, &AES_256_GCM).map(UnboundKey::from);
        let key = key.expect("a key is much shorter than the longest output of HKDF");
        Box::new(OneTimeKey(LessSafeKey::new(key)))
    }
}

/// A key for one token.
struct OneTimeKey(LessSafeKey);

impl AeadKey for OneTimeKey {
    fn seal(&self, data: &mut Vec<u8>, additional_data: &[u8]) -> Result<(), CryptoError> {
        self.0
            .seal_in_place_append_tag(only_nonce(), Aad::from(additional_data), data)
            .map_err(|_| CryptoError)
    }

    fn open<'a>(
        &self,
        data: &'a mut [u8],
        additional_data: &[u8],
    ) -> Result<&'a mut [u8], CryptoError> {
        self.0
            .open_in_place(only_nonce(), Aad::from(additional_data), data)
            .map_err(|_| CryptoError)
    }
}

/// Each key seals one token, so that no nonce is used twice.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_with_its_key_alone() {
        let key = TokenKey::new(&[1; 64]);
        let mut token = b"token".to_vec();
        assert!(key.aead_from_hkdf(b"one").seal(&mut token, b"aad").is_ok());
        assert_eq!(token.len(), 5 + AES_256_GCM.tag_len());
        let open = |key: &TokenKey, random: &[u8], aad: &[u8]| {
            let mut token = token.clone();
            let opened = key
                .aead_from_hkdf(random)
                .open(&mut token, aad)
                .ok()?
                .to_vec();
            Some(opened)
        };
        assert_eq!(open(&key, b"one", b"aad").as_deref(), Some(&b"token"[..]));
        assert_eq!(open(&key, b"two", b"aad"), None);
        assert_eq!(open(&key, b"one", b"other"), None);
        assert_eq!(open(&TokenKey::new(&[2; 64]), b"one", b"aad"), None);
    }

    #[test]
    fn a_signature_is_the_keys_own() {
        let key = ResetKey::new([1; 32].into());
        let mut signature = [0; 32];
        assert_eq!(key.signature_len(), signature.len());
        key.sign(b"data", &mut signature);
        assert!(key.verify(b"data", &signature).is_ok());
        assert!(key.verify(b"date", &signature).is_err());
        assert!(
            ResetKey::new([2; 32].into())
                .verify(b"data", &signature)
                .is_err()
        );
    }
}
