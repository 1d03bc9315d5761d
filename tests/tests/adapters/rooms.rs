//! The chats with rooms of both adapters, as programs in processes of their own.

use std::fs;

use crate::programs::Program;

const TOKIO: &str = "tokio_rooms_for_tests";
const MIO: &str = "mio_rooms_for_tests";

#[test]
fn who_is_in_a_room_and_knows_its_passphrase_hears_what_is_said() {
    let folder = std::env::temp_dir().join(format!("conec-rooms-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let coordinator = Program::start(TOKIO, &folder, &["coordinator", "127.0.0.1:0"]);
    let address = coordinator.expect("at ");
    let address = address.split(',').next().unwrap();
    let client = |program, room, name, passphrase| {
        let args = ["client", room, name, address];
        Program::start_with(program, &folder, &args, &[("ROOM_PASSPHRASE", passphrase)])
    };
    let words = "correct horse battery staple and two more";

    let mut alice = client(TOKIO, "lobby", "alice", words);
    alice.expect("* you are in");
    alice.type_in("is anybody here? ✓\n");
    // Who comes later hears what was said, and with a passphrase from a file.
    let file = folder.join("passphrase");
    fs::write(&file, format!("{words}\n")).unwrap();
    let mut bob = Program::start_with(
        MIO,
        &folder,
        &["client", "lobby", "bob", address],
        &[("ROOM_PASSPHRASE_FILE", file.to_str().unwrap())],
    );
    assert_eq!(bob.expect("alice: "), "is anybody here? ✓");
    assert_eq!(alice.expect("* bob is here"), "");
    bob.type_in("I am");
    bob.type_in(" here\n");
    assert_eq!(alice.expect("bob: "), "I am here");

    let eve = client(MIO, "lobby", "eve", "a guess");
    eve.expect("* somebody said something: ");
    alice.expect("* eve is here, and does not");
    let other = client(TOKIO, "elsewhere", "carol", words);
    other.expect("* you are in");
    bob.end();
    alice.expect("* bob has gone");
    eve.expect("* bob has gone");
    alice.end();
    drop((eve, other, coordinator));
    fs::remove_dir_all(folder).unwrap();
}
