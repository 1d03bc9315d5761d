//! Bytes that people pass on: base32 (RFC 4648, 6) in lower case, without padding, and with a checksum.

use data_encoding::BASE32_NOPAD_NOCASE;
use thiserror::Error;

use crate::crypto::digest;

/// Why a text does not say what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// It holds something that is no letter from a to z and no digit from 2 to 7.
    #[error("character {position}, {found:?}, is none of a to z and 2 to 7")]
    Character {
        /// Which one, counted from 1.
        position: usize,
        /// What is there.
        found: char,
    },
    /// Something is missing, or there is too much.
    #[error("it has {found} characters: a part is missing, or there is too much")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// It was mistyped, or is something else: the checksum at its end is another one.
    #[error("it was mistyped, or is something else: its checksum is wrong")]
    Checksum,
}

/// These bytes as text, which is read as nothing but what it is for.
pub(crate) fn encode<const CHECK: usize>(purpose: &str, bytes: &[u8]) -> String {
    let mut all = bytes.to_vec();
    all.extend_from_slice(&checksum::<CHECK>(purpose, bytes));
    BASE32_NOPAD_NOCASE.encode(&all).to_ascii_lowercase()
}

/// The bytes of such a text.
pub(crate) fn decode<const CHECK: usize>(purpose: &str, text: &str) -> Result<Vec<u8>, TextError> {
    let is_strange = |it: &(usize, char)| !matches!(it.1, 'a'..='z' | 'A'..='Z' | '2'..='7');
    let found = text.chars().count();
    if let Some((before, found)) = text.chars().enumerate().find(is_strange) {
        let position = before + 1;
        return Err(TextError::Character { position, found });
    }
    let length = TextError::Length { found };
    let mut bytes = match BASE32_NOPAD_NOCASE.decode(text.as_bytes()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == data_encoding::DecodeKind::Length => return Err(length),
        // Bits that say nothing have to be 0, so that there is one text for the same bytes.
        Err(_) => return Err(TextError::Checksum),
    };
    let check = bytes.len().checked_sub(CHECK).ok_or(length)?;
    let check = bytes.split_off(check);
    if check != checksum::<CHECK>(purpose, &bytes) {
        return Err(TextError::Checksum);
    }
    Ok(bytes)
}

fn checksum<const CHECK: usize>(purpose: &str, bytes: &[u8]) -> [u8; CHECK] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(purpose.as_bytes());
    context.update(bytes);
    let mut check = [0; CHECK];
    for (to, from) in check.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_like_it() {
        for length in 0..100_u8 {
            let bytes: Vec<_> = (0..length).map(|at| at.wrapping_mul(37)).collect();
            let text = encode::<3>("test", &bytes);
            assert_eq!(decode::<3>("test", &text), Ok(bytes.clone()));
            assert_eq!(decode::<3>("test", &text.to_uppercase()), Ok(bytes));
            assert_eq!(decode::<3>("other", &text), Err(TextError::Checksum));
            for at in 0..text.len() {
                let mut typo = text.clone().into_bytes();
                typo[at] = if typo[at] == b'a' { b'b' } else { b'a' };
                let typo = String::from_utf8(typo).unwrap();
                assert_eq!(decode::<3>("test", &typo), Err(TextError::Checksum), "{at}");
            }
            for cut in 0..text.len() {
                assert!(decode::<3>("test", &text[..cut]).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_where() {
        let character = |position, found| Err(TextError::Character { position, found });
        assert_eq!(decode::<3>("", "abc1"), character(4, '1'));
        assert_eq!(decode::<3>("", "äbc"), character(1, 'ä'));
        assert_eq!(decode::<3>("", "ab c"), character(3, ' '));
        assert_eq!(decode::<3>("", ""), Err(TextError::Length { found: 0 }));
        assert_eq!(decode::<3>("", "abc"), Err(TextError::Length { found: 3 }));
    }
}
