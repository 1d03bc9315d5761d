//! What a SOCKS5 client and a proxy say to each other (RFC 1928). There are no passwords: who may connect is said by where it is listened.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::forward::spec::Place;

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) command: Command,
    /// Where to, unless it is written in a way that is not known.
    pub(super) place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Connect,
    Associate,
    /// To listen, which hardly anybody uses, or something new.
    Other,
}

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Succeeded = 0,
    Failed = 1,
    NotAllowed = 2,
    HostUnreachable = 4,
    Refused = 5,
    TimedOut = 6,
    CommandNotSupported = 7,
    AddressNotSupported = 8,
}

/// Agrees that no password is needed, and reads what is wanted.
pub(super) async fn negotiate(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<Request> {
    version(stream).await?;
    let count = stream.read_u8().await?;
    let mut methods = vec![0; count.into()];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&NO_PASSWORD) {
        stream.write_all(&[VERSION, NO_METHOD]).await?;
        return Err(wrong("a proxy without passwords is not wanted"));
    }
    stream.write_all(&[VERSION, NO_PASSWORD]).await?;
    version(stream).await?;
    let command = match stream.read_u8().await? {
        1 => Command::Connect,
        3 => Command::Associate,
        _ => Command::Other,
    };
    let _reserved = stream.read_u8().await?;
    let place = place(stream).await?;
    Ok(Request { command, place })
}

/// A reply, with an address.
pub(super) fn reply(reply: Reply, at: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![VERSION, reply as u8, 0];
    match at {
        SocketAddr::V4(at) => {
            bytes.push(IPV4);
            bytes.extend(at.ip().octets());
        }
        SocketAddr::V6(at) => {
            bytes.push(IPV6);
            bytes.extend(at.ip().octets());
        }
    }
    bytes.extend(at.port().to_be_bytes());
    bytes
}

/// The header of a packet, where it is to go, and what is in it. `None` if it cannot be read, or is a part of one: hardly anybody
/// sends those, and a proxy need not put them together.
pub(super) fn packet(bytes: &[u8]) -> Option<(&[u8], Place, &[u8])> {
    let (&[0, 0, 0, kind], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    let (host, rest) = match kind {
        IPV4 => {
            let (host, rest) = rest.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*host).to_string(), rest)
        }
        IPV6 => {
            let (host, rest) = rest.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*host).to_string(), rest)
        }
        NAME => {
            let (len, rest) = rest.split_first()?;
            let (host, rest) = rest.split_at_checked((*len).into())?;
            (str::from_utf8(host).ok()?.to_owned(), rest)
        }
        _ => return None,
    };
    let (port, packet) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    let head = &bytes[..bytes.len() - packet.len()];
    Some((head, Place { host, port }, packet))
}

async fn place(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Place>> {
    let host = match stream.read_u8().await? {
        IPV4 => Ipv4Addr::from_bits(stream.read_u32().await?).to_string(),
        IPV6 => Ipv6Addr::from_bits(stream.read_u128().await?).to_string(),
        NAME => {
            let len = stream.read_u8().await?;
            let mut name = vec![0; len.into()];
            stream.read_exact(&mut name).await?;
            String::from_utf8(name).map_err(|_| wrong("a host name is no text"))?
        }
        _ => return Ok(None),
    };
    let port = stream.read_u16().await?;
    Ok(Some(Place { host, port }))
}

async fn version(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    match stream.read_u8().await? {
        VERSION => Ok(()),
        _ => Err(wrong("this is not SOCKS5")),
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const VERSION: u8 = 5;
const NO_PASSWORD: u8 = 0;
const NO_METHOD: u8 = 0xff;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a proxy reads of this, and what it has answered by then.
    async fn negotiated(said: &[u8]) -> (io::Result<Request>, Vec<u8>) {
        let (mut client, mut proxy) = tokio::io::duplex(1024);
        client.write_all(said).await.expect("there is room");
        client.shutdown().await.expect("it is open");
        let request = negotiate(&mut proxy).await;
        drop(proxy);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("it is open");
        (request, answer)
    }

    fn place(host: &str, port: u16) -> Place {
        Place {
            host: host.into(),
            port,
        }
    }

    #[tokio::test]
    async fn requests_are_read() {
        let (request, answer) =
            negotiated(b"\x05\x02\x02\x00\x05\x01\x00\x03\x04host\x01\xbb").await;
        let request = request.expect("it is right");
        assert_eq!(
            (request.command, request.place),
            (Command::Connect, Some(place("host", 443)))
        );
        assert_eq!(answer, [5, 0]);
        let (request, _) = negotiated(&[5, 1, 0, 5, 3, 0, 1, 127, 0, 0, 1, 0, 80]).await;
        let request = request.expect("it is right");
        assert_eq!(
            (request.command, request.place),
            (Command::Associate, Some(place("127.0.0.1", 80)))
        );
        let ipv6 = [&[5, 1, 0, 5, 2, 0, 4][..], &[0; 15], &[1, 0, 80]].concat();
        let request = negotiated(&ipv6).await.0.expect("it is right");
        assert_eq!(
            (request.command, request.place),
            (Command::Other, Some(place("::1", 80)))
        );
        let (request, _) = negotiated(&[5, 1, 0, 5, 1, 0, 9]).await;
        assert_eq!(request.expect("it is right").place, None);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let wrong: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\n",
            &[4, 1, 0, 80, 127, 0, 0, 1, 0],
            &[5, 1, 2],
            &[5, 1, 0, 5, 1, 0, 3, 2, 0xff, 0xff, 0, 80],
            &[5, 1, 0, 5, 1, 0, 1, 127],
            b"",
        ];
        for said in wrong {
            assert!(negotiated(said).await.0.is_err(), "{said:?}");
        }
        assert_eq!(negotiated(&[5, 1, 2]).await.1, [5, 0xff]);
    }

    #[test]
    fn packets_are_read() {
        let (head, to, data) = packet(b"\0\0\0\x03\x04host\x00\x35data").expect("it is right");
        assert_eq!(
            (head.len(), to, data),
            (11, place("host", 53), &b"data"[..])
        );
        let (_, to, data) = packet(&[0, 0, 0, 1, 10, 0, 0, 1, 0, 53]).expect("it is right");
        assert_eq!((to, data), (place("10.0.0.1", 53), &b""[..]));
        let whole = [&[0, 0, 0, 4][..], &[0; 15], &[1, 0, 53, 7]].concat();
        let (head, to, data) = packet(&whole).expect("it is right");
        assert_eq!((head, to, data), (&whole[..22], place("::1", 53), &[7][..]));
        for len in 0..22 {
            assert_eq!(packet(&whole[..len]), None);
        }
        // A part, and what is reserved.
        assert_eq!(packet(&[0, 0, 1, 1, 10, 0, 0, 1, 0, 53]), None);
        assert_eq!(packet(&[0, 1, 0, 1, 10, 0, 0, 1, 0, 53]), None);
    }

    #[test]
    fn replies_are_written() {
        let at = "127.0.0.1:80".parse().expect("it is an address");
        assert_eq!(reply(Reply::Refused, at), [5, 5, 0, 1, 127, 0, 0, 1, 0, 80]);
        let at = "[::1]:80".parse().expect("it is an address");
        assert_eq!(reply(Reply::Succeeded, at).len(), 22);
    }
}
