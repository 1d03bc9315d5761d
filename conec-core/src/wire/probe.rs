//! Probes: small sealed datagrams by which the ends of a peer channel look for direct paths (`PROTOCOL.md`, "Probes").
//!
//! ```text
//! 0x0c, route of the receiver (6), counter (8), sealed: kind (1), echo (8), IP address (16), port (2), padding; tag (16)
//! ```

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{message::Role, route::Route};
use crate::crypto::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The size of a probe that is not padded.
pub(crate) const PROBE_LEN: usize = HEADER_LEN + BODY_LEN + TAG_LEN;
/// How many bytes of secret [`ProbeKeys`] are made of.
pub(crate) const PROBE_SECRET_LEN: usize = 2 * (KEY_LEN + NONCE_LEN);
/// What the secret is exported from the channel's TLS session under (RFC 8446, 7.5).
pub(crate) const PROBE_LABEL: &[u8] = b"EXPORTER-conec-probe";
/// The same for probes to the Coordinator's second port, of the home channel's.
pub(crate) const SECOND_PORT_LABEL: &[u8] = b"EXPORTER-conec-second-port";
/// The first byte of every probe. QUIC's have 0x40 or 0x80 (RFC 9443, 2).
pub(super) const PROBE_FIRST: u8 = 0x0c;

/// What one end says to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Asks whether this arrives.
    Ping,
    /// The ping with this number came from this address.
    Pong { echo: u64, observed: SocketAddr },
}

/// A probe as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The sender's number for it, never used twice.
    pub(crate) counter: u64,
    pub(crate) probe: Probe,
}

/// The keys of both directions, at one end.
pub(crate) struct ProbeKeys {
    ours: Key,
    theirs: Key,
}

struct Key {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
}

impl ProbeKeys {
    pub(crate) fn new(secret: &[u8; PROBE_SECRET_LEN], role: Role) -> Self {
        let (initiator, acceptor) = secret.split_at(PROBE_SECRET_LEN / 2);
        let (ours, theirs) = match role {
            Role::Initiator => (initiator, acceptor),
            Role::Acceptor => (acceptor, initiator),
        };
        Self {
            ours: Key::new(ours),
            theirs: Key::new(theirs),
        }
    }

    /// The datagram for a probe, padded to `len` bytes if that is more than it takes.
    pub(crate) fn seal(&self, route: Route, counter: u64, probe: Probe, len: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(len.max(PROBE_LEN));
        out.put_u8(PROBE_FIRST);
        out.put_slice(&route.to_bytes());
        out.put_u64(counter);
        let (kind, echo, address) = match probe {
            Probe::Ping => (PING, 0, (Ipv6Addr::UNSPECIFIED, 0).into()),
            Probe::Pong { echo, observed } => (PONG, echo, observed),
        };
        out.put_u8(kind);
        out.put_u64(echo);
        let ip = match address {
            SocketAddr::V4(address) => address.ip().to_ipv6_mapped(),
            SocketAddr::V6(address) => *address.ip(),
        };
        out.put_slice(&ip.octets());
        out.put_u16(address.port());
        if len > PROBE_LEN {
            out.put_bytes(0, len - PROBE_LEN);
        }
        let (header, body) = out.split_at_mut(HEADER_LEN);
        // Fails for plaintexts of gigabytes only.
        let tag = self
            .ours
            .key
            .seal_in_place_separate_tag(self.ours.nonce(counter), Aad::from(header), body)
            .map_or([0; TAG_LEN], |tag| {
                let mut bytes = [0; TAG_LEN];
                bytes.copy_from_slice(tag.as_ref());
                bytes
            });
        out.put_slice(&tag);
        out.freeze()
    }

