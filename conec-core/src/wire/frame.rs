//! Messages on a stream: a QUIC variable-length integer for the length, then the payload.

use std::ops::RangeInclusive;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

use super::codec::{Varint, varint_len, varint_value};
use crate::buffers::Lent;

/// What goes in front of a message of `len` bytes.
#[inline]
pub(crate) fn frame_header(len: usize) -> Varint {
    Varint::new(len as u64)
}

/// The next message is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameTooLarge;

/// Takes a stream's bytes as they come and gives its messages. However the bytes are cut, the messages are the same.
///
/// A small message never keeps a large buffer in memory: received bytes are copied once, out of buffers that hold many
/// packets into ones that hold one message or a run of small ones. Memory is taken as bytes arrive, not as they are
/// announced; only as much as the message before took is set aside at once.
///
/// The buffers of large messages are used again once these are dropped. To take new ones costs as much as the copy.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    max: usize,
    /// Small messages that have come together, all of them whole.
    run: Bytes,
    /// The part of a header that came at the end of the bytes before.
    header: SmallVec<[u8; 8]>,
    /// A message of which not all has come, and its full length.
    partial: Option<(BytesMut, usize)>,
    /// The length of the last message that came in parts and is complete.
    proven: usize,
    /// Buffers of the last large messages: while one is read, the next comes into the other.
    lent: Lent<MAX_LENT>,
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
            lent: Lent::default(),
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

    /// The length of the message that has come in part, or 0.
    pub(crate) fn expects(&self) -> usize {
        self.partial.as_ref().map_or(0, |&(_, len)| len)
    }

    /// How much of it is missing.
    pub(crate) fn lacks(&self) -> usize {
        let partial = self.partial.as_ref();
        partial.map_or(0, |(partial, len)| len - partial.len())
    }

    /// Memory taken by what has come and was not given out, and by buffers that are kept.
    pub(crate) fn memory(&self) -> usize {
        let run = if self.run.is_empty() { 0 } else { MAX_RUN };
        let partial = self.partial.as_ref();
        run + partial.map_or(0, |(partial, _)| partial.capacity()) + self.lent.memory()
    }

    /// Whether buffers are kept for messages to come.
    pub(crate) fn keeps_buffers(&self) -> bool {
        !self.lent.is_empty()
    }

    /// Keeps no buffers for messages to come.
    pub(crate) fn rest(&mut self) {
        self.lent.clear();
    }

    // Apart, so that `next` is inlined, which is all that most small messages take.
    #[inline(never)]
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
            // As much as the message before took: its sender has shown that it sends so much.
            let room = len.min(self.proven.max(4 * bytes.len()));
            self.partial = Some((self.buffer(room), len));
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

    /// An empty buffer for so many bytes.
    fn buffer(&mut self, room: usize) -> BytesMut {
        // One that is much too large would keep too much alive.
        let free = self
            .lent
            .take(|size| (size - size / 8..=size).contains(&room));
        free.unwrap_or_else(|| {
            // The new one will be lent, too.
            if self.lent.is_full() {
                self.lent.forget_oldest();
            }
            BytesMut::with_capacity(room)
        })
    }

    /// Goes on with the message of which a part has come.
    fn go_on(&mut self, bytes: &mut &[u8]) -> Option<Bytes> {
        let (partial, len) = self.partial.as_mut()?;
        let missing = *len - partial.len();
        let (part, rest) = bytes.split_at(missing.min(bytes.len()));
        // Four times what has come, but never beyond what the message needs: every growth is another copy.
        if partial.capacity() - partial.len() < part.len() {
            let more = missing.min(part.len().max(3 * partial.len()));
            let mut larger = BytesMut::with_capacity(partial.len() + more);
            larger.extend_from_slice(partial);
            *partial = larger;
        }
        partial.extend_from_slice(part);
        *bytes = rest;
        if partial.len() < *len {
            return None;
        }
        let (mut message, len) = self.partial.take()?;
        self.proven = len;
        if LARGE.contains(&message.len()) {
            self.lent.lend(&mut message);
        }
        Some(message.freeze())
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

/// How many bytes a run of small messages has at most. Each of them keeps all of the run in memory.
pub(crate) const MAX_RUN: usize = 2048;

/// How many buffers are kept.
const MAX_LENT: usize = 2;

/// The length of messages whose buffers are kept: allocators keep smaller ones themselves, and larger ones would take much
/// memory for few messages.
const LARGE: RangeInclusive<usize> = 32 << 10..=512 << 10;

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
    use std::collections::BTreeSet;

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
            assert_eq!(decoder.next(&mut &Varint::new(len)[..]), Err(FrameTooLarge));
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
        for (len, taken) in [(1 << 24, 5000), (4000, 4000)] {
            let mut decoder = FrameDecoder::new(1 << 24);
            decode_in_halves(&mut decoder, 5000);
            assert_eq!(decoder.next(&mut &frame_header(len)[..]), Ok(None));
            assert_eq!(decoder.memory(), taken);
        }
    }

    #[test]
    fn the_buffers_of_large_messages_are_used_again_once_these_are_dropped() {
        let mut decoder = FrameDecoder::new(1 << 24);
        let mut read = Bytes::new();
        let mut buffers = BTreeSet::new();
        for turn in 0..10 {
            let message = decode_in_halves(&mut decoder, 100_000 - turn);
            assert!(message.iter().all(|&byte| byte == 0));
            assert!(decoder.memory() <= 200_000);
            buffers.insert(message.as_ptr());
            read = message;
        }
        assert_eq!((read.len(), buffers.len()), (99_991, 2));
    }

    #[test]
    fn a_message_that_is_kept_keeps_its_buffer() {
        let mut decoder = FrameDecoder::new(1 << 24);
        let messages = [(); 5].map(|()| decode_in_halves(&mut decoder, 100_000));
        let buffers: BTreeSet<_> = messages.iter().map(|message| message.as_ptr()).collect();
        assert_eq!(buffers.len(), messages.len());
        assert_eq!(decoder.memory(), 200_000);
    }

    #[test]
    fn no_buffer_is_kept_for_messages_that_do_not_need_it() {
        for len in [LARGE.start() - 1, LARGE.end() + 1] {
            let mut decoder = FrameDecoder::new(1 << 24);
            decode_in_halves(&mut decoder, len);
            assert!(!decoder.keeps_buffers());
        }
        let mut decoder = FrameDecoder::new(1 << 24);
        let large = decode_in_halves(&mut decoder, 100_000).as_ptr();
        let smaller = decode_in_halves(&mut decoder, 50_000);
        assert_ne!(smaller.as_ptr(), large, "it would keep twice its length");
        decoder.rest();
        assert_eq!(decoder.memory(), 0);
    }

    /// Gives the decoder a message of this length, in two pieces.
    fn decode_in_halves(decoder: &mut FrameDecoder, len: usize) -> Bytes {
        let bytes = encode(&[&vec![0; len]]);
        let (mut one, mut other) = bytes.split_at(len / 2);
        assert_eq!(decoder.next(&mut one), Ok(None));
        decoder
            .next(&mut other)
            .ok()
            .flatten()
            .expect("it is whole")
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
