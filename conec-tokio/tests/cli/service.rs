//! A Coordinator under a service manager.

use std::{os::unix::net::UnixDatagram, process::Command};

use nix::sys::signal::Signal;

use crate::support::{Home, LONG, Running};

#[test]
fn the_service_manager_is_told() {
    let home = Home::new();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let next = || {
        let mut buffer = [0; 4096];
        let size = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..size].into()).unwrap()
    };
    let mut command = home.command(&["coordinator", "--listen", "127.0.0.1:0"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let running = Running::of(&mut command);
    let after = |wanted: &str| {
        for _ in 0..10_000 {
            let told = next();
            if told.contains(wanted) {
                return told;
            }
            // Others may come in between, but none that is not known.
            assert!(told.contains("WATCHDOG=1"), "{told} before {wanted}");
        }
        panic!("{wanted} did not come");
    };
    after("READY=1");
    for _ in 0..3 {
        assert!(next().contains("WATCHDOG=1"));
    }
    running.signal(Signal::SIGHUP);
    assert!(after("RELOADING=1").contains("MONOTONIC_USEC="));
    after("READY=1");
    running.signal(Signal::SIGTERM);
    assert!(after("STOPPING=1").contains("EXTEND_TIMEOUT_USEC=15000000"));
    running.ended().succeeded();
}

#[test]
fn logs_are_json_where_that_is_wanted() {
    let home = Home::new();
    let args = [
        "--log-format",
        "json",
        "coordinator",
        "--listen",
        "127.0.0.1:0",
    ];
    let coordinator = home.start(&args);
    let (url, ticket) = (coordinator.line(), coordinator.line());
    assert!(url.starts_with("conec://"));
    let user = Home::new();
    user.run_with(&["join"], &ticket).succeeded();
    let line = coordinator.says("a Client has come");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let id = user.run(&["id"]).succeeded().trim().to_owned();
    assert_eq!(line["fields"]["id"], id);
    // The token is in no log.
    coordinator.signal(Signal::SIGTERM);
    let ended = coordinator.ended();
    ended.succeeded();
    for line in ended.stderr().lines() {
        let line = serde_json::from_str::<serde_json::Value>(line);
        assert!(line.is_ok(), "{:?}", ended.stderr());
    }
    assert!(!ended.stderr().contains(&ticket));
    let refused = user.run(&[
        "--log-format",
        "json",
        "ping",
        "nobody",
        "--context",
        "none",
    ]);
    refused.failed(2, &["no context", "help"]);
    assert!(serde_json::from_str::<serde_json::Value>(refused.stderr()).is_ok());
}

/// Where systemd is installed, it knows whether the unit is right.
#[test]
fn the_unit_is_right() {
    let unit = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/dist/conec-coordinator.service"
    );
    let Ok(checked) = Command::new("systemd-analyze")
        .args(["verify", "--man=no", unit])
        .output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&checked.stderr);
    let problems = said.lines().filter(|line| {
        // The tool is not installed where this is tried.
        line.contains("conec-coordinator.service") && !line.contains("is not executable")
    });
    assert_eq!(problems.collect::<Vec<_>>(), Vec::<&str>::new());
}
