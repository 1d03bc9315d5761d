//! The chats of both adapters, as programs in processes of their own: a Coordinator and two Clients.

use std::fs;

use crate::programs::Program;

/// The example programs, as this package builds them.
const TOKIO: &str = "tokio_chat_for_tests";
const MIO: &str = "mio_chat_for_tests";

#[test]
fn lines_arrive_both_ways_with_tokio() {
    chat("tokio", [TOKIO, TOKIO, TOKIO]);
}

#[test]
fn lines_arrive_both_ways_with_mio() {
    chat("mio", [MIO, MIO, MIO]);
}

#[test]
fn both_chats_understand_each_other() {
    chat("mixed", [MIO, TOKIO, MIO]);
}

fn chat(name: &str, [coordinator, alice, bob]: [&str; 3]) {
    // Where the Coordinator leaves its pin.
    let folder = std::env::temp_dir().join(format!("conec-chat-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let coordinator = Program::start(coordinator, &folder, &["coordinator", "127.0.0.1:0"]);
    let address = coordinator
        .expect("at ")
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let client = |program, name| Program::start(program, &folder, &["client", name, &address]);

    let mut alice = client(alice, "alice");
    alice.expect("connected as alice");
    let mut bob = client(bob, "bob");
    bob.expect("connected as bob");
    for name in ["alice", "bob"] {
        coordinator.expect(&format!("{name} has come"));
    }
    alice.expect("* bob is here");
    bob.expect("* alice is here");
    // Several at once, and something that is not ASCII.
    alice.type_in("hello, bob\n\nare you there? ✓\n");
    assert_eq!(bob.expect("alice: hello"), ", bob");
    bob.expect("alice: ");
    assert_eq!(bob.expect("alice: are you there?"), " ✓");
    // A line may come in pieces.
    bob.type_in("yes, I");
    bob.type_in(" am\n");
    assert_eq!(alice.expect("bob: "), "yes, I am");
    // Whoever's input ends goes, and the other stays.
    bob.end();
    alice.expect("* bob has gone");
    alice.end();
    drop(coordinator);
    fs::remove_dir_all(folder).unwrap();
}
