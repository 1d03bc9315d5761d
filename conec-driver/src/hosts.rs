//! The addresses of this machine.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use if_addrs::Interface;

/// At which addresses of this machine a socket receives.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// What the socket is bound to.
    bound: SocketAddr,
    /// Whether IPv4 packets arrive.
    v4: bool,
}

impl Hosts {
    pub(crate) fn new(socket: &UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        let v4 = bound.is_ipv4() || !socket2::SockRef::from(socket).only_v6()?;
        Ok(Self { bound, v4 })
    }

    /// The one address that the socket is bound to, or those of all interfaces.
    pub(crate) fn look(&self) -> io::Result<Vec<SocketAddr>> {
        if !self.bound.ip().is_unspecified() {
            return Ok(vec![self.bound]);
        }
        let interfaces = if_addrs::get_if_addrs()?;
        let up = interfaces.iter().filter(|it| is_up(it)).map(Interface::ip);
        let mut ips: Vec<_> = up.filter(|ip| self.serves(ip)).collect();
        let preferred = [self.preferred(SOMEWHERE_V4), self.preferred(SOMEWHERE_V6)];
        ips.sort_by_key(|ip| (!preferred.contains(&Some(*ip)), ip.is_loopback()));
        let port = self.bound.port();
        Ok(ips.into_iter().map(|ip| (ip, port).into()).collect())
    }

    fn serves(&self, ip: &IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.bound.is_ipv6(),
        }
    }

    /// The address that packets to a place on the Internet would be sent from. Connecting a UDP socket sends none.
    fn preferred(&self, somewhere: IpAddr) -> Option<IpAddr> {
        if !self.serves(&somewhere) {
            return None;
        }
        let unspecified: IpAddr = match somewhere {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((unspecified, 0)).ok()?;
        socket.connect((somewhere, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }
}

/// Some systems do not know the status of every interface.
fn is_up(interface: &Interface) -> bool {
    use if_addrs::IfOperStatus::{Dormant, Down, LowerLayerDown, NotPresent, Testing, Unknown, Up};
    match interface.oper_status {
        Up | Unknown | Testing | Dormant => true,
        Down | NotPresent | LowerLayerDown => false,
    }
}

/// Addresses that are nobody's (RFC 5737, RFC 3849), so that the default route leads there.
const SOMEWHERE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SOMEWHERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
