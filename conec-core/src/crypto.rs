//! What encrypts and signs: ring, or aws-lc-rs where that alone is chosen. Both offer the same functions by the same names.

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
pub(crate) use ::{
    aws_lc_rs::{aead, digest, hkdf, hmac},
    rustls::crypto::aws_lc_rs as provider,
};
#[cfg(feature = "ring")]
pub(crate) use ::{
    ring::{aead, digest, hkdf, hmac},
    rustls::crypto::ring as provider,
};

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("conec needs its feature `ring` or its feature `aws-lc-rs`");
