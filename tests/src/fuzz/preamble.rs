//! Stream preambles: cut anywhere, kind and label are the same, and what follows is left alone.

use bytes::Bytes;
use conec_core::testing::{PreambleDecoder, Refused, encode_preamble};

use crate::raw::message;

/// Input: how long the pieces are, then the stream.
pub fn run(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let expected = reference(stream);
    for piece in [stream.len(), 1, 1 + usize::from(piece)] {
        assert_eq!(decode(stream, piece.max(1)), expected);
    }
    if let Ok(Some((1, label, _))) = expected {
        assert_eq!(encode_preamble(&label), message::preamble(&label));
    }
}

/// The kind, the label, and what follows, if they are whole.
type Outcome = Result<Option<(u8, Bytes, Vec<u8>)>, Refused>;

fn reference(stream: &[u8]) -> Outcome {
    match *stream {
        [] | [1 | 2] => Ok(None),
        [kind @ (1 | 2), len, ref rest @ ..] => Ok(rest
            .split_at_checked(len.into())
            .map(|(label, rest)| (kind, Bytes::copy_from_slice(label), rest.to_vec()))),
        [_, ..] => Err(Refused),
    }
}

fn decode(mut stream: &[u8], piece: usize) -> Outcome {
    let mut decoder = PreambleDecoder::default();
    while !stream.is_empty() {
        let (mut piece, rest) = stream.split_at(piece.min(stream.len()));
        stream = rest;
        if let Some((kind, label)) = decoder.feed(&mut piece)? {
            return Ok(Some((kind, label, [piece, rest].concat())));
        }
        assert!(piece.is_empty(), "left over before the label is whole");
    }
    Ok(None)
}
