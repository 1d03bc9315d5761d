//! Whatever ends in the middle, it goes on where it was.

use std::{fs, path::Path};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Pair, events, names, noise, text, until};
use crate::support::{Coordinator, Home, Running};

const SIZE: usize = 60_000_000;
/// So that it can be ended in the middle.
const SLOWLY: [&str; 2] = ["--limit", "20000000"];

fn is_whole(path: &Path) {
    assert!(fs::read(path).unwrap() == noise(SIZE), "{}", path.display());
}

fn kept(event: &Value) -> u64 {
    event["kept"].as_u64().unwrap()
}

/// A large file of which a part has arrived; who receives it, and who sends it.
fn begun() -> (Pair, Running, Running) {
    let pair = Pair::new();
    let receiving = pair.receive(&[]);
    let file = pair.file("large", SIZE);
    let send = ["send", "--json", text(&file), "office"];
    let sending = pair.here.start(&[&send[..], &SLOWLY].concat());
    until(&sending, 5_000_000);
    (pair, receiving, sending)
}

fn kill(mut running: Running) {
    running.child.kill().unwrap();
    running.child.wait().unwrap();
}

#[test]
fn a_sender_that_was_killed_goes_on_where_it_was() {
    let pair = Pair::new();
    let receiving = pair.receive(&["--json"]);
    let file = pair.file("large", SIZE);
    let send = ["send", "--json", text(&file), "office"];
    for _ in 0..2 {
        let sending = pair.here.start(&[&send[..], &SLOWLY].concat());
        until(&sending, 1);
        kill(sending);
    }
    let sent = events(pair.here.run(&send).succeeded(), "file");
    assert!(kept(&sent[0]) > 0, "{sent:?}");
    is_whole(&pair.to().join("large"));
    assert_eq!(names(&pair.to()), ["large"]);
    drop(receiving);
}

#[test]
fn a_receiver_that_was_killed_goes_on_where_it_was_and_the_sender_waits_for_it() {
    let (pair, receiving, sending) = begun();
    kill(receiving);
    assert!(!pair.to().join("large").exists());
    let receiving = pair.receive(&["--once"]);
    let sent = sending.ended();
    let sent = events(sent.succeeded(), "file");
    assert!(kept(&sent[0]) > 0, "{sent:?}");
    receiving.ended().succeeded();
    is_whole(&pair.to().join("large"));
    assert_eq!(names(&pair.to()), ["large"]);
}

#[test]
fn a_coordinator_that_was_killed_is_only_waited_for() {
    let pair = Pair::new();
    let receiving = pair.receive(&["--once", "--path", "proxied"]);
    let file = pair.file("large", SIZE);
    let send = ["send", "--json", text(&file), "office"];
    let sending = pair.here.start(&[&send[..], &SLOWLY].concat());
    until(&sending, 1);
    let address = pair.coordinator.address();
    let Coordinator { home, running, .. } = pair.coordinator;
    kill(running);
    let _again = Coordinator::start_in(home, &address, &[]);
    let sent = sending.ended();
    let file = &events(sent.succeeded(), "file")[0];
    // It was the same transfer.
    assert_eq!(kept(file), 0);
    assert!(!sent.stderr().contains("cut off"), "{}", sent.stderr());
    receiving.ended().succeeded();
    is_whole(&pair.there.path().join("to/large"));
}

#[test]
fn a_folder_goes_on_where_it_was() {
    let pair = Pair::new();
    let folder = pair.from("folder");
    fs::create_dir(&folder).unwrap();
    for number in 0..200 {
        fs::write(folder.join(format!("{number:03}")), format!("{number}")).unwrap();
    }
    fs::write(folder.join("large"), noise(SIZE)).unwrap();
    fs::write(folder.join("last"), "last").unwrap();
    let receiving = pair.receive(&[]);
    let send = ["send", "--json", text(&folder), "office"];
    let sending = pair.here.start(&[&send[..], &SLOWLY].concat());
    until(&sending, 2_000_000);
    kill(sending);
    kill(receiving);
    // Nobody else adds to it meanwhile.
    let receiving = pair.receive(&[]);
    let other = Home::joined(&pair.coordinator);
    let other_folder = other.path().join("folder");
    fs::create_dir(&other_folder).unwrap();
    fs::write(other_folder.join("last"), "other").unwrap();
    other
        .run(&["send", text(&other_folder), "office"])
        .succeeded();
    let sent = pair.here.run(&send);
    let files = events(sent.succeeded(), "file");
    assert_eq!(files.len(), 202);
    assert!(files[..201].iter().all(|it| kept(it) > 0));
    assert_eq!(names(&pair.to()), ["folder", "folder (1)"]);
    assert_eq!(names(&pair.to().join("folder")).len(), 202);
    is_whole(&pair.to().join("folder/large"));
    assert_eq!(fs::read(pair.to().join("folder/last")).unwrap(), b"last");
    drop(receiving);
}

#[test]
fn what_was_damaged_meanwhile_is_sent_anew() {
    let (pair, receiving, sending) = begun();
    sending.signal(Signal::SIGTERM);
    assert_eq!(sending.ended().status().code(), Some(130));
    receiving.says("error: ");
    let part = pair.to().join("large.conec-part");
    let mut damaged = fs::read(&part).unwrap();
    damaged[12_345] ^= 1;
    fs::write(&part, damaged).unwrap();
    let file = pair.from("large");
    let send = ["send", "--json", text(&file), "office"];
    let sent = events(pair.here.run(&send).succeeded(), "file");
    assert_eq!(kept(&sent[0]), 0);
    is_whole(&pair.to().join("large"));
    assert_eq!(names(&pair.to()), ["large"]);
    drop(receiving);
}
