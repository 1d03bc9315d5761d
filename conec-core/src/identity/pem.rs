//! Keys and certificates as text, as most tools write and read it (RFC 7468).

use pem_rfc7468::LineEnding;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use super::{Certificate, CertificateError, Identity, KeyError};
use crate::Secret;

impl Identity {
    /// The identity whose private key is in this text, as `PRIVATE KEY`. What else is in it is not looked at.
    ///
    /// ```
    /// use conec_core::Identity;
    ///
    /// let identity = Identity::generate()?;
    /// let text = identity.to_pem().ok_or("its key is kept elsewhere")?;
    /// let same = Identity::from_pem(text.as_ref())?;
    /// assert_eq!(same.id(), identity.id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| KeyError::NotPem)?;
        Self::from_pkcs8(key)
    }

    /// The private key as text, to be stored where nobody else can read it. `None` if it is kept [elsewhere](Self::from_signer).
    pub fn to_pem(&self) -> Option<Secret<Vec<u8>>> {
        let key = self.to_pkcs8()?;
        Some(encode(PKCS8, key.as_ref()).into_bytes().into())
    }
}

impl Certificate {
    /// The certificate chain and the private key in this text, in any order, but the leaf before what it was issued with.
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| CertificateError::NotPem)?;
        let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| CertificateError::NotPem)?;
        if chain.is_empty() {
            return Err(CertificateError::NotPem);
        }
        Self::new(chain, key)
    }

    /// The certificate chain and the private key as text, to be stored where nobody else can read it.
    pub fn to_pem(&self) -> Secret<Vec<u8>> {
        let label = match &*self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            PrivateKeyDer::Pkcs8(_) | _ => PKCS8,
        };
        let mut text = encode(label, self.key.secret_der());
        for certificate in &self.certified.cert {
            text += &encode("CERTIFICATE", certificate);
        }
        text.into_bytes().into()
    }
}

pub(super) fn encode(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der)
        .expect("labels are valid, and keys are not gigabytes long")
}

pub(super) const PKCS8: &str = "PRIVATE KEY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_same_as_text() {
        let identity = Identity::from_seed([7; 32]);
        let text = identity.to_pem().unwrap();
        assert!(text.as_ref().starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
        let same = Identity::from_pem(text.as_ref()).expect("it was one");
        assert_eq!(same.id(), identity.id());
        let [again, key] = [&same, &identity].map(|it| it.to_pkcs8().unwrap());
        assert_eq!(again.as_ref(), key.as_ref());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let text = Identity::from_seed([7; 32]).to_pem().unwrap();
        let text = text.as_ref();
        for bad in [
            &b""[..],
            b"-----BEGIN PRIVATE KEY-----",
            &text[..text.len() / 2],
        ] {
            assert_eq!(
                Identity::from_pem(bad).map(|it| it.id()),
                Err(KeyError::NotPem)
            );
            assert!(Certificate::from_pem(bad).is_err());
        }
        // A key alone is no certificate.
        assert!(matches!(
            Certificate::from_pem(text),
            Err(CertificateError::NotPem)
        ));
    }

    #[cfg(feature = "self-signed")]
    #[test]
    fn a_certificate_is_the_same_as_text_whatever_is_around_it() {
        let certificate = Certificate::self_signed(["localhost"]).expect("a valid name");
        let mut text = b"a comment\n".to_vec();
        text.extend_from_slice(certificate.to_pem().as_ref());
        text.extend_from_slice(b"\nanother");
        let same = Certificate::from_pem(&text).expect("it was one");
        assert_eq!(same.pin(), certificate.pin());
        assert_eq!(
            same.derive_key("test").as_ref(),
            certificate.derive_key("test").as_ref()
        );
        let other = Certificate::self_signed(["localhost"]).expect("a valid name");
        assert_ne!(
            other.derive_key("test").as_ref(),
            certificate.derive_key("test").as_ref()
        );
        assert_ne!(
            certificate.derive_key("other").as_ref(),
            certificate.derive_key("test").as_ref()
        );
    }
}
