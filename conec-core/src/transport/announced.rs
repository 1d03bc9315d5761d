//! What the other side of a connection has announced and the engine knows but does not tell: read from where it says so.

use std::time::Duration;

use quinn_proto::transport_parameters::TransportParameters;

/// Its transport parameters (RFC 9000, 18), as the engine would write them.
pub(super) struct Parameters(Vec<u8>);

impl Parameters {
    pub(super) fn new(parameters: &TransportParameters) -> Self {
        let mut written = Vec::new();
        parameters.write(&mut written);
        Self(written)
    }

    /// How long it waits to hear something, if not for ever.
    pub(super) fn max_idle_timeout(&self) -> Option<Duration> {
        let millis = self.get(MAX_IDLE_TIMEOUT).filter(|&millis| millis > 0)?;
        Some(Duration::from_millis(millis))
    }

    /// What it lets this side do at first.
    pub(super) fn initial_limits(&self) -> Limits {
        Limits {
            data: self.get(INITIAL_MAX_DATA),
            streams: [INITIAL_MAX_STREAMS_BIDI, INITIAL_MAX_STREAMS_UNI].map(|it| self.get(it)),
        }
    }

    /// A parameter whose value is a number (RFC 9000, 18.2).
    fn get(&self, wanted: u64) -> Option<u64> {
        let mut fields = Fields(&self.0);
        loop {
            let (id, len) = (fields.varint()?, fields.varint()?);
            let mut value = Fields(fields.bytes(len)?);
            if id == wanted {
                return value.varint();
            }
        }
    }
}

/// Up to what the other side lets this one go, as far as it says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes on all streams together.
    pub(super) data: Option<u64>,
    /// Streams that this side opens, by [`Direction`](crate::Direction).
    pub(super) streams: [Option<u64>; 2],
}

/// What a packet bears that is of interest.
///
/// Frames have no length of their own, so each has to be understood to find the next. What cannot be is the end: the engine
/// closes the connection then.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    /// The largest limits in its MAX_DATA and MAX_STREAMS frames.
    pub(super) limits: Limits,
    /// How many frames bear something that has to be kept if it is not what comes next.
    pub(super) kept: u64,
    payload: &'a [u8],
}

impl<'a> Contents<'a> {
    #[inline]
    pub(super) fn of(payload: &'a [u8]) -> Self {
        let mut contents = Self {
            limits: Limits::default(),
            kept: 0,
            payload,
        };
        let mut fields = Fields(payload);
        while let Some(kind) = fields.frame() {
            let limit = match kind {
                MAX_DATA => &mut contents.limits.data,
                MAX_STREAMS_BIDI => &mut contents.limits.streams[0],
                MAX_STREAMS_UNI => &mut contents.limits.streams[1],
                STREAM..=LAST_STREAM => {
                    contents.kept += 1;
                    match fields.stream_frame(kind) {
                        Some(_) => continue,
                        None => break,
                    }
                }
                _ => {
                    contents.kept +=
                        u64::from(matches!(kind, CRYPTO | DATAGRAM | DATAGRAM_WITH_LENGTH));
                    match fields.skip_frame(kind) {
                        Some(()) => continue,
                        None => break,
                    }
                }
            };
            *limit = (*limit).max(fields.varint());
        }
        contents
    }

    /// The streams of its STREAM frames, and where the data in each ends.
    pub(super) fn stream_ends(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let mut fields = Fields(self.payload);
        std::iter::from_fn(move || {
            loop {
                match fields.frame()? {
                    kind @ STREAM..=LAST_STREAM => return fields.stream_frame(kind),
                    kind => fields.skip_frame(kind)?,
                }
            }
        })
    }
}

