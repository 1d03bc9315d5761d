//! Which of several addresses leads to the Coordinator, and what is told when none does.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use conec_core::{ClientLimits, CloseReason, Unreachable};
use conec_driver::{ConnectError, Socket};
use conec_mio::blocking;

use crate::{
    Kind, client_config,
    coordinators::{Running, runtime},
    handled::connect_over,
    handles, within,
};

const KINDS: [Kind; 3] = [Kind::Tokio, Kind::Mio, Kind::Blocking];

/// What may be at an address.
#[derive(Debug, Clone, Copy)]
enum There {
    Coordinator,
    /// Somebody who does not answer.
    Silence,
    Nobody,
    /// The address is of an IP version that the socket does not speak.
    NoRoute,
}

#[test]
fn the_address_that_is_alive_is_found_among_others() {
    use There::{Coordinator, NoRoute, Nobody, Silence};
    within(|| {
        let cases = [
            [Silence, Silence, Coordinator],
            [Nobody, Nobody, Coordinator],
            [NoRoute, Silence, Coordinator],
            [Coordinator, Nobody, NoRoute],
        ];
        each(cases, |addresses| {
            each(KINDS, |kind| {
                let took = connect(kind, Ipv4Addr::LOCALHOST.into(), &addresses);
                let took = took.unwrap_or_else(|reason| panic!("{addresses:?}: {reason}"));
                // It takes half a second at most, on a machine that has nothing else to do.
                let limit = ClientLimits::default().handshake_timeout / 2;
                assert!(took < limit, "{kind:?}, {addresses:?}: {took:?}");
            });
        });
    });
}

#[test]
fn what_cannot_be_reached_is_told_as_that() {
    use There::{NoRoute, Nobody, Silence};
    // Other systems do not tell.
    let port = if cfg!(any(target_os = "linux", target_os = "android")) {
        CloseReason::Unreachable(Unreachable::Port)
    } else {
        CloseReason::TimedOut
    };
    let no_route = CloseReason::Unreachable(Unreachable::NoRoute);
    let ips = [
        Ipv4Addr::LOCALHOST.into(),
        Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ];
    within(move || {
        let cases = [
            (&[Nobody] as &[There], port),
            (&[Nobody, Nobody, Nobody], port),
            (&[NoRoute, Nobody], port),
            (&[NoRoute], no_route),
            (&[Silence, NoRoute], CloseReason::TimedOut),
        ];
        each(cases, |(addresses, expected)| {
            each(KINDS, |kind| {
                for bound in ips {
                    // This one has a way to both, unless the machine has no IPv6.
                    if bound.is_ipv6() && addresses.iter().any(|it| matches!(it, NoRoute)) {
                        continue;
                    }
                    let reason = connect(kind, bound, addresses).unwrap_err();
                    assert_eq!(reason, expected, "{kind:?} at {bound}: {addresses:?}");
                }
            });
        });
    });
}

/// Connecting as a host of IPv6 names it.
#[test]
fn an_ipv4_address_is_known_in_ipv6_form() {
    within(|| {
        let coordinator = Running::start(Kind::Blocking);
        let port = coordinator.address.port();
        let to = format!("[::ffff:127.0.0.1]:{port}");
        let config = client_config(coordinator.pin);
        let client = blocking::Client::connect(&to, config.clone()).unwrap();
        assert!(client.observed_address().unwrap().is_ipv4());
        let connecting = conec_tokio::Client::connect(&to, config);
        let client = runtime().block_on(connecting).unwrap();
        assert!(client.observed_address().unwrap().is_ipv4());
        coordinator.crash();
    });
}

/// Connects from a socket that is bound so; how long it took, or why not.
fn connect(kind: Kind, bound: IpAddr, there: &[There]) -> Result<Duration, CloseReason> {
    let coordinator = Running::start(Kind::Blocking);
    let mut held = Vec::new();
    let addresses: Vec<_> = there
        .iter()
        .map(|there| match there {
            There::Coordinator => coordinator.address,
            There::Silence => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let address = socket.local_addr().unwrap();
                held.push(socket);
                address
            }
            There::Nobody => {
                let nobody = Nobody::new();
                let address = nobody.address();
                held.push(nobody.0);
                address
            }
            There::NoRoute => (Ipv6Addr::LOCALHOST, 4433).into(),
        })
        .collect();
    let mut config = client_config(coordinator.pin);
    if !there
        .iter()
        .any(|it| matches!(it, There::Coordinator | There::Nobody))
    {
        config.limits.handshake_timeout = Duration::from_secs(1);
    }
    // Not every machine has IPv6.
    let socket = Socket::bind((bound, 0).into())
        .or_else(|_| Socket::bind((Ipv4Addr::UNSPECIFIED, 0).into()))
        .unwrap();
    let started = Instant::now();
    let connected = match kind {
        Kind::Tokio | Kind::Blocking => {
            let connecting = connect_over(kind, socket, &addresses, config);
            runtime().block_on(connecting).map(drop).map_err(reason)
        }
        Kind::Mio | Kind::Custom => {
            let turn = handles::Mio::over(socket, &addresses, config);
            handles::Client::try_connect(turn).map(drop)
        }
    };
    let took = started.elapsed();
    coordinator.crash();
    connected.map(|()| took)
}

fn reason(error: ConnectError) -> CloseReason {
    match error {
        ConnectError::Closed(reason) => reason,
        error => panic!("{error}"),
    }
}

/// An address at which nobody is, and at which no other test can begin to listen: a socket has the port that takes nothing but
/// what it sends itself.
pub(crate) struct Nobody(UdpSocket);

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// Does it with all of them at the same time: most of it is waiting.
fn each<T: Send>(all: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for one in all {
            scope.spawn(move || test(one));
        }
    });
}
