//! What stories do with a connection of a raw endpoint.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use quinn_proto::{Dir, VarInt};

use super::{
    CONTROL, End, Raw, Received,
    conn::{Conn, stream_id},
    message::{self, Offer, read_varint},
};

/// One connection of a raw endpoint.
#[derive(Debug, Clone)]
pub struct RawConn {
    pub(super) raw: Raw,
    pub(super) id: usize,
}

impl RawConn {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Conn) -> T) -> T {
        let mut inner = self.raw.0.borrow_mut();
        act(inner.conns.get_mut(&self.id).expect("never removed"))
    }

    /// Whether TLS is done, as far as this side can tell.
    pub fn is_connected(&self) -> bool {
        self.with(|conn| conn.connected)
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.with(|conn| conn.end)
    }

    /// Opens a bidirectional stream, if allowed.
    pub fn open_bi(&self) -> Option<u64> {
        self.open(Dir::Bi)
    }

    /// Opens a unidirectional stream, if allowed.
    pub fn open_uni(&self) -> Option<u64> {
        self.open(Dir::Uni)
    }

    fn open(&self, dir: Dir) -> Option<u64> {
        self.with(|conn| {
            let id = VarInt::from(conn.conn.streams().open(dir)?).into_inner();
            if dir == Dir::Bi {
                conn.received.entry(id).or_default();
            }
            Some(id)
        })
    }

    /// Writes bytes on a stream as soon as they may go. This and the rest do nothing with a half that does not exist.
    pub fn write(&self, stream: u64, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.with(|conn| {
            if !bytes.is_empty() && conn.can_write(stream) {
                conn.pending
                    .entry(stream)
                    .or_default()
                    .bytes
                    .push_back(bytes);
            }
            conn.flush();
        });
    }

    /// Whether everything written so far has left.
    pub fn is_flushed(&self) -> bool {
        self.with(|conn| {
            conn.flush();
            conn.pending.is_empty()
        })
    }

    /// Ends a stream after what was written.
    pub fn finish(&self, stream: u64) {
        self.with(|conn| {
            if conn.can_write(stream) {
                conn.pending.entry(stream).or_default().finish = true;
                conn.flush();
            }
        });
    }

    /// Resets a stream.
    pub fn reset(&self, stream: u64, code: u64) {
        let code = VarInt::from_u64(code).expect("below 2^62");
        self.with(|conn| {
            if conn.can_write(stream) {
                conn.pending.remove(&stream);
                let _ = conn.conn.send_stream(stream_id(stream)).reset(code);
            }
        });
    }

    /// Wants no more of a stream.
    pub fn stop(&self, stream: u64, code: u64) {
        let code = VarInt::from_u64(code).expect("below 2^62");
        self.with(|conn| {
            if conn.can_read(stream) {
                let _ = conn.conn.recv_stream(stream_id(stream)).stop(code);
            }
        });
    }

    /// Writes a control message on stream 0, which is opened if need be.
    pub fn control(&self, payload: &[u8]) {
        self.control_bytes(message::frame(payload));
    }

    /// Writes any bytes on stream 0, which is opened if need be.
    pub fn control_bytes(&self, bytes: impl Into<Bytes>) {
        let ours =
            self.with(|conn| conn.conn.side().is_client() && !conn.received.contains_key(&CONTROL));
        if ours {
            assert_eq!(self.open_bi(), Some(CONTROL), "the first stream");
        }
        self.write(CONTROL, bytes);
    }

    /// The next control message that came.
    pub fn next_control(&self) -> Option<Vec<u8>> {
        self.with(|conn| {
            let bytes = &conn.received.get(&CONTROL)?.bytes[conn.control_read..];
            let (len, header) = read_varint(bytes)?;
            let end = header + usize::try_from(len).ok()?;
            let payload = bytes.get(header..end)?.to_vec();
            conn.control_read += end;
            Some(payload)
        })
    }

    /// The next offer among the control messages; what comes before it is dropped.
    pub fn next_offer(&self) -> Option<Offer> {
        while let Some(payload) = self.next_control() {
            if let Some(offer) = message::read_offer(&payload) {
                return Some(offer);
            }
        }
        None
    }

    /// Whether a control message of this type is next; what comes before it is dropped.
    pub fn next_of_kind(&self, kind: u64) -> Option<Vec<u8>> {
        while let Some(payload) = self.next_control() {
            if message::read_kind(&payload).is_some_and(|(found, _)| found == kind) {
                return Some(payload);
            }
        }
        None
    }

    /// What came on a stream.
    pub fn received(&self, stream: u64) -> Received {
        self.with(|conn| conn.received.get(&stream).cloned().unwrap_or_default())
    }

    /// Everything that came on all streams, one after the other.
    pub fn everything(&self) -> Vec<u8> {
        self.with(|conn| {
            let streams = conn.received.values();
            streams
                .flat_map(|received| received.bytes.clone())
                .collect()
        })
    }

    /// The next stream that the other side opened.
    pub fn accept(&self) -> Option<u64> {
        self.with(|conn| conn.opened.pop_front())
    }

    /// With what code the other side has stopped a stream.
    pub fn stopped(&self, stream: u64) -> Option<u64> {
        self.with(|conn| conn.stopped.get(&stream).copied())
    }

    /// Whether to read what comes, or to leave it where it is.
    pub fn set_reading(&self, reading: bool) {
        self.with(|conn| {
            conn.reading = reading;
            conn.read();
        });
    }

    /// Sends an unreliable datagram.
    pub fn send_datagram(&self, bytes: impl Into<Bytes>) -> bool {
        self.with(|conn| conn.conn.datagrams().send(bytes.into(), true).is_ok())
    }

    /// The next unreliable datagram that came.
    pub fn recv_datagram(&self) -> Option<Bytes> {
        self.with(|conn| conn.datagrams.pop_front())
    }

    /// Makes the other side acknowledge something.
    pub fn ping(&self) {
        self.with(|conn| conn.conn.ping());
    }

    /// Closes the connection with an application code.
    pub fn close(&self, now: Instant, code: u64) {
        let code = VarInt::from_u64(code).expect("below 2^62");
        self.with(|conn| {
            conn.end.get_or_insert(End::Local);
            conn.conn.close(now, code, Bytes::new());
        });
    }

    /// Forgets the connection without a word.
    pub fn vanish(&self) {
        let mut inner = self.raw.0.borrow_mut();
        let inner = &mut *inner;
        if let Some(conn) = inner.conns.get_mut(&self.id) {
            conn.end.get_or_insert(End::Local);
            conn.via = Some(NOWHERE);
        }
    }

    /// The other side's address.
    pub fn remote(&self) -> SocketAddr {
        self.with(|conn| conn.conn.remote_address())
    }
}

const NOWHERE: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 255)),
    9,
);
