//! Which packets arrive, told by their numbers.
//!
//! The engine keeps the numbers to itself. But it decrypts each packet with its number, by keys that are wrapped here.

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

/// Counts the gaps between the packets of a connection that have arrived.
///
/// A packet is given up when 128 later ones have been seen. The engine drops what comes later than that, too.
#[derive(Debug)]
pub(super) struct Arrivals {
    latest: Latest,
    /// The highest number seen.
    highest: Option<u64>,
    /// Which of the 128 numbers up to the highest were seen: that one's bit is the lowest.
    seen: u128,
    /// Whether the last one was that was given up or left behind.
    seen_before: bool,
    gaps: u64,
}

impl Arrivals {
    pub(super) fn new(latest: Latest) -> Self {
        Self {
            latest,
            highest: None,
            seen: 0,
            seen_before: false,
            gaps: 0,
        }
    }

    /// Takes note of the packet that the engine was given last. Tells how many times, so far, packets in a row were lost
    /// after one that was not.
    #[inline]
    pub(super) fn note(&mut self) -> u64 {
        if let Some(number) = self.latest.get() {
            self.arrived(number);
        }
        self.gaps
    }

    #[inline]
    fn arrived(&mut self, number: u64) {
        let highest = *self.highest.get_or_insert(number);
        if number <= highest {
            let late = u32::try_from(highest - number).unwrap_or(u32::MAX);
            self.seen |= 1_u128.checked_shl(late).unwrap_or(0);
            return;
        }
        self.highest = Some(number);
        for _ in 0..(number - highest).min(WINDOW + 1) {
            let seen = self.seen >> (WINDOW - 1) == 1;
            self.gaps += u64::from(self.seen_before && !seen);
            self.seen_before = seen;
            self.seen <<= 1;
        }
        self.seen |= 1;
    }
}

/// The number of the packet that was decrypted last.
///
/// The engine owns the keys and lends them to nobody, so the keys and the link both hold this.
#[derive(Debug, Clone)]
#[expect(
    clippy::disallowed_types,
    reason = "the engine owns the keys and lends them to nobody"
)]
pub(super) struct Latest(Arc<atomic::AtomicU64>);

impl Latest {
    #[expect(
        clippy::disallowed_types,
        reason = "the engine owns the keys and lends them to nobody"
    )]
    pub(super) fn new() -> Self {
        Self(Arc::new(atomic::AtomicU64::new(NONE)))
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&number| number != NONE)
    }

    fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// The same settings, for a connection whose packets are noted here.
    pub(super) fn watch_client(&self, tls: Arc<dyn ClientConfig>) -> Arc<dyn ClientConfig> {
        Arc::new(Watched {
            inner: tls,
            latest: self.clone(),
        })
    }

    /// The same settings, for a connection whose packets are noted here.
    pub(super) fn watch_server(&self, tls: Arc<dyn ServerConfig>) -> Arc<dyn ServerConfig> {
        Arc::new(Watched {
            inner: tls,
            latest: self.clone(),
        })
    }

    fn watch_session(&self, inner: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(WatchedSession {
            inner,
            latest: self.clone(),
            given: 0,
        })
    }

    fn watch_key(&self, inner: Box<dyn PacketKey>) -> Box<dyn PacketKey> {
        Box::new(Watched {
            inner,
            latest: self.clone(),
        })
    }
}

/// Something of the engine's TLS.
struct Watched<T> {
    inner: T,
    latest: Latest,
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
        Ok(self.latest.watch_session(session))
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
        self.latest.watch_session(session)
    }
}

struct WatchedSession {
    inner: Box<dyn Session>,
    latest: Latest,
    /// How many sets of keys the handshake has given.
    given: usize,
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
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let mut keys = self.inner.write_handshake(buf)?;
        self.given += 1;
        // The first are for the handshake's own packets, which have numbers of their own (RFC 9000, 12.3).
        if self.given > 1 {
            keys.packet.remote = self.latest.watch_key(keys.packet.remote);
        }
        Some(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let mut keys = self.inner.next_1rtt_keys()?;
        keys.remote = self.latest.watch_key(keys.remote);
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

impl PacketKey for Watched<Box<dyn PacketKey>> {
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
        self.latest.set(packet);
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
/// For how many numbers a packet is waited for.
const WINDOW: u64 = u128::BITS as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(numbers: impl IntoIterator<Item = u64>) -> u64 {
        let mut arrivals = Arrivals::new(Latest::new());
        for number in numbers {
            arrivals.latest.set(number);
            arrivals.note();
        }
        arrivals.note()
    }

    /// So much later that everything up to there has arrived or is given up.
    const LATER: u64 = 10_000;

    #[test]
    fn nothing_is_missing_where_all_arrive() {
        assert_eq!(Arrivals::new(Latest::new()).note(), 0);
        for first in [0, 1, 1000] {
            assert_eq!(gaps(first..first + 1000), 0);
        }
    }

    #[test]
    fn what_is_lost_in_a_row_is_one_gap() {
        assert_eq!(gaps((0..10).chain(12..130)), 0, "still waited for");
        let and_on = LATER..LATER + 200;
        assert_eq!(gaps((0..10).chain(and_on.clone())), 1);
        assert_eq!(gaps((0..10).chain(12..500)), 1);
        let every_second = (0..1000).step_by(2);
        assert_eq!(gaps(every_second.clone().chain(and_on.clone())), 500);
        let pairs = (0..1000).filter(|number| number % 4 < 2);
        assert_eq!(gaps(pairs.chain(and_on)), 250);
    }

    #[test]
    fn what_is_late_is_not_lost() {
        let swapped = (0..1000).map(|number| number ^ 63);
        assert_eq!(gaps(swapped), 0);
        let twice = (0..1000).flat_map(|number| [number, number]);
        assert_eq!(gaps(twice), 0);
        let late = (1..128).chain([0]).chain(128..1000);
        assert_eq!(gaps(late), 0);
        // The numbers before the first are not missed: nobody knows whether there are any.
        assert_eq!(gaps((500..1000).chain(1000..LATER)), 0);
        let too_late = (0..10).chain(11..500).chain([10]).chain(500..1000);
        assert_eq!(gaps(too_late), 1);
    }
}
