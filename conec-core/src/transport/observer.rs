//! What passes through a connection's TLS session, and the engine does not tell.
//!
//! The session is ours to give, so it is wrapped, and what passes is looked at: the numbers of the packets that arrive, and
//! how much the other side lets this one send and how many streams it lets it open, in its transport parameters (RFC 9000,
//! 18.2) and its MAX_DATA and MAX_STREAMS frames (19.9, 19.11).
//!
//! Packets with more data than [may be kept](Intake) of a newcomer are taken for lost. Everything else is only looked at: what
//! the engine lets be sent is up to the engine. The two can differ where it drops a packet after decryption, because it is a
//! copy or comes very late; the limit known here is then the higher one for a while.

use std::{
    any::Any,
    sync::{
        self, Arc, MutexGuard, PoisonError,
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

use super::{
    announced::{Contents, Limits, Parameters},
    intake::Intake,
    tls,
};
use crate::Direction;

/// What was seen of one connection.
///
/// The engine owns the session and demands that it can be shared, so the session and the link both hold this.
#[derive(Debug, Clone)]
pub(super) struct Observer(Arc<Seen>);

#[derive(Debug)]
#[expect(
    clippy::disallowed_types,
    reason = "the engine owns the TLS session and demands that it can be shared"
)]
struct Seen {
    /// How many bytes the other side lets this one send since the beginning; 0 until it is known.
    credit: atomic::AtomicU64,
    /// How many streams of each direction it lets this one open since the beginning.
    streams: [atomic::AtomicU64; 2],
    /// The number of the packet that was decrypted last.
    latest: atomic::AtomicU64,
    /// What the engine may hold of what came, and how much that may be.
    intake: sync::Mutex<Intake>,
    most: atomic::AtomicU64,
}

impl Observer {
    #[expect(
        clippy::disallowed_types,
        reason = "the engine owns the TLS session and demands that it can be shared"
    )]
    pub(super) fn new() -> Self {
        Self(Arc::new(Seen {
            credit: atomic::AtomicU64::new(0),
            streams: [atomic::AtomicU64::new(0), atomic::AtomicU64::new(0)],
            latest: atomic::AtomicU64::new(NONE),
            intake: sync::Mutex::new(Intake::default()),
            most: atomic::AtomicU64::new(u64::MAX),
        }))
    }

    /// The engine may hold so much, in bytes. What would make it more is not taken.
    pub(super) fn allow(&self, most: u64) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// How much the engine may hold.
    pub(super) fn most(&self) -> u64 {
        self.0.most.load(Ordering::Relaxed)
    }

    /// What the engine may hold of what came.
    pub(super) fn intake(&self) -> MutexGuard<'_, Intake> {
        // Nobody panics with it, and it would be as good as before.
        let intake = self.0.intake.lock();
        intake.unwrap_or_else(PoisonError::into_inner)
    }

    /// TLS settings for the connection, as its client.
    pub(super) fn watch_client(&self, tls: Arc<dyn ClientConfig>) -> Arc<dyn ClientConfig> {
        Arc::new(Watched {
            inner: tls,
            observer: self.clone(),
        })
    }

    /// TLS settings for the connection, as its server.
    pub(super) fn watch_server(&self, tls: Arc<dyn ServerConfig>) -> Arc<dyn ServerConfig> {
        Arc::new(Watched {
            inner: tls,
            observer: self.clone(),
        })
    }

    /// How many bytes may be sent on all streams together, since the connection's beginning; 0 until it is known.
    pub(super) fn credit(&self) -> u64 {
        self.0.credit.load(Ordering::Relaxed)
    }

    /// How many streams may be opened, since the connection's beginning; 0 until it is known.
    pub(super) fn streams(&self, direction: Direction) -> u64 {
        self.0.streams[direction as usize].load(Ordering::Relaxed)
    }

    /// The number of the packet that was decrypted last, of those that carry streams.
    pub(super) fn latest(&self) -> Option<u64> {
        Some(self.0.latest.load(Ordering::Relaxed)).filter(|&number| number != NONE)
    }

    pub(super) fn decrypted(&self, number: u64) {
        self.0.latest.store(number, Ordering::Relaxed);
    }

    fn allowed(&self, limits: Limits) {
        if let Some(limit) = limits.data {
            self.0.credit.fetch_max(limit, Ordering::Relaxed);
        }
        for (known, limit) in self.0.streams.iter().zip(limits.streams) {
            if let Some(limit) = limit {
                known.fetch_max(limit, Ordering::Relaxed);
            }
        }
    }

    fn watch_session(&self, inner: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(WatchedSession {
            inner,
            observer: self.clone(),
            given: 0,
        })
    }

    fn watch_key(&self, inner: Box<dyn PacketKey>, carries_streams: bool) -> Box<dyn PacketKey> {
        let observer = self.clone();
        if carries_streams {
            Box::new(WatchedKey::<true> { inner, observer })
        } else {
            Box::new(WatchedKey::<false> { inner, observer })
        }
    }
}

/// Something of the engine's TLS.
struct Watched<T> {
    inner: T,
    observer: Observer,
}

impl ClientConfig for Watched<Arc<dyn ClientConfig>> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = Arc::clone(&self.inner);
        let session = inner.start_session(version, server_name, params)?;
        Ok(self.observer.watch_session(session))
    }
}

impl ServerConfig for Watched<Arc<dyn ServerConfig>> {
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
        let session = Arc::clone(&self.inner).start_session(version, params);
        self.observer.watch_session(session)
    }
}

