//! Clients that are made of the bare engine, on real sockets: what handles say of what no conec Client does.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::mpsc::{self, TryRecvError},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conec_core::{CoordinatorEvent, RecvEnd};
use conec_tests::{
    raw::{Dial, Key, Raw, RawConn, message},
    sim::Stranger,
};

use crate::handled;

/// Label, a part of its first message, and its end come at once.
#[test]
fn a_stream_that_ends_in_its_first_message_is_accepted_and_tells_so() {
    handled::each(|kind| async move {
        let coordinator = handled::bind_any(kind).await;
        let address = coordinator.local_addr();
        let (stop, stopped) = mpsc::channel::<()>();
        let stranger = thread::spawn(move || {
            let mut host = Host::new();
            let conn = host.connect(address);
            conn.control(&message::hello(b"", b""));
            host.run_until(|| conn.next_of_kind(0).is_some());
            for stream in [conn.open_uni(), conn.open_bi()] {
                let stream = stream.expect("as many as are allowed");
                let part = message::frame(b"hello, world")[..5].to_vec();
                conn.write(stream, [message::preamble(b"short"), part].concat());
                conn.finish(stream);
            }
            host.run_until(|| stopped.try_recv() == Err(TryRecvError::Disconnected));
            conn.close(Instant::now(), 0);
            host.run_until(|| conn.end().is_some());
        });
        let event = coordinator.next_event().await;
        let Some(CoordinatorEvent::ClientConnected { client, .. }) = event else {
            panic!("{event:?}");
        };
        let home = coordinator.channel(client).unwrap();
        for _ in 0..2 {
            let mut stream = home.accept().await.unwrap();
            assert_eq!(stream.label, "short");
            assert_eq!(stream.receiver.recv().await, Err(RecvEnd::Truncated.into()));
        }
        drop(stop);
        stranger.join().unwrap();
        coordinator.close(Duration::ZERO).await;
    });
}

/// A bare endpoint with its socket.
struct Host {
    raw: Raw,
    socket: UdpSocket,
}

impl Host {
    fn new() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let pause = Some(Duration::from_millis(1));
        socket.set_read_timeout(pause).unwrap();
        Self {
            raw: Raw::new(1),
            socket,
        }
    }

    fn connect(&mut self, to: SocketAddr) -> RawConn {
        let dial = Dial::home(Key::Identity(600));
        let conn = self.raw.connect(Instant::now(), to, &dial);
        self.run_until(|| conn.is_connected());
        conn
    }

    fn run_until(&mut self, done: impl Fn() -> bool) {
        let mut buffer = [0; 2000];
        while !done() {
            while let Some((to, bytes)) = self.raw.poll_transmit(Instant::now()) {
                self.socket.send_to(&bytes, to).unwrap();
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((len, source)) => {
                    let payload = BytesMut::from(&buffer[..len]);
                    self.raw.handle_datagram(Instant::now(), source, payload);
                }
                Err(error) => assert!(matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                )),
            }
            let now = Instant::now();
            if self.raw.poll_timeout().is_some_and(|at| at <= now) {
                self.raw.handle_timeout(now);
            }
        }
    }
}
