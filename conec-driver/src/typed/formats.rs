//! How values are written as bytes.

use std::error::Error;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// How values are written as bytes, and read.
///
/// ```
/// # #[cfg(feature = "serde_json")] {
/// use bytes::Bytes;
/// use conec_driver::typed::{Format, FormatError};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// /// JSON with a version in front.
/// enum Versioned {}
///
/// impl Format for Versioned {
///     fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, FormatError> {
///         let mut bytes = vec![1];
///         serde_json::to_writer(&mut bytes, value)?;
///         Ok(bytes.into())
///     }
///
///     fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
///         let Some((1, value)) = bytes.split_first() else {
///             return Err("not version 1".into());
///         };
///         Ok(serde_json::from_slice(value)?)
///     }
/// }
///
/// assert_eq!(Versioned::decode::<u32>(b"\x0142").unwrap(), 42);
/// assert!(Versioned::decode::<u32>(b"42").is_err());
/// # }
/// ```
pub trait Format {
    /// Writes a value. Fails where the value has no form in this format.
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, FormatError>;

    /// Reads a value that is all of these bytes. Must neither panic nor take memory without bound, whatever they are.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError>;
}

/// Why a value cannot be written or read: what the format says.
pub type FormatError = Box<dyn Error + Send + Sync>;

/// The format of [postcard](https://postcard.jamesmunns.com): small, fast, and not self-describing, so that both sides need the same types.
#[cfg(feature = "postcard")]
#[derive(Debug, Clone, Copy)]
pub enum Postcard {}

#[cfg(feature = "postcard")]
impl Format for Postcard {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, FormatError> {
        Ok(postcard::to_allocvec(value)?.into())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, rest) => Err(format!("{} bytes are too many", rest.len()).into()),
        }
    }
}

/// JSON, one document a message, without spaces.
#[cfg(feature = "serde_json")]
#[derive(Debug, Clone, Copy)]
pub enum Json {}

#[cfg(feature = "serde_json")]
impl Format for Json {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, FormatError> {
        Ok(serde_json::to_vec(value)?.into())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "postcard")]
    #[test]
    fn postcard_takes_exactly_what_it_gives() {
        use super::{Format, Postcard};
        let value = (300u32, "text".to_owned(), vec![Some(1u8), None]);
        let bytes = Postcard::encode(&value).unwrap();
        type Value = (u32, String, Vec<Option<u8>>);
        assert_eq!(Postcard::decode::<Value>(&bytes).unwrap(), value);
        for len in 0..bytes.len() {
            assert!(Postcard::decode::<Value>(&bytes[..len]).is_err(), "{len}");
        }
        let more = [&bytes[..], &[0]].concat();
        let error = Postcard::decode::<Value>(&more).unwrap_err();
        assert_eq!(error.to_string(), "1 bytes are too many");
        // A length that is not there takes no memory.
        assert!(Postcard::decode::<Vec<u64>>(&[255, 255, 255, 255, 255, 255, 255, 127]).is_err());
    }

    #[cfg(feature = "serde_json")]
    #[test]
    fn json_takes_one_document_of_few_levels() {
        use super::{Format, Json};
        assert_eq!(Json::encode(&[1, 2]).unwrap(), "[1,2]");
        assert_eq!(Json::decode::<Vec<u8>>(b" [1, 2] ").unwrap(), [1, 2]);
        assert!(Json::decode::<Vec<u8>>(b"[1, 2] 3").is_err());
        assert!(Json::decode::<serde_json::Value>(&[b'['; 100_000]).is_err());
        // What has no form.
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(Json::encode(&map).is_err());
    }
}
