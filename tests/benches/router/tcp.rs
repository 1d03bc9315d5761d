//! The system's own TCP.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Socket, Type};

use crate::{
    process::{Meter, ready},
    result::Result,
};

/// Receives on one connection after the other.
pub(crate) fn receive(address: SocketAddr, meter: &Meter) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    ready(listener.local_addr()?, String::new())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (mut stream, _) = listener.accept()?;
        loop {
            match stream.read(&mut buffer)? {
                0 => break,
                len => meter.add(len),
            }
        }
    }
}

/// Sends as fast as it goes, with this congestion control.
pub(crate) fn send(to: SocketAddr, control: &str) -> Result<()> {
    let socket = socket(control)?;
    socket.connect(&to.into())?;
    ready(to, String::new())?;
    let message = vec![0x5a; BUFFER];
    loop {
        (&socket).write_all(&message)?;
    }
}

/// Whether the system has this congestion control.
pub(crate) fn is_there(control: &str) -> bool {
    socket(control).is_ok()
}

fn socket(control: &str) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_congestion(control.as_bytes())?;
    Ok(socket)
}

const BUFFER: usize = 64 << 10;
