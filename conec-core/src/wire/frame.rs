//! Messages on a stream: a QUIC variable-length integer for the length, then the payload.

use std::ops::Deref;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::codec::{varint_len, varint_value, write_varint};

/// What goes in front of a message of `len` bytes.
pub(crate) fn frame_header(len: usize) -> FrameHeader {
    let mut bytes = [0; 8];
    let mut room = &mut bytes[..];
    write_varint(len as u64, &mut room);
    let len = 8 - room.len();
    FrameHeader { bytes, len }
}

/// The few bytes in front of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHeader {
    bytes: [u8; 8],
    len: usize,
}

impl Deref for FrameHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The next message is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameTooLarge;

/// Takes a stream's bytes as they come and gives its messages. However the bytes are cut, the messages are the same.
///
/// What is given out never keeps a large buffer alive for a small message: received bytes are copied once, out of
/// buffers that hold many packets into ones that hold one message or one packet's worth of small ones. Memory is
/// taken as bytes arrive, not as they are announced.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    max: usize,
    /// Bytes not yet looked at.
    input: Bytes,
    /// How much memory a slice of `input` keeps alive.
    pinned: usize,
    /// The part of a header that came at the end of the input before.
    header: SmallVec<[u8; 8]>,
    /// A message of which not all has come, and its full length.
    partial: Option<(Vec<u8>, usize)>,
}

impl FrameDecoder {
    /// A decoder for messages of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            input: Bytes::new(),
            pinned: 0,
            header: SmallVec::new(),
            partial: None,
        }
    }

    /// Adds the stream's next bytes. To be called when [`next`](Self::next) has given `None`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        if let Some((partial, len)) = &mut self.partial {
            let missing = *len - partial.len();
            let part = missing.min(bytes.len());
            // Four times what has come, but never beyond what the message needs: every growth is another copy.
            if partial.capacity() - partial.len() < part {
                partial.reserve_exact(missing.min(part.max(3 * partial.len())));
            }
            partial.extend_from_slice(&bytes[..part]);
            bytes.advance(part);
        }
        debug_assert!(self.input.is_empty(), "fed before its messages were taken");
        self.input = Bytes::copy_from_slice(bytes);
        self.pinned = self.input.len();
    }

    /// The next whole message, if it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FrameTooLarge> {
        if self.partial.is_none() {
            let Some(len) = self.read_header()? else {
                return Ok(None);
            };
            if self.input.len() >= len {
                return Ok(Some(self.take_whole(len)));
            }
            let mut partial = Vec::with_capacity(len.min(4 * self.input.len()));
            partial.extend_from_slice(&std::mem::take(&mut self.input));
            self.partial = Some((partial, len));
        }
        match self.partial.take() {
            Some((partial, len)) if partial.len() == len => Ok(Some(partial.into())),
            partial => {
                self.partial = partial;
                Ok(None)
            }
        }
    }

    /// Whether the bytes so far end where a message ends.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.partial.is_none() && self.header.is_empty() && self.input.is_empty()
    }

    /// Memory taken by what was fed and not given out.
    pub(crate) fn memory(&self) -> usize {
        let partial = self.partial.as_ref();
        let input = if self.input.is_empty() {
            0
        } else {
            self.pinned
        };
        input + partial.map_or(0, |(partial, _)| partial.capacity())
    }

    fn read_header(&mut self) -> Result<Option<usize>, FrameTooLarge> {
        let Some(&first) = self.header.first().or_else(|| self.input.first()) else {
            return Ok(None);
        };
        let missing = varint_len(first) - self.header.len();
        let len = match self.input.get(..missing) {
            // Nearly always.
            Some(whole) if self.header.is_empty() => varint_value(whole),
            rest => {
                let rest = rest.unwrap_or(&self.input);
                self.header.extend_from_slice(rest);
                if rest.len() < missing {
                    self.input.clear();
                    return Ok(None);
                }
                varint_value(&std::mem::take(&mut self.header))
            }
        };
        self.input.advance(missing);
        match usize::try_from(len) {
            Ok(len) if len <= self.max => Ok(Some(len)),
            _ => Err(FrameTooLarge),
        }
    }

    fn take_whole(&mut self, len: usize) -> Bytes {
        let message = self.input.split_to(len);
        if self.pinned > MAX_PIN && self.pinned / 4 > len {
            Bytes::copy_from_slice(&message)
        } else {
            message
        }
    }
}

/// A message may keep this much memory alive, or four times its own size.
const MAX_PIN: usize = 2048;

/// The messages in `bytes`, cut as `cuts` say.
#[cfg(test)]
pub(crate) fn decode_in_pieces(
    mut bytes: &[u8],
    cuts: &[usize],
    max: usize,
) -> (Vec<Bytes>, Result<bool, FrameTooLarge>) {
    let mut decoder = FrameDecoder::new(max);
    let mut messages = Vec::new();
    let mut cuts = cuts.iter();
    while !bytes.is_empty() {
        let cut = cuts
            .next()
            .map_or(bytes.len(), |&cut| cut.clamp(1, bytes.len()));
        decoder.feed(&bytes[..cut]);
        bytes.advance(cut);
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(decoder.is_at_boundary()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(messages: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            out.extend_from_slice(&frame_header(message.len()));
            out.extend_from_slice(message);
        }
        out
    }

    #[test]
    fn every_cut_gives_the_same_messages() {
        let long = vec![7; 300];
        let messages: [&[u8]; 5] = [b"one", b"", &long, b"", b"last"];
        let bytes = encode(&messages);
        for first in 1..bytes.len() {
            for second in [1, 2, 3, 64, 301] {
                let (decoded, end) = decode_in_pieces(&bytes, &[first, second], 1000);
                assert_eq!(decoded, messages, "cut at {first}, then {second}");
                assert_eq!(end, Ok(true));
            }
        }
        let ones = vec![1; bytes.len()];
        assert_eq!(decode_in_pieces(&bytes, &ones, 1000).0, messages);
    }

    #[test]
    fn an_end_within_a_message_is_seen() {
        let bytes = encode(&[b"whole", b"cut off"]);
        for len in 7..bytes.len() {
            assert_eq!(decode_in_pieces(&bytes[..len], &[], 100).1, Ok(false));
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_memory_is_taken() {
        for len in [101, 1 << 20, (1 << 62) - 1] {
            let mut decoder = FrameDecoder::new(100);
            let mut header = Vec::new();
            write_varint(len, &mut header);
            decoder.feed(&header);
            assert_eq!(decoder.next(), Err(FrameTooLarge));
            assert_eq!(decoder.memory(), 0);
        }
    }

    #[test]
    fn memory_is_taken_as_bytes_arrive() {
        let mut decoder = FrameDecoder::new(1 << 24);
        decoder.feed(&frame_header(1 << 24));
        assert_eq!(decoder.next(), Ok(None));
        decoder.feed(&[0; 100]);
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.memory() <= 400);
    }

    #[test]
    fn a_small_message_does_not_keep_a_large_buffer() {
        let large = vec![0; 60_000];
        let mut bytes = encode(&[b"small"]);
        bytes.extend_from_slice(&encode(&[&large]));
        let mut decoder = FrameDecoder::new(1 << 20);
        decoder.feed(&bytes);
        let small = decoder.next().ok().flatten().map(Vec::from);
        assert_eq!(small.as_deref(), Some(&b"small"[..]));
        assert_eq!(small.map(|small| small.capacity()), Some(5));
    }
}
