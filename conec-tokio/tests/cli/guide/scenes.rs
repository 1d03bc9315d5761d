//! What happens on several pages. `here` and `there` are two machines; the lines are those of the page.

use std::net::SocketAddr;

use super::pages::Machine;
use crate::support::{Terminal, net};

/// Who answers, serves or exposes something under this name, once it does.
pub(super) fn serves(there: &Machine, line: &str, name: &str) -> Terminal {
    let mut serving = there.runs(line);
    serving.shows(&format!("here as {name}"));
    serving
}

/// Whoever receives takes what is sent.
pub(super) fn take(receiving: &mut Terminal, sending: Terminal) {
    receiving.shows("take it? [y/N] ");
    receiving.types("y\n");
    sending.ended();
}

/// Sends something by a code that is typed at the other machine.
pub(super) fn by_code(here: &Machine, send: &str, there: &Machine, receive: &str) {
    let mut sending = here.runs(send);
    let screen = sending.shows("conec receive --code");
    let (code, _) = screen.split_once(char::is_whitespace).unwrap();
    let mut receiving = there.runs(receive);
    receiving.types(&format!("{code}\n"));
    sending.ended();
    receiving.ended();
}

/// Forwards something, tries that out, and ends.
pub(super) fn forwards(here: &Machine, line: &str, try_out: impl FnOnce()) {
    let mut forwarding = here.runs(line);
    forwarding.shows("listening at");
    try_out();
    forwarding.interrupt();
}

/// Somebody at this port [turns around](net::turn_around) what is said.
pub(super) fn port_is_reached(port: u16) {
    assert_eq!(net::asked(here_at(port), b"abc"), b"cba");
}

/// Somebody at this port [echoes](net::echo_packets) packets.
pub(super) fn packets_are_echoed(port: u16) {
    let (packet, _) = net::echoed(&net::packets_to(here_at(port)), b"name?");
    assert_eq!(packet, b"name?");
}

/// Through the SOCKS proxy at this port, that one is reached.
pub(super) fn proxy_reaches(proxy: u16, port: u16) {
    assert_eq!(net::socks(here_at(proxy), "localhost", port).0, 0);
}

/// Somebody called alice, as the line has it, and bob.
pub(super) fn chat(here: &Machine, there: &Machine, line: &str) {
    for machine in [here, there] {
        machine.write("secret", "a long and good passphrase\n");
    }
    let mut alice = here.runs(line);
    alice.shows("alice");
    let mut bob = there.runs(&line.replace("alice", "bob"));
    alice.shows("bob");
    bob.types("hello\n");
    alice.shows("hello");
    bob.interrupt();
    alice.interrupt();
}

/// Has the lines of a book counted.
pub(super) fn counts(here: &Machine, request: &str, there: &Machine, reply: &str) {
    here.write("book.txt", "one\ntwo\nthree\n");
    let replying = serves(there, reply, "counter");
    assert_eq!(here.runs(request).ended().trim(), "3");
    replying.interrupt();
}

pub(super) fn pings_directly(here: &Machine, line: &str) {
    let pinged = here.runs(line).ended();
    assert!(pinged.contains("directly"), "{pinged}");
}

pub(super) fn measures(here: &Machine, line: &str) {
    let measured = here.runs(&format!("{line} --time 300ms")).ended();
    assert!(measured.contains("MB/s"), "{measured}");
}

fn here_at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