/// What is left to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The type of the next frame that is not padding, of which there may be much.
    fn frame(&mut self) -> Option<u64> {
        let padding = self.0.iter().take_while(|&&byte| byte == 0).count();
        self.0 = self.0.get(padding..)?;
        self.varint()
    }

    /// A variable-length integer (RFC 9000, 16).
    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let &first = self.0.first()?;
        if first < 0x40 {
            self.0 = &self.0[1..];
            return Some(first.into());
        }
        let bytes = self.bytes(1 << (first >> 6))?;
        let value = bytes
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte));
        Some(value & (u64::MAX >> 2 >> (64 - 8 * bytes.len())))
    }

    fn bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn varints(&mut self, count: u64) -> Option<()> {
        (0..count).try_for_each(|_| self.varint().map(drop))
    }

    /// Bytes with their length in front.
    fn block(&mut self) -> Option<()> {
        let len = self.varint()?;
        self.bytes(len).map(drop)
    }

    /// The stream of a STREAM frame, and where in it the frame's data ends (RFC 9000, 19.8).
    #[inline]
    fn stream_frame(&mut self, kind: u64) -> Option<(u64, u64)> {
        let stream = self.varint()?;
        let offset = match kind & 0x04 {
            0 => 0,
            _ => self.varint()?,
        };
        let len = match kind & 0x02 {
            0 => self.0.len() as u64,
            _ => self.varint()?,
        };
        self.bytes(len)?;
        Some((stream, offset + len))
    }

    /// Passes over what follows a frame's type, but for STREAM (RFC 9000, 19; RFC 9221, 4; draft-ietf-quic-ack-frequency).
    fn skip_frame(&mut self, kind: u64) -> Option<()> {
        match kind {
            // PADDING, PING, HANDSHAKE_DONE, IMMEDIATE_ACK
            0x00 | 0x01 | 0x1e | 0x1f => Some(()),
            // ACK, without and with the counts of ECN
            0x02 | 0x03 => {
                self.varints(2)?;
                let ranges = self.varint()?;
                self.varint()?;
                self.varints(ranges.checked_mul(2)?)?;
                self.varints(if kind == 0x03 { 3 } else { 0 })
            }
            // RESET_STREAM
            0x04 => self.varints(3),
            // STOP_SENDING, MAX_STREAM_DATA, STREAM_DATA_BLOCKED
            0x05 | 0x11 | 0x15 => self.varints(2),
            CRYPTO => {
                self.varint()?;
                self.block()
            }
            // NEW_TOKEN, DATAGRAM with a length
            0x07 | DATAGRAM_WITH_LENGTH => self.block(),
            // MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID
            MAX_DATA | MAX_STREAMS_BIDI | MAX_STREAMS_UNI | 0x14 | 0x16 | 0x17 | 0x19 => {
                self.varints(1)
            }
            // NEW_CONNECTION_ID
            0x18 => {
                self.varints(2)?;
                let len = u64::from(*self.bytes(1)?.first()?);
                self.bytes(len + 16).map(drop)
            }
            // PATH_CHALLENGE, PATH_RESPONSE
            0x1a | 0x1b => self.bytes(8).map(drop),
            // CONNECTION_CLOSE
            0x1c => {
                self.varints(2)?;
                self.block()
            }
            0x1d => {
                self.varint()?;
                self.block()
            }
            // ACK_FREQUENCY
            0xaf => self.varints(4),
            // DATAGRAM goes up to the packet's end.
            _ => None,
        }
    }
}

