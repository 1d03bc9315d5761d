//! Under which names a server of this machine alone answers.

use std::net::{IpAddr, SocketAddr};

use hyper::{header::HeaderValue, http::uri::Authority};

/// The hosts that requests may be for.
///
/// A web site can let its own name lead to this machine (DNS rebinding), and have a visitor's browser read what is served here. That shows
/// by the name that the browser asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hosts {
    /// Those of this machine. Ports do not matter: there may be a tunnel in between.
    Own(IpAddr),
    /// What is served to others has whatever name they have for it.
    Any,
}

impl Hosts {
    /// Of who listens here.
    pub(super) fn of(address: SocketAddr) -> Self {
        match address.ip() {
            ip if ip.to_canonical().is_loopback() => Self::Own(ip),
            _ => Self::Any,
        }
    }

    pub(super) fn allow(self, host: Option<&HeaderValue>) -> bool {
        match self {
            Self::Any => true,
            Self::Own(ip) => host.and_then(name_of).is_some_and(|name| is_own(&name, ip)),
        }
    }
}

/// Without the port.
fn name_of(host: &HeaderValue) -> Option<String> {
    let host = host.to_str().ok().filter(|it| !it.contains('@'))?;
    let authority: Authority = host.parse().ok()?;
    Some(authority.host().to_ascii_lowercase())
}

fn is_own(name: &str, ip: IpAddr) -> bool {
    let bound = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    name == bound || ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_has_such_names() {
        let hosts = Hosts::of(([127, 0, 0, 2], 9433).into());
        let allows = |host: &'static str| hosts.allow(Some(&HeaderValue::from_static(host)));
        for host in [
            "localhost",
            "LocalHost:9433",
            "127.0.0.1:80",
            "127.0.0.2",
            "[::1]:9433",
        ] {
            assert!(allows(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost.",
            "127.0.0.3",
            "10.0.0.1:9433",
            "x@localhost",
            "localhost:80:80",
            "[::2]",
            "::1",
        ] {
            assert!(!allows(host), "{host}");
        }
        assert!(!hosts.allow(None));
        assert!(Hosts::of(([0, 0, 0, 0], 9433).into()).allow(None));
    }
}
