//! `conec pub`, `conec sub` and `conec chat`.

use std::{
    fs,
    io::Write,
    process::{ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Coordinator, Home, Running};

#[test]
fn all_hear_what_is_published_line_by_line_and_in_order() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let subs = [
        sub(&home, &["weather"]),
        sub(&home, &["weather", "-n", "4"]),
    ];
    home.run(&["pub", "weather", "rain"]).succeeded();
    let published = home.run_with(&["pub", "weather"], "wind\n\nsun at last");
    assert_eq!((published.succeeded(), published.stderr()), ("", ""));
    for line in ["rain", "wind", "", "sun at last"] {
        for sub in &subs {
            assert_eq!(sub.line(), line);
        }
    }
    let [unlimited, limited] = subs;
    assert_eq!(limited.ended().succeeded(), "");
    unlimited.signal(Signal::SIGINT);
    assert_eq!(unlimited.ended().status().code(), Some(130));
    let alone = home.run(&["pub", "weather", "snow"]);
    alone.succeeded();
    assert!(alone.stderr().contains("nobody else is in weather"));
}

#[test]
fn json_tells_who_has_said_what_and_who_comes_and_goes() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let sub = sub(&home, &["weather", "--json", "--presence", "-n", "2"]);
    let joined = object(&sub);
    assert_eq!(
        (&joined["type"], &joined["next"]),
        (&json!("joined"), &json!(0))
    );
    assert_eq!(object(&sub)["type"], "arrived");
    home.run(&["pub", "weather", "rain", "--name", "office"])
        .succeeded();
    let mut pubs = home.command(&["pub", "weather", "--whole"]);
    let mut publishing = Running::of(pubs.stdin(Stdio::piped()));
    let mut stdin = publishing.child.stdin.take().unwrap();
    stdin.write_all(&[0xff, b'\n', 0]).unwrap();
    drop(stdin);
    publishing.ended().succeeded();
    let rest = sub.ended();
    let rest: Vec<_> = rest.succeeded().lines().map(parse).collect();
    let of = |kind: &str| {
        rest.iter()
            .filter(move |it| it["type"] == kind)
            .collect::<Vec<_>>()
    };
    let messages = of("message");
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["sequence"], 0);
    assert_eq!(messages[0]["name"], "office");
    assert_eq!(messages[0]["text"], "rain");
    assert_eq!(messages[0]["sender"].as_str().unwrap().len(), 56);
    assert_eq!(messages[1]["base64"], "/woA");
    // Who is there for a moment only need not be told of.
    assert!(of("left").len() <= 2 && of("lagged").is_empty());
}

#[test]
fn who_comes_late_gets_as_much_of_the_past_as_it_wants() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let _stays = sub(&home, &["weather"]);
    home.run_with(&["pub", "weather"], "1\n2\n3\n4\n")
        .succeeded();
    let late = home.run(&["sub", "weather", "--history", "2", "-n", "2"]);
    assert_eq!(late.succeeded(), "3\n4\n");
    let all = home.run(&["sub", "weather", "--history", "100", "-n", "4"]);
    assert_eq!(all.succeeded(), "1\n2\n3\n4\n");
}

#[test]
fn whoever_is_slow_is_told_how_much_is_missing_and_delays_nobody() {
    const ALL: u64 = 5000;
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let slow = sub(&home, &["weather", "--json"]);
    assert_eq!(object(&slow)["type"], "joined");
    slow.signal(Signal::SIGSTOP);
    stopped(&slow);
    let lines = format!("{}\n", "x".repeat(1000)).repeat(ALL as usize);
    home.run_with(&["pub", "weather"], &lines).succeeded();
    slow.signal(Signal::SIGCONT);
    let (mut heard, mut lagged) = (0, 0);
    while heard + lagged < ALL {
        let item = object(&slow);
        match item["type"].as_str().unwrap() {
            "message" => heard += 1,
            "lagged" => lagged += item["count"].as_u64().unwrap(),
            other => panic!("{other}"),
        }
    }
    assert!(heard > 0 && lagged > 0, "{heard} {lagged}");
    assert_eq!(heard + lagged, ALL);
    slow.says("missing here: this reader was too slow");
}

#[test]
fn what_is_sealed_only_those_read_who_have_the_passphrase() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let (right, wrong, key) = (
        home.path().join("a"),
        home.path().join("b"),
        home.path().join("c"),
    );
    fs::write(&right, "correct horse battery staple\n").unwrap();
    fs::write(&wrong, "another").unwrap();
    fs::write(&key, "ab".repeat(32)).unwrap();
    let [right, wrong, key] = [&right, &wrong, &key].map(|it| it.to_str().unwrap());
    let insider = sub(&home, &["secrets", "--passphrase-file", right]);
    let outsider = sub(&home, &["secrets", "--passphrase-file", wrong]);
    insider.says("with another passphrase or key");
    home.run(&["pub", "secrets", "psst", "--passphrase-file", right])
        .succeeded();
    assert_eq!(insider.line(), "psst");
    outsider.says("message 0 of ");
    home.run(&["pub", "secrets", "loud"]).succeeded();
    insider.says("was not opened");
    outsider.signal(Signal::SIGTERM);
    assert_eq!(outsider.ended().stdout(), "");

    let by_key = sub(&home, &["keyed", "--key-file", key, "-n", "1"]);
    home.run(&["pub", "keyed", "click", "--key-file", key])
        .succeeded();
    assert_eq!(by_key.ended().succeeded(), "click\n");
}

