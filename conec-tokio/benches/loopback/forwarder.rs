//! Nothing but forwarding: what proxying costs at least.

use std::net::{Ipv4Addr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use crate::{
    process::{Ready, ready},
    result::Result,
};

/// Passes packets from whoever speaks first to `to`, and back, in the batches they come in.
pub(crate) async fn forward(to: Ready) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let state = UdpSocketState::new((&socket).into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    ready(socket.local_addr()?, to.trust)?;

    let mut buffer = vec![0; BATCH_SIZE * SLOT];
    let mut initiator = None;
    loop {
        socket.readable().await?;
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut slots = buffer.chunks_mut(SLOT);
        let mut slots: [_; BATCH_SIZE] =
            std::array::from_fn(|_| std::io::IoSliceMut::new(slots.next().unwrap_or_default()));
        let received = socket.try_io(Interest::READABLE, || {
            state.recv((&socket).into(), &mut slots, &mut metas)
        });
        let Ok(count) = received else {
            continue;
        };
        for (meta, slot) in metas[..count].iter().zip(buffer.chunks(SLOT)) {
            let destination = if meta.addr == to.address {
                initiator
            } else {
                initiator = Some(meta.addr);
                Some(to.address)
            };
            let Some(destination) = destination else {
                continue;
            };
            let batch = meta.stride.max(1) * state.max_gso_segments();
            for contents in slot[..meta.len].chunks(batch) {
                let transmit = Transmit {
                    destination,
                    ecn: meta.ecn,
                    contents,
                    segment_size: (contents.len() > meta.stride).then_some(meta.stride),
                    src_ip: None,
                };
                // Waits for room as a driver would; what the system refuses is lost.
                loop {
                    socket.writable().await?;
                    let sent = socket.try_io(Interest::WRITABLE, || {
                        state.try_send((&socket).into(), &transmit)
                    });
                    if !matches!(&sent, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
                    {
                        break;
                    }
                }
            }
        }
    }
}

const SLOT: usize = 64 << 10;
const KERNEL_BUFFER: usize = 4 << 20;
