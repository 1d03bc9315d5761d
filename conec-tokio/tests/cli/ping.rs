//! `conec ping`, and how channels are asked for.

use std::net::UdpSocket;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Coordinator, Home, LONG};

#[test]
fn nobody_of_that_name_is_said_so() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    home.run(&["ping", "nobody"])
        .failed(5, &["error: nobody", "help: "]);
}

#[test]
fn what_is_no_name_is_wrong_usage() {
    let home = Home::new();
    home.run(&["ping", "No Name"]).failed(2, &["No Name"]);
    home.run(&["ping"]).failed(2, &["<WHO>"]);
    home.run(&["ping", "somebody"])
        .failed(2, &["error: no Coordinator to speak to", "conec join"]);
}

#[test]
fn a_coordinator_that_is_not_there_is_said_so() {
    let home = Home::new();
    let pin = home.run(&["id"]).succeeded().trim().to_owned();
    // Nothing listens at the port of discard.
    let url = format!("conec://{pin}@127.0.0.1:9");
    home.run(&["ping", "somebody", "--coordinator", &url])
        .failed(3, &["127.0.0.1:9", "cannot be reached", "help: "]);
    home.run(&["ping", "somebody", "--coordinator", "http://localhost"])
        .failed(2, &["conec://PIN@host:port"]);
}

#[test]
fn a_coordinator_with_another_key_is_told_from_the_right_one() {
    let coordinator = Coordinator::start();
    let home = Home::new();
    let other = home.run(&["id"]).succeeded().trim().to_owned();
    let url = format!("conec://{other}@{}", coordinator.address());
    home.run(&["ping", "somebody", "--coordinator", &url])
        .failed(3, &["not the Coordinator that is meant", "new ticket"]);
    // Without a token it is refused.
    home.run(&["ping", "somebody", "--coordinator", &coordinator.url])
        .failed(4, &["token", "conec join"]);
}

#[test]
fn who_answers_is_reached_by_name_and_by_id() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let answerer = there.start(&["ping", "--answer", "--name", "office"]);
    answerer.says("here as office");
    let id = there.run(&["id"]).succeeded().trim().to_owned();
    for who in ["office", &id] {
        let pinged = here.run(&["ping", who, "-n", "2", "--interval", "10ms", "--json"]);
        let lines = pinged.succeeded().lines();
        let lines: Vec<Value> = lines.map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        for (before, line) in lines.iter().enumerate() {
            assert_eq!(line["number"], before + 1);
            assert!(line["milliseconds"].as_f64().unwrap() > 0.0);
        }
        assert!(pinged.stderr().contains("2 answers"), "{}", pinged.stderr());
    }
    let text = here.run(&["ping", "office", "-n", "1", "--path", "proxied"]);
    assert!(
        text.succeeded()
            .starts_with("56 bytes from office: number 1, ")
    );
    assert!(text.stdout().ends_with(" ms, through the Coordinator\n"));

    // A name is had once.
    here.run(&["ping", "--answer", "--name", "office"])
        .failed(4, &["somebody else has that name", "--name"]);
    answerer.signal(Signal::SIGTERM);
    assert_eq!(answerer.ended().status().code(), Some(130));
    here.run(&["ping", "office", "-n", "1"]).failed(5, &[]);
}

#[test]
fn several_commands_of_one_machine_run_at_once() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let mut first = home.start(&["ping", "--answer", "--name", "first"]);
    first.says("here as first");
    let mut second = home.start(&["ping", "--answer", "--name", "second"]);
    second.says("here as second");
    for who in ["first", "second"] {
        home.run(&["ping", who, "-n", "1"]).succeeded();
    }
    let ids = home.run(&["id", "--all"]);
    assert_eq!(ids.succeeded().lines().count(), 3);
    assert!(!first.has_ended() && !second.has_ended());
}

#[test]
fn what_is_pinged_outlives_the_coordinator() {
    let mut coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let answerer = home.start(&["ping", "--answer", "--name", "office"]);
    answerer.says("here as office");
    let pinging = home.start(&[
        "ping",
        "office",
        "--interval",
        "50ms",
        "--path",
        "proxied",
        "--timeout",
        "50s",
    ]);
    pinging.line();
    let address = coordinator.address();
    coordinator.running.child.kill().unwrap();
    coordinator.running.child.wait().unwrap();
    let Coordinator {
        home: state,
        running,
        ..
    } = coordinator;
    drop(running);
    let _again = Coordinator::start_in(state, &address, &[]);
    pinging.says("the Coordinator is there again");
    for _ in 0..20 {
        pinging.line();
    }
    pinging.signal(Signal::SIGINT);
    assert_eq!(pinging.ended().status().code(), Some(130));
}

#[test]
fn a_coordinator_that_does_not_answer_is_waited_for_until_interrupted() {
    let home = Home::new();
    let pin = home.run(&["id"]).succeeded().trim().to_owned();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("conec://{pin}@{}", silent.local_addr().unwrap());
    let args = ["ping", "somebody", "--coordinator", &url];
    let mut waiting = home.start(&args);
    // It has begun when something comes.
    silent.set_read_timeout(Some(LONG)).unwrap();
    silent.recv(&mut [0; 2000]).unwrap();
    assert!(!waiting.has_ended());
    waiting.signal(Signal::SIGINT);
    waiting.ended().failed(130, &[]);
    home.run(&args)
        .failed(3, &["the Coordinator does not answer", "help: "]);
}
