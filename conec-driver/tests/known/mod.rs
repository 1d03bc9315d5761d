//! What a Client learns of names is stored before its channels are given to anybody.

use std::{pin::pin, task::Poll};

use conec_core::{Name, Target};
use conec_driver::{KnownFile, OpenError};

use crate::world::{Count, World, now_or_never, ready};

/// Alice, who remembers names in a file, and Bob, who is called so.
fn world(file: &KnownFile) -> World {
    World::with_clients(|number, config| match number {
        1 => config.known = Some(file.load().unwrap()),
        _ => {
            config.name = Some(bob());
            config.auto_accept = true;
        }
    })
}

fn bob() -> Name {
    "bob".parse().unwrap()
}

#[test]
fn a_name_is_stored_by_the_time_that_its_channel_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = KnownFile::new(folder.path().join("known_clients"));
    let mut world = world(&file);
    let (alice, id) = (world.alice(), world.bob().id());
    let mut opening = pin!(alice.open(bob(), ""));
    assert!(now_or_never(opening.as_mut()).is_none());
    world.run();
    assert!(file.load().unwrap().is_empty(), "it is open, and not given");
    // Nobody turns the driver meanwhile: it is not needed for that.
    let channel = pollster::block_on(opening.as_mut()).unwrap();
    assert_eq!(file.load().unwrap().get(&bob()), Some(id));
    assert_eq!(channel.peer().unwrap().name, Some(bob()));
    // The next time there is nothing to wait for.
    let mut again = pin!(alice.open(Target::Name(bob()), ""));
    assert!(now_or_never(again.as_mut()).is_none());
    world.run();
    ready(again).unwrap();
}

#[test]
fn a_name_that_is_somebody_elses_by_the_file_is_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let file = KnownFile::new(folder.path().join("known_clients"));
    let mut world = world(&file);
    let (alice, id) = (world.alice(), world.bob().id());
    file.set(&bob(), alice.id()).unwrap();
    let mut opening = pin!(alice.open(bob(), ""));
    assert!(now_or_never(opening.as_mut()).is_none());
    world.run();
    let refused = pollster::block_on(opening).unwrap_err();
    let OpenError::KeyChanged(change) = refused else {
        panic!("{refused}");
    };
    assert_eq!((change.known, change.found), (alice.id(), id));
    assert_eq!(alice.known().unwrap().get(&bob()), Some(alice.id()));
}

#[test]
fn who_waits_for_a_changed_key_is_woken() {
    let folder = tempfile::tempdir().unwrap();
    let file = KnownFile::new(folder.path().join("known_clients"));
    let mut world = world(&file);
    let (alice, bobs) = (world.alice(), world.bob());
    alice.set_known(bob(), alice.id()).unwrap();
    let count = Count::new();
    let mut changed = pin!(alice.key_changed());
    assert!(count.poll(changed.as_mut()).is_pending());
    let mut calling = pin!(bobs.open(alice.id(), ""));
    assert!(now_or_never(calling.as_mut()).is_none());
    world.run();
    assert!(matches!(ready(calling), Err(OpenError::Closed(_))));
    assert_eq!(count.get(), 1);
    let Poll::Ready(Some(change)) = count.poll(changed) else {
        panic!("nothing has changed");
    };
    assert_eq!((change.known, change.found), (alice.id(), bobs.id()));
}
