//! `conec status`, `conec doctor` and `conec bench`.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Coordinator, Home, Running};

#[test]
fn the_coordinator_is_shown() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let id = home.run(&["id"]).succeeded().trim().to_owned();
    let text = home.run(&["status"]);
    let text = text.succeeded();
    for line in [
        format!("coordinator  {}", coordinator.url),
        format!("id           {id}"),
        "NAT          none".into(),
    ] {
        assert!(text.contains(&line), "{text}");
    }
    let status = object(home.run(&["status", "--json"]).succeeded());
    assert_eq!(status["coordinator"], coordinator.url.as_str());
    assert_eq!(status["nat"], "absent");
    assert!(status["round_trip_ms"].as_f64().unwrap() > 0.0);
    let seen = status["observed_address"].as_str().unwrap();
    assert!(seen.starts_with("127.0.0.1:"), "{seen}");
    Home::new().run(&["status"]).failed(2, &["conec join"]);
}

#[test]
fn the_doctor_finds_what_is_well_and_what_has_to_be_done() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let bundle = home.path().join("report");
    let well = home.run(&["doctor", "--bundle", bundle.to_str().unwrap()]);
    assert!(!well.succeeded().contains("TO DO"));
    let report = fs::read_to_string(&bundle).unwrap();
    for check in [
        "clock: ",
        "IPv6: ",
        "socket buffers: ",
        "GSO and GRO: ",
        "NAT: ",
        "MTU: ",
    ] {
        assert!(
            well.stdout().contains(check) && report.contains(check),
            "{check}"
        );
    }
    // Whatever is secret is in neither.
    let secrets = home.path().join("contexts.toml");
    let secrets = fs::read_to_string(secrets).unwrap();
    let token = secrets.lines().find(|it| it.starts_with("token")).unwrap();
    let token = token.split('"').nth(1).unwrap();
    assert!(
        !report.contains(token) && !report.contains("PRIVATE"),
        "{report}"
    );

    drop(coordinator.kill());
    let ill = home.run(&["doctor", "--json"]);
    assert_eq!(ill.status().code(), Some(1));
    let problems = ill.stdout().lines().map(object);
    let problems: Vec<_> = problems.filter(|it| it["verdict"] == "problem").collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0]["check"], "Coordinator");
    assert!(!problems[0]["help"].as_str().unwrap().is_empty());
    let nowhere = Home::new().run(&["doctor"]);
    assert_eq!(nowhere.status().code(), Some(1));
    assert!(nowhere.stdout().contains("conec join"));
}

#[test]
fn a_coordinator_with_another_key_is_nothing_for_the_doctor_to_trust() {
    let coordinator = Coordinator::start();
    let home = Home::new();
    let other = home.run(&["id"]).succeeded().trim().to_owned();
    let url = format!("conec://{other}@{}", coordinator.address());
    let found = home.run(&["doctor", "--coordinator", &url]);
    assert_eq!(found.status().code(), Some(1));
    assert!(found.stdout().contains("not the Coordinator that is meant"));
}

#[test]
fn throughput_and_round_trips_are_measured_one_at_a_time() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let serving = bench_server(&home);
    let text = home.run(&["bench", "office", "--time", "100ms", "--path", "proxied"]);
    for part in ["through the Coordinator", "round trips", "there", "back"] {
        assert!(text.succeeded().contains(part), "{}", text.stdout());
    }
    let long = home.start(&["bench", "office", "--time", "20s"]);
    long.says("measuring");
    home.run(&["bench", "office"])
        .failed(4, &["busy with somebody else"]);
    long.signal(Signal::SIGINT);
    assert_eq!(long.ended().status().code(), Some(130));
    let measured = home.run(&["bench", "office", "--time", "100ms", "--json"]);
    let measured = object(measured.succeeded());
    for figure in [
        "round_trips",
        "median_ms",
        "there_mb_per_s",
        "back_mb_per_s",
        "mtu",
    ] {
        assert!(measured[figure].as_f64().unwrap() > 0.0, "{measured}");
    }
    // Whoever serves vanishes.
    let cut_off = home.start(&["bench", "office", "--time", "20s"]);
    cut_off.says("measuring");
    serving.signal(Signal::SIGTERM);
    serving.ended();
    cut_off.ended().failed(6, &["error: "]);
    home.run(&["bench", "office"]).failed(5, &["help: "]);
    home.run(&["bench"]).failed(2, &["<WHO>"]);
    home.run(&["bench", "office", "--time", "2m"])
        .failed(2, &["at most 1m"]);
}

#[test]
fn a_measurement_outlives_the_coordinator() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let _serving = bench_server(&home);
    let measuring = home.start(&["bench", "office", "--time", "2s", "--path", "proxied"]);
    measuring.says("measuring");
    let _coordinator = coordinator.kill().start();
    measuring.says("the Coordinator is there again");
    measuring.ended().succeeded();
}

fn bench_server(home: &Home) -> Running {
    let serving = home.start(&["bench", "--serve", "--name", "office"]);
    serving.says("here as office");
    serving
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}
