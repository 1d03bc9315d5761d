//! `conec coordinator`.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::{Coordinator, Home};

#[test]
fn what_lasts_is_the_same_at_the_next_start() {
    let first = Coordinator::start();
    let home = Home::joined(&first);
    let (address, url, ticket) = (first.address(), first.url.clone(), first.ticket.clone());
    first.running.signal(Signal::SIGTERM);
    first.running.ended().succeeded();
    let second = Coordinator::start_in(first.home, &address, &[]);
    assert_eq!((&second.url, &second.ticket), (&url, &ticket));
    // Who has joined is let in.
    home.run(&["ping", "nobody"]).failed(5, &[]);
}

#[test]
fn nobody_else_can_read_what_lasts() {
    use std::os::unix::fs::PermissionsExt;
    let coordinator = Coordinator::start();
    let state = coordinator.home.path().join("coordinator");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state.clone()), 0o700);
    for file in fs::read_dir(&state).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(path.clone()), 0o600, "{path:?}");
    }
    let ticket = fs::read_to_string(state.join("ticket")).unwrap();
    assert_eq!(ticket.trim(), coordinator.ticket);
}

#[test]
fn the_first_host_is_in_the_url_and_the_ticket_can_be_kept_back() {
    let home = Home::new();
    let args = [
        "coordinator",
        "--listen",
        "127.0.0.1:0",
        "--host",
        "conec.example.org",
        "--no-ticket",
    ];
    let running = home.start(&args);
    let url = running.line();
    assert!(url.contains("@conec.example.org:"), "{url}");
    running.says("listening at 127.0.0.1:");
    running.signal(Signal::SIGINT);
    assert_eq!(running.ended().succeeded(), "");
}

#[test]
fn wrong_usage_is_said() {
    let home = Home::new();
    home.run(&["coordinator", "--listen", "nowhere"])
        .failed(2, &["nowhere"]);
    home.run(&[
        "coordinator",
        "--listen",
        "127.0.0.1:0",
        "--host",
        "no host",
    ])
    .failed(2, &["no host"]);
    // An address that this machine does not have (RFC 5737).
    home.run(&["coordinator", "--listen", "192.0.2.1:4433"])
        .failed(1, &["cannot listen at 192.0.2.1:4433", "help: "]);
}

#[test]
fn two_do_not_share_a_state() {
    let coordinator = Coordinator::start();
    let second = coordinator
        .home
        .run(&["coordinator", "--listen", "127.0.0.1:0"]);
    second.failed(2, &["another Coordinator uses", "help: "]);
}

#[test]
fn a_damaged_token_is_said_and_left_alone() {
    let home = Home::new();
    let state = home.path().join("coordinator");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("token"), "abc").unwrap();
    home.run(&["coordinator", "--listen", "127.0.0.1:0"])
        .failed(2, &["token is damaged", "help: "]);
    assert_eq!(fs::read_to_string(state.join("token")).unwrap(), "abc");
}
