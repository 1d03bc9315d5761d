//! The first bytes of each data stream: what kind it is, and the application's label.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::Malformed;

/// The longest label, in bytes.
pub(crate) const MAX_LABEL: usize = 255;

/// A stream of messages. Other kinds may come with later versions.
const KIND_DATA: u8 = 1;

/// The preamble of a data stream. The label must not exceed [`MAX_LABEL`].
pub(crate) fn encode_preamble(label: &[u8]) -> Bytes {
    let label = &label[..label.len().min(MAX_LABEL)];
    let mut out = BytesMut::with_capacity(2 + label.len());
    out.put_u8(KIND_DATA);
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
    /// Takes what it needs from the front of `input`; gives the label once it is whole.
    pub(crate) fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, Malformed> {
        loop {
            let need = match self.bytes[..] {
                [] => 1,
                [KIND_DATA] => 2,
                [KIND_DATA, len, ..] => 2 + usize::from(len),
                _ => return Err(Malformed),
            };
            if self.bytes.len() == need && need >= 2 {
                return Ok(Some(self.bytes.split().freeze().slice(2..)));
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
        for label in [&b""[..], b"x", &[9; MAX_LABEL]] {
            let mut bytes = encode_preamble(label).to_vec();
            bytes.extend_from_slice(b"rest");
            for cut in 0..bytes.len() - 4 {
                let mut decoder = PreambleDecoder::default();
                let (mut first, mut second) = bytes.split_at(cut);
                assert_eq!(decoder.feed(&mut first), Ok(None));
                let decoded = decoder.feed(&mut second);
                assert_eq!(decoded, Ok(Some(Bytes::copy_from_slice(label))));
                assert_eq!(second, b"rest");
            }
        }
    }

    #[test]
    fn an_unknown_kind_is_malformed() {
        assert_eq!(
            PreambleDecoder::default().feed(&mut &[2, 0][..]),
            Err(Malformed)
        );
    }
}
