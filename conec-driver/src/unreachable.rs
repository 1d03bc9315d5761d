//! What the system reports of datagrams that do not reach their destination: by the call that sends, and later by ICMP.

use std::{
    io::{
        self,
        ErrorKind::{
            AddrNotAvailable, ConnectionRefused, HostUnreachable, InvalidInput, NetworkDown,
            NetworkUnreachable, PermissionDenied,
        },
    },
    net::SocketAddr,
};

use conec_core::Unreachable;
use socket2::SockRef;

/// Destinations that datagrams did not reach, and why.
pub type Rejected = Vec<(SocketAddr, Unreachable)>;

/// Whether the system reports what it learns by ICMP. It does not do so all the time, as each report also makes the next call
/// on the socket fail, whatever that call is about.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    listening: bool,
}

impl Listener {
    pub(crate) fn is_listening(&self) -> bool {
        self.listening
    }

    /// Takes what the system has reported since the last time, and turns reports on or off.
    pub(crate) fn take(&mut self, socket: &SockRef<'_>, listen: bool, into: &mut Rejected) {
        if listen && !self.listening {
            self.listening = queue::set(socket, true).is_ok();
        }
        if self.listening {
            for _ in 0..MAX_TAKEN {
                match queue::pop(socket) {
                    Ok(Some(found)) => into.extend(found),
                    Ok(None) | Err(_) => break,
                }
            }
        }
        if !listen && self.listening {
            let _ = queue::set(socket, false);
            self.listening = false;
        }
    }

    /// Whether an error that a call has given may be that of another datagram, which a next call does not give again.
    pub(crate) fn is_about_another(&self, error: &io::Error) -> bool {
        self.listening
            && matches!(
                error.kind(),
                ConnectionRefused | HostUnreachable | NetworkUnreachable | PermissionDenied
            )
    }
}

/// What it means for a datagram's destination that the call to send it has failed so.
pub(crate) fn of_send_error(error: &io::Error) -> Option<Unreachable> {
    let kind = error.kind();
    // The last is given where there is no route from the address that the socket is bound to.
    let no_route = matches!(
        kind,
        NetworkUnreachable | HostUnreachable | NetworkDown | AddrNotAvailable | InvalidInput
    );
    let prohibited = kind == PermissionDenied;
    let reason = no_route.then_some(Unreachable::NoRoute);
    reason.or_else(|| prohibited.then_some(Unreachable::Prohibited))
}

/// As many reports as one turn takes: there is one for each datagram that was rejected.
const MAX_TAKEN: usize = 64;

/// The socket's queue of errors: `IP_RECVERR` in ip(7), `IPV6_RECVERR` in ipv6(7). `quinn-udp` reads it too, but gives the
/// address of who has sent the ICMP message instead of the one that it is about.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod queue {
    use std::{
        io::{self, IoSliceMut},
        net::{SocketAddr, SocketAddrV4, SocketAddrV6},
        os::fd::AsRawFd,
    };

    use conec_core::Unreachable;
    use nix::{
        errno::Errno,
        sys::socket::{
            ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
        },
    };
    use socket2::SockRef;

    pub(super) fn set(socket: &SockRef<'_>, on: bool) -> io::Result<()> {
        // One for both IP versions knows of both, one for IPv4 only of that.
        let v4 = setsockopt(&**socket, sockopt::Ipv4RecvErr, &on);
        let v6 = setsockopt(&**socket, sockopt::Ipv6RecvErr, &on);
        Ok(v4.or(v6)?)
    }

    /// Takes the first error of the queue: `None` where there is none, nothing if it is about something else.
    pub(super) fn pop(
        socket: &SockRef<'_>,
    ) -> io::Result<Option<Option<(SocketAddr, Unreachable)>>> {
        // The rejected datagram itself is of no interest.
        let (mut data, mut control) = ([0; 1], [0; 512]);
        let mut data = [IoSliceMut::new(&mut data)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let fd = socket.as_raw_fd();
        let popped = match recvmsg::<SockaddrStorage>(fd, &mut data, Some(&mut control), flags) {
            Ok(popped) => popped,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let address = popped.address.as_ref().and_then(address);
        let reason = popped.cmsgs()?.find_map(|message| {
            let (ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _)) = message
            else {
                return None;
            };
            of_icmp(error.ee_origin, error.ee_type, error.ee_code)
        });
        Ok(Some(address.zip(reason)))
    }

    fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = address.as_sockaddr_in().map(|&it| SocketAddrV4::from(it));
        let v6 = || address.as_sockaddr_in6().map(|&it| SocketAddrV6::from(it));
        v4.map(Into::into).or_else(|| Some(v6()?.into()))
    }

    /// What a message says of the datagram that it is about, if anything (RFC 792; RFC 1122, 3.2.2.1; RFC 1812, 5.2.7.1;
    /// RFC 4443, 3.1).
    pub(super) fn of_icmp(origin: u8, kind: u8, code: u8) -> Option<Unreachable> {
        match (origin, kind, code) {
            (ICMP, 3, 3) | (ICMP6, 1, 4) => Some(Unreachable::Port),
            (ICMP, 3, 9 | 10 | 13) | (ICMP6, 1, 1 | 5 | 6) => Some(Unreachable::Prohibited),
            // Too large.
            (ICMP, 3, 4) => None,
            // The last is a loop of routes.
            (ICMP, 3 | 11, _) | (ICMP6, 1 | 3, _) => Some(Unreachable::Host),
            _ => None,
        }
    }

    /// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` of Linux's `errqueue.h`.
    const ICMP: u8 = 2;
    const ICMP6: u8 = 3;

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_what_is_said_of_the_destination_is_taken() {
            for (message, reason) in [
                ((ICMP, 3, 0), Some(Unreachable::Host)),
                ((ICMP, 3, 1), Some(Unreachable::Host)),
                ((ICMP, 3, 3), Some(Unreachable::Port)),
                ((ICMP, 3, 4), None),
                ((ICMP, 3, 13), Some(Unreachable::Prohibited)),
                ((ICMP, 11, 0), Some(Unreachable::Host)),
                ((ICMP, 12, 0), None),
                ((ICMP6, 1, 0), Some(Unreachable::Host)),
                ((ICMP6, 1, 1), Some(Unreachable::Prohibited)),
                ((ICMP6, 1, 4), Some(Unreachable::Port)),
                ((ICMP6, 2, 0), None),
                // Of this machine's own.
                ((1, 3, 3), None),
            ] {
                let (origin, kind, code) = message;
                assert_eq!(of_icmp(origin, kind, code), reason, "{message:?}");
            }
        }
    }
}

/// Other systems report nothing to a socket that is not connected, or not which destination it is about.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod queue {
    use std::{io, net::SocketAddr};

    use conec_core::Unreachable;
    use socket2::SockRef;

    pub(super) fn set(_: &SockRef<'_>, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn pop(_: &SockRef<'_>) -> io::Result<Option<Option<(SocketAddr, Unreachable)>>> {
        Ok(None)
    }
}
