//! Raw quinn: one hop, and through a relay of streams.

use std::{net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use quinn::{
    Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime,
    crypto::rustls::QuicClientConfig,
};
use rustls::{
    CipherSuite,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    version::TLS13,
};
use socket2::{Domain, Socket, Type};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::{
    load::{self, Load, PIECE},
    meter::Meter,
    process::{Ready, ready},
    result::Result,
};

pub(crate) async fn receive(load: Load, meter: Arc<Meter>) -> Result<()> {
    let (sender, mut receiver) = accept(&listen()?).await?;
    if load.is_bulk() {
        let mut chunks = chunks();
        while let Some(count) = receiver.read_chunks(&mut chunks).await? {
            meter.received(chunks[..count].iter().map(Bytes::len).sum(), 0);
        }
        return Ok(());
    }
    let sender = FramedWrite::new(sender, LengthDelimitedCodec::new());
    let receiver = FramedRead::new(receiver, LengthDelimitedCodec::new());
    load::accept(load, Some(sender), receiver, meter).await
}

pub(crate) async fn send(to: Ready, load: Load, meter: Arc<Meter>) -> Result<()> {
    let (endpoint, mut sender, receiver) = connect(&to).await?;
    ready(endpoint.local_addr()?, Vec::new())?;
    if load.is_bulk() {
        let piece = Bytes::from(vec![0x5a; PIECE]);
        loop {
            sender.write_chunk(piece.clone()).await?;
        }
    }
    let sender = FramedWrite::new(sender, LengthDelimitedCodec::new());
    let receiver = FramedRead::new(receiver, LengthDelimitedCodec::new());
    load::initiate(load, sender, receiver, meter).await
}

/// Passes a stream on, both ways, without copying.
pub(crate) async fn relay(to: Ready) -> Result<()> {
    let (_endpoint, to_receiver, from_receiver) = connect(&to).await?;
    let (to_sender, from_sender) = accept(&listen()?).await?;
    tokio::try_join!(
        pass_on(from_sender, to_receiver),
        pass_on(from_receiver, to_sender)
    )?;
    Ok(())
}

async fn pass_on(mut from: RecvStream, mut to: SendStream) -> Result<()> {
    let mut chunks = chunks();
    while let Some(count) = from.read_chunks(&mut chunks).await? {
        to.write_all_chunks(&mut chunks[..count]).await?;
    }
    Ok(())
}

fn chunks() -> [Bytes; 32] {
    [const { Bytes::new() }; 32]
}

/// An endpoint that is known by a fresh certificate, which it tells the parent.
fn listen() -> Result<Endpoint> {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let certificate = certified.cert.der().clone();
    let config = quinn::ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    let endpoint = endpoint(Some(config))?;
    ready(endpoint.local_addr()?, certificate.to_vec())?;
    Ok(endpoint)
}

async fn accept(endpoint: &Endpoint) -> Result<(SendStream, RecvStream)> {
    let incoming = endpoint.accept().await.ok_or("the endpoint has ended")?;
    Ok(incoming.await?.accept_bi().await?)
}

async fn connect(to: &Ready) -> Result<(Endpoint, SendStream, RecvStream)> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(to.trust.clone()))?;
    // With the suite that conec prefers, where processors have instructions for it.
    let mut provider = rustls::crypto::ring::default_provider();
    let preferred = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != preferred);
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let endpoint = endpoint(None)?;
    let connection = endpoint.connect_with(config, to.address, NAME)?.await?;
    let (sender, receiver) = connection.open_bi().await?;
    Ok((endpoint, sender, receiver))
}

/// With the kernel buffers that conec asks for: the system's own are so small that quinn would lose packets.
fn endpoint(config: Option<quinn::ServerConfig>) -> Result<Endpoint> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let runtime = Arc::new(TokioRuntime);
    Ok(Endpoint::new(
        EndpointConfig::default(),
        config,
        socket.into(),
        runtime,
    )?)
}

const NAME: &str = "localhost";
const KERNEL_BUFFER: usize = 4 << 20;
