//! The handles without tokio: sockets and timers of `async-io`, and `pollster` as executor, one for each thread.
//!
//! ```sh
//! cargo run -p conec-driver --example other_executor
//! ```

use std::{
    error::Error,
    future::poll_fn,
    io,
    net::UdpSocket,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Instant,
};

use async_io::{Async, Timer};
use conec_core::{
    Certificate, ClientConfig, CoordinatorConfig, Datagram, Endpoint, Identity, Transmit, Trust,
};
use conec_driver::{Client, Coordinator, Driver, Io, Socket, Sockets, Udp, is_blocked};
use pollster::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let certificate = Certificate::self_signed(["localhost"])?;
    let trust = Trust::Pin(certificate.pin());
    let socket = || Socket::bind(([127, 0, 0, 1], 0).into());

    let coordinator_config = CoordinatorConfig::new(certificate);
    let started = Coordinator::start(socket()?, coordinator_config, Instant::now)?;
    let coordinator = spawn(started)?;
    let to = [coordinator.local_addr()];
    let connect = || -> Result<Client, Box<dyn Error>> {
        let config = ClientConfig::new(Identity::generate()?, trust.clone());
        let started = Client::start(socket()?, &[("localhost", &to)], config, Instant::now)?;
        let client = spawn(started)?;
        block_on(client.connected())?;
        Ok(client)
    };
    let (alice, bob) = (connect()?, connect()?);

    let bobs_id = bob.id();
    let hears = thread::spawn(move || {
        block_on(async {
            let channel = bob.accept().await?.accept().await.ok()?;
            let mut stream = channel.accept().await?;
            stream.receiver.recv().await.ok()?
        })
    });
    block_on(async {
        let channel = alice.open(bobs_id, "greetings").await?;
        let mut sender = channel.open_uni("hello").await?;
        sender.send("Hello, Bob!".into()).await?;
        sender.finish()?;
        println!("{}", sender.finished().await);
        Ok::<(), Box<dyn Error>>(())
    })?;
    println!("Bob hears {:?}", hears.join().expect("does not panic"));
    Ok(())
}

/// Drives an endpoint in a thread of its own.
fn spawn<H, E: Endpoint + Send + 'static>(
    (handle, driver, sockets): (H, Driver<E>, Sockets),
) -> io::Result<H> {
    let socket = Async::new(sockets.socket)?;
    thread::spawn(move || block_on(drive(driver, socket)));
    Ok(handle)
}

/// Turns a driver when its socket, its timer or its handles say so, until its endpoint has ended.
async fn drive<E: Endpoint>(mut driver: Driver<E>, socket: Async<UdpSocket>) {
    let mut timer = Timer::never();
    poll_fn(|cx| {
        loop {
            let waker = cx.waker().clone();
            let turn = driver.turn(Instant::now(), &waker, &mut Watched(&socket, cx));
            let ControlFlow::Continue(due) = turn else {
                return Poll::Ready(());
            };
            timer = due.map_or_else(Timer::never, Timer::at);
            if Pin::new(&mut timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// A socket, and the task that is woken when it is ready.
struct Watched<'a, 'b>(&'a Async<UdpSocket>, &'a mut Context<'b>);

impl Io for Watched<'_, '_> {
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        let Self(socket, cx) = self;
        loop {
            let received = udp.recv(socket.get_ref(), into);
            // Either the task is woken when the socket is ready, or it has become ready meanwhile.
            if !is_blocked(&received) || !matches!(socket.poll_readable(cx), Poll::Ready(Ok(()))) {
                return received;
            }
        }
    }

    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()> {
        let Self(socket, cx) = self;
        loop {
            let sent = udp.send(socket.get_ref(), transmit);
            if !is_blocked(&sent) || !matches!(socket.poll_writable(cx), Poll::Ready(Ok(()))) {
                return sent;
            }
        }
    }
}
