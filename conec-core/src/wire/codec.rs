//! Reading and writing fields.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Deref,
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{ClientId, Name, Target};

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Writes a QUIC variable-length integer. Values of 2^62 and more are cut to 2^62 - 1.
pub(crate) fn write_varint(value: u64, out: &mut impl BufMut) {
    out.put_slice(&Varint::new(value));
}

/// The bytes of a QUIC variable-length integer (RFC 9000, 16).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Varint {
    bytes: [u8; 8],
    len: usize,
}

impl Varint {
    /// Values of 2^62 and more are cut to 2^62 - 1.
    #[inline]
    pub(crate) fn new(value: u64) -> Self {
        let (len, two_bits) = match value {
            0..0x40 => (1, 0),
            0x40..0x4000 => (2, 1),
            0x4000..0x4000_0000 => (4, 2),
            _ => (8, 3),
        };
        let value = value.min((1 << 62) - 1);
        // All of it is written at once: processors wait where a part is read back that was not written as a whole.
        let bytes = (two_bits << 62 | value << (64 - 8 * len)).to_be_bytes();
        Self { bytes, len }
    }
}

impl Deref for Varint {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// How many bytes the integer takes that begins with this byte.
pub(super) fn varint_len(first: u8) -> usize {
    1 << (first >> 6)
}

/// The integer in exactly these bytes, as many as [`varint_len`] says.
pub(super) fn varint_value(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte))
        & (u64::MAX >> 2 >> (64 - 8 * bytes.len().clamp(1, 8)))
}

/// Reads the fields of one message; [`finish`](Self::finish) sees to it that nothing is left.
pub(crate) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn finish(self) -> Result<(), Malformed> {
        self.0.is_empty().then_some(()).ok_or(Malformed)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<Bytes, Malformed> {
        if self.0.len() < len {
            return Err(Malformed);
        }
        Ok(self.0.split_to(len))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let first = *self.0.first().ok_or(Malformed)?;
        self.bytes(varint_len(first))
            .map(|bytes| varint_value(&bytes))
    }

    /// Bytes with their length in front, at most `max` of them.
    pub(super) fn block(&mut self, max: usize) -> Result<Bytes, Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        if len > max {
            return Err(Malformed);
        }
        self.bytes(len)
    }

    /// Like [`block`](Self::block), but copied, for what is kept longer than the message: a slice would keep the whole buffer that the
    /// message has come in.
    pub(super) fn kept_block(&mut self, max: usize) -> Result<Bytes, Malformed> {
        let block = self.block(max)?;
        Ok(Bytes::copy_from_slice(&block))
    }

    pub(super) fn client_id(&mut self) -> Result<ClientId, Malformed> {
        self.array().map(ClientId)
    }

    pub(super) fn name(&mut self) -> Result<Name, Malformed> {
        self.optional_name()?.ok_or(Malformed)
    }

    /// No name is written as an empty one.
    pub(super) fn optional_name(&mut self) -> Result<Option<Name>, Malformed> {
        let text = self.block(Name::MAX_LEN)?;
        if text.is_empty() {
            return Ok(None);
        }
        std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or(Malformed)
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(super) fn target(&mut self) -> Result<Target, Malformed> {
        match self.u8()? {
            0 => self.name().map(Target::Name),
            1 => self.client_id().map(Target::Id),
            _ => Err(Malformed),
        }
    }

    pub(super) fn address(&mut self) -> Result<SocketAddr, Malformed> {
        let ip = match self.u8()? {
            4 => IpAddr::from(Ipv4Addr::from(self.array::<4>()?)),
            6 => IpAddr::from(Ipv6Addr::from(self.array::<16>()?)),
            _ => return Err(Malformed),
        };
        Ok(SocketAddr::new(ip, self.u16()?))
    }
}

pub(super) fn write_block(bytes: &[u8], out: &mut impl BufMut) {
    write_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

/// Blocks, one after the other.
pub(crate) fn write_blocks<'a>(blocks: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::new();
    blocks.for_each(|block| write_block(block, &mut out));
    out.freeze()
}

/// What [`write_blocks`] has written.
pub(crate) fn read_blocks(bytes: Bytes) -> Result<Vec<Bytes>, Malformed> {
    let (mut rest, mut blocks) = (Reader(bytes), Vec::new());
    while !rest.0.is_empty() {
        let max = rest.0.len();
        blocks.push(rest.block(max)?);
    }
    Ok(blocks)
}

pub(super) fn write_optional_name(name: Option<&Name>, out: &mut impl BufMut) {
    write_block(name.map_or(&[], |name| name.as_str().as_bytes()), out);
}

pub(super) fn write_target(target: &Target, out: &mut impl BufMut) {
    match target {
        Target::Name(name) => {
            out.put_u8(0);
            write_optional_name(Some(name), out);
        }
        Target::Id(id) => {
            out.put_u8(1);
            out.put_slice(id.as_bytes());
        }
    }
}

pub(super) fn write_address(address: SocketAddr, out: &mut impl BufMut) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(address.port());
}

/// A control message's type, and its fields still to be read.
pub(super) fn split_type(payload: Bytes) -> Result<(u64, Reader), Malformed> {
    let mut reader = Reader(payload);
    let kind = reader.varint()?;
    Ok((kind, reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_boundary() {
        // The examples of RFC 9000, A.1, and the boundaries of each length.
        let examples: [(u64, &[u8]); 4] = [
            (37, &[0x25]),
            (15_293, &[0x7b, 0xbd]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (
                151_288_809_941_952_652,
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
            ),
        ];
        for (value, bytes) in examples {
            let mut out = Vec::new();
            write_varint(value, &mut out);
            assert_eq!(out, bytes);
        }
        for value in [
            0,
            63,
            64,
            16_383,
            16_384,
            (1 << 30) - 1,
            1 << 30,
            (1 << 62) - 1,
        ] {
            let mut out = Vec::new();
            write_varint(value, &mut out);
            assert_eq!(varint_len(out[0]), out.len());
            let mut reader = Reader(out.into());
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
    }
}