#[test]
fn bad_usage_and_bad_secrets_are_said() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    home.run(&["pub", "No Group", "x"]).failed(2, &["No Group"]);
    home.run(&["sub", "g", "-n", "0"]).failed(2, &["--count"]);
    home.run(&["pub", "g", "x", "--whole"])
        .failed(2, &["--whole"]);
    home.run(&["sub", "g", "--key-file", "no such file"])
        .failed(2, &["no such file", "help: "]);
    let file = home.path().join("file");
    let path = file.to_str().unwrap();
    fs::write(&file, "\n").unwrap();
    home.run(&["chat", "g", "--passphrase-file", path])
        .failed(2, &["is empty", "help: "]);
    fs::write(&file, "abc").unwrap();
    home.run(&["pub", "g", "x", "--key-file", path])
        .failed(2, &["64 hexadecimal digits", "help: "]);
    let large = "x".repeat(70_000);
    home.run_with(&["pub", "g"], &large)
        .failed(1, &["at most 65536 bytes", "help: "]);
    let larger = "x".repeat((1 << 20) + 1);
    home.run_with(&["pub", "g", "--whole"], &larger)
        .failed(1, &["1 MiB", "help: "]);
}

#[test]
fn chat_shows_who_says_what_and_says_what_is_typed() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let (alice, mut to_alice) = chat(&home, "alice");
    let (bob, mut to_bob) = chat(&home, "bob");
    alice.says("bob is here");
    bob.says("alice is here");
    writeln!(to_alice, "hello").unwrap();
    assert_eq!(bob.line(), "alice: hello");
    writeln!(to_bob, "\u{1b}[2Jand hello to you").unwrap();
    assert_eq!(alice.line(), "bob: \\u{1b}[2Jand hello to you");
    write!(to_bob, "bye").unwrap();
    drop(to_bob);
    assert_eq!(bob.ended().succeeded(), "");
    assert_eq!(alice.line(), "bob: bye");
    alice.says("bob has gone");
    let late = home.run_with(&["chat", "lobby", "--history", "1"], "");
    assert!(late.succeeded() == "bob: bye\n", "{}", late.stdout());
}

#[test]
fn members_outlive_the_coordinator_and_say_what_was_missed() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let hearing = sub(&home, &["weather"]);
    let (talking, mut to_talking) = chat_in(&home, "weather", "talker");
    let mut pubs = home.command(&["pub", "weather", "--again"]);
    let mut publishing = Running::of(pubs.stdin(Stdio::piped()));
    let mut to_publish = publishing.child.stdin.take().unwrap();
    writeln!(to_publish, "before").unwrap();
    assert_eq!(hearing.line(), "before");
    let killed = coordinator.kill();
    // Nobody knows yet that it is gone.
    writeln!(to_publish, "meanwhile").unwrap();
    writeln!(to_talking, "still here").unwrap();
    let _coordinator = killed.start();
    hearing.says("in weather again, which was begun anew");
    talking.says("in weather again");
    writeln!(to_publish, "after").unwrap();
    drop(to_publish);
    publishing.ended().succeeded();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|it| it != "after") {
        heard.push(hearing.line());
    }
    // With --again nothing is missing, whatever the moment at which the Coordinator was killed, and what the publisher did not know to have
    // arrived comes twice. Chat says what may be missing.
    heard.retain(|it| it != "still here" && it != "before");
    assert_eq!(heard, ["meanwhile", "after"]);
    drop(to_talking);
    talking.ended().succeeded();
}

#[test]
fn what_may_be_lost_is_said_and_counts_as_failed() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let hearing = sub(&home, &["weather"]);
    let mut pubs = home.command(&["pub", "weather"]);
    let mut publishing = Running::of(pubs.stdin(Stdio::piped()));
    let mut to_publish = publishing.child.stdin.take().unwrap();
    writeln!(to_publish, "before").unwrap();
    assert_eq!(hearing.line(), "before");
    // It is there, and answers nothing.
    coordinator.running.signal(Signal::SIGSTOP);
    stopped(&coordinator.running);
    writeln!(to_publish, "lost").unwrap();
    drop(to_publish);
    publishing.says("the Coordinator is away");
    let _coordinator = coordinator.kill().start();
    let ended = publishing.ended();
    ended.failed(6, &["published here, and may be lost", "--again"]);
    // One, or on a slow machine the first one too, if its confirmation had not come yet.
    let said = ended.stderr();
    assert!(
        said.contains("1 message was published") || said.contains("2 messages were published"),
        "{said}"
    );
}

fn sub(home: &Home, args: &[&str]) -> Running {
    let running = home.start(&[&["sub"], args].concat());
    running.says("in ");
    running
}

fn chat(home: &Home, name: &str) -> (Running, ChildStdin) {
    chat_in(home, "lobby", name)
}

fn chat_in(home: &Home, group: &str, name: &str) -> (Running, ChildStdin) {
    let mut command = home.command(&["chat", group, "--name", name]);
    let mut running = Running::of(command.stdin(Stdio::piped()));
    let stdin = running.child.stdin.take().unwrap();
    running.says(&format!("as {name}"));
    (running, stdin)
}

/// Waits until it is: a signal alone does not.
fn stopped(running: &Running) {
    let pid = running.child.id().to_string();
    let state = || {
        Command::new("ps")
            .args(["-o", "state=", "-p", &pid])
            .output()
    };
    for _ in 0..1000 {
        if state().unwrap().stdout.starts_with(b"T") {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not stop");
}

fn object(running: &Running) -> Value {
    parse(&running.line())
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}
