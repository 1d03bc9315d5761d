//! Names that are remembered in a file, in threads.

#![cfg(feature = "self-signed")]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::time::Duration;

use conec_mio::blocking::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn connect(to: &Coordinator, name: &str, known: Option<&KnownFile>) -> Client {
    let mut config = ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(to.pin()));
    config.name = Some(name.parse().unwrap());
    config.auto_accept = true;
    config.known = known.map(|file| file.load().unwrap());
    Client::connect_to("localhost", &[to.local_addr()], config).unwrap()
}

#[test]
fn a_name_keeps_its_key_until_it_is_given_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = KnownFile::new(folder.path().join("known_clients"));
    let certificate = Certificate::self_signed(["localhost"]).unwrap();
    let config = CoordinatorConfig::new(certificate);
    let coordinator = Coordinator::bind("127.0.0.1:0", config).unwrap();
    let alice = connect(&coordinator, "alice", Some(&file));
    let bob = connect(&coordinator, "bob", None);
    let bobs: Name = "bob".parse().unwrap();
    alice.open(bobs.clone(), "").unwrap();
    assert_eq!(file.load().unwrap().get(&bobs), Some(bob.id()));
    bob.close(PATIENCE);
    let other = connect(&coordinator, "bob", None);
    let refused = alice.open(bobs.clone(), "").unwrap_err();
    let OpenError::KeyChanged(change) = refused else {
        panic!("{refused}");
    };
    assert_eq!((change.known, change.found), (bob.id(), other.id()));
    assert_eq!(alice.key_changed_timeout(PATIENCE), Ok(Some(change)));
    assert_eq!(alice.key_changed_timeout(Duration::ZERO), Err(TimedOut));
    alice.set_known(bobs.clone(), other.id()).unwrap();
    alice.open(bobs.clone(), "").unwrap();
    assert_eq!(file.load().unwrap().get(&bobs), Some(other.id()));
}
