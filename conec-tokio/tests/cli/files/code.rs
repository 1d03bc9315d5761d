//! `--code`.

use std::fs;

use super::{Pair, hostile::Hostile, names, noise, text};
use crate::support::Running;

fn send(pair: &Pair) -> (Running, String) {
    let file = pair.file("a", 100_000);
    let sending = pair.here.start(&["send", "--code", text(&file)]);
    let code = sending.line();
    (sending, code)
}

fn receive(to: &str) -> [&str; 3] {
    ["receive", "--code", to]
}

#[test]
fn who_has_the_code_receives() {
    let pair = Pair::new();
    let (sending, code) = send(&pair);
    assert_eq!(code.split('-').count(), 4, "{code}");
    let to = pair.to();
    let typed = code.to_uppercase().replace('-', " ") + "\n";
    let received = pair.there.run_with(&receive(text(&to)), &typed);
    assert_eq!(
        received.succeeded(),
        format!("{}\n", to.join("a").display())
    );
    assert!(fs::read(to.join("a")).unwrap() == noise(100_000));
    let sent = sending.ended();
    assert!(sent.stderr().contains("has the code"), "{}", sent.stderr());
    assert_eq!(sent.succeeded(), "");
    // It was good once.
    pair.there
        .run_with(&receive(text(&to)), &code)
        .failed(5, &["nobody", "was it used before"]);
}

#[test]
fn the_code_is_taken_from_the_environment() {
    let pair = Pair::new();
    let (sending, code) = send(&pair);
    let to = pair.to();
    let mut command = pair.there.command(&receive(text(&to)));
    Running::of(command.env("CONEC_CODE", code))
        .ended()
        .succeeded();
    sending.ended().succeeded();
}

#[test]
fn who_guesses_wrong_has_used_the_code_up() {
    let pair = Pair::new();
    let (sending, code) = send(&pair);
    let to = pair.to();
    let number = code.split('-').next().unwrap();
    let words = match code.ends_with("-zoo-zoo-zoo") {
        true => "zone-zone-zone",
        false => "zoo-zoo-zoo",
    };
    let guess = format!("{number}-{words}");
    pair.there
        .run_with(&receive(text(&to)), &guess)
        .failed(4, &["codes at both ends are not the same", "help: "]);
    let sent = sending.ended();
    sent.failed(4, &["codes at both ends are not the same", "help: "]);
    pair.there
        .run_with(&receive(text(&to)), &code)
        .failed(5, &["nobody", "help: "]);
    assert_eq!(names(&to), [""; 0]);
}

#[test]
fn what_is_no_code_uses_nothing_up() {
    let pair = Pair::new();
    let (sending, code) = send(&pair);
    let to = pair.to();
    let number = code.split('-').next().unwrap();
    for wrong in ["", "zoo", &format!("{number}-zoo-zoo-xyzzy"), number] {
        pair.there
            .run_with(&receive(text(&to)), wrong)
            .failed(2, &["that is no code", "help: "]);
    }
    // Neither does who comes and says nothing, or asks for something else.
    let number: u16 = number.parse().unwrap();
    let hash = blake3::derive_key("conec files 1: where both meet", &number.to_be_bytes());
    let hash = hash[..8].iter().map(|byte| format!("{byte:02x}"));
    let name = format!("code-{}", hash.collect::<String>());
    Hostile::new(&pair).visit(&name);
    pair.there.run(&["ping", &name, "-n", "1"]).succeeded();
    pair.there.run_with(&receive(text(&to)), &code).succeeded();
    sending.ended().succeeded();
}
