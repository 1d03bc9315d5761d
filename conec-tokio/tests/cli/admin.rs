//! `conec ls`, `kick`, `drain` and `top`.

use std::fs;

use bytes::Bytes;
use conec_tokio::{Client, ClientConfig, Code, Identity, Invitation, RecvEnd, RecvError};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Coordinator, Home, Running};

/// A Coordinator, its operator, and somebody who answers pings as "office".
struct Scene {
    coordinator: Coordinator,
    operator: Home,
    there: Home,
    office: Running,
}

impl Scene {
    fn new() -> Self {
        let operator = Home::new();
        let id = operator.run(&["id"]).succeeded().trim().to_owned();
        let coordinator = Coordinator::start_with(&["--admin", &id]);
        operator
            .run_with(&["join"], &coordinator.ticket)
            .succeeded();
        let there = Home::joined(&coordinator);
        let office = there.start(&["ping", "--answer", "--name", "office"]);
        office.says("here as office");
        Self {
            coordinator,
            operator,
            there,
            office,
        }
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect()
}

#[test]
fn an_operator_sees_who_is_connected() {
    let scene = Scene::new();
    let id = scene.there.run(&["id"]).succeeded().trim().to_owned();
    let listed = scene.operator.run(&["ls", "--json"]);
    let listed = lines(listed.succeeded());
    // And the operator itself.
    assert_eq!(listed.len(), 2);
    let office = listed.iter().find(|it| it["id"] == id.as_str()).unwrap();
    assert_eq!(office["names"][0], "office");
    assert!(
        office["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let text = scene.operator.run(&["ls"]);
    assert!(
        text.succeeded()
            .contains(&format!("{id}  office  127.0.0.1:"))
    );

    assert_eq!(scene.operator.run(&["ls", "--channels"]).succeeded(), "");
    let pinging = scene.there.start(&["ping", "office", "--path", "proxied"]);
    pinging.line();
    let channels = scene.operator.run(&["ls", "--channels", "--json"]);
    let channels = lines(channels.succeeded());
    assert_eq!(channels.len(), 1);
    assert_eq!(channels[0]["to"], id.as_str());
    assert_eq!(channels[0]["label"], "conec/ping");
    assert!(channels[0]["bytes"].as_u64().unwrap() > 0);
    // People are told names, where there are some.
    let text = scene.operator.run(&["ls", "--channels"]);
    let from = channels[0]["from"].as_str().unwrap();
    let line = format!("{from} -> office ({})  conec/ping  forwarded: ", &id[..8]);
    assert!(text.succeeded().starts_with(&line), "{}", text.stdout());
}

#[test]
fn an_operator_whose_first_identity_is_taken_is_one_all_the_same() {
    let scene = Scene::new();
    let first = scene
        .operator
        .start(&["ping", "--answer", "--name", "other"]);
    first.says("here as other");
    let listed = scene.operator.run(&["ls", "--json"]);
    assert_eq!(lines(listed.succeeded()).len(), 3);
}

#[test]
fn who_is_no_operator_is_told_what_to_do() {
    let scene = Scene::new();
    let id = scene.there.run(&["id"]).succeeded().trim().to_owned();
    for command in [
        &["ls"][..],
        &["kick", "office"],
        &["drain"],
        &["top", "-n", "1"],
    ] {
        scene
            .there
            .run(command)
            .failed(4, &["operator", &format!("--admin {id}")]);
    }
    assert!(!{ scene.office }.has_ended());
}

#[test]
fn who_is_kicked_is_gone_and_can_come_back() {
    let scene = Scene::new();
    scene.operator.run(&["kick", "office"]).succeeded();
    scene.office.ended().failed(4, &["sent this Client away"]);
    scene
        .operator
        .run(&["kick", "office"])
        .failed(5, &["nobody called office", "help: "]);
    let office = scene.there.start(&["ping", "--answer", "--name", "office"]);
    office.says("here as office");
    drop(scene.coordinator);
}

#[test]
fn who_is_forbidden_stays_so_when_the_coordinator_is_started_anew() {
    let scene = Scene::new();
    let id = scene.there.run(&["id"]).succeeded().trim().to_owned();
    scene
        .operator
        .run(&["kick", "office", "--forbid"])
        .succeeded();
    assert_eq!(scene.office.ended().status().code(), Some(4));
    let ping = ["ping", "nobody"];
    scene.there.run(&ping).failed(4, &["help: "]);
    scene.operator.run(&ping).failed(5, &[]);

    let address = scene.coordinator.address();
    let Coordinator { home, running, .. } = scene.coordinator;
    running.signal(Signal::SIGTERM);
    running.ended().succeeded();
    let operator = scene.operator.run(&["id"]).succeeded().trim().to_owned();
    let again = Coordinator::start_in(home, &address, &["--admin", &operator]);
    scene.there.run(&ping).failed(4, &[]);
    // Reading the configuration again lets nobody in.
    again.running.signal(Signal::SIGHUP);
    again.running.says("was read again");
    scene.there.run(&ping).failed(4, &[]);
    scene.operator.run(&["kick", "--permit", &id]).succeeded();
    scene.there.run(&ping).failed(5, &[]);
    scene
        .operator
        .run(&["kick", "--permit", &id])
        .failed(5, &["was not forbidden"]);
    let forbidden = again.home.path().join("coordinator/forbidden");
    assert_eq!(fs::read_to_string(forbidden).unwrap(), "");
}

#[test]
fn top_shows_what_is_forwarded() {
    let scene = Scene::new();
    let pinging = scene.there.start(&[
        "ping",
        "office",
        "--path",
        "proxied",
        "--interval",
        "10ms",
        "--size",
        "1000",
    ]);
    pinging.line();
    let seen = scene
        .operator
        .run(&["top", "--json", "-n", "3", "--interval", "300ms"]);
    let seen = lines(seen.succeeded());
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2]["clients"], 3);
    assert_eq!(seen[2]["channels"], 1);
    assert!(seen[2]["bytes_per_second"].as_f64().unwrap() > 0.0);
    let text = scene
        .operator
        .run(&["top", "-n", "2", "--interval", "10ms"]);
    let text = text.succeeded().lines().collect::<Vec<_>>();
    assert_eq!(text.len(), 3, "{text:?}");
    assert!(
        text[0].contains("clients") && text[1].trim().starts_with('3'),
        "{text:?}"
    );
}

#[test]
fn who_is_drained_goes_over_without_losing_channels() {
    let scene = Scene::new();
    // Another one with the same certificate, and so the same ticket key, and the same token.
    let home = Home::new();
    let (from, to) = (
        scene.coordinator.home.path(),
        home.path().join("coordinator"),
    );
    fs::create_dir(&to).unwrap();
    for file in ["certificate.pem", "token"] {
        fs::copy(from.join("coordinator").join(file), to.join(file)).unwrap();
    }
    let other = Coordinator::start_in(home, "127.0.0.1:0", &[]);
    let pinging = scene.there.start(&[
        "ping",
        "office",
        "--path",
        "proxied",
        "--interval",
        "20ms",
        "--timeout",
        "50s",
    ]);
    pinging.line();
    scene
        .operator
        .run(&["drain", "--within", "10s", "--to", &other.address()])
        .succeeded();
    scene.coordinator.running.ended().succeeded();
    for _ in 0..20 {
        pinging.line();
    }
    let user = Home::joined(&other);
    user.run(&["ping", "office", "-n", "1"]).succeeded();
    assert!(!{ scene.office }.has_ended());
    scene
        .operator
        .run(&["drain", "--to", "nowhere"])
        .failed(2, &["host:port"]);
}

#[test]
fn top_goes_on_when_the_coordinator_is_started_anew() {
    let scene = Scene::new();
    let watching = scene
        .operator
        .start(&["top", "--json", "--interval", "50ms"]);
    watching.line();
    let address = scene.coordinator.address();
    let Coordinator { home, running, .. } = scene.coordinator;
    // By force.
    drop(running);
    let id = scene.operator.run(&["id"]).succeeded().trim().to_owned();
    let _again = Coordinator::start_in(home, &address, &["--admin", &id]);
    watching.says("the Coordinator is there again");
    for _ in 0..10 {
        watching.line();
    }
}

/// Whoever is connected can open streams to the Coordinator, and say there what it likes.
#[tokio::test]
async fn what_is_no_proof_is_turned_away() {
    let scene = Scene::new();
    let ticket: Invitation = scene.coordinator.ticket.parse().unwrap();
    let trust = ticket.coordinator.trust().unwrap();
    let mut config = ClientConfig::new(Identity::generate().unwrap(), trust);
    config.token = ticket.token;
    let client = Client::connect(&scene.coordinator.address(), config)
        .await
        .unwrap();
    let damaged = br#"{"key":"00","signature":"00"}"#;
    for said in [
        &b""[..],
        b"garbage",
        b"{}",
        b"[1, 2",
        damaged,
        &[0xff; 100_000],
    ] {
        let (mut sender, mut receiver) = client.home().open_bi("conec/admin").await.unwrap();
        let challenge = receiver.recv().await.unwrap().unwrap();
        assert_eq!(challenge.len(), 32);
        sender.send(Bytes::copy_from_slice(said)).await.unwrap();
        let end = receiver.recv().await.unwrap_err();
        assert!(
            matches!(
                end,
                RecvError::Ended(RecvEnd::Reset(_) | RecvEnd::Refused(_))
            ),
            "{end}"
        );
    }
    let (_sender, mut receiver) = client.home().open_bi("something else").await.unwrap();
    let end = receiver.recv().await.unwrap_err();
    assert_eq!(end, RecvError::Ended(RecvEnd::Reset(Code(404))));
    // Nobody else is disturbed.
    assert_eq!(
        lines(scene.operator.run(&["ls", "--json"]).succeeded()).len(),
        3
    );
}
