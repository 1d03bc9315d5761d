//! A member, with an endpoint and a connection of its own.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use conec_driver::Socket;
use mio::{Registry, Token, event::Event};
use quinn_proto::{
    ClientConfig, Dir, Endpoint, EndpointConfig, Event as Told, ReadError, StreamEvent, StreamId,
    WriteError, crypto::rustls::QuicClientConfig,
};
use rustls::{pki_types::CertificateDer, version::TLS13};

use super::{HEADER, NAME, node::Node, provider, server::HEAR, transport};
use crate::{
    load::{Heard, Part},
    process::Ready,
    result::Result,
};

pub(crate) struct Member {
    node: Node,
    connection: usize,
    size: usize,
    part: Part,
    stream: Option<StreamId>,
    outgoing: BytesMut,
    /// The part of a message that has come.
    partial: BytesMut,
}

impl Member {
    pub(crate) fn connect(
        to: &Ready,
        mtu: u16,
        (part, size): (Part, usize),
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(to.trust.clone()))?;
        let tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(transport(mtu));
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let connected = endpoint.connect(Instant::now(), config, to.address, NAME)?;
        let (handle, connection) = connected;
        let mut node = Node::new(endpoint, Socket::any()?, registry, token)?;
        node.insert(handle, connection);
        Ok(Self {
            node,
            connection: handle.0,
            size,
            part,
            stream: None,
            outgoing: BytesMut::new(),
            partial: BytesMut::new(),
        })
    }

    fn look_after(&mut self) -> Result<bool> {
        let mut readable = false;
        let connection = self.node.touch(self.connection).ok_or("no connection")?;
        while let Some(event) = connection.poll() {
            match event {
                Told::Connected => {
                    self.stream = connection.streams().open(Dir::Bi);
                    if self.part == Part::Subscriber {
                        self.outgoing.extend_from_slice(&[HEAR]);
                    }
                }
                Told::Stream(StreamEvent::Readable { .. }) => readable = true,
                Told::ConnectionLost { reason } => return Err(reason.into()),
                Told::Stream(
                    StreamEvent::Opened { .. }
                    | StreamEvent::Writable { .. }
                    | StreamEvent::Available { .. }
                    | StreamEvent::Finished { .. }
                    | StreamEvent::Stopped { .. },
                )
                | Told::HandshakeDataReady
                | Told::DatagramReceived
                | Told::DatagramsUnblocked => {}
            }
        }
        Ok(readable)
    }

    fn read(&mut self, heard: &mut Heard<'_>) -> Result<()> {
        let Some((stream, connection)) = self.stream.zip(self.node.touch(self.connection)) else {
            return Ok(());
        };
        let mut receiver = connection.recv_stream(stream);
        let mut chunks = receiver.read(true)?;
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.partial.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(ReadError::Blocked) => break,
                Err(error) => return Err(error.into()),
            }
            while self.partial.len() >= HEADER + self.size {
                let frame = self.partial.split_to(HEADER + self.size);
                heard.message(&frame[HEADER..]);
            }
        }
        let _ = chunks.finalize();
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let Some((stream, connection)) = self.stream.zip(self.node.touch(self.connection)) else {
            return Ok(());
        };
        let mut sender = connection.send_stream(stream);
        let mut bytes = self.outgoing.split().freeze();
        while !bytes.is_empty() {
            match sender.write_chunks(std::slice::from_mut(&mut bytes)) {
                Ok(_) => {}
                Err(WriteError::Blocked) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing = bytes.into();
        Ok(())
    }
}

impl crate::load::Member for Member {
    fn ready(&mut self, event: &Event) {
        self.node.ready(event);
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.node.deadline()
    }

    fn turn(&mut self, now: Instant, heard: &mut Heard<'_>) -> Result<()> {
        self.node.receive(now)?;
        if self.look_after()? {
            self.read(heard)?;
        }
        if !self.outgoing.is_empty() {
            self.write()?;
        }
        self.node.send(now);
        Ok(())
    }

    fn is_there(&self) -> bool {
        self.stream.is_some() && (self.part == Part::Publisher || self.outgoing.is_empty())
    }

    fn publish(&mut self, message: &[u8]) -> Result<bool> {
        if self.outgoing.len() >= QUEUE {
            return Ok(false);
        }
        self.outgoing.extend_from_slice(message);
        Ok(true)
    }
}

/// How many bytes wait at a publisher before it takes no more.
const QUEUE: usize = 64 << 10;
