//! Who connects, and who answers.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use super::LONG;

pub(crate) fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// What is answered to all of this.
pub(crate) fn asked(at: SocketAddr, question: &[u8]) -> Vec<u8> {
    try_to_ask(at, question).unwrap()
}

/// What is answered, unless it is cut off.
pub(crate) fn try_to_ask(at: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let mut stream = connect(at);
    stream.write_all(question).ok()?;
    stream.shutdown(Shutdown::Write).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// A server that reads to the end, and sends it back from the end to the beginning.
pub(crate) fn turn_around(at: &str) -> SocketAddr {
    let server = TcpListener::bind(at).unwrap();
    let at = server.local_addr().unwrap();
    thread::spawn(move || {
        for stream in server.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                all.reverse();
                stream.write_all(&all).unwrap();
            });
        }
    });
    at
}

/// A server that sends packets back, with the sender's port at the end of those that ask who it is.
pub(crate) fn echo_packets(at: &str) -> SocketAddr {
    let server = UdpSocket::bind(at).unwrap();
    let at = server.local_addr().unwrap();
    thread::spawn(move || {
        let mut room = vec![0; 65_536];
        loop {
            let (len, from) = server.recv_from(&mut room).unwrap();
            let answer = match &room[..len] {
                b"who" => from.port().to_string().into_bytes(),
                packet => packet.to_vec(),
            };
            server.send_to(&answer, from).unwrap();
        }
    });
    at
}

pub(crate) fn packets_to(at: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    socket.connect(at).unwrap();
    socket
}

/// The next packet that comes back when this is sent, as often as it takes, and as what it is read.
pub(crate) fn echoed(socket: &UdpSocket, packet: &[u8]) -> (Vec<u8>, String) {
    let mut room = vec![0; 65_536];
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        socket.send(packet).unwrap();
        if let Ok(len) = socket.recv(&mut room) {
            room.truncate(len);
            let text = String::from_utf8_lossy(&room).into_owned();
            return (room, text);
        }
    }
    panic!("no packet of {} bytes comes back", packet.len());
}

/// What a proxy answers to who wants to connect, and the connection.
pub(crate) fn socks(at: SocketAddr, host: &str, port: u16) -> (u8, TcpStream) {
    let mut stream = connect(at);
    let len = u8::try_from(host.len()).unwrap();
    let request = [
        &[5, 1, 0, 5, 1, 0, 3, len],
        host.as_bytes(),
        &port.to_be_bytes(),
    ]
    .concat();
    stream.write_all(&request).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..3], [5, 0, 5]);
    (answer[3], stream)
}
