//! Bytes that nobody reads in a log.

use std::fmt;

use bytes::Bytes;
use subtle::ConstantTimeEq;

/// A secret: a key, or what somebody proves with.
///
/// Its `Debug` output tells nothing but how long it is, so that it is in no log of a configuration or an event that has one.
/// Comparing takes the same time wherever the bytes differ. [`as_ref`](AsRef::as_ref) gives them.
///
/// ```
/// use conec_core::Secret;
///
/// let token = Secret::from("let me in");
/// assert!(token == "let me in" && token != "open sesame");
/// assert_eq!(format!("{token:?}"), "Secret(9 bytes)");
/// ```
#[derive(Clone, Copy, Default)]
pub struct Secret<T>(T);

impl<T: AsRef<[u8]>> AsRef<[u8]> for Secret<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl From<[u8; 32]> for Secret<[u8; 32]> {
    fn from(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl From<Bytes> for Secret<Bytes> {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Secret<Vec<u8>> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Secret<Bytes> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Secret<Bytes> {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Secret<Bytes> {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl<T: AsRef<[u8]>, U: AsRef<[u8]> + ?Sized> PartialEq<U> for Secret<T> {
    fn eq(&self, other: &U) -> bool {
        self.as_ref().ct_eq(other.as_ref()).into()
    }
}

impl<T: AsRef<[u8]>> Eq for Secret<T> {}

impl<T: AsRef<[u8]>> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.as_ref().len())
    }
}
