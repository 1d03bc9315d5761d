//! Message frames: however the bytes of a stream are cut, its messages are the same, and memory is taken as they arrive.

use bytes::Bytes;
use conec_core::testing::{FrameDecoder, Refused, frame_header};

use super::Input;
use crate::raw::message::{frame, read_varint};

/// Input: what the largest message is, how long the pieces are, then the stream.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let max = 1 << (input.byte() % 20);
    let pieces: Vec<_> = (0..8).map(|_| 1 + usize::from(input.byte())).collect();
    let stream = input.rest();

    let expected = reference(stream, max);
    for pieces in [&[stream.len().max(1)][..], &[1], &pieces] {
        decode(stream, pieces, max, &expected);
    }
    for message in &expected.messages {
        let header = frame_header(message.len());
        assert_eq!([&header[..], message].concat(), frame(message));
    }
}

/// What a stream holds, as `PROTOCOL.md` has it.
struct Expected {
    messages: Vec<Bytes>,
    /// Where each message ends.
    ends: Vec<usize>,
    /// Whether the stream ends where a message does; not asked once a message is too large.
    end: Result<bool, Refused>,
}

fn reference(stream: &[u8], max: usize) -> Expected {
    let mut expected = Expected {
        messages: Vec::new(),
        ends: Vec::new(),
        end: Ok(true),
    };
    let mut at = 0;
    while at < stream.len() {
        let Some((len, header)) = read_varint(&stream[at..]) else {
            expected.end = Ok(false);
            break;
        };
        if len > max as u64 {
            expected.end = Err(Refused);
            break;
        }
        let end = at + header + len as usize;
        let Some(message) = stream.get(at + header..end) else {
            expected.end = Ok(false);
            break;
        };
        expected.messages.push(Bytes::copy_from_slice(message));
        expected.ends.push(end);
        at = end;
    }
    expected
}

fn decode(mut stream: &[u8], pieces: &[usize], max: usize, expected: &Expected) {
    let mut decoder = FrameDecoder::new(max);
    let mut messages = Vec::new();
    let mut fed = 0;
    let mut pieces = pieces.iter().cycle();
    while !stream.is_empty()
        && let Some(&piece) = pieces.next()
    {
        let (mut piece, rest) = stream.split_at(piece.min(stream.len()));
        stream = rest;
        fed += piece.len();
        loop {
            match decoder.next_message(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(refused) => {
                    assert_eq!(expected.end, Err(refused));
                    assert_eq!(messages, expected.messages);
                    return;
                }
            }
        }
        let complete = messages.len().checked_sub(1);
        let arrived = fed - complete.map_or(0, |last| expected.ends[last]);
        let held = decoder.memory();
        let before = messages.iter().map(Bytes::len).max().unwrap_or(0);
        // With the buffers of two messages that were read.
        let allowed = 2 * before + before.max(4 * arrived) + 64;
        assert!(held <= allowed, "{held} bytes held for {arrived}");
    }
    assert_eq!(messages, expected.messages);
    assert_eq!(Ok(decoder.is_at_boundary()), expected.end);
}
