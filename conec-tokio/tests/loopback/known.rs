//! Names that are remembered in a file.

use std::{fs, path::Path};

use conec_tokio::{
    Client, CloseReason, Coordinator, ErrorCode, KnownError, KnownFile, OpenError, Target,
};

use crate::{PATIENCE, client, config, coordinator, name, offer, round_trip, within};

/// Alice, who remembers what is in a file.
async fn alice(coordinator: &Coordinator, file: &KnownFile) -> Client {
    let mut config = config(coordinator, "alice");
    config.known = Some(file.load().unwrap());
    let at = coordinator.local_addr();
    Client::connect_to("localhost", &[at], config)
        .await
        .unwrap()
}

/// Somebody who accepts every channel.
async fn other(coordinator: &Coordinator, as_: &str) -> Client {
    let mut config = config(coordinator, as_);
    config.auto_accept = true;
    let at = coordinator.local_addr();
    Client::connect_to("localhost", &[at], config)
        .await
        .unwrap()
}

fn file(folder: &Path) -> KnownFile {
    KnownFile::new(folder.join("known_clients"))
}

#[tokio::test]
async fn who_was_met_once_is_known_after_a_restart_and_nobody_else_is_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path());
    let coordinator = coordinator().await;
    let bob = other(&coordinator, "bob").await;
    let first = alice(&coordinator, &file).await;
    let channel = first.open(name("bob"), "").await.unwrap();
    // It is there by the time that the channel is.
    let expected = format!("bob {}\n", bob.id());
    assert_eq!(fs::read_to_string(file.path()).unwrap(), expected);
    let theirs = offer(&bob).await.accept().await.unwrap();
    round_trip(&channel, &theirs).await;
    first.close(PATIENCE).await;
    bob.close(PATIENCE).await;

    let mallory = other(&coordinator, "bob").await;
    let second = alice(&coordinator, &file).await;
    let refused = second.open(name("bob"), "").await.unwrap_err();
    let OpenError::KeyChanged(change) = &refused else {
        panic!("{refused}");
    };
    assert_eq!((change.known, change.found), (bob.id(), mallory.id()));
    assert!(refused.is_permanent());
    let text = refused.to_string();
    for id in [bob.id(), mallory.id()] {
        assert!(text.contains(&id.to_string()), "{text}");
    }
    assert_eq!(within(second.key_changed()).await.as_ref(), Some(change));
    // Nor is it when it calls.
    let called = within(mallory.open(second.id(), "")).await.unwrap_err();
    let reason = CloseReason::Remote(ErrorCode::KeyChanged);
    assert_eq!(called, OpenError::Closed(reason));
    assert_eq!(within(second.key_changed()).await.as_ref(), Some(change));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), expected);
    // It is Bob after all.
    let former = second.set_known(name("bob"), mallory.id()).unwrap();
    assert_eq!(former, Some(bob.id()));
    second.open(name("bob"), "").await.unwrap();
    assert_eq!(file.load().unwrap().get(&name("bob")), Some(mallory.id()));
    let forgotten = second.forget_known(&name("bob")).unwrap();
    assert_eq!(forgotten, Some(mallory.id()));
    assert!(file.load().unwrap().is_empty() && second.known().unwrap().is_empty());
    second.close(PATIENCE).await;
    assert_eq!(within(second.key_changed()).await, None);
}

#[tokio::test]
async fn who_is_accepted_is_stored_and_what_others_have_stored_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path());
    let coordinator = coordinator().await;
    let alice = alice(&coordinator, &file).await;
    let [bob, carol, dave] = ["bob", "carol", "dave"].map(|name| other(&coordinator, name));
    let (bob, carol, dave) = tokio::join!(bob, carol, dave);
    let accepting = async { offer(&alice).await.accept().await };
    let (opened, accepted) = tokio::join!(bob.open(alice.id(), ""), accepting);
    assert!(opened.is_ok() && accepted.is_ok());
    let stored = file.load().unwrap();
    assert_eq!(stored.get(&name("bob")), Some(bob.id()));
    // Another program has met somebody else under these names.
    for name in ["carol", "dave"].map(name) {
        file.set(&name, bob.id()).unwrap();
    }
    let refused = alice.open(name("carol"), "").await.unwrap_err();
    let OpenError::KeyChanged(change) = refused else {
        panic!("{refused}");
    };
    assert_eq!((change.known, change.found), (bob.id(), carol.id()));
    let accepting = async { offer(&alice).await.accept().await };
    let (_, accepted) = tokio::join!(dave.open(alice.id(), ""), accepting);
    assert_eq!(accepted.map(drop), Err(CloseReason::KeyChanged));
    let known = alice.known().unwrap();
    for name in ["bob", "carol", "dave"].map(name) {
        assert_eq!(known.get(&name), Some(bob.id()));
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_known_and_stored_later() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    let file = file(&inner);
    let coordinator = coordinator().await;
    let alice = alice(&coordinator, &file).await;
    let bob = other(&coordinator, "bob").await;
    let carol = other(&coordinator, "carol").await;
    alice.open(name("bob"), "").await.unwrap();
    assert_eq!(alice.known().unwrap().get(&name("bob")), Some(bob.id()));
    let failed = alice.set_known(name("dave"), bob.id());
    assert!(matches!(failed, Err(KnownError::Io { .. })), "{failed:?}");
    assert_eq!(alice.known().unwrap().get(&name("dave")), None);
    fs::create_dir(&inner).unwrap();
    alice.open(Target::Name(name("carol")), "").await.unwrap();
    let stored = file.load().unwrap();
    let both = ["bob", "carol"].map(|it| stored.get(&name(it)));
    assert_eq!(both, [Some(bob.id()), Some(carol.id())]);
}

#[tokio::test]
async fn who_remembers_nothing_says_so() {
    let coordinator = coordinator().await;
    let alice = client(&coordinator, "alice").await;
    assert!(alice.known().is_none());
    let failed = alice.set_known(name("bob"), alice.id());
    assert!(matches!(failed, Err(KnownError::Unused)), "{failed:?}");
    assert_eq!(alice.forget_known(&name("bob")).unwrap(), None);
}