const CRYPTO: u64 = 0x06;
/// With bits for an offset, a length and the stream's end.
const STREAM: u64 = 0x08;
const LAST_STREAM: u64 = 0x0f;
const DATAGRAM: u64 = 0x30;
/// With its length.
const DATAGRAM_WITH_LENGTH: u64 = 0x31;
const MAX_IDLE_TIMEOUT: u64 = 0x01;
const INITIAL_MAX_DATA: u64 = 0x04;
const INITIAL_MAX_STREAMS_BIDI: u64 = 0x08;
const INITIAL_MAX_STREAMS_UNI: u64 = 0x09;
const MAX_DATA: u64 = 0x10;
const MAX_STREAMS_BIDI: u64 = 0x12;
const MAX_STREAMS_UNI: u64 = 0x13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_with_data_are_counted() {
        let packet = [
            &[0x01, 0x06, 0x00, 0x02, 0xff, 0xff][..],
            &[0x31, 0x01, 0xff],
            &[0x0e, 0x00, 0x40, 0x80, 0x01, 0xff],
            &LIMIT,
            &[0x08, 0x00, 0x06, 0x06],
        ];
        let packet = packet.concat();
        let contents = Contents::of(&packet);
        assert_eq!(contents.kept, 4);
        let ends = contents.stream_ends().collect::<Vec<_>>();
        assert_eq!(ends, [(0, 0x81), (0, 2)]);
        let contents = Contents::of(&[0x01, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00]);
        assert_eq!(contents.kept, 0);
        let uni = Contents::of(&[0x0b, 0x02, 0x02, 0xff, 0xff, 0x01]);
        assert_eq!(uni.kept, 1);
        assert!(uni.stream_ends().eq([(2, 2)]));
    }

    fn max_data(payload: &[u8]) -> Option<u64> {
        Contents::of(payload).limits.data
    }

    /// MAX_DATA with a limit of 1000.
    const LIMIT: [u8; 3] = [0x10, 0x43, 0xe8];

    #[test]
    fn a_limit_is_found_after_frames_of_every_kind() {
        let frames: [&[u8]; 31] = [
            &[0x00, 0x00],
            &[0x01],
            &[0x02, 0x40, 0x50, 0x00, 0x02, 0x01, 0x02, 0x03, 0x04, 0x05],
            &[0x03, 0x07, 0x00, 0x00, 0x01, 0x0a, 0x0b, 0x0c],
            &[0x04, 0x03, 0x00, 0x80, 0x01, 0x00, 0x00],
            &[0x05, 0x03, 0x11],
            &[0x06, 0x00, 0x02, 0xff, 0xff],
            &[0x07, 0x01, 0xff],
            &[0x0a, 0x04, 0x01, 0xff],
            &[0x0b, 0x04, 0x00],
            &[0x0e, 0x04, 0x40, 0x80, 0x03, 0xff, 0xff, 0xff],
            &[0x0f, 0x04, 0x01, 0x00],
            &[0x10, 0x05],
            &[0x11, 0x04, 0x10],
            &[0x12, 0x10],
            &[0x13, 0x10],
            &[0x14, 0x10],
            &[0x15, 0x04, 0x10],
            &[0x16, 0x10],
            &[0x17, 0x10],
            &[
                0x18, 1, 0, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
            ],
            &[0x19, 0x10],
            &[0x1a, 8, 7, 6, 5, 4, 3, 2, 1],
            &[0x1b, 8, 7, 6, 5, 4, 3, 2, 1],
            &[0x1c, 0x0a, 0x10, 0x01, b'x'],
            &[0x1d, 0x0a, 0x00],
            &[0x1e],
            &[0x1f],
            &[0x31, 0x02, 0x10, 0x3f],
            &[0x40, 0xaf, 0x01, 0x02, 0x03, 0x04],
            &[0x40, 0x01],
        ];
        let mut all = Vec::new();
        for frame in frames {
            assert_eq!(max_data(&[frame, &LIMIT].concat()), Some(1000), "{frame:?}");
            // One that breaks off says nothing, and takes nothing of what follows.
            for len in 1..frame.len() {
                let _ = max_data(&frame[..len]);
            }
            all.extend_from_slice(frame);
        }
        assert_eq!(max_data(&[&all[..], &LIMIT].concat()), Some(1000));
        assert_eq!(max_data(&[&LIMIT[..], &all].concat()), Some(1000));
    }

    #[test]
    fn limits_of_each_kind_are_found_and_the_largest_counts() {
        let frames = [0x12, 7, 0x13, 0x40, 0x80, 0x10, 3, 0x12, 9, 0x13, 2, 0x01];
        let found = Limits {
            data: Some(3),
            streams: [Some(9), Some(128)],
        };
        assert_eq!(Contents::of(&frames).limits, found);
    }

    #[test]
    fn what_looks_like_a_limit_within_data_is_none() {
        for frame in [&[0x08, 0x04][..], &[0x0c, 0x04, 0x07], &[0x30], &[0x2f]] {
            assert_eq!(max_data(&[frame, &LIMIT].concat()), None, "{frame:?}");
        }
        assert_eq!(max_data(&[0x10, 0x43]), None);
        assert_eq!(max_data(&[]), None);
        // So many ranges that there is no such number.
        let mut ack = vec![0x02, 0x00, 0x00];
        ack.extend([0xff; 8]);
        assert_eq!(max_data(&ack), None);
    }

    #[test]
    fn parameters_are_found_among_others() {
        let parameters = [
            0x03, 0x02, 0x40, 0x64, 0x04, 0x02, 0x43, 0xe8, 0x01, 0x02, 0x42, 0x00, 0x05, 0x01,
            0x07, 0x09, 0x01, 0x03, 0x08, 0x01, 0x04,
        ];
        let told = Parameters(parameters.to_vec());
        let limits = Limits {
            data: Some(1000),
            streams: [Some(4), Some(3)],
        };
        assert_eq!(told.initial_limits(), limits);
        assert_eq!(told.max_idle_timeout(), Some(Duration::from_millis(0x200)));
        // One that breaks off says nothing.
        for len in [0, 1, 4, 6, 7] {
            let told = Parameters(parameters[..len].to_vec());
            assert_eq!(told.initial_limits(), Limits::default(), "{len}");
            assert_eq!(told.max_idle_timeout(), None, "{len}");
        }
        let none = Parameters(vec![0x01, 0x01, 0x00]);
        assert_eq!(none.max_idle_timeout(), None, "0 is none");
    }
}
