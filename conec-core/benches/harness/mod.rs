//! What the benchmarks have in common: nodes, and a network in memory that loses nothing.
#![allow(dead_code, reason = "not every benchmark needs everything")]

pub(crate) mod bare;
pub(crate) mod conec;
pub(crate) mod table;

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conec_core::{Datagram, Transmit};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};

/// Something that datagrams go into and come out of.
pub(crate) trait Node {
    fn address(&self) -> SocketAddr;
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram);
    /// Memory to receive into.
    fn take_buffer(&mut self) -> Option<BytesMut>;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit>;
    fn poll_timeout(&mut self) -> Option<Instant>;
}

/// Where nodes meet, and the time they go by.
pub(crate) struct Network {
    pub(crate) now: Instant,
    /// How much real time was spent in the node that is listed first.
    pub(crate) spent_in_first: Duration,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::now(),
            spent_in_first: Duration::ZERO,
        }
    }

    /// Lets a little time pass, and everything arrive that anyone has to send.
    pub(crate) fn turn(&mut self, nodes: &mut [&mut dyn Node]) {
        self.now += TICK;
        let now = self.now;
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for index in 0..nodes.len() {
                let due = nodes[index].poll_timeout().is_some_and(|at| at <= now);
                if due {
                    self.timed(index, || nodes[index].handle_timeout(now));
                }
                let source = nodes[index].address();
                while let Some(transmit) =
                    self.timed(index, || nodes[index].poll_transmit(now, SEGMENTS))
                {
                    quiet = false;
                    if let Some(to) = nodes
                        .iter()
                        .position(|node| node.address() == transmit.destination)
                    {
                        let buffer = nodes[to].take_buffer().unwrap_or_default();
                        let datagram = receive(source, &transmit, buffer);
                        self.timed(to, || nodes[to].handle_datagram(now, datagram));
                    }
                }
            }
        }
    }

    /// Lets time pass, with whatever happens in it.
    pub(crate) fn run_for(&mut self, time: Duration, nodes: &mut [&mut dyn Node]) {
        let end = self.now + time;
        while self.now < end {
            self.turn(nodes);
            // Nothing happens before the next timer fires.
            let next = nodes
                .iter_mut()
                .filter_map(|node| node.poll_timeout())
                .min();
            self.now = self.now.max(next.map_or(end, |at| at.min(end)));
        }
    }

    fn timed<T>(&mut self, index: usize, f: impl FnOnce() -> T) -> T {
        if index > 0 {
            return f();
        }
        let start = Instant::now();
        let result = f();
        self.spent_in_first += start.elapsed();
        result
    }
}

/// What arrives of what was sent.
pub(crate) fn receive(source: SocketAddr, transmit: &Transmit, mut buffer: BytesMut) -> Datagram {
    buffer.extend_from_slice(&transmit.payload);
    Datagram {
        source,
        destination_ip: None,
        second_port: false,
        ecn: transmit.ecn,
        segment_size: transmit.segment_size.unwrap_or(transmit.payload.len()),
        payload: buffer,
    }
}

/// A fresh Ed25519 key, and a certificate for it.
pub(crate) fn certificate() -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]);
    let certificate = params.and_then(|params| params.self_signed(&key));
    let certificate = certificate.expect("a certificate").der().clone();
    (certificate, key.serialize_der().into())
}

/// An authority that vouches for Clients, to whom all of them show what it says.
pub(crate) struct Authority {
    root: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Arc<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .clone();
        let issuer = rcgen::Issuer::new(params, key);
        Arc::new(Self { root, issuer })
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a root");
        Arc::new(roots)
    }

    /// A fresh key, and a certificate for it.
    pub(crate) fn client(&self) -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let name = format!("client-{}", hex(&key.public_key_raw()[..8]));
        let mut params = rcgen::CertificateParams::new([name]).expect("a name");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("a certificate").der().clone();
        (certificate, key.serialize_der().into())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a node is: of this world, this one; 0 is the server.
pub(crate) fn address(world: u8, node: u16) -> SocketAddr {
    ([192, 0, 2, 1 + world], SERVER_PORT + node).into()
}

/// Ports tell nodes of a world apart.
pub(crate) const SERVER_PORT: u16 = 1000;
const TICK: Duration = Duration::from_micros(50);
/// As many of 1452 bytes as fit into the largest UDP datagram: more the system would not take at once.
pub(crate) const SEGMENTS: NonZeroUsize = NonZeroUsize::new(45).expect("not 0");
