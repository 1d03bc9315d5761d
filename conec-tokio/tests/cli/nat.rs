//! What kind of NAT a machine is behind, as it is told. All of 127.0.0.0/8 is this machine, but for the NAT between two of its addresses.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use crate::support::{Coordinator, Home};

/// A NAT with one machine behind it, which knows the Coordinator at [`INSIDE`]: what it sends to one of the Coordinator's ports seems to
/// come from the socket that is given with that port.
fn nat(first: (u16, UdpSocket), second: Option<(u16, UdpSocket)>) {
    let client = Arc::new(Mutex::new(None));
    let inside = inside(first.0);
    lead_out(
        inside.try_clone().unwrap(),
        first.1.try_clone().unwrap(),
        first.0,
        &client,
    );
    if let Some((port, outside)) = second {
        lead_out(self::inside(port), outside, port, &client);
    }
    // Nothing comes from the second port.
    carry(move |packet| {
        let (length, _) = first.1.recv_from(packet).unwrap();
        let client: Option<SocketAddr> = *client.lock().unwrap();
        let _ = inside.send_to(&packet[..length], client.unwrap());
    });
}

fn lead_out(
    inside: UdpSocket,
    outside: UdpSocket,
    port: u16,
    client: &Arc<Mutex<Option<SocketAddr>>>,
) {
    let client = Arc::clone(client);
    carry(move |packet| {
        let (length, from) = inside.recv_from(packet).unwrap();
        *client.lock().unwrap() = Some(from);
        let _ = outside.send_to(&packet[..length], (Ipv4Addr::LOCALHOST, port));
    });
}

fn carry(mut one: impl FnMut(&mut [u8]) + Send + 'static) {
    thread::spawn(move || {
        let mut packet = vec![0; 1 << 16];
        loop {
            one(&mut packet);
        }
    });
}

fn inside(port: u16) -> UdpSocket {
    UdpSocket::bind((INSIDE, port)).unwrap()
}

fn outside() -> UdpSocket {
    UdpSocket::bind((OUTSIDE, 0)).unwrap()
}

/// What the Coordinator has as its second port.
fn second_port(coordinator: &Coordinator) -> u16 {
    let said = coordinator.running.says("to tell NATs apart");
    let (_, port) = said.split_once("UDP port ").unwrap();
    port.split(' ').next().unwrap().parse().unwrap()
}

/// Asks through the NAT until it is known what it is, and then asks the doctor.
fn found(coordinator: &Coordinator, kind: &str) -> String {
    let home = Home::new();
    let (pin, _) = coordinator.url.rsplit_once('@').unwrap();
    let url = format!("{pin}@{INSIDE}:{}", coordinator.port());
    let token = coordinator.home.path().join("coordinator/token");
    let with = |command| {
        let token = token.to_str().unwrap();
        home.run(&[
            command,
            "--json",
            "--coordinator",
            &url,
            "--token-file",
            token,
        ])
    };
    for _ in 0..10 {
        let status = with("status");
        let status: Value = serde_json::from_str(status.succeeded()).unwrap();
        let seen = status["observed_address"].as_str().unwrap();
        assert!(seen.starts_with(OUTSIDE), "{status}");
        if status["nat"] == kind {
            let findings = with("doctor");
            let nat = findings.succeeded().lines().find(|it| it.contains("NAT"));
            return nat.unwrap().into();
        }
    }
    panic!("it is not found to be {kind}")
}

#[test]
fn one_that_keeps_ports_is_told_from_one_that_does_not() {
    let coordinator = Coordinator::start();
    let outer = outside();
    let same = (second_port(&coordinator), outer.try_clone().unwrap());
    nat((coordinator.port(), outer), Some(same));
    let said = found(&coordinator, "port_independent");
    assert!(said.contains("there is one that keeps ports"), "{said}");

    let coordinator = Coordinator::start();
    let other = (second_port(&coordinator), outside());
    nat((coordinator.port(), outside()), Some(other));
    let said = found(&coordinator, "port_dependent");
    assert!(said.contains("there is one that changes ports"), "{said}");
    assert!(said.contains("forward a UDP port"), "{said}");
}

#[test]
fn without_a_second_port_the_kind_is_not_known_and_the_doctor_says_what_to_do() {
    let coordinator = Coordinator::start_with(&["--second-port", "off"]);
    nat((coordinator.port(), outside()), None);
    let said = found(&coordinator, "unclassified");
    assert!(said.contains("--second-port"), "{said}");
}

/// Where the Coordinator seems to be.
const INSIDE: &str = "127.0.0.2";
/// Where the machine behind the NAT seems to be.
const OUTSIDE: &str = "127.0.0.3";
