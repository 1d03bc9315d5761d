//! Probes, written down by hand as section 12 of `PROTOCOL.md` has them.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{RawConn, message::Route};

/// The label of probes to a Coordinator's second port.
pub const SECOND_PORT: &[u8] = b"EXPORTER-conec-second-port";

/// What seals the probes of a QUIC client.
pub struct Sealer {
    key: LessSafeKey,
    iv: [u8; 12],
}

impl Sealer {
    /// From 56 bytes of secret.
    pub fn new(secret: &[u8; 56]) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, &secret[..16]).expect("sixteen bytes");
        Self {
            key: LessSafeKey::new(key),
            iv: secret[16..28].try_into().expect("twelve bytes"),
        }
    }

    /// A probe of this kind that is not padded.
    pub fn seal(&self, route: Route, counter: u64, kind: u8) -> Vec<u8> {
        self.seal_answer(route, counter, kind, 0, [0; 18])
    }

    /// A probe that answers another one, which came from this address.
    pub fn seal_answer(
        &self,
        route: Route,
        counter: u64,
        kind: u8,
        echo: u64,
        address: [u8; 18],
    ) -> Vec<u8> {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(counter.to_be_bytes()) {
            *byte ^= number;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut header = vec![0x0c];
        header.extend(route);
        header.extend(counter.to_be_bytes());
        let mut body = vec![kind];
        body.extend(echo.to_be_bytes());
        body.extend(address);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(&header), &mut body)
            .expect("a few bytes");
        [header, body].concat()
    }
}

impl RawConn {
    /// What seals this side's probes, if it is the QUIC client.
    pub fn sealer(&self, label: &[u8]) -> Sealer {
        let mut secret = [0; 56];
        self.with(|conn| {
            let session = conn.conn.crypto_session();
            session
                .export_keying_material(&mut secret, label, &[])
                .expect("connected");
        });
        Sealer::new(&secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let secret = std::array::from_fn(|at| at as u8);
        let mut address = [0; 18];
        address[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
        address[16..].copy_from_slice(&4433u16.to_be_bytes());
        let route = [0x91, 0x22, 0x33, 0x44, 0x55, 0x66];
        let probe = Sealer::new(&secret).seal_answer(route, 7, 1, 3, address);
        let hex: String = probe.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0c9122334455660000000000000007f44068d2430d387887f6d29e01d846fd5312fb9b51544c8cac5b9b7ed2b04be26a114cd931f92e\
             60436650"
        );
    }
}
