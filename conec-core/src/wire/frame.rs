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
/// buffers that hold many packets into ones that hold one message or a run of small ones. Memory is taken as bytes
/// arrive, not as they are announced, but for as much as the message before has taken.
#[derive(Debug, Clone)]
pub(crate) struct FrameDecoder {
    max: usize,
    /// Small messages that have come together, all of them whole.
    run: Bytes,
    /// The part of a header that came at the end of the bytes before.
    header: SmallVec<[u8; 8]>,
    /// A message of which not all has come, and its full length.
    partial: Option<(Vec<u8>, usize)>,
    /// The length of the last one that came in parts and is complete.
    proven: usize,
}

impl FrameDecoder {
    /// A decoder for messages of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            run: Bytes::new(),
            header: SmallVec::new(),
            partial: None,
            proven: 0,
        }
    }

    /// The next whole message of the stream that goes on with these bytes. Takes from them what it needs; `None` when they
    /// are used up.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Bytes>, FrameTooLarge> {
        match Frame::first(&self.run) {
            Some(frame) => {
                self.run.advance(frame.header);
                Ok(Some(self.run.split_to(frame.len)))
            }
            None => self.next_of(bytes),
        }
    }

    /// Whether the bytes so far end where a message ends.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.partial.is_none() && self.header.is_empty() && self.run.is_empty()
    }

    /// Memory taken by what has come and was not given out.
    pub(crate) fn memory(&self) -> usize {
        let partial = self.partial.as_ref();
        let run = if self.run.is_empty() { 0 } else { MAX_RUN };
        run + partial.map_or(0, |(partial, _)| partial.capacity())
    }

    fn next_of(&mut self, bytes: &mut &[u8]) -> Result<Option<Bytes>, FrameTooLarge> {
        if self.partial.is_none() {
            if self.header.is_empty()
                && let Some(run) = self.run_at(bytes)
            {
                self.run = Bytes::copy_from_slice(run);
                bytes.advance(run.len());
                return self.next(bytes);
            }
            let Some(len) = self.read_header(bytes)? else {
                return Ok(None);
            };
            if bytes.len() >= len {
                let message = Bytes::copy_from_slice(&bytes[..len]);
                bytes.advance(len);
                return Ok(Some(message));
            }
            // Who has sent so much before has to be given as much again, sooner or later.
            let partial = Vec::with_capacity(len.min(self.proven.max(4 * bytes.len())));
            self.partial = Some((partial, len));
        }
        Ok(self.go_on(bytes))
    }

    /// What is the beginning of these bytes, if it is several small messages.
    fn run_at<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let room = &bytes[..bytes.len().min(MAX_RUN)];
        let (mut end, mut messages) = (0, 0);
        while let Some(frame) = Frame::first(&room[end..])
            && frame.len <= self.max
        {
            end += frame.header + frame.len;
            messages += 1;
        }
        (messages > 1).then_some(&room[..end])
    }

    fn read_header(&mut self, bytes: &mut &[u8]) -> Result<Option<usize>, FrameTooLarge> {
        let Some(&first) = self.header.first().or_else(|| bytes.first()) else {
            return Ok(None);
        };
        let missing = varint_len(first) - self.header.len();
        let len = match bytes.get(..missing) {
            // Nearly always.
            Some(whole) if self.header.is_empty() => varint_value(whole),
            rest => {
                let rest = rest.unwrap_or(bytes);
                self.header.extend_from_slice(rest);
                if rest.len() < missing {
                    *bytes = &[];
                    return Ok(None);
                }
                varint_value(&std::mem::take(&mut self.header))
            }
        };
        bytes.advance(missing);
        match usize::try_from(len) {
            Ok(len) if len <= self.max => Ok(Some(len)),
            _ => Err(FrameTooLarge),
        }
    }

    /// Goes on with the message of which a part has come.
    fn go_on(&mut self, bytes: &mut &[u8]) -> Option<Bytes> {
        let (partial, len) = self.partial.as_mut()?;
        let missing = *len - partial.len();
        let (part, rest) = bytes.split_at(missing.min(bytes.len()));
        // Four times what has come, but never beyond what the message needs: every growth is another copy.
        if partial.capacity() - partial.len() < part.len() {
            partial.reserve_exact(missing.min(part.len().max(3 * partial.len())));
        }
        partial.extend_from_slice(part);
        *bytes = rest;
        if partial.len() < *len {
            return None;
        }
        self.proven = *len;
        self.partial.take().map(|(message, _)| message.into())
    }
}

/// A message that is there whole.
struct Frame {
    /// The length of its header, and its own.
    header: usize,
    len: usize,
}

impl Frame {
    /// The one that these bytes begin with.
    #[inline]
    fn first(bytes: &[u8]) -> Option<Self> {
        let header = varint_len(*bytes.first()?);
        let len = usize::try_from(varint_value(bytes.get(..header)?)).ok()?;
        (bytes.len() - header >= len).then_some(Self { header, len })
    }
}

/// How much memory a small message may keep alive, as one of a run.
const MAX_RUN: usize = 2048;

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
        let mut piece = &bytes[..cut];
        bytes.advance(cut);
        loop {
            match decoder.next(&mut piece) {
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
            assert_eq!(decoder.next(&mut &header[..]), Err(FrameTooLarge));
            assert_eq!(decoder.memory(), 0);
        }
    }

    #[test]
    fn memory_is_taken_as_bytes_arrive() {
        let mut decoder = FrameDecoder::new(1 << 24);
        assert_eq!(decoder.next(&mut &frame_header(1 << 24)[..]), Ok(None));
        assert_eq!(decoder.next(&mut &[0; 100][..]), Ok(None));
        assert!(decoder.memory() <= 400);
    }

    #[test]
    fn memory_is_taken_at_once_for_as_much_as_has_arrived_before() {
        let mut decoder = FrameDecoder::new(1 << 24);
        let bytes = encode(&[&[0; 5000]]);
        let (mut one, mut other) = bytes.split_at(1000);
        assert_eq!(decoder.next(&mut one), Ok(None));
        assert!(decoder.next(&mut other).is_ok_and(|it| it.is_some()));
        for (len, taken) in [(1 << 24, 5000), (4000, 4000)] {
            let mut next = decoder.clone();
            assert_eq!(next.next(&mut &frame_header(len)[..]), Ok(None));
            assert_eq!(next.memory(), taken);
        }
    }

    #[test]
    fn a_small_message_does_not_keep_a_large_buffer() {
        let mut decoder = FrameDecoder::new(1 << 20);
        let bytes = encode(&[&b"small"[..], &[0; 60_000]]);
        let small = decoder.next(&mut &bytes[..]).ok().flatten().map(Vec::from);
        assert_eq!(small.map(|small| small.capacity()), Some(5));
        let bytes = encode(&[&b"small"[..]; 10_000]);
        let mut rest = &bytes[..];
        assert!(decoder.next(&mut rest).is_ok_and(|small| small.is_some()));
        assert!(bytes.len() - rest.len() <= MAX_RUN);
    }
}
