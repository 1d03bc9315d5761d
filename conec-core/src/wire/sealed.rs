//! Sealed messages of groups: what stands before the ciphertext.

use bytes::BufMut;

use super::codec::{Malformed, varint_len, varint_value, write_varint};

/// What a sealed message says of itself, for everybody to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedHeader {
    /// By which key of the group it was sealed.
    pub(crate) key: KeyTag,
    pub(crate) membership: MembershipTag,
    /// How many messages its sender has sealed before in the same membership.
    pub(crate) counter: u64,
    /// The last position of the order that its sender had heard.
    pub(crate) after: u64,
}

/// Tells the keys of a group apart.
pub(crate) type KeyTag = [u8; 8];

/// Random bytes that are not secret.
pub(crate) type Salt = [u8; 16];

/// Which of its memberships a sender is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MembershipTag {
    /// The first position of the order after it has joined.
    pub(crate) born: u64,
    pub(crate) salt: Salt,
}

impl SealedHeader {
    /// The longest.
    pub(crate) const MAX_LEN: usize = 1 + size_of::<KeyTag>() + size_of::<Salt>() + 3 * 8;

    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(VERSION);
        out.put_slice(&self.key);
        out.put_slice(&self.membership.salt);
        for number in [self.membership.born, self.counter, self.after] {
            write_varint(number, out);
        }
    }

    /// What a sealed message says of itself, and what comes after that.
    pub(crate) fn decode(sealed: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (&version, rest) = sealed.split_first().ok_or(Malformed)?;
        if version != VERSION {
            return Err(Malformed);
        }
        let (&key, rest) = rest.split_first_chunk().ok_or(Malformed)?;
        let (&salt, rest) = rest.split_first_chunk().ok_or(Malformed)?;
        let (born, rest) = split_varint(rest)?;
        let (counter, rest) = split_varint(rest)?;
        let (after, rest) = split_varint(rest)?;
        if counter >= MAX_SEALED {
            return Err(Malformed);
        }
        let header = Self {
            key,
            membership: MembershipTag { born, salt },
            counter,
            after,
        };
        Ok((header, rest))
    }
}

fn split_varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let first = *bytes.first().ok_or(Malformed)?;
    let (varint, rest) = bytes.split_at_checked(varint_len(first)).ok_or(Malformed)?;
    Ok((varint_value(varint), rest))
}

/// In one membership, a sender seals so many messages at most: what one key of AES-GCM is good for by far.
pub(crate) const MAX_SEALED: u64 = 1 << 32;
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SealedHeader = SealedHeader {
        key: [1; 8],
        membership: MembershipTag {
            born: 300,
            salt: [2; 16],
        },
        counter: 63,
        after: (1 << 62) - 1,
    };

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        HEADER.encode(&mut bytes);
        assert_eq!(bytes.len(), 1 + 8 + 16 + 2 + 1 + 8);
        bytes.extend(b"rest");
        assert_eq!(SealedHeader::decode(&bytes), Ok((HEADER, &b"rest"[..])));
        for len in 0..bytes.len() - 4 {
            assert_eq!(SealedHeader::decode(&bytes[..len]), Err(Malformed), "{len}");
        }
        bytes[0] = 2;
        assert_eq!(SealedHeader::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn no_counter_is_beyond_what_may_be_sealed() {
        let read = |counter| {
            let mut bytes = Vec::new();
            SealedHeader { counter, ..HEADER }.encode(&mut bytes);
            assert!(bytes.len() <= SealedHeader::MAX_LEN);
            SealedHeader::decode(&bytes).map(|(header, _)| header.counter)
        };
        assert_eq!(read(MAX_SEALED - 1), Ok(MAX_SEALED - 1));
        assert_eq!(read(MAX_SEALED), Err(Malformed));
    }
}
