//! The first bytes of each data stream: what kind it is, and the application's label.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::Malformed;

/// The longest label, in bytes.
pub(crate) const MAX_LABEL: usize = 255;

/// What a stream is for. Other kinds may come with later versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// The application's messages, under its label.
    Data,
    /// A membership of the group that the label names.
    Membership,
}

impl StreamKind {
    pub(crate) fn to_wire(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Membership => 2,
        }
    }

    fn from_wire(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Data),
            2 => Some(Self::Membership),
            _ => None,
        }
    }
}

/// The preamble of a data stream. The label must not exceed [`MAX_LABEL`].
pub(crate) fn encode_preamble(kind: StreamKind, label: &[u8]) -> Bytes {
    let label = &label[..label.len().min(MAX_LABEL)];
    let mut out = BytesMut::with_capacity(2 + label.len());
    out.put_u8(kind.to_wire());
    out.put_u8(label.len() as u8);
    out.put_slice(label);
    out.freeze()
}

/// Collects the preamble from however many pieces it comes in.
#[derive(Debug, Default)]
pub(crate) struct PreambleDecoder {
    bytes: BytesMut,
}

impl PreambleDecoder {
    /// Takes what it needs from the front of `input`; gives the kind and the label once it is whole.
    pub(crate) fn feed(
        &mut self,
        input: &mut &[u8],
    ) -> Result<Option<(StreamKind, Bytes)>, Malformed> {
        loop {
            let kind = match self.bytes.first() {
                None => None,
                Some(&first) => Some(StreamKind::from_wire(first).ok_or(Malformed)?),
            };
            let need = match self.bytes[..] {
                [] => 1,
                [_] => 2,
                [_, len, ..] => 2 + usize::from(len),
            };
            if let Some(kind) = kind
                && self.bytes.len() == need
                && need >= 2
            {
                let label = self.bytes.split().freeze().slice(2..);
                return Ok(Some((kind, label)));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let part = (need - self.bytes.len()).min(input.len());
            self.bytes.extend_from_slice(&input[..part]);
            *input = &input[part..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_out_of_any_pieces() {
        for (kind, label) in [
            (StreamKind::Data, &b""[..]),
            (StreamKind::Membership, b"x"),
            (StreamKind::Data, &[9; MAX_LABEL]),
        ] {
            let mut bytes = encode_preamble(kind, label).to_vec();
            bytes.extend_from_slice(b"rest");
            for cut in 0..bytes.len() - 4 {
                let mut decoder = PreambleDecoder::default();
                let (mut first, mut second) = bytes.split_at(cut);
                assert_eq!(decoder.feed(&mut first), Ok(None));
                let decoded = decoder.feed(&mut second);
                assert_eq!(decoded, Ok(Some((kind, Bytes::copy_from_slice(label)))));
                assert_eq!(second, b"rest");
            }
        }
    }

    #[test]
    fn an_unknown_kind_is_malformed() {
        assert_eq!(
            PreambleDecoder::default().feed(&mut &[3, 0][..]),
            Err(Malformed)
        );
    }
}