    /// The probe in a datagram that is [one](super::PacketKind::Probe), if it is the other end's.
    pub(crate) fn open(&self, packet: &mut [u8]) -> Option<Opened> {
        let (header, sealed) = packet.split_at_mut_checked(HEADER_LEN)?;
        let counter = u64::from_be_bytes(*header.last_chunk()?);
        let nonce = self.theirs.nonce(counter);
        let body = self
            .theirs
            .key
            .open_in_place(nonce, Aad::from(header), sealed)
            .ok()?;
        let (&kind, rest) = body.split_first()?;
        let (echo, rest) = rest.split_first_chunk()?;
        let (ip, rest) = rest.split_first_chunk::<16>()?;
        let port = u16::from_be_bytes(*rest.first_chunk()?);
        let probe = match kind {
            PING => Probe::Ping,
            PONG => Probe::Pong {
                echo: u64::from_be_bytes(*echo),
                observed: SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), port),
            },
            _ => return None,
        };
        Some(Opened { counter, probe })
    }
}

impl fmt::Debug for ProbeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeKeys")
    }
}

impl Key {
    /// From a key and an IV, as long as they must be.
    fn new(secret: &[u8]) -> Self {
        let (key, iv) = secret.split_at(KEY_LEN);
        let key = UnboundKey::new(&AES_128_GCM, key).expect("the key has the length of one");
        let mut this = Self {
            key: LessSafeKey::new(key),
            iv: [0; NONCE_LEN],
        };
        this.iv.copy_from_slice(iv);
        this
    }

    /// As in RFC 9001, 5.3.
    fn nonce(&self, counter: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, bits) in nonce[NONCE_LEN - 8..].iter_mut().zip(counter.to_be_bytes()) {
            *byte ^= bits;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

const HEADER_LEN: usize = 1 + Route::LEN + 8;
const BODY_LEN: usize = 1 + 8 + 16 + 2;
const TAG_LEN: usize = 16;
const KEY_LEN: usize = 16;
const PING: u8 = 0;
const PONG: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (ProbeKeys, ProbeKeys) {
        let mut secret = [0; PROBE_SECRET_LEN];
        for (number, byte) in secret.iter_mut().enumerate() {
            *byte = number as u8;
        }
        let end = |role| ProbeKeys::new(&secret, role);
        (end(Role::Initiator), end(Role::Acceptor))
    }

    #[test]
    fn probes_round_trip_and_pongs_are_no_larger_than_pings() {
        let (ours, theirs) = ends();
        let route = Route::from_bits(5);
        let probes = [
            Probe::Ping,
            Probe::Pong {
                echo: u64::MAX,
                observed: "192.0.2.7:65535".parse().unwrap(),
            },
            Probe::Pong {
                echo: 0,
                observed: "[2001:db8::1]:1".parse().unwrap(),
            },
        ];
        for (counter, probe) in (1..).zip(probes) {
            let packet = ours.seal(route, counter, probe, 0);
            assert_eq!(packet.len(), PROBE_LEN);
            let opened = theirs.open(&mut packet.to_vec());
            assert_eq!(opened, Some(Opened { counter, probe }));
            let padded = ours.seal(route, counter, probe, 1200);
            assert_eq!(padded.len(), 1200);
            let opened = theirs.open(&mut padded.to_vec());
            assert_eq!(opened, Some(Opened { counter, probe }));
        }
    }

    #[test]
    fn nobody_but_the_other_end_makes_a_probe() {
        let (ours, theirs) = ends();
        let packet = ours.seal(Route::from_bits(5), 9, Probe::Ping, 0).to_vec();
        assert_eq!(ours.open(&mut packet.clone()), None, "reflected");
        for bit in 0..8 * packet.len() {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(theirs.open(&mut flipped), None, "bit {bit}");
        }
        for len in 0..packet.len() {
            assert_eq!(theirs.open(&mut packet[..len].to_vec()), None);
        }
    }

    #[test]
    fn a_probe_is_made_of_these_bytes() {
        // The example of `PROTOCOL.md`.
        let (ours, _) = ends();
        let pong = Probe::Pong {
            echo: 3,
            observed: "192.0.2.1:4433".parse().unwrap(),
        };
        let packet = ours.seal(Route::from_bits(0x1122_3344_5566), 7, pong, 0);
        let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "0c9122334455660000000000000007f44068d2430d387887f6d29e01d846fd5312fb9b51544c8cac5b\
                        9b7ed2b04be26a114cd931f92e60436650";
        assert_eq!(hex, expected);
    }
}
