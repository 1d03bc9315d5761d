//! How much the other side lets this one send on all streams of a connection together.
//!
//! The engine obeys that limit and does not tell it. But nothing can be kept free below a limit that is not known. Both
//! places where the other side says it pass through the TLS session, which is ours to give: its transport parameters
//! (RFC 9000, 18.2) and its MAX_DATA frames (19.9). So sessions are wrapped here, and what passes is looked at.
//!
//! It is only looked at: what the engine lets be sent is up to the engine. The two can differ where it drops a packet
//! after decryption, because it is a copy or comes very late; the limit known here is then the higher one for a while.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{self, Ordering},
    },
};

use bytes::BytesMut;
use quinn_proto::{
    ConnectError, ConnectionId, Side, TransportError,
    crypto::{
        ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey,
        ServerConfig, Session, UnsupportedVersion,
    },
    transport_parameters::TransportParameters,
};

/// The limit of one connection, in bytes since its beginning; 0 until it is known.
#[derive(Clone)]
#[expect(
    clippy::disallowed_types,
    reason = "the engine owns the TLS session and demands that it can be shared"
)]
pub(super) struct Credit(Arc<atomic::AtomicU64>);

impl Credit {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// TLS settings for the connection, as its client.
    pub(super) fn watch_client(&self, inner: Arc<dyn ClientConfig>) -> Arc<dyn ClientConfig> {
        let credit = self.clone();
        Arc::new(Watched { inner, credit })
    }

    /// TLS settings for the connection, as its server.
    pub(super) fn watch_server(&self, inner: Arc<dyn ServerConfig>) -> Arc<dyn ServerConfig> {
        let credit = self.clone();
        Arc::new(Watched { inner, credit })
    }

    /// How many bytes may be sent since the connection's beginning.
    pub(super) fn limit(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn raise(&self, limit: u64) {
        self.0.fetch_max(limit, Ordering::Relaxed);
    }
}

struct Watched<C: ?Sized> {
    inner: Arc<C>,
    credit: Credit,
}

impl ClientConfig for Watched<dyn ClientConfig> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = Arc::clone(&self.inner).start_session(version, server_name, params)?;
        Ok(WatchedSession::boxed(inner, &self.credit))
    }
}

impl ServerConfig for Watched<dyn ServerConfig> {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        self.inner.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.inner.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let inner = Arc::clone(&self.inner).start_session(version, params);
        WatchedSession::boxed(inner, &self.credit)
    }
}

struct WatchedSession {
    inner: Box<dyn Session>,
    credit: Credit,
}

impl WatchedSession {
    fn boxed(inner: Box<dyn Session>, credit: &Credit) -> Box<dyn Session> {
        let credit = credit.clone();
        Box::new(Self { inner, credit })
    }

    fn watch(&self, inner: Box<dyn PacketKey>) -> Box<dyn PacketKey> {
        let credit = self.credit.clone();
        Box::new(WatchedKey { inner, credit })
    }
}

impl Session for WatchedSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let params = self.inner.transport_parameters()?;
        if let Some(params) = &params {
            let mut bytes = Vec::new();
            params.write(&mut bytes);
            self.credit.raise(initial_max_data(&bytes).unwrap_or(0));
        }
        Ok(params)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let mut keys = self.inner.write_handshake(buf)?;
        // Those of the handshake too, whose packets hold no such frames.
        keys.packet.remote = self.watch(keys.packet.remote);
        Some(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let KeyPair { local, remote } = self.inner.next_1rtt_keys()?;
        let remote = self.watch(remote);
        Some(KeyPair { local, remote })
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

struct WatchedKey {
    inner: Box<dyn PacketKey>,
    credit: Credit,
}

impl PacketKey for WatchedKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        self.inner.encrypt(packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)?;
        if let Some(limit) = max_data(payload) {
            self.credit.raise(limit);
        }
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}

/// `initial_max_data` (RFC 9000, 18.2) in transport parameters.
fn initial_max_data(parameters: &[u8]) -> Option<u64> {
    let mut fields = Fields(parameters);
    loop {
        let (id, len) = (fields.varint()?, fields.varint()?);
        let mut value = Fields(fields.bytes(len)?);
        if id == INITIAL_MAX_DATA {
            return value.varint();
        }
    }
}

/// The largest limit in the MAX_DATA frames of a packet, if it has any.
///
/// Frames have no length of their own, so each before it has to be understood. What cannot be is the end: the engine
/// closes the connection then.
fn max_data(payload: &[u8]) -> Option<u64> {
    let mut fields = Fields(payload);
    let mut limit = None;
    while let Some(kind) = fields.varint() {
        if kind == MAX_DATA {
            limit = limit.max(fields.varint());
        } else if fields.skip_frame(kind).is_none() {
            break;
        }
    }
    limit
}

/// What is left to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
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

    /// Passes over what follows a frame's type (RFC 9000, 19; RFC 9221, 4; draft-ietf-quic-ack-frequency).
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
            // CRYPTO
            0x06 => {
                self.varint()?;
                self.block()
            }
            // NEW_TOKEN, DATAGRAM with a length
            0x07 | 0x31 => self.block(),
            // STREAM: with an offset or not, with a length or up to the packet's end
            0x08..=0x0f => {
                self.varints(if kind & 0x04 == 0 { 1 } else { 2 })?;
                if kind & 0x02 == 0 {
                    self.0 = &[];
                    return Some(());
                }
                self.block()
            }
            // MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID
            0x12 | 0x13 | 0x14 | 0x16 | 0x17 | 0x19 => self.varints(1),
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
            // DATAGRAM up to the packet's end
            0x30 => {
                self.0 = &[];
                Some(())
            }
            // ACK_FREQUENCY
            0xaf => self.varints(4),
            _ => None,
        }
    }
}

const INITIAL_MAX_DATA: u64 = 0x04;
const MAX_DATA: u64 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_first_limit_is_among_the_transport_parameters() {
        let parameters = [
            0x01, 0x02, 0x40, 0x64, 0x04, 0x02, 0x43, 0xe8, 0x05, 0x01, 0x07,
        ];
        assert_eq!(initial_max_data(&parameters), Some(1000));
        assert_eq!(initial_max_data(&parameters[..4]), None);
        assert_eq!(initial_max_data(&parameters[..6]), None);
    }
}