struct WatchedSession {
    inner: Box<dyn Session>,
    observer: Observer,
    /// How many sets of keys the handshake has given.
    given: usize,
}

impl Session for WatchedSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        let mut keys = self.inner.initial_keys(dst_cid, side);
        keys.packet.remote = self.observer.watch_key(keys.packet.remote, false);
        keys
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
        self.inner.read_handshake(buf).map_err(tls::blame)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let params = self.inner.transport_parameters()?;
        if let Some(params) = &params {
            self.observer
                .allowed(Parameters::new(params).initial_limits());
        }
        Ok(params)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let mut keys = self.inner.write_handshake(buf)?;
        self.given += 1;
        // The first are for the handshake's own packets, which have numbers of their own (RFC 9000, 12.3).
        let carry_streams = self.given > 1;
        keys.packet.remote = self.observer.watch_key(keys.packet.remote, carry_streams);
        Some(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let mut keys = self.inner.next_1rtt_keys()?;
        keys.remote = self.observer.watch_key(keys.remote, true);
        Some(keys)
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

/// The key of packets that may carry streams, so that their numbers are of interest, or of those that do not.
struct WatchedKey<const CARRIES_STREAMS: bool> {
    inner: Box<dyn PacketKey>,
    observer: Observer,
}

impl<const CARRIES_STREAMS: bool> PacketKey for WatchedKey<CARRIES_STREAMS> {
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
        let contents = Contents::of(payload);
        let most = self.observer.most();
        if !self.observer.intake().takes(payload.len(), &contents, most) {
            return Err(CryptoError);
        }
        if CARRIES_STREAMS {
            self.observer.decrypted(packet);
            self.observer.allowed(contents.limits);
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

/// No packet has this number (RFC 9000, 12.3).
const NONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that lets everything pass.
    struct Plain;

    impl PacketKey for Plain {
        fn encrypt(&self, _packet: u64, _buf: &mut [u8], _header_len: usize) {}

        fn decrypt(
            &self,
            _packet: u64,
            _header: &[u8],
            _payload: &mut BytesMut,
        ) -> Result<(), CryptoError> {
            Ok(())
        }

        fn tag_len(&self) -> usize {
            16
        }

        fn confidentiality_limit(&self) -> u64 {
            7
        }

        fn integrity_limit(&self) -> u64 {
            8
        }
    }

    impl HeaderKey for Plain {
        fn decrypt(&self, _pn_offset: usize, _packet: &mut [u8]) {}

        fn encrypt(&self, _pn_offset: usize, _packet: &mut [u8]) {}

        fn sample_size(&self) -> usize {
            16
        }
    }

    /// Gives plain keys, as often as it is asked.
    struct Script;

    impl Session for Script {
        fn initial_keys(&self, _dst_cid: &ConnectionId, _side: Side) -> Keys {
            plain_keys()
        }

        fn handshake_data(&self) -> Option<Box<dyn Any>> {
            None
        }

        fn peer_identity(&self) -> Option<Box<dyn Any>> {
            None
        }

        fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
            None
        }

        fn early_data_accepted(&self) -> Option<bool> {
            None
        }

        fn is_handshaking(&self) -> bool {
            true
        }

        fn read_handshake(&mut self, _buf: &[u8]) -> Result<bool, TransportError> {
            Ok(false)
        }

        fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
            Ok(None)
        }

        fn write_handshake(&mut self, _buf: &mut Vec<u8>) -> Option<Keys> {
            Some(plain_keys())
        }

        fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
            Some(KeyPair {
                local: Box::new(Plain),
                remote: Box::new(Plain),
            })
        }

        fn is_valid_retry(
            &self,
            _orig_dst_cid: &ConnectionId,
            _header: &[u8],
            payload: &[u8],
        ) -> bool {
            !payload.is_empty()
        }

        fn export_keying_material(
            &self,
            _output: &mut [u8],
            _label: &[u8],
            _context: &[u8],
        ) -> Result<(), ExportKeyingMaterialError> {
            Ok(())
        }
    }

    fn plain_keys() -> Keys {
        Keys {
            header: KeyPair {
                local: Box::new(Plain),
                remote: Box::new(Plain),
            },
            packet: KeyPair {
                local: Box::new(Plain),
                remote: Box::new(Plain),
            },
        }
    }

    #[test]
    fn only_packets_that_carry_streams_tell_their_numbers_and_limits() {
        let observer = Observer::new();
        let mut session = observer.watch_session(Box::new(Script));
        // MAX_DATA, 9 (RFC 9000, 19.9).
        let max_data = || BytesMut::from(&[0x10, 9][..]);
        let mut keys = || session.write_handshake(&mut Vec::new()).unwrap();
        let handshake = keys().packet.remote;
        assert!(handshake.decrypt(5, &[], &mut max_data()).is_ok());
        assert_eq!((observer.latest(), observer.credit()), (None, 0));
        let later = keys().packet.remote;
        assert!(later.decrypt(3, &[], &mut max_data()).is_ok());
        assert_eq!((observer.latest(), observer.credit()), (Some(3), 9));
        let updated = session.next_1rtt_keys().unwrap().remote;
        assert!(updated.decrypt(4, &[], &mut max_data()).is_ok());
        assert_eq!(observer.latest(), Some(4));
        let limits = (updated.confidentiality_limit(), updated.integrity_limit());
        assert_eq!((updated.tag_len(), limits), (16, (7, 8)));
        let is_valid =
            |payload: &[u8]| session.is_valid_retry(&ConnectionId::new(&[]), &[], payload);
        assert!(is_valid(&[1]) && !is_valid(&[]));
    }
}
