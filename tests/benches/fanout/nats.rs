//! nats-server, and the little of its protocol that members need.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use mio::{Interest, Registry, Token, event::Event, net::TcpStream};

use crate::{
    load::{Heard, Part},
    result::Result,
};

/// A server's process, which ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Whether there is one to be started.
    pub(crate) fn is_there() -> bool {
        let mut version = Command::new(PROGRAM);
        version
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        version.status().is_ok_and(|it| it.success())
    }

    pub(crate) fn start() -> Result<Self> {
        // It is free now, and will hardly be taken by somebody else so soon.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(PROGRAM)
            .args(["-a", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, address };
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err("nats-server does not answer".into())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Member {
    stream: TcpStream,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// How much of `incoming` is filled.
    filled: usize,
    readable: bool,
    joined: bool,
}

impl Member {
    pub(crate) fn connect(
        to: SocketAddr,
        part: Part,
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let stream = std::net::TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut outgoing = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n".to_vec();
        if part == Part::Subscriber {
            outgoing.extend_from_slice(b"SUB fanout 1\r\n");
        }
        // Its answer says that it has got so far.
        outgoing.extend_from_slice(b"PING\r\n");
        Ok(Self {
            stream,
            outgoing,
            incoming: vec![0; 256 << 10],
            filled: 0,
            readable: true,
            joined: false,
        })
    }

    fn receive(&mut self, heard: &mut Heard<'_>) -> Result<()> {
        while self.readable {
            match self.stream.read(&mut self.incoming[self.filled..]) {
                Ok(0) => return Err("nats-server has hung up".into()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => return Err(error.into()),
            }
            let mut at = 0;
            while let Some(len) = self.take(at, heard)? {
                at += len;
            }
            self.incoming.copy_within(at..self.filled, 0);
            self.filled -= at;
        }
        Ok(())
    }

    /// Does what the server says there, and gives the length of that, if all of it has come.
    fn take(&mut self, at: usize, heard: &mut Heard<'_>) -> Result<Option<usize>> {
        let said = &self.incoming[at..self.filled];
        let Some(end) = said.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let (line, rest) = said.split_at(end + 1);
        if line.starts_with(b"MSG ") {
            let size = std::str::from_utf8(line)?.split_whitespace().next_back();
            let size: usize = size.ok_or("no size")?.parse()?;
            let Some(message) = rest.get(..size + 2) else {
                return Ok(None);
            };
            heard.message(&message[..size]);
            return Ok(Some(line.len() + size + 2));
        }
        let len = line.len();
        if line.starts_with(b"PING") {
            self.outgoing.extend_from_slice(b"PONG\r\n");
        } else if line.starts_with(b"PONG") {
            self.joined = true;
        } else if line.starts_with(b"-ERR") {
            return Err(String::from_utf8_lossy(line).into());
        }
        Ok(Some(len))
    }

    fn send(&mut self) -> Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl crate::load::Member for Member {
    fn ready(&mut self, event: &Event) {
        self.readable |= event.is_readable();
    }

    fn deadline(&mut self) -> Option<Instant> {
        None
    }

    fn turn(&mut self, _: Instant, heard: &mut Heard<'_>) -> Result<()> {
        self.receive(heard)?;
        self.send()
    }

    fn is_there(&self) -> bool {
        self.joined
    }

    fn publish(&mut self, message: &[u8]) -> Result<bool> {
        if self.outgoing.len() >= QUEUE {
            return Ok(false);
        }
        write!(self.outgoing, "PUB fanout {}\r\n", message.len())?;
        self.outgoing.extend_from_slice(message);
        self.outgoing.extend_from_slice(b"\r\n");
        Ok(true)
    }
}

const PROGRAM: &str = "nats-server";
/// How many bytes wait at a publisher before it takes no more.
const QUEUE: usize = 64 << 10;
